//! Everything starts at once, and probes end what is only slow.

use std::collections::BTreeSet;

use super::evidence::says;
use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::name::ObjectRef;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ThunderingHerd,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "liveness probes fail in many workloads at once",
    precondition: "none",
    budget: "waits for the gate's deadline",
    effect: "waits, and makes nothing anew meanwhile: that would be one start more. If it lasts, asks to scale some down",
    evidence: &[
        "https://github.com/everpeace/kube-throttler/issues/57",
        "https://github.com/scylladb/scylla-operator/issues/844",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads], find, remake: None }),
};

const WORDS: &[&str] = &["liveness probe failed"];
/// So many workloads are no coincidence.
const MANY: usize = 5;

fn find(case: &Case<'_>) -> Option<Finding> {
    case.said(WORDS)?;
    let pods = case.view.pods().unwrap_or_default().iter().filter(|pod| !pod.ready);
    let slow: BTreeSet<&ObjectRef> = pods
        .filter(|pod| says(&pod.message, WORDS) || case.events_say(&pod.object, WORDS))
        .filter_map(|pod| pod.owner.as_ref())
        .collect();
    (slow.len() >= MANY).then(|| {
        Finding::new(
            format!("liveness probes end {} workloads that are still starting: the nodes are too busy", slow.len()),
            format!(
                "suspend what applies it and scale what can wait to zero until the others are ready; give {} a startupProbe",
                case.subject
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Kind;
    use crate::trap::testing::of_bench;

    #[test]
    fn many_are_a_herd_and_one_is_its_own() {
        let named = |others: usize| {
            of_bench(|bench| {
                let slow = "Liveness probe failed: Get \"http://10.42.0.9:8080/healthz\": context deadline exceeded";
                for n in 0..others {
                    bench.workload(Kind::Deployment, &format!("slow-{n}"), &[(1, false)]);
                    bench.pod(&format!("slow-{n}-0"), |pod| pod.message = slow.into());
                }
                bench.pod("web-0", |pod| pod.message = slow.into());
            })
        };
        assert_eq!(named(MANY - 1), Some(ENTRY.trap));
        assert_eq!(named(MANY - 2), None);
    }
}
