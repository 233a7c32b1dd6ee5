//! No member of a Galera cluster knows that it was the last.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::GaleraNoSafeBootstrap,
    class: Class::Person,
    often: Often::Medium,
    symptom: "It may not be safe to bootstrap the cluster from this node",
    precondition: "none",
    budget: "none",
    effect: "asks for the member with the highest seqno; the wrong one loses data",
    evidence: &[
        "https://github.com/bitnami/charts/issues/6029",
        "https://github.com/mariadb-operator/mariadb-operator/issues/1456",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["may not be safe to bootstrap the cluster"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    Some(Finding::new(
        format!("no member may begin: {}", said.quoted()),
        format!(
            "compare grastate.dat of all members of {}, start the one with the highest seqno with safe_to_bootstrap: 1, and no other",
            case.subject
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_pod;

    /// As it is told, and what is near and is not it.
    const YES: &str = "Error: It may not be safe to bootstrap the cluster from this node. It was not the last one to leave the cluster and may not contain all the updates.";
    const NO: &str = "WSREP: view((empty)) - failed to open gcomm backend connection: 110: failed to reach primary view";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
    }
}
