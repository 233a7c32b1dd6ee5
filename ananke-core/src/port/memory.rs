//! State in memory, for tests and for embedders who keep theirs elsewhere: it lives as long as the value does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{PortError, StateReads, StateWrites};
use crate::baseline::Baseline;
use crate::engine::journal::Entry;
use crate::intent::Intent;
use crate::lease::LeaseRecord;
use crate::observation::Confirmation;
use crate::report::{PastRun, Progress, Report};

/// Whatever is written to it can be read from it, for as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryState {
    kept: Mutex<Kept>,
    recording: bool,
}

/// What was written, the newest of each; the journal whole.
#[derive(Debug, Default, Clone)]
pub struct Kept {
    pub intent: Option<Intent>,
    pub leases: Vec<LeaseRecord>,
    pub progress: Option<Progress>,
    pub report: Option<Report>,
    pub journal: Vec<Entry>,
    pub baseline: Option<Baseline>,
    pub confirmations: Vec<Confirmation>,
    pub runs: Vec<PastRun>,
}

impl MemoryState {
    /// One that also keeps what was seen, for a replay.
    pub fn recording() -> Self {
        Self { recording: true, ..Self::default() }
    }

    /// Locked: a poisoned lock is no loss, for every write is whole.
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StateReads for MemoryState {
    async fn intent(&self) -> Result<Option<Intent>, PortError> {
        Ok(self.kept().intent.clone())
    }

    async fn leases(&self) -> Result<Vec<LeaseRecord>, PortError> {
        Ok(self.kept().leases.clone())
    }

    async fn progress(&self) -> Result<Option<Progress>, PortError> {
        Ok(self.kept().progress.clone())
    }

    async fn baseline(&self) -> Result<Option<Baseline>, PortError> {
        Ok(self.kept().baseline.clone())
    }

    async fn confirmations(&self) -> Result<Vec<Confirmation>, PortError> {
        Ok(self.kept().confirmations.clone())
    }

    async fn runs(&self) -> Result<Vec<PastRun>, PortError> {
        Ok(self.kept().runs.clone())
    }
}

#[async_trait]
impl StateWrites for MemoryState {
    async fn save_intent(&self, intent: &Intent) -> Result<(), PortError> {
        self.kept().intent = Some(intent.clone());
        Ok(())
    }

    async fn save_leases(&self, leases: &[LeaseRecord]) -> Result<(), PortError> {
        self.kept().leases = leases.to_vec();
        Ok(())
    }

    async fn save_progress(&self, progress: &Progress) -> Result<(), PortError> {
        self.kept().progress = Some(progress.clone());
        Ok(())
    }

    async fn save_report(&self, report: &Report) -> Result<(), PortError> {
        self.kept().report = Some(report.clone());
        Ok(())
    }

    async fn append(&self, entry: &Entry) -> Result<(), PortError> {
        self.kept().journal.push(entry.clone());
        Ok(())
    }

    async fn record(&self, entry: &Entry) -> Result<(), PortError> {
        self.append(entry).await
    }

    fn records(&self) -> bool {
        self.recording
    }

    async fn save_baseline(&self, baseline: &Baseline) -> Result<(), PortError> {
        self.kept().baseline = Some(baseline.clone());
        Ok(())
    }

    async fn save_run(&self, run: &PastRun) -> Result<(), PortError> {
        self.kept().runs.push(run.clone());
        Ok(())
    }
}
