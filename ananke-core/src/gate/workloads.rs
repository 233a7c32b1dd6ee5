//! Gate `workloads`: required Deployments, StatefulSets and DaemonSets have converged, on nodes whose kubelet is alive:
//! a pod that says Ready on a silent node says nothing. None is at zero that a stamp or the last good baseline says was not.
//!
//! What was not healthy before the outage is reported and not waited for, unless the config requires it by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{admission, dns_cni, storage};
use crate::engine::view::View;
use crate::engine::walk;
use crate::name::{Kind, NodeName, ObjectRef, Subject};
use crate::observation::{PodState, Tri, WorkloadState};
use crate::remedy::{dead_node_pods, restore_scale};
use crate::trap::{self, evidence::Evidence};
use crate::verdict::{Blocker, BlockerKind, GateId, Judgement, Reason, Trap, Verdict};

pub(crate) fn evaluate(view: &View<'_>) -> Judgement {
    let look = "look at the API server: it does not list workloads";
    let workloads = match view.workloads() {
        Ok(workloads) => workloads,
        Err(gap) => return Judgement::of(Subject::Cluster, Verdict::unknown(gap, look)),
    };
    let pods = match view.pod_index() {
        Ok(pods) => pods,
        Err(gap) => return Judgement::of(Subject::Cluster, Verdict::unknown(gap, look)),
    };
    let required = &view.spec.required_workloads;
    let (mut subjects, mut notes) = (Vec::new(), admission::notes(view));
    for object in required {
        if !workloads.iter().any(|found| found.object == *object) {
            let text = format!("{object} does not exist");
            let verdict =
                Verdict::waiting(Reason::WorkloadAbsent, text, format!("find the Kustomization that should create {object}"));
            subjects.push((Subject::Object(object.clone()), verdict));
        }
    }
    for found in workloads {
        let by_name = required.contains(&found.object);
        let own = || pods.owned_by(&found.object);
        let verdict = match (by_name, required.is_empty()) {
            (true, _) => Ok(judge(view, found, &own())),
            (false, false) => continue,
            (false, true) if found.desired > 0 => known_failure(view, found, judge(view, found, &own())),
            (false, true) => match restore_scale::judge(view, found, false) {
                Some(verdict) => verdict,
                None => continue,
            },
        };
        match verdict {
            Ok(verdict) => subjects.push((Subject::Object(found.object.clone()), verdict)),
            Err(note) => notes.push(note),
        }
    }
    let mut judgement = Judgement { notes, ..subjects.into_iter().collect() };
    dns_cni::blame(view, &mut judgement, |blocker| blocker.reason == Reason::WorkloadNotConverged);
    blame_stranded(view, &mut judgement);
    judgement
}

/// What does not converge and did not before the outage either is only a note.
fn known_failure(view: &View<'_>, found: &WorkloadState, verdict: Verdict) -> Result<Verdict, String> {
    let known =
        view.baseline().filter(|_| !verdict.is_pass()).and_then(|baseline| Some((baseline, baseline.workload(&found.object)?)));
    match known {
        Some((baseline, known)) if !known.healthy && known.desired > 0 => {
            let (text, day) = (walk::named(&Subject::Object(found.object.clone()), verdict.text()), baseline.day());
            Err(format!("{text}; it was not healthy on {day}, before the outage: not waited for"))
        }
        Some(_) | None => Ok(verdict),
    }
}

/// A workload that is not ready, without a word of its own, while others are stranded on a dead node, most likely waits for
/// one of them, first of all for one of its namespace: the node comes first, and the next run tells what is left.
fn blame_stranded(view: &View<'_>, judgement: &mut Judgement) {
    let mut stranded: BTreeMap<Arc<str>, Subject> = BTreeMap::new();
    for (subject, verdict) in &judgement.subjects {
        if let (Subject::Object(object), Verdict::Hold(Blocker { kind: BlockerKind::Follows(_), .. })) = (subject, verdict) {
            stranded.insert(object.namespace.clone(), subject.clone());
        }
    }
    if stranded.is_empty() {
        return;
    }
    let evidence = Evidence::of(view);
    let ended = |object: &ObjectRef| view.ended().iter().any(|pod| pod.owner.as_ref() == Some(object));
    let speaks = |object: &ObjectRef| {
        evidence.pods(object).iter().any(|pod| pod.node.is_some()) || object.kind != Kind::Deployment && ended(object)
    };
    for (subject, verdict) in &mut judgement.subjects {
        if let (Subject::Object(object), Verdict::Hold(blocker)) = (subject, verdict)
            && blocker.kind == BlockerKind::Waiting
            && blocker.reason == Reason::WorkloadNotConverged
            && !speaks(object)
            && !trap::knows(view, &evidence, GateId::Workloads, subject, blocker)
            && let Some(cause) = stranded.get(&object.namespace).or(stranded.values().next())
        {
            blocker.kind = BlockerKind::Follows(cause.clone());
        }
    }
}

