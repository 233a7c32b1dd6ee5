//! multipathd has taken the device of a volume.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::LonghornMultipathdGrabsDevice,
    class: Class::Person,
    often: Often::Medium,
    symptom: "mounting fails because the device is mounted or busy",
    precondition: "none",
    budget: "none",
    effect: "names the rule for multipath.conf",
    evidence: &["https://github.com/longhorn/longhorn/discussions/13046", "https://github.com/longhorn/longhorn/issues/2556"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["already mounted or mount point busy"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    Some(Finding::new(
        format!("its device is in use on {}, most likely by multipathd: {}", said.place(), said.quoted()),
        format!(
            "on {}: look at `sudo multipath -ll`; if Longhorn's devices are listed, blacklist them (devnode \"^sd[a-z0-9]+\" in /etc/multipath.conf) and restart multipathd",
            said.place()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_pod;

    /// As it is told, and what is near and is not it.
    const YES: &str = "MountVolume.MountDevice failed for volume \"pvc-1\" : mount failed: exit status 32: mount: /dev/longhorn/pvc-1 already mounted or mount point busy.";
    const NO: &str = "MountVolume.MountDevice failed for volume \"pvc-1\" : volume pvc-1 hasn't been attached yet";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
    }
}
