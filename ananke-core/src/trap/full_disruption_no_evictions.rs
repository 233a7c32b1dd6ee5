//! With every node away nothing is evicted, and pods look as if they ran.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FullDisruptionNoEvictions,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "all nodes are NotReady at once",
    precondition: "none",
    budget: "none",
    effect: "no eviction is waited for, and no pod on a silent node counts",
    evidence: &["https://github.com/kubernetes/kubernetes/issues/42733", "https://github.com/kubernetes/kubernetes/issues/77981"],
    diagnosis: None,
};
