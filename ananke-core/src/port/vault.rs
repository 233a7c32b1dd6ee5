//! Vault's seal. Keys never pass through here: the adapter has them.

use async_trait::async_trait;

use super::PortError;
use crate::engine::Permit;
use crate::observation::VaultState;

/// What an unauthenticated caller may know of Vault.
#[async_trait]
pub trait VaultReads: Send + Sync {
    /// Whether it is sealed. A Vault that answers is `Ok`, whatever it says.
    async fn seal_status(&self) -> Result<VaultState, PortError>;
}

/// The one thing that is done to Vault.
#[async_trait]
pub trait VaultActions: Send + Sync {
    /// Unseals it with what the config names: key file first, then the break-glass command.
    async fn unseal(&self, permit: &Permit) -> Result<(), PortError>;
}
