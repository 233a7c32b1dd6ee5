//! The power cut tore the files of a member of etcd.

use std::sync::Arc;

use super::evidence::says;
use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::engine::view::View;
use crate::name::NodeName;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::EtcdMemberCorrupt,
    class: Class::Person,
    often: Often::High,
    symptom: "etcd panics on its WAL, its snapshot or its database",
    precondition: "none",
    budget: "none",
    effect: "names the server; its member is removed and joined anew by a person",
    evidence: &["https://github.com/etcd-io/etcd/issues/11949"],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane, GateId::NodesReady, GateId::HostHealth], find, remake: None }),
};

const WORDS: &[&str] = &[
    "wal: crc mismatch",
    "walpb: crc mismatch",
    "failed to get all reachable pages",
    "raft log corrupted, truncated, or lost",
    "failed to recover v3 backend",
    "snap: snapshot file doesn",
    "invalid page type",
];

/// The words of a server whose member does not read its own data.
pub(super) fn damaged<'a>(view: &View<'a>, server: &NodeName) -> Option<&'a Arc<str>> {
    view.known_host(server)?.words.iter().rev().find(|line| says(line, WORDS))
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.logged(WORDS)?;
    Some(Finding::new(
        format!("the data of etcd on it is damaged: {}", said.quoted()),
        format!(
            "keep a copy of the etcd directory on {0}; if the other servers have quorum, remove its member there and let {0} join anew with an empty directory; if not, restore the newest snapshot of etcd (k3s: `k3s etcd-snapshot ls`)",
            said.place()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_log;

    /// As it is told, and what is near and is not it.
    const YES: &str =
        "panic: tocommit(84211) is out of range [lastIndex(84190)]. Was the raft log corrupted, truncated, or lost?";
    const NO: &str = "etcdserver: request timed out, possibly due to previous leader failure";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_log(YES), Some(ENTRY.trap));
        assert_ne!(of_log(NO), Some(ENTRY.trap));
    }
}
