//! `journal/<run>.jsonl`: one entry a line, durable before the call returns.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ananke_core::engine::journal::Entry;
use ananke_core::name::RunId;
use ananke_core::port::{ErrorKind, PortError};
use serde::{Deserialize, Serialize};

use super::file::{self, MAX_BYTES, io_error};
use super::{SCHEMA, Versioned};

/// What could be read of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    pub entries: Vec<Entry>,
    /// One sentence for every line that is torn, foreign or missing.
    pub warnings: Vec<String>,
}

pub(super) fn append(path: &Path, entry: &Entry) -> Result<(), PortError> {
    let mut line = serde_json::to_vec(&Versioned { schema: SCHEMA, body: entry })
        .map_err(|error| PortError::new(ErrorKind::Invalid, "write as JSON", path.display(), error))?;
    line.push(b'\n');
    let is_new = !file::exists(path)?;
    let mut journal = super::private(OpenOptions::new().read(true).append(true).create(true))
        .open(path)
        .map_err(|error| io_error("open the journal", path, &error))?;
    if ends_torn(&mut journal).map_err(|error| io_error("read the journal", path, &error))? {
        // The torn line keeps to itself, and this one can be read.
        line.insert(0, b'\n');
    }
    journal.write_all(&line).map_err(|error| io_error("append to the journal", path, &error))?;
    super::sync(&journal, path)?;
    if is_new { file::sync_parent(path) } else { Ok(()) }
}

/// A journal that was never begun has no entries.
pub(super) fn read(path: &Path, run: &RunId) -> Result<Journal, PortError> {
    let Some(bytes) = file::bytes(path)? else { return Ok(Journal::default()) };
    let mut journal = Journal::default();
    if bytes.len() as u64 > MAX_BYTES {
        journal.warnings.push(format!("{} is larger than {} MiB; the rest is not read", path.display(), MAX_BYTES >> 20));
    }
    let mut expected: u64 = 1;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let number = index.saturating_add(1);
        let warning = match parse(line, run) {
            Ok(entry) => {
                let gap = (entry.seq != expected).then(|| format!("entry {expected} was expected, entry {} found", entry.seq));
                expected = entry.seq.saturating_add(1);
                journal.entries.push(entry);
                gap
            }
            Err(why) => Some(format!("skipped: {why}")),
        };
        journal.warnings.extend(warning.map(|text| format!("{} line {number}: {text}", path.display())));
    }
    Ok(journal)
}

fn parse(line: &[u8], run: &RunId) -> Result<Entry, String> {
    #[derive(Serialize, Deserialize)]
    struct Head {
        schema: u32,
    }
    let head: Head = serde_json::from_slice(line).map_err(|error| format!("torn or not ours: {error}"))?;
    if head.schema != SCHEMA {
        return Err(format!("its schema is {}, this ananke knows {SCHEMA}", head.schema));
    }
    let entry: Entry = serde_json::from_slice(line).map_err(|error| format!("torn or not ours: {error}"))?;
    if entry.run != *run {
        return Err(format!("it is of run {}", entry.run));
    }
    Ok(entry)
}

fn ends_torn(journal: &mut File) -> io::Result<bool> {
    if journal.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    journal.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    journal.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
