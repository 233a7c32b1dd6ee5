//! A server came back at another address.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::NodeIpChanged,
    class: Class::Person,
    often: Often::Medium,
    symptom: "etcd on it is not the member that it was",
    precondition: "none",
    budget: "none",
    effect: "names the old and the new address; a reservation is a person's to restore",
    evidence: &["https://github.com/k3s-io/k3s/issues/9879", "https://github.com/k3s-io/k3s/issues/11778"],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane, GateId::NodesReady, GateId::HostHealth], find, remake: None }),
};

const WORDS: &[&str] = &["not a member of the etcd cluster", "bind: cannot assign requested address"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.logged(WORDS)?;
    Some(Finding::new(
        format!("its address is not the one that etcd knows: {}", said.quoted()),
        format!(
            "give {} its old address back (DHCP reservation or static), then restart its unit; do not reset etcd for this",
            said.place()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_log;

    /// As it is told, and what is near and is not it.
    const YES: &str = "Failed to test etcd connection: this server is a not a member of the etcd cluster. Found [titan-01-6c1e=https://10.0.0.9:2380], expect: titan-01-6c1e=https://10.0.0.1:2380";
    const NO: &str = "Waiting to retrieve agent configuration; server is not ready: etcd member list is not available";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_log(YES), Some(ENTRY.trap));
        assert_ne!(of_log(NO), Some(ENTRY.trap));
    }
}
