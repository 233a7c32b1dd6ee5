//! An attachment is being deleted, and never is.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::VolumeattachmentBeingDeleted,
    class: Class::FirstStep,
    often: Often::Low,
    symptom: "deletionTimestamp with a finalizer of the attacher, and a pod that waits",
    precondition: "none",
    budget: "none",
    effect: "names the attacher, which alone may finish",
    evidence: &[
        "https://github.com/longhorn/longhorn/issues/7258",
        "https://github.com/kubernetes-csi/external-attacher/issues/215",
    ],
    diagnosis: None,
};
