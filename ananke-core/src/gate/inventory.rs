//! Gate `inventory`: every expected node maps to one host, user and port, and no two to the same.

use std::collections::BTreeMap;

use crate::engine::view::View;
use crate::name::{NodeName, Subject};
use crate::spec::{SshTarget, Transport};
use crate::verdict::{Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let mut seen: BTreeMap<(&str, u16), &NodeName> = BTreeMap::new();
    for (name, node) in &view.spec.nodes {
        let verdict = match (&node.target, node.transport) {
            (_, Transport::None) => Verdict::pass("no SSH, as configured"),
            (None, Transport::Ssh) => Verdict::person(
                Reason::NoHostForNode,
                format!("{name} has no host to connect to"),
                format!("add {name} to ssh_node_hosts, or list it under ignore_nodes"),
            ),
            (Some(SshTarget { host, port, user }), Transport::Ssh) => match seen.insert((host, *port), name) {
                Some(other) => Verdict::person(
                    Reason::DuplicateHost,
                    format!("{name} and {other} both map to {host}:{port}"),
                    format!("give {name} and {other} hosts of their own in ssh_node_hosts"),
                ),
                None => Verdict::pass(format!("{user}@{host}:{port}")),
            },
        };
        judgement.set(Subject::Node(name.clone()), verdict);
    }
    for ignored in &view.spec.ignored {
        judgement.notes.push(format!("{ignored} is ignored, as configured"));
    }
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};

    #[test]
    fn two_nodes_on_one_host_are_named_together() {
        let mut bench = Bench::new(3);
        let twin = bench.spec.nodes[&node(1)].target.clone();
        bench.spec.nodes.get_mut(&node(2)).unwrap().target = twin;
        bench.spec.nodes.get_mut(&node(3)).unwrap().target = None;
        bench.check(evaluate, "n1: pass\nn2: hold duplicate-host person\nn3: hold no-host-for-node person");
        bench.unmanage(3);
        bench.check(evaluate, "n1: pass\nn2: hold duplicate-host person\nn3: pass");
    }
}
