//! The machine that Ananke itself runs on.

use async_trait::async_trait;

use super::PortError;

/// What only the machine itself can tell.
#[async_trait]
pub trait MachineReads: Send + Sync {
    /// Whether its clock follows a source; `None` where nothing on it tells.
    async fn clock_synced(&self) -> Result<Option<bool>, PortError>;
}
