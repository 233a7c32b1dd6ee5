//! The port [`ClusterReads`] on a real API server.

use std::sync::Arc;

use ananke_core::name::Uid;
use ananke_core::observation::{
    ApiHealth, CephState, CoordinationState, EndpointsState, EventState, ExtensionsState, FluxState, IngressState, JobState,
    LeaderState, LonghornState, NodeState, PodState, StorageState, WorkloadState,
};
use ananke_core::port::{ClusterReads, ErrorKind, PortError};
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::collection::{
    self, API_SERVICES, ATTACHMENTS, CLAIMS, CSI_NODES, Collection, DAEMON_SETS, DEPLOYMENTS, ENDED_PODS, ENDPOINT_SLICES,
    EVENTS, FluxCollections, INGRESSES, JOBS, LEADERS, LonghornCollections, MUTATING_WEBHOOKS, NAMESPACES, NODE_LEASES, NODES,
    PODS, SERVICES, STATEFUL_SETS, VALIDATING_WEBHOOKS,
};
use crate::connect::KubeCluster;
use crate::error;
use crate::flux_api::FluxApi;
use crate::translate::namespace::{self, Namespace, Version};
use crate::translate::{coordination, endpoints, node, order};

#[async_trait]
impl ClusterReads for KubeCluster {
    async fn health(&self) -> Result<ApiHealth, PortError> {
        let (asked, begun) = (self.asked(), Instant::now());
        let health = match self.at(&asked).look().await {
            Err(error) if error::may_be_of_one_server(&error) => match self.turn_from(&asked, begun, &error).await {
                Ok(()) => self.at(&self.asked()).look().await?,
                // What a server says tells more than that another one was not reached.
                Err(Some(word)) if error::is_of_the_way(&error) && !error::is_of_the_way(&word) => return Err(word),
                Err(_) => return Err(error),
            },
            looked => looked?,
        };
        self.servers.is_of(&health.cluster_uid);
        Ok(health)
    }

    async fn nodes(&self) -> Result<Arc<Vec<NodeState>>, PortError> {
        let nodes = self.list(&NODES);
        let leases = self.list(&NODE_LEASES);
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
        let (mut all, stateful, daemons) =
            tokio::try_join!(self.list(&DEPLOYMENTS), self.list(&STATEFUL_SETS), self.list(&DAEMON_SETS),)?;
        all.extend(stateful);
        all.extend(daemons);
        Ok(Arc::new(all))
    }

    async fn pods(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        self.list(&PODS).await.map(Arc::new)
    }

    async fn ingresses(&self) -> Result<Arc<Vec<IngressState>>, PortError> {
        self.list(&INGRESSES).await.map(Arc::new)
    }

    async fn namespaces(&self) -> Result<Arc<Vec<Arc<str>>>, PortError> {
        self.list(&NAMESPACES).await.map(Arc::new)
    }

    async fn storage(&self) -> Result<Arc<StorageState>, PortError> {
        let (csi_nodes, attachments, claims, longhorn, ceph) =
            tokio::try_join!(self.list(&CSI_NODES), self.list(&ATTACHMENTS), self.list(&CLAIMS), self.longhorn(), self.ceph())?;
        Ok(Arc::new(StorageState { csi_nodes, attachments, claims, longhorn, ceph }))
    }

    async fn endpoints(&self) -> Result<Arc<Vec<EndpointsState>>, PortError> {
        let (services, slices) = tokio::try_join!(self.list(&SERVICES), self.list(&ENDPOINT_SLICES),)?;
        Ok(Arc::new(endpoints::join(services, slices)))
    }

    async fn jobs(&self) -> Result<Arc<Vec<JobState>>, PortError> {
        self.list(&JOBS).await.map(Arc::new)
    }

    async fn extensions(&self) -> Result<Arc<ExtensionsState>, PortError> {
        let (validating, mutating, api_services) =
            tokio::try_join!(self.list(&VALIDATING_WEBHOOKS), self.list(&MUTATING_WEBHOOKS), self.list(&API_SERVICES))?;
        Ok(Arc::new(ExtensionsState { webhooks: [validating, mutating].concat().concat(), api_services }))
    }

    async fn events(&self) -> Result<Arc<Vec<EventState>>, PortError> {
        self.list(&EVENTS).await.map(Arc::new)
    }

    async fn ended(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        self.list(&ENDED_PODS).await.map(Arc::new)
    }

    async fn leaders(&self) -> Result<Arc<Vec<LeaderState>>, PortError> {
        self.list(&LEADERS).await.map(Arc::new)
    }

