//! Kubelets and the node lifecycle controller: stale readiness, taints, evictions, and what a full disruption stops.

use std::sync::Arc;

use ananke_core::observation::{Taint, Tri, UnitState};

use super::{Event, Ms, Node, Power, What, World};

/// The node monitor waits this long for a renewal.
const GRACE: Ms = 50_000;
/// Pods tolerate an unreachable or unready node this long.
const TOLERATION: Ms = 300_000;
/// What kubelets and the node controller say of the Ready condition.
pub(super) const READY: &str = "kubelet is posting ready status";
const RUNTIME_DOWN: &str = "container runtime is down";
const WEDGED: &str = "PLEG is not healthy: pleg was last seen active 3m40s ago; threshold is 3m0s";
const SILENT: &str = "Kubelet stopped posting node status.";
/// Up to this size a cluster evicts nobody while most of it is unhealthy.
const SMALL: usize = 50;

pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

impl World {
    /// Starts or ends the kubelet's life as its host, unit and the API allow.
    pub(super) fn refresh_kubelet(&mut self, row: usize) {
        let host = &self.hosts[row];
        let works = host.power == Power::Up && host.unit_state == UnitState::Active && self.control.api;
        let node = &self.nodes[row];
        if works == node.alive_since.is_some() {
            return;
        }
        let last = self.renewed(node);
        let posts = self.draw("kubelet", row, u64::from(node.epoch), 1_500, 8_000);
        let now = self.now;
        let node = &mut self.nodes[row];
        node.epoch += 1;
        if works {
            (node.alive_since, node.watch_epoch) = (Some(now), node.watch_epoch + 1);
            let epoch = node.epoch;
            self.after(posts, Event::NodePosts(row, epoch));
        } else {
            (node.alive_since, node.last_renewed) = (None, last);
            if self.control.controllers {
                self.watch(row, last);
            }
        }
    }

    /// The kubelet posts its first status since it came to life.
    pub(super) fn node_posts(&mut self, row: usize, epoch: u32) {
        let node = &self.nodes[row];
        if node.epoch != epoch || node.alive_since.is_none() {
            return;
        }
        let boot_id = self.hosts[row].boot_id.clone();
        if node.boot_id.as_ref() != Some(&boot_id) {
            self.nodes[row].boot_id = Some(boot_id);
            self.touch_node(row);
            self.forget_driver(row);
        }
        match self.ailment(row) {
            Some(message) => self.set_ready(row, Tri::False, "KubeletNotReady", message),
            None => self.set_ready(row, Tri::True, "KubeletReady", READY),
        }
        for pod in self.nodes[row].pods.clone() {
            self.kubelet_finds(pod);
        }
        self.unmount_unused(row);
        self.want_schedule();
    }

    /// What a new leader does: it has seen no renewal yet, so everybody has the whole grace again.
    pub(super) fn watch_all_nodes(&mut self) {
        let now = self.now;
        for row in 0..self.nodes.len() {
            if self.nodes[row].alive_since.is_none() && self.nodes[row].ready != Tri::Unknown {
                self.watch(row, now);
            }
            self.taints_follow(row);
            if self.nodes[row].ready != Tri::True && !self.halted() {
                self.condemn(row);
            }
        }
    }

    fn watch(&mut self, row: usize, from: Ms) {
        let node = &mut self.nodes[row];
        node.watch_epoch += 1;
        let epoch = node.watch_epoch;
        self.at(from + GRACE, Event::NodeLost(row, epoch));
    }

    pub(super) fn node_lost(&mut self, row: usize, epoch: u32) {
        let node = &self.nodes[row];
        if node.watch_epoch != epoch || node.alive_since.is_some() || !self.control.controllers {
            return;
        }
        self.set_ready(row, Tri::Unknown, "NodeStatusUnknown", SILENT);
        for pod in self.nodes[row].pods.clone() {
            self.change_pod(pod, |pod| pod.ready = false);
        }
        if !self.halted() {
            self.condemn(row);
        }
    }

    /// `NoExecute`, and the eviction that follows from it.
    fn condemn(&mut self, row: usize) {
        let key = if self.nodes[row].ready == Tri::Unknown { UNREACHABLE } else { NOT_READY };
        if !has_taint(&self.nodes[row], key, "NoExecute") {
            self.nodes[row].taints.push(taint(key, "NoExecute"));
            self.taints_changed(row);
        }
        self.nodes[row].evict_epoch += 1;
        let epoch = self.nodes[row].evict_epoch;
        self.after(TOLERATION, Event::EvictNode(row, epoch));
    }

    pub(super) fn evict_node(&mut self, row: usize, epoch: u32) {
        if self.nodes[row].evict_epoch != epoch || !self.control.controllers || self.halted() {
            return;
        }
        self.note(|world| format!("{}: pods evicted", world.nodes[row].name));
        for pod in self.nodes[row].pods.clone() {
            if !self.workloads[self.pods[pod].workload].is_daemon() {
                self.terminate(pod);
            }
        }
    }

