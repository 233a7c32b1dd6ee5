//! Cluster DNS does not serve.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::name::Kind;
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CorednsDown,
    class: Class::Auto,
    often: Often::High,
    symptom: "the Service kube-dns has no ready endpoint",
    precondition: "its pods are from before this start, on nodes that are alive",
    budget: "one deletion a pod",
    effect: "makes the pods of cluster DNS anew",
    evidence: &["https://github.com/fluxcd/flux2/issues/4411", "https://github.com/kubernetes/kubernetes/issues/138622"],
    diagnosis: Some(Diagnosis { gates: &[GateId::DnsCni, GateId::Workloads], find, remake: Some(servers) }),
};

fn servers<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let mut pods = case.old_pods(|owner| owner.name.contains("coredns"));
    pods.retain(|pod| !pod.ready);
    pods
}

fn find(case: &Case<'_>) -> Option<Finding> {
    case.object().filter(|object| object.kind == Kind::Service || object.name.contains("coredns"))?;
    Some(Finding::as_told(case))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{ObjectRef, Subject};
    use crate::observation::Taint;
    use crate::trap::testing::{bench, deleted, told};

    #[test]
    fn old_pods_of_dns_are_made_anew_and_young_ones_had_their_chance() {
        let named = |old: bool| {
            let mut bench = bench();
            bench.workload(Kind::Deployment, "coredns", &[(1, false)]);
            bench.endpoints("kube-system", "kube-dns", 0, &["coredns-0"]);
            let now = bench.now;
            bench.pod("coredns-0", |pod| pod.created = if old { pod.created } else { Some(now) });
            deleted(&mut bench, GateId::DnsCni, ENTRY.trap)
        };
        assert_eq!(named(true), ["Pod apps/coredns-0"]);
        assert!(named(false).is_empty());
    }

    #[test]
    fn what_keeps_the_next_pod_away_is_told_first() {
        let said = |full: bool| {
            let mut bench = bench();
            bench.workload(Kind::Deployment, "coredns", &[(1, false)]);
            for n in 1..=2 {
                let taint =
                    Taint { key: "node.kubernetes.io/disk-pressure".into(), value: "".into(), effect: "NoSchedule".into() };
                bench.change_node(n, |node| if full { node.taints.push(taint) } else { node.unschedulable = n == 1 });
            }
            let object = ObjectRef::new(Kind::Deployment, "apps", "coredns");
            (deleted(&mut bench, GateId::Workloads, ENTRY.trap), told(&bench, GateId::Workloads, &Subject::Object(object)))
        };
        let (remade, text) = said(true);
        assert!(remade.is_empty());
        let text = text.unwrap();
        assert!(text.ends_with("; no node takes another pod: n1 is short of disk space; and 1 more"), "{text}");
        assert_eq!(said(false).0, ["Pod apps/coredns-0"], "n2 takes it");
    }
}
