//! The daemon as systemd runs it, where it does.

use std::time::Duration;

use super::{Failed, run};

const UNIT: &str = "ananke.service";
const ASK: Duration = Duration::from_secs(30);
/// It ends between two actions, and says when it is there again.
const RESTART: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Daemon;

impl Daemon {
    /// Not where there is no systemd either.
    pub(crate) fn is_active() -> bool {
        run(&["systemctl", "is-active", "--quiet", UNIT], ASK).is_ok()
    }

    /// It runs, and systemd never had to start it again since it was last told to.
    pub(crate) fn is_steady() -> bool {
        let restarts = run(&["systemctl", "show", "--property", "NRestarts", "--value", UNIT], ASK);
        Self::is_active() && restarts.is_ok_and(|restarts| restarts.trim() == "0")
    }

    /// Returns when it has said that it is ready.
    pub(crate) fn restart() -> Result<(), Failed> {
        run(&["systemctl", "restart", UNIT], RESTART).map(drop)
    }
}
