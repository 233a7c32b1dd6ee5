//! The database of etcd is full, and takes no more writes.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::EtcdNospaceAlarm,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "mvcc: database space exceeded",
    precondition: "none",
    budget: "none",
    effect: "names the commands; compacting is a person's",
    evidence: &["https://talos.dev/v1.10/advanced/etcd-maintenance", "https://gitlab.com/sylva-projects/sylva-core/-/issues/829"],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane, GateId::NodesReady, GateId::HostHealth], find, remake: None }),
};

const WORDS: &[&str] = &["database space exceeded"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.logged(WORDS)?;
    Some(Finding::new(
        format!("etcd takes no more writes: {}", said.quoted()),
        "save a snapshot first, then on a server: `etcdctl compact`, `etcdctl defrag`, `etcdctl alarm disarm`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_log;

    /// As it is told, and what is near and is not it.
    const YES: &str = "etcdserver: mvcc: database space exceeded";
    const NO: &str = "etcdserver: database space is at 61 percent of its quota";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_log(YES), Some(ENTRY.trap));
        assert_ne!(of_log(NO), Some(ENTRY.trap));
    }
}
