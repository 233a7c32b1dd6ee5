//! Ananke's own durable state: intent, leases, progress, reports and journal.
//!
//! A write has happened when the call returns `Ok`: it survives a power cut on the next line.

use async_trait::async_trait;

use super::PortError;
use crate::engine::journal::Entry;
use crate::intent::Intent;
use crate::lease::LeaseRecord;
use crate::report::{Progress, Report};

#[async_trait]
pub trait StateReads: Send + Sync {
    /// `None` if no intent was ever written.
    /// What the operator last wanted. A lost or torn file is an error, not `None`.
    async fn intent(&self) -> Result<Option<Intent>, PortError>;
    async fn leases(&self) -> Result<Vec<LeaseRecord>, PortError>;
    /// The progress of the newest start-up, finished or not.
    async fn progress(&self) -> Result<Option<Progress>, PortError>;
}

#[async_trait]
pub trait StateWrites: Send + Sync {
    async fn save_intent(&self, intent: &Intent) -> Result<(), PortError>;
    async fn save_leases(&self, leases: &[LeaseRecord]) -> Result<(), PortError>;
    async fn save_progress(&self, progress: &Progress) -> Result<(), PortError>;
    async fn save_report(&self, report: &Report) -> Result<(), PortError>;
    /// Appends to the journal of the entry's run.
    async fn append(&self, entry: &Entry) -> Result<(), PortError>;
}
