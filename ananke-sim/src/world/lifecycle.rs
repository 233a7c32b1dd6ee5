//! The node lifecycle controller and the taint manager: readiness that outlives its node, taints, evictions, and what a
//! disruption of most nodes stops.
//!
//! The controller looks at all nodes every five seconds. Here a look is an event only where it will find something.

use std::collections::VecDeque;
use std::sync::Arc;

use ananke_core::observation::{Taint, Tri};

use super::site_trouble::DISK_PRESSURE;
use super::{DisruptionTarget, Event, Ms, Node, World};

/// The controller looks at the nodes this often.
pub(super) const PERIOD: Ms = 5_000;
/// A node is lost at the first look that has seen no renewal for this long.
const GRACE: Ms = 50_000;
/// Several workers go through the nodes of one look, each at its own pace.
const WORKERS: (Ms, Ms) = (0, 90);
/// The tainter passes this often.
const PASS: Ms = 100;
/// It gives one node `NoExecute` in this time, and in the second where most of a large cluster is unhealthy.
const PACE: (Ms, Ms) = (10_000, 100_000);
/// Pods tolerate an unreachable or unready node this long.
const TOLERATION: Ms = 300_000;
/// Up to this size a cluster evicts nobody while most of it is unhealthy.
const SMALL: usize = 50;
const SILENT: &str = "Kubelet stopped posting node status.";

pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// What the controller keeps in mind. A new leader begins anew.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lifecycle {
    /// When the leader began: its looks are whole periods later.
    pub(super) since: Ms,
    /// Nodes that wait for `NoExecute`, with the epoch of the look that found them.
    queue: VecDeque<(usize, u32)>,
    /// The node that the tainter has at work: it is tainted whatever the controller finds of the others meanwhile.
    taken: Option<(usize, u32)>,
    /// When the tainter may take the next one.
    free_at: Ms,
    pass_due: bool,
}

/// How far a disruption goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disruption {
    /// Few nodes are lost, or few enough of a large cluster.
    None,
    /// Most nodes are lost: a small cluster evicts nobody, a large one slowly.
    Partial,
    /// No node is left: the controller suspects itself.
    Full,
}

impl World {
    /// What a new leader does: it has seen no renewal yet, so everybody has the whole grace again.
    pub(super) fn watch_all_nodes(&mut self) {
        let now = self.now;
        self.lifecycle = Lifecycle { since: now, ..Lifecycle::default() };
        for row in 0..self.nodes.len() {
            if self.nodes[row].alive_since.is_none() && self.nodes[row].ready != Tri::Unknown {
                self.watch(row, now);
            }
            self.taints_follow(row);
            self.look_at(row);
        }
    }

    /// The kubelet has not renewed its Lease since `from`.
    pub(super) fn watch(&mut self, row: usize, from: Ms) {
        let node = &mut self.nodes[row];
        node.watch_epoch += 1;
        let epoch = node.watch_epoch;
        let seen = self.next_look(from.max(self.lifecycle.since));
        let worker = self.draw("worker", row, u64::from(epoch), WORKERS.0, WORKERS.1);
        self.at(seen + GRACE + worker, Event::NodeLost(row, epoch));
    }

    fn next_look(&self, from: Ms) -> Ms {
        from + (self.lifecycle.since - from).rem_euclid(PERIOD)
    }

    pub(super) fn node_lost(&mut self, row: usize, epoch: u32) {
        let node = &self.nodes[row];
        if node.watch_epoch != epoch || node.alive_since.is_some() || !self.control.controllers {
            return;
        }
        let before = self.disruption();
        self.set_ready(row, Tri::Unknown, "NodeStatusUnknown", SILENT);
        for pod in self.nodes[row].pods.clone() {
            self.change_pod(pod, |pod| pod.ready = false);
        }
        self.nodes[row].look_epoch += 1;
        if !self.halts(before) {
            self.taint_later(row);
        }
    }

    /// The kubelet's own word on its node; the controller acts on it at its next look.
    pub(super) fn kubelet_says(&mut self, row: usize, ready: Tri, reason: &'static str, message: &'static str) {
        self.set_ready(row, ready, reason, message);
        self.look_soon(row);
    }

    pub(super) fn look_soon(&mut self, row: usize) {
        let node = &mut self.nodes[row];
        node.look_epoch += 1;
        let epoch = node.look_epoch;
        if self.control.controllers && (node.ready != Tri::True || node.taints.iter().any(tolerated_for_a_while)) {
            let at = self.next_look(self.now);
            self.at(at, Event::NodeLook(row, epoch));
        }
    }

