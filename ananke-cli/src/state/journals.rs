//! `journal/`: which run is the newest, and which journals are kept. Neither goes by the wall clock alone, which may have been
//! wrong when a run began.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use ananke_core::intent::Intent;
use ananke_core::name::RunId;
use ananke_core::port::PortError;
use ananke_core::report::Progress;
use serde::{Deserialize, Serialize};

use super::file::{self, Content, io_error};
use super::{INTENT, JOURNALS, SCHEMA, SHUTDOWN_PROGRESS, STARTUP_PROGRESS, StateDir, Versioned};

/// Names the run whose journal was begun last.
const NEWEST: &str = "newest.json";

/// The newest journals that are kept: years of outages, and the room that they may take together.
const KEPT: usize = 50;
const KEPT_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Newest {
    run: RunId,
}

#[derive(Debug)]
struct Kept {
    run: RunId,
    path: PathBuf,
    written: SystemTime,
    bytes: u64,
}

impl StateDir {
    /// The newest start-up or shutdown that has a journal; none: nothing was ever executed here.
    pub fn newest_run(&self) -> Result<Option<RunId>, PortError> {
        if let Content::Whole(newest) = file::read::<Versioned<Newest>>(&self.journals().join(NEWEST), SCHEMA)?
            && file::exists(&self.journal_path(&newest.body.run))?
        {
            return Ok(Some(newest.body.run));
        }
        // The stamp after the command sorts as time does.
        let stamp = |run: &RunId| run.as_str().split_once('-').map(|(_, stamp)| stamp.to_owned());
        Ok(self.listed()?.into_iter().map(|kept| kept.run).filter(is_a_run).max_by_key(stamp))
    }

    /// The journal of `run` is about to be begun. Where that cannot be noted, the newest is found by its name.
    pub(super) fn begins_journal(&self, run: &RunId) {
        let newest = Versioned { schema: SCHEMA, body: Newest { run: run.clone() } };
        if is_a_run(run)
            && file::exists(&self.journal_path(run)).is_ok_and(|exists| !exists)
            && let Err(error) = file::replace(&self.journals().join(NEWEST), &newest)
        {
            let error: PortError = error.into();
            tracing::debug!("{error}");
        }
    }

    /// Removes the oldest journals beyond what is kept; best effort, for one that is too many is ugly and not wrong.
    pub(super) fn prune_journals(&self) {
        let (Ok(kept), Some(needed)) = (self.listed(), self.needed()) else { return };
        for path in surplus(kept, &needed) {
            if let Err(error) = file::remove(&path) {
                tracing::debug!("{error}");
            }
        }
    }

    /// Runs that are alive or may be gone on with, and those that were last heard of. None: that cannot be told.
    fn needed(&self) -> Option<BTreeSet<RunId>> {
        let mut needed: BTreeSet<RunId> = self.newest_run().ok()?.into_iter().collect();
        for name in [STARTUP_PROGRESS, SHUTDOWN_PROGRESS] {
            if let Content::Whole(progress) = file::read::<Progress>(&self.path(name), SCHEMA).ok()? {
                needed.extend(progress.earlier.into_iter().map(|earlier| earlier.run));
                needed.insert(progress.run);
            }
        }
        if let Content::Whole(intent) = file::read::<Versioned<Intent>>(&self.path(INTENT), SCHEMA).ok()? {
            needed.insert(intent.body.run);
        }
        Some(needed)
    }

    fn listed(&self) -> Result<Vec<Kept>, PortError> {
        let folder = self.journals();
        if !file::exists(&folder)? {
            return Ok(Vec::new());
        }
        let failed = |error: std::io::Error| io_error("list the journals", &folder, &error);
        let mut listed = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let run = name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|name| RunId::parse(name).ok());
            // One that goes while we look is none of ours to count.
            if let (Some(run), Ok(metadata)) = (run, entry.metadata()) {
                let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                listed.push(Kept { run, path: entry.path(), written, bytes: metadata.len() });
            }
        }
        Ok(listed)
    }

    pub(super) fn journals(&self) -> PathBuf {
        self.root().join(JOURNALS)
    }
}

fn is_a_run(run: &RunId) -> bool {
    run.is_of("startup") || run.is_of("shutdown")
}

/// What goes: the oldest, until the rest is few and small enough. What is needed stays, and counts.
fn surplus(mut journals: Vec<Kept>, needed: &BTreeSet<RunId>) -> Vec<PathBuf> {
    journals.sort_by_key(|kept| (!needed.contains(&kept.run), std::cmp::Reverse(kept.written)));
    let (mut count, mut bytes, mut surplus) = (0_usize, 0_u64, Vec::new());
    for kept in journals {
        (count, bytes) = (count.saturating_add(1), bytes.saturating_add(kept.bytes));
        if !needed.contains(&kept.run) && (count > KEPT || bytes > KEPT_BYTES) {
            surplus.push(kept.path);
        }
    }
    surplus
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ananke_core::engine::journal::{Entry, What};
    use ananke_core::name::Moment;
    use ananke_core::port::StateWrites as _;
    use ananke_core::report::Command;

    use super::*;

    fn run(name: &str) -> RunId {
        RunId::parse(name).unwrap()
    }

    fn journals(sizes: &[u64]) -> Vec<Kept> {
        let one = |(age, bytes): (usize, &u64)| Kept {
            run: run(&format!("startup-{age}")),
            path: format!("{age}").into(),
            written: SystemTime::UNIX_EPOCH + Duration::from_secs(10_000 - age as u64),
            bytes: *bytes,
        };
        sizes.iter().enumerate().map(one).collect()
    }

    #[test]
    fn the_newest_journals_stay_as_long_as_they_are_few_and_small_and_those_that_are_needed_always() {
        let gone = |sizes: &[u64], needed: &[&str]| {
            let needed = needed.iter().map(|name| run(name)).collect();
            surplus(journals(sizes), &needed).iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(gone(&[1; 50], &[]), Vec::<String>::new());
        assert_eq!(gone(&[1; 52], &[]), ["50", "51"]);
        assert_eq!(gone(&[1; 52], &["startup-51"]), ["49", "50"]);
        assert_eq!(gone(&[KEPT_BYTES / 2, KEPT_BYTES / 2, 1], &[]), ["2"]);
        assert_eq!(gone(&[KEPT_BYTES + 1], &["startup-0"]), Vec::<String>::new());
        assert_eq!(gone(&[1, KEPT_BYTES], &["startup-1"]), ["0"]);
    }

    #[tokio::test]
    async fn the_newest_run_is_the_one_that_began_last_whatever_the_clock_said() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        assert_eq!(state.newest_run().unwrap(), None);
        for name in ["startup-20390101T000000000", "shutdown-20260314T020611123", "keeper-20270101T000000000"] {
            let what = What::RunStarted { command: Command::Startup, resumes: None, start: None };
            for seq in 1..=2 {
                let entry = Entry { run: run(name), seq, at: Moment::from_millis(0), what: what.clone() };
                state.append(&entry).await.unwrap();
            }
        }
        assert_eq!(state.newest_run().unwrap(), Some(run("shutdown-20260314T020611123")));
        std::fs::remove_file(state.journals().join(NEWEST)).unwrap();
        assert_eq!(state.newest_run().unwrap(), Some(run("startup-20390101T000000000")), "as an ananke before this one left it");
    }
}
