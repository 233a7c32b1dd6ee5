//! The port [`ClusterReads`] on a real API server.

use std::sync::Arc;

use ananke_core::observation::{ApiHealth, FluxState, IngressState, NodeState, PodState, WorkloadState};
use ananke_core::port::{ClusterReads, ErrorKind, PortError};
use async_trait::async_trait;

use crate::connect::KubeCluster;
use crate::error;
use crate::flux_api::FluxApi;
use crate::translate::namespace::{self, Namespace, Version};
use crate::translate::{flux, ingress, node, order, pod, workload};

#[async_trait]
impl ClusterReads for KubeCluster {
    async fn health(&self) -> Result<ApiHealth, PortError> {
        const TRIED: &str = "read namespace kube-system";
        // A GET without a resourceVersion is answered by the store's quorum, not from the server's cache.
        let read = self.get::<Namespace>(TRIED, "/api/v1/namespaces/kube-system");
        let version = self.get::<Version>("read the version", "/version");
        let (namespace, version, ()) = tokio::try_join!(read, version, self.dry_run())?;
        let cluster_uid = namespace::uid(&namespace).map_err(|why| error::nonsense(TRIED, &self.server, why))?;
        Ok(ApiHealth { cluster_uid, version: version.git_version })
    }

    async fn nodes(&self) -> Result<Arc<Vec<NodeState>>, PortError> {
        let nodes = self.list("list nodes", "/api/v1/nodes", "", node::node);
        let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
        let leases = self.list("list node leases", path, "", node::lease);
        let (nodes, leases) = tokio::try_join!(nodes, leases)?;
        Ok(Arc::new(node::join(nodes, leases)))
    }

    async fn flux(&self) -> Result<Arc<Option<FluxState>>, PortError> {
        let Some(api) = self.flux_api().await? else { return Ok(Arc::new(None)) };
        let read = self.flux_objects(&api).await;
        if read.as_ref().is_err_and(|error| error.kind == ErrorKind::Missing) {
            self.forget_flux_api();
        }
        Ok(Arc::new(Some(read?)))
    }

    async fn workloads(&self) -> Result<Arc<Vec<WorkloadState>>, PortError> {
        let (mut all, stateful, daemons) = tokio::try_join!(
            self.list("list deployments", "/apis/apps/v1/deployments", "", workload::deployment),
            self.list("list statefulsets", "/apis/apps/v1/statefulsets", "", workload::stateful_set),
            self.list("list daemonsets", "/apis/apps/v1/daemonsets", "", workload::daemon_set),
        )?;
        all.extend(stateful);
        all.extend(daemons);
        Ok(Arc::new(all))
    }

    async fn pods(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        self.list("list pods", "/api/v1/pods", pod::SELECTOR, pod::pod).await.map(Arc::new)
    }

    async fn ingresses(&self) -> Result<Arc<Vec<IngressState>>, PortError> {
        self.list("list ingresses", "/apis/networking.k8s.io/v1/ingresses", "", ingress::ingress).await.map(Arc::new)
    }

    async fn namespaces(&self) -> Result<Arc<Vec<Arc<str>>>, PortError> {
        self.list("list namespaces", "/api/v1/namespaces", "", namespace::name).await.map(Arc::new)
    }
}

impl KubeCluster {
    async fn dry_run(&self) -> Result<(), PortError> {
        match self.send(&order::dry_run(&self.server)).await {
            // The store looked and found one by that name, which is all that was asked of it.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(()),
            other => other,
        }
    }

    async fn flux_objects(&self, api: &FluxApi) -> Result<FluxState, PortError> {
        let sources = format!("/apis/{}/gitrepositories", api.sources);
        let kustomizations = format!("/apis/{}/kustomizations", api.kustomizations);
        let (sources, kustomizations) = tokio::try_join!(
            self.list("list gitrepositories", &sources, "", flux::source),
            self.list("list kustomizations", &kustomizations, "", flux::kustomization),
        )?;
        Ok(FluxState { sources, kustomizations })
    }
}

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;
