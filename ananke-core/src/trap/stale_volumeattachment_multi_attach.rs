//! A volume is still attached to a node that is away.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::StaleVolumeattachmentMultiAttach,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "a VolumeAttachment names a silent node, and a pod elsewhere needs the volume",
    precondition: "the machine is proved to be off, or to have booted since",
    budget: "one deletion a pod",
    effect: "waits for the node; deletes the pod of a machine that was confirmed off; the attachment is left to a person",
    evidence: &[
        "https://github.com/longhorn/longhorn/issues/2517",
        "https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/",
    ],
    diagnosis: None,
};
