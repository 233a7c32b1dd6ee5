//! A person or another tool keeps nodes cordoned, and pods have nowhere to go.

use super::case::named;
use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ForeignCordon,
    class: Class::Person,
    often: Often::Medium,
    symptom: "pods are Unschedulable because nodes were unschedulable",
    precondition: "none",
    budget: "none",
    effect: "names the nodes; a cordon of somebody else is never lifted",
    evidence: &[
        "https://github.com/rancher/system-upgrade-controller/issues/341",
        "https://github.com/siderolabs/talos/pull/2291",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["node(s) were unschedulable"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    let nodes = case.view.nodes().unwrap_or_default().iter().filter(|node| node.unschedulable);
    let names: Vec<&str> = nodes.map(|node| node.name.as_str()).collect();
    names.first()?;
    let which = names.join(", ");
    let (nodes, more) = named(&names);
    Some(Finding::new(
        format!("somebody else cordoned {which}: {}", said.quoted()),
        format!("find out who cordoned {which} and why (`kubectl describe node {nodes}`), then `kubectl uncordon {nodes}`{more}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_bench;

    /// What a pod without a node comes to, with n1 cordoned by somebody or not.
    fn found(cordoned: bool, message: &str) -> Option<Trap> {
        of_bench(|bench| {
            bench.change_node(1, |node| node.unschedulable = cordoned);
            bench.pod("web-0", |pod| (pod.node, pod.message) = (None, message.into()));
        })
    }

    #[test]
    fn it_is_a_cordon_and_not_a_lack_of_room() {
        let cordoned = "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient memory.";
        assert_eq!(found(true, cordoned), Some(Trap::ForeignCordon));
        assert_eq!(found(false, cordoned), None, "it was lifted meanwhile");
        assert_eq!(found(true, "0/3 nodes are available: 3 Insufficient memory."), None);
    }
}
