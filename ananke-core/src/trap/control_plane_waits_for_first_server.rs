//! Servers wait for each other.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ControlPlaneWaits,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "fewer server units run than etcd needs",
    precondition: "enough hosts answer",
    budget: "three starts a host, 90 s apart",
    effect: "starts all servers at once, without waiting for any",
    evidence: &["https://github.com/k3s-io/k3s/issues/13197", "https://github.com/k3s-io/k3s/issues/2249"],
    diagnosis: None,
};
