//! The hosts under the nodes, reached without Kubernetes.

use async_trait::async_trait;

use super::PortError;
use crate::engine::Permit;
use crate::name::{NodeName, UnitName};
use crate::observation::HostState;
use crate::order::HostOrder;

/// Reads over an authenticated and verified connection.
#[async_trait]
pub trait HostReads: Send + Sync {
    /// Who the host is, since when it runs, and how `unit` is doing.
    async fn inspect(&self, node: &NodeName, unit: &UnitName) -> Result<HostState, PortError>;
}

/// Changes, from a closed set.
#[async_trait]
pub trait HostActions: Send + Sync {
    async fn perform(&self, node: &NodeName, order: &HostOrder, permit: &Permit) -> Result<(), PortError>;
}
