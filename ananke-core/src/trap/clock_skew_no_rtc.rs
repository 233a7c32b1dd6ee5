//! A host without a clock of its own boots in another year.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ClockSkewNoRtc,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "the clock differs from ours, or follows no source",
    precondition: "none",
    budget: "waits for the host-health deadline",
    effect: "nothing that needs clocks goes on before they agree (startup.time_sync_mode); then a person sets them",
    evidence: &["https://github.com/k3s-io/k3s/issues/6368", "https://github.com/rancher/k3os/pull/554"],
    diagnosis: None,
};
