//! The SQLite database of k3s is torn.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::KineSqliteMalformed,
    class: Class::Person,
    often: Often::Low,
    symptom: "database disk image is malformed",
    precondition: "none",
    budget: "none",
    effect: "asks for the file to be kept and restored by a person",
    evidence: &["https://github.com/k3s-io/k3s/issues/2623", "https://github.com/portainer/kubesolo/pull/148"],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane, GateId::NodesReady, GateId::HostHealth], find, remake: None }),
};

const WORDS: &[&str] = &["database disk image is malformed", "file is not a database"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.logged(WORDS)?;
    Some(Finding::new(
        format!("its database is damaged: {}", said.quoted()),
        format!(
            "on {}: copy /var/lib/rancher/k3s/server/db away, try `sqlite3 state.db .recover` on the copy, else restore a backup of it",
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
        r#"level=fatal msg="starting kubernetes: preparing server: start managed database: database disk image is malformed""#;
    const NO: &str = r#"level=info msg="Compacted 412 of database in 31ms""#;

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_log(YES), Some(ENTRY.trap));
        assert_ne!(of_log(NO), Some(ENTRY.trap));
    }
}
