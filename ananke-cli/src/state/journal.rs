//! `journal/<run>.jsonl`: one entry a line. Decisions are durable before the call returns, what was seen with the next of them.

use std::path::Path;

use ananke_core::engine::journal::Entry;
use ananke_core::name::RunId;
use ananke_core::port::{ErrorKind, PortError};
use serde::{Deserialize, Serialize};

use super::file::{self, Durable, MAX_BYTES, WriteError};
use super::{SCHEMA, Versioned};

/// What could be read of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    pub entries: Vec<Entry>,
    /// One sentence for every line that is torn, foreign or missing.
    pub warnings: Vec<String>,
}

pub(super) fn append(path: &Path, entry: &Entry, durable: Durable) -> Result<(), WriteError> {
    file::append(path, &Versioned { schema: SCHEMA, body: entry }, durable)
}

/// A journal wherever it lies: its first line says whose it is.
pub fn read_journal_file(path: &Path) -> Result<Journal, PortError> {
    #[derive(Deserialize)]
    struct Owner {
        run: RunId,
    }
    let wrong = |why: &str| PortError::new(ErrorKind::Invalid, "read the journal", path.display(), why);
    let bytes = file::bytes(path)?.ok_or_else(|| wrong("there is no such file"))?;
    let first = bytes.split(|byte| *byte == b'\n').find_map(|line| serde_json::from_slice::<Owner>(line).ok());
    let owner = first.ok_or_else(|| wrong("no line of it is an entry of a journal"))?;
    Ok(parsed(&bytes, path, &owner.run))
}

/// A journal that was never begun has no entries.
pub(super) fn read(path: &Path, run: &RunId) -> Result<Journal, PortError> {
    Ok(file::bytes(path)?.map(|bytes| parsed(&bytes, path, run)).unwrap_or_default())
}

fn parsed(bytes: &[u8], path: &Path, run: &RunId) -> Journal {
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
    journal
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
