//! A cordon that a repair or a shutdown left behind.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::NodeLeftCordoned,
    class: Class::Auto,
    often: Often::High,
    symptom: "the taint of Ananke stands on a node",
    precondition: "the lease is Ananke's own, and the node is proved",
    budget: "one release a lease",
    effect: "gives the cordon back, or marks the node for a person",
    evidence: &[
        "https://github.com/kubereboot/kured/issues/63",
        "https://github.com/rancher/system-upgrade-controller/issues/71",
    ],
    diagnosis: None,
};