pub(super) fn judge(view: &View<'_>, found: &WorkloadState, pods: &[&PodState]) -> Verdict {
    let object = &found.object;
    if found.desired == 0 && object.kind != Kind::DaemonSet {
        let text = format!("{object} is required and scaled to zero");
        let verdict = || Verdict::waiting(Reason::ScaledToZero, text, format!("scale {object} up again, or stop requiring it"));
        return restore_scale::judge(view, found, true).and_then(Result::ok).unwrap_or_else(verdict);
    }
    if found.ready < found.desired || found.observed_generation < found.generation || found.updated < found.desired {
        let text = format!("{object} has {} of {} ready{}", found.ready, found.desired, why_not(pods));
        if let Some(pod) = on_dead_node(view, pods) {
            let by_hand = format!("run `kubectl delete pod {} -n {} --force --grace-period=0`", pod.name, pod.namespace);
            let text = format!("{text}; {pod} is on a machine that was confirmed to be off");
            return Verdict::repairable(Reason::PodOnDeadNode, Trap::PodTerminatingOnDeadNode, text, by_hand);
        }
        if pods.len() < usize::try_from(found.desired).unwrap_or(usize::MAX)
            && let Some(verdict) = admission::blocks(view, object, &text)
        {
            return verdict;
        }
        return match dead_node(view, pods) {
            Some(node) => {
                Verdict::follows(Reason::WorkloadNotConverged, Subject::Node(node.clone()), format!("{text}; it needs {node}"))
            }
            None => match storage::behind(view, pods) {
                Some(cause) => Verdict::follows(Reason::WorkloadNotConverged, cause, text),
                None => Verdict::waiting(reason(pods), text, describe(object)),
            },
        };
    }
    // Without its controllers, a count is from before the outage; kubelets speak for the pods.
    let wanted = usize::try_from(found.desired).unwrap_or(usize::MAX);
    let ready = pods.iter().filter(|pod| pod.ready).count();
    if ready < wanted && pods.len() >= wanted {
        let text = format!("{object} says {} of {} ready, and {ready} of its pods are", found.ready, found.desired);
        return Verdict::waiting(Reason::PodsNotProved, text + &why_not(pods), describe(object));
    }
    let silent = pods.iter().filter(|pod| pod.ready).filter_map(|pod| pod.node.as_ref()).find(|node| !view.kubelet_alive(node));
    match silent {
        // A DaemonSet's pod on a dead node is not wanted there: its count leaves the node out already.
        Some(node) if object.kind != Kind::DaemonSet => {
            let text = format!("{object} counts a pod on {node}, whose kubelet is silent");
            match view.known_host(node) {
                Some(_) => Verdict::waiting(Reason::PodsNotProved, text, describe(object)),
                None => Verdict::follows(Reason::PodsNotProved, Subject::Node(node.clone()), text),
            }
        }
        Some(_) | None => Verdict::pass(format!("{} of {} ready", found.ready, found.desired)),
    }
}

