//! What the service manager is told: ready, reloading, alive, stopping. Where none asked for it, nothing is told.

use std::convert::Infallible;

use ananke_core::port::Clock as _;
use sd_notify::NotifyState;

use super::board::Board;
use super::say;

pub(super) fn ready(state: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(state)]);
}

pub(super) fn reloading() {
    // Without the time of the monotonic clock systemd takes no notice.
    let since = NotifyState::monotonic_usec_now().ok();
    tell(&[NotifyState::Reloading].into_iter().chain(since).collect::<Vec<_>>());
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A service manager that does not listen is no reason to stop.
fn tell(states: &[NotifyState<'_>]) {
    sd_notify::notify(states).unwrap_or_default();
}

/// Tells the service manager that the daemon lives, for as long as its keepers come round: one that hangs is restarted by it.
pub(super) async fn beat(board: &Board) -> Infallible {
    let Some(every) = sd_notify::watchdog_enabled().map(|within| within / 3) else { return std::future::pending().await };
    let mut told = false;
    loop {
        let stuck = board.stuck();
        if stuck.is_empty() {
            tell(&[NotifyState::Watchdog]);
        } else if !told {
            say(board.clock.now(), "failed", &format!("{}: systemd restarts the daemon", stuck.join("; ")));
        }
        told = !stuck.is_empty();
        tokio::time::sleep(every).await;
    }
}
