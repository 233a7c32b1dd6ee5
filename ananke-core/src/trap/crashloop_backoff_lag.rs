//! A container waits out a back-off that grew while what it needs was away.

use super::{Case, Class, Diagnosis, Entry, Finding, Often, own_old_pods};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CrashloopBackoffLag,
    class: Class::Auto,
    often: Often::High,
    symptom: "CrashLoopBackOff of minutes, though what it needs serves by now",
    precondition: "the pod is from before this start, its node is alive, DNS and storage have passed",
    budget: "one deletion a pod",
    effect: "makes the pod anew, which starts at once",
    evidence: &["https://github.com/kubernetes/kubernetes/issues/57291"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: Some(remake) }),
};

/// Another pod of the workload that is not ready may be reading its logs back: it would begin anew.
fn remake<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let mut pods = own_old_pods(case);
    pods.retain(|pod| pod.is_backing_off());
    pods
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let waits = case.pods().iter().find(|pod| pod.is_backing_off())?;
    let well = [GateId::DnsCni, GateId::Storage, GateId::Secrets]
        .iter()
        .all(|id| case.view.gate(*id).is_none_or(|gate| gate.settled.is_some()));
    let text = format!("{} waits out its back-off", waits.object);
    well.then(|| Finding::new(text, format!("{}: its logs (`--previous`) say why it ends", case.describe())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Kind;
    use crate::trap::testing::{deleted, of_bench};

    #[test]
    fn a_sibling_that_recovers_is_left_alone() {
        let mut bench = crate::trap::testing::bench();
        bench.workload(Kind::StatefulSet, "db", &[(1, false), (2, false)]);
        bench.pod("db-0", |pod| pod.reason = "CrashLoopBackOff".into());
        assert_eq!(deleted(&mut bench, GateId::Workloads, ENTRY.trap), ["Pod apps/db-0"]);
    }

    #[test]
    fn a_back_off_is_one_and_a_slow_start_is_not() {
        let named = |reason: &str| of_bench(|bench| bench.pod("web-0", |pod| pod.reason = reason.into()));
        assert_eq!(named("CrashLoopBackOff"), Some(Trap::CrashloopBackoffLag));
        assert_eq!(named("ContainerCreating"), None);
    }
}
