//! The scheduler: binds pods to nodes, spread, one node after the other in a circle.

use std::collections::BTreeMap;

use super::{Event, World};

impl World {
    pub(super) fn want_schedule(&mut self) {
        if !self.schedule_queued && !self.pending.is_empty() && self.control.controllers {
            self.schedule_queued = true;
            self.after(120, Event::Schedule);
        }
    }

    /// A node changed: what no node took may be taken.
    pub(super) fn retry_unschedulable(&mut self) {
        self.pending.append(&mut self.unschedulable);
        self.want_schedule();
    }

    pub(super) fn schedule(&mut self) {
        self.schedule_queued = false;
        if !self.control.controllers {
            return;
        }
        let open: Vec<usize> = (0..self.nodes.len()).filter(|node| self.schedulable(*node)).collect();
        for row in std::mem::take(&mut self.pending) {
            match self.place_for(row, &open) {
                Some(node) => {
                    self.bind(row, node);
                    self.start_pod(row);
                }
                None => {
                    self.change_pod(row, |pod| pod.reason = "Unschedulable");
                    self.unschedulable.insert(row);
                }
            }
        }
    }

    /// The next node of the circle that has none of the workload's pods, else the first of those that have fewest.
    fn place_for(&mut self, row: usize, open: &[usize]) -> Option<usize> {
        if let Some(target) = self.pods[row].target {
            return Some(target).filter(|target| self.nodes[*target].takes_daemons);
        }
        self.schedule_cursor = self.schedule_cursor.wrapping_add(1);
        let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
        let siblings = self.workloads[self.pods[row].workload].pods.iter().map(|pod| &self.pods[*pod]);
        for node in siblings.filter(|pod| pod.deleting.is_none()).filter_map(|pod| pod.node) {
            *taken.entry(node).or_default() += 1;
        }
        let (before, after) = open.split_at_checked(self.schedule_cursor.checked_rem(open.len())?)?;
        let circle = || after.iter().chain(before).copied();
        let there = |node: &usize| taken.get(node).copied().unwrap_or(0);
        circle().find(|node| there(node) == 0).or_else(|| circle().min_by_key(there))
    }
}
