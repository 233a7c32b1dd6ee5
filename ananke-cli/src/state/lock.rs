//! One run at a time: an exclusive `flock` on `run.lock`. The kernel gives it back when the process ends, however it ends,
//! so no lock is ever stale. The content only names the holder; it proves nothing.
//!
//! A shutdown does not wait for a start-up that it pre-empts, so it begins with a lock of its own, `shutdown.lock`: it keeps
//! a second shutdown and every new start-up out. `run.lock` follows as soon as the start-up has yielded.

use std::fs::{File, OpenOptions, TryLockError};
use std::future::Future;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use ananke_core::name::Moment;
use ananke_core::port::PortError;
use ananke_core::report::Command;
use futures::future::{Either, select};
use serde::{Deserialize, Serialize};

use super::StateDir;
use super::file::io_error;

const RUN: &str = "run.lock";
const SHUTDOWN: &str = "shutdown.lock";
const UPDATE: &str = "update.lock";
const DAEMON: &str = "daemon.lock";

/// Whoever only looks ([`holder`]) has the lock for an instant; that must not refuse a run.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// How often a shutdown looks whether the start-up before it has given its lock back.
const AGAIN: Duration = Duration::from_millis(250);

/// Held until dropped.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

/// What a lock is held for: a run, an update, which keeps runs away while it exchanges the program, or a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    Startup,
    Shutdown,
    Status,
    Update,
    Daemon,
}

impl From<Command> for Work {
    fn from(command: Command) -> Self {
        match command {
            Command::Startup => Self::Startup,
            Command::Shutdown => Self::Shutdown,
            Command::Status => Self::Status,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub command: Work,
    pub since: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Another run is on; `None` where it has not said yet who it is.
    #[error("another run holds {}: {}; wait for it, or end it", path.display(), describe(.holder.as_ref()))]
    Held { path: PathBuf, holder: Option<Holder> },
    #[error(transparent)]
    Failed(#[from] PortError),
}

impl RunLock {
    /// Takes the lock of a run, or says at once who has it: another run, or a shutdown that has yet to get it.
    pub fn acquire(state: &StateDir, work: impl Into<Work>, since: Moment) -> Result<Self, LockError> {
        let lock = Self::take(state, RUN, work.into(), since, TRIES)?;
        match holder_of(state, SHUTDOWN)? {
            None => Ok(lock),
            Some(holder) => Err(LockError::Held { path: state.path(SHUTDOWN), holder: Some(holder) }),
        }
    }

    /// One update at a time. It keeps no run away: it may take hours, and an outage does not wait.
    pub fn of_updates(state: &StateDir, since: Moment) -> Result<Self, LockError> {
        Self::take(state, UPDATE, Work::Update, since, TRIES)
    }

    /// One daemon at a time: two would both answer for the batteries, and take each other's requests.
    pub fn of_daemons(state: &StateDir, since: Moment) -> Result<Self, LockError> {
        Self::take(state, DAEMON, Work::Daemon, since, TRIES)
    }

    fn take(state: &StateDir, name: &str, command: Work, since: Moment, tries: u32) -> Result<Self, LockError> {
        state.refuse_unless_writable("take the run lock")?;
        let path = state.path(name);
        let failed = |tried: &str, error: &std::io::Error| LockError::Failed(io_error(tried, &path, error));
        let mut options = OpenOptions::new();
        let options = super::private(options.read(true).write(true).create(true).truncate(false));
        let mut file = options.open(&path).map_err(|error| failed("open the run lock", &error))?;
        let mut left = tries;
        loop {
            left = left.saturating_sub(1);
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if left > 0 => std::thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::WouldBlock) => return Err(LockError::Held { holder: read_holder(&mut file), path }),
                Err(TryLockError::Error(error)) => return Err(failed("take the run lock", &error)),
            }
        }
        let holder = Holder { pid: std::process::id(), command, since };
        if let Err(error) = write_holder(&mut file, &holder) {
            // A full disk must not keep an emergency shutdown from its lock; only the name is lost.
            tracing::warn!("{}", io_error("write the run lock", &path, &error));
        }
        Ok(Self { file })
    }
}

/// What a shutdown holds until it is dropped.
#[derive(Debug)]
pub struct ShutdownLock {
    _own: RunLock,
    run: Option<RunLock>,
    since: Moment,
    /// The run that it took over from, in words.
    pub took_over: Option<String>,
}

impl ShutdownLock {
    /// Refused only by another shutdown: whoever else runs yields to the intent.
    pub fn acquire(state: &StateDir, since: Moment) -> Result<Self, LockError> {
        let own = RunLock::take(state, SHUTDOWN, Work::Shutdown, since, TRIES)?;
        let (run, took_over) = match RunLock::take(state, RUN, Work::Shutdown, since, TRIES) {
            Ok(run) => (Some(run), None),
            Err(LockError::Held { holder, .. }) => (None, Some(describe(holder.as_ref()))),
            Err(error @ LockError::Failed(_)) => return Err(error),
        };
        Ok(Self { _own: own, run, since, took_over })
    }

