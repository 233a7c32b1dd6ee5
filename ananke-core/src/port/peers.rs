//! Other Anankes of the same cluster, asked without the API.

use async_trait::async_trait;

use super::PortError;
use crate::intent::Intent;

/// Reads from other Anankes. An error is normal just after an outage and is waited for a while only.
#[async_trait]
pub trait PeerReads: Send + Sync {
    /// What the operator last wanted of the cluster, told to that Ananke; `peer` is its name in the config.
    async fn intent(&self, peer: &str) -> Result<Option<Intent>, PortError>;
}
