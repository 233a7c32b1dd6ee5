//! Nodes as the API has them, and what is known of their kubelets by looking again.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{HostState, Observation};
use crate::name::{BootId, Moment, NodeName, ResourceVersion, Uid};
use crate::port::PortError;

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
    pub message: Arc<str>,
    /// `status.nodeInfo.bootID`.
    pub boot_id: Option<BootId>,
    /// `status.nodeInfo.machineID`; none where no kubelet has told it.
    #[serde(default)]
    pub machine_id: Option<Arc<str>>,
    /// `status.nodeInfo.architecture`: `amd64`, `arm64`; none where no kubelet has told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Arc<str>>,
    /// `spec.renewTime` of the node's Lease in `kube-node-lease`.
    pub renewed: Option<Moment>,
    /// Conditions other than `Ready` that are true, and say that something is wrong: `DiskPressure`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<NodeTrouble>,
    /// A person's cordon: Ananke never writes it.
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    /// The annotation [`crate::lease::ANNOTATION`], unparsed.
    pub lease_note: Option<Arc<str>>,
    /// The annotation [`crate::lease::MANUAL_ANNOTATION`].
    pub manual_note: Option<Arc<str>>,
}

impl NodeState {
    /// Whether `host` is the machine whose kubelet reported as this node; none where the API does not know.
    pub fn runs_on(&self, host: &HostState) -> Option<bool> {
        self.machine_id.as_deref().map(|machine| machine == host.machine_id)
    }

    /// A node of which nothing else is known.
    pub fn new(name: NodeName, uid: Uid, version: ResourceVersion) -> Self {
        Self {
            name,
            uid,
            version,
            ready: Tri::Unknown,
            reason: "".into(),
            message: "".into(),
            boot_id: None,
            machine_id: None,
            architecture: None,
            renewed: None,
            troubles: Vec::new(),
            unschedulable: false,
            taints: Vec::new(),
            lease_note: None,
            manual_note: None,
        }
    }
}

/// A condition of a node that is true and should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTrouble {
    /// Its type: `DiskPressure`.
    pub kind: Arc<str>,
    pub message: Arc<str>,
}

/// What Ananke itself saw of a kubelet's Lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The `renewTime` that was read last.
    pub renewed: Moment,
    /// Our own time when we first looked.
    pub watched_since: Moment,
    /// Our own time when `renewTime` was last seen to have changed; none if it never did while we looked.
    pub advanced_at: Option<Moment>,
    /// The same as the wall clock of then had it, by which persons confirm: it stays when the clock is set.
    #[serde(default)]
    pub advanced_by_wall: Option<Moment>,
}

impl Heartbeat {
    /// The same by a clock of ours that was set meanwhile.
    pub(crate) fn moves(&mut self, moved: impl Fn(Moment) -> Moment) {
        self.watched_since = moved(self.watched_since);
        self.advanced_at = self.advanced_at.map(moved);
    }
}

/// How often a kubelet renews its Lease.
const RENEWED_EVERY: Duration = Duration::from_secs(10);

impl Observation {
    /// The node of this name in a list of nodes.
    pub fn listed<'a>(&self, nodes: &'a [NodeState], name: &NodeName) -> Option<&'a NodeState> {
        let hinted = self.places.get(name).and_then(|place| nodes.get(*place)).filter(|node| node.name == *name);
        hinted.or_else(|| nodes.iter().find(|node| node.name == *name))
    }

    /// Takes a list of nodes and notes which kubelets renewed their Lease since the list before. Says whether that is news:
    /// a kubelet that goes on renewing is none.
    pub fn fold_nodes(&mut self, read: Result<Arc<Vec<NodeState>>, PortError>, at: Moment) -> bool {
        let mut news = !matches!((&read, self.nodes.last(), self.nodes.newest_failure()),
            (Ok(new), Some(old), None) if same_but_renewals(new, old));
        if let Ok(nodes) = &read {
            // While the API was away no kubelet could renew its Lease: none was silent, and each has its time again.
            let away =
                self.nodes.newest_failure().is_some() && self.nodes.seen_at().is_none_or(|seen| at.since(seen) > RENEWED_EVERY);
            if away {
                self.heartbeats.values_mut().for_each(|beat| beat.watched_since = at);
            }
            for (place, node) in nodes.iter().enumerate() {
                match self.places.get_mut(&node.name) {
                    Some(known) => *known = place,
                    None => self.places.extend([(node.name.clone(), place)]),
                }
                if node.ready == Tri::True {
                    self.unready.remove(&node.name);
                } else if !self.unready.contains_key(&node.name) {
                    self.unready.insert(node.name.clone(), at);
                }
                let Some(renewed) = node.renewed else { continue };
                match self.heartbeats.get_mut(&node.name) {
                    // Only its kubelet writes a Lease, and by a clock that may have been set back. While the API was away, etcd
                    // may have been set back instead: then the next renewal is the first that proves something.
                    Some(beat) if renewed > beat.renewed || renewed < beat.renewed && !away => {
                        news |= beat.advanced_at.is_none_or(|before| at.since(before) > RENEWED_EVERY * 2);
                        (beat.renewed, beat.advanced_at, beat.advanced_by_wall) = (renewed, Some(at), Some(at));
                    }
                    Some(beat) => beat.renewed = renewed,
                    None => {
                        let beat = Heartbeat { renewed, watched_since: at, advanced_at: None, advanced_by_wall: None };
                        self.heartbeats.insert(node.name.clone(), beat);
                    }
                }
            }
        }
        self.nodes.fold(read, at);
        news
    }
}

