//! Each link of a chain waits for its own interval.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FluxDependencyChainSlow,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "a Kustomization was not reconciled since the cluster came up",
    precondition: "its parents are ready",
    budget: "a request a minute",
    effect: "asks each link once its parents are ready",
    evidence: &["https://github.com/fluxcd/flux2/issues/4808"],
    diagnosis: None,
};
