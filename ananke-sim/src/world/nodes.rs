//! Kubelets: when they live, what they say of their nodes.

use ananke_core::observation::{Taint, Tri, UnitState};

use super::lifecycle::tolerated_for_a_while;
use super::{Event, HEARTBEAT, What, World};

/// What kubelets say of the Ready condition.
pub(super) const READY: &str = "kubelet is posting ready status";
const RUNTIME_DOWN: &str = "container runtime is down";
pub(super) const NO_NETWORK: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
const WEDGED: &str = "PLEG is not healthy: pleg was last seen active 3m40s ago; threshold is 3m0s";

impl World {
    /// Starts or ends the kubelet's life as its host, unit and the API allow.
    pub(super) fn refresh_kubelet(&mut self, row: usize) {
        let host = &self.hosts[row];
        let works = host.is_reached() && host.unit_state == UnitState::Active && self.control.api;
        let node = &self.nodes[row];
        if works == node.alive_since.is_some() {
            return;
        }
        let last = self.renewed(node);
        let nth = u64::from(node.epoch);
        let now = self.now;
        let posts = match self.rhythm {
            Some(beat) => (beat - now).rem_euclid(HEARTBEAT),
            None => self.draw("kubelet", row, nth, 1_500, 8_000),
        };
        let finds = self.draw("finds", row, nth, 300, 800);
        let node = &mut self.nodes[row];
        node.epoch += 1;
        if works {
            (node.alive_since, node.watch_epoch) = (Some(now), node.watch_epoch + 1);
            let epoch = node.epoch;
            self.after(posts, Event::NodePosts(row, epoch));
            if self.rhythm.is_some() {
                self.after(finds, Event::PodsFound(row, epoch));
            }
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
            Some(message) => self.kubelet_says(row, Tri::False, "KubeletNotReady", message),
            None => self.kubelet_says(row, Tri::True, "KubeletReady", READY),
        }
        if self.rhythm.is_none() {
            self.pods_found(row, epoch);
        }
        self.retry_unschedulable();
    }

    /// The kubelet looks at the pods of its node for the first time since it came to life.
    pub(super) fn pods_found(&mut self, row: usize, epoch: u32) {
        let node = &self.nodes[row];
        if node.epoch != epoch || node.alive_since.is_none() {
            return;
        }
        for pod in self.nodes[row].pods.clone() {
            self.kubelet_finds(pod);
        }
        self.unmount_unused(row);
    }

    pub(super) fn touch_node(&mut self, row: usize) {
        let object = self.node_object(row);
        self.nodes[row].rv = self.touched(What::Modified, &object, row);
    }

    /// Its container runtime is dead for good.
    pub(super) fn set_never_ready(&mut self, row: usize) {
        self.nodes[row].never_ready = true;
        if self.nodes[row].alive_since.is_some() {
            self.kubelet_says(row, Tri::False, "KubeletNotReady", RUNTIME_DOWN);
            for pod in self.nodes[row].pods.clone() {
                self.change_pod(pod, |pod| (pod.running, pod.serving, pod.ready) = (false, false, false));
            }
        }
    }

    /// Its kubelet lost sight of its containers: those that run go on, none is started, and the Lease is renewed.
    pub(super) fn set_wedged(&mut self, row: usize) {
        self.nodes[row].wedged = true;
        if self.nodes[row].alive_since.is_some() {
            self.kubelet_says(row, Tri::False, "KubeletNotReady", WEDGED);
        }
    }

    /// Why the kubelet cannot say that it is ready.
    fn ailment(&self, row: usize) -> Option<&'static str> {
        let node = &self.nodes[row];
        match (node.never_ready, node.wedged) {
            (true, _) => Some(RUNTIME_DOWN),
            (false, true) => Some(WEDGED),
            (false, false) => self.lacks_network(row).then_some(NO_NETWORK),
        }
    }

    /// The kubelet finds the configuration of its network, and starts what waited for it.
    pub(super) fn network_up(&mut self, row: usize) {
        if self.nodes[row].alive_since.is_some() {
            self.kubelet_says(row, Tri::True, "KubeletReady", READY);
            for pod in self.nodes[row].pods.clone() {
                self.kubelet_finds(pod);
            }
            self.retry_unschedulable();
        }
    }

    /// The scheduler may put pods there: it believes the Ready condition, stale or not.
    pub(super) fn schedulable(&self, row: usize) -> bool {
        let node = &self.nodes[row];
        let open = |taint: &Taint| &*taint.effect == "PreferNoSchedule" || tolerated_for_a_while(taint);
        node.ready == Tri::True && !node.unschedulable && node.taints.iter().all(open)
    }
}
