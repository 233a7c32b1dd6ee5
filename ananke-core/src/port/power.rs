//! What switches a machine on from afar.

use async_trait::async_trait;

use super::PortError;
use crate::engine::Permit;
use crate::name::{MacAddress, NodeName};

#[async_trait]
pub trait PowerActions: Send + Sync {
    /// Sends what wakes the machine with this network card. `Ok`: it is on its way. Nothing answers it; whether the machine
    /// came up, the next looks tell.
    async fn wake(&self, node: &NodeName, mac: &MacAddress, permit: &Permit) -> Result<(), PortError>;
}
