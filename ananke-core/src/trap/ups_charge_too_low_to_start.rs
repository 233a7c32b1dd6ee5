//! Another cut would land in the middle of the start-up.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::UpsChargeTooLowToStart,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "charge or runtime of the UPS are low after mains returned",
    precondition: "a UPS is configured",
    budget: "waits for guard_wait at most",
    effect: "holds the start-up until the charge covers a start and a shutdown",
    evidence: &["https://github.com/SensorsIot/SuperPower/issues/5"],
    diagnosis: None,
};
