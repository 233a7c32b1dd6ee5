//! One contract for the Kubernetes ports. Every case is written once, against a [`Subject`], and every implementation of the
//! ports runs it: the simulator in memory, ananke-k8s on the served simulator, ananke-k8s on any cluster.
//!
//! A [`Stage`] arranges what a case needs and looks at what came of it past the port, so that a port that lies is found out.

pub mod api_stage;
pub mod cases;
mod fixtures;
pub mod served;
pub mod world_stage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::lease::{Lease, Purpose, SCHEMA};
use ananke_core::name::{BootId, Kind, LeaseId, Moment, NodeName, ObjectRef, ResourceVersion, RunId, Uid};
use ananke_core::observation::{
    AttachmentState, ClaimState, CsiNodeState, EndpointsState, EventState, FluxState, IngressState, JobState, NodeState,
    PodState, Reconcile, Taint,
};
use ananke_core::order::ClusterOrder;
use ananke_core::port::{ClusterReads, ErrorKind, LayerReads, PortError};
use ananke_k8s::KubeCluster;
use ananke_sim::SimPorts;
use async_trait::async_trait;

/// What this subject lacks for a case, so that the case is skipped, visibly.
#[derive(Debug, Clone)]
pub struct Absent(pub String);

pub type Given<T> = Result<T, Absent>;

/// What a case returns; it fails by panicking.
pub type Outcome = Given<()>;

pub fn absent<T>(why: &str) -> Given<T> {
    Err(Absent(why.to_owned()))
}

/// The whole port. Orders come without the engine's permit, which nobody else can make.
#[async_trait]
pub trait Port: ClusterReads + LayerReads {
    async fn order(&self, order: &ClusterOrder) -> Result<(), PortError>;
}

#[async_trait]
impl Port for SimPorts {
    async fn order(&self, order: &ClusterOrder) -> Result<(), PortError> {
        self.perform_without_permit(order).await
    }
}

#[async_trait]
impl Port for KubeCluster {
    async fn order(&self, order: &ClusterOrder) -> Result<(), PortError> {
        self.perform_without_permit(order).await
    }
}

/// What stands in an object, seen past the port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    pub uid: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub suspended: bool,
    pub branch: Option<String>,
    pub url: Option<String>,
    pub replicas: Option<u64>,
    pub deleting: bool,
    /// Who is booked for fields of it; none where the implementation keeps no such books.
    pub managers: Option<Vec<String>>,
}

/// Kustomizations that are Ready and applied objects of every kind that is kept, all together.
#[derive(Debug, Clone)]
pub struct Layers {
    /// What the first one applied can be deleted.
    pub kustomizations: Vec<ObjectRef>,
    /// Objects that charts have, by kind, namespace and name.
    pub of_helm: &'static [&'static str],
    /// Kinds that they applied besides.
    pub others: &'static [&'static str],
}

/// Arranges, and looks past the port. What is arranged is returned as the port must read it.
#[async_trait(?Send)]
pub trait Stage {
    /// A node that is Ready in this boot and whose kubelet has just renewed its Lease; nobody marked it.
    async fn node(&self) -> Given<(NodeName, BootId)>;
    /// A pod that runs and that no budget protects.
    async fn pod(&self) -> Given<PodState>;
    /// A pod whose budget allows no disruption, and that budget's name.
    async fn guarded_pod(&self) -> Given<(PodState, String)>;
    /// A pod that has ended, and whether a workload owns it.
    async fn ended_pod(&self) -> Given<(ObjectRef, bool)>;
    /// A Lease by which the pods of a controller elect one, as namespace and name.
    async fn leader(&self) -> Given<(String, String)>;
    /// A workload and its wanted number of replicas.
    async fn workload(&self, kind: Kind) -> Given<(ObjectRef, u32)>;
    /// A finished Job that a Kustomization applied.
    async fn job(&self) -> Given<JobState>;
    /// An object of Flux that is not suspended.
    async fn flux(&self, kind: Kind) -> Given<ObjectRef>;
    async fn layers(&self) -> Given<Layers>;
    /// Flux's controllers run and answer requests.
    async fn controllers(&self) -> Given<()>;
    async fn namespace(&self) -> Given<Arc<str>>;
    async fn claim(&self) -> Given<ClaimState>;
    async fn attachment(&self) -> Given<AttachmentState>;
    async fn csi_node(&self) -> Given<CsiNodeState>;
    async fn ingress(&self) -> Given<IngressState>;
    /// A Service with a ready endpoint.
    async fn endpoints(&self) -> Given<EndpointsState>;
    /// A Warning that was written just now.
    async fn warning(&self) -> Given<EventState>;
    /// Nobody holds the coordination Lease, and nobody needs it while the case runs.
    async fn coordination(&self) -> Given<()>;

    /// Somebody else sets an annotation, or takes it away.
    async fn annotate(&self, object: &ObjectRef, key: &str, value: Option<&str>) -> Given<()>;
    /// Somebody else changes the object in a way that is none of Ananke's business.
    async fn touch(&self, object: &ObjectRef) -> Given<()>;
    /// Somebody else adds a taint.
    async fn taint(&self, node: &NodeName, taint: &Taint) -> Given<()>;
    /// `kubectl cordon`.
    async fn cordon_as_person(&self, node: &NodeName) -> Given<()>;
    /// Somebody deletes what a Kustomization applied.
    async fn delete(&self, object: &ObjectRef) -> Given<()>;
    /// `kubectl delete node`, and its kubelet registers it again.
    async fn recreate(&self, node: &NodeName) -> Given<()>;

