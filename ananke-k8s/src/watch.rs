//! The port [`ClusterReads`] for a run: each part is listed once and then watched, so that reading it again costs nothing and
//! a change is told as it comes. A single look needs none of this and asks [`KubeCluster`] itself.
//!
//! A part is watched from its first read on, and all watches end when this is dropped. The facts are those of the lists:
//! same translation, same errors. Health and the coordination Lease are asked for each time: one proves that the store
//! answers, which no watch can, the other is one small object.

mod backoff;
mod changes;
mod quiet;
mod reflector;
mod store;
mod stream;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ananke_core::name::{Moment, ObjectRef};
use ananke_core::observation::{
    ApiHealth, ApiServiceState, AttachmentState, ClaimState, CoordinationState, CsiNodeState, EndpointsState, EventState,
    ExtensionsState, FluxState, HelmReleaseState, IngressState, JobState, KustomizationState, LeaderState, LonghornNode,
    LonghornState, LonghornVolume, NodeState, PodState, SourceState, StorageState, WebhookState, WorkloadState,
};
use ananke_core::port::{ClusterPart, ClusterReads, ErrorKind, PortError};
use async_trait::async_trait;

use crate::collection::{
    API_SERVICES, ATTACHMENTS, CLAIMS, CSI_NODES, Collection, DAEMON_SETS, DEPLOYMENTS, ENDPOINT_SLICES, FluxCollections,
    INGRESSES, JOBS, LonghornCollections, MUTATING_WEBHOOKS, NAMESPACES, NODE_LEASES, NODES, PODS, SERVICES, STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
};
use crate::connect::KubeCluster;
use crate::flux_api::FluxApi;
use crate::translate::endpoints::{self, EndpointSlice, Part, Service};
use crate::translate::extensions::{ApiService, WebhookConfiguration};
use crate::translate::flux::{HelmRelease, Kustomization, Source};
use crate::translate::ingress::Ingress;
use crate::translate::job::Job;
use crate::translate::namespace::Namespace;
use crate::translate::node::{self, Node, NodeLease};
use crate::translate::pod::Pod;
use crate::translate::storage::{Claim, CsiNode, LhNode, LhVolume, VolumeAttachment};
use crate::translate::workload::{DaemonSet, Replicated};
use changes::Changes;
use reflector::{Answer, Kept, Object, Reflector};

/// [`ClusterReads`] over watches. Needs a tokio runtime, on which the watches run.
pub struct WatchedCluster {
    cluster: KubeCluster,
    changes: Arc<Changes>,
    nodes: Reflector<Node, NodeState>,
    leases: Reflector<NodeLease, (String, Moment)>,
    joined_nodes: Joined<Vec<NodeState>>,
    deployments: Reflector<Replicated, WorkloadState>,
    stateful_sets: Reflector<Replicated, WorkloadState>,
    daemon_sets: Reflector<DaemonSet, WorkloadState>,
    joined_workloads: Joined<Vec<WorkloadState>>,
    pods: Reflector<Pod, PodState>,
    ingresses: Reflector<Ingress, IngressState>,
    namespaces: Reflector<Namespace, Arc<str>>,
    csi_nodes: Reflector<CsiNode, CsiNodeState>,
    attachments: Reflector<VolumeAttachment, AttachmentState>,
    claims: Reflector<Claim, ClaimState>,
    longhorn: Mutex<Option<Arc<WatchedLonghorn>>>,
    services: Reflector<Service, (ObjectRef, bool)>,
    slices: Reflector<EndpointSlice, Part>,
    joined_endpoints: Joined<Vec<EndpointsState>>,
    jobs: Reflector<Job, JobState>,
    webhooks: [Reflector<WebhookConfiguration, Vec<WebhookState>>; 2],
    api_services: Reflector<ApiService, ApiServiceState>,
    joined_extensions: Joined<ExtensionsState>,
    flux: Mutex<Option<Arc<WatchedFlux>>>,
}

