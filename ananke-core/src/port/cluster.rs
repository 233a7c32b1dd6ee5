//! The Kubernetes API, as far as gates and phases need it.

use std::sync::Arc;

use async_trait::async_trait;

use super::PortError;
use crate::engine::Permit;
use crate::observation::{ApiHealth, FluxState, IngressState, NodeState, PodState, WorkloadState};
use crate::order::ClusterOrder;

/// Reads. Every call has a deadline of its own in the adapter and is never repeated there without a bound.
#[async_trait]
pub trait ClusterReads: Send + Sync {
    /// A quorum read and a dry-run write: `/readyz` and cached lists answer 200 while the store hangs.
    async fn health(&self) -> Result<ApiHealth, PortError>;

    /// All nodes with their kubelet Leases.
    async fn nodes(&self) -> Result<Arc<Vec<NodeState>>, PortError>;

    /// Flux's sources and Kustomizations; `None` where the cluster has no Flux.
    async fn flux(&self) -> Result<Arc<Option<FluxState>>, PortError>;

    /// Deployments, StatefulSets and DaemonSets of all namespaces.
    async fn workloads(&self) -> Result<Arc<Vec<WorkloadState>>, PortError>;

    /// Pods of all namespaces that have not ended.
    async fn pods(&self) -> Result<Arc<Vec<PodState>>, PortError>;

    /// Ingresses of all namespaces.
    async fn ingresses(&self) -> Result<Arc<Vec<IngressState>>, PortError>;

    /// Names of the namespaces that exist and are not being deleted.
    async fn namespaces(&self) -> Result<Arc<Vec<Arc<str>>>, PortError>;
}

/// Writes. The permit proves that the engine decided and journaled this order.
#[async_trait]
pub trait ClusterActions: Send + Sync {
    async fn perform(&self, order: &ClusterOrder, permit: &Permit) -> Result<(), PortError>;
}
