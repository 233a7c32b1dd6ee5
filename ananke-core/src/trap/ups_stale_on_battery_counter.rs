//! The device counts the seconds of the outage before.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::UpsStaleOnBatteryCounter,
    class: Class::Auto,
    often: Often::Low,
    symptom: "a timer on battery that begins above zero",
    precondition: "none",
    budget: "none",
    effect: "time on battery is measured by this machine, from the edge that it saw itself",
    evidence: &["https://github.com/ffind-dev/pve-ups/issues/25"],
    diagnosis: None,
};
