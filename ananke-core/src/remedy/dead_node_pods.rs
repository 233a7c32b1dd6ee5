//! Frees pods of a machine that is proved to be off (trap `pod-terminating-on-dead-node`): a pod that nobody deletes is deleted as
//! usual, and one that stays Terminating is forced, one of a node at a time. Never without proof, never where a kubelet lives: one
//! that comes back from a reboot ends its old pods itself.

use std::time::Duration;

use super::{Action, Budget, Pace, Stage};
use crate::engine::view::View;
use crate::name::{Kind, ObjectRef, Subject};
use crate::observation::{NodeState, PodState};
use crate::order::{ClusterOrder, Order};
use crate::proof::{self, DeathProof};
use crate::verdict::Trap;

const TRAP: Trap = Trap::PodTerminatingOnDeadNode;
const DELETE: Budget = Budget { trap: TRAP, times: 3, pause: Duration::from_secs(30) };
/// The same pod again means that the API does not let it go: more force helps nothing.
const FORCE: Budget = Budget { trap: TRAP, times: 2, pause: Duration::from_secs(30) };
/// The node controller may evict by itself; what it or the nudge deleted has the usual grace period to be gone.
const PACE: Pace = Pace { wait: Duration::from_secs(20), nudge: Duration::from_secs(40) };

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let (Ok(nodes), Ok(pods)) = (view.nodes(), view.pods()) else { return Vec::new() };
    let mut actions = Vec::new();
    if view.confirmations().is_empty() {
        return actions;
    }
    for (node, proof) in nodes.iter().filter_map(|node| Some((node, death(view, node)?))) {
        let mut forced = false;
        for pod in pods.iter().filter(|pod| pod.node.as_ref() == Some(&node.name)) {
            let Some(action) = step(view, pod, &proof) else { continue };
            if matches!(action.order, Order::Cluster(ClusterOrder::ForceDelete { .. })) && std::mem::replace(&mut forced, true) {
                continue;
            }
            actions.push(action);
        }
    }
    actions
}

/// Why everything on the node has ended and cannot come back by itself; none without proof.
pub(crate) fn death(view: &View<'_>, node: &NodeState) -> Option<DeathProof> {
    proof::of(view, node).filter(DeathProof::is_off)
}

fn step(view: &View<'_>, pod: &PodState, proof: &DeathProof) -> Option<Action> {
    let owner = waited_for(pod)?;
    let stage = PACE.stage(view, TRAP, &Subject::Object(owner.clone()));
    let (pod_ref, uid) = (pod.object.clone(), pod.uid.clone());
    let (order, budget, why) = match (stage, pod.deleting) {
        (Stage::Wait, _) | (Stage::Nudge, true) => return None,
        (Stage::Nudge | Stage::Act, false) => {
            let order = ClusterOrder::Delete { pod: pod_ref, uid, grace: None };
            (order, DELETE, format!("{owner} waits for it, and {proof}"))
        }
        (Stage::Act, true) => {
            let order = ClusterOrder::ForceDelete { pod: pod_ref, uid, proof: proof.clone() };
            (order, FORCE, format!("{owner} waits for it to be gone"))
        }
    };
    let order = Order::Cluster(order);
    budget.allows(view, &order).then_some(Action { order, why })
}

