//! Phase `drained`: the nodes' pods have ended: evicted first, and after some patience deleted with their grace period.
//! Never grace 0 on a living node. DaemonSet and static pods stay; replacements stay pending behind the cordon.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{STOPPED, api_is_stopped, at_work};
use crate::engine::view::View;
use crate::name::{Kind, NodeName, Subject};
use crate::observation::{PodPhase, PodState};
use crate::order::{ClusterOrder, Order};
use crate::port::ErrorKind;
use crate::remedy::Action;
use crate::verdict::{GateId, Judgement, Reason, Verdict};

/// A refused eviction is asked again after this long, as `kubectl drain` does.
const PAUSE: Duration = Duration::from_secs(5);
/// Far more tries than a patience has room for: the patience is the bound.
const BUDGET: u32 = 1000;
/// A delete is repeated only if it was lost.
const DELETE_BUDGET: u32 = 5;
const DELETE_PAUSE: Duration = Duration::from_secs(60);

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    if view.spec.drain.skip {
        return Judgement::not_applicable("--skip-drain");
    }
    if api_is_stopped(view) {
        return Judgement::not_applicable(STOPPED);
    }
    let pods = match view.pods() {
        Ok(pods) => pods,
        Err(gap) => {
            return Judgement::of(Subject::Cluster, Verdict::unknown(gap, "look at the API server: it does not list pods"));
        }
    };
    let left = left(view, pods);
    let mut judgement = Judgement::default();
    for name in view.spec.nodes.keys() {
        let verdict = match left.get(name) {
            None => Verdict::pass("drained"),
            Some(pods) => held(view, name, pods),
        };
        judgement.set(Subject::Node(name.clone()), verdict);
    }
    judgement
}

fn held(view: &View<'_>, node: &NodeName, pods: &[&PodState]) -> Verdict {
    if view.kubelet_silent(node) {
        // Its pods cannot end while its kubelet is away, and nothing is forced without proof of death.
        return Verdict::pass(format!("its kubelet is silent: {} pods are left as they are", pods.len()));
    }
    let look = format!("look at `kubectl get pods -A --field-selector spec.nodeName={node}`");
    for pod in pods {
        let tries = view.history.tries("evict", &Subject::Object(pod.object.clone()));
        if let Some(error) = tries.error.filter(|error| error.kind == ErrorKind::Blocked) {
            let text = format!("{node}: {} cannot be evicted: {}", pod.object, error.found);
            return Verdict::waiting(Reason::BudgetBlocks, text, look);
        }
    }
    let names: Vec<String> = pods.iter().take(3).map(|pod| format!("{}/{}", pod.object.namespace, pod.object.name)).collect();
    Verdict::waiting(Reason::PodsLeft, format!("{node}: {} pods left ({})", pods.len(), names.join(", ")), look)
}

/// Pods that must end, by node.
fn left<'a>(view: &View<'_>, pods: &'a [PodState]) -> BTreeMap<NodeName, Vec<&'a PodState>> {
    let mut map: BTreeMap<NodeName, Vec<&PodState>> = BTreeMap::new();
    for pod in pods {
        let stays = pod.mirror || pod.owner.as_ref().is_some_and(|owner| owner.kind == Kind::DaemonSet);
        let lives = matches!(pod.phase, PodPhase::Pending | PodPhase::Running | PodPhase::Unknown);
        if let Some(node) = pod.node.as_ref().filter(|node| view.spec.nodes.contains_key(*node))
            && lives
            && !stays
        {
            map.entry(node.clone()).or_default().push(pod);
        }
    }
    map
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    if !at_work(view, GateId::Drained) {
        return Vec::new();
    }
    let Ok(pods) = view.pods() else { return Vec::new() };
    let left = left(view, pods);
    // Workers first: the servers carry the API that the drain needs.
    let mut nodes: Vec<&NodeName> = left.keys().filter(|node| !view.kubelet_silent(node)).collect();
    nodes.sort_by_key(|node| view.spec.nodes.get(*node).map(|spec| std::cmp::Reverse(spec.role)));
    // A node whose pods are all refused by their budgets is asked again, and keeps no other node waiting.
    let (stuck, moving): (Vec<_>, Vec<_>) =
        nodes.into_iter().filter_map(|node| left.get(node)).partition(|pods| all_refused(view, pods));
    let batch = moving.into_iter().take(view.spec.drain.batch).chain(stuck);
    batch.flatten().filter_map(|pod| take_down(view, pod)).collect()
}

fn all_refused(view: &View<'_>, pods: &[&PodState]) -> bool {
    let refused = |pod: &&PodState| {
        let tries = view.history.tries("evict", &Subject::Object(pod.object.clone()));
        tries.error.is_some_and(|error| error.kind == ErrorKind::Blocked)
    };
    pods.iter().all(refused)
}

fn take_down(view: &View<'_>, pod: &PodState) -> Option<Action> {
    if pod.deleting {
        return None;
    }
    let subject = Subject::Object(pod.object.clone());
    let first = view.history.tries("evict", &subject).first;
    if first.is_some_and(|first| view.now.since(first) >= view.spec.drain.patience) {
        let order = Order::Cluster(ClusterOrder::Delete { pod: pod.object.clone(), uid: pod.uid.clone(), grace: None });
        let allowed = view.history.allows(order.verb(), &subject, view.now, DELETE_BUDGET, DELETE_PAUSE);
        return allowed.then(|| Action { order, why: "it could not be evicted in time; it keeps its grace period".to_owned() });
    }
    let order = Order::Cluster(ClusterOrder::Evict { pod: pod.object.clone(), uid: pod.uid.clone() });
    let allowed = view.history.allows(order.verb(), &subject, view.now, BUDGET, PAUSE);
    allowed.then(|| Action { order, why: "drain before shutdown".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    #[test]
    fn a_node_whose_pods_are_refused_keeps_no_other_waiting() {
        let mut bench = Bench::new(3);
        bench.all_up();
        bench.spec.drain.batch = 1;
        bench.workload(Kind::Deployment, "a", &[(2, true)]);
        bench.workload(Kind::Deployment, "b", &[(3, true)]);
        bench.open(GateId::Drained);
        let texts = |bench: &Bench| plan(&bench.view()).iter().map(|action| action.order.to_string()).collect::<Vec<_>>();
        assert_eq!(texts(&bench), ["evict Pod apps/a-0"]);
        bench.refuse(&plan(&bench.view())[0].order, ErrorKind::Blocked);
        assert_eq!(texts(&bench), ["evict Pod apps/b-0"], "the refused one is asked again after its pause");
        bench.now = bench.now.plus(bench.spec.drain.patience);
        bench.fresh();
        assert_eq!(texts(&bench), ["evict Pod apps/b-0", "delete Pod apps/a-0 with its grace period"]);
    }

    #[test]
    fn daemon_sets_stay_and_pods_on_a_silent_node_are_left() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::DaemonSet, "agent", &[(1, true), (2, true)]);
        bench.workload(Kind::Deployment, "web", &[(2, true)]);
        bench.check(evaluate, "n1: pass\nn2: hold pods-left waiting");
        bench.node_dies(2);
        bench.check(evaluate, "n1: pass\nn2: pass");
    }
}
