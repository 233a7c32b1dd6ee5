//! Phase `cordoned`: every node carries a cordon lease of this run, so that nothing that is drained starts elsewhere.

use std::time::Duration;

use super::{STOPPED, api_is_stopped, at_work};
use crate::coordination;
use crate::engine::view::View;
use crate::lease::{Lease, LeaseState, Purpose, Terms, id_for, taint_lease};
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
        Err(gap) => {
            Judgement::of(Subject::Cluster, super::without_api(view, gap, "look at the API server: it does not list nodes"))
        }
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
            let (text, look) = (format!("{} is not cordoned", node.name), format!("run `kubectl cordon {}`", node.name));
            match coordination::held_by(view) {
                Some(by) => {
                    let text = format!("{text}: the Ananke on {by} holds the coordination Lease");
                    Verdict::waiting(Reason::CoordinationHeld, text, look)
                }
                None => Verdict::waiting(Reason::NotCordoned, text, look),
            }
        }
    }
}

fn taken_away(view: &View<'_>, node: &NodeName) -> bool {
    let id = lease_id(view, node);
    view.leases().iter().any(|record| Some(&record.lease.id) == id.as_ref() && record.state == LeaseState::TakenAway)
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    // Two Anankes never cordon against each other.
    if !coordination::may_cordon(view) {
        return Vec::new();
    }
    open(view).into_iter().filter_map(|node| cordon(view, node)).collect()
}

/// Whether a cordon is wanted: then the coordination Lease is.
pub(crate) fn wants(view: &View<'_>) -> bool {
    !open(view).is_empty()
}

fn open<'a>(view: &View<'a>) -> Vec<&'a NodeState> {
    let Ok(nodes) = view.nodes() else { return Vec::new() };
    if view.spec.drain.skip || !view.gates().contains_key(&GateId::Cordoned) || !at_work(view, GateId::Cordoned) {
        return Vec::new();
    }
    nodes.iter().filter(|node| taint_lease(node).is_none() && !taken_away(view, &node.name)).collect()
}

fn cordon(view: &View<'_>, node: &NodeState) -> Option<Action> {
    let (api, id) = (view.api().ok()?, lease_id(view, &node.name)?);
    let terms = Terms {
        holder: &view.spec.holder,
        purpose: Purpose::Drain,
        reason: "a shutdown drained it",
        now: view.now,
        uptime: view.uptime,
        window: view.spec.cordon_window,
    };
    let lease = Lease::new(id, node, &api.cluster_uid, &terms).of_first_try(view.leases(), view.now, view.uptime);
    let order = ClusterOrder::Cordon { node: node.name.clone(), seen: node.version.clone(), lease: Box::new(lease) };
    let order = Order::Cluster(order);
    let allowed = view.history().allows(order.verb(), &order.subject(), view.now, BUDGET, PAUSE);
    allowed.then(|| Action { order, why: "so that nothing that is drained starts elsewhere".to_owned() })
}

fn lease_id(view: &View<'_>, node: &NodeName) -> Option<LeaseId> {
    let place = view.spec.nodes.keys().position(|found| found == node)?;
    id_for(view.run, Purpose::Drain, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::view::Trust;
    use crate::gate::testing::Bench;
    use crate::name::ResourceVersion;
    use crate::observation::CoordinationState;

    /// The phase is at work on two nodes, and the coordination Lease is ours.
    fn bench() -> Bench {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.open(GateId::Cordoned);
        coordinate(&mut bench, "titan-db");
        bench
    }

    fn coordinate(bench: &mut Bench, holder: &str) {
        let state = CoordinationState {
            version: ResourceVersion::parse("5").unwrap(),
            holder: Some(holder.to_owned()),
            renewed: Some(bench.now),
            lasts: Duration::from_secs(30),
        };
        bench.obs.fold_coordination(Ok(Some(state)), bench.now);
    }

    fn planned(bench: &Bench) -> Vec<String> {
        let lease = |action: Action| {
            let Order::Cluster(ClusterOrder::Cordon { node, lease, .. }) = action.order else { panic!("{}", action.order) };
            format!("{node} {}", lease.id)
        };
        plan(&bench.view()).into_iter().map(lease).collect()
    }

    #[test]
    fn every_node_is_cordoned_under_a_lease_of_its_own_while_the_coordination_lease_is_ours() {
        let mut bench = bench();
        bench.check(evaluate, "n1: hold not-cordoned waiting\nn2: hold not-cordoned waiting");
        assert_eq!(planned(&bench), ["n1 startup-test-0", "n2 startup-test-1"]);
        bench.cordon(1);
        bench.check(evaluate, "n1: pass\nn2: hold not-cordoned waiting");
        assert_eq!(planned(&bench), ["n2 startup-test-1"]);
        coordinate(&mut bench, "tethys");
        bench.check(evaluate, "n1: pass\nn2: hold coordination-held waiting");
        assert!(planned(&bench).is_empty());
    }

    #[test]
    fn a_cordon_that_a_person_took_away_is_not_placed_again() {
        let mut bench = bench();
        let mut record = bench.cordon(2);
        bench.change_node(2, |node| (node.taints, node.lease_note) = (Vec::new(), None));
        (record.lease.id, record.state) = (LeaseId::parse("startup-test-1").unwrap(), LeaseState::TakenAway);
        bench.leases = vec![record];
        bench.check(evaluate, "n1: hold not-cordoned waiting\nn2: pass");
        assert_eq!(planned(&bench), ["n1 startup-test-0"]);
        bench.leases[0].state = LeaseState::Intended;
        assert_eq!(planned(&bench), ["n1 startup-test-0", "n2 startup-test-1"]);
    }

    #[test]
    fn nothing_is_cordoned_where_nothing_is_drained_nor_outside_of_the_phase() {
        assert!(wants(&bench().view()));
        let mut skipped = bench();
        skipped.spec.drain.skip = true;
        assert!(!wants(&skipped.view()));
        let mut over = bench();
        over.settles(GateId::Cordoned);
        assert!(!wants(&over.view()));
        let mut startup = Bench::new(1);
        startup.all_up();
        assert!(!wants(&View { trust: Trust::Stated, ..startup.view() }));
    }
}
