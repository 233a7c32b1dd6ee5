//! A StatefulSet does not replace a pod that terminates on a dead node.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::PodTerminatingOnDeadNode,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "deletionTimestamp on a node that is silent",
    precondition: "the machine was confirmed off by a person after its last sign of life",
    budget: "one forced deletion a pod",
    effect: "deletes the pod at once; else the node comes first",
    evidence: &["https://github.com/k3s-io/k3s/issues/1264", "https://github.com/k3s-io/k3s/issues/6239"],
    diagnosis: None,
};
