//! The simulated cluster: a passive struct on virtual milliseconds with one queue of events.
//!
//! Nothing here waits, asks a clock or draws from anything but its seed. Whoever drives it says how far time has come;
//! in between, people, Ananke and the power company act on it through its methods. What the API shows and what is true
//! are kept apart, as they are in life.

mod actions;
mod api_fault;
mod battery;
mod budgets;
mod build;
mod catalogue;
mod cluster_trouble;
mod control;
mod coordination;
mod ended;
mod extensions;
mod flux;
mod graphs;
mod held_nodes;
mod helm;
mod history;
mod http;
mod images;
mod instances;
mod jobs;
mod lab;
mod layers;
mod lifecycle;
mod many_pods;
mod mended;
pub mod model;
mod needless;
mod network;
mod nodes;
mod old_clients;
mod pods;
mod power;
mod recorded;
mod releases_stuck;
mod scheduler;
mod site_trouble;
mod storage;
#[cfg(test)]
mod tests;
mod trouble;
mod vault;
mod workloads;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt;
use std::sync::Arc;

use ananke_core::bootstrap::Archive;
use ananke_core::name::{Kind, Moment, NodeName, ObjectRef, Uid};

pub use actions::NodePatch;
pub use api_fault::ApiFault;
pub use battery::{Cut, Quirk, Ups};
pub(crate) use catalogue::MIRROR;
pub use cluster_trouble::{ClusterTrouble, Way};
pub use coordination::{Coordination, NodeEvent};
pub use extensions::{METRICS_API, NOT_ASKED};
pub(crate) use flux::{LEAST_APPLY, LEAST_FETCH, RECONCILED};
pub use graphs::Graph;
pub use history::NodesBackup;
pub use http::{HttpAnswer, Page};
pub use instances::{CLUSTER, Instance};
pub use lab::{Lab, LabWorkload};
pub use many_pods::Ceph;
pub use model::*;
pub use network::{
    CHARTS, INGRESS_ADDRESS, INGRESS_CLASS, INGRESS_CONTROLLER, MOUNTS, REPLICAS, RESOLVER, SECRET_STORE, SECRET_STORE_URL,
};
pub use old_clients::Leader;
pub use power::LONGHORN_DISK;
pub use site_trouble::SiteTrouble;
pub use storage::{Attachment, DRIVER, LONGHORN_NAMESPACE, NodeStorage, Volume};
pub use trouble::{Cure, PodTrouble, Told, UnitTrouble, Warning};

use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::table::Table;

/// How virtual time looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    /// The wall time at which the world began.
    pub epoch: Moment,
    /// Virtual seconds in a second outside.
    pub speed: u32,
}

/// 2026-03-14T02:06:00Z: worlds in memory begin at the same time of day.
const EPOCH: Moment = Moment::from_millis(1_773_453_960_000);

/// Kubelets renew their Lease this often.
pub const HEARTBEAT: Ms = 10_000;

/// What is going to happen. The second number is the epoch of what it happens to: an older one has been overtaken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    BatteryEmpty(usize, u32),
    HostUp(usize, u32),
    SshdUp(usize, u32),
    PoweredOff(usize, u32),
    Rebooted(usize, u32),
    UnitPrepared(usize, u32),
    UnitActive(usize, u32),
    UnitStopped(usize, u32),
    QuorumFormed(u32),
    ControllersUp(u32),
    NodePosts(usize, u32),
    PodsFound(usize, u32),
    NodeLost(usize, u32),
    NodeLook(usize, u32),
    TaintPass(u32),
    DisruptionOver(u32),
    EvictNode(usize, u32),
    Schedule,
    PodStarted(usize, u32),
    PodProbe(usize, u32),
    PodGone(usize, u32),
    VolumeStep(usize, u32),
    DriverUp(usize, u32),
    SourceRun(u32),
    SourceFetched(u32),
    KustRun(usize, u32),
    KustApplied(usize, u32),
    KustCheck(usize, u32),
    KustTimeout(usize, u32),
    JobEnds(usize, u32),
    ReleaseRun(usize, u32),
    ReleaseDone(usize, u32),
    ApiFaultEnds(u32),
    TroublePasses(usize),
    AgentActs(usize),
    ShutdownUnlatched,
    OtherReboots(usize),
}

