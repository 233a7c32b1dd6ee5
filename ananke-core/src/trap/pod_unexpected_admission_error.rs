//! The kubelet turned pods away, since the plugin of a device had not registered yet.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::PodUnexpectedAdmissionError,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "pods are Failed with UnexpectedAdmissionError: no healthy devices present",
    precondition: "none",
    budget: "waits for the gate's deadline",
    effect: "waits: the controller makes pods until the node has the device; what failed is left to the garbage collector. If it lasts, a person looks for the device and its plugin",
    evidence: &[
        "https://github.com/kubernetes/kubernetes/issues/125579",
        "https://github.com/squat/generic-device-plugin/issues/33",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const REASON: &str = "UnexpectedAdmissionError";

fn find(case: &Case<'_>) -> Option<Finding> {
    let turned_away = case.ended().into_iter().filter(|pod| pod.reason.as_ref() == REASON).max_by_key(|pod| pod.created)?;
    let node = turned_away.node.as_ref().map_or("its node", |node| node.as_str());
    Some(Finding::new(
        format!("{node} turned its pod away: {}", super::evidence::quoted(&turned_away.message)),
        format!(
            "look whether {node} has the device (`kubectl describe node {node}`, Allocatable), and at the pod of its device plugin there"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::PodPhase;
    use crate::trap::testing::{end, of_bench};

    #[test]
    fn it_is_a_device_that_is_missing_and_no_other_refusal() {
        let named = |reason: &str, message: &str| {
            of_bench(|bench| {
                bench.pod("web-0", |pod| pod.message = message.into());
                end(bench, "web-0", PodPhase::Failed, reason);
            })
        };
        let devices = "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices squat.ai/zigbee, which is unexpected";
        assert_eq!(named("UnexpectedAdmissionError", devices), Some(ENTRY.trap));
        let other = "Pod was rejected: Node didn't have enough resource: cpu, requested: 500, used: 3900, capacity: 4000";
        assert_eq!(named("OutOfcpu", other), None);
    }
}