    /// None: it is gone.
    async fn look(&self, object: &ObjectRef) -> Option<Look>;
    /// Messages of the Events about a node.
    async fn events_about(&self, node: &NodeName) -> Vec<String>;
    /// Lets about a second of the cluster's time pass.
    async fn pause(&self);
}

/// One implementation and its stage.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub port: &'a dyn Port,
    pub stage: &'a dyn Stage,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

/// A node changes by itself too: its kubelet and the node controller write to it. Whoever decides anew gets through.
const TRIES: usize = 8;

impl Subject<'_> {
    /// The node as the port reads it.
    pub async fn node_state(&self, name: &NodeName) -> NodeState {
        let nodes = self.port.nodes().await.expect("nodes can be listed");
        nodes.iter().find(|node| node.name == *name).cloned().unwrap_or_else(|| panic!("{name} is not listed"))
    }

    /// Orders what `make` decides on the newest state of the node, and decides anew after a conflict.
    pub async fn on_newest(&self, name: &NodeName, make: impl Fn(&NodeState) -> ClusterOrder) -> Result<(), PortError> {
        let mut left = TRIES;
        loop {
            left -= 1;
            match self.port.order(&make(&self.node_state(name).await)).await {
                Err(error) if error.kind == ErrorKind::Conflict && left > 0 => self.stage.pause().await,
                done => return done,
            }
        }
    }

    /// The same for an object of Flux.
    pub async fn on_newest_flux(
        &self,
        object: &ObjectRef,
        make: impl Fn(&ResourceVersion) -> ClusterOrder,
    ) -> Result<(), PortError> {
        let mut left = TRIES;
        loop {
            left -= 1;
            let (seen, _) = self.flux_state(object).await;
            match self.port.order(&make(&seen)).await {
                Err(error) if error.kind == ErrorKind::Conflict && left > 0 => self.stage.pause().await,
                done => return done,
            }
        }
    }

    /// Version and reconciliation of an object of Flux as the port reads them.
    pub async fn flux_state(&self, object: &ObjectRef) -> (ResourceVersion, Reconcile) {
        let flux = self.port.flux().await.expect("Flux's objects can be listed");
        let flux: &FluxState = (*flux).as_ref().unwrap_or_else(|| panic!("no Flux is read, but there is {object}"));
        let sources = flux.sources.iter().map(|it| (&it.object, &it.version, &it.reconcile));
        let kustomizations = flux.kustomizations.iter().map(|it| (&it.object, &it.version, &it.reconcile));
        let releases = flux.helm_releases.iter().map(|it| (&it.object, &it.version, &it.reconcile));
        let mut all = sources.chain(kustomizations).chain(releases);
        let found = all.find(|(found, ..)| *found == object);
        found.map_or_else(|| panic!("{object} is not listed"), |(_, version, state)| (version.clone(), state.clone()))
    }

    /// What stands in it; it must be there.
    pub async fn look(&self, object: &ObjectRef) -> Look {
        self.stage.look(object).await.unwrap_or_else(|| panic!("{object} is gone"))
    }

    pub async fn look_at_node(&self, node: &NodeName) -> Look {
        self.look(&node_object(node)).await
    }
}

pub fn node_object(node: &NodeName) -> ObjectRef {
    ObjectRef::new(Kind::Node, "", node.as_str())
}

/// A moment with milliseconds, which not every field of the API can hold.
pub fn at() -> Moment {
    Moment::from_millis(1_773_453_971_250)
}

pub fn version(text: &str) -> ResourceVersion {
    ResourceVersion::parse(text).expect("a version")
}

pub fn run() -> RunId {
    RunId::parse("shutdown-20260314T0206").expect("a run ID")
}

/// A version that no object of a case has.
pub fn long_ago() -> ResourceVersion {
    version("1")
}

/// A UID that no object has.
pub fn nobody() -> Uid {
    Uid::parse("00000000-0000-0000-0000-000000000000").expect("a UID")
}

pub fn lease_id(text: &str) -> LeaseId {
    LeaseId::parse(text).expect("a lease ID")
}

/// A lease on the node as it is.
pub fn lease(node: &NodeState, id: &str) -> Lease {
    Lease {
        schema: SCHEMA,
        id: lease_id(id),
        holder: "contract".to_owned(),
        node: node.name.clone(),
        node_uid: node.uid.clone(),
        cluster_uid: nobody(),
        purpose: Purpose::Repair,
        reason: "the contract suite".to_owned(),
        acquired: at(),
        expires: at().plus(Duration::from_secs(3600)),
        clock: None,
        remove_with: format!("kubectl taint node {} ananke.dev/cordon-", node.name),
    }
}

/// The order was refused for this reason.
#[track_caller]
pub fn refused(done: Result<(), PortError>, kind: ErrorKind) -> PortError {
    match done {
        Err(error) if error.kind == kind => error,
        other => panic!("expected {kind:?}, found {other:?}"),
    }
}