    async fn coordination(&self) -> Result<Option<CoordinationState>, PortError> {
        const TRIED: &str = "read the coordination Lease";
        match self.get(TRIED, &coordination::path()).await {
            Ok(lease) => coordination::state(lease).map(Some).map_err(|why| error::nonsense(TRIED, &self.server(), why)),
            Err(error) if error.kind == ErrorKind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl KubeCluster {
    /// One look at the server that is asked, and at no other.
    pub(crate) async fn look(&self) -> Result<ApiHealth, PortError> {
        let apart = self.apart();
        // The version needs no store: whoever answers it and not the others has one that is ill.
        let version = apart.get_once::<Version>("read the version", "/version");
        let store = async { Ok(tokio::join!(apart.stored(), apart.dry_run())) };
        let (version, (stored, written)) = tokio::try_join!(version, store)?;
        // Where both fail, the read tells why, for it asks for the least; silence tells less than any word.
        let cluster_uid = match (stored, &written) {
            (Err(read), Err(write)) if error::is_silence(&read) && !error::is_silence(write) => return Err(write.clone()),
            (read, _) => read.map_err(error::blame_the_store)?,
        };
        // A write that is silent beside it is held by a webhook.
        written.map_err(|error| if error::is_silence(&error) { error::blame_admission(error) } else { error })?;
        Ok(ApiHealth { cluster_uid, version: version.git_version })
    }

    /// The half of it that needs no right to write and asks no webhook.
    pub(crate) async fn quorum_read(&self) -> Result<ApiHealth, PortError> {
        let apart = self.apart();
        let version = apart.get_once::<Version>("read the version", "/version");
        let store = async { Ok(apart.stored().await) };
        let (version, stored) = tokio::try_join!(version, store)?;
        Ok(ApiHealth { cluster_uid: stored.map_err(error::blame_the_store)?, version: version.git_version })
    }

    /// The UID of the cluster. A GET without a resourceVersion is answered by the store's quorum, not from the server's cache.
    async fn stored(&self) -> Result<Uid, PortError> {
        const TRIED: &str = "read namespace kube-system";
        let namespace = self.get_once::<Namespace>(TRIED, "/api/v1/namespaces/kube-system").await?;
        namespace::uid(&namespace).map_err(|why| error::nonsense(TRIED, &self.server(), why))
    }

    /// `None` where the cluster serves no Longhorn at all; Longhorn that cannot be read is an error.
    async fn longhorn(&self) -> Result<Option<LonghornState>, PortError> {
        let Some(of) = self.longhorn_collections().await? else { return Ok(None) };
        let (nodes, volumes) = tokio::try_join!(self.list(&of.nodes), self.list(&of.volumes))?;
        Ok(Some(LonghornState { nodes, volumes }))
    }

    /// Empty where the cluster serves no Rook.
    pub(crate) async fn ceph(&self) -> Result<Vec<CephState>, PortError> {
        let served = self.versions_of("discover Rook", ("ceph.rook.io", &["cephclusters"])).await?;
        match served.get("cephclusters") {
            Some(version) => self.list(&collection::ceph(version)).await,
            None => Ok(Vec::new()),
        }
    }

    async fn dry_run(&self) -> Result<(), PortError> {
        match self.send(&order::dry_run(&self.server())).await {
            // The store looked and found one by that name, which is all that was asked of it.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(()),
            // It came through to a webhook. Which one that is, and what it blocks, the gates say.
            Err(error) if error::is_of_a_webhook(&error) => Ok(()),
            // It was judged: what a policy has against this Lease says nothing of the server. Of the store the read tells.
            Err(error) if error::is_of_admission(&error) => Ok(()),
            other => other,
        }
    }

    pub(crate) async fn longhorn_collections(&self) -> Result<Option<LonghornCollections>, PortError> {
        const KINDS: &[&str] = &["nodes", "volumes"];
        let served = self.versions_of("discover Longhorn", ("longhorn.io", KINDS)).await?;
        Ok(served
            .get("volumes")
            .filter(|version| served.get("nodes") == Some(version))
            .map(|version| LonghornCollections::of(version)))
    }

    async fn flux_objects(&self, api: &FluxApi) -> Result<FluxState, PortError> {
        let of = FluxCollections::of(api);
        let (mut sources, oci, buckets, kustomizations, helm_releases) = tokio::try_join!(
            self.list_served(&of.git_repositories),
            self.list_served(&of.oci_repositories),
            self.list_served(&of.buckets),
            self.list_served(&of.kustomizations),
            self.list_served(&of.helm_releases),
        )?;
        sources.extend(oci);
        sources.extend(buckets);
        Ok(FluxState { sources, kustomizations, helm_releases })
    }

    async fn list_served<I: DeserializeOwned, T>(&self, from: &Option<Collection<I, T>>) -> Result<Vec<T>, PortError> {
        match from {
            Some(from) => self.list(from).await,
            None => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;
