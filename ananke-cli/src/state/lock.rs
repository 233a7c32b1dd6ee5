//! One run at a time: an exclusive `flock` on `run.lock`. The kernel gives it back when the process ends, however it ends,
//! so no lock is ever stale. The content only names the holder; it proves nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use ananke_core::name::Moment;
use ananke_core::port::PortError;
use ananke_core::report::Command;
use serde::{Deserialize, Serialize};

use super::StateDir;
use super::file::io_error;

const NAME: &str = "run.lock";

/// Whoever only looks ([`holder`]) has the lock for an instant; that must not refuse a run.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Held until dropped.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub command: Command,
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
    /// Takes the lock or says at once who has it.
    pub fn acquire(state: &StateDir, command: Command, since: Moment) -> Result<Self, LockError> {
        state.refuse_unless_writable("take the run lock")?;
        let path = state.path(NAME);
        let failed = |tried: &str, error: &std::io::Error| LockError::Failed(io_error(tried, &path, error));
        let mut options = OpenOptions::new();
        let options = super::private(options.read(true).write(true).create(true).truncate(false));
        let mut file = options.open(&path).map_err(|error| failed("open the run lock", &error))?;
        let mut left = TRIES;
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

impl Drop for RunLock {
    fn drop(&mut self) {
        // The name goes before the lock does. The file stays: a lock on a removed file locks nobody out.
        drop(self.file.set_len(0));
    }
}

/// Who runs, for commands that only look. `Ok(None)`: nobody.
pub fn holder(state: &StateDir) -> Result<Option<Holder>, LockError> {
    let path = state.path(NAME);
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

fn describe(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, command, since }) => {
            let command = match command {
                Command::Startup => "startup",
                Command::Shutdown => "shutdown",
                Command::Status => "status",
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