impl std::fmt::Debug for WatchedCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchedCluster").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl WatchedCluster {
    /// Sends nothing yet, so it works while the cluster is down. Writes through clones of `cluster` are shown by every read
    /// that begins after them.
    pub fn new(cluster: KubeCluster) -> Self {
        let changes = Arc::new(Changes::default());
        let of = Begin { cluster: &cluster, changes: &changes };
        Self {
            nodes: of.watch(&NODES, ClusterPart::Nodes),
            leases: of.watch(&NODE_LEASES, ClusterPart::Nodes),
            joined_nodes: Joined::default(),
            deployments: of.watch(&DEPLOYMENTS, ClusterPart::Workloads),
            stateful_sets: of.watch(&STATEFUL_SETS, ClusterPart::Workloads),
            daemon_sets: of.watch(&DAEMON_SETS, ClusterPart::Workloads),
            joined_workloads: Joined::default(),
            pods: of.watch(&PODS, ClusterPart::Pods),
            ingresses: of.watch(&INGRESSES, ClusterPart::Ingresses),
            namespaces: of.watch(&NAMESPACES, ClusterPart::Namespaces),
            csi_nodes: of.watch(&CSI_NODES, ClusterPart::Storage),
            attachments: of.watch(&ATTACHMENTS, ClusterPart::Storage),
            claims: of.watch(&CLAIMS, ClusterPart::Storage),
            longhorn: Mutex::default(),
            services: of.watch(&SERVICES, ClusterPart::Endpoints),
            slices: of.watch(&ENDPOINT_SLICES, ClusterPart::Endpoints),
            joined_endpoints: Joined::default(),
            jobs: of.watch(&JOBS, ClusterPart::Jobs),
            webhooks: [&VALIDATING_WEBHOOKS, &MUTATING_WEBHOOKS].map(|from| of.watch(from, ClusterPart::Extensions)),
            api_services: of.watch(&API_SERVICES, ClusterPart::Extensions),
            joined_extensions: Joined::default(),
            flux: Mutex::default(),
            changes,
            cluster,
        }
    }

    fn begin(&self) -> Begin<'_> {
        Begin { cluster: &self.cluster, changes: &self.changes }
    }

    /// The watches of Flux's kinds as they are served now.
    fn watched_flux(&self, api: FluxApi) -> Arc<WatchedFlux> {
        let mut known = lock(&self.flux);
        match known.as_ref().filter(|watched| watched.api == api) {
            Some(watched) => Arc::clone(watched),
            None => Arc::clone(known.insert(Arc::new(WatchedFlux::new(self.begin(), api)))),
        }
    }

    /// `None` where the cluster serves no Longhorn at all. An absence is never remembered.
    async fn longhorn(&self) -> Result<Option<LonghornState>, PortError> {
        let known = lock(&self.longhorn).clone();
        let watched = match known {
            Some(known) => known,
            None => {
                let Some(served) = self.cluster.longhorn_collections().await? else { return Ok(None) };
                Arc::clone(lock(&self.longhorn).get_or_insert_with(|| Arc::new(WatchedLonghorn::new(self.begin(), &served))))
            }
        };
        let read = tokio::try_join!(watched.nodes.read(), watched.volumes.read());
        if read.as_ref().is_err_and(|error| error.kind == ErrorKind::Missing) {
            *lock(&self.longhorn) = None;
        }
        let (nodes, volumes) = read?;
        Ok(Some(LonghornState { nodes: nodes.items.to_vec(), volumes: volumes.items.to_vec() }))
    }
}

#[async_trait]
impl ClusterReads for WatchedCluster {
    async fn health(&self) -> Result<ApiHealth, PortError> {
        self.cluster.health().await
    }

    async fn nodes(&self) -> Result<Arc<Vec<NodeState>>, PortError> {
        let (nodes, leases) = tokio::try_join!(self.nodes.read(), self.leases.read())?;
        let revisions = [nodes.revision, leases.revision];
        Ok(self.joined_nodes.of(&revisions, || node::join(nodes.items.to_vec(), leases.items.to_vec())))
    }

    async fn flux(&self) -> Result<Arc<Option<FluxState>>, PortError> {
        let Some(api) = self.cluster.flux_api().await? else {
            *lock(&self.flux) = None;
            return Ok(Arc::new(None));
        };
        let watched = self.watched_flux(api);
        let read = watched.read().await;
        if read.as_ref().is_err_and(|error| error.kind == ErrorKind::Missing) {
            self.cluster.forget_flux_api();
            *lock(&self.flux) = None;
        }
        read
    }

    async fn workloads(&self) -> Result<Arc<Vec<WorkloadState>>, PortError> {
        let (deployments, stateful, daemons) =
            tokio::try_join!(self.deployments.read(), self.stateful_sets.read(), self.daemon_sets.read())?;
        let revisions = [deployments.revision, stateful.revision, daemons.revision];
        let all = || [&deployments, &stateful, &daemons].into_iter().flat_map(|of| of.items.iter().cloned()).collect();
        Ok(self.joined_workloads.of(&revisions, all))
    }

    async fn pods(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        Ok(self.pods.read().await?.items)
    }

    async fn ingresses(&self) -> Result<Arc<Vec<IngressState>>, PortError> {
        Ok(self.ingresses.read().await?.items)
    }

    async fn namespaces(&self) -> Result<Arc<Vec<Arc<str>>>, PortError> {
        Ok(self.namespaces.read().await?.items)
    }

    async fn storage(&self) -> Result<Arc<StorageState>, PortError> {
        // There is one CephCluster at most in most clusters, and its status is not often asked for.
        let (csi_nodes, attachments, claims, longhorn, ceph) = tokio::try_join!(
            self.csi_nodes.read(),
            self.attachments.read(),
            self.claims.read(),
            self.longhorn(),
            self.cluster.ceph()
        )?;
        Ok(Arc::new(StorageState {
            csi_nodes: csi_nodes.items.to_vec(),
            attachments: attachments.items.to_vec(),
            claims: claims.items.to_vec(),
            longhorn,
            ceph,
        }))
    }

