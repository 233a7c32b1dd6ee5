//! Ananke's own state in memory: it survives whatever happens to the run that wrote it.

use std::sync::Mutex;

use ananke_core::engine::journal::Entry;
use ananke_core::intent::Intent;
use ananke_core::lease::LeaseRecord;
use ananke_core::port::{PortError, StateReads, StateWrites};
use ananke_core::report::{Progress, Report};
use async_trait::async_trait;

use crate::executor::lock;

#[derive(Debug, Default)]
pub struct MemoryState {
    kept: Mutex<Kept>,
}

/// What was written, the newest of each; the journal whole.
#[derive(Debug, Default, Clone)]
pub struct Kept {
    pub intent: Option<Intent>,
    pub leases: Vec<LeaseRecord>,
    pub progress: Option<Progress>,
    pub report: Option<Report>,
    pub journal: Vec<Entry>,
}

impl MemoryState {
    pub fn kept(&self) -> Kept {
        lock(&self.kept).clone()
    }
}

#[async_trait]
impl StateReads for MemoryState {
    async fn intent(&self) -> Result<Option<Intent>, PortError> {
        Ok(lock(&self.kept).intent.clone())
    }

    async fn leases(&self) -> Result<Vec<LeaseRecord>, PortError> {
        Ok(lock(&self.kept).leases.clone())
    }

    async fn progress(&self) -> Result<Option<Progress>, PortError> {
        Ok(lock(&self.kept).progress.clone())
    }
}

#[async_trait]
impl StateWrites for MemoryState {
    async fn save_intent(&self, intent: &Intent) -> Result<(), PortError> {
        lock(&self.kept).intent = Some(intent.clone());
        Ok(())
    }

    async fn save_leases(&self, leases: &[LeaseRecord]) -> Result<(), PortError> {
        lock(&self.kept).leases = leases.to_vec();
        Ok(())
    }

    async fn save_progress(&self, progress: &Progress) -> Result<(), PortError> {
        lock(&self.kept).progress = Some(progress.clone());
        Ok(())
    }

    async fn save_report(&self, report: &Report) -> Result<(), PortError> {
        lock(&self.kept).report = Some(report.clone());
        Ok(())
    }

    async fn append(&self, entry: &Entry) -> Result<(), PortError> {
        lock(&self.kept).journal.push(entry.clone());
        Ok(())
    }
}