/// The workload that gets a pod elsewhere once this one is gone. A DaemonSet wants none elsewhere, and what nobody owns would
/// be lost.
pub(crate) fn waited_for(pod: &PodState) -> Option<&ObjectRef> {
    let owner = pod.owner.as_ref()?;
    (!pod.mirror && matches!(owner.kind, Kind::Deployment | Kind::StatefulSet)).then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::{Bench, node};
    use crate::observation::Confirmation;

    const GATE: crate::verdict::GateId = crate::verdict::GateId::Workloads;

    /// Two pods of a StatefulSet sit on node 2, which is dark.
    fn dark() -> Bench {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::StatefulSet, "db", &[(2, false), (2, false)]);
        bench.workload(Kind::DaemonSet, "agent", &[(2, false)]);
        bench.node_dies(2);
        let now = bench.now;
        bench.change_node(2, |node| node.renewed = Some(now.minus(Duration::from_secs(900))));
        bench.obs.heartbeats.get_mut(&node(2)).unwrap().watched_since = now.minus(Duration::from_secs(300));
        bench
    }

    fn confirm(bench: &mut Bench) {
        let at = bench.now.minus(Duration::from_secs(200));
        bench.obs.confirmations = Fact::known(vec![Confirmation { node: node(2), at, boot_id: None }], bench.now);
    }

    fn seen_for(bench: &mut Bench, secs: u64) {
        for (kind, name) in [(Kind::StatefulSet, "db"), (Kind::DaemonSet, "agent")] {
            bench.seen_for(TRAP, &Subject::Object(ObjectRef::new(kind, "apps", name)), Duration::from_secs(secs));
        }
    }

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    fn terminating(bench: &mut Bench) {
        let mut pods = bench.obs.pods.last().unwrap().clone();
        std::sync::Arc::make_mut(&mut pods).iter_mut().for_each(|pod| pod.deleting = true);
        bench.obs.pods = Fact::known(pods, bench.now);
    }

    #[test]
    fn without_proof_a_dark_node_keeps_its_pods() {
        let mut bench = dark();
        seen_for(&mut bench, 3600);
        assert!(texts(&bench).is_empty());
        terminating(&mut bench);
        assert!(texts(&bench).is_empty());
        let gate = crate::gate::STARTUP.iter().find(|row| row.id == GATE).unwrap();
        let (mine, view) = (ObjectRef::new(Kind::StatefulSet, "apps", "db"), bench.view());
        let verdict = (gate.evaluate)(&view).subjects.remove(&Subject::Object(mine)).unwrap();
        assert_eq!(verdict.cause(), Some(&Subject::Node(node(2))), "the node is the trouble");
    }

    #[test]
    fn with_proof_its_pods_are_waited_for_then_deleted_then_forced_one_at_a_time() {
        let mut bench = dark();
        confirm(&mut bench);
        seen_for(&mut bench, 10);
        assert!(texts(&bench).is_empty());
        seen_for(&mut bench, 20);
        assert_eq!(texts(&bench), ["delete Pod apps/db-0 with its grace period", "delete Pod apps/db-1 with its grace period"]);
        terminating(&mut bench);
        assert!(texts(&bench).is_empty(), "the deletion has its time");
        seen_for(&mut bench, 60);
        let at = bench.now.minus(Duration::from_secs(200));
        assert_eq!(texts(&bench), [format!("delete Pod apps/db-0 at once: n2 was confirmed to be off at {at}")]);
    }

    #[test]
    fn force_ends_with_its_budget_and_with_the_first_sign_of_life() {
        let mut bench = dark();
        confirm(&mut bench);
        terminating(&mut bench);
        seen_for(&mut bench, 60);
        for _ in 0..2 {
            let order = plan(&bench.view()).remove(0).order;
            assert_eq!(order.subject().to_string(), "Pod apps/db-0");
            bench.carried_out(&order, TRAP);
            bench.now = bench.now.plus(Duration::from_secs(40));
            bench.fresh_lists();
        }
        assert_eq!(texts(&bench).len(), 1, "the other pod, whose budget is its own");
        assert!(texts(&bench)[0].starts_with("delete Pod apps/db-1 at once"));
        bench.renew(2);
        assert!(texts(&bench).is_empty(), "the kubelet renewed: the confirmation is void");
    }

    #[test]
    fn a_machine_that_rebooted_ends_its_old_pods_itself() {
        let mut bench = dark();
        confirm(&mut bench);
        terminating(&mut bench);
        seen_for(&mut bench, 3600);
        bench.host_up(2);
        bench.host(2, |host| host.boot_id = crate::name::BootId::parse("boot-next").unwrap());
        assert!(texts(&bench).is_empty());
    }
}