    async fn endpoints(&self) -> Result<Arc<Vec<EndpointsState>>, PortError> {
        let (services, slices) = tokio::try_join!(self.services.read(), self.slices.read())?;
        let revisions = [services.revision, slices.revision];
        Ok(self.joined_endpoints.of(&revisions, || endpoints::join(services.items.to_vec(), slices.items.to_vec())))
    }

    async fn jobs(&self) -> Result<Arc<Vec<JobState>>, PortError> {
        Ok(self.jobs.read().await?.items)
    }

    async fn extensions(&self) -> Result<Arc<ExtensionsState>, PortError> {
        let [validating, mutating] = &self.webhooks;
        let (validating, mutating, api_services) =
            tokio::try_join!(validating.read(), mutating.read(), self.api_services.read())?;
        let revisions = [validating.revision, mutating.revision, api_services.revision];
        Ok(self.joined_extensions.of(&revisions, || ExtensionsState {
            webhooks: [validating.items.concat(), mutating.items.concat()].concat(),
            api_services: api_services.items.to_vec(),
        }))
    }

    async fn events(&self) -> Result<Arc<Vec<EventState>>, PortError> {
        self.cluster.events().await
    }

    async fn ended(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        self.cluster.ended().await
    }

    async fn leaders(&self) -> Result<Arc<Vec<LeaderState>>, PortError> {
        self.cluster.leaders().await
    }

    async fn coordination(&self) -> Result<Option<CoordinationState>, PortError> {
        self.cluster.coordination().await
    }

    async fn changed(&self) -> Vec<ClusterPart> {
        self.changes.next().await
    }
}

/// What a new watch needs to know.
#[derive(Clone, Copy)]
struct Begin<'a> {
    cluster: &'a KubeCluster,
    changes: &'a Arc<Changes>,
}

impl Begin<'_> {
    fn watch<I: Object, T: Kept>(self, from: &Collection<I, T>, part: ClusterPart) -> Reflector<I, T> {
        Reflector::new(self.cluster, from, part, self.changes)
    }
}

struct WatchedLonghorn {
    nodes: Reflector<LhNode, LonghornNode>,
    volumes: Reflector<LhVolume, LonghornVolume>,
}

impl WatchedLonghorn {
    fn new(of: Begin<'_>, served: &LonghornCollections) -> Self {
        let part = ClusterPart::Storage;
        Self { nodes: of.watch(&served.nodes, part), volumes: of.watch(&served.volumes, part) }
    }
}

/// Flux's kinds, none where one is not served.
struct WatchedFlux {
    api: FluxApi,
    sources: [Option<Reflector<Source, SourceState>>; 3],
    kustomizations: Option<Reflector<Kustomization, KustomizationState>>,
    helm_releases: Option<Reflector<HelmRelease, HelmReleaseState>>,
    joined: Joined<Option<FluxState>>,
}

impl WatchedFlux {
    fn new(of: Begin<'_>, api: FluxApi) -> Self {
        let FluxCollections { git_repositories, oci_repositories, buckets, kustomizations, helm_releases } =
            FluxCollections::of(&api);
        let part = ClusterPart::Flux;
        Self {
            sources: [git_repositories, oci_repositories, buckets].map(|from| from.map(|from| of.watch(&from, part))),
            kustomizations: kustomizations.map(|from| of.watch(&from, part)),
            helm_releases: helm_releases.map(|from| of.watch(&from, part)),
            joined: Joined::default(),
            api,
        }
    }

    async fn read(&self) -> Result<Arc<Option<FluxState>>, PortError> {
        let [git, oci, buckets] = &self.sources;
        let (git, oci, buckets, kustomizations, helm) = tokio::try_join!(
            served(git),
            served(oci),
            served(buckets),
            served(&self.kustomizations),
            served(&self.helm_releases),
        )?;
        let revisions = [git.revision, oci.revision, buckets.revision, kustomizations.revision, helm.revision];
        Ok(self.joined.of(&revisions, || {
            Some(FluxState {
                sources: [&git, &oci, &buckets].into_iter().flat_map(|of| of.items.iter().cloned()).collect(),
                kustomizations: kustomizations.items.to_vec(),
                helm_releases: helm.items.to_vec(),
            })
        }))
    }
}

async fn served<I: Object, T: Kept>(of: &Option<Reflector<I, T>>) -> Result<Answer<T>, PortError> {
    match of {
        Some(of) => of.read().await,
        None => Ok(Answer { items: Arc::default(), revision: 0 }),
    }
}

/// What was put together from several collections last: the very same as long as none of them changes.
struct Joined<T>(Mutex<Option<(Vec<u64>, Arc<T>)>>);

impl<T> Default for Joined<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Joined<T> {
    fn of(&self, revisions: &[u64], make: impl FnOnce() -> T) -> Arc<T> {
        let mut last = lock(&self.0);
        if let Some((of, made)) = last.as_ref()
            && of == revisions
        {
            return Arc::clone(made);
        }
        let made = Arc::new(make());
        *last = Some((revisions.to_vec(), Arc::clone(&made)));
        made
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
