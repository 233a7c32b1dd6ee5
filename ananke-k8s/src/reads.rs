//! The port [`ClusterReads`] on a real API server.

use std::sync::Arc;

use ananke_core::name::Kind;
use ananke_core::observation::{
    ApiHealth, CoordinationState, EndpointsState, FluxState, IngressState, JobState, LonghornState, NodeState, PodState,
    StorageState, WorkloadState,
};
use ananke_core::port::{ClusterReads, ErrorKind, PortError};
use async_trait::async_trait;
use serde::de::DeserializeOwned;

use crate::connect::KubeCluster;
use crate::error;
use crate::flux_api::FluxApi;
use crate::translate::namespace::{self, Namespace, Version};
use crate::translate::{coordination, endpoints, flux, ingress, job, node, order, pod, storage, workload};

#[async_trait]
impl ClusterReads for KubeCluster {
    async fn health(&self) -> Result<ApiHealth, PortError> {
        const TRIED: &str = "read namespace kube-system";
        // A GET without a resourceVersion is answered by the store's quorum, not from the server's cache.
        let read = self.get::<Namespace>(TRIED, "/api/v1/namespaces/kube-system");
        // The version needs no store: whoever answers it and not the others has one that is ill.
        let version = self.get::<Version>("read the version", "/version");
        let store = async { tokio::try_join!(read, self.dry_run()) };
        let (version, stored) = tokio::join!(version, store);
        let version = version?;
        let (namespace, ()) = stored.map_err(error::blame_the_store)?;
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

    async fn storage(&self) -> Result<Arc<StorageState>, PortError> {
        let (csi_nodes, attachments, claims, longhorn) = tokio::try_join!(
            self.list("list csinodes", "/apis/storage.k8s.io/v1/csinodes", "", storage::csi_node),
            self.list("list volumeattachments", "/apis/storage.k8s.io/v1/volumeattachments", "", storage::attachment),
            self.list("list persistentvolumeclaims", "/api/v1/persistentvolumeclaims", "", storage::claim),
            self.longhorn(),
        )?;
        Ok(Arc::new(StorageState { csi_nodes, attachments, claims, longhorn }))
    }

    async fn endpoints(&self) -> Result<Arc<Vec<EndpointsState>>, PortError> {
        let (services, slices) = tokio::try_join!(
            self.list("list services", "/api/v1/services", "", endpoints::service),
            self.list("list endpointslices", "/apis/discovery.k8s.io/v1/endpointslices", "", endpoints::slice),
        )?;
        Ok(Arc::new(endpoints::join(services, slices)))
    }

    async fn jobs(&self) -> Result<Arc<Vec<JobState>>, PortError> {
        self.list("list jobs", "/apis/batch/v1/jobs", "", job::job).await.map(Arc::new)
    }

    async fn coordination(&self) -> Result<Option<CoordinationState>, PortError> {
        const TRIED: &str = "read the coordination Lease";
        match self.get(TRIED, &coordination::path()).await {
            Ok(lease) => coordination::state(lease).map(Some).map_err(|why| error::nonsense(TRIED, &self.server, why)),
            Err(error) if error.kind == ErrorKind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl KubeCluster {
    /// `None` where the cluster serves no Longhorn at all; Longhorn that cannot be read is an error.
    async fn longhorn(&self) -> Result<Option<LonghornState>, PortError> {
        match self.get::<serde::de::IgnoredAny>("discover Longhorn", "/apis/longhorn.io").await {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::Missing => return Ok(None),
            Err(error) => return Err(error),
        }
        let (nodes, volumes) = tokio::try_join!(
            self.list("list Longhorn's nodes", "/apis/longhorn.io/v1beta2/nodes", "", storage::longhorn_node),
            self.list("list Longhorn's volumes", "/apis/longhorn.io/v1beta2/volumes", "", storage::longhorn_volume),
        )?;
        Ok(Some(LonghornState { nodes, volumes }))
    }

    async fn dry_run(&self) -> Result<(), PortError> {
        match self.send(&order::dry_run(&self.server)).await {
            // The store looked and found one by that name, which is all that was asked of it.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(()),
            other => other,
        }
    }

    async fn flux_objects(&self, api: &FluxApi) -> Result<FluxState, PortError> {
        let (mut sources, oci, buckets, kustomizations, helm_releases) = tokio::try_join!(
            self.flux_list("list gitrepositories", api, Kind::GitRepository, flux::git_repository),
            self.flux_list("list ocirepositories", api, Kind::OCIRepository, flux::oci_repository),
            self.flux_list("list buckets", api, Kind::Bucket, flux::bucket),
            self.flux_list("list kustomizations", api, Kind::Kustomization, flux::kustomization),
            self.flux_list("list helmreleases", api, Kind::HelmRelease, flux::helm_release),
        )?;
        sources.extend(oci);
        sources.extend(buckets);
        Ok(FluxState { sources, kustomizations, helm_releases })
    }

    /// Empty where the kind is not served.
    async fn flux_list<I: DeserializeOwned, T>(
        &self,
        tried: &str,
        api: &FluxApi,
        kind: Kind,
        take: fn(I) -> Result<Option<T>, String>,
    ) -> Result<Vec<T>, PortError> {
        match api.collection(kind) {
            Some((version, plural)) => self.list(tried, &format!("/apis/{version}/{plural}"), "", take).await,
            None => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;
