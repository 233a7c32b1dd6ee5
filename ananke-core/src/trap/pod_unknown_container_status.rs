//! The kubelet has lost the container of a pod.

use super::{Case, Class, Diagnosis, Entry, Finding, Often, own_old_pods_that_say};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::PodUnknownContainerStatus,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "a container ended as ContainerStatusUnknown",
    precondition: "the pod is from before this start, and its node is alive",
    budget: "one deletion a pod",
    effect: "makes the pod anew",
    evidence: &["https://github.com/kubernetes/kubernetes/issues/113204", "https://github.com/longhorn/longhorn/issues/8550"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: Some(remake) }),
};

const WORDS: &[&str] = &["containerstatusunknown"];

fn remake<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    own_old_pods_that_say(case, WORDS)
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    Some(Finding::new(format!("its kubelet has lost a container: {}", said.quoted()), case.describe()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::{of_pod, remade};

    /// As it is told, and what is near and is not it.
    const YES: &str = "ContainerStatusUnknown: The container could not be located when the pod was terminated";
    const NO: &str = "ContainerCreating";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
        assert_eq!(remade(YES), ["Pod apps/web-0"]);
    }
}
