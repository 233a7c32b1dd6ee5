//! Addresses of pods that are gone were never given back.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CniIpPoolLeaked,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "no IP addresses available in range set",
    precondition: "none",
    budget: "none",
    effect: "names the directory and the comparison to make before anything is removed",
    evidence: &["https://github.com/k3s-io/k3s/issues/5885", "https://github.com/containernetworking/plugins/issues/252"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["no ip addresses available in range"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    Some(Finding::new(
        format!("the addresses of {} are used up: {}", said.place(), said.quoted()),
        format!(
            "on {}: remove those files of /var/lib/cni/networks whose container `sudo k3s crictl ps -aq` does not list",
            said.place()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_pod;

    /// As it is told, and what is near and is not it.
    const YES: &str = "failed to setup network for sandbox: plugin type=\"bridge\" failed (add): failed to allocate for range 0: no IP addresses available in range set: 10.42.1.1-10.42.1.254";
    const NO: &str = "failed to setup network for sandbox: plugin type=\"loopback\" failed (add): missing network name";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
    }
}
