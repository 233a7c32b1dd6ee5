//! The source is left on another branch.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FluxWrongBranch,
    class: Class::FirstStep,
    often: Often::Low,
    symptom: "spec.ref.branch differs from expected_flux_branch",
    precondition: "--force-flux-branch says which is wanted",
    budget: "twice",
    effect: "sets the branch; who sets it back is named",
    evidence: &["https://github.com/fluxcd/flux2/issues/2073", "https://github.com/fluxcd/flux2/issues/2726"],
    diagnosis: None,
};
