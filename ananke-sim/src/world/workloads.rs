//! The controllers of Deployments, StatefulSets and DaemonSets, and the scheduler.

use std::collections::BTreeSet;

use ananke_core::name::Kind;

use super::{Event, What, WorkloadStatus, World};

impl World {
    /// Makes and ends pods as the spec asks, and writes the status. Without a leader nothing happens.
    pub(super) fn sync_workload(&mut self, row: usize) {
        if !self.control.controllers {
            return;
        }
        let kind = self.workloads[row].object.kind;
        if kind == Kind::StatefulSet {
            self.sync_stateful(row);
        } else if kind == Kind::DaemonSet {
            self.sync_daemon(row);
        } else {
            self.sync_deployment(row);
        }
        let workload = &self.workloads[row];
        let current = workload.pods.iter().filter(|pod| self.pods[**pod].deleting.is_none()).count();
        let status = WorkloadStatus {
            desired: if workload.is_daemon() { self.daemon_nodes } else { workload.replicas },
            current: u32::try_from(current).unwrap_or(u32::MAX),
            ready: workload.ready_now,
        };
        if status != workload.status || workload.observed_generation != workload.generation {
            let generation = workload.generation;
            let workload = &mut self.workloads[row];
            (workload.status, workload.observed_generation) = (status, generation);
            self.touch_workload(row);
            self.kust_hears_of(row);
        }
    }

    pub(super) fn touch_workload(&mut self, row: usize) {
        let object = self.workloads[row].object.clone();
        self.workloads[row].rv = self.touched(What::Modified, &object, row);
    }

    /// A pod that is being deleted is replaced at once.
    fn sync_deployment(&mut self, row: usize) {
        let live: Vec<usize> =
            self.workloads[row].pods.iter().copied().filter(|pod| self.pods[*pod].deleting.is_none()).collect();
        let wanted = usize::try_from(self.workloads[row].replicas).unwrap_or(usize::MAX);
        for _ in live.len()..wanted {
            self.made_pods += 1;
            let workload = &self.workloads[row];
            let suffix = self.rng.suffix("pod-name", row as u64, self.made_pods);
            let name = format!("{}-{}-{suffix}", workload.object.name, workload.hash);
            self.add_pod(row, &name, 0, None);
        }
        for pod in live.into_iter().skip(wanted) {
            self.terminate(pod);
        }
    }

    /// A pod is replaced only once its object is gone, and a new one waits for those before it.
    fn sync_stateful(&mut self, row: usize) {
        let replicas = self.workloads[row].replicas;
        for ordinal in 0..replicas {
            match self.workloads[row].pods.iter().map(|pod| &self.pods[*pod]).find(|pod| pod.ordinal == ordinal) {
                Some(_) => {}
                None => {
                    let before = |pod: &usize| self.pods[*pod].ordinal < ordinal && !self.pods[*pod].ready;
                    if self.workloads[row].pods.iter().any(before) {
                        break;
                    }
                    let name = format!("{}-{ordinal}", self.workloads[row].object.name);
                    self.add_pod(row, &name, ordinal, None);
                }
            }
        }
        for pod in self.workloads[row].pods.clone() {
            if self.pods[pod].ordinal >= replicas {
                self.terminate(pod);
            }
        }
    }

    /// One pod on each node whose taints allow it; one that is there already stays.
    fn sync_daemon(&mut self, row: usize) {
        if self.workloads[row].pods.len() >= self.nodes.len() {
            return;
        }
        let there: BTreeSet<usize> = self.workloads[row].pods.iter().filter_map(|pod| self.pods[*pod].node).collect();
        for node in 0..self.nodes.len() {
            if self.nodes[node].takes_daemons && !there.contains(&node) {
                self.made_pods += 1;
                let suffix = self.rng.suffix("pod-name", row as u64, self.made_pods);
                let name = format!("{}-{suffix}", self.workloads[row].object.name);
                let pod = self.add_pod(row, &name, 0, Some(node));
                self.start_pod(pod);
            }
        }
    }

    /// Somebody scales the workload to zero and forgets it.
    pub(super) fn forget(&mut self, path: &str) {
        let named = |of: &super::Workload| path.split_once('/') == Some((&*of.object.namespace, &*of.object.name));
        if let Some(row) = self.workloads.iter().position(named) {
            let workload = &mut self.workloads[row];
            (workload.forgotten, workload.replicas) = (workload.replicas, 0);
            workload.generation += 1;
            self.touch_workload(row);
            self.mark_dirty(row);
        }
    }

    pub(super) fn want_schedule(&mut self) {
        if !self.schedule_queued && !self.pending.is_empty() && self.control.controllers {
            self.schedule_queued = true;
            self.after(120, Event::Schedule);
        }
    }

    /// Binds what waits, one node after the other in a circle.
    pub(super) fn schedule(&mut self) {
        self.schedule_queued = false;
        if !self.control.controllers {
            return;
        }
        let open: Vec<usize> = (0..self.nodes.len()).filter(|node| self.schedulable(*node)).collect();
        if open.is_empty() {
            return;
        }
        for row in std::mem::take(&mut self.pending) {
            self.schedule_cursor = self.schedule_cursor.wrapping_add(1);
            let Some(node) = open.get(self.schedule_cursor % open.len()).copied() else { continue };
            self.change_pod(row, |pod| (pod.node, pod.reason) = (Some(node), "ContainersNotReady"));
            self.nodes[node].pods.push(row);
            self.volume_follows(row);
            self.start_pod(row);
        }
    }

    /// The budgets that cover a pod, and whether one more may go.
    pub(super) fn blocked_by(&self, pod: usize) -> Option<&super::Budget> {
        let pod = &self.pods[pod];
        let workload = &self.workloads[pod.workload];
        // An unready pod of a healthy enough set may go (`IfHealthyBudget`); a ready one must leave enough behind.
        let left = if pod.ready { workload.ready_now.saturating_sub(1) } else { workload.ready_now };
        workload.budget.as_ref().filter(|budget| left < budget.min_available)
    }
}