/// A pod whose machine is proved to be off, and whose place another can take once it is gone.
fn on_dead_node<'a>(view: &View<'_>, pods: &[&'a PodState]) -> Option<&'a ObjectRef> {
    if view.confirmations().is_empty() {
        return None;
    }
    let mut waited_for = pods.iter().filter(|pod| dead_node_pods::waited_for(pod).is_some());
    let dead = |name: &NodeName| {
        let node = view.node(name).ok().flatten();
        node.is_some_and(|node| dead_node_pods::death(view, node).is_some())
    };
    waited_for.find(|pod| pod.node.as_ref().is_some_and(dead)).map(|pod| &pod.object)
}

/// The node without which this workload cannot converge: all its pods that are not ready sit on one that is not there.
fn dead_node<'a>(view: &View<'_>, pods: &[&'a PodState]) -> Option<&'a NodeName> {
    let mut waiting = pods.iter().filter(|pod| !pod.ready);
    let first = waiting.next()?.node.as_ref()?;
    let silent = !view.kubelet_alive(first) && view.known_host(first).is_none();
    let judged = view.gate(GateId::NodesReady).and_then(|gate| gate.judgement.subjects.get(&Subject::Node(first.clone())));
    // A node that is not Ready may be held for more than that, such as a mark for a person.
    let says_ready = view.node(first).is_ok_and(|node| node.is_some_and(|node| node.ready == Tri::True));
    let not_ready = matches!(judged, Some(Verdict::Hold(_))) && !says_ready;
    ((silent || not_ready) && waiting.all(|pod| pod.node.as_ref() == Some(first))).then_some(first)
}

fn why_not(pods: &[&PodState]) -> String {
    pods.iter()
        .find(|pod| !pod.ready && !pod.reason.is_empty())
        .map_or_else(String::new, |pod| format!(" ({}: {})", pod.object.name, crate::port::clean(&pod.reason, 80)))
}

fn reason(pods: &[&PodState]) -> Reason {
    let says = |word: &str| pods.iter().any(|pod| !pod.ready && pod.reason.contains(word));
    if says("CrashLoop") {
        Reason::PodCrashLoop
    } else if says("ImagePull") {
        Reason::ImagePullFailure
    } else {
        Reason::WorkloadNotConverged
    }
}

/// Where a person looks first.
pub(crate) fn describe(object: &ObjectRef) -> String {
    let ObjectRef { kind, namespace, name } = object;
    let kind = kind.to_string().to_lowercase();
    if namespace.is_empty() {
        format!("look at `kubectl describe {kind} {name}`")
    } else {
        format!("look at `kubectl describe {kind} {name} -n {namespace}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    #[test]
    fn a_ready_count_is_believed_only_on_living_nodes() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[(1, true), (2, true)]);
        bench.check(evaluate, "Deployment apps/web: pass");
        bench.obs.heartbeats.clear();
        bench.check(evaluate, "Deployment apps/web: hold pods-not-proved waiting");
        bench.obs.hosts.clear();
        bench.check(evaluate, "Deployment apps/web: hold pods-not-proved follows n1");
    }

    #[test]
    fn a_count_that_no_pod_bears_out_is_from_before_the_outage() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[(1, true), (1, false)]);
        bench.change_workload("web", |it| it.ready = 2);
        bench.check(evaluate, "Deployment apps/web: hold pods-not-proved waiting");
        bench.pod("web-1", |pod| pod.owner = None);
        bench.check(evaluate, "Deployment apps/web: pass");
    }

    #[test]
    fn a_workload_that_needs_a_dead_node_names_it() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::StatefulSet, "db", &[(1, true), (2, false)]);
        bench.check(evaluate, "StatefulSet apps/db: hold workload-not-converged waiting");
        bench.node_dies(2);
        bench.check(evaluate, "StatefulSet apps/db: hold workload-not-converged follows n2");
    }

    #[test]
    fn what_only_waits_beside_a_stranded_workload_follows_it() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::StatefulSet, "db", &[(2, false)]);
        bench.workload(Kind::Deployment, "web", &[(1, false)]);
        bench.node_dies(2);
        bench.check(
            evaluate,
            "Deployment apps/web: hold workload-not-converged follows StatefulSet apps/db\n\
             StatefulSet apps/db: hold workload-not-converged follows n2",
        );
        bench.pod("web-0", |pod| pod.message = "failed to stat /mnt: stale NFS file handle".into());
        bench.check(
            evaluate,
            "Deployment apps/web: hold workload-not-converged waiting\n\
             StatefulSet apps/db: hold workload-not-converged follows n2",
        );
    }

    #[test]
    fn what_a_trap_knows_is_not_blamed_on_a_stranded_workload() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::StatefulSet, "db", &[(2, false)]);
        bench.workload(Kind::Deployment, "web", &[(1, false)]);
        bench.node_dies(2);
        bench.change_node(1, |node| node.unschedulable = true);
        let no_room = "0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) had untolerated taint(s).";
        bench.pod("web-0", |pod| (pod.node, pod.message) = (None, no_room.into()));
        bench.check(
            evaluate,
            "Deployment apps/web: hold workload-not-converged waiting\n\
             StatefulSet apps/db: hold workload-not-converged follows n2",
        );
    }

    #[test]
    fn scaled_to_zero_counts_only_where_it_is_required() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::Deployment, "off", &[]);
        bench.check(evaluate, "");
        bench.spec.required_workloads = vec![ObjectRef::new(Kind::Deployment, "apps", "off")];
        bench.check(evaluate, "Deployment apps/off: hold scaled-to-zero waiting");
        bench.spec.required_workloads.push(ObjectRef::new(Kind::Deployment, "apps", "gone"));
        bench.check(
            evaluate,
            "Deployment apps/gone: hold workload-absent waiting\nDeployment apps/off: hold scaled-to-zero waiting",
        );
    }
    #[test]
    fn what_was_broken_before_the_outage_is_a_note_unless_it_is_required_by_name() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::Deployment, "old", &[(1, false)]);
        bench.workload(Kind::Deployment, "web", &[(1, true)]);
        let known = |name: &str, healthy| {
            let object = ObjectRef::new(Kind::Deployment, "apps", name);
            crate::baseline::BaselineWorkload { object, desired: 1, healthy }
        };
        let taken =
            crate::baseline::Baseline::new(crate::name::Moment::from_millis(0), vec![known("old", false), known("web", true)]);
        bench.obs.baseline = crate::fact::Fact::known(Some(taken), bench.now);
        bench.check(
            evaluate,
            "Deployment apps/web: pass\nnote: Deployment apps/old has 0 of 1 ready; \
             it was not healthy on 1970-01-01, before the outage: not waited for",
        );
        bench.spec.required_workloads = vec![ObjectRef::new(Kind::Deployment, "apps", "old")];
        bench.check(evaluate, "Deployment apps/old: hold workload-not-converged waiting");
        bench.spec.required_workloads.clear();
        bench.change_workload("old", |it| it.ready = 1);
        bench.pod("old-0", |pod| pod.ready = true);
        bench.check(evaluate, "Deployment apps/old: pass\nDeployment apps/web: pass");
        bench.change_workload("web", |it| it.ready = 0);
        bench.check(evaluate, "Deployment apps/old: pass\nDeployment apps/web: hold workload-not-converged waiting");
        let unused = crate::baseline::BaselineWorkload { desired: 0, ..known("web", false) };
        let taken = crate::baseline::Baseline::new(bench.now, vec![unused]);
        bench.obs.baseline = crate::fact::Fact::known(Some(taken), bench.now);
        bench.check(evaluate, "Deployment apps/old: pass\nDeployment apps/web: hold workload-not-converged waiting");
    }

    #[test]
    fn what_is_being_rolled_out_has_not_converged() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[(1, true)]);
        bench.change_workload("web", |it| it.generation = 2);
        bench.check(evaluate, "Deployment apps/web: hold workload-not-converged waiting");
        bench.change_workload("web", |it| (it.observed_generation, it.updated) = (2, 0));
        bench.check(evaluate, "Deployment apps/web: hold workload-not-converged waiting");
        bench.change_workload("web", |it| it.updated = 1);
        bench.check(evaluate, "Deployment apps/web: pass");
    }

    #[test]
    fn a_daemon_sets_pod_on_a_silent_node_is_not_missed() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::DaemonSet, "agent", &[(1, true), (2, true)]);
        bench.node_dies(2);
        bench.check(evaluate, "DaemonSet apps/agent: pass");
    }

    #[test]
    fn a_pod_on_a_machine_that_is_off_is_repaired() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::StatefulSet, "db", &[(2, false)]);
        bench.node_dies(2);
        let (now, node) = (bench.now, crate::gate::testing::node(2));
        bench.change_node(2, |node| node.renewed = None);
        bench.obs.heartbeats.remove(&node);
        let confirmed = crate::observation::Confirmation { node, at: now, boot_id: None };
        bench.obs.confirmations = crate::fact::Fact::known(vec![confirmed], now);
        bench.check(evaluate, "StatefulSet apps/db: hold pod-on-dead-node repairable");
    }

    #[test]
    fn a_node_that_answers_in_one_way_is_not_dead_and_one_that_is_held_and_not_ready_comes_first() {
        let base = || {
            let mut bench = Bench::new(2);
            bench.all_up();
            bench.workload(Kind::StatefulSet, "db", &[(2, false)]);
            bench
        };
        let node = crate::gate::testing::node(2);
        let waits = "StatefulSet apps/db: hold workload-not-converged waiting";
        let mut silent = base();
        silent.obs.heartbeats.remove(&node);
        silent.check(evaluate, waits);
        let mut dark = base();
        dark.obs.hosts.remove(&node);
        dark.check(evaluate, waits);
        let mut marked = base();
        marked.change_node(2, |node| node.manual_note = Some("replace its disk".into()));
        marked.judged(GateId::NodesReady, crate::gate::nodes_ready::evaluate);
        marked.check(evaluate, waits);
        let mut sick = base();
        sick.change_node(2, |node| node.ready = Tri::False);
        sick.check(evaluate, waits);
        sick.judged(GateId::NodesReady, crate::gate::nodes_ready::evaluate);
        sick.check(evaluate, "StatefulSet apps/db: hold workload-not-converged follows n2");
    }

    #[test]
    fn the_pod_that_is_not_ready_says_why_and_the_instruction_where_to_look() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::StatefulSet, "db", &[(1, true), (1, false)]);
        bench.pod("db-0", |pod| pod.reason = "Completed".into());
        bench.pod("db-1", |pod| pod.reason = "CrashLoopBackOff".into());
        let judgement = evaluate(&bench.view());
        let Some(Verdict::Hold(blocker)) = judgement.subjects.values().next() else { panic!("{judgement:?}") };
        assert_eq!(blocker.text, "StatefulSet apps/db has 1 of 2 ready (db-1: CrashLoopBackOff)");
        assert_eq!(blocker.if_it_lasts, "look at `kubectl describe statefulset db -n apps`");
    }
}
