//! A replica of PostgreSQL runs and does not follow its primary any more, and its operator leaves it so.

use super::evidence::says;
use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::engine::view::View;
use crate::name::Kind;
use crate::observation::{PodPhase, PodState};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::PostgresOperatorNoRecovery,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "a pod that its operator calls a member of a database runs, and its readiness probe fails",
    precondition: "a StatefulSet owns the pod, the gate storage has passed, it is a replica from before this start, and no other pod is the primary's",
    budget: "one deletion a replica, none of a primary",
    effect: "makes the pod of a replica anew once, on the volume that it has; a primary, a fence, a promotion and a volume are a person's. Where no StatefulSet owns it (CloudNativePG), its operator makes pods, and a note of the gate soak names it",
    evidence: &[
        "https://github.com/zalando/postgres-operator/issues/2205",
        "https://github.com/cloudnative-pg/cloudnative-pg/issues/8882",
        "https://github.com/cloudnative-pg/cloudnative-pg/issues/1915",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: Some(replicas) }),
};

const WORDS: &[&str] = &["readiness probe failed"];
const PRIMARY: &[&str] = &["master", "primary"];

fn members<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let stateful = case.workload().is_some_and(|owner| owner.kind == Kind::StatefulSet);
    let runs = |pod: &&PodState| pod.role.is_some() && pod.phase == PodPhase::Running && !pod.deleting;
    let told = |pod: &&PodState| case.events_say(&pod.object, WORDS);
    case.pods().iter().copied().filter(|_| stateful).filter(runs).filter(told).collect()
}

fn is_primary(pod: &PodState) -> bool {
    pod.role.as_deref().is_some_and(|role| PRIMARY.contains(&role))
}

/// A replica joins its primary, so that comes first; and what stands on volumes waits for them.
fn replicas<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let storage = case.view.gate(GateId::Storage).is_none_or(|gate| gate.settled.is_some());
    let members = members(case);
    if !storage || members.iter().any(|pod| is_primary(pod)) {
        return Vec::new();
    }
    members.into_iter().filter(|pod| case.may_remake(pod)).collect()
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let members = members(case);
    let pod = members.iter().find(|pod| is_primary(pod)).or(members.first())?;
    let (namespace, name) = (&pod.object.namespace, &pod.object.name);
    let role = pod.role.as_deref().unwrap_or("member");
    let look = format!("`kubectl exec {name} -n {namespace} -- patronictl list`, or the status of its Cluster");
    let what = if is_primary(pod) {
        "; do not delete a primary again and again: see what its log lacks, and promote nothing before that"
    } else {
        "; if it asks for WAL that is gone, rebuild that replica, which takes its volume: be sure that the primary is well"
    };
    Some(Finding::new(format!("{name} is called {role} and is not ready, though it runs"), format!("look at {look}{what}")))
}

/// Members that no workload owns, one line each: their operator makes their pods, and no gate waits for them.
pub(crate) fn notes(view: &View<'_>) -> Vec<String> {
    let fails = |pod: &&PodState| {
        let mut of = view.events().iter().filter(|event| event.about == pod.object);
        of.any(|event| event.last.is_some_and(|last| last >= view.floor()) && says(&event.message, WORDS))
    };
    let lost = |pod: &&PodState| {
        pod.owner.is_none() && pod.role.is_some() && pod.phase == PodPhase::Running && !pod.ready && !pod.deleting
    };
    let pods = view.pods().unwrap_or_default().iter().filter(lost).filter(fails);
    pods.map(|pod| {
        let (trap, role) = (ENTRY.trap, pod.role.as_deref().unwrap_or("member"));
        format!(
            "{trap}: {} is called {role} and is not ready, though it runs, and its operator leaves it so. Look at the status of its \
             Cluster (`kubectl get cluster -n {}`) and at its log; if it asks for WAL that is gone, rebuild that replica, which takes \
             its volume: be sure that the primary is well",
            pod.object, pod.object.namespace
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::name::ObjectRef;
    use crate::observation::EventState;
    use crate::trap::testing::{bench, deleted};

    /// As the kubelet tells it of a member without Patroni, and what is near and is not it.
    const YES: &str =
        "Readiness probe failed: Get \"http://10.2.1.17:8008/readiness\": dial tcp 10.2.1.17:8008: connect: connection refused";
    const NO: &str = "Startup probe failed: still starting";

    fn remade(roles: [Option<&str>; 2], message: &str, change: impl FnOnce(&mut Bench)) -> Vec<String> {
        let mut bench = bench();
        bench.workload(Kind::StatefulSet, "acid-db", &[(1, false), (2, false)]);
        let mut events = Vec::new();
        for (n, role) in roles.into_iter().enumerate() {
            bench.pod(&format!("acid-db-{n}"), |pod| pod.role = role.map(Into::into));
            let (about, reason) = (ObjectRef::new(Kind::Pod, "apps", &format!("acid-db-{n}")), "Unhealthy".into());
            events.push(EventState { about, reason, message: message.into(), last: Some(bench.now) });
        }
        bench.obs.events = Fact::known(Arc::new(events), bench.now);
        change(&mut bench);
        deleted(&mut bench, GateId::Workloads, ENTRY.trap)
    }

    /// As the kubelet tells it of an instance of CloudNativePG.
    const CNPG: &str = "Readiness probe failed: HTTP probe failed with statuscode: 500";

    fn noted(message: &str, change: impl FnOnce(&mut crate::observation::PodState)) -> Vec<String> {
        let mut bench = bench();
        bench.workload(Kind::StatefulSet, "cluster", &[(1, false)]);
        bench.pod("cluster-0", |pod| {
            (pod.owner, pod.role) = (None, Some("replica".into()));
            change(pod);
        });
        let about = ObjectRef::new(Kind::Pod, "apps", "cluster-0");
        let event = EventState { about, reason: "Unhealthy".into(), message: message.into(), last: Some(bench.now) };
        bench.obs.events = Fact::known(Arc::new(vec![event]), bench.now);
        notes(&bench.view())
    }

    #[test]
    fn a_member_that_no_workload_owns_is_named_and_left_alone() {
        let told = noted(CNPG, |_| {});
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("Pod apps/cluster-0 is called replica and is not ready"), "{told:?}");
        assert!(noted(CNPG, |pod| pod.ready = true).is_empty(), "it follows");
        assert!(noted(CNPG, |pod| pod.role = None).is_empty(), "it is no database");
        assert!(noted(NO, |_| {}).is_empty(), "it still starts");
        assert!(
            noted(CNPG, |pod| pod.owner = Some(ObjectRef::new(Kind::StatefulSet, "apps", "cluster"))).is_empty(),
            "its gate tells"
        );
    }

    #[test]
    fn replicas_are_made_anew_once_and_never_beside_a_primary_that_is_down() {
        let replicas = [Some("replica"), Some("replica")];
        assert_eq!(remade(replicas, YES, |_| {}), ["Pod apps/acid-db-0", "Pod apps/acid-db-1"]);
        assert!(remade([Some("master"), Some("replica")], YES, |_| {}).is_empty(), "it has nobody to follow");
        assert!(remade(replicas, NO, |_| {}).is_empty(), "it still starts");
        assert!(remade([None, None], YES, |_| {}).is_empty(), "it is no database");
        assert!(remade(replicas, YES, |bench| bench.open(GateId::Storage)).is_empty(), "its volume may not be there");
    }
}
