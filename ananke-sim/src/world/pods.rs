//! Pods: what their containers do, and what the kubelet tells the API of it.

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::{PodPhase, UnitState};

use super::{Counts, DisruptionTarget, Event, Ms, Pod, What, World};

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
        self.recount(row, before);
        if workload == self.known.storage
            && let Some(node) = self.pods[row].node
        {
            self.storage_pod_changed(node);
        }
        self.plugin_changed(row);
    }

    /// What it counts as for its workload.
    pub(super) fn standing(&self, row: usize) -> Counts {
        let pod = &self.pods[row];
        let (there, live) = (!pod.gone, !pod.gone && pod.deleting.is_none() && pod.ended.is_none());
        // One that has no node yet was made for a node that takes it.
        let placed = there && pod.node.is_none_or(|node| self.takes_daemon(pod.workload, node));
        Counts {
            pods: u32::from(there),
            live: u32::from(live),
            ready: u32::from(there && pod.ready),
            live_ready: u32::from(live && pod.ready),
            placed: u32::from(placed),
            placed_ready: u32::from(placed && pod.ready),
            serving: u32::from(live && pod.ready && pod.serving),
        }
    }

    /// Its standing was `before`: the workload's counts follow, and what hangs on whether it serves at all.
    pub(super) fn recount(&mut self, row: usize, before: Counts) {
        let after = self.standing(row);
        let workload = self.pods[row].workload;
        let of = &mut self.workloads[workload];
        of.counts = of.counts.moved(before, after);
        let had = std::mem::replace(&mut of.endpoints, of.counts.serving);
        match (had, of.endpoints) {
            (0, 1) => self.came_up(workload),
            (1, 0) => self.flux_part_down(workload),
            _ => {}
        }
    }

    fn came_up(&mut self, workload: usize) {
        self.note(|world| format!("{} serves", world.workloads[workload].object));
        let waiters = std::mem::take(&mut self.workloads[workload].waiters);
        self.wake(waiters);
        self.flux_part_up(workload);
    }

    /// The store of artifacts is the pod's own, and ends with it. One that ended before has been replaced.
    fn keeps_artifacts(&self, row: usize) -> bool {
        let workload = self.pods[row].workload;
        let others = || self.workloads[workload].pods.iter().filter(|other| **other != row);
        workload == self.known.source_controller && !others().any(|other| self.pods[*other].running)
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
            let ran = self.pods[row].running;
            self.change_pod(row, |pod| (pod.running, pod.serving, pod.epoch) = (false, false, pod.epoch + 1));
            if ran && self.keeps_artifacts(row) {
                // While the API lives on, so does the cluster in whose life it was fetched.
                (self.source.stored, self.source.fresh) = (false, self.source.fresh && self.control.api);
            }
        }
        self.vault_forgets();
    }

    /// The kubelet is back and looks at a pod that is bound to its node.
    pub(super) fn kubelet_finds(&mut self, row: usize) {
        if self.pods[row].deleting.is_some() {
            self.end(row);
        } else if self.pods[row].ended.is_some() {
            // What ended is not started again.
        } else if self.pods[row].running {
            self.pod_probe(row, self.pods[row].epoch);
            self.publish(row);
        } else {
            self.change_pod(row, |pod| (pod.ready, pod.reason) = (false, "ContainersNotReady"));
            self.start_pod(row);
        }
    }

    pub(super) fn start_pod(&mut self, row: usize) {
        let pod = &self.pods[row];
        let Some(node) = pod.node.map(|node| &self.nodes[node]) else { return };
        if node.never_ready || node.wedged || node.alive_since.is_none() || self.pod_lacks_network(row) {
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
        // A kubelet that was stopped meanwhile starts nothing any more; the next one begins anew.
        let kubelet = pod.node.is_some_and(|node| self.hosts[node].unit_state == UnitState::Active);
        if pod.epoch != epoch || pod.gone || !kubelet {
            return;
        }
        if self.turned_away(row) || !self.image_is_there(row) {
            return;
        }
        self.change_pod(row, |pod| pod.running = true);
        self.pod_probe(row, epoch);
        self.publish(row);
    }

    /// It is ready once all it needs serves; until then it waits for the first thing that does not.
    pub(super) fn pod_probe(&mut self, row: usize, epoch: u32) {
        let pod = &self.pods[row];
        let Some(node) = pod.node else { return };
        if pod.epoch != epoch || pod.gone || !pod.running || pod.serving {
            return;
        }
        let workload = &self.workloads[pod.workload];
        if workload.crashing || self.trouble_of(pod).is_some() {
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
        if pod.ended.is_some() || pod.node.is_none_or(|node| self.nodes[node].alive_since.is_none()) {
            return;
        }
        let reason = match (pod.serving, self.workloads[pod.workload].crashing, self.trouble_of(pod)) {
            (_, true, _) => "CrashLoopBackOff",
            (true, false, _) => "",
            (false, false, Some(trouble)) => trouble.reason,
            (false, false, None) => "ContainersNotReady",
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
        if self.pods[row].running && self.keeps_artifacts(row) {
            self.source.stored = false;
        }
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
        self.unschedulable.remove(&row);
        let pod = &self.pods[row];
        self.pod_names.remove(&(pod.object.namespace.clone(), pod.object.name.clone()));
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

    /// Adds a pod that does not exist yet, for the scheduler to bind: anywhere, or to `target`.
    pub(super) fn add_pod(&mut self, workload: usize, name: &str, ordinal: u32, target: Option<usize>) {
        let row = self.make_pod(workload, name, ordinal, target);
        self.pending.insert(row);
        self.want_schedule();
    }

    /// The object alone.
    pub(super) fn make_pod(&mut self, workload: usize, name: &str, ordinal: u32, target: Option<usize>) -> usize {
        let namespace = self.workloads[workload].object.namespace.clone();
        let object = ObjectRef { kind: Kind::Pod, namespace, name: name.into() };
        let row = self.pods.len();
        let uid = self.uid("pod", row);
        let key = (object.namespace.clone(), object.name.clone());
        self.pods.add(Pod {
            object: object.clone(),
            uid,
            rv: 0,
            workload,
            ordinal,
            node: None,
            target,
            created: self.now,
            phase: PodPhase::Pending,
            ready: false,
            reason: "",
            ready_since: self.now,
            deleting: None,
            disruption_target: None,
            restarts: 0,
            running: false,
            serving: false,
            pulls: 0,
            gone: false,
            ended: None,
            epoch: 0,
        });
        self.pod_names.insert(key, row);
        self.workloads[workload].pods.push(row);
        self.recount(row, Counts::default());
        self.pods[row].rv = self.touched(What::Added, &object, row);
        self.claim_for(workload, ordinal);
        row
    }

    /// The scheduler's word: the pod belongs to `node` from here on.
    pub(super) fn bind(&mut self, row: usize, node: usize) {
        self.change_pod(row, |pod| (pod.node, pod.reason) = (Some(node), "ContainersNotReady"));
        self.nodes[node].pods.push(row);
        self.volume_follows(row);
    }
}

type Visible = (PodPhase, bool, &'static str, Option<Ms>, Option<DisruptionTarget>, Option<usize>, bool);

fn visible(pod: &Pod) -> Visible {
    (pod.phase, pod.ready, pod.reason, pod.deleting, pod.disruption_target, pod.node, pod.gone)
}
