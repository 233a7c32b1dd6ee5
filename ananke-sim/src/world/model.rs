//! The things of the world, as data. What the API shows and what is true are different fields.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ananke_core::lease::{ANNOTATION, Lease, read_note};
use ananke_core::name::{BootId, Kind, MacAddress, NodeName, ObjectRef, Uid, UnitName};
use ananke_core::observation::{HostHealth, JobEnd, PodPhase, SnapshotState, Taint, Tri, UnitState};
use ananke_core::spec::HostNeeds;

/// Virtual milliseconds since the world began; negative before that.
pub type Ms = i64;

pub type Words = BTreeMap<Arc<str>, Arc<str>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    Off,
    Booting,
    Up,
}

/// How a session on a host goes, once it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    #[default]
    Usual,
    /// Greetings stand around what was asked for.
    Noisy,
    /// What a command prints stops half way, and its end never comes.
    Stalls,
    /// The connection ends half way.
    Cuts,
    /// sudo asks for a password.
    AsksPassword,
}

/// A host: what is true of the machine, whatever the API says.
#[derive(Debug, Clone)]
pub struct Host {
    pub name: NodeName,
    pub server: bool,
    pub power: Power,
    /// It does not come up, whatever the mains do.
    pub never_boots: bool,
    /// It runs, and nothing goes over its network cable.
    pub unplugged: bool,
    pub slow_boot: bool,
    /// Its firmware does not switch it on when power returns.
    pub stays_off: bool,
    /// Its network card, which wakes it.
    pub mac: MacAddress,
    pub boot_id: BootId,
    pub machine_id: Arc<str>,
    pub booted_at: Ms,
    pub sshd: bool,
    pub sshd_broken: bool,
    /// It answers with another key than `known_hosts` has.
    pub key_changed: bool,
    pub manner: Manner,
    /// Its clock minus the true time.
    pub skew: Ms,
    pub ups: usize,
    /// `k3s` or `k3s-agent`.
    pub unit: UnitName,
    pub unit_state: UnitState,
    pub unit_enabled: bool,
    /// What an inspection finds wrong with the machine: it is asked for all of it, and answers what it is asked for.
    pub health: HostHealth,
    /// The boot during which its root is read-only, where the next one replays the journal.
    pub(crate) read_only_in: Option<u64>,
    /// Why its unit ends whenever it is started, as its log has it.
    pub words: Option<&'static str>,
    /// Snapshots of etcd on its disk.
    pub snapshots: Vec<SnapshotState>,
    /// It was told to power off: it stays so until its supply was away or somebody presses the button.
    pub told_off: bool,
    /// What comes of an order to power off.
    pub told: Obedience,
    /// The unit was told to restart, and starts again when it has stopped.
    pub(crate) restarting: bool,
    /// The unit has done its own part of starting and waits for others.
    pub(crate) prepared: bool,
    pub(crate) boots: u64,
    pub(crate) epoch: u32,
    pub(crate) unit_epoch: u32,
    /// When it last went dark.
    pub(crate) fell_at: Option<Ms>,
}

impl Host {
    /// Something answers at its address.
    pub fn is_reached(&self) -> bool {
        self.power == Power::Up && !self.unplugged
    }

    /// Nothing of k3s can be written, so it does not run.
    pub fn cannot_write(&self) -> bool {
        self.health.root_read_only || self.health.space.iter().any(|space| space.free_percent == 0)
    }

    /// The same, or something else ends its unit, and no boot changes it.
    pub(crate) fn is_lost(&self) -> bool {
        self.cannot_write() && self.read_only_in.is_none() || self.words.is_some()
    }

    /// What an inspection finds, of all that it is asked for.
    pub fn lacks(&self, needs: &HostNeeds) -> HostHealth {
        let HostHealth { root_read_only, clock_synced, missing_mounts, missing_packages, missing_units, agents, space } =
            &self.health;
        HostHealth {
            root_read_only: *root_read_only,
            clock_synced: *clock_synced,
            missing_mounts: common(&needs.mounts, missing_mounts),
            missing_packages: common(&needs.packages, missing_packages),
            missing_units: common(&needs.units, missing_units),
            agents: agents.clone(),
            space: space.clone(),
        }
    }
}

fn common<T: Clone + PartialEq>(asked: &[T], missing: &[T]) -> Vec<T> {
    asked.iter().filter(|one| missing.contains(one)).cloned().collect()
}

