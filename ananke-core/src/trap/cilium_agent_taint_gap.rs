//! Cilium's taint stays though its agent runs.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CiliumAgentTaintGap,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "node.cilium.io/agent-not-ready on a Ready node",
    precondition: "the agent's pod there is ready, and from before this start",
    budget: "one deletion a node",
    effect: "makes the agent's pod anew",
    evidence: &["https://github.com/cilium/cilium/issues/29405", "https://github.com/cilium/cilium/issues/17103"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: Some(agents) }),
};

const WORDS: &[&str] = &["node.cilium.io/agent-not-ready"];

fn agents<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let closed = |pod: &PodState| {
        let node = pod.node.as_ref().and_then(|name| case.view.node(name).ok().flatten());
        node.is_some_and(|node| node.taints.iter().any(|taint| taint.key.as_ref() == "node.cilium.io/agent-not-ready"))
    };
    let mut pods = case.old_pods(|owner| owner.name.as_ref() == "cilium");
    pods.retain(|pod| pod.ready && closed(pod));
    pods
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    let text = format!("Cilium keeps nodes closed: {}", said.quoted());
    Some(Finding::new(
        text,
        "look at the cilium pods of the nodes with the taint node.cilium.io/agent-not-ready: their agents run, and do not lift it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::{bench, deleted};

    #[test]
    fn the_agent_of_a_node_that_stays_closed_is_made_anew() {
        let named = |taint: &str, message: &str| {
            let mut bench = bench();
            let taint = crate::observation::Taint { key: taint.into(), value: "true".into(), effect: "NoSchedule".into() };
            bench.workload(crate::name::Kind::DaemonSet, "cilium", &[(1, true)]);
            bench.change_node(1, |node| node.taints.push(taint));
            bench.pod("web-0", |pod| (pod.node, pod.message) = (None, message.into()));
            deleted(&mut bench, GateId::Workloads, ENTRY.trap)
        };
        let closed = "0/2 nodes are available: 2 node(s) had untolerated taint(s) {node.cilium.io/agent-not-ready: true}.";
        assert_eq!(named("node.cilium.io/agent-not-ready", closed), ["Pod apps/cilium-0"]);
        assert!(named("dedicated", closed).is_empty(), "that node is open");
        assert!(named("node.cilium.io/agent-not-ready", "0/2 nodes are available: 2 Insufficient cpu.").is_empty());
    }
}
