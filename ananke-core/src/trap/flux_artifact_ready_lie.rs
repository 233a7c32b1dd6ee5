//! A source says Ready with an artifact from before the outage.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FluxArtifactReadyLie,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "Ready=True, but nothing was fetched since the cluster came up",
    precondition: "what it is fetched from serves",
    budget: "a request a minute",
    effect: "asks for a reconciliation, and believes nothing before it was handled",
    evidence: &[
        "https://github.com/fluxcd/source-controller/issues/936",
        "https://github.com/fluxcd/kustomize-controller/pull/980",
    ],
    diagnosis: None,
};
