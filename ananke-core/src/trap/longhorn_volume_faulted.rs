//! No replica of a volume can be used.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::LonghornVolumeFaulted,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "robustness is faulted",
    precondition: "all storage nodes are back",
    budget: "none",
    effect: "waits for the nodes that have replicas, which Longhorn salvages by itself; then a person chooses one",
    evidence: &["https://github.com/longhorn/longhorn/issues/1035", "https://github.com/longhorn/longhorn/issues/2309"],
    diagnosis: None,
};
