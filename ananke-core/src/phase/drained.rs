//! Phase `drained`: the nodes' pods have ended: evicted first, and after some patience deleted with their grace period.
//! Never grace 0 on a living node. DaemonSet and static pods stay; replacements stay pending behind the cordon.
//!
//! What a webhook would not let be made again stays too, what nobody would make again, and what serves Longhorn's and Ceph's
//! volumes: it ends with its node's unit, and is there when the node is back.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{STOPPED, api_is_stopped, at_work, deadline, without_api};
use crate::engine::view::{Trust, View};
use crate::gate::admission::Bars;
use crate::lease::taint_lease;
use crate::name::{Kind, NodeName, Subject};
use crate::observation::{CephState, PodPhase, PodState, WebhookState};
use crate::order::{ClusterOrder, Order};
use crate::port::ErrorKind;
use crate::remedy::Action;
use crate::verdict::{GateId, Judgement, Reason, Verdict};

const EVICT: &str = "evict";
const DELETE: &str = "delete-pod";
/// A refused eviction is asked again after this long, as `kubectl drain` does.
const PAUSE: Duration = Duration::from_secs(5);
/// Far more tries than a patience has room for: the patience is the bound.
const BUDGET: u32 = 1000;
/// Rook's Deployments for the daemons of its Ceph, and for itself.
const CEPH: &[&str] = &["rook-ceph-mon", "rook-ceph-mgr", "rook-ceph-osd", "rook-ceph-mds", "rook-ceph-operator"];
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
    // Of nodes that are not known nobody can say that a cordon is gone, or that a kubelet is silent.
    let pods = match view.nodes().and_then(|_| view.pods()) {
        Ok(pods) => pods,
        Err(gap) => {
            let look = "look at the API server: it does not list nodes and pods";
            return Judgement::of(Subject::Cluster, without_api(view, gap, look));
        }
    };
    let bars = Bars::of(view);
    let left = left(view, pods, &bars);
    let mut judgement = Judgement::default();
    for name in view.spec.nodes.keys() {
        let verdict = match left.get(name) {
            None => Verdict::pass("drained"),
            Some(pods) => held(view, name, pods),
        };
        judgement.set(Subject::Node(name.clone()), verdict);
    }
    judgement.notes.extend(kept(view, pods, &bars));
    judgement.notes.extend(bare(view, pods));
    judgement
}

/// That pods stay, and why.
fn kept(view: &View<'_>, pods: &[PodState], bars: &Bars<'_>) -> Option<String> {
    let kept = || pods.iter().filter(|pod| must_end(view, pod)).filter_map(|pod| bars.on(&pod.object.namespace));
    let WebhookState { name, configuration, .. } = kept().next()?;
    Some(format!(
        "{} pods stay on their nodes until these stop, for webhook {name} ({configuration}) would not let them be made again",
        kept().count()
    ))
}

/// That pods stay which no controller would make again.
fn bare(view: &View<'_>, pods: &[PodState]) -> Option<String> {
    let mut bare = pods.iter().filter(|pod| pod.bare && runs_here(view, pod));
    let first = &bare.next()?.object;
    let more = match bare.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("{first}{more} stays on its node until that stops: no controller would make it again"))
}

fn held(view: &View<'_>, node: &NodeName, pods: &[&PodState]) -> Verdict {
    if view.kubelet_silent(node) {
        // Its pods cannot end while its kubelet is away, and nothing is forced without proof of death.
        return Verdict::pass(format!("its kubelet is silent: {} pods are left as they are", pods.len()));
    }
    if view.trust == Trust::Proven && takes_pods(view, node) {
        return Verdict::pass(format!(
            "its cordon was taken away: {} pods are left until {} stops",
            pods.len(),
            view.spec.distribution.agent()
        ));
    }
    let look = format!("look at `kubectl get pods -A --field-selector spec.nodeName={node}`");
    for pod in pods {
        let tries = view.history().tries(EVICT, &Subject::Object(pod.object.clone()));
        if let Some(error) = tries.error.as_ref().filter(|error| error.kind == ErrorKind::Blocked) {
            let text = format!("{node}: {} cannot be evicted: {}", pod.object, error.found);
            return Verdict::waiting(Reason::BudgetBlocks, text, look);
        }
    }
    let names: Vec<String> = pods.iter().take(3).map(|pod| format!("{}/{}", pod.object.namespace, pod.object.name)).collect();
    let more = if pods.len() > names.len() { ", …" } else { "" };
    let ending = pods.iter().filter(|pod| pod.deleting).count();
    let text = format!("{node}: {} pods left, {ending} of them ending ({}{more})", pods.len(), names.join(", "));
    Verdict::waiting(Reason::PodsLeft, text, look)
}