    fn set_ready(&mut self, row: usize, ready: Tri, reason: &'static str, message: &'static str) {
        let halted = self.halted();
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
            self.zone_follows(halted);
        }
    }

    /// Most or all nodes are gone: the controller suspects itself and evicts nobody.
    fn halted(&self) -> bool {
        let (all, lost) = (self.nodes.len(), self.nodes.len() - self.ready_nodes);
        lost == all || (all <= SMALL && lost > 2 && lost * 100 >= all * 55)
    }

    fn zone_follows(&mut self, was_halted: bool) {
        if self.ready_nodes == 0 {
            for row in 0..self.nodes.len() {
                self.nodes[row].evict_epoch += 1;
                let before = self.nodes[row].taints.len();
                self.nodes[row].taints.retain(|taint| !(is_lifecycle(taint) && &*taint.effect == "NoExecute"));
                if self.nodes[row].taints.len() != before {
                    self.taints_changed(row);
                }
            }
        } else if was_halted && !self.halted() {
            for row in 0..self.nodes.len() {
                if self.nodes[row].ready != Tri::True {
                    self.condemn(row);
                }
            }
        }
    }

    /// Lifecycle taints as the Ready condition asks for them, and the one that goes with `spec.unschedulable`.
    pub(super) fn taints_follow(&mut self, row: usize) {
        let node = &mut self.nodes[row];
        let wanted = match node.ready {
            Tri::True => None,
            Tri::False => Some(NOT_READY),
            Tri::Unknown => Some(UNREACHABLE),
        };
        let before = node.taints.clone();
        node.taints.retain(|taint| !is_lifecycle(taint) || wanted == Some(&*taint.key));
        if let Some(key) = wanted
            && !has_taint(node, key, "NoSchedule")
        {
            node.taints.push(taint(key, "NoSchedule"));
        }
        node.taints.retain(|taint| node.unschedulable || &*taint.key != UNSCHEDULABLE);
        if node.unschedulable && !has_taint(node, UNSCHEDULABLE, "NoSchedule") {
            node.taints.push(taint(UNSCHEDULABLE, "NoSchedule"));
        }
        if wanted.is_none() {
            node.evict_epoch += 1;
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
            self.nodes[row].takes_daemons = takes;
            self.daemon_nodes = if takes { self.daemon_nodes + 1 } else { self.daemon_nodes - 1 };
            for at in 0..self.nodes[row].pods.len() {
                let Some(pod) = self.nodes[row].pods.get(at).map(|pod| &self.pods[*pod]) else { continue };
                let workload = pod.workload;
                if pod.ready && pod.deleting.is_none() && self.workloads[workload].is_daemon() {
                    let count = &mut self.workloads[workload].ready_now;
                    *count = if takes { *count + 1 } else { *count - 1 };
                }
            }
            for workload in self.daemons.clone() {
                self.mark_dirty(workload);
            }
        }
        self.want_schedule();
    }

    pub(super) fn touch_node(&mut self, row: usize) {
        let object = self.node_object(row);
        self.nodes[row].rv = self.touched(What::Modified, &object, row);
    }

    /// Its container runtime is dead for good.
    pub(super) fn set_never_ready(&mut self, row: usize) {
        self.nodes[row].never_ready = true;
        if self.nodes[row].alive_since.is_some() {
            self.set_ready(row, Tri::False, "KubeletNotReady", RUNTIME_DOWN);
            for pod in self.nodes[row].pods.clone() {
                self.change_pod(pod, |pod| (pod.running, pod.serving, pod.ready) = (false, false, false));
            }
        }
    }

    /// Its kubelet lost sight of its containers: those that run go on, none is started, and the Lease is renewed.
    pub(super) fn set_wedged(&mut self, row: usize) {
        self.nodes[row].wedged = true;
        if self.nodes[row].alive_since.is_some() {
            self.set_ready(row, Tri::False, "KubeletNotReady", WEDGED);
        }
    }

    /// Why the kubelet cannot say that it is ready.
    fn ailment(&self, row: usize) -> Option<&'static str> {
        let node = &self.nodes[row];
        match (node.never_ready, node.wedged) {
            (true, _) => Some(RUNTIME_DOWN),
            (false, true) => Some(WEDGED),
            (false, false) => None,
        }
    }

    /// The scheduler may put pods there: it believes the Ready condition, stale or not.
    pub(super) fn schedulable(&self, row: usize) -> bool {
        let node = &self.nodes[row];
        node.ready == Tri::True && !node.unschedulable && node.taints.iter().all(|taint| &*taint.effect == "PreferNoSchedule")
    }
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

/// What the DaemonSet controller tolerates by itself: `unschedulable`, and `NoExecute` of unready and unreachable nodes.
fn daemons_tolerate(taint: &Taint) -> bool {
    match &*taint.effect {
        "NoSchedule" => &*taint.key == UNSCHEDULABLE,
        "NoExecute" => is_lifecycle(taint),
        _ => true,
    }
}
