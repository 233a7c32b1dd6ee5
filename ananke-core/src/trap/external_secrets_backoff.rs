//! The store of the secrets serves again, and its operator waits out a back-off.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ExternalSecretsBackoff,
    class: Class::Auto,
    often: Often::Low,
    symptom: "a Secret that External Secrets makes is not there",
    precondition: "the gate secrets has passed, and the operator's pods are from before this start",
    budget: "one deletion a pod",
    effect: "makes the pods of the operator anew, which reads all stores when it begins",
    evidence: &["https://homelab-alybadawy-com.pages.dev/guides/disaster-recovery.html"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Kustomizations], find, remake: Some(operator) }),
};

const OPERATOR: &str = "external-secrets";
/// A kubelet of a Secret that is not there, and Flux of the object that should make it.
const OF_PODS: &[&str] = &["secret \""];
const OF_FLUX: &[&str] = &["externalsecret/", "secretstore/"];

fn operator<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let secrets = case.view.gate(GateId::Secrets);
    if secrets.is_none_or(|gate| gate.settled.is_some()) { case.old_pods(|owner| *owner.name == *OPERATOR) } else { Vec::new() }
}

fn find(case: &Case<'_>) -> Option<Finding> {
    case.view.workloads().unwrap_or_default().iter().find(|found| *found.object.name == *OPERATOR)?;
    let said = case.said(OF_PODS).map(|said| said.text).filter(|text| super::evidence::says(text, &["not found"]));
    let text = said.or_else(|| case.flux_said(OF_FLUX))?;
    Some(Finding::new(
        format!("External Secrets has not made it: {}", super::evidence::quoted(text)),
        "look at `kubectl get clustersecretstores,externalsecrets -A`: what refuses its credentials needs new ones",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Kind, ObjectRef, Subject};
    use crate::trap::testing::{bench, deleted, told};

    /// As it is told, and what is near and is not it.
    const YES: &str = "secret \"grafana-secrets\" not found";
    const NO: &str = "configmap \"grafana-dashboards\" not found";

    #[test]
    fn its_operator_is_made_anew_where_there_is_one() {
        let remade = |operator: &str, message: &str| {
            let mut bench = bench();
            bench.workload(Kind::Deployment, operator, &[(2, true)]);
            bench.pod("web-0", |pod| pod.message = message.into());
            deleted(&mut bench, GateId::Workloads, ENTRY.trap)
        };
        assert_eq!(remade("external-secrets", YES), ["Pod apps/external-secrets-0"]);
        assert!(remade("external-secrets", NO).is_empty());
        assert!(remade("sealed-secrets", YES).is_empty());
    }

    #[test]
    fn its_next_pod_may_get_no_image_from_a_registry_of_this_cluster_that_is_not_whole() {
        let remade = |registry: &str| {
            let mut bench = bench();
            bench.workload(Kind::Deployment, "external-secrets", &[(2, true)]);
            bench.change_workload("external-secrets", |it| it.registries = vec![registry.into()]);
            bench.pod("web-0", |pod| pod.message = YES.into());
            bench.ingress(&["harbor.example"]);
            // Once with what the gate said before.
            let _ = deleted(&mut bench, GateId::Workloads, ENTRY.trap);
            let waits = Subject::Object(ObjectRef::new(Kind::Deployment, "apps", "web"));
            (deleted(&mut bench, GateId::Workloads, ENTRY.trap), told(&bench, GateId::Workloads, &waits).unwrap())
        };
        let (pods, text) = remade("harbor.example:5000");
        assert!(pods.is_empty(), "web is in its namespace, and does not serve");
        let why = "; Deployment apps/external-secrets is not made anew while Deployment apps/web is not whole: its images may come from there";
        assert!(text.ends_with(why), "{text}");
        assert_eq!(remade("ghcr.io").0, ["Pod apps/external-secrets-0"]);
    }

    #[test]
    fn the_store_comes_first() {
        let mut bench = bench();
        bench.workload(Kind::Deployment, "external-secrets", &[(2, true)]);
        bench.pod("web-0", |pod| pod.message = YES.into());
        bench.open(GateId::Secrets);
        assert!(deleted(&mut bench, GateId::Workloads, ENTRY.trap).is_empty());
    }
}
