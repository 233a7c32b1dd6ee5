//! Phase `cordoned`: every node carries a cordon lease of this run, so that nothing that is drained starts elsewhere.

use std::time::Duration;

use super::{STOPPED, api_is_stopped, at_work};
use crate::engine::view::View;
use crate::lease::{Lease, LeaseState, taint_lease};
use crate::name::{LeaseId, NodeName, Subject};
use crate::observation::NodeState;
use crate::order::{ClusterOrder, Order};
use crate::remedy::Action;
use crate::verdict::{GateId, Judgement, Reason, Verdict};

const BUDGET: u32 = 10;
const PAUSE: Duration = Duration::from_secs(2);

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    if view.spec.drain.skip {
        return Judgement::not_applicable("--skip-drain");
    }
    if api_is_stopped(view) {
        return Judgement::not_applicable(STOPPED);
    }
    match view.nodes() {
        Err(gap) => Judgement::of(Subject::Cluster, Verdict::unknown(gap, "look at the API server: it does not list nodes")),
        Ok(nodes) => {
            let mut judgement = Judgement::default();
            for node in nodes.iter().filter(|node| view.spec.nodes.contains_key(&node.name)) {
                judgement.set(Subject::Node(node.name.clone()), judge(view, node));
            }
            judgement
        }
    }
}

fn judge(view: &View<'_>, node: &NodeState) -> Verdict {
    match taint_lease(node) {
        Some(lease) => Verdict::pass(format!("cordoned under lease {lease}")),
        None if taken_away(view, &node.name) => Verdict::pass("a person removed the cordon; it is not placed again"),
        None => {
            let text = format!("{} is not cordoned", node.name);
            Verdict::waiting(Reason::NotCordoned, text, format!("run `kubectl cordon {}`", node.name))
        }
    }
}

fn taken_away(view: &View<'_>, node: &NodeName) -> bool {
    let id = lease_id(view, node);
    view.leases.iter().any(|record| Some(&record.lease.id) == id.as_ref() && record.state == LeaseState::TakenAway)
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    if !at_work(view, GateId::Cordoned) {
        return Vec::new();
    }
    let (Ok(nodes), Ok(api)) = (view.nodes(), view.api()) else { return Vec::new() };
    let open = nodes.iter().filter(|node| taint_lease(node).is_none() && !taken_away(view, &node.name));
    open.filter_map(|node| {
        let id = lease_id(view, &node.name)?;
        let lease =
            Lease::new(id, &view.spec.holder, node, &api.cluster_uid, "drain before shutdown", view.now, view.spec.cordon_window);
        let order = ClusterOrder::Cordon { node: node.name.clone(), seen: node.version.clone(), lease: Box::new(lease) };
        let order = Order::Cluster(order);
        let allowed = view.history.allows(order.verb(), &order.subject(), view.now, BUDGET, PAUSE);
        allowed.then(|| Action { order, why: "so that nothing that is drained starts elsewhere".to_owned() })
    })
    .collect()
}

/// One lease a node and run, so that a second try is the same lease. The node's place in the config is shorter than its
/// name, and a taint's value has 63 characters.
fn lease_id(view: &View<'_>, node: &NodeName) -> Option<LeaseId> {
    let index = view.spec.nodes.keys().position(|found| found == node)?;
    LeaseId::parse(&format!("{}-{index}", view.run)).ok()
}