/// A Node object, and its kubelet.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: NodeName,
    pub object: ObjectRef,
    pub uid: Uid,
    pub rv: u64,
    pub server: bool,
    pub created: Ms,
    pub ready: Tri,
    pub reason: &'static str,
    /// Of the Ready condition, as kubelet or node controller wrote it.
    pub message: &'static str,
    pub ready_since: Ms,
    pub boot_id: Option<BootId>,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub labels: Words,
    pub annotations: Words,
    /// Since when the kubelet has renewed its lease without a break; none while it does not.
    pub alive_since: Option<Ms>,
    /// The last renewal of a kubelet that does not renew.
    pub last_renewed: Ms,
    /// Numbers of the pods bound to it.
    pub pods: Vec<usize>,
    pub never_ready: bool,
    /// The kubelet does not get well until its unit is restarted.
    pub wedged: bool,
    /// No taint keeps DaemonSet pods away.
    pub(crate) takes_daemons: bool,
    pub storage: super::NodeStorage,
    /// Workloads whose image was pulled there.
    pub images: BTreeSet<usize>,
    pub(crate) epoch: u32,
    pub(crate) watch_epoch: u32,
    pub(crate) look_epoch: u32,
    pub(crate) evict_epoch: u32,
}

impl Node {
    /// The lease that its annotation speaks of.
    pub(crate) fn lease(&self) -> Option<Lease> {
        self.annotations.get(ANNOTATION).and_then(|note| read_note(note))
    }
}

#[derive(Debug, Clone)]
pub struct Pod {
    pub object: ObjectRef,
    pub uid: Uid,
    pub rv: u64,
    pub workload: usize,
    pub ordinal: u32,
    pub node: Option<usize>,
    /// The node that a DaemonSet made it for.
    pub target: Option<usize>,
    pub created: Ms,
    /// As the API has it.
    pub phase: PodPhase,
    pub ready: bool,
    pub reason: &'static str,
    pub ready_since: Ms,
    /// When `deletionTimestamp` was set.
    pub deleting: Option<Ms>,
    /// Its condition of that name.
    pub disruption_target: Option<DisruptionTarget>,
    pub restarts: u32,
    /// True: its containers run.
    pub running: bool,
    /// True: it does its work.
    pub serving: bool,
    /// Pulls of its image that failed in a row.
    pub pulls: u32,
    /// The object is gone.
    pub gone: bool,
    /// Its kubelet's last word, where that ended it for good.
    pub ended: Option<&'static str>,
    pub(crate) epoch: u32,
}

/// Who is about to delete a pod that did not ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisruptionTarget {
    Eviction,
    Taint,
}

impl DisruptionTarget {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Eviction => "EvictionByEvictionAPI",
            Self::Taint => "DeletionByTaintManager",
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::Eviction => "Eviction API: evicting",
            Self::Taint => "Taint manager: deleting due to NoExecute taint",
        }
    }
}

/// Each kind counts in its own way: see `Workload::counted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkloadStatus {
    pub desired: u32,
    /// `replicas`, or `currentNumberScheduled`.
    pub current: u32,
    /// `updatedReplicas`, or `updatedNumberScheduled`.
    pub updated: u32,
    pub ready: u32,
    /// `numberMisscheduled`.
    pub misscheduled: u32,
}

/// How many of a workload's pods are what, whatever its status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) pods: u32,
    /// Those that are not being deleted.
    pub(crate) live: u32,
    pub(crate) ready: u32,
    pub(crate) live_ready: u32,
    /// Where a DaemonSet wants them.
    pub(crate) placed: u32,
    pub(crate) placed_ready: u32,
    pub(crate) serving: u32,
}

impl Counts {
    /// What is left of it once a pod that counted as `before` counts as `after`.
    pub(crate) fn moved(self, before: Self, after: Self) -> Self {
        let count = |now: u32, before: u32, after: u32| now + after - before;
        Self {
            pods: count(self.pods, before.pods, after.pods),
            live: count(self.live, before.live, after.live),
            ready: count(self.ready, before.ready, after.ready),
            live_ready: count(self.live_ready, before.live_ready, after.live_ready),
            placed: count(self.placed, before.placed, after.placed),
            placed_ready: count(self.placed_ready, before.placed_ready, after.placed_ready),
            serving: count(self.serving, before.serving, after.serving),
        }
    }
}

