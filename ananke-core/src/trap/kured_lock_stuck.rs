//! kured keeps nodes cordoned, and its lock is held for a node that does not give it back.

use super::case::named;
use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::name::NodeName;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::KuredLockStuck,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "pods are Unschedulable because nodes were unschedulable, and the DaemonSet of kured has weave.works/kured-node-lock",
    precondition: "none",
    budget: "none",
    effect: "waits: kured lifts its cordon when it runs again on the node that holds its lock. If it lasts, names that node, and what frees the lock; a cordon of somebody else is never lifted",
    evidence: &["https://github.com/kubereboot/kured/issues/137", "https://github.com/kubereboot/kured/issues/63"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["node(s) were unschedulable"];

fn find(case: &Case<'_>) -> Option<Finding> {
    case.said(WORDS)?;
    stuck(case).map(|(why, first)| Finding::new(why, first))
}

/// Where kured keeps nodes cordoned: whom it waits for, and what a person does about that.
pub(super) fn stuck(case: &Case<'_>) -> Option<(String, String)> {
    let mut workloads = case.view.workloads().unwrap_or_default().iter();
    let (kured, holder) = workloads.find_map(|found| Some((&found.object, found.reboot_lock.as_ref()?)))?;
    let cordoned = case.view.nodes().unwrap_or_default().iter().filter(|node| node.unschedulable);
    let cordoned: Vec<&str> = cordoned.map(|node| node.name.as_str()).collect();
    cordoned.first()?;
    let (nodes, more) = named(&cordoned);
    let there = NodeName::parse(holder).is_ok_and(|name| matches!(case.view.node(&name), Ok(Some(_))));
    let place = if there { "" } else { ", which is no node of this cluster" };
    Some((
        format!("kured's lock is held for {holder}{place}; cordoned: {}", cordoned.join(", ")),
        format!(
            "make sure that {holder} is not being rebooted, then run `kubectl annotate daemonset {} -n {} weave.works/kured-node-lock-` and `kubectl uncordon {nodes}`{more}",
            kured.name, kured.namespace
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Kind, ObjectRef, Subject};
    use crate::trap::testing::{bench, of_bench, told};

    #[test]
    fn it_is_a_cordon_with_a_lock_of_kured() {
        let found = |lock: Option<&str>| {
            of_bench(|bench| {
                bench.change_node(1, |node| node.unschedulable = true);
                bench.workload(Kind::DaemonSet, "kured", &[(1, true), (2, true)]);
                bench.change_workload("kured", |it| it.reboot_lock = lock.map(Into::into));
                let message = "0/2 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable.";
                bench.pod("web-0", |pod| (pod.node, pod.message) = (None, message.into()));
            })
        };
        assert_eq!(found(Some("n7")), Some(ENTRY.trap));
        assert_eq!(found(None), Some(Trap::ForeignCordon));
    }

    #[test]
    fn what_would_be_made_anew_if_a_node_took_it_is_told_with_that() {
        let mut bench = bench();
        bench.workload(Kind::Deployment, "coredns", &[(1, false)]);
        bench.workload(Kind::DaemonSet, "kured", &[(1, true), (2, true)]);
        bench.change_workload("kured", |it| it.reboot_lock = Some("n7".into()));
        (1..=2).for_each(|n| bench.change_node(n, |node| node.unschedulable = true));
        let dns = Subject::Object(ObjectRef::new(Kind::Deployment, "apps", "coredns"));
        let text = told(&bench, GateId::Workloads, &dns).unwrap();
        let why = "; no node takes another pod: kured's lock is held for n7, which is no node of this cluster; cordoned: n1, n2";
        assert!(text.ends_with(why), "{text}");
    }
}