/// Leases are renewed all the time, and lists that differ in nothing else are the same.
fn same_but_renewals(new: &Arc<Vec<NodeState>>, old: &Arc<Vec<NodeState>>) -> bool {
    let same = |new: &NodeState, old: &NodeState| new == old || NodeState { renewed: new.renewed, ..old.clone() } == *new;
    Arc::ptr_eq(new, old) || new.len() == old.len() && new.iter().zip(old.iter()).all(|(new, old)| same(new, old))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};
    use crate::port::ErrorKind;

    #[test]
    fn a_kubelet_that_goes_on_renewing_is_no_news_and_one_that_begins_to_is() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let mut look = |after: u64, change: &dyn Fn(&mut NodeState)| {
            bench.now = bench.now.plus(Duration::from_secs(after));
            let mut nodes = bench.obs.nodes.last().map(|list| list.as_ref().clone()).unwrap_or_default();
            nodes.iter_mut().for_each(change);
            bench.obs.fold_nodes(Ok(Arc::new(nodes)), bench.now)
        };
        let now = |node: &mut NodeState| node.renewed = node.renewed.map(|at| at.plus(Duration::from_secs(10)));
        look(10, &now);
        assert!(!look(10, &now), "it renews as it always does");
        assert!(!look(2, &|_| ()), "it has not renewed yet");
        assert!(look(30, &now), "it was silent for long");
        assert!(look(2, &|node| node.unschedulable = true), "somebody cordoned it");
    }

    const MINUTE: Duration = Duration::from_secs(60);

    /// A minute later, the Lease of n1 is as old as this; whether its kubelet counts as alive.
    fn lives(bench: &mut Bench, age: Duration) -> bool {
        bench.now = bench.now.plus(MINUTE);
        let renewed = bench.now.minus(age);
        bench.change_node(1, |node| node.renewed = Some(renewed));
        let (node, view) = (node(1), bench.view());
        assert_ne!(view.kubelet_alive(&node), view.kubelet_silent(&node));
        view.kubelet_alive(&node)
    }

    #[test]
    fn a_kubelet_is_heard_though_its_clock_was_set_back() {
        let mut bench = Bench::new(1);
        bench.all_up();
        assert!(lives(&mut bench, MINUTE * 60), "only a kubelet writes its Lease");
        assert!(!lives(&mut bench, MINUTE * 61), "it has not written since");
        assert!(lives(&mut bench, MINUTE * 61));
    }

    #[test]
    fn a_store_that_was_set_back_is_no_kubelet() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.now = bench.now.plus(MINUTE);
        bench.obs.fold_nodes(Err(PortError::new(ErrorKind::Transient, "list nodes", "the API server", "refused")), bench.now);
        bench.now = bench.now.plus(MINUTE);
        let (later, old) = (bench.now, bench.now.minus(MINUTE * 60));
        bench.change_node(1, |node| node.renewed = Some(old));
        assert!(!bench.view().kubelet_alive(&node(1)), "a snapshot was restored while the API was away");
        assert!(!bench.view().kubelet_silent(&node(1)), "nobody has looked for long enough");
        bench.now = later.plus(Duration::from_secs(10));
        bench.change_node(1, |node| node.renewed = Some(old.plus(Duration::from_secs(10))));
        assert!(bench.view().kubelet_alive(&node(1)));
    }
}
