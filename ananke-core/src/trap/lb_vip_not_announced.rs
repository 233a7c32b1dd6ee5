//! The address of a load balancer is not announced: nothing outside reaches what works inside.

use std::time::Duration;

use super::evidence::says;
use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::gate::http_check;
use crate::name::{ObjectRef, Subject};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::LbVipNotAnnounced,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "no address that is asked from outside answers, though workloads and endpoints are well, or wait for a person",
    precondition: "the announcers' pods are from before this start, on nodes that are alive",
    budget: "one deletion a pod, and one pod a minute",
    effect: "makes the pods that announce addresses anew, one after the other (MetalLB, kube-vip, ServiceLB)",
    evidence: &["https://github.com/metallb/metallb/issues/584", "https://github.com/kube-vip/kube-vip/issues/842"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Ingress, GateId::Services], find, remake: Some(announcers) }),
};

/// Nobody answered; a refusal comes from somebody.
const UNANSWERED: &[&str] = &["no answer", "timed out", "no route to host", "host is unreachable"];
/// An address that answered so lately may only be moving from one node to another.
const MOVES_WITHIN: Duration = Duration::from_secs(120);
/// DaemonSets that are known to announce addresses; those of ServiceLB are named after their Services.
const ANNOUNCERS: &[&str] = &["speaker", "metallb-speaker", "kube-vip", "kube-vip-ds"];
const OF_SERVICE_LB: &str = "svclb-";

/// While one that was made anew is still to come, the others may be all that announce anything.
fn announcers<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let view = case.view;
    let young = |pod: &PodState| pod.created.is_some_and(|at| at >= view.floor() && !view.has_passed(MOVES_WITHIN, at));
    let comes = |pod: &PodState| !pod.ready && pod.owner.as_ref().is_some_and(announces) && young(pod);
    if view.pods().unwrap_or_default().iter().any(comes) { Vec::new() } else { case.old_pods(announces) }
}

fn announces(owner: &ObjectRef) -> bool {
    ANNOUNCERS.contains(&owner.name.as_ref()) || owner.name.starts_with(OF_SERVICE_LB)
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let Subject::Url(url) = case.subject else { return None };
    let silent = says(&case.blocker.text, UNANSWERED) && http_check::leads_in(case.view, url) && !any_answers(case);
    silent.then(|| {
        Finding::new(
            "nothing answers from outside, and nothing that is still to come explains that: its address is not announced",
            "look which node should announce the address (`kubectl get events -A --field-selector reason=nodeAssigned`), and at the ARP entry or BGP peer of the router",
        )
    })
}