/// Pods that must end, by node.
fn left<'a>(view: &View<'_>, pods: &'a [PodState], bars: &Bars<'_>) -> BTreeMap<NodeName, Vec<&'a PodState>> {
    let mut map: BTreeMap<NodeName, Vec<&PodState>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| must_end(view, pod) && bars.on(&pod.object.namespace).is_none()) {
        if let Some(node) = &pod.node {
            map.entry(node.clone()).or_default().push(pod);
        }
    }
    map
}

pub(super) fn must_end(view: &View<'_>, pod: &PodState) -> bool {
    let daemon = pod.owner.as_ref().is_some_and(|owner| owner.kind == Kind::DaemonSet);
    runs_here(view, pod) && !(pod.mirror || daemon || pod.bare || serves_volumes(view, pod))
}

fn runs_here(view: &View<'_>, pod: &PodState) -> bool {
    let lives = matches!(pod.phase, PodPhase::Pending | PodPhase::Running | PodPhase::Unknown);
    lives && pod.node.as_ref().is_some_and(|node| view.spec.nodes.contains_key(node))
}

/// The pods in which Longhorn runs the engines, the replicas and the NFS servers of its volumes, and the daemons of a Ceph
/// that Rook runs. They are needed until the last volume is detached: without them writes hang, and so do unmounts. As long as
/// nobody knows that neither is there, they are theirs.
fn serves_volumes(view: &View<'_>, pod: &PodState) -> bool {
    let begins = |name: &str, with: &[&str]| with.iter().any(|prefix| name.starts_with(prefix));
    let storage = view.storage();
    match &pod.owner {
        // Longhorn makes them again where they were, whatever taint is there.
        None if begins(&pod.object.name, &["instance-manager-", "share-manager-"]) => {
            storage.map_or(true, |storage| storage.longhorn.is_some())
        }
        Some(owner) if begins(&owner.name, CEPH) => {
            let is_there = |of: &CephState| of.object.namespace == owner.namespace;
            storage.map_or(true, |storage| storage.ceph.iter().any(is_there))
        }
        None | Some(_) => false,
    }
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    if !at_work(view, GateId::Drained) {
        return Vec::new();
    }
    let Ok(pods) = view.nodes().and_then(|_| view.pods()) else { return Vec::new() };
    let mut left = left(view, pods, &Bars::of(view));
    left.retain(|node, _| !view.kubelet_silent(node) && (view.trust == Trust::Stated || !takes_pods(view, node)));
    if !detachers_may_go(view, &left) {
        left.values_mut().for_each(|pods| pods.retain(|pod| !detaches(pod)));
        left.retain(|_, pods| !pods.is_empty());
    }
    // Workers first: the servers carry the API that the drain needs.
    let mut nodes: Vec<&NodeName> = left.keys().collect();
    nodes.sort_by_key(|node| view.spec.nodes.get(*node).map(|spec| std::cmp::Reverse(spec.role)));
    // A node whose pods are all refused by their budgets is asked again, and keeps no other node waiting.
    let (stuck, moving): (Vec<_>, Vec<_>) =
        nodes.into_iter().filter_map(|node| left.get(node)).partition(|pods| all_refused(view, pods));
    let batch = moving.into_iter().take(view.spec.drain.batch).chain(stuck);
    let mut actions: Vec<Action> = batch.flatten().filter_map(|pod| take_down(view, pod)).collect();
    if view.trust == Trust::Proven {
        let under_way = view.history().in_flight(EVICT).saturating_add(view.history().in_flight(DELETE));
        actions.truncate(view.spec.drain.concurrency.saturating_sub(under_way));
    }
    actions
}

/// Nothing keeps replacements off the node: what is evicted there comes back, there or elsewhere, for ever.
fn takes_pods(view: &View<'_>, node: &NodeName) -> bool {
    let found = view.node(node).ok().flatten();
    found.is_none_or(|node| taint_lease(node).is_none() && !node.unschedulable)
}

/// Whoever detaches volumes: CSI controllers (csi-attacher, ebs-csi-controller, csi-rbdplugin-provisioner, …) have it in
/// their names. Without them attachments stay that nothing takes away (trap `volumeattachment-being-deleted`).
fn detaches(pod: &PodState) -> bool {
    pod.owner.as_ref().is_some_and(|owner| owner.name.contains("csi"))
}

