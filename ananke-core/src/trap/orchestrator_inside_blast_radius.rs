//! What a shutdown needs runs on what it stops.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::OrchestratorInsideBlastRadius,
    class: Class::Person,
    often: Often::Medium,
    symptom: "Ananke or a upsd runs on a node of the cluster, or is served by it, or all that hears a UPS are the cluster's own pods",
    precondition: "none",
    budget: "none",
    effect: "`ananke doctor` finds it while all is well (orchestrator-inside), and says what to move",
    evidence: &[
        "https://github.com/CCOSTAN/Home-AssistantConfig/issues/1938",
        "https://github.com/adampetrovic/home-ops/pull/3316",
    ],
    diagnosis: None,
};
