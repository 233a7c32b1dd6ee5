//! Ananke's own durable state: intent, leases, progress, reports and journal.
//!
//! A write has happened when the call returns `Ok`: it survives a power cut on the next line.

use async_trait::async_trait;

use super::PortError;
use crate::baseline::Baseline;
use crate::engine::journal::Entry;
use crate::intent::Intent;
use crate::lease::LeaseRecord;
use crate::observation::Confirmation;
use crate::report::{PastRun, Progress, Report};

/// Reads of the own state. Nothing here may need the cluster.
#[async_trait]
pub trait StateReads: Send + Sync {
    /// What the operator last wanted; `None` if nothing was ever written. A lost or torn file is an error, not `None`.
    async fn intent(&self) -> Result<Option<Intent>, PortError>;
    /// Every lease that is known, settled ones too. A torn file is an error: then they are taken from the nodes.
    async fn leases(&self) -> Result<Vec<LeaseRecord>, PortError>;
    /// The progress of the newest start-up, finished or not.
    async fn progress(&self) -> Result<Option<Progress>, PortError>;
    /// What was well on the last healthy day.
    async fn baseline(&self) -> Result<Option<Baseline>, PortError>;
    /// Machines that a person confirmed to be off, newest last.
    async fn confirmations(&self) -> Result<Vec<Confirmation>, PortError>;
    /// Runs that ended, oldest first; a bounded number of the newest.
    async fn runs(&self) -> Result<Vec<PastRun>, PortError>;
}

/// Writes of the own state. Each replaces the whole of what it names, or adds one line to it.
#[async_trait]
pub trait StateWrites: Send + Sync {
    async fn save_intent(&self, intent: &Intent) -> Result<(), PortError>;
    async fn save_leases(&self, leases: &[LeaseRecord]) -> Result<(), PortError>;
    async fn save_progress(&self, progress: &Progress) -> Result<(), PortError>;
    async fn save_report(&self, report: &Report) -> Result<(), PortError>;
    /// Appends to the journal of the entry's run.
    async fn append(&self, entry: &Entry) -> Result<(), PortError>;
    /// Appends what was seen to the same journal; it need not be durable before the next [`StateWrites::append`] is.
    async fn record(&self, entry: &Entry) -> Result<(), PortError>;
    /// Whether [`StateWrites::record`] keeps anything: where it does not, no entry is made for it.
    fn records(&self) -> bool {
        true
    }
    async fn save_baseline(&self, baseline: &Baseline) -> Result<(), PortError>;
    async fn save_run(&self, run: &PastRun) -> Result<(), PortError>;
}
