//! Pods: what their containers do, and what the kubelet tells the API of it.

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::PodPhase;

use super::{Event, Pod, What, World};

impl World {
    /// Changes a pod and keeps every count that hangs on it.
    pub(super) fn change_pod(&mut self, row: usize, change: impl FnOnce(&mut Pod)) {
        let before = self.standing(row);
        let seen = visible(&self.pods[row]);
        change(&mut self.pods[row]);
        let now = self.now;
        let pod = &mut self.pods[row];
        let workload = pod.workload;
        if visible(pod) != seen {
            if pod.ready != seen.1 {
                pod.ready_since = now;
            }
            let what = if pod.gone { What::Deleted } else { What::Modified };
            let object = pod.object.clone();
            self.pods[row].rv = self.touched(what, &object, row);
            self.mark_dirty(workload);
        }
        let after = self.standing(row);
        let counts = &mut self.workloads[workload];
        counts.ready_now = counts.ready_now + u32::from(after.0) - u32::from(before.0);
        let had = counts.endpoints;
        counts.endpoints = had + u32::from(after.1) - u32::from(before.1);
        match (had, counts.endpoints) {
            (0, 1) => self.came_up(workload),
            (1, 0) => self.flux_part_down(workload),
            _ => {}
        }
        if workload == self.known.storage
            && let Some(node) = self.pods[row].node
        {
            self.storage_pod_changed(node);
        }
    }

    /// Whether it counts as ready for its workload, and whether it is an endpoint.
    fn standing(&self, row: usize) -> (bool, bool) {
        let pod = &self.pods[row];
        let ready = pod.ready && !pod.gone && pod.deleting.is_none();
        let in_place = match (self.workloads[pod.workload].is_daemon(), pod.node) {
            (true, Some(node)) => self.nodes[node].takes_daemons,
            (true, None) => false,
            (false, _) => true,
        };
        (ready && in_place, ready && pod.serving)
    }

    fn came_up(&mut self, workload: usize) {
        self.note(|world| format!("{} serves", world.workloads[workload].object));
        let waiters = std::mem::take(&mut self.workloads[workload].waiters);
        self.wake(waiters);
        self.flux_part_up(workload);
    }

    pub(super) fn wake(&mut self, waiters: Vec<usize>) {
        for row in waiters {
            let pod = &self.pods[row];
            let (epoch, span) = (pod.epoch, self.draw("probe", row, u64::from(pod.epoch), 500, 6_000));
            self.after(span, Event::PodProbe(row, epoch));
        }
    }

    /// Power went: nothing runs on the host. The API still has what it had.
    pub(super) fn containers_die(&mut self, node: usize) {
        self.nobody_waits(node);
        for row in self.nodes[node].pods.clone() {
            self.change_pod(row, |pod| (pod.running, pod.serving, pod.epoch) = (false, false, pod.epoch + 1));
            if self.pods[row].workload == self.known.source_controller {
                self.source.stored = false;
            }
        }
        self.vault_forgets();
    }

    /// The kubelet is back and looks at a pod that is bound to its node.
    pub(super) fn kubelet_finds(&mut self, row: usize) {
        if self.pods[row].deleting.is_some() {
            self.end(row);
        } else if self.pods[row].running {
            self.publish(row);
        } else {
            self.change_pod(row, |pod| (pod.ready, pod.reason) = (false, "ContainersNotReady"));
            self.start_pod(row);
        }
    }

    pub(super) fn start_pod(&mut self, row: usize) {
        let pod = &self.pods[row];
        let Some(node) = pod.node.map(|node| &self.nodes[node]) else { return };
        if node.never_ready || node.wedged || node.alive_since.is_none() {
            return;
        }
        let (low, high) = self.workloads[pod.workload].start;
        let takes = self.draw("pod-start", row, u64::from(pod.epoch), low, high);
        let pod = &mut self.pods[row];
        pod.epoch += 1;
        let epoch = pod.epoch;
        self.after(takes, Event::PodStarted(row, epoch));
    }

    pub(super) fn pod_started(&mut self, row: usize, epoch: u32) {
        let pod = &self.pods[row];
        if pod.epoch != epoch || pod.gone {
            return;
        }
        self.change_pod(row, |pod| pod.running = true);
        self.publish(row);
        self.pod_probe(row, epoch);
    }

    /// It is ready once all it needs serves; until then it waits for the first thing that does not.
    pub(super) fn pod_probe(&mut self, row: usize, epoch: u32) {
        let pod = &self.pods[row];
        let Some(node) = pod.node else { return };
        if pod.epoch != epoch || pod.gone || !pod.running || pod.serving {
            return;
        }
        let workload = &self.workloads[pod.workload];
        if workload.crashing {
            self.publish(row);
            return;
        }
        let missing = workload.needs.iter().copied().find(|need| self.workloads[*need].endpoints == 0);
        if let Some(need) = missing {
            self.workloads[need].waiters.push(row);
            return;
        }
        if workload.volumes && self.waits_for_volume(row, node) {
            return;
        }
        if self.vault_holds(self.pods[row].workload) {
            self.publish(row);
            return;
        }
        self.change_pod(row, |pod| pod.serving = true);
        self.publish(row);
    }

