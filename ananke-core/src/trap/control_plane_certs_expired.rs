//! Certificates ran out while the cluster was down, or the clock is wrong.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ControlPlaneCertsExpired,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "x509: certificate has expired or is not yet valid",
    precondition: "the clocks agree",
    budget: "none",
    effect: "names the clock first, then how the distribution renews certificates",
    evidence: &["https://github.com/k3s-io/k3s/issues/1621", "https://github.com/k3s-io/k3s/issues/8762"],
    diagnosis: Some(Diagnosis { gates: &[GateId::ControlPlane, GateId::NodesReady, GateId::HostHealth], find, remake: None }),
};

const WORDS: &[&str] = &["certificate has expired or is not yet valid"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.logged(WORDS)?;
    Some(Finding::new(
        format!("a certificate is not valid: {}", said.quoted()),
        format!(
            "compare the clock of {} with `date` here; if they agree, renew its certificates (k3s: stop the unit, `k3s certificate rotate`, start it)",
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
        "x509: certificate has expired or is not yet valid: current time 2026-03-14T02:06:00Z is after 2026-03-01T09:12:44Z";
    const NO: &str =
        "certificate CN=titan-01 signed by CN=k3s-server-ca: notBefore=2026-03-01 09:12:44 notAfter=2027-03-01 09:12:44";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_log(YES), Some(ENTRY.trap));
        assert_ne!(of_log(NO), Some(ENTRY.trap));
    }
}
