//! The Kubernetes API, as far as gates and phases need it.

use std::sync::Arc;

use async_trait::async_trait;

use super::PortError;
use crate::engine::Permit;
use crate::observation::{
    ApiHealth, CoordinationState, EndpointsState, EventState, ExtensionsState, FluxState, IngressState, JobState, LeaderState,
    NodeState, PodState, StorageState, WorkloadState,
};
use crate::order::ClusterOrder;

/// The parts of the cluster whose changes an adapter may tell of. What is left out is cheap to ask, or changes by our own
/// doing only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterPart {
    Nodes,
    Flux,
    Workloads,
    Pods,
    Ingresses,
    Namespaces,
    Storage,
    Endpoints,
    Jobs,
    Extensions,
}

/// Reads. Every call has a deadline of its own in the adapter and is never repeated there without a bound.
///
/// What not every cluster has is answered as absent, unless an adapter says otherwise.
#[async_trait]
pub trait ClusterReads: Send + Sync {
    /// A quorum read and a dry-run write: `/readyz` and cached lists answer 200 while the store hangs.
    async fn health(&self) -> Result<ApiHealth, PortError>;

    /// All nodes with their kubelet Leases.
    async fn nodes(&self) -> Result<Arc<Vec<NodeState>>, PortError>;

    /// Flux's sources and Kustomizations; `None` where the cluster has no Flux.
    async fn flux(&self) -> Result<Arc<Option<FluxState>>, PortError> {
        Ok(Arc::default())
    }

    /// Deployments, StatefulSets and DaemonSets of all namespaces.
    async fn workloads(&self) -> Result<Arc<Vec<WorkloadState>>, PortError>;

    /// Pods of all namespaces that have not ended.
    async fn pods(&self) -> Result<Arc<Vec<PodState>>, PortError>;

    /// Ingresses of all namespaces.
    async fn ingresses(&self) -> Result<Arc<Vec<IngressState>>, PortError> {
        Ok(Arc::default())
    }

    /// Names of the namespaces that exist and are not being deleted.
    async fn namespaces(&self) -> Result<Arc<Vec<Arc<str>>>, PortError> {
        Ok(Arc::default())
    }

    /// CSINodes, VolumeAttachments, claims, and Longhorn's own objects where it is served.
    async fn storage(&self) -> Result<Arc<StorageState>, PortError> {
        Ok(Arc::default())
    }

    /// Services with their EndpointSlices, of all namespaces.
    async fn endpoints(&self) -> Result<Arc<Vec<EndpointsState>>, PortError> {
        Ok(Arc::default())
    }

    /// Jobs that a Kustomization applied.
    async fn jobs(&self) -> Result<Arc<Vec<JobState>>, PortError> {
        Ok(Arc::default())
    }

    /// Admission webhooks that pods must pass, and the APIs that Services of the cluster serve.
    async fn extensions(&self) -> Result<Arc<ExtensionsState>, PortError> {
        Ok(Arc::default())
    }

    /// Events of type Warning that are kept, of all namespaces; nothing rests on one that is missing.
    async fn events(&self) -> Result<Arc<Vec<EventState>>, PortError> {
        Ok(Arc::default())
    }

    /// Pods of Deployments, StatefulSets and DaemonSets that have ended and are still there, of all namespaces.
    async fn ended(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        Ok(Arc::default())
    }

    /// Leases of all namespaces but `kube-node-lease` that somebody holds; nothing rests on one that is missing.
    async fn leaders(&self) -> Result<Arc<Vec<LeaderState>>, PortError> {
        Ok(Arc::default())
    }

    /// The Lease `kube-system/ananke`; `None` where there is none.
    async fn coordination(&self) -> Result<Option<CoordinationState>, PortError> {
        Ok(None)
    }

    /// Waits until something changed in parts that were read before, and names them: each is read again within a second.
    /// It carries no facts, so a word that is lost costs one pause between two looks. An adapter that does not watch never
    /// answers.
    async fn changed(&self) -> Vec<ClusterPart> {
        std::future::pending().await
    }
}

/// Writes. The permit proves that the engine decided and journaled this order.
#[async_trait]
pub trait ClusterActions: Send + Sync {
    /// Carries out one order, once. `Ok`: the API took it.
    ///
    /// # Errors
    /// [`super::ErrorKind::Conflict`] if the object is not as the order saw it: nothing was done, and it is judged again.
    /// [`super::ErrorKind::Blocked`] if a disruption budget does not allow it now. After `Transient` it may or may not have
    /// been done.
    async fn perform(&self, order: &ClusterOrder, permit: &Permit) -> Result<(), PortError>;
}
