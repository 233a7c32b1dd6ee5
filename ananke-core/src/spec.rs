//! What the operator expects of the cluster: the config, parsed once into types. No default is read from a machine.

mod distribution;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bootstrap::BootstrapSpec;
use crate::lease::DEFAULT_WINDOW;
use crate::name::{HostPath, Kind, MacAddress, NodeName, ObjectRef, PackageName, UnitName};
use crate::port::without_password;
use crate::power::PowerSpec;
use crate::verdict::{GateId, Trap};

pub use distribution::Distribution;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Host name of this Ananke, as leases and the report name it.
    pub holder: String,
    pub role: Role,
    #[serde(default)]
    pub distribution: Distribution,
    pub nodes: BTreeMap<NodeName, NodeSpec>,
    /// Nodes that are left out on purpose; the report lists them.
    pub ignored: Vec<NodeName>,
    pub power: PowerSpec,
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
    /// How long a node whose host runs may be silent or not Ready before its agent is restarted under a lease.
    pub repair_after: Duration,
    /// How long a host may be dark before it is woken, where it can be.
    pub wake_after: Duration,
    /// Servers among [`Spec::ignored`]: they still count as members of etcd.
    pub ignored_servers: usize,
    /// Patience of each gate, counted from when what it requires had passed.
    pub deadlines: BTreeMap<GateId, Duration>,
    pub drain: DrainSpec,
    /// Other Anankes of this cluster, as the config names them.
    pub peers: Vec<Arc<str>>,
    pub time_sync: TimeSync,
    pub storage: StorageSpec,
    /// Vault is to be unsealed; none: the cluster has no Vault, or it is nobody's business here.
    pub vault: Option<VaultSpec>,
    /// Workloads behind the Flux source, the registry and Vault, beside those that are discovered.
    pub foundation: Vec<ObjectRef>,
    /// Services that must have ready endpoints; empty: those behind the ingress hosts that are checked.
    pub critical_services: Vec<ObjectRef>,
    pub shutdown: ShutdownSpec,
    /// What is kept for a cluster that waits for itself.
    #[serde(default)]
    pub bootstrap: BootstrapSpec,
    /// Remedies that the operator wants otherwise than they are (`remedies`).
    #[serde(default)]
    pub remedies: BTreeMap<Trap, RemedySpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RemedySpec {
    /// None: `auto`, save where a remedy itself asks for a word of the operator first.
    pub mode: Option<RemedyMode>,
    /// How often at most at one object, where that is less than the remedy's own budget.
    pub budget: Option<u32>,
}

/// What becomes of a remedy that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemedyMode {
    #[default]
    Auto,
    /// It is told, and left to a person.
    Ask,
    Off,
}

