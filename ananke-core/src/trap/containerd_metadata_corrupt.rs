//! containerd remembers sandboxes that are not there.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ContainerdMetadataCorrupt,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "a sandbox name is reserved, or containerd ends while it recovers",
    precondition: "none",
    budget: "none",
    effect: "names the restart that often helps, and what must hold before its data is moved away",
    evidence: &["https://github.com/k3s-io/k3s/issues/5189", "https://github.com/containerd/containerd/issues/10842"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["failed to reserve sandbox name", "failed to recover state", "failed to load sandbox"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    Some(Finding::new(
        format!("containerd has lost track of its sandboxes: {}", said.quoted()),
        format!(
            "restart the unit of k3s on {}; if that does not help, move /var/lib/rancher/k3s/agent/containerd aside there, but only if every image can be pulled again",
            said.place()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_pod;

    /// As it is told, and what is near and is not it.
    const YES: &str = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to reserve sandbox name \"web-0_apps_1f\": name is reserved for \"a7c\"";
    const NO: &str = "Pod sandbox changed, it will be killed and re-created.";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
    }
}
