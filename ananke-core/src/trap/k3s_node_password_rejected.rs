//! The server has another password for the node than the node has.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::K3sNodePasswordRejected,
    class: Class::Person,
    often: Often::Medium,
    symptom: "Node password rejected",
    precondition: "none",
    budget: "none",
    effect: "names the Secret to delete",
    evidence: &["https://github.com/k3s-io/k3s/issues/802"],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane, GateId::NodesReady, GateId::HostHealth], find, remake: None }),
};

const WORDS: &[&str] = &["node password rejected", "unable to verify password for node"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.logged(WORDS)?;
    Some(Finding::new(
        format!("its password is not the one that the servers know: {}", said.quoted()),
        format!(
            "make sure that {0} is the machine it claims to be, then `kubectl delete secret {0}.node-password.k3s -n kube-system` and restart its unit",
            said.place()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_log;

    /// As it is told, and what is near and is not it.
    const YES: &str = "level=fatal msg=\"Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry\"";
    const NO: &str = "level=info msg=\"Password verified locally for node titan-02\"";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_log(YES), Some(ENTRY.trap));
        assert_ne!(of_log(NO), Some(ENTRY.trap));
    }
}
