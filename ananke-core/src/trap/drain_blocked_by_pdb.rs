//! A disruption budget refuses every eviction, for there is nowhere to go.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::DrainBlockedByPdb,
    class: Class::Auto,
    often: Often::High,
    symptom: "evictions are answered 429 for the same pod",
    precondition: "a shutdown drains, and the pod has refused for drain.patience",
    budget: "one deletion a pod, with its own grace period",
    effect: "evicts, then deletes with grace; the budget and the pod are named",
    evidence: &["https://github.com/longhorn/longhorn/issues/1286", "https://github.com/kubernetes/kubernetes/issues/83307"],
    diagnosis: None,
};
