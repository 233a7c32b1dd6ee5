//! The scheduler: binds pods to nodes, spread, one node after the other in a circle.

use std::collections::BTreeMap;
use std::sync::Arc;

use ananke_core::observation::Taint;

use super::lifecycle::tolerated_for_a_while;
use super::{Event, What, World};

impl World {
    pub(super) fn want_schedule(&mut self) {
        if !self.schedule_queued && !self.pending.is_empty() && self.control.controllers {
            self.schedule_queued = true;
            self.after(120, Event::Schedule);
        }
    }

    /// A node changed: what no node took may be taken.
    pub(super) fn retry_unschedulable(&mut self) {
        self.pending.extend(self.unschedulable.keys());
        self.want_schedule();
    }

    pub(super) fn schedule(&mut self) {
        self.schedule_queued = false;
        if !self.control.controllers {
            return;
        }
        let open: Vec<usize> = (0..self.nodes.len()).filter(|node| self.schedulable(*node)).collect();
        let anywhere: Arc<str> = self.why_not(None).into();
        for row in std::mem::take(&mut self.pending) {
            match self.place_for(row, &open) {
                Some(node) => {
                    self.unschedulable.remove(&row);
                    self.bind(row, node);
                    self.start_pod(row);
                }
                None => {
                    let target = self.pods[row].target;
                    let why = target.map_or_else(|| anywhere.clone(), |target| self.why_not(Some(target)).into());
                    self.tell_unschedulable(row, why);
                }
            }
        }
    }

    /// It is told again where there are other reasons, not where other nodes have the same.
    fn tell_unschedulable(&mut self, row: usize, why: Arc<str>) {
        let told = self.unschedulable.get(&row);
        let same = told.is_some_and(|told| reasons(told).eq(reasons(&why)));
        if same {
            return;
        }
        let again = self.unschedulable.insert(row, why).is_some();
        self.change_pod(row, |pod| pod.reason = "Unschedulable");
        if again {
            let object = self.pods[row].object.clone();
            self.pods[row].rv = self.touched(What::Modified, &object, row);
        }
    }

    /// What the scheduler writes of a pod that no node takes.
    pub fn unschedulable(&self, row: usize) -> Option<&Arc<str>> {
        self.unschedulable.get(&row)
    }

    /// Each node by the first thing that is in the way, as the scheduler counts them, for a pod that may only go to `target`.
    fn why_not(&self, target: Option<usize>) -> String {
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for (row, node) in self.nodes.iter().enumerate() {
            let shut = |taint: &&Taint| &*taint.effect != "PreferNoSchedule" && !tolerated_for_a_while(taint);
            let why = if target.is_some_and(|target| target != row) {
                "node(s) didn't match Pod's node affinity/selector".to_owned()
            } else if node.unschedulable {
                "node(s) were unschedulable".to_owned()
            } else if let Some(taint) = node.taints.iter().find(shut) {
                format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value)
            } else {
                continue;
            };
            *counted.entry(why).or_default() += 1;
        }
        let (all, reasons) = (self.nodes.len(), counted.iter().map(|(why, count)| format!("{count} {why}")));
        let reasons: Vec<String> = reasons.collect();
        format!(
            "0/{all} nodes are available: {}. no new claims to deallocate, preemption: 0/{all} nodes are available: {all} Preemption is not helpful for scheduling.",
            reasons.join(", ")
        )
    }

    /// The next node of the circle that has none of the workload's pods, else the first of those that have fewest.
    fn place_for(&mut self, row: usize, open: &[usize]) -> Option<usize> {
        if let Some(target) = self.pods[row].target {
            return Some(target).filter(|target| self.takes_daemon(self.pods[row].workload, *target));
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

fn reasons(told: &str) -> impl Iterator<Item = char> {
    told.chars().filter(|letter| !letter.is_ascii_digit())
}