/// Newest revision of each kind, so that a list is only built again when it changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revisions {
    pub nodes: u64,
    pub pods: u64,
    pub workloads: u64,
    pub flux: u64,
    pub storage: u64,
    pub jobs: u64,
    pub network: u64,
}

#[derive(Debug, Clone)]
pub struct World {
    pub(crate) rng: Rng,
    now: Ms,
    seq: u64,
    queue: BinaryHeap<Reverse<(Ms, u64, Event)>>,
    wall: WallClock,
    revision: u64,
    revisions: Revisions,
    log: Option<(usize, VecDeque<Change>)>,
    trace: Option<Vec<String>>,
    frames: Option<Vec<World>>,
    /// Ranges that a lab sets in the place of those of a home, by the label of their draw.
    paces: BTreeMap<&'static str, (Ms, Ms)>,
    /// The moment of every ten seconds at which all kubelets renew and post, where one process plays them all.
    rhythm: Option<Ms>,
    pub(crate) mains: bool,
    pub(crate) upses: Table<Ups>,
    cuts: Vec<Cut>,
    pub(crate) hosts: Table<Host>,
    pub(crate) nodes: Table<Node>,
    pub(crate) pods: Table<Pod>,
    pub(crate) workloads: Table<Workload>,
    pub(crate) volumes: Table<Volume>,
    pub(crate) kustomizations: Table<Kustomization>,
    pub(crate) jobs: Table<Job>,
    pub(crate) releases: Table<Release>,
    pub(crate) source: Source,
    pub(crate) ingresses: Vec<Ingress>,
    pub(crate) namespaces: Vec<Namespace>,
    /// What Git has and the cluster has not.
    pruned: BTreeSet<ObjectRef>,
    /// Objects of charts that somebody made without Helm's marks.
    unmarked: BTreeSet<ObjectRef>,
    /// Files with images on the host of Ananke.
    pub(crate) archives: Vec<Archive>,
    instances: Vec<Instance>,
    /// Branches of the Git repository and their newest commit.
    pub(crate) branches: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) known: Known,
    pub(crate) vault: vault::Vault,
    pub(crate) control: control::Control,
    lifecycle: lifecycle::Lifecycle,
    pub(crate) shared: coordination::Shared,
    node_names: BTreeMap<NodeName, usize>,
    pod_names: BTreeMap<(Arc<str>, Arc<str>), usize>,
    workload_names: BTreeMap<ObjectRef, usize>,
    /// Live pods without a node that the scheduler has yet to look at.
    pub(crate) pending: BTreeSet<usize>,
    /// Those that no node took, and why.
    unschedulable: BTreeMap<usize, Arc<str>>,
    pub(crate) troubles: cluster_trouble::Troubles,
    pub(crate) site: site_trouble::Site,
    pub(crate) schedule_queued: bool,
    schedule_cursor: usize,
    dirty: VecDeque<usize>,
    /// Nodes that take DaemonSet pods.
    pub(crate) daemon_nodes: u32,
    daemons: Vec<usize>,
    ready_nodes: usize,
    made_pods: u64,
}

/// The row of what no workload of the cluster serves: it stands elsewhere, and is up.
pub(crate) const ELSEWHERE: usize = usize::MAX;

