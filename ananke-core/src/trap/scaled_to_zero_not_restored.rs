//! A workload was scaled down for the outage, and forgotten.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ScaledToZeroNotRestored,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "replicas is 0, and a stamp or the last good baseline says otherwise",
    precondition: "what it needs is there",
    budget: "one scaling a workload",
    effect: "scales it back to what it was",
    evidence: &["https://github.com/everpeace/kube-throttler/issues/57", "https://github.com/replicatedhq/kURL/pull/4004"],
    diagnosis: None,
};