    /// The kubelet tells the API, if it can.
    pub(super) fn publish(&mut self, row: usize) {
        let pod = &self.pods[row];
        if pod.node.is_none_or(|node| self.nodes[node].alive_since.is_none()) {
            return;
        }
        let reason = match (pod.serving, self.workloads[pod.workload].crashing) {
            (_, true) => "CrashLoopBackOff",
            (true, false) => "",
            (false, false) => "ContainersNotReady",
        };
        self.change_pod(row, |pod| {
            pod.phase = PodPhase::Running;
            pod.ready = pod.serving;
            pod.reason = reason;
        });
    }

    /// Sets `deletionTimestamp`; the object goes once the kubelet has ended the pod.
    pub(super) fn terminate(&mut self, row: usize) {
        if self.pods[row].deleting.is_none() && !self.pods[row].gone {
            let now = self.now;
            self.change_pod(row, |pod| pod.deleting = Some(now));
            self.end(row);
        }
    }

    fn end(&mut self, row: usize) {
        let pod = &self.pods[row];
        let span = match pod.node {
            None => 50,
            Some(node) if self.nodes[node].alive_since.is_none() => return,
            Some(_) if pod.running => self.draw("pod-end", row, u64::from(pod.epoch), 800, 7_000),
            Some(_) => 300,
        };
        let epoch = pod.epoch;
        self.after(span, Event::PodGone(row, epoch));
    }

    pub(super) fn pod_gone(&mut self, row: usize, epoch: u32) {
        let pod = &self.pods[row];
        let ended = pod.node.is_none_or(|node| self.nodes[node].alive_since.is_some());
        if pod.epoch == epoch && !pod.gone && ended {
            self.remove_pod(row);
        }
    }

    /// The object goes; whether its containers run is another matter.
    pub(super) fn remove_pod(&mut self, row: usize) {
        self.change_pod(row, |pod| {
            (pod.gone, pod.serving, pod.running, pod.ready) = (true, false, false, false);
            pod.epoch += 1;
        });
        let pod = &self.pods[row];
        let (node, workload) = (pod.node, pod.workload);
        if let Some(node) = node {
            self.nodes[node].pods.retain(|other| *other != row);
        }
        self.workloads[workload].pods.retain(|other| *other != row);
        self.pending.remove(&row);
        let pod = &self.pods[row];
        self.pod_names.remove(&(pod.object.namespace.clone(), pod.object.name.clone()));
        if workload == self.known.source_controller {
            self.source.stored = false;
        }
        if let Some(node) = node.filter(|_| workload == self.known.storage) {
            self.nodes[node].storage.broken = false;
        }
        self.volume_follows(row);
        self.mark_dirty(workload);
    }

    pub(super) fn crash(&mut self, workload: usize) {
        self.workloads[workload].crashing = true;
        for row in self.workloads[workload].pods.clone() {
            self.change_pod(row, |pod| pod.serving = false);
            if self.pods[row].running {
                self.publish(row);
            }
        }
    }

    /// Adds a pod that does not exist yet, bound to `node` or not at all.
    pub(super) fn add_pod(&mut self, workload: usize, name: &str, ordinal: u32, node: Option<usize>) -> usize {
        let namespace = self.workloads[workload].object.namespace.clone();
        let object = ObjectRef { kind: Kind::Pod, namespace, name: name.into() };
        let row = self.pods.len();
        let uid = self.uid("pod", row);
        let key = (object.namespace.clone(), object.name.clone());
        let rv = self.touched(What::Added, &object, row);
        self.pods.add(Pod {
            object,
            uid,
            rv,
            workload,
            ordinal,
            node,
            created: self.now,
            phase: PodPhase::Pending,
            ready: false,
            reason: if node.is_some() { "ContainersNotReady" } else { "Unschedulable" },
            ready_since: self.now,
            deleting: None,
            restarts: 0,
            running: false,
            serving: false,
            gone: false,
            epoch: 0,
        });
        self.pod_names.insert(key, row);
        self.workloads[workload].pods.push(row);
        self.claim_for(workload, ordinal);
        match node {
            Some(node) => self.nodes[node].pods.push(row),
            None => {
                self.pending.insert(row);
                self.want_schedule();
            }
        }
        row
    }
}

fn visible(pod: &Pod) -> (PodPhase, bool, &'static str, Option<i64>, Option<usize>, bool) {
    (pod.phase, pod.ready, pod.reason, pod.deleting, pod.node, pod.gone)
}