    pub(super) fn node_look(&mut self, row: usize, epoch: u32) {
        if self.nodes[row].look_epoch == epoch && self.control.controllers {
            self.look_at(row);
        }
    }

    /// `NoExecute` goes at once and comes in turn.
    fn look_at(&mut self, row: usize) {
        if self.nodes[row].ready == Tri::True {
            self.lift(row);
        } else if !self.halts(self.disruption()) {
            self.taint_later(row);
        }
    }

    fn lift(&mut self, row: usize) {
        let node = &mut self.nodes[row];
        node.evict_epoch += 1;
        let before = node.taints.len();
        node.taints.retain(|taint| !tolerated_for_a_while(taint));
        if node.taints.len() != before {
            self.taints_changed(row);
        }
    }

    fn taint_later(&mut self, row: usize) {
        let node = &self.nodes[row];
        let entry = (row, node.look_epoch);
        if has_taint(node, lifecycle_key(node), "NoExecute") {
            self.tolerate(row);
        } else if self.lifecycle.pass_due || self.lifecycle.free_at > self.now + PASS {
            self.lifecycle.queue.push_back(entry);
            self.pass_later(self.lifecycle.free_at);
        } else {
            self.lifecycle.taken = Some(entry);
            self.pass_later(self.now + PASS);
        }
    }

    fn pass_later(&mut self, at: Ms) {
        if !self.lifecycle.pass_due {
            self.lifecycle.pass_due = true;
            self.at(at, Event::TaintPass(self.control.epoch));
        }
    }

    /// The tainter takes the next node that still needs it.
    pub(super) fn taint_pass(&mut self, epoch: u32) {
        if self.control.epoch != epoch || !self.control.controllers {
            return;
        }
        self.lifecycle.pass_due = false;
        let disruption = self.disruption();
        if self.halts(disruption) {
            self.lifecycle.queue.clear();
        }
        let taken = self.lifecycle.taken.take();
        let waiting = |world: &World, (row, epoch): (usize, u32)| {
            let node = &world.nodes[row];
            (node.look_epoch == epoch && node.ready != Tri::True).then_some(row)
        };
        let mut next = taken.and_then(|entry| waiting(self, entry));
        while next.is_none() {
            let Some(entry) = self.lifecycle.queue.pop_front() else { break };
            next = waiting(self, entry);
        }
        if let Some(row) = next {
            let pace = if disruption == Disruption::None { PACE.0 } else { PACE.1 };
            self.lifecycle.free_at = self.now + pace;
            self.condemn(row);
        }
        if !self.lifecycle.queue.is_empty() {
            self.pass_later(self.lifecycle.free_at);
        }
    }

    /// `NoExecute`, and the eviction that follows from it.
    fn condemn(&mut self, row: usize) {
        let key = lifecycle_key(&self.nodes[row]);
        self.nodes[row].taints.retain(|taint| !tolerated_for_a_while(taint));
        self.nodes[row].taints.push(taint(key, "NoExecute"));
        self.taints_changed(row);
        self.tolerate(row);
    }

    fn tolerate(&mut self, row: usize) {
        self.nodes[row].evict_epoch += 1;
        let epoch = self.nodes[row].evict_epoch;
        self.after(TOLERATION, Event::EvictNode(row, epoch));
    }

    pub(super) fn evict_node(&mut self, row: usize, epoch: u32) {
        let node = &self.nodes[row];
        let condemned = node.evict_epoch == epoch && node.taints.iter().any(tolerated_for_a_while);
        if !condemned || !self.control.controllers || self.halts(self.disruption()) {
            return;
        }
        self.note(|world| format!("{}: pods evicted", world.nodes[row].name));
        for pod in self.nodes[row].pods.clone() {
            if !self.workloads[self.pods[pod].workload].is_daemon() && self.pods[pod].deleting.is_none() {
                self.change_pod(pod, |pod| pod.disruption_target = Some(DisruptionTarget::Taint));
                self.terminate(pod);
            }
        }
    }

    fn set_ready(&mut self, row: usize, ready: Tri, reason: &'static str, message: &'static str) {
        let before = self.disruption();
        let now = self.now;
        let node = &mut self.nodes[row];
        if node.ready != ready || node.reason != reason || node.message != message {
            if node.ready != ready {
                node.ready_since = now;
                match (node.ready == Tri::True, ready == Tri::True) {
                    (true, false) => self.ready_nodes -= 1,
                    (false, true) => self.ready_nodes += 1,
                    (true, true) | (false, false) => {}
                }
            }
            (node.ready, node.reason, node.message) = (ready, reason, message);
            self.note(|world| format!("{} Ready={ready:?}", world.nodes[row].name));
            self.touch_node(row);
        }
        if self.control.controllers {
            self.taints_follow(row);
            self.disruption_follows(before);
        }
    }