/// Rows of the workloads that others stand on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) dns: usize,
    pub(crate) storage: usize,
    pub(crate) ingress: usize,
    pub(crate) git: usize,
    /// Where Harbor keeps its images.
    pub(crate) registry: usize,
    pub(crate) source_controller: usize,
    pub(crate) kustomize_controller: usize,
    pub(crate) helm_controller: usize,
    pub(crate) crasher: usize,
    pub(crate) faulty: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            dns: ELSEWHERE,
            storage: ELSEWHERE,
            ingress: ELSEWHERE,
            git: ELSEWHERE,
            registry: ELSEWHERE,
            source_controller: ELSEWHERE,
            kustomize_controller: ELSEWHERE,
            helm_controller: ELSEWHERE,
            crasher: ELSEWHERE,
            faulty: ELSEWHERE,
        }
    }
}

impl World {
    /// Whether what others stand on does its work.
    pub(crate) fn serves(&self, row: usize) -> bool {
        self.workloads.get(row).is_none_or(|workload| workload.endpoints > 0)
    }

    /// Virtual time.
    pub fn now(&self) -> Ms {
        self.now
    }

    /// Lets time come to `until`, with all that happens on the way, in order.
    pub fn advance_to(&mut self, until: Ms) {
        while let Some(Reverse((at, _, event))) = self.queue.peek().copied() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = self.now.max(at);
            self.happen(event);
            self.settle();
        }
        self.now = self.now.max(until);
    }

    pub fn set_wall(&mut self, wall: WallClock) {
        self.wall = WallClock { epoch: wall.epoch, speed: wall.speed.max(1) };
    }

    /// How a virtual time looks from outside.
    pub fn wall(&self, at: Ms) -> Moment {
        Moment::from_millis(self.wall.epoch.as_millis().saturating_add(at.div_euclid(i64::from(self.wall.speed))))
    }

    /// The same in whole seconds, as a `creationTimestamp` has it.
    pub fn stamped(&self, at: Ms) -> Moment {
        Moment::from_millis(self.wall(at).as_millis().div_euclid(1000) * 1000)
    }

    /// The virtual time at which the outside reads `moment`.
    pub fn virtual_at(&self, moment: Moment) -> Ms {
        moment.as_millis().saturating_sub(self.wall.epoch.as_millis()).saturating_mul(i64::from(self.wall.speed))
    }

    /// A virtual span as it looks from outside.
    pub fn wall_span(&self, span: Ms) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(span / i64::from(self.wall.speed)).unwrap_or(0))
    }

    /// Grows whenever an API object changed in a way that a client sees; heartbeats do not count.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn revisions(&self) -> Revisions {
        self.revisions
    }

    /// Keeps the last `limit` changes from here on.
    pub fn keep_changes(&mut self, limit: usize) {
        self.log = Some((limit, VecDeque::new()));
    }

    /// Changes after revision `after`, oldest first; `None` where the log does not reach back that far.
    pub fn changes_since(&self, after: u64) -> Option<impl Iterator<Item = &Change>> {
        let (limit, log) = self.log.as_ref()?;
        let reaches = log.len() < *limit || log.front().is_some_and(|first| first.rv <= after + 1);
        reaches.then(|| log.iter().skip(log.partition_point(|change| change.rv <= after)))
    }

    /// Notes what happens, line by line.
    pub fn keep_trace(&mut self) {
        self.trace = Some(Vec::new());
    }

    pub fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Keeps the world as it is after each write of an API object: what a watch would tell of it.
    pub fn keep_frames(&mut self) {
        self.frames = Some(Vec::new());
    }

    /// The frames since the last call, oldest first.
    pub fn take_frames(&mut self) -> Vec<World> {
        self.frames.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn keep_frame(&mut self) {
        if let Some(mut frames) = self.frames.take() {
            frames.push(self.clone());
            self.frames = Some(frames);
        }
    }

    pub fn hosts(&self) -> &Table<Host> {
        &self.hosts
    }

    pub fn nodes(&self) -> &Table<Node> {
        &self.nodes
    }

    /// All pods that exist.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| !pod.gone)
    }

    /// By row, as [`Change`] and [`Node::pods`] name it; it may be gone.
    pub fn pod_row(&self, row: usize) -> Option<&Pod> {
        self.pods.get(row)
    }

    pub fn workloads(&self) -> &Table<Workload> {
        &self.workloads
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    pub fn kustomizations(&self) -> &Table<Kustomization> {
        &self.kustomizations
    }

    pub fn ingresses(&self) -> &[Ingress] {
        &self.ingresses
    }

    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    pub fn upses(&self) -> &Table<Ups> {
        &self.upses
    }

    pub fn node_row(&self, name: &NodeName) -> Option<usize> {
        self.node_names.get(name).copied()
    }

    pub fn find_pod(&self, namespace: &str, name: &str) -> Option<usize> {
        self.pod_names.get(&(Arc::from(namespace), Arc::from(name))).copied()
    }

    pub fn find_workload(&self, object: &ObjectRef) -> Option<usize> {
        self.workload_names.get(object).copied()
    }

    pub fn find_kustomization(&self, namespace: &str, name: &str) -> Option<usize> {
        (self.kustomizations.iter()).position(|k| &*k.meta.object.namespace == namespace && &*k.meta.object.name == name)
    }

    /// When the kubelet last renewed its Lease; it stands still while the store hangs.
    pub fn renewed(&self, node: &Node) -> Ms {
        let Some(since) = node.alive_since else { return node.last_renewed };
        let until = self.control.hang_since.map_or(self.now, |hang| hang.min(self.now)).max(since);
        since + (until - since) / HEARTBEAT * HEARTBEAT
    }

    pub(crate) fn at(&mut self, when: Ms, event: Event) {
        self.seq += 1;
        self.queue.push(Reverse((when.max(self.now), self.seq, event)));
    }

    /// Schedules `event` after a span drawn between `low` and `high`.
    pub(crate) fn after(&mut self, span: Ms, event: Event) {
        self.at(self.now + span, event);
    }

    pub(crate) fn draw(&self, label: &str, index: usize, nth: u64, low: Ms, high: Ms) -> Ms {
        let (low, high) = self.paces.get(label).copied().unwrap_or((low, high));
        self.rng.between(label, index as u64, nth, low, high)
    }

    pub(crate) fn node_object(&self, row: usize) -> ObjectRef {
        self.nodes[row].object.clone()
    }

    pub(crate) fn uid(&self, label: &str, index: usize) -> Uid {
        parsed(Uid::parse, &self.rng.uuid(label, index as u64, 0))
    }

    pub(crate) fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let text = format!("{:>9} {}", Seconds(self.now), line(self));
            if let Some(trace) = &mut self.trace {
                trace.push(text);
            }
        }
    }

    pub(crate) fn touched(&mut self, what: What, object: &ObjectRef, row: usize) -> u64 {
        self.revision += 1;
        match object.kind {
            Kind::Node => self.revisions.nodes = self.revision,
            Kind::Pod => self.revisions.pods = self.revision,
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => self.revisions.workloads = self.revision,
            Kind::GitRepository | Kind::Kustomization | Kind::OCIRepository | Kind::Bucket | Kind::HelmRelease => {
                self.revisions.flux = self.revision
            }
            Kind::Job => self.revisions.jobs = self.revision,
            Kind::Ingress | Kind::Service => self.revisions.network = self.revision,
            Kind::Namespace | Kind::ConfigMap | Kind::ServiceAccount | Kind::CronJob => {}
            Kind::PersistentVolumeClaim | Kind::VolumeAttachment | Kind::CephCluster => self.revisions.storage = self.revision,
        }
        if let Some((limit, log)) = &mut self.log {
            if log.len() >= *limit {
                log.pop_front();
            }
            log.push_back(Change { rv: self.revision, what, object: object.clone(), row });
        }
        self.keep_frame();
        self.revision
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::BatteryEmpty(ups, epoch) => self.battery_empty(ups, epoch),
            Event::HostUp(host, epoch) => self.host_up(host, epoch),
            Event::SshdUp(host, epoch) => self.sshd_up(host, epoch),
            Event::PoweredOff(host, epoch) => self.powered_off(host, epoch),
            Event::Rebooted(host, epoch) => self.rebooted(host, epoch),
            Event::UnitPrepared(host, epoch) => self.unit_prepared(host, epoch),
            Event::UnitActive(host, epoch) => self.unit_active(host, epoch),
            Event::UnitStopped(host, epoch) => self.unit_stopped(host, epoch),
            Event::QuorumFormed(epoch) => self.quorum_formed(epoch),
            Event::ControllersUp(epoch) => self.controllers_up(epoch),
            Event::NodePosts(node, epoch) => self.node_posts(node, epoch),
            Event::PodsFound(node, epoch) => self.pods_found(node, epoch),
            Event::NodeLost(node, epoch) => self.node_lost(node, epoch),
            Event::NodeLook(node, epoch) => self.node_look(node, epoch),
            Event::TaintPass(epoch) => self.taint_pass(epoch),
            Event::DisruptionOver(epoch) => self.disruption_over(epoch),
            Event::EvictNode(node, epoch) => self.evict_node(node, epoch),
            Event::Schedule => self.schedule(),
            Event::PodStarted(pod, epoch) => self.pod_started(pod, epoch),
            Event::PodProbe(pod, epoch) => self.pod_probe(pod, epoch),
            Event::OtherReboots(node) => self.other_reboots(node),
            Event::AgentActs(host) => self.agent_acts(host),
            Event::TroublePasses(workload) => self.trouble_passes(workload),
            Event::ShutdownUnlatched => self.shutdown_unlatched(),
            Event::PodGone(pod, epoch) => self.pod_gone(pod, epoch),
            Event::VolumeStep(volume, epoch) => self.volume_step(volume, epoch),
            Event::DriverUp(node, epoch) => self.driver_up(node, epoch),
            Event::SourceRun(epoch) => self.source_run(epoch),
            Event::SourceFetched(epoch) => self.source_fetched(epoch),
            Event::KustRun(kust, epoch) => self.kust_run(kust, epoch),
            Event::KustApplied(kust, epoch) => self.kust_applied(kust, epoch),
            Event::KustCheck(kust, epoch) => self.kust_check(kust, epoch),
            Event::KustTimeout(kust, epoch) => self.kust_timeout(kust, epoch),
            Event::JobEnds(job, epoch) => self.job_ends(job, epoch),
            Event::ReleaseRun(release, epoch) => self.release_run(release, epoch),
            Event::ReleaseDone(release, epoch) => self.release_done(release, epoch),
            Event::ApiFaultEnds(epoch) => self.api_fault_ends(epoch),
        }
    }

    /// Lets the controllers look at what changed until nothing more changes.
    pub(crate) fn settle(&mut self) {
        while let Some(workload) = self.dirty.pop_front() {
            self.workloads[workload].dirty = false;
            self.sync_workload(workload);
        }
    }

    pub(crate) fn mark_dirty(&mut self, workload: usize) {
        let row = &mut self.workloads[workload];
        if !row.dirty {
            row.dirty = true;
            self.dirty.push_back(workload);
        }
    }
}

impl World {
    /// A control plane without nodes, workloads and Flux.
    pub fn bare(seed: u64) -> Self {
        build::bare(seed)
    }

    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        build::build(scenario, seed)
    }
}

/// The model makes its own names, all of one shape; a shape that does not parse is a defect here, not of the input.
#[expect(clippy::panic, reason = "a name that the model itself made up")]
pub(crate) fn parsed<T, E: fmt::Display>(parse: fn(&str) -> Result<T, E>, text: &str) -> T {
    match parse(text) {
        Ok(name) => name,
        Err(error) => panic!("{error}"),
    }
}

/// Milliseconds as seconds with three digits, without floats.
pub struct Seconds(pub Ms);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{:03}", self.0 / 1000, self.0 % 1000))
    }
}

impl fmt::Debug for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
