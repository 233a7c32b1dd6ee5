//! Where a world begins.

use std::sync::Arc;

use ananke_core::doctor::ClusterMap;
use ananke_core::doctor::PartKind;
use ananke_core::name::NodeName;

use crate::drill::PowerStory;
use crate::fault::Fault;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    pub name: String,
    /// What has happened, in one line.
    pub doc: &'static str,
    pub start: Start,
    /// What a drill has Ananke do there.
    pub exercise: Exercise,
    /// Three of them are servers, or one where there are fewer than three, unless `servers` says otherwise.
    pub nodes: usize,
    pub servers: Option<usize>,
    /// At least about so many pods, where the nodes have room for them; a home lab has its own.
    pub pods: usize,
    pub foundation: Foundation,
    pub registry: Registry,
    /// A CloudNativePG cluster besides, one of whose instances does not follow its primary.
    pub instances: bool,
    /// A recorded cluster, in the place of the home lab.
    pub map: Option<Arc<ClusterMap>>,
    /// Trouble that is there from the beginning; a fault that needs a node and names none takes the last worker.
    pub faults: Vec<(Fault, Option<NodeName>)>,
    /// Trouble that comes with the power, in a story that has an outage.
    pub later: Vec<(Fault, Option<NodeName>)>,
}

/// Where Git and the image registry are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Foundation {
    /// The cluster serves them itself.
    #[default]
    Inside,
    Outside,
    /// The cluster did, until they were pruned: Flux cannot fetch what would bring them back.
    Pruned(ImageCaches),
}

/// How Git brings the image registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registry {
    /// As objects that kustomize-controller applies.
    #[default]
    Manifests,
    /// As a HelmRelease, whose chart helm-controller installs.
    Chart,
}

/// What the container runtimes of all nodes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageCaches {
    /// What ran there before, and Git's and the registry's images wherever these may run.
    Warm,
    Empty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Every host lost power twenty minutes ago; mains are just back and the hosts boot.
    PowerLoss,
    /// Everything runs.
    Healthy,
    /// `ananke shutdown --mode cluster-only` has finished: hosts up, Flux suspended, units stopped.
    AfterShutdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exercise {
    Startup,
    Shutdown,
    /// The same with `--mode poweroff`.
    PowerOff,
    /// The daemon watches what power does.
    Power(PowerStory),
}

/// The most nodes a world can have.
pub const MAX_NODES: usize = 10_000;

const SHUTDOWN: &str = "shutdown";
const INSTANCES: &str = "cloudnative-pg";
const WARM: Foundation = Foundation::Pruned(ImageCaches::Warm);
const COLD: Foundation = Foundation::Pruned(ImageCaches::Empty);

/// Name, what has happened, where it begins, and where Git and the registry are.
const SCENARIOS: &[(&str, &str, Start, Foundation)] = &[
    ("power-loss", "all hosts lost power, mains are just back", Start::PowerLoss, Foundation::Inside),
    ("healthy", "everything runs", Start::Healthy, Foundation::Inside),
    ("after-shutdown", "a cluster-only shutdown has finished, hosts are up", Start::AfterShutdown, Foundation::Inside),
    ("git-outside", "everything runs; Git and the registry are outside of the cluster", Start::Healthy, Foundation::Outside),
    ("circle", "Flux pruned the Git server and the registry that it needs, then the power failed", Start::PowerLoss, WARM),
    ("circle-cold", "the same, and no node has an image any more", Start::PowerLoss, COLD),
    ("helm", "everything runs; Helm installed the registry", Start::Healthy, Foundation::Inside),
    ("circle-helm", "the circle, where Helm installed the registry", Start::PowerLoss, WARM),
    (INSTANCES, "power was lost, and a CloudNativePG replica does not follow its primary", Start::PowerLoss, Foundation::Inside),
    (SHUTDOWN, "everything runs, and a drill shuts it down", Start::Healthy, Foundation::Inside),
];

/// Those in which Git has the registry as a chart.
const OF_HELM: &[&str] = &["helm", "circle-helm"];

impl Scenario {
    pub fn named(name: &str) -> Option<Self> {
        SCENARIOS.iter().find(|(id, ..)| *id == name).map(|(id, doc, start, foundation)| Self {
            name: (*id).to_owned(),
            doc,
            start: *start,
            exercise: if *id == SHUTDOWN { Exercise::Shutdown } else { Exercise::Startup },
            nodes: 30,
            servers: None,
            pods: 0,
            foundation: *foundation,
            registry: if OF_HELM.contains(id) { Registry::Chart } else { Registry::Manifests },
            instances: *id == INSTANCES,
            map: None,
            faults: Vec::new(),
            later: Vec::new(),
        })
    }

    /// Names and one line each.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        SCENARIOS.iter().map(|(id, doc, ..)| (*id, *doc))
    }

    /// Between 1 and [`MAX_NODES`].
    pub fn with_nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes.clamp(1, MAX_NODES);
        self
    }

    /// At least one, and at most as many as there are nodes.
    pub fn with_servers(mut self, servers: usize) -> Self {
        self.servers = Some(servers);
        self
    }

    pub fn with_pods(mut self, pods: usize) -> Self {
        self.pods = pods;
        self
    }

    /// The recorded cluster is drilled in the place of the home lab.
    ///
    /// # Errors
    /// If it lacks what a drill brings back: nodes, and Flux with a GitRepository.
    pub fn with_map(mut self, map: ClusterMap) -> Result<Self, String> {
        let has = |name: &str| map.workloads.iter().any(|of| &*of.object.name == name);
        if map.nodes.is_empty() || map.nodes.len() > MAX_NODES {
            return Err(format!("it has {} nodes, a drill takes 1 to {MAX_NODES}", map.nodes.len()));
        }
        if !map.sources.iter().any(|of| of.object.kind == PartKind::GitRepository) {
            return Err("it has no GitRepository, and a drill ends with what Flux fetches".to_owned());
        }
        if !has("source-controller") || !has("kustomize-controller") {
            return Err("Flux's controllers are not in it, and nothing else in a drill fetches or applies".to_owned());
        }
        self.nodes = map.nodes.len();
        self.map = Some(Arc::new(map));
        Ok(self)
    }

    pub fn with_exercise(mut self, exercise: Exercise) -> Self {
        self.exercise = exercise;
        self
    }

    pub fn with_fault(mut self, fault: Fault, node: Option<NodeName>) -> Self {
        self.faults.push((fault, node));
        self
    }

    pub fn with_later_fault(mut self, fault: Fault, node: Option<NodeName>) -> Self {
        self.later.push((fault, node));
        self
    }

    pub fn has_trouble(&self) -> bool {
        !self.faults.is_empty() || !self.later.is_empty()
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "power-loss".to_owned(),
            doc: "all hosts lost power, mains are just back",
            start: Start::PowerLoss,
            exercise: Exercise::Startup,
            nodes: 30,
            servers: None,
            pods: 0,
            foundation: Foundation::Inside,
            registry: Registry::Manifests,
            instances: false,
            map: None,
            faults: Vec::new(),
            later: Vec::new(),
        }
    }
}
