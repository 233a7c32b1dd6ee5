//! The file system in a volume was torn by the cut.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::PvcFilesystemDamaged,
    class: Class::Person,
    often: Often::Medium,
    symptom: "mounting fails because fsck could not correct errors, or the superblock is bad",
    precondition: "none",
    budget: "none",
    effect: "asks for a snapshot before anything is repaired; nothing is retried or formatted",
    evidence: &["https://github.com/longhorn/longhorn/issues/11108", "https://github.com/kubernetes/kubernetes/issues/86406"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] =
    &["but could not correct them", "run fsck manually", "bad superblock", "structure needs cleaning", "xfs_repair"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    Some(Finding::new(
        format!("the file system of a volume is damaged: {}", said.quoted()),
        format!(
            "suspend what applies it, scale {} to 0, take a snapshot of the volume, and only then run fsck or xfs_repair on it; restore a backup if it finds too much",
            case.subject
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_pod;

    /// As it is told, and what is near and is not it.
    const YES: &str = "MountVolume.MountDevice failed for volume pvc-1: rpc error: code = Internal desc = 'fsck' found errors on device /dev/longhorn/pvc-1 but could not correct them: fsck from util-linux 2.39";
    const NO: &str =
        "MountVolume.SetUp failed for volume pvc-1: 'fsck' found errors on device /dev/longhorn/pvc-1 and corrected them";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
    }
}
