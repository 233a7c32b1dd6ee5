//! What is read from where: the collections of the API, and how one object of each becomes a fact.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use ananke_core::name::{Kind, Moment, ObjectRef, Texts};
use ananke_core::observation::{
    ApiServiceState, AttachmentState, CephState, ClaimState, CsiNodeState, EventState, HelmReleaseState, IngressState, JobState,
    KustomizationState, LeaderState, LonghornNode, LonghornVolume, NodeState, PodState, SourceState, WebhookState, WorkloadState,
};

use crate::flux_api::FluxApi;
use crate::translate::coordination::{self, Lease};
use crate::translate::endpoints::{self, EndpointSlice, Service};
use crate::translate::event::{self, Event};
use crate::translate::extensions::{self, ApiService, WebhookConfiguration};
use crate::translate::flux::{self, HelmRelease, Kustomization, Source};
use crate::translate::ingress::{self, Ingress};
use crate::translate::job::{self, Job};
use crate::translate::namespace::{self, Namespace};
use crate::translate::node::{self, Node, NodeLease};
use crate::translate::pod::{self, Pod};
use crate::translate::storage::{self, Ceph, Claim, CsiNode, LhNode, LhVolume, VolumeAttachment};
use crate::translate::workload::{self, DaemonSet, Replicated};

/// All objects of one kind. `I` has the fields that are read of an object, `T` is what is kept of it.
pub(crate) struct Collection<I, T> {
    pub(crate) tried: &'static str,
    pub(crate) path: Cow<'static, str>,
    /// A field selector; empty: all objects.
    pub(crate) selector: &'static str,
    /// `None` for an object that does not matter.
    pub(crate) take: fn(I) -> Result<Option<T>, String>,
    /// Takes texts that other facts have too from there: for the kinds of which a large cluster has many.
    share: fn(&mut T, &mut Texts),
}

impl<I, T> Clone for Collection<I, T> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), ..*self }
    }
}

impl<I, T> Collection<I, T> {
    pub(crate) const fn new(tried: &'static str, path: &'static str, take: fn(I) -> Result<Option<T>, String>) -> Self {
        Self { tried, path: Cow::Borrowed(path), selector: "", take, share: |_, _| () }
    }

    pub(crate) fn at(tried: &'static str, path: String, take: fn(I) -> Result<Option<T>, String>) -> Self {
        Self { tried, path: Cow::Owned(path), selector: "", take, share: |_, _| () }
    }

