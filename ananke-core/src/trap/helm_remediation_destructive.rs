//! One more failure would uninstall what holds data.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::HelmRemediationDestructive,
    class: Class::Person,
    often: Often::Low,
    symptom: "a release failed that was never installed, or whose remediation uninstalls",
    precondition: "none",
    budget: "none",
    effect: "told to a person with the commands to look; nothing is forced",
    evidence: &[
        "https://github.com/cozystack/cozystack/issues/3624",
        "https://github.com/operator-framework/operator-sdk/pull/4297",
    ],
    diagnosis: None,
};
