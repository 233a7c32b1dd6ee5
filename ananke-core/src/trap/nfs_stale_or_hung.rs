//! A pod holds a mount of a file server that has restarted since.

use super::{Case, Class, Diagnosis, Entry, Finding, Often, own_old_pods_that_say};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::NfsStaleOrHung,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "stale file handle",
    precondition: "the pod is from before this start, and its node is alive",
    budget: "one deletion a pod",
    effect: "makes the pod anew, which mounts afresh",
    evidence: &[
        "https://github.com/kubernetes/kubernetes/issues/72048",
        "https://github.com/kubernetes-csi/csi-driver-smb/issues/419",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: Some(remake) }),
};

const WORDS: &[&str] = &["stale nfs file handle", "stale file handle"];

fn remake<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    own_old_pods_that_say(case, WORDS)
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    Some(Finding::new(
        format!("it holds on to a mount that is gone: {}", said.quoted()),
        format!("check that the file server exports again, then {}", case.describe()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::{of_pod, remade};

    /// As it is told, and what is near and is not it.
    const YES: &str = "Error: failed to generate container spec: failed to stat /var/lib/kubelet/pods/1f/volumes/kubernetes.io~nfs/media: stale NFS file handle";
    const NO: &str =
        "MountVolume.SetUp failed for volume media: mount failed: exit status 32: mount.nfs: access denied by server";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
        assert_eq!(remade(YES), ["Pod apps/web-0"]);
    }
}
