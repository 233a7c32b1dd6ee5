//! What was seen: plain, serialisable data, each part with its time. Gates read nothing else.

mod nodes;
mod pod_index;
mod storage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::fact::Fact;
use crate::intent::Intent;
use crate::name::{BootId, HostPath, Moment, NodeName, ObjectRef, PackageName, ResourceVersion, Uid, UnitName};

pub use nodes::{Heartbeat, NodeState, NodeTrouble, Taint, Tri};
pub(crate) use pod_index::PodIndex;
pub use storage::{
    AttachmentState, CephState, ClaimState, CsiNodeState, LonghornNode, LonghornState, LonghornVolume, StorageState,
};

/// Everything Ananke knows at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Observation {
    pub intent: Fact<Option<Intent>>,
    pub ups: BTreeMap<Arc<str>, Fact<UpsReading>>,
    pub hosts: BTreeMap<NodeName, Fact<HostState>>,
    /// Nodes whose unit somebody stopped while Ananke looked; kept as answers come in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stopped: BTreeSet<NodeName>,
    pub api: Fact<ApiHealth>,
    pub nodes: Fact<Arc<Vec<NodeState>>>,
    /// Kubelet renewals as Ananke saw them advance, by node; kept by [`Observation::fold_nodes`].
    pub heartbeats: BTreeMap<NodeName, Heartbeat>,
    /// Nodes that are not Ready, and since when by our own looks; kept by [`Observation::fold_nodes`].
    #[serde(default)]
    pub unready: BTreeMap<NodeName, Moment>,
    /// Where each node stood in the newest list of nodes: a hint, so that thousands need not be searched for one.
    #[serde(skip)]
    places: BTreeMap<NodeName, usize>,
    pub flux: Fact<Arc<Option<FluxState>>>,
    pub workloads: Fact<Arc<Vec<WorkloadState>>>,
    /// Workloads that somebody scaled to zero while Ananke looked; kept as lists come in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lowered: BTreeSet<ObjectRef>,
    pub pods: Fact<Arc<Vec<PodState>>>,
    /// Of the newest list that was read.
    #[serde(skip)]
    pub(crate) pod_index: PodIndex,
    pub ingresses: Fact<Arc<Vec<IngressState>>>,
    pub namespaces: Fact<Arc<Vec<Arc<str>>>>,
    pub storage: Fact<Arc<StorageState>>,
    pub endpoints: Fact<Arc<Vec<EndpointsState>>>,
    pub jobs: Fact<Arc<Vec<JobState>>>,
    #[serde(default)]
    pub extensions: Fact<Arc<ExtensionsState>>,
    #[serde(default)]
    pub events: Fact<Arc<Vec<EventState>>>,
    /// Pods of workloads that have ended, and are kept.
    #[serde(default)]
    pub ended: Fact<Arc<Vec<PodState>>>,
    /// Leases by which the pods of a controller elect one of them.
    #[serde(default)]
    pub leaders: Fact<Arc<Vec<LeaderState>>>,
    /// The coordination Lease; `None` where there is none yet.
    pub coordination: Fact<Option<CoordinationState>>,
    /// Since when the coordination Lease is as it is, by our own looks; kept by [`Observation::fold_coordination`].
    #[serde(default)]
    pub coordination_seen: Option<CoordinationSeen>,
    /// What other Anankes want, by the name that the config has for them.
    pub peers: BTreeMap<Arc<str>, Fact<Option<Intent>>>,
    /// Snapshots of etcd on a server, by node.
    pub snapshots: BTreeMap<NodeName, Fact<Vec<SnapshotState>>>,
    pub vault: Fact<VaultState>,
    /// Whether this machine's clock follows a source; `None` where nothing on it tells.
    pub own_clock: Fact<Option<bool>>,
    /// What persons confirmed with their own eyes.
    pub confirmations: Fact<Vec<Confirmation>>,
    pub baseline: Fact<Option<Baseline>>,
    /// By [`crate::port::ProbeRequest::key`].
    pub probes: BTreeMap<Arc<str>, Fact<ProbeAnswer>>,
}

