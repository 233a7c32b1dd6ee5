//! `update.log`: every step with its time, on disk before the next one begins, and on standard error too.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ananke_core::port::{Clock, clean};

use super::Failed;
use crate::clock::SystemClock;

/// Years of updates. What is older goes into one file beside it.
const MAX_BYTES: u64 = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    clock: SystemClock,
}

impl Log {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| {
            format!("open the log {}: {error}; an update is not begun without one (update.log)", path.display())
        };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > MAX_BYTES) {
            let mut older = path.as_os_str().to_owned();
            older.push(".1");
            std::fs::rename(path, older).map_err(failed)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o644).open(path).map_err(failed)?;
        Ok(Self { file, clock: SystemClock::start() })
    }

    /// One line. A log that cannot be written ends no update that is under way.
    pub(crate) fn note(&mut self, step: &str, text: &str) {
        self.write(&format!("{} {step}: {}\n", self.clock.now(), clean(text, 2000)));
    }

    /// A step that failed, and the last words of what did.
    pub(crate) fn failed(&mut self, step: &str, failed: &Failed) {
        self.note(step, &format!("FAILED: {failed}"));
        let said: String = failed.said.lines().map(|line| format!("    | {}\n", clean(line, 500))).collect();
        self.write(&said);
    }

    fn write(&mut self, text: &str) {
        let told = std::io::stderr().lock().write_all(text.as_bytes());
        told.unwrap_or_default();
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_one_line_each_and_a_long_log_makes_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log/update.log");
        let read = || std::fs::read_to_string(&path).unwrap();
        Log::open(&path).unwrap().note("gate", "a\nb\u{1b}[2J");
        assert!(read().ends_with("Z gate: a b [2J\n"), "{}", read());
        Log::open(&path).unwrap().failed("build", &Failed { why: "why".to_owned(), said: "x\ny\n".to_owned() });
        assert!(read().ends_with("Z build: FAILED: why\n    | x\n    | y\n"), "{}", read());
        std::fs::write(&path, vec![b'x'; 1024 * 1024 + 1]).unwrap();
        Log::open(&path).unwrap().note("look", "new");
        assert_eq!(read().lines().count(), 1);
        assert!(dir.path().join("log/update.log.1").is_file());
    }
}