    /// Does `work`, and takes the lock of runs meanwhile, once whoever has it gives it back.
    pub async fn while_working<F: Future>(&mut self, state: &StateDir, work: F) -> F::Output {
        if self.run.is_some() {
            return work.await;
        }
        let freed = async {
            loop {
                tokio::time::sleep(AGAIN).await;
                if let Ok(lock) = RunLock::take(state, RUN, Work::Shutdown, self.since, 1) {
                    break lock;
                }
            }
        };
        match select(pin!(work), pin!(freed)).await {
            Either::Left((output, _)) => output,
            Either::Right((lock, work)) => {
                self.run = Some(lock);
                work.await
            }
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // The name goes before the lock does. The file stays: a lock on a removed file locks nobody out.
        drop(self.file.set_len(0));
    }
}

/// Who runs, for commands that only look. `Ok(None)`: nobody.
pub fn holder(state: &StateDir) -> Result<Option<Holder>, LockError> {
    match holder_of(state, SHUTDOWN)? {
        Some(shutdown) => Ok(Some(shutdown)),
        None => holder_of(state, RUN),
    }
}

/// Whether a start-up is under way. One that had no room to say what it is counts, for something is.
pub fn starts_up(state: &StateDir) -> bool {
    match holder(state) {
        Ok(Some(holder)) => holder.command == Work::Startup,
        Err(LockError::Held { .. }) => true,
        Ok(None) | Err(LockError::Failed(_)) => false,
    }
}

/// Refused while a shutdown is under way: what it stands on is not taken away under it.
pub fn refuse_during_shutdown(state: &StateDir) -> Result<(), LockError> {
    match holder_of(state, SHUTDOWN)? {
        None => Ok(()),
        holder @ Some(_) => Err(LockError::Held { path: state.path(SHUTDOWN), holder }),
    }
}

fn holder_of(state: &StateDir, name: &str) -> Result<Option<Holder>, LockError> {
    let path = state.path(name);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LockError::Failed(io_error("open the run lock", &path, &error))),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => read_holder(&mut file).map(Some).ok_or(LockError::Held { path, holder: None }),
        Err(TryLockError::Error(error)) => Err(LockError::Failed(io_error("look at the run lock", &path, &error))),
    }
}

/// Who has a lock, in words.
pub(crate) fn describe(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, command, since }) => {
            let command = match command {
                Work::Startup => "startup",
                Work::Shutdown => "shutdown",
                Work::Status => "status",
                Work::Update => "update",
                Work::Daemon => "daemon",
            };
            format!("{command}, process {pid}, since {since}")
        }
        None => "a process that has not given its name".to_owned(),
    }
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_holder(file: &mut File, holder: &Holder) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    let text = serde_json::to_vec(holder).map_err(std::io::Error::other)?;
    file.write_all(&text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1_773_453_960_000);

    fn state() -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        (dir, state)
    }

    fn who(refused: Result<impl std::fmt::Debug, LockError>) -> Work {
        match refused.unwrap_err() {
            LockError::Held { holder, .. } => holder.unwrap().command,
            LockError::Failed(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn a_shutdown_begins_beside_a_start_up_and_holds_its_lock_when_that_has_yielded() {
        let (_dir, state) = state();
        let startup = RunLock::acquire(&state, Command::Startup, NOW).unwrap();
        let mut shutdown = ShutdownLock::acquire(&state, NOW).unwrap();
        assert!(shutdown.took_over.as_ref().unwrap().starts_with("startup, process "), "{:?}", shutdown.took_over);
        assert_eq!(who(ShutdownLock::acquire(&state, NOW)), Work::Shutdown, "one shutdown at a time");
        drop(startup);
        // Nobody has run.lock, and still no start-up gets in.
        assert_eq!(who(RunLock::acquire(&state, Command::Startup, NOW)), Work::Shutdown);
        let until_taken = async {
            while holder_of(&state, RUN).unwrap().is_none() {
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
        };
        shutdown.while_working(&state, until_taken).await;
        assert!(shutdown.run.is_some());
        assert_eq!(holder(&state).unwrap().map(|holder| holder.command), Some(Work::Shutdown));
        drop(shutdown);
        assert_eq!(holder(&state).unwrap(), None);
        RunLock::acquire(&state, Command::Startup, NOW).unwrap();
    }

    #[test]
    fn a_start_up_is_under_way_as_long_as_it_holds_its_lock() {
        let (_dir, state) = state();
        assert!(!starts_up(&state), "nobody has ever run");
        let startup = RunLock::acquire(&state, Command::Startup, NOW).unwrap();
        assert!(starts_up(&state));
        let shutdown = ShutdownLock::acquire(&state, NOW).unwrap();
        assert!(!starts_up(&state), "it yields");
        drop((startup, shutdown));
        assert!(!starts_up(&state), "it died");
    }

    #[tokio::test]
    async fn a_start_up_that_does_not_yield_keeps_no_shutdown_waiting() {
        let (_dir, state) = state();
        let _startup = RunLock::acquire(&state, Command::Startup, NOW).unwrap();
        let mut shutdown = ShutdownLock::acquire(&state, NOW).unwrap();
        assert_eq!(shutdown.while_working(&state, async { 7 }).await, 7);
        assert!(shutdown.run.is_none());
    }
}