/// A host that authenticated and ran a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    pub boot_id: BootId,
    pub machine_id: String,
    /// How long the kernel has been up.
    pub uptime: Duration,
    /// The host's clock minus ours, in milliseconds, to about the time of one exchange.
    pub clock_skew_millis: i64,
    /// The unit of k3s or of the kubelet.
    pub unit: UnitState,
    pub health: HostHealth,
    pub leftovers: Leftovers,
    /// What its unit logged last, oldest first; empty while the unit is active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Arc<str>>,
}

impl HostState {
    /// A host that runs in step with us and lacks nothing.
    pub fn new(boot_id: BootId, machine_id: &str, uptime: Duration, unit: UnitState) -> Self {
        let (machine_id, health, leftovers) = (machine_id.to_owned(), HostHealth::default(), Leftovers::default());
        Self { boot_id, machine_id, uptime, clock_skew_millis: 0, unit, health, leftovers, words: Vec::new() }
    }
}

/// What is asked of a host beside its unit. What is missing is listed out of what [`crate::spec::HostNeeds`] asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostHealth {
    pub root_read_only: bool,
    /// Whether its clock follows a source; `None` where nothing on the host tells.
    pub clock_synced: Option<bool>,
    /// Not mounted, or mounted read-only.
    pub missing_mounts: Vec<HostPath>,
    pub missing_packages: Vec<PackageName>,
    /// Not active.
    pub missing_units: Vec<UnitName>,
    /// Active services that switch the host off by themselves, by what its UPS says: `nut-monitor`, `apcupsd`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<UnitName>,
    /// Of the data directories of Kubernetes and the required mounts; what the host could not tell is left out.
    #[serde(default)]
    pub space: Vec<DiskSpace>,
}

/// What is left of the file system that holds a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpace {
    pub path: HostPath,
    /// Of what accounts other than root may use; 0 to 100.
    pub free_percent: u8,
    /// None where the file system has no fixed number of inodes.
    pub free_inodes_percent: Option<u8>,
}

/// What a unit leaves running when it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Leftovers {
    /// `containerd-shim` processes of Kubernetes.
    pub shims: u32,
    /// Mounts of CSI volumes under the kubelet's directory.
    pub mounts: u32,
}

/// systemd's `ActiveState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    Active,
    Activating,
    Deactivating,
    Inactive,
    Failed,
    /// No such unit file.
    NotFound,
}

/// The API server answered a quorum read and took a dry-run write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiHealth {
    /// UID of the namespace `kube-system`: it names the cluster.
    pub cluster_uid: Uid,
    /// `gitVersion` as the server states it.
    pub version: String,
}

