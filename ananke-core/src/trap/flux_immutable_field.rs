//! A finished Job cannot be changed to what Git has.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FluxImmutableField,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "a Kustomization or HelmRelease fails on an immutable field of a Job",
    precondition: "the Job has finished, is Flux's own, not marked to be kept, and labelled `ananke.dev/idempotent=true` (or the config says `auto`)",
    budget: "one deletion a Job",
    effect: "deletes the finished Job, which Flux makes anew",
    evidence: &["https://github.com/fluxcd/flux2/issues/2386", "https://github.com/fluxcd/flux2/issues/2479"],
    diagnosis: None,
};
