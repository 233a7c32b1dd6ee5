//! An image on a node is torn.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ImageLayerCorrupt,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "a container ends at once with exec format error, on one node only",
    precondition: "none",
    budget: "none",
    effect: "names the node and the command that takes the image away, so that it is pulled again",
    evidence: &["https://github.com/containerd/containerd/issues/5854", "https://github.com/harvester/harvester/issues/4434"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] =
    &["exec format error", "no command specified", "failed to extract layer", "blob not found", "unexpected commit digest"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    Some(Finding::new(
        format!("an image on {} is most likely damaged: {}", said.place(), said.quoted()),
        format!(
            "on {}: `sudo k3s crictl rmi` that image once its registry serves, then delete the pod; if other images fail there too, its disk is suspect",
            said.place()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_pod;

    /// As it is told, and what is near and is not it.
    const YES: &str = "exec /usr/bin/app: exec format error";
    const NO: &str = "exec: \"/app/serve\": stat /app/serve: permission denied";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
    }
}
