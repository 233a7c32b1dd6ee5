//! The source that Flux fetches is served by what Flux deploys.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FluxSourceIsInClusterGit,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "the host of the source leads to a workload of this cluster",
    precondition: "none",
    budget: "none",
    effect: "the workloads behind it come first (gate foundation), and Flux is asked when they serve",
    evidence: &["https://github.com/fluxcd/source-controller/issues/1504"],
    diagnosis: None,
};