/// They end last: when nobody else is left and no volume is attached, or when half of the phase's time is over.
fn detachers_may_go(view: &View<'_>, left: &BTreeMap<NodeName, Vec<&PodState>>) -> bool {
    let others = left.values().flatten().any(|pod| !detaches(pod));
    let here = |node: &NodeName| view.spec.nodes.contains_key(node) && !view.kubelet_silent(node);
    let attached = view.storage().map_or(true, |storage| storage.attachments.iter().any(|found| here(&found.node)));
    let opened = view.gate(GateId::Drained).and_then(|gate| gate.opened);
    let late = opened.is_some_and(|opened| view.now.since(opened) >= view.spec.deadline(GateId::Drained) / 2);
    late || view.trust == Trust::Stated || !(others || attached)
}

/// How long a pod may refuse eviction: no longer than leaves it time to end after that, where the time is short.
fn patience(view: &View<'_>) -> Duration {
    let own = view.spec.drain.patience;
    let opened = view.gate(GateId::Drained).and_then(|gate| gate.opened);
    let cut = opened.and_then(|opened| deadline::limit(view.spec, GateId::Drained, view.began, opened).cut);
    cut.zip(opened).map_or(own, |(cut, opened)| own.min(cut.since(opened) / 2))
}

fn all_refused(view: &View<'_>, pods: &[&PodState]) -> bool {
    let refused = |pod: &&PodState| {
        let tries = view.history().tries(EVICT, &Subject::Object(pod.object.clone()));
        tries.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Blocked)
    };
    pods.iter().all(refused)
}