/// How closely clocks must agree (`startup.time_sync_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSync {
    /// Every host.
    Strict,
    /// At least this many servers; the others are reported.
    Quorum(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StorageSpec {
    /// `startup.require_storage_ready`.
    pub required: bool,
    /// Drivers that must register on every node; empty: on each node those that attachments there name, and Longhorn's where
    /// Longhorn knows the node.
    pub drivers: Vec<Arc<str>>,
    /// Claims that must be usable; empty: all that are bound.
    pub claims: Vec<ObjectRef>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultSpec {
    pub address: Arc<str>,
    /// There is something to unseal it with; what that is, only the adapter knows.
    pub can_unseal: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownSpec {
    pub mode: ShutdownMode,
    pub etcd_snapshot: bool,
    /// The whole shutdown must be over by then (battery): phases are cut short in order of value, and the report says which.
    pub within: Option<Duration>,
    /// Hosts that are acted on at once.
    pub concurrency: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShutdownMode {
    #[default]
    ClusterOnly,
    /// Hosts off too, workers first; Ananke's own host is last, and not the engine's business.
    Poweroff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    Coordinator,
    Peer { allow_startup: bool },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    pub role: NodeRole,
    /// systemd unit of k3s or of the kubelet on it.
    pub unit: UnitName,
    /// Address, port and user, for messages and for the duplicate check: the adapter connects. None: nobody connects.
    pub target: Option<SshTarget>,
    #[serde(default)]
    pub transport: Transport,
    /// The network card that wakes it.
    #[serde(default)]
    pub wake: Option<MacAddress>,
    /// Where the box stands, for the person who must touch it; may be empty.
    pub location: String,
    pub needs: HostNeeds,
}

impl NodeSpec {
    /// A node whose host is reached as root on the usual port of `host`, and needs nothing but Kubernetes.
    pub fn new(role: NodeRole, unit: UnitName, host: &str) -> Self {
        let target = SshTarget { host: host.to_owned(), port: 22, user: "root".to_owned() };
        let (transport, location, needs) = (Transport::Ssh, String::new(), HostNeeds::default());
        Self { role, unit, target: Some(target), transport, wake: None, location, needs }
    }

    /// Whether its host is asked and ordered at all. What is not is judged by the API alone, and left to a person.
    pub fn is_managed(&self) -> bool {
        match self.transport {
            Transport::Ssh => true,
            Transport::None => false,
        }
    }
}

/// How the host of a node is reached (`ssh_node_transport`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    #[default]
    Ssh,
    /// Its operating system has no shell, such as Talos.
    None,
}

/// What a host must have before Kubernetes can be trusted on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostNeeds {
    pub mounts: Vec<HostPath>,
    pub packages: Vec<PackageName>,
    pub units: Vec<UnitName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeRole {
    Server,
    Worker,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SshTarget {
    pub host: String,
    pub port: u16,
    pub user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl FluxSpec {
    /// Whether a source may have this URL. Its password does not count: no journal has it.
    pub fn expects(&self, url: &str) -> bool {
        let same = |expected: &Arc<str>| expected.as_ref() == url || without_password(expected) == without_password(url);
        self.expected_url.as_ref().is_none_or(same)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressSpec {
    /// Only these hosts are checked; empty: all that are discovered.
    pub include: Vec<Arc<str>>,
    /// Hosts that are not checked.
    pub exclude: Vec<Arc<str>>,
    pub accepted_statuses: Vec<u16>,
    /// Statuses of single hosts that differ.
    pub accepted_by_host: BTreeMap<Arc<str>, Vec<u16>>,
    /// `http` or `https` whatever the Ingress says; none: `https` where the Ingress has TLS for the host.
    pub scheme: Option<Arc<str>>,
}

/// One entry of the service checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCheck {
    pub name: String,
    pub url: Arc<str>,
    pub method: ProbeMethod,
    pub accepted_statuses: Vec<u16>,
    /// `Location` must begin with this; its query is not looked at.
    pub redirect: Option<String>,
    /// Headers (lower case), each with a text that its value must contain; empty: the header must be there.
    pub headers: BTreeMap<Arc<str>, String>,
    /// Texts that the beginning of the body must contain ([`crate::port::probe::BODY_READ`]).
    pub body: Vec<String>,
}

/// What changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProbeMethod {
    #[default]
    Get,
    Head,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainSpec {
    pub skip: bool,
    /// Nodes drained at once.
    pub batch: usize,
    /// Evictions and deletions that are under way at once.
    pub concurrency: usize,
    /// How long a pod may refuse eviction before it is deleted with its grace period.
    pub patience: Duration,
}

impl fmt::Display for ProbeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        })
    }
}

impl Spec {
    /// The defaults of the config, for `nodes`: k3s, no UPS, no peer, no Vault, no service checks; Flux's source is
    /// `flux-system/flux-system`, wherever it points. `holder` is the host name of this Ananke.
    pub fn new(holder: &str, nodes: BTreeMap<NodeName, NodeSpec>) -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            holder: holder.to_owned(),
            role: Role::Coordinator,
            distribution: Distribution::K3s,
            nodes,
            ignored: Vec::new(),
            power: PowerSpec::default(),
            minimum_charge_percent: 30,
            allow_on_battery: false,
            guard_wait: 10 * MINUTE,
            intent_max_age: 360 * MINUTE,
            flux: FluxSpec {
                source: ObjectRef::new(Kind::GitRepository, "flux-system", "flux-system"),
                expected_url: None,
                expected_branch: None,
                force_branch: None,
                required: Vec::new(),
            },
            required_namespaces: Vec::new(),
            required_workloads: Vec::new(),
            ingress: IngressSpec {
                include: Vec::new(),
                exclude: Vec::new(),
                accepted_statuses: vec![200, 204, 301, 302, 303, 307, 308, 401, 403],
                accepted_by_host: BTreeMap::new(),
                scheme: None,
            },
            services: Vec::new(),
            unit_grace: MINUTE,
            soak: MINUTE,
            poll: Duration::from_secs(2),
            cordon_window: DEFAULT_WINDOW,
            max_cordons: 3,
            repair_after: 3 * MINUTE,
            wake_after: 2 * MINUTE,
            ignored_servers: 0,
            deadlines: BTreeMap::new(),
            drain: DrainSpec { skip: false, batch: 5, concurrency: 32, patience: 2 * MINUTE },
            peers: Vec::new(),
            time_sync: TimeSync::Strict,
            storage: StorageSpec { required: true, ..StorageSpec::default() },
            vault: None,
            foundation: Vec::new(),
            bootstrap: BootstrapSpec::default(),
            critical_services: Vec::new(),
            remedies: BTreeMap::new(),
            shutdown: ShutdownSpec { mode: ShutdownMode::ClusterOnly, etcd_snapshot: true, within: None, concurrency: 16 },
        }
    }

    /// What a shutdown for power goes by, which may take `within`: no battery lasts for ever.
    pub fn for_power(&self, within: Duration) -> Self {
        let mut spec = self.clone();
        (spec.shutdown.mode, spec.shutdown.within) = (self.power.shutdown_mode, Some(within));
        spec
    }

    /// Patience of a gate: the configured one, or [`default_deadline`]. The guards go on after `guard_wait`, so they have
    /// that long at least.
    pub fn deadline(&self, gate: GateId) -> Duration {
        let own = self.deadlines.get(&gate).copied().unwrap_or_else(|| default_deadline(gate));
        if gate == GateId::Guards { own.max(self.guard_wait) } else { own }
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

    /// Nodes whose hosts are asked and ordered.
    pub fn managed(&self) -> impl Iterator<Item = (&NodeName, &NodeSpec)> {
        self.nodes.iter().filter(|(_, node)| node.is_managed())
    }

    /// Whether the node is one of ours that has no SSH.
    pub fn is_unmanaged(&self, name: &NodeName) -> bool {
        self.nodes.get(name).is_some_and(|node| !node.is_managed())
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
        GateId::FluxSuspended | GateId::EtcdSnapshot | GateId::Cordoned | GateId::CordonsReleased | GateId::VolumesDetached => 2,
        GateId::WorkersStopped | GateId::PodsStopped | GateId::ServersStopped | GateId::PoweredOff => 5,
        GateId::Guards
        | GateId::NodeSsh
        | GateId::HostHealth
        | GateId::NodesReady
        | GateId::DnsCni
        | GateId::Secrets
        | GateId::Ingress
        | GateId::Services
        | GateId::Endpoints
        | GateId::Drained => 10,
        GateId::ControlPlane | GateId::Storage | GateId::FluxSource => 15,
        GateId::Foundation | GateId::Workloads => 20,
        GateId::Kustomizations | GateId::Soak => 30,
    };
    Duration::from_secs(minutes * 60)
}
