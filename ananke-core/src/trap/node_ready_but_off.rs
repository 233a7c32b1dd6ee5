//! A node says Ready though it is dark.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::NodeReadyButOff,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "Ready=True with a Lease that nobody renews",
    precondition: "none",
    budget: "none",
    effect: "a node counts when its Lease was seen to advance and its boot ID is that of its host",
    evidence: &["https://github.com/kubernetes/kubernetes/issues/108589", "https://github.com/k3s-io/k3s/issues/1264"],
    diagnosis: None,
};
