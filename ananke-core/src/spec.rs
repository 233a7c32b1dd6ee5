//! What the operator expects of the cluster: the config, parsed once into types. No default is read from a machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::name::{NodeName, ObjectRef, UnitName};
use crate::verdict::GateId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Host name of this Ananke, as leases and the report name it.
    pub holder: String,
    pub role: Role,
    pub nodes: BTreeMap<NodeName, NodeSpec>,
    /// Nodes that are left out on purpose; the report lists them.
    pub ignored: Vec<NodeName>,
    pub ups: Vec<Arc<str>>,
    pub minimum_charge_percent: u8,
    pub allow_on_battery: bool,
    /// Longest wait for what is normally away just after an outage: a peer, a upsd, the charge.
    pub guard_wait: Duration,
    /// A shutdown intent older than this no longer blocks a start-up.
    pub intent_max_age: Duration,
    pub flux: FluxSpec,
    pub required_namespaces: Vec<Arc<str>>,
    /// Workloads that must converge; empty: all that the cluster has.
    pub required_workloads: Vec<ObjectRef>,
    pub ingress: IngressSpec,
    pub services: Vec<ServiceCheck>,
    /// systemd starts enabled units by itself within seconds of the boot: before that, a stopped unit is only early.
    pub unit_grace: Duration,
    /// How long everything must hold before a start-up is called done.
    pub soak: Duration,
    /// Time between two looks at the same part of the cluster.
    pub poll: Duration,
    pub cordon_window: Duration,
    pub max_cordons: usize,
    /// Patience of each gate, counted from when what it requires had passed.
    pub deadlines: BTreeMap<GateId, Duration>,
    pub drain: DrainSpec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Coordinator,
    Peer { allow_startup: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    pub role: NodeRole,
    /// systemd unit of k3s on it.
    pub unit: UnitName,
    /// Address, port and user, for messages and for the duplicate check: the adapter connects.
    pub target: Option<SshTarget>,
    /// Where the box stands, for the person who must touch it; may be empty.
    pub location: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeRole {
    Server,
    Worker,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SshTarget {
    pub host: String,
    pub port: u16,
    pub user: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FluxSpec {
    /// `namespace/name` of the source that all else comes from.
    pub source: ObjectRef,
    pub expected_url: Option<Arc<str>>,
    pub expected_branch: Option<Arc<str>>,
    /// From `--force-flux-branch`.
    pub force_branch: Option<Arc<str>>,
    /// Kustomizations that must be ready; empty: all that the cluster has.
    pub required: Vec<ObjectRef>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressSpec {
    /// Hosts that are not checked.
    pub exclude: Vec<Arc<str>>,
    pub accepted_statuses: Vec<u16>,
    /// Statuses of single hosts that differ.
    pub accepted_by_host: BTreeMap<Arc<str>, Vec<u16>>,
    /// `http` or `https` whatever the Ingress says; none: `https` where the Ingress has TLS for the host.
    pub scheme: Option<Arc<str>>,
}

/// One entry of the service checklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCheck {
    pub name: String,
    pub url: Arc<str>,
    pub accepted_statuses: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainSpec {
    pub skip: bool,
    /// Nodes drained at once.
    pub batch: usize,
    /// How long a pod may refuse eviction before it is deleted with its grace period.
    pub patience: Duration,
}

impl Spec {
    /// Patience of a gate: the configured one, or [`default_deadline`].
    pub fn deadline(&self, gate: GateId) -> Duration {
        self.deadlines.get(&gate).copied().unwrap_or_else(|| default_deadline(gate))
    }

    pub fn servers(&self) -> impl Iterator<Item = (&NodeName, &NodeSpec)> {
        self.of_role(NodeRole::Server)
    }

    pub fn workers(&self) -> impl Iterator<Item = (&NodeName, &NodeSpec)> {
        self.of_role(NodeRole::Worker)
    }

    fn of_role(&self, role: NodeRole) -> impl Iterator<Item = (&NodeName, &NodeSpec)> {
        self.nodes.iter().filter(move |(_, node)| node.role == role)
    }

    /// Servers that must run for etcd to answer.
    pub fn quorum(&self) -> usize {
        self.servers().count() / 2 + 1
    }
}

/// How long a gate may hold before what it misses becomes a person's job: generous for slow SD cards and image pulls,
/// short enough that an operator hears of a dead box within minutes.
pub const fn default_deadline(gate: GateId) -> Duration {
    let minutes = match gate {
        GateId::Inventory | GateId::IntentRecorded => 1,
        GateId::FluxSuspended | GateId::Cordoned | GateId::CordonsReleased => 2,
        GateId::WorkersStopped | GateId::ServersStopped => 5,
        GateId::Guards | GateId::NodeSsh | GateId::NodesReady | GateId::Ingress | GateId::Services | GateId::Drained => 10,
        GateId::ControlPlane | GateId::FluxSource => 15,
        GateId::Workloads => 20,
        GateId::Kustomizations | GateId::Soak => 30,
    };
    Duration::from_secs(minutes * 60)
}
