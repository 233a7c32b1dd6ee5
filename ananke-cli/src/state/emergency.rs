//! State for a shutdown that power asks for where the state directory cannot be written: a file system that went read-only
//! must not cost a cluster its disks (`docs/decisions/read-only-state.md`).
//!
//! It lies in memory and is worth as much as this boot is: each order has its line before it is sent, a second run finds what the
//! first one did, and the next boot knows nothing of it.

use std::fs;
use std::path::Path;

use ananke_core::intent::Intent;
use ananke_core::port::{PortError, StateReads, StateWrites};

use super::file::{self, io_error};
use super::{CONFIRMATIONS, INTENT, INTENT_MARK, LEASES, RUNS, SHUTDOWN_PROGRESS, StateDir, lock};

/// Where systemd gives the daemon room in memory; nobody else may write there.
pub const ASIDE: &str = "/run/ananke/state";

/// What a shutdown goes on from.
const TAKEN_ALONG: [&str; 6] = [INTENT, INTENT_MARK, LEASES, SHUTDOWN_PROGRESS, RUNS, CONFIRMATIONS];
/// The intent as it was at home then.
const BEFORE: &str = "intent.before.json";
/// Written to find out whether anything can be.
const PROBE: &str = "probe";

impl StateDir {
    /// The state for a shutdown that cannot wait: at `root`, or, where nothing can be written there, at `aside`.
    pub fn open_for_power(root: &Path, aside: &Path) -> Result<Self, PortError> {
        let (broken, taken_along) = match Self::open(root) {
            Ok(state) => match state.broken() {
                None => return Ok(state),
                Some(error) => (error, &TAKEN_ALONG[..]),
            },
            // What others may have written is not taken along, nor is it waited for.
            Err(error) if Self::at(root, false).refuse_open_doors().is_err() => (error, &[][..]),
            Err(error) => (error, &TAKEN_ALONG[..]),
        };
        let Ok(state) = Self::open(aside) else { return Err(broken) };
        // One that is there already is newer than what can be read at `root`.
        if !file::exists(&state.path(INTENT))? {
            for name in taken_along {
                // What cannot be read is taken from the nodes, as ever.
                drop(fs::copy(root.join(name), state.path(name)));
            }
            drop(fs::copy(root.join(INTENT), state.path(BEFORE)));
        }
        let remedy = broken.remedy.clone().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        state.notice(format!(
            "the shutdown goes on without the state directory, by what is kept in {} until this host boots: {broken}{remedy}",
            aside.display()
        ));
        Ok(state)
    }

    /// The intent that such a shutdown left at `aside`; none: there was none, or something newer is wanted. As soon as it can be
    /// written here, all that was left comes here.
    pub async fn adopt(&self, aside: &Path) -> Option<Intent> {
        if !aside.join(INTENT).exists() {
            return None;
        }
        let there = Self::open_read_only(aside).ok()?;
        let left = there.intent().await.ok().flatten()?;
        let known = self.intent().await.ok().flatten();
        // By a clock that was set meanwhile, what was there before may be dated later.
        let bytes = |path: &Path| fs::read(path).ok();
        let is_as_before = bytes(&self.path(INTENT)) == bytes(&aside.join(BEFORE));
        let newest = known.is_none_or(|known| is_as_before || known.at < left.at).then_some(left);
        // The shutdown that is under way there goes on to its end there.
        let is_over = matches!(lock::holder(&there), Ok(None));
        let settled = match &newest {
            Some(intent) => is_over && self.save_intent(intent).await.is_ok(),
            None => is_over && self.broken().is_none(),
        };
        if settled && let Err(error) = self.take_over(aside) {
            self.notice(format!("what a shutdown left in {} cannot be taken over: {error}", aside.display()));
        }
        newest
    }

    fn take_over(&self, aside: &Path) -> Result<(), PortError> {
        let journals = Self::at(aside, false).journals();
        let failed = |error: std::io::Error| io_error("take over", &journals, &error);
        for entry in fs::read_dir(&journals).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            fs::copy(entry.path(), self.journals().join(entry.file_name())).map_err(failed)?;
        }
        fs::remove_dir_all(aside).map_err(|error| io_error("remove", aside, &error))
    }

    /// Why nothing can be written. A disk that is full has its reserve; where a piece of that does not help, it is not room that is
    /// missing but files that can be made.
    fn broken(&self) -> Option<PortError> {
        let probe = || file::replace_text(&self.path(PROBE), b"\n");
        let failed = probe().err()?;
        let failed = if failed.full && self.reserve.give_piece() { probe().err()? } else { failed };
        Some(failed.into())
    }
}