/// A PodDisruptionBudget.
#[derive(Debug, Clone)]
pub struct Budget {
    pub name: Arc<str>,
    pub uid: Uid,
    pub rv: u64,
    pub min_available: u32,
    pub status: BudgetStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetStatus {
    pub healthy: u32,
    pub expected: u32,
    pub allowed: u32,
}

/// A Deployment (with its one ReplicaSet), StatefulSet or DaemonSet.
#[derive(Debug, Clone)]
pub struct Workload {
    pub object: ObjectRef,
    pub uid: Uid,
    pub rv: u64,
    pub created: Ms,
    /// `spec.replicas`; not used by DaemonSets.
    pub replicas: u32,
    /// True: replicas that somebody took away for the outage and forgot.
    pub forgotten: u32,
    pub generation: i64,
    pub observed_generation: i64,
    pub status: WorkloadStatus,
    /// Its pods have volumes, and need the storage of their node.
    pub volumes: bool,
    /// Rows of the volumes, by ordinal.
    pub claims: Vec<usize>,
    /// A Service of its name leads to its pods.
    pub service: bool,
    /// Its Service has this name and not its own.
    pub serves_as: Option<&'static str>,
    /// Where its images come from.
    pub registry: Arc<str>,
    /// Its pods have a Secret of its name.
    pub secret: bool,
    pub budget: Option<Budget>,
    pub kustomization: Option<usize>,
    /// Hash in the names of the ReplicaSet and its pods.
    pub hash: Arc<str>,
    /// Workloads that must serve before this one's pods are ready.
    pub needs: Vec<usize>,
    pub pods: Vec<usize>,
    /// True: pods that are ready and serve.
    pub endpoints: u32,
    pub crashing: bool,
    /// What its pods have, and since when.
    pub(crate) trouble: Option<(super::trouble::Kind, Ms)>,
    pub(crate) counts: Counts,
    pub(crate) waiters: Vec<usize>,
    pub(crate) start: (Ms, Ms),
    pub(crate) dirty: bool,
}

impl Workload {
    pub fn is_daemon(&self) -> bool {
        self.object.kind == Kind::DaemonSet
    }

    /// All but cluster DNS itself, which asks its host.
    pub fn asks_cluster_dns(&self) -> bool {
        &*self.object.name != "coredns"
    }

    /// Its Service, where it has one.
    pub fn service_ref(&self) -> ObjectRef {
        let name = self.serves_as.map_or_else(|| self.object.name.clone(), Into::into);
        ObjectRef { kind: Kind::Service, name, namespace: self.object.namespace.clone() }
    }

    pub fn image(&self) -> String {
        format!("{}/{}/{}:1", self.registry, self.object.namespace, self.object.name)
    }

    /// The status that its controller would write of its pods. A Deployment leaves out those that are being deleted, a
    /// StatefulSet counts them until they are gone, a DaemonSet counts where it wants them; it wants `nodes`.
    pub(crate) fn counted(&self, nodes: u32) -> WorkloadStatus {
        let Counts { pods, live, ready, live_ready, placed, placed_ready, .. } = self.counts;
        let (desired, misscheduled) = (self.replicas, 0);
        if self.object.kind == Kind::DaemonSet {
            let misscheduled = pods - placed;
            WorkloadStatus { desired: nodes, current: placed, updated: placed, ready: placed_ready, misscheduled }
        } else if self.object.kind == Kind::StatefulSet {
            WorkloadStatus { desired, current: pods, updated: live, ready, misscheduled }
        } else {
            WorkloadStatus { desired, current: live, updated: live, ready: live_ready, misscheduled }
        }
    }

    /// It has what only a person ends.
    pub fn is_lost(&self) -> bool {
        self.trouble.is_some_and(|(kind, _)| kind.cure == super::trouble::Cure::Person)
    }

