//! A unit did not start with its host.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::HostServiceNotEnabled,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "the unit of k3s is inactive or failed",
    precondition: "the host has been up for startup.unit_grace_seconds, and its root can be written",
    budget: "three starts a host and recovery, 90 s apart",
    effect: "starts the unit, servers together",
    evidence: &[
        "https://github.com/kube-hetzner/terraform-hcloud-kube-hetzner/discussions/1172",
        "https://github.com/longhorn/longhorn/issues/3866",
    ],
    diagnosis: None,
};