fn take_down(view: &View<'_>, pod: &PodState) -> Option<Action> {
    if pod.deleting {
        return None;
    }
    let subject = Subject::Object(pod.object.clone());
    let first = view.history().tries(EVICT, &subject).first;
    if first.is_some_and(|first| view.now.since(first) >= patience(view)) {
        let order = Order::Cluster(ClusterOrder::Delete { pod: pod.object.clone(), uid: pod.uid.clone(), grace: None });
        let allowed = view.history().allows(order.verb(), &subject, view.now, DELETE_BUDGET, DELETE_PAUSE);
        return allowed.then(|| Action { order, why: "it could not be evicted in time; it keeps its grace period".to_owned() });
    }
    let order = Order::Cluster(ClusterOrder::Evict { pod: pod.object.clone(), uid: pod.uid.clone() });
    let allowed = view.history().allows(order.verb(), &subject, view.now, BUDGET, PAUSE);
    allowed.then(|| Action { order, why: "drain before shutdown".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::name::ObjectRef;
    use crate::observation::ExtensionsState;

    #[test]
    fn a_node_whose_pods_are_refused_keeps_no_other_waiting() {
        let mut bench = Bench::new(3);
        bench.all_up();
        bench.spec.drain.batch = 1;
        bench.workload(Kind::Deployment, "a", &[(2, true)]);
        bench.workload(Kind::Deployment, "b", &[(3, true)]);
        bench.cordon_all();
        bench.open(GateId::Drained);
        let texts = |bench: &Bench| plan(&bench.view()).iter().map(|action| action.order.to_string()).collect::<Vec<_>>();
        assert_eq!(texts(&bench), ["evict Pod apps/a-0"]);
        bench.refuse(&plan(&bench.view())[0].order, ErrorKind::Blocked);
        assert_eq!(texts(&bench), ["evict Pod apps/b-0"], "the refused one is asked again after its pause");
        bench.check(evaluate, "n1: pass\nn2: hold budget-blocks waiting\nn3: hold pods-left waiting");
        bench.now = bench.now.plus(bench.spec.drain.patience);
        bench.fresh();
        assert_eq!(texts(&bench), ["evict Pod apps/b-0", "delete Pod apps/a-0 with its grace period"]);
    }

    #[test]
    fn what_nobody_makes_again_and_what_serves_volumes_stays() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::Deployment, "instance-manager-1", &[(2, true)]);
        bench.workload(Kind::Deployment, "debug", &[(2, true)]);
        for name in ["instance-manager-1-0", "debug-0"] {
            bench.pod(name, |pod| (pod.owner, pod.bare) = (None, name.starts_with("debug")));
        }
        bench.cordon_all();
        bench.open(GateId::Drained);
        let texts = |bench: &Bench| plan(&bench.view()).iter().map(|action| action.order.to_string()).collect::<Vec<_>>();
        assert_eq!(texts(&bench), ["evict Pod apps/instance-manager-1-0"], "Longhorn is not there");
        bench.storage(|storage| storage.longhorn = Some(crate::observation::LonghornState::default()));
        assert!(texts(&bench).is_empty());
        let known = std::mem::take(&mut bench.obs.storage);
        assert!(texts(&bench).is_empty(), "nobody knows whether Longhorn is there");
        bench.obs.storage = known;
        let stays = "Pod apps/debug-0 stays on its node until that stops: no controller would make it again";
        bench.check(evaluate, &format!("n1: pass\nn2: pass\nnote: {stays}"));
    }

    /// How many pods are evicted of a workload and of a webhook's, which is served by Service `namespace/engine`.
    fn evicted(namespace: &str, excludes: &[&str], serving: u32, engine_is_there: bool) -> usize {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[(1, true)]);
        if engine_is_there {
            bench.workload(Kind::Deployment, "engine", &[(2, true)]);
            bench.pod("engine-0", |pod| pod.object.namespace = namespace.into());
        }
        bench.endpoints(namespace, "engine", serving, &[]);
        let webhook = WebhookState {
            configuration: "engine".into(),
            name: "validate.engine".into(),
            service: ObjectRef::new(Kind::Service, namespace, "engine"),
            excludes: excludes.iter().map(|name| (*name).into()).collect(),
            only: Vec::new(),
        };
        bench.obs.extensions =
            Fact::known(Arc::new(ExtensionsState { webhooks: vec![webhook], api_services: Vec::new() }), bench.now);
        bench.cordon_all();
        bench.open(GateId::Drained);
        plan(&bench.view()).len()
    }

    #[test]
    fn what_a_webhook_would_not_let_be_made_again_stays() {
        for (namespace, excludes, serving, engine_is_there, expected, why) in [
            ("policy", ["policy"], 1, true, 2, "it serves, and its own pods come back"),
            ("policy", ["policy"], 0, true, 2, "what serves it may come yet"),
            ("policy", ["policy"], 0, false, 0, "nothing serves it, and nothing will"),
            ("policy", ["apps"], 0, false, 1, "it is not asked"),
            ("policy", ["apps"], 1, true, 1, "it must allow its own pods"),
        ] {
            assert_eq!(evicted(namespace, &excludes, serving, engine_is_there), expected, "{why}");
        }
    }

    #[test]
    fn the_daemons_of_a_ceph_stay_until_their_nodes_stop() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::Deployment, "rook-ceph-osd-0", &[(2, true)]);
        bench.cordon_all();
        bench.open(GateId::Drained);
        let evicted = |bench: &Bench| plan(&bench.view()).len();
        assert_eq!(evicted(&bench), 1, "no Ceph is there");
        let object = ObjectRef::new(Kind::CephCluster, "apps", "rook-ceph");
        bench.storage(|storage| storage.ceph = vec![CephState { object, checked: None, checks: BTreeMap::new() }]);
        assert_eq!(evicted(&bench), 0);
        bench.check(evaluate, "n1: pass\nn2: pass");
        bench.obs.storage = Fact::default();
        assert_eq!(evicted(&bench), 0, "nobody knows whether one is there");
    }

    #[test]
    fn while_nodes_are_not_known_no_cordon_counts_as_taken_away() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[(2, true)]);
        bench.cordon_all();
        bench.open(GateId::Drained);
        let pods = bench.obs.pods.last().cloned().unwrap();
        bench.now = bench.now.plus(Duration::from_secs(40));
        bench.obs.pods = Fact::known(pods, bench.now);
        bench.check(evaluate, "the cluster: unknown");
        assert!(plan(&bench.view()).is_empty());
    }

    #[test]
    fn kubelets_that_could_not_be_heard_while_the_api_was_away_are_not_silent() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon_all();
        bench.workload(Kind::Deployment, "web", &[(2, true)]);
        let away = crate::port::PortError::new(ErrorKind::Transient, "list nodes", "the API server", "connection refused");
        bench.now = bench.now.plus(Duration::from_secs(20));
        bench.obs.fold_nodes(Err(away), bench.now);
        bench.now = bench.now.plus(Duration::from_secs(20));
        let nodes = bench.obs.nodes.last().cloned().unwrap();
        bench.obs.fold_nodes(Ok(nodes.clone()), bench.now);
        bench.fresh_lists();
        bench.check(evaluate, "n1: pass\nn2: hold pods-left waiting");
        bench.now = bench.now.plus(Duration::from_secs(26));
        bench.obs.fold_nodes(Ok(nodes), bench.now);
        bench.fresh_lists();
        bench.check(evaluate, "n1: pass\nn2: pass");
    }

    #[test]
    fn a_dry_run_names_them_all_and_a_run_evicts_so_many_at_once() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.spec.drain.concurrency = 2;
        bench.workload(Kind::Deployment, "web", &[(2, true), (2, true), (2, true)]);
        bench.cordon_all();
        bench.open(GateId::Drained);
        let (all, some) = (plan(&View { trust: Trust::Stated, ..bench.view() }), plan(&bench.view()));
        assert_eq!((all.len(), some.len()), (3, 2));
        bench.history.sent(&some[0].order, bench.now);
        bench.done(&some[1].order);
        assert_eq!(
            plan(&bench.view()).iter().map(|action| action.order.to_string()).collect::<Vec<_>>(),
            ["evict Pod apps/web-2"]
        );
    }

    #[test]
    fn where_time_is_short_a_pod_is_deleted_while_it_can_still_end() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[(2, true)]);
        bench.cordon_all();
        bench.open(GateId::Drained);
        bench.spec.shutdown.within = Some(Duration::from_secs(170));
        bench.refuse(&plan(&bench.view())[0].order, ErrorKind::Blocked);
        // 110 s are kept for what must not be cut: a minute is left for the drain.
        for (seconds, verb) in [(29, EVICT), (30, DELETE)] {
            bench.now = bench.view().started.plus(Duration::from_secs(seconds));
            bench.fresh();
            assert_eq!(plan(&bench.view())[0].order.verb(), verb, "after {seconds} s");
        }
    }

    #[test]
    fn nothing_is_evicted_where_its_replacement_may_start() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon_all();
        bench.workload(Kind::Deployment, "web", &[(2, true)]);
        bench.open(GateId::Drained);
        assert_eq!(plan(&bench.view()).len(), 1);
        bench.change_node(2, |node| node.taints.clear());
        assert!(plan(&bench.view()).is_empty(), "a person took the cordon away");
        bench.check(evaluate, "n1: pass\nn2: pass");
        bench.change_node(2, |node| node.unschedulable = true);
        assert_eq!(plan(&bench.view()).len(), 1, "a person's cordon does as well");
    }

    #[test]
    fn whoever_detaches_volumes_ends_last() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::Deployment, "csi-attacher", &[(2, true)]);
        bench.workload(Kind::Deployment, "web", &[(2, true)]);
        bench.cordon_all();
        bench.open(GateId::Drained);
        let texts = |bench: &Bench| plan(&bench.view()).iter().map(|action| action.order.to_string()).collect::<Vec<_>>();
        assert_eq!(texts(&bench), ["evict Pod apps/web-0"]);
        bench.obs.pods = crate::fact::Fact::known(
            std::sync::Arc::new(bench.obs.pods.last().unwrap().iter().filter(|pod| detaches(pod)).cloned().collect()),
            bench.now,
        );
        assert_eq!(texts(&bench), ["evict Pod apps/csi-attacher-0"], "nothing is attached");
        bench.attach(1);
        assert!(texts(&bench).is_empty(), "a volume waits for it");
        bench.now = bench.now.plus(bench.spec.deadline(GateId::Drained) / 2);
        bench.fresh();
        bench.storage(|_| {});
        assert_eq!(texts(&bench), ["evict Pod apps/csi-attacher-0"], "not for ever");
    }

    #[test]
    fn daemon_sets_stay_and_pods_on_a_silent_node_are_left() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon_all();
        bench.workload(Kind::DaemonSet, "agent", &[(1, true), (2, true)]);
        bench.workload(Kind::Deployment, "web", &[(2, true)]);
        bench.check(evaluate, "n1: pass\nn2: hold pods-left waiting");
        bench.node_dies(2);
        bench.check(evaluate, "n1: pass\nn2: pass");
    }

    #[test]
    fn some_of_the_pods_that_are_left_are_named() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon_all();
        bench.workload(Kind::Deployment, "web", &[(2, true), (2, true), (2, true)]);
        let told =
            |bench: &Bench| evaluate(&bench.view()).subjects[&Subject::Node(crate::gate::testing::node(2))].text().to_owned();
        assert_eq!(told(&bench), "n2: 3 pods left, 0 of them ending (apps/web-0, apps/web-1, apps/web-2)");
        bench.workload(Kind::Deployment, "wiki", &[(2, true)]);
        assert_eq!(told(&bench), "n2: 4 pods left, 0 of them ending (apps/web-0, apps/web-1, apps/web-2, …)");
    }
}
