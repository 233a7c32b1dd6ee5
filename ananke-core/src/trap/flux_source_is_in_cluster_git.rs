//! The source that Flux fetches is served by what Flux deploys.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FluxSourceIsInClusterGit,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "the host of the source leads to a workload of this cluster",
    precondition: "what is absent was kept (bootstrap.layers) and its claims are there, for bootstrap.wait (3m); or the source could not be fetched for three times as long and has a mirror (bootstrap.mirror_url)",
    budget: "three tries an object, a minute apart; the mirror once a run",
    effect: "the workloads behind it come first (gate foundation): makes those that are absent, layer by layer; then points the source at its mirror until they serve",
    evidence: &["https://github.com/fluxcd/source-controller/issues/1504"],
    diagnosis: None,
};
