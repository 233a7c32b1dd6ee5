//! A kubelet is alive and not Ready, until its unit is restarted.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::KubeletWedged,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "the host runs, and its node is not Ready for startup.repair_after_seconds",
    precondition: "quorum survives, few nodes are sick, the coordination Lease is held",
    budget: "one restart a node and hour, under a lease",
    effect: "cordons under a lease and restarts the unit",
    evidence: &["https://github.com/kubernetes/kubernetes/issues/77728", "https://github.com/kubernetes/kubernetes/issues/45419"],
    diagnosis: None,
};
