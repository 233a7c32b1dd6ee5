//! A node that is back still has the taint by which somebody declared it dead.

use super::case::named;
use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::observation::{NodeState, Tri};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::OutOfServiceTaintLeft,
    class: Class::Person,
    often: Often::Low,
    symptom: "a node is Ready and has the taint node.kubernetes.io/out-of-service",
    precondition: "none",
    budget: "none",
    effect: "names the nodes; whoever fenced them must see that nothing of them is left before the taint goes",
    evidence: &["https://github.com/rook/rook/issues/14832", "https://github.com/rook/rook/issues/7954"],
    diagnosis: Some(Diagnosis {
        gates: &[GateId::Workloads, GateId::Foundation, GateId::DnsCni, GateId::Storage],
        find,
        remake: None,
    }),
};

const TAINT: &str = "node.kubernetes.io/out-of-service";

fn find(case: &Case<'_>) -> Option<Finding> {
    let left = |node: &&NodeState| node.ready == Tri::True && node.taints.iter().any(|taint| *taint.key == *TAINT);
    let nodes: Vec<&str> = match case.node() {
        Some(node) => Some(node).filter(left).map(|node| node.name.as_str()).into_iter().collect(),
        None => {
            case.said(&[TAINT])?;
            case.view.nodes().unwrap_or_default().iter().filter(left).map(|node| node.name.as_str()).collect()
        }
    };
    nodes.first()?;
    let (them, more) = named(&nodes);
    let every = if nodes.len() > 1 { "each of them" } else { "it" };
    Some(Finding::new(
        format!("Ready, and still declared out of service: {}", nodes.join(", ")),
        format!(
            "make sure that {every} was off since it was fenced and that its storage blocks it no more (`kubectl get networkfences`), then run `kubectl taint node {them} {TAINT}-`{more}"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Taint;
    use crate::trap::testing::of_bench;

    #[test]
    fn it_is_that_taint_on_a_node_that_is_back() {
        let found = |key: &str, ready: Tri| {
            of_bench(|bench| {
                let taint = Taint { key: key.into(), value: "nodeshutdown".into(), effect: "NoExecute".into() };
                bench.change_node(2, |node| (node.ready, node.taints) = (ready, vec![taint]));
                let message = format!(
                    "0/2 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint {{{key}: nodeshutdown}}."
                );
                bench.pod("web-0", |pod| (pod.node, pod.message) = (None, message.as_str().into()));
            })
        };
        assert_eq!(found(TAINT, Tri::True), Some(ENTRY.trap));
        assert_eq!(found(TAINT, Tri::Unknown), None, "it is out of service");
        assert_eq!(found("example.dev/gpu", Tri::True), None);
    }
}
