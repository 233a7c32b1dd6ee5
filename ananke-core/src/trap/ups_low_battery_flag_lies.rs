//! LB comes at once with a full battery, or never.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::UpsLowBatteryFlagLies,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "LB disagrees with charge and runtime",
    precondition: "another reading confirms LB, or none came within a short window",
    budget: "none",
    effect: "charge, runtime and the time on battery decide beside LB",
    evidence: &["https://github.com/networkupstools/nut/issues/1942", "https://github.com/networkupstools/nut/issues/3087"],
    diagnosis: None,
};
