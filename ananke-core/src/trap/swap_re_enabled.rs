//! Swap is on again, and the kubelet does not run with it.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::SwapReEnabled,
    class: Class::FirstStep,
    often: Often::Low,
    symptom: "the kubelet ends with a word about swap",
    precondition: "none",
    budget: "none",
    effect: "names the command; where swap comes from is a person's to remove",
    evidence: &["https://notes.darshanraul.me/Kubernetes/concepts/L01-architecture/05-need-for-swapoff"],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane, GateId::NodesReady, GateId::HostHealth], find, remake: None }),
};

const WORDS: &[&str] = &["running with swap on is not supported"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.logged(WORDS)?;
    Some(Finding::new(
        format!("swap is on: {}", said.quoted()),
        format!("on {}: `sudo swapoff -a`, restart its unit, then take swap out of /etc/fstab or of zram", said.place()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_log;

    /// As it is told, and what is near and is not it.
    const YES: &str = "E0314 02:07:11 server.go:302] failed to run Kubelet: running with swap on is not supported, please disable swap or set --fail-swap-on flag to false";
    const NO: &str = "I0314 02:07:11 swap_util.go:119] Swap is on, memorySwapBehavior is LimitedSwap";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_log(YES), Some(ENTRY.trap));
        assert_ne!(of_log(NO), Some(ENTRY.trap));
    }
}
