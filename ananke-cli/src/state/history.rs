//! `runs.jsonl`: how long runs took, one a line; the newest are kept.

use std::path::Path;

use ananke_core::port::PortError;
use ananke_core::report::PastRun;

use super::SCHEMA;
use super::file::{self, Content, Durable, WriteError};

/// What is normal does not change within this many runs.
pub(super) const READ: usize = 200;
/// Beyond this the file is written anew with the newest [`READ`]: years of outages.
const MOST: usize = 1000;

/// The newest runs, oldest first, and how many lines cannot be used.
pub(super) fn read(path: &Path) -> Result<Content<(Vec<PastRun>, usize)>, PortError> {
    let bytes = match file::content(path)? {
        Content::Whole(bytes) => bytes,
        Content::Absent => return Ok(Content::Absent),
        Content::Torn(why) => return Ok(Content::Torn(why)),
    };
    let (mut runs, mut unusable) = (Vec::new(), 0_usize);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice::<PastRun>(line) {
            Ok(run) if run.schema == SCHEMA => runs.push(run),
            Ok(_) | Err(_) => unusable = unusable.saturating_add(1),
        }
    }
    let old = runs.len().saturating_sub(READ);
    Ok(Content::Whole((runs.split_off(old), unusable)))
}

pub(super) fn append(path: &Path, run: &PastRun) -> Result<(), WriteError> {
    file::append(path, run, Durable::Yes)?;
    let Content::Whole(bytes) = file::content(path)? else { return Ok(()) };
    if bytes.iter().filter(|byte| **byte == b'\n').count() <= MOST {
        return Ok(());
    }
    let Content::Whole((newest, _)) = read(path)? else { return Ok(()) };
    let mut text = Vec::new();
    for run in &newest {
        // A run that was read can be written.
        if let Ok(line) = serde_json::to_vec(run) {
            text.extend(line);
            text.push(b'\n');
        }
    }
    file::replace_text(path, &text)
}