    fn disruption(&self) -> Disruption {
        let (all, lost) = (self.nodes.len(), self.nodes.len() - self.ready_nodes);
        if lost == all {
            Disruption::Full
        } else if lost > 2 && lost * 100 >= all * 55 {
            Disruption::Partial
        } else {
            Disruption::None
        }
    }

    /// Whether nobody is tainted or evicted.
    fn halts(&self, disruption: Disruption) -> bool {
        match disruption {
            Disruption::None => false,
            Disruption::Partial => self.nodes.len() <= SMALL,
            Disruption::Full => true,
        }
    }

    /// A full disruption takes `NoExecute` from everybody; when it is over, the next look begins anew.
    fn disruption_follows(&mut self, before: Disruption) {
        let after = self.disruption();
        if after == Disruption::Full && before != Disruption::Full {
            for row in 0..self.nodes.len() {
                self.lift(row);
            }
        }
        if self.halts(before) && !self.halts(after) {
            let at = self.next_look(self.now);
            self.at(at, Event::DisruptionOver(self.control.epoch));
        }
    }

    pub(super) fn disruption_over(&mut self, epoch: u32) {
        if self.control.epoch != epoch || !self.control.controllers {
            return;
        }
        for row in 0..self.nodes.len() {
            if self.nodes[row].ready != Tri::True {
                self.look_at(row);
            }
        }
    }

    /// `NoSchedule` as the Ready condition asks for it, and the taint that goes with `spec.unschedulable`.
    pub(super) fn taints_follow(&mut self, row: usize) {
        let node = &mut self.nodes[row];
        let wanted = (node.ready != Tri::True).then(|| lifecycle_key(node));
        let before = node.taints.clone();
        node.taints.retain(|taint| !is_lifecycle(taint) || &*taint.effect != "NoSchedule" || wanted == Some(&*taint.key));
        if let Some(key) = wanted
            && !has_taint(node, key, "NoSchedule")
        {
            node.taints.push(taint(key, "NoSchedule"));
        }
        node.taints.retain(|taint| node.unschedulable || &*taint.key != UNSCHEDULABLE);
        if node.unschedulable && !has_taint(node, UNSCHEDULABLE, "NoSchedule") {
            node.taints.push(taint(UNSCHEDULABLE, "NoSchedule"));
        }
        if node.taints != before {
            self.taints_changed(row);
        }
    }

    /// DaemonSets and the scheduler look again.
    pub(super) fn taints_changed(&mut self, row: usize) {
        self.touch_node(row);
        let takes = self.nodes[row].taints.iter().all(daemons_tolerate);
        if takes != self.nodes[row].takes_daemons {
            let pods = self.nodes[row].pods.clone();
            let before: Vec<_> = pods.iter().map(|pod| self.standing(*pod)).collect();
            self.nodes[row].takes_daemons = takes;
            self.daemon_nodes = if takes { self.daemon_nodes + 1 } else { self.daemon_nodes - 1 };
            for (pod, before) in pods.into_iter().zip(before) {
                self.recount(pod, before);
            }
            for workload in self.daemons.clone() {
                self.mark_dirty(workload);
            }
        }
        self.retry_unschedulable();
    }
}

fn lifecycle_key(node: &Node) -> &'static str {
    if node.ready == Tri::Unknown { UNREACHABLE } else { NOT_READY }
}

fn taint(key: &str, effect: &str) -> Taint {
    Taint { key: Arc::from(key), value: Arc::from(""), effect: Arc::from(effect) }
}

fn has_taint(node: &Node, key: &str, effect: &str) -> bool {
    node.taints.iter().any(|taint| &*taint.key == key && &*taint.effect == effect)
}

fn is_lifecycle(taint: &Taint) -> bool {
    matches!(&*taint.key, UNREACHABLE | NOT_READY)
}

/// What every pod tolerates for five minutes, and DaemonSet pods for ever: `NoExecute` of unready and unreachable nodes.
pub(super) fn tolerated_for_a_while(taint: &Taint) -> bool {
    &*taint.effect == "NoExecute" && is_lifecycle(taint)
}

/// What the DaemonSet controller tolerates by itself.
fn daemons_tolerate(taint: &Taint) -> bool {
    match &*taint.effect {
        "NoSchedule" => matches!(&*taint.key, UNSCHEDULABLE | DISK_PRESSURE),
        "NoExecute" => is_lifecycle(taint),
        _ => true,
    }
}