/// Whether any host of an Ingress has answered lately, well or not.
fn any_answers(case: &Case<'_>) -> bool {
    let lately = |check: http_check::Check| {
        let seen = case.view.probe_fact(&check.request).and_then(|fact| fact.seen_at());
        seen.is_some_and(|at| !case.view.has_passed(MOVES_WITHIN, at))
    };
    http_check::all(case.view).into_iter().filter(|check| http_check::leads_in(case.view, &check.request.url)).any(lately)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::{Bench, node};
    use crate::name::Kind;
    use crate::observation::{ProbeAnswer, Taint};
    use crate::port::{ErrorKind, PortError, ProbeRequest};
    use crate::report::GateStatus;
    use crate::trap::testing::{bench, deleted};
    use crate::verdict::{Blocker, BlockerKind, Judgement, Reason, Verdict};

    /// Two announcers, and a host that does not answer for this reason.
    fn unanswered(found: &str) -> Bench {
        let mut bench = bench();
        bench.pod("web-0", |pod| pod.ready = true);
        bench.change_workload("web", |it| it.ready = 1);
        bench.workload(Kind::DaemonSet, "speaker", &[(1, true), (2, true)]);
        bench.ingress(&["git.example", "music.example"]);
        let mut silent = Fact::default();
        silent.fold(Err(PortError::new(ErrorKind::Transient, "GET", "http://git.example/", found)), bench.now);
        bench.obs.probes.insert(ProbeRequest::plain("http://git.example/".into()).key(), silent);
        bench
    }

    #[test]
    fn announcers_are_made_anew_where_all_is_well_but_the_way_in() {
        let remade = |found: &str, other: Option<u16>| {
            let mut bench = unanswered(found);
            bench.settles(GateId::Workloads);
            bench.settles(GateId::Endpoints);
            if let Some(status) = other {
                let answer = ProbeAnswer { status, ..ProbeAnswer::default() };
                bench
                    .obs
                    .probes
                    .insert(ProbeRequest::plain("http://music.example/".into()).key(), Fact::known(answer, bench.now));
            }
            deleted(&mut bench, GateId::Ingress, ENTRY.trap)
        };
        assert_eq!(remade("no answer within 5 s", None), ["Pod apps/speaker-0", "Pod apps/speaker-1"]);
        assert!(remade("connection refused", None).is_empty(), "somebody has the address");
        assert!(remade("no answer within 5 s", Some(503)).is_empty(), "another host answers at the same address");
    }

    #[test]
    fn the_next_announcer_is_made_anew_once_the_one_before_serves_or_had_its_time() {
        let remade = |ready: bool, age: u64| {
            let mut bench = unanswered("no answer within 5 s");
            bench.settles(GateId::Workloads);
            bench.settles(GateId::Endpoints);
            let created = Some(bench.now.minus(Duration::from_secs(age)));
            bench.pod("speaker-0", |pod| (pod.created, pod.ready) = (created, ready));
            deleted(&mut bench, GateId::Ingress, ENTRY.trap)
        };
        assert!(remade(false, 60).is_empty(), "it starts");
        assert_eq!(remade(true, 60), ["Pod apps/speaker-1"]);
        assert_eq!(remade(false, 120), ["Pod apps/speaker-1"], "it does not come");
    }

    #[test]
    fn an_announcer_is_kept_on_a_node_that_would_get_no_other() {
        let remade = |taint: &str, wanted: u32, silent: bool| {
            let mut bench = unanswered("no answer within 5 s");
            bench.settles(GateId::Workloads);
            bench.settles(GateId::Endpoints);
            let taint = Taint { key: taint.into(), value: "".into(), effect: "NoSchedule".into() };
            bench.change_node(1, |node| node.taints.push(taint));
            bench.change_workload("speaker", |it| it.desired = wanted);
            if silent {
                bench.obs.heartbeats.remove(&node(2));
            }
            deleted(&mut bench, GateId::Ingress, ENTRY.trap)
        };
        let (fence, full) = ("node.kubernetes.io/out-of-service", "node.kubernetes.io/disk-pressure");
        assert_eq!(remade(fence, 1, false), ["Pod apps/speaker-1"], "it does not tolerate the taint of n1");
        assert_eq!(remade(fence, 2, false), ["Pod apps/speaker-0", "Pod apps/speaker-1"], "it does");
        assert_eq!(remade(fence, 1, true), ["Pod apps/speaker-0"], "n2 is the node that it does not count");
        assert_eq!(remade(full, 1, false).len(), 2, "every DaemonSet tolerates that");
    }

    #[test]
    fn what_is_missing_and_does_not_come_is_not_waited_for() {
        let beside = |reason, kind, trap, minutes: u64| {
            let mut bench = unanswered("no answer within 5 s");
            let text = "it has 0 of 1 ready".to_owned();
            let blocker = Blocker { reason, text, kind, trap, if_it_lasts: "look".to_owned() };
            let of = |name| Subject::Object(ObjectRef::new(Kind::Deployment, "media", name));
            let mut judgement = Judgement::default();
            judgement.set(of("jellyfin"), Verdict::Hold(blocker));
            // It waits for the other, and has no words for it.
            let waits = Verdict::waiting(Reason::WorkloadNotConverged, "it has 0 of 1 ready", "look");
            judgement.set(of("jellyseerr"), waits);
            let now = bench.now;
            bench.now = now.minus(Duration::from_secs(60 * minutes));
            bench.stands(GateId::Workloads, GateStatus::Holding, judgement);
            bench.now = now;
            deleted(&mut bench, GateId::Ingress, ENTRY.trap).len()
        };
        let (image, workload) = (Reason::ImagePullFailure, Reason::WorkloadNotConverged);
        let waits = BlockerKind::Waiting;
        assert_eq!(beside(image, waits.clone(), None, 5), 2, "images come the same way");
        assert_eq!(beside(image, waits.clone(), None, 1), 0, "it has just begun");
        assert_eq!(beside(workload, BlockerKind::Person, None, 5), 2);
        assert_eq!(beside(workload, waits.clone(), None, 5), 0, "it may be what does not answer");
        assert_eq!(beside(workload, waits.clone(), Some(Trap::CniIpPoolLeaked), 5), 2, "a person ends it");
        assert_eq!(beside(workload, waits, Some(Trap::CrashloopBackoffLag), 5), 0, "it passes by itself");
    }
}
