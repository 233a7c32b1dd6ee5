//! What was seen: plain, serialisable data, each part with its time. Gates read nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fact::Fact;
use crate::intent::Intent;
use crate::name::{BootId, Moment, NodeName, ObjectRef, ResourceVersion, Uid};

/// Everything Ananke knows at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Observation {
    pub intent: Fact<Option<Intent>>,
    pub ups: BTreeMap<Arc<str>, Fact<UpsReading>>,
    pub hosts: BTreeMap<NodeName, Fact<HostState>>,
    pub api: Fact<ApiHealth>,
    pub nodes: Fact<Arc<Vec<NodeState>>>,
    /// Kubelet renewals as Ananke saw them advance, by node; kept by [`Observation::fold_nodes`].
    pub heartbeats: BTreeMap<NodeName, Heartbeat>,
    pub flux: Fact<Arc<Option<FluxState>>>,
    pub workloads: Fact<Arc<Vec<WorkloadState>>>,
    pub pods: Fact<Arc<Vec<PodState>>>,
    pub ingresses: Fact<Arc<Vec<IngressState>>>,
    pub namespaces: Fact<Arc<Vec<Arc<str>>>>,
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
    /// The k3s unit that belongs to the node's role.
    pub unit: UnitState,
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

/// A condition's status; `Unknown` where it is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Tri {
    True,
    False,
    #[default]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    pub key: Arc<str>,
    pub value: Arc<str>,
    pub effect: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    pub name: NodeName,
    pub uid: Uid,
    pub version: ResourceVersion,
    /// The `Ready` condition as the API has it; it may be from before the outage.
    pub ready: Tri,
    pub reason: Arc<str>,
    /// `status.nodeInfo.bootID`.
    pub boot_id: Option<BootId>,
    /// `spec.renewTime` of the node's Lease in `kube-node-lease`.
    pub renewed: Option<Moment>,
    /// A person's cordon: Ananke never writes it.
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    /// The annotation [`crate::lease::ANNOTATION`], unparsed.
    pub lease_note: Option<Arc<str>>,
    /// The annotation [`crate::lease::MANUAL_ANNOTATION`].
    pub manual_note: Option<Arc<str>>,
}

/// What Ananke itself saw of a kubelet's Lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The newest `renewTime`.
    pub renewed: Moment,
    /// Our own time when we first looked.
    pub watched_since: Moment,
    /// Our own time when `renewTime` was last seen to have advanced; none if it never did while we looked.
    pub advanced_at: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FluxState {
    pub sources: Vec<SourceState>,
    pub kustomizations: Vec<KustomizationState>,
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
    /// The annotation [`crate::order::SUSPENDED_ANNOTATION`]: Ananke suspended it, and says in which run.
    pub suspend_stamp: Option<Arc<str>>,
    /// Deployments, StatefulSets and DaemonSets in `status.inventory`: with `spec.wait` it is ready only when they are.
    pub workloads: Vec<ObjectRef>,
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
    /// `spec.replicas`; for a DaemonSet `status.desiredNumberScheduled`.
    pub desired: u32,
    pub ready: u32,
    pub updated: u32,
    pub generation: i64,
    pub observed_generation: i64,
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
    /// Static pods (`kubernetes.io/config.mirror`) live and die with their kubelet.
    pub mirror: bool,
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    pub status: u16,
    pub location: Option<String>,
}

/// One reading of a UPS, as far as start-up asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpsReading {
    /// `ups.status`, its words in order: `OL`, `CHRG`, …
    pub status: Vec<Arc<str>>,
    /// `battery.charge` in percent.
    pub charge_percent: Option<u8>,
}

impl Observation {
    /// Takes a list of nodes and notes which kubelets renewed their Lease since the list before.
    pub fn fold_nodes(&mut self, read: Result<Arc<Vec<NodeState>>, crate::port::PortError>, at: Moment) {
        if let Ok(nodes) = &read {
            for node in nodes.iter() {
                let Some(renewed) = node.renewed else { continue };
                match self.heartbeats.get_mut(&node.name) {
                    Some(beat) if renewed > beat.renewed => (beat.renewed, beat.advanced_at) = (renewed, Some(at)),
                    Some(_) => {}
                    None => {
                        self.heartbeats.insert(node.name.clone(), Heartbeat { renewed, watched_since: at, advanced_at: None });
                    }
                }
            }
        }
        self.nodes.fold(read, at);
    }
}
