//! `leases.json` has several writers: a run, the daemon, `ananke lease release`. Each writes what it knows, and keeps what
//! another wrote meanwhile: no lease is lost because two of them save at once.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ananke_core::lease::LeaseRecord;
use ananke_core::name::LeaseId;

/// A writer has the lock for some milliseconds. One that was stopped with it must not keep others from settling leases:
/// after this time they write without it.
const TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// The records as this process last read or wrote them.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<BTreeMap<LeaseId, LeaseRecord>>);

impl Seen {
    pub(super) fn read(&self, records: &[LeaseRecord]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = by_id(records);
    }

    /// What is to stand on disk, where `disk` stands there and this process wants `own`.
    pub(super) fn merge(&self, own: &[LeaseRecord], disk: &[LeaseRecord]) -> Vec<LeaseRecord> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let on_disk = by_id(disk);
        let newer = |record: &LeaseRecord| {
            let moved = on_disk.get(&record.lease.id).filter(|found| seen.get(&record.lease.id) != Some(found))?;
            (moved.since > record.since).then(|| moved.clone())
        };
        let mut merged: Vec<LeaseRecord> = own.iter().map(|record| newer(record).unwrap_or_else(|| record.clone())).collect();
        let strange = |id: &LeaseId| !seen.contains_key(id) && own.iter().all(|record| record.lease.id != *id);
        merged.extend(disk.iter().filter(|record| strange(&record.lease.id)).cloned());
        merged
    }

    /// `own` was merged into what stands on disk: `merged`.
    pub(super) fn wrote(&self, own: &[LeaseRecord], merged: &[LeaseRecord]) {
        let written: Vec<LeaseRecord> = own.iter().filter(|record| merged.contains(record)).cloned().collect();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(by_id(&written));
    }
}

fn by_id(records: &[LeaseRecord]) -> BTreeMap<LeaseId, LeaseRecord> {
    records.iter().map(|record| (record.lease.id.clone(), record.clone())).collect()
}

/// Held until dropped. None where it cannot be had: writing without it is better than not writing.
pub(super) fn lock(path: &Path) -> Option<File> {
    let file = super::private(OpenOptions::new().write(true).create(true).truncate(false)).open(path).ok()?;
    for _ in 0..TRIES {
        if file.try_lock().is_ok() {
            return Some(file);
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    None
}