    /// What the API says is what the spec asks for.
    pub fn converged(&self) -> bool {
        self.status.ready >= self.status.desired && self.observed_generation == self.generation
    }
}

/// What both Flux kinds have.
#[derive(Debug, Clone)]
pub struct FluxObject {
    pub object: ObjectRef,
    pub uid: Uid,
    pub rv: u64,
    pub created: Ms,
    pub annotations: Words,
    pub suspended: bool,
    pub generation: i64,
    pub observed_generation: i64,
    pub ready: Tri,
    pub reason: &'static str,
    pub message: Arc<str>,
    pub ready_since: Ms,
    /// `status.lastHandledReconcileAt`.
    pub handled_at: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
pub struct Source {
    pub meta: FluxObject,
    pub url: Arc<str>,
    pub branch: Arc<str>,
    /// `status.artifact.revision`.
    pub revision: Option<Arc<str>>,
    pub artifact_updated: Option<Ms>,
    /// True: the artifact is in the store of the running source-controller.
    pub stored: bool,
    /// It was fetched in this life of the cluster.
    pub(crate) fresh: bool,
    pub(crate) failures: u32,
    pub(crate) epoch: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KustStage {
    Idle,
    Applying,
    Checking,
}

#[derive(Debug, Clone)]
pub struct Kustomization {
    pub meta: FluxObject,
    pub path: Arc<str>,
    pub depends_on: Vec<usize>,
    pub workloads: Vec<usize>,
    pub applied_revision: Option<Arc<str>>,
    /// The reason of Ready when an apply last came to an end.
    pub ended: &'static str,
    /// True: when it was last reconciled to the end.
    pub reconciled_at: Option<Ms>,
    pub(crate) stage: KustStage,
    /// A request came while it was at work.
    pub(crate) again: bool,
    pub(crate) token: Option<Arc<str>>,
    pub(crate) runs: u64,
    pub(crate) epoch: u32,
}

/// A Job that a Kustomization applies.
#[derive(Debug, Clone)]
pub struct Job {
    pub object: ObjectRef,
    pub uid: Uid,
    pub rv: u64,
    pub created: Ms,
    pub kustomization: usize,
    /// The API has it.
    pub exists: bool,
    /// None while it runs.
    pub ended: Option<JobEnd>,
    pub ended_at: Ms,
    /// Number of the template that it was made from.
    pub template: u32,
    /// Number of the template that Git has.
    pub wanted: u32,
    /// Runs of its Kustomization when Git changed: the next one finds it.
    pub(crate) seen_after: u64,
    pub(crate) made: u64,
    pub(crate) epoch: u32,
}

/// A HelmRelease.
#[derive(Debug, Clone)]
pub struct Release {
    pub meta: FluxObject,
    pub chart: Arc<str>,
    pub depends_on: Vec<usize>,
    /// Which Kustomization applies it.
    pub kustomization: usize,
    /// Workloads of its chart. Those of other charts stand in the catalogue as the Kustomization's own.
    pub installs: Vec<usize>,
    /// Helm has a record of it.
    pub installed: bool,
    /// True: when it was last reconciled to the end.
    pub reconciled_at: Option<Ms>,
    pub(crate) at_work: bool,
    pub(crate) token: Option<Arc<str>>,
    pub(crate) runs: u64,
    pub(crate) epoch: u32,
}

/// How a host takes an order to power off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Obedience {
    #[default]
    GoesOff,
    /// A job on it does not stop, so it does not go down in good order.
    Hangs,
    /// It is a guest that boots again, the first time.
    BootsAgain,
    /// It did.
    BootedAgain,
}

#[derive(Debug, Clone)]
pub struct Ingress {
    pub object: ObjectRef,
    pub uid: Uid,
    pub rv: u64,
    pub created: Ms,
    pub host: Arc<str>,
    pub backend: usize,
}

#[derive(Debug, Clone)]
pub struct Namespace {
    pub name: Arc<str>,
    pub uid: Uid,
    pub rv: u64,
    pub created: Ms,
}

/// A change that a client of the API sees.
#[derive(Debug, Clone)]
pub struct Change {
    pub rv: u64,
    pub what: What,
    pub object: ObjectRef,
    /// The row of the object in its table (nodes, pods, workloads, kustomizations); a deleted pod is still there.
    pub row: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Added,
    Modified,
    Deleted,
}

/// Why the API refuses a write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0} not found")]
    Missing(String),
    #[error("the object has been modified: resourceVersion is {found}")]
    Conflict { found: u64 },
    #[error("the UID in the precondition is not the UID of the object: {found}")]
    OtherUid { found: Uid },
    #[error("cannot evict pod as it would violate the pod's disruption budget {budget}")]
    Blocked { budget: Arc<str> },
    #[error("{0}")]
    Invalid(String),
}
