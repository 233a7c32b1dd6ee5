//! Helm was cut off in the middle of an action.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::HelmOperationInProgress,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "another operation is in progress",
    precondition: "none",
    budget: "none",
    effect: "names the command; what a pending install holds is not to be lost",
    evidence: &["https://github.com/fluxcd/helm-controller/issues/149", "https://github.com/helm/helm/issues/4558"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Kustomizations], find, remake: None }),
};

const WORDS: &[&str] = &["another operation (install/upgrade/rollback) is in progress"];

fn find(case: &Case<'_>) -> Option<Finding> {
    case.flux_said(WORDS)?;
    Some(Finding::as_told(case))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_flux;

    /// As it is told, and what is near and is not it.
    const YES: &str = "Helm upgrade failed for release apps/db with chart postgresql@16.0.1: another operation (install/upgrade/rollback) is in progress";
    const NO: &str = "Helm upgrade failed for release apps/db with chart postgresql@16.0.1: context deadline exceeded";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_flux(YES), Some(ENTRY.trap));
        assert_ne!(of_flux(NO), Some(ENTRY.trap));
    }
}
