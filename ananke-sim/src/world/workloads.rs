//! The controllers of Deployments, StatefulSets and DaemonSets.

use std::collections::BTreeSet;

use ananke_core::name::Kind;

use super::{What, World};

impl World {
    /// Makes and ends pods as the spec asks, and writes the status. Without a leader nothing happens.
    pub(super) fn sync_workload(&mut self, row: usize) {
        if !self.control.controllers || self.is_pruned(row) {
            return;
        }
        let kind = self.workloads[row].object.kind;
        if kind == Kind::StatefulSet {
            self.write_status(row);
            self.sync_stateful(row);
        } else if kind == Kind::DaemonSet {
            self.sync_daemon(row);
            self.write_status(row);
        } else {
            self.write_status(row);
            self.sync_deployment(row);
        }
    }

    /// A DaemonSet counts what it has just made. The others count what they saw when they began, and again when they see
    /// what they made.
    fn write_status(&mut self, row: usize) {
        self.sync_budget(row);
        let workload = &self.workloads[row];
        let status = workload.counted(self.daemons_wanted(row));
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

    /// A pod that is being deleted, or has ended, is replaced at once.
    fn sync_deployment(&mut self, row: usize) {
        let is_live = |pod: &usize| self.pods[*pod].deleting.is_none() && self.pods[*pod].ended.is_none();
        let live: Vec<usize> = self.workloads[row].pods.iter().copied().filter(is_live).collect();
        let wanted = usize::try_from(self.workloads[row].replicas).unwrap_or(usize::MAX);
        for _ in live.len()..wanted {
            if self.refuses_pods(row) {
                break;
            }
            self.made_pods += 1;
            let workload = &self.workloads[row];
            let suffix = self.rng.suffix("pod-name", row as u64, self.made_pods);
            let name = format!("{}-{}-{suffix}", workload.object.name, workload.hash);
            self.add_pod(row, &name, 0, None);
            self.mark_dirty(row);
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
                    let steady = |pod: &super::Pod| pod.ready && pod.deleting.is_none();
                    let before = |pod: &usize| self.pods[*pod].ordinal < ordinal && !steady(&self.pods[*pod]);
                    if self.workloads[row].pods.iter().any(before) || self.refuses_pods(row) {
                        break;
                    }
                    let name = format!("{}-{ordinal}", self.workloads[row].object.name);
                    self.add_pod(row, &name, ordinal, None);
                    self.mark_dirty(row);
                }
            }
        }
        for pod in self.workloads[row].pods.clone() {
            if self.pods[pod].ordinal >= replicas {
                self.terminate(pod);
            }
        }
    }

    /// One pod for each node whose taints allow it; one that is there already stays.
    fn sync_daemon(&mut self, row: usize) {
        if self.workloads[row].pods.len() >= self.nodes.len() || self.refuses_pods(row) {
            return;
        }
        let pods = self.workloads[row].pods.iter().map(|pod| &self.pods[*pod]);
        let there: BTreeSet<usize> = pods.filter_map(|pod| pod.node.or(pod.target)).collect();
        for node in 0..self.nodes.len() {
            if self.takes_daemon(row, node) && !there.contains(&node) {
                self.made_pods += 1;
                let suffix = self.rng.suffix("pod-name", row as u64, self.made_pods);
                let name = format!("{}-{suffix}", self.workloads[row].object.name);
                self.add_pod(row, &name, 0, Some(node));
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
}
