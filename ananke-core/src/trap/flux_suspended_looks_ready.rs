//! What is suspended still says Ready.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FluxSuspendedLooksReady,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "spec.suspend is set",
    precondition: "the stamp of an earlier shutdown is on it",
    budget: "once an object",
    effect: "resumes what Ananke suspended, and only that",
    evidence: &["https://github.com/fluxcd/flux2/pull/4232"],
    diagnosis: None,
};
