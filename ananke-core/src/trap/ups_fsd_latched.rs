//! The forced shutdown of the outage is still set.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::UpsFsdLatched,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "ups.status has FSD though mains are back",
    precondition: "none",
    budget: "none",
    effect: "nothing is started while FSD stands; a person restarts upsd (`systemctl restart nut-server`), which keeps the word, and its driver where it stays",
    evidence: &["https://github.com/networkupstools/nut/issues/3574", "https://github.com/networkupstools/nut/issues/1942"],
    diagnosis: None,
};
