//! The file server boots more slowly than the nodes.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::NasUpAfterCluster,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "mounting fails because the server refuses, is not reached or does not answer",
    precondition: "none",
    budget: "waits for the gate's deadline",
    effect: "waits: kubelets try again by themselves",
    evidence: &["https://github.com/axeII/home-ops/pull/3885", "https://quirky-guy.com/on-premise-kubernetes-power-ubuntu"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &[
    "mount.nfs: connection refused",
    "mount.nfs: connection timed out",
    "mount.nfs: no route to host",
    "mount.nfs: mount system call failed",
    "mount error(115)",
    "mount error(111)",
    "mount error(113)",
    "iscsiadm: cannot make connection",
];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    Some(Finding::new(
        format!("its storage outside of the cluster does not answer yet: {}", said.quoted()),
        format!("bring up the file server or the target that {} mounts", case.subject),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_pod;

    /// As it is told, and what is near and is not it.
    const YES: &str = "MountVolume.SetUp failed for volume media: mount failed: exit status 32: mount.nfs: Connection refused";
    const NO: &str = "dial tcp 10.43.7.9:8080: connect: connection refused";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
    }
}
