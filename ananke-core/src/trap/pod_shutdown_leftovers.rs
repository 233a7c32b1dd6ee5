//! The kubelet ended a pod as its node went down, and its controller takes the object for the pod.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::name::Kind;
use crate::observation::{PodPhase, PodState};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::PodShutdownLeftovers,
    class: Class::Auto,
    often: Often::High,
    symptom: "a pod of a StatefulSet or DaemonSet is Completed, Terminated or NodeShutdown, and stays",
    precondition: "the pod is from before this start, and its node is alive",
    budget: "one deletion a pod",
    effect: "deletes the pod, so that its controller makes the next; those of Deployments are left to the garbage collector, and pods of Jobs and bare pods to people",
    evidence: &[
        "https://github.com/kubernetes/kubernetes/issues/122122",
        "https://github.com/kubernetes/kubernetes/issues/118310",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: Some(left) }),
};

/// What kubelets of several versions write of a pod that they ended for the shutdown of their node.
const REASONS: &[&str] = &["Terminated", "NodeShutdown", "Shutdown"];

fn left<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    if case.workload().is_none_or(|workload| workload.kind == Kind::Deployment) {
        return Vec::new();
    }
    let mut pods = case.ended();
    pods.retain(|pod| pod.phase == PodPhase::Succeeded || REASONS.contains(&pod.reason.as_ref()));
    pods.retain(|pod| case.may_remake(pod));
    pods
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let pods = left(case);
    let pod = &pods.first()?.object;
    let delete = format!("run `kubectl delete pod {} -n {}`", pod.name, pod.namespace);
    Some(Finding::new(format!("{pod} ended when its node went down, and has the place of the next"), delete))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::{bench, deleted, end};

    #[test]
    fn what_has_the_place_of_the_next_pod_is_deleted() {
        let gone = |kind: Kind, phase: PodPhase, reason: &str| {
            let mut bench = bench();
            bench.workload(kind, "db", &[(1, false)]);
            end(&mut bench, "db-0", phase, reason);
            deleted(&mut bench, GateId::Workloads, ENTRY.trap)
        };
        assert_eq!(gone(Kind::StatefulSet, PodPhase::Succeeded, ""), ["Pod apps/db-0"]);
        assert_eq!(gone(Kind::StatefulSet, PodPhase::Failed, "Terminated"), ["Pod apps/db-0"]);
        assert_eq!(gone(Kind::DaemonSet, PodPhase::Failed, "NodeShutdown"), ["Pod apps/db-0"]);
        assert!(gone(Kind::StatefulSet, PodPhase::Failed, "Evicted").is_empty());
        assert!(gone(Kind::Deployment, PodPhase::Succeeded, "").is_empty(), "another pod has its place already");
    }

    #[test]
    fn it_does_not_wait_for_what_is_stranded_elsewhere() {
        let mut bench = bench();
        bench.workload(Kind::StatefulSet, "db", &[(1, false)]);
        bench.workload(Kind::StatefulSet, "far", &[(2, false)]);
        end(&mut bench, "db-0", PodPhase::Succeeded, "");
        bench.node_dies(2);
        assert_eq!(deleted(&mut bench, GateId::Workloads, ENTRY.trap), ["Pod apps/db-0"]);
    }

    #[test]
    fn nothing_is_deleted_on_a_node_that_is_not_there() {
        let mut bench = bench();
        bench.workload(Kind::StatefulSet, "db", &[(2, false)]);
        end(&mut bench, "db-0", PodPhase::Succeeded, "");
        bench.node_dies(2);
        assert!(deleted(&mut bench, GateId::Workloads, ENTRY.trap).is_empty());
    }
}
