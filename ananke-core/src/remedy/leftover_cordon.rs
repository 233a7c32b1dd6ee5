//! Gives back cordons whose run is gone (trap 43). What people did to a node is not touched.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Action;
use crate::engine::view::View;
use crate::engine::walk::as_node;
use crate::lease::expiry::{Finding, Sweep, sweep};
use crate::name::{LeaseId, NodeName};
use crate::order::{ClusterOrder, Order};
use crate::verdict::GateId;

/// Between two tries on the same node: the next list of nodes must have come.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    actions(view, &BTreeSet::new(), &BTreeSet::new())
}

/// Releases and marks, with the leases in `in_use` left alone and those in `done_with` given back in any case.
pub(crate) fn actions(view: &View<'_>, in_use: &BTreeSet<LeaseId>, done_with: &BTreeSet<LeaseId>) -> Vec<Action> {
    let Ok(nodes) = view.nodes() else { return Vec::new() };
    let findings = findings(view, in_use, done_with);
    let version = |name: &NodeName| nodes.iter().find(|node| node.name == *name).map(|node| node.version.clone());
    findings
        .into_iter()
        .filter_map(|finding| match finding {
            Finding::Release { node, lease } => Some(Action {
                why: format!("the run that placed lease {lease} is over"),
                order: Order::Cluster(ClusterOrder::Uncordon { seen: version(&node)?, node, lease }),
            }),
            Finding::Mark { node, lease, sentence } => Some(Action {
                why: format!("lease {lease} expired and {node} is not proved"),
                order: Order::Cluster(ClusterOrder::MarkManual { seen: version(&node)?, node, sentence }),
            }),
            Finding::Settle { .. } | Finding::Adopt(_) => None,
        })
        // A release is owed until it is done: a pause, and no budget.
        .filter(|action| view.history.allows(action.order.verb(), &action.order.subject(), view.now, u32::MAX, PAUSE))
        .collect()
}

/// What the sweep finds with what this run knows of its nodes.
pub(crate) fn findings(view: &View<'_>, in_use: &BTreeSet<LeaseId>, done_with: &BTreeSet<LeaseId>) -> Vec<Finding> {
    let Ok(nodes) = view.nodes() else { return Vec::new() };
    let (mut proved, mut given_up) = (BTreeSet::new(), BTreeSet::new());
    if let Some(gate) = view.gates.get(&GateId::NodesReady) {
        given_up = gate.overdue.iter().filter_map(as_node).cloned().collect();
    }
    for node in nodes {
        let same_boot = view.host(&node.name).is_ok_and(|host| node.boot_id.as_ref() == Some(&host.boot_id));
        if same_boot && view.kubelet_alive(&node.name) {
            proved.insert(node.name.clone());
        }
    }
    if let Some(gate) = view.gates.get(&GateId::NodeSsh) {
        given_up.extend(gate.overdue.iter().filter_map(as_node).cloned());
    }
    let cluster = view.api().ok().map(|api| &api.cluster_uid);
    let with = Sweep {
        now: view.now,
        cluster,
        holder: &view.spec.holder,
        asked: view.nodes_asked,
        in_use,
        done_with,
        proved: &proved,
        given_up: &given_up,
    };
    sweep(view.leases, nodes, &with)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    #[test]
    fn an_orphaned_cordon_is_given_back_on_the_version_that_was_seen() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon(2);
        let actions = plan(&bench.view());
        let texts: Vec<String> = actions.iter().map(|action| action.order.to_string()).collect();
        assert_eq!(texts, ["give back the cordon of n2 (lease lease-2)"]);
        bench.change_node(2, |node| node.taints.clear());
        assert!(plan(&bench.view()).is_empty(), "a person took the taint away: nothing is sent");
    }
}