/// A Warning that a controller or a kubelet wrote down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventState {
    /// The object it is about; for a ReplicaSet the Deployment behind it.
    pub about: ObjectRef,
    /// `FailedMount`, `FailedCreatePodSandBox`, …
    pub reason: Arc<str>,
    pub message: Arc<str>,
    /// When it was last seen; it may be from before the outage.
    pub last: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FluxState {
    pub sources: Vec<SourceState>,
    pub kustomizations: Vec<KustomizationState>,
    /// Empty where the cluster serves no helm-controller API.
    pub helm_releases: Vec<HelmReleaseState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelmReleaseState {
    pub object: ObjectRef,
    pub version: ResourceVersion,
    pub depends_on: Vec<ObjectRef>,
    pub reconcile: Reconcile,
    /// As in [`KustomizationState::suspend_stamp`].
    pub suspend_stamp: Option<Arc<str>>,
    /// Reason and message of a `Stalled` condition that is true: helm-controller tries no more.
    pub stalled: Option<Arc<str>>,
    /// `spec.upgrade.remediation.strategy` is `uninstall`: one more failure could take what the release keeps.
    #[serde(default)]
    pub uninstalls: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    pub object: ObjectRef,
    pub version: ResourceVersion,
    pub url: Arc<str>,
    pub branch: Option<Arc<str>>,
    /// What outranks the branch (`name`, `tag`, `semver` or `commit`), as `field=value`.
    pub pinned: Option<Arc<str>>,
    pub reconcile: Reconcile,
    /// The annotation [`crate::order::URL_ANNOTATION`]: Ananke has it fetched from its mirror, and says where from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_from: Option<Arc<str>>,
    /// `status.artifact.revision`, e.g. `main@sha1:…`.
    pub revision: Option<Arc<str>>,
    /// `status.artifact.lastUpdateTime`.
    pub artifact_updated: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KustomizationState {
    pub object: ObjectRef,
    pub version: ResourceVersion,
    pub source: ObjectRef,
    pub depends_on: Vec<ObjectRef>,
    pub reconcile: Reconcile,
    pub applied_revision: Option<Arc<str>>,
    /// When the last reconciliation came to an end, if it succeeded, as `status.history` says; none where Flux keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_at: Option<Moment>,
    /// The annotation [`crate::order::SUSPENDED_ANNOTATION`]: Ananke suspended it, and says in which run.
    pub suspend_stamp: Option<Arc<str>>,
    /// Deployments, StatefulSets and DaemonSets in `status.inventory`: with `spec.wait` it is ready only when they are.
    pub workloads: Vec<ObjectRef>,
    /// Flux's own objects in `status.inventory`: sources whose branch it writes, HelmReleases that it waits for.
    pub applies: Vec<ObjectRef>,
}

/// What every Flux object says of its reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconcile {
    pub suspended: bool,
    pub generation: i64,
    pub observed_generation: i64,
    pub ready: Tri,
    pub reason: Arc<str>,
    pub message: Arc<str>,
    /// The annotation `reconcile.fluxcd.io/requestedAt`.
    pub requested_at: Option<Arc<str>>,
    /// `status.lastHandledReconcileAt`.
    pub handled_at: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadState {
    pub object: ObjectRef,
    pub version: ResourceVersion,
    /// `spec.replicas`; for a DaemonSet `status.desiredNumberScheduled`.
    pub desired: u32,
    pub ready: u32,
    pub updated: u32,
    pub generation: i64,
    pub observed_generation: i64,
    /// Registries that its images come from, as hosts: `registry.example.org`, `docker.io`.
    pub registries: Vec<Arc<str>>,
    /// The annotation [`crate::order::SCALED_ANNOTATION`], as a number.
    pub scaled_from: Option<u32>,
    /// The node that holds kured's lock, which its DaemonSet carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot_lock: Option<Arc<str>>,
    /// The HelmRelease whose chart it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ObjectRef>,
}

impl Observation {
    /// Notes whether the unit of a host that ran in this boot has been stopped. What ends by itself has failed, or is started
    /// again by systemd.
    pub(crate) fn note_stopped(&mut self, node: &NodeName, new: &HostState) {
        let before = self.hosts.get(node).and_then(Fact::last).filter(|before| before.boot_id == new.boot_id);
        let ran = before.is_some_and(|before| matches!(before.unit, UnitState::Active | UnitState::Activating));
        match new.unit {
            UnitState::Deactivating | UnitState::Inactive if ran => {
                self.stopped.insert(node.clone());
            }
            UnitState::Deactivating | UnitState::Inactive if before.is_some() => {}
            UnitState::Active
            | UnitState::Activating
            | UnitState::Failed
            | UnitState::NotFound
            | UnitState::Deactivating
            | UnitState::Inactive => {
                self.stopped.remove(node);
            }
        }
    }

    /// Notes which of a new list were at more than zero in the list before, and are not.
    pub(crate) fn note_lowered(&mut self, new: &[WorkloadState]) {
        let before = self.workloads.last().map(|list| list.as_slice()).unwrap_or_default();
        for (place, found) in new.iter().enumerate() {
            // From one list to the next, few come or go.
            let is_it = |was: &&WorkloadState| was.object == found.object;
            let was = || before.get(place).filter(is_it).or_else(|| before.iter().find(is_it));
            if found.desired > 0 {
                self.lowered.remove(&found.object);
            } else if was().is_some_and(|was| was.desired > 0) {
                self.lowered.insert(found.object.clone());
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodState {
    pub object: ObjectRef,
    pub uid: Uid,
    /// The workload that owns it, through its ReplicaSet where there is one; none for bare and static pods.
    pub owner: Option<ObjectRef>,
    pub node: Option<NodeName>,
    pub phase: PodPhase,
    pub ready: bool,
    /// Why it is not ready, in the words of the API: `CrashLoopBackOff`, `ImagePullBackOff`, `Unschedulable`, …; may be empty.
    pub reason: Arc<str>,
    /// When `deletionTimestamp` is set.
    pub deleting: bool,
    /// What is said beside [`Self::reason`], of a pod that is not ready: why a container waits or how it ended; may be empty.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub message: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Moment>,
    /// Claims of its namespace that it mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Arc<str>>,
    /// Static pods (`kubernetes.io/config.mirror`) live and die with their kubelet.
    pub mirror: bool,
    /// Nothing owns it: once it is deleted, nobody makes it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bare: bool,
    /// What a database's operator calls it (label `spilo-role`, `cnpg.io/instanceRole` or `role`): `master`, `primary`, `replica`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Arc<str>>,
}

impl PodState {
    /// A container of it ended, and waits for its next start.
    pub fn is_backing_off(&self) -> bool {
        self.reason.as_ref() == "CrashLoopBackOff"
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressState {
    pub object: ObjectRef,
    pub hosts: Vec<Arc<str>>,
    /// Hosts that `spec.tls` names.
    pub tls_hosts: Vec<Arc<str>>,
    /// Services of the same namespace that its rules lead to.
    pub services: Vec<Arc<str>>,
}

impl IngressState {
    pub fn answers_to(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

/// What [`crate::port::ProbeRequest::keep`] keeps of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProbeAnswer {
    pub status: u16,
    /// Where a redirect leads, without its query: states and nonces stand there.
    pub location: Option<String>,
    /// Of the headers that were asked for, by lower case name: the text that was looked for, where it stands there; else
    /// how the value begins.
    pub headers: BTreeMap<Arc<str>, String>,
    /// Texts that were looked for and do not stand in the body.
    pub missing: Vec<String>,
    /// How the body begins, where a text is missing in it.
    pub body: Option<String>,
}

/// The EndpointSlices of one Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointsState {
    pub service: ObjectRef,
    /// Endpoints whose `ready` condition is not false.
    pub ready: u32,
    /// Pods behind it, ready or not.
    pub pods: Vec<ObjectRef>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobState {
    pub object: ObjectRef,
    pub uid: Uid,
    /// None while it runs.
    pub ended: Option<JobEnd>,
    /// The Kustomization or HelmRelease whose labels it carries.
    pub applied_by: Option<ObjectRef>,
    /// Somebody marked it as not to be deleted (`kustomize.toolkit.fluxcd.io/prune: disabled`, `helm.sh/resource-policy: keep`).
    pub keep: bool,
    /// Its label says that it may run once more: [`IDEMPOTENT_LABEL`].
    #[serde(default)]
    pub idempotent: bool,
}

/// With the value `true`, on a Job: it may run once more, whatever it has done.
pub const IDEMPOTENT_LABEL: &str = "ananke.dev/idempotent";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobEnd {
    Complete,
    Failed,
}

/// What stands between a client and the API server's own store: admission webhooks, and APIs that other servers serve.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExtensionsState {
    pub webhooks: Vec<WebhookState>,
    /// Those that a Service of the cluster serves.
    pub api_services: Vec<ApiServiceState>,
}

/// A webhook that is called when pods are created, and without which they are refused (`failurePolicy: Fail`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookState {
    /// Name of its ValidatingWebhookConfiguration or MutatingWebhookConfiguration.
    pub configuration: Arc<str>,
    /// Its own name in there.
    pub name: Arc<str>,
    /// What it is called through; webhooks outside of the cluster are left out.
    pub service: ObjectRef,
    /// Namespaces that `namespaceSelector` leaves out by their name. Whatever else it selects is taken to be in; webhooks that
    /// are called only for what carries a label of their own are left out.
    pub excludes: Vec<Arc<str>>,
    /// Namespaces that `namespaceSelector` picks by their name; empty where it picks none so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Arc<str>>,
}

/// An APIService.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiServiceState {
    /// `v1beta1.metrics.k8s.io`
    pub name: Arc<str>,
    pub service: ObjectRef,
    /// The condition `Available`, and its reason.
    pub available: Tri,
    pub reason: Arc<str>,
}

/// The Lease `kube-system/ananke`, by which several Anankes of one cluster know of each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinationState {
    pub version: ResourceVersion,
    /// None where it was given back.
    pub holder: Option<String>,
    pub renewed: Option<Moment>,
    /// `spec.leaseDurationSeconds`.
    pub lasts: Duration,
}

/// A Lease by which the pods of a controller elect the one that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderState {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// `spec.holderIdentity`: the name of a pod, with or without something behind an underscore.
    pub holder: Arc<str>,
    pub renewed: Option<Moment>,
    /// `spec.leaseDurationSeconds`.
    pub lasts: Duration,
}

/// When a version of the coordination Lease was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinationSeen {
    pub version: ResourceVersion,
    pub since: Moment,
    /// Whether it was seen to change: its holder lives.
    #[serde(default)]
    pub moved: bool,
}

/// A snapshot of etcd as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotState {
    pub name: Arc<str>,
    pub bytes: u64,
    #[serde(default)]
    pub check: SnapshotCheck,
}

/// What came of reading a snapshot that was saved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotCheck {
    /// Nothing on the host reads it.
    #[default]
    None,
    /// As `etcdutl snapshot status` tells it.
    Passed { hash: u32, revision: i64, keys: u64 },
    /// It cannot be restored from, and why.
    Failed(Arc<str>),
}

/// What `GET /v1/sys/seal-status` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultState {
    pub initialised: bool,
    pub sealed: bool,
}

