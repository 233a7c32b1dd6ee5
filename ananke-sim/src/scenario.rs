//! Where a world begins.

use ananke_core::name::NodeName;

use crate::fault::Fault;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    pub name: String,
    /// What has happened, in one line.
    pub doc: &'static str,
    pub start: Start,
    /// Three of them are servers, or one where there are fewer than three.
    pub nodes: usize,
    /// At least about so many pods, where the nodes have room for them; a home lab has its own.
    pub pods: usize,
    /// Trouble that is there from the beginning; a fault that needs a node and names none takes the last worker.
    pub faults: Vec<(Fault, Option<NodeName>)>,
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

/// The most nodes a world can have.
pub const MAX_NODES: usize = 10_000;

const SCENARIOS: &[(&str, &str, Start)] = &[
    ("power-loss", "all hosts lost power, mains are just back", Start::PowerLoss),
    ("healthy", "everything runs", Start::Healthy),
    ("after-shutdown", "a cluster-only shutdown has finished, hosts are up", Start::AfterShutdown),
];

impl Scenario {
    pub fn named(name: &str) -> Option<Self> {
        SCENARIOS.iter().find(|(id, ..)| *id == name).map(|(id, doc, start)| Self {
            name: (*id).to_owned(),
            doc,
            start: *start,
            nodes: 30,
            pods: 0,
            faults: Vec::new(),
        })
    }

    /// Names and one line each.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        SCENARIOS.iter().map(|(id, doc, _)| (*id, *doc))
    }

    /// Between 1 and [`MAX_NODES`].
    pub fn with_nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes.clamp(1, MAX_NODES);
        self
    }

    pub fn with_pods(mut self, pods: usize) -> Self {
        self.pods = pods;
        self
    }

    pub fn with_fault(mut self, fault: Fault, node: Option<NodeName>) -> Self {
        self.faults.push((fault, node));
        self
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "power-loss".to_owned(),
            doc: "all hosts lost power, mains are just back",
            start: Start::PowerLoss,
            nodes: 30,
            pods: 0,
            faults: Vec::new(),
        }
    }
}