    /// What is kept of an object; `None` if it does not matter.
    pub(crate) fn fact(&self, of: I, texts: &Mutex<Texts>) -> Result<Option<T>, String> {
        let mut fact = (self.take)(of)?;
        if let Some(fact) = &mut fact {
            (self.share)(fact, &mut texts.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(fact)
    }

    /// None where the cluster does not serve the kind.
    fn of_flux(tried: &'static str, api: &FluxApi, kind: Kind, take: fn(I) -> Result<Option<T>, String>) -> Option<Self> {
        let (version, plural) = api.collection(kind)?;
        Some(Self::at(tried, format!("/apis/{version}/{plural}"), take))
    }
}

pub(crate) static NODES: Collection<Node, NodeState> = Collection::new("list nodes", "/api/v1/nodes", node::node);
pub(crate) static NODE_LEASES: Collection<NodeLease, (String, Moment)> =
    Collection::new("list node leases", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", node::lease);
pub(crate) static DEPLOYMENTS: Collection<Replicated, WorkloadState> =
    Collection::new("list deployments", "/apis/apps/v1/deployments", workload::deployment);
pub(crate) static STATEFUL_SETS: Collection<Replicated, WorkloadState> =
    Collection::new("list statefulsets", "/apis/apps/v1/statefulsets", workload::stateful_set);
pub(crate) static DAEMON_SETS: Collection<DaemonSet, WorkloadState> =
    Collection::new("list daemonsets", "/apis/apps/v1/daemonsets", workload::daemon_set);
pub(crate) static PODS: Collection<Pod, PodState> = Collection {
    tried: "list pods",
    path: Cow::Borrowed("/api/v1/pods"),
    selector: pod::SELECTOR,
    take: pod::pod,
    share: pod::share,
};
pub(crate) static ENDED_PODS: Collection<Pod, PodState> = Collection {
    tried: "list ended pods",
    path: Cow::Borrowed("/api/v1/pods"),
    selector: pod::ENDED,
    take: pod::ended,
    share: pod::share,
};
pub(crate) static INGRESSES: Collection<Ingress, IngressState> =
    Collection::new("list ingresses", "/apis/networking.k8s.io/v1/ingresses", ingress::ingress);
pub(crate) static NAMESPACES: Collection<Namespace, Arc<str>> =
    Collection::new("list namespaces", "/api/v1/namespaces", namespace::name);
pub(crate) static CSI_NODES: Collection<CsiNode, CsiNodeState> =
    Collection::new("list csinodes", "/apis/storage.k8s.io/v1/csinodes", storage::csi_node);
pub(crate) static ATTACHMENTS: Collection<VolumeAttachment, AttachmentState> =
    Collection::new("list volumeattachments", "/apis/storage.k8s.io/v1/volumeattachments", storage::attachment);
pub(crate) static CLAIMS: Collection<Claim, ClaimState> =
    Collection::new("list persistentvolumeclaims", "/api/v1/persistentvolumeclaims", storage::claim);
pub(crate) static SERVICES: Collection<Service, (ObjectRef, bool)> =
    Collection::new("list services", "/api/v1/services", endpoints::service);
pub(crate) static ENDPOINT_SLICES: Collection<EndpointSlice, endpoints::Part> = Collection {
    tried: "list endpointslices",
    path: Cow::Borrowed("/apis/discovery.k8s.io/v1/endpointslices"),
    selector: "",
    take: endpoints::slice,
    share: endpoints::Part::share,
};
pub(crate) static EVENTS: Collection<Event, EventState> = Collection {
    tried: "list events",
    path: Cow::Borrowed("/api/v1/events"),
    selector: event::SELECTOR,
    take: event::event,
    share: |_, _| (),
};
/// Those of kubelets are read with the nodes.
pub(crate) static LEADERS: Collection<Lease, LeaderState> = Collection {
    tried: "list leases",
    path: Cow::Borrowed("/apis/coordination.k8s.io/v1/leases"),
    selector: coordination::LEADERS,
    take: coordination::leader,
    share: |_, _| (),
};
pub(crate) static JOBS: Collection<Job, JobState> = Collection::new("list jobs", "/apis/batch/v1/jobs", job::job);

pub(crate) static VALIDATING_WEBHOOKS: Collection<WebhookConfiguration, Vec<WebhookState>> = Collection::new(
    "list validating webhooks",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    extensions::webhooks,
);
pub(crate) static MUTATING_WEBHOOKS: Collection<WebhookConfiguration, Vec<WebhookState>> = Collection::new(
    "list mutating webhooks",
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    extensions::webhooks,
);
pub(crate) static API_SERVICES: Collection<ApiService, ApiServiceState> =
    Collection::new("list APIServices", "/apis/apiregistration.k8s.io/v1/apiservices", extensions::api_service);

/// Longhorn's kinds, under the version that is served.
pub(crate) struct LonghornCollections {
    pub(crate) nodes: Collection<LhNode, LonghornNode>,
    pub(crate) volumes: Collection<LhVolume, LonghornVolume>,
}

impl LonghornCollections {
    pub(crate) fn of(version: &str) -> Self {
        Self {
            nodes: Collection::at("list Longhorn's nodes", format!("/apis/{version}/nodes"), storage::longhorn_node),
            volumes: Collection::at("list Longhorn's volumes", format!("/apis/{version}/volumes"), storage::longhorn_volume),
        }
    }
}

/// Rook's CephClusters, under the version that is served.
pub(crate) fn ceph(version: &str) -> Collection<Ceph, CephState> {
    Collection::at("list CephClusters", format!("/apis/{version}/cephclusters"), storage::ceph)
}

/// Flux's kinds, under the versions that are served; none where a kind is not.
pub(crate) struct FluxCollections {
    pub(crate) git_repositories: Option<Collection<Source, SourceState>>,
    pub(crate) oci_repositories: Option<Collection<Source, SourceState>>,
    pub(crate) buckets: Option<Collection<Source, SourceState>>,
    pub(crate) kustomizations: Option<Collection<Kustomization, KustomizationState>>,
    pub(crate) helm_releases: Option<Collection<HelmRelease, HelmReleaseState>>,
}

impl FluxCollections {
    pub(crate) fn of(api: &FluxApi) -> Self {
        Self {
            git_repositories: Collection::of_flux("list gitrepositories", api, Kind::GitRepository, flux::git_repository),
            oci_repositories: Collection::of_flux("list ocirepositories", api, Kind::OCIRepository, flux::oci_repository),
            buckets: Collection::of_flux("list buckets", api, Kind::Bucket, flux::bucket),
            kustomizations: Collection::of_flux("list kustomizations", api, Kind::Kustomization, flux::kustomization),
            helm_releases: Collection::of_flux("list helmreleases", api, Kind::HelmRelease, flux::helm_release),
        }
    }
}

/// The collection that is written to at `path`, as it is listed over all namespaces; none for other paths.
pub(crate) fn collection_of(path: &str) -> Option<String> {
    let path = path.split('?').next()?.strip_prefix('/')?;
    let mut parts = path.split('/');
    let version = match parts.next()? {
        "api" => format!("/api/{}", parts.next()?),
        "apis" => format!("/apis/{}/{}", parts.next()?, parts.next()?),
        _ => return None,
    };
    let rest: Vec<&str> = parts.collect();
    match rest.as_slice() {
        ["namespaces", _, plural, ..] | [plural, ..] => Some(format!("{version}/{plural}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_belongs_to_the_collection_that_is_watched() {
        let check = |path: &str| collection_of(path).unwrap_or_default();
        assert_eq!(check("/api/v1/nodes/titan-01?fieldManager=ananke"), NODES.path);
        assert_eq!(check("/apis/apps/v1/namespaces/apps/deployments/web/scale"), DEPLOYMENTS.path);
        assert_eq!(check("/api/v1/namespaces/apps/pods/web-0"), PODS.path);
        assert_eq!(check("/api/v1/namespaces/apps"), NAMESPACES.path);
        assert_eq!(check("/apis/batch/v1/namespaces/apps/jobs?fieldManager=ananke"), JOBS.path);
        assert_eq!(check("/version"), "");
    }
}