/// A person saw with their own eyes that a machine has no power (`ananke confirm-off NODE`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    pub node: NodeName,
    pub at: Moment,
    /// The boot that was confirmed to be over, as the API had it; none if that was not known.
    pub boot_id: Option<BootId>,
}

/// One reading of a UPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpsReading {
    /// `ups.status`, its words in order: `OL`, `CHRG`, …
    pub status: Vec<Arc<str>>,
    /// `battery.charge` in percent.
    pub charge_percent: Option<u8>,
    /// `battery.runtime`: how long it lasts, by its own word.
    #[serde(default)]
    pub runtime: Option<Duration>,
}

impl Observation {
    /// Notes where the pods stand in a list that was read.
    pub(crate) fn index_pods(&mut self, list: &Arc<Vec<PodState>>) {
        if !self.pod_index.is_of(list) {
            self.pod_index.follow(list);
        }
    }

    /// Takes the coordination Lease and notes since when it has not changed.
    pub fn fold_coordination(&mut self, read: Result<Option<CoordinationState>, crate::port::PortError>, at: Moment) {
        if let Ok(found) = &read {
            let version = found.as_ref().map(|state| &state.version);
            if version != self.coordination_seen.as_ref().map(|seen| &seen.version) {
                let moved = self.coordination_seen.is_some();
                self.coordination_seen = version.map(|version| CoordinationSeen { version: version.clone(), since: at, moved });
            }
        }
        self.coordination.fold(read, at);
    }
}
