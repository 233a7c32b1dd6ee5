//! The UPS is not heard.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::UpsCommsLostDataStale,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "DATA-STALE, DRIVER-NOT-CONNECTED or no answer from upsd",
    precondition: "known to be on battery before it fell silent",
    budget: "a dead-man timer, no longer than the last trusted runtime",
    effect: "on line: an alarm only; on battery: the shutdown when the timer ends",
    evidence: &["https://github.com/networkupstools/nut/issues/2454", "https://github.com/networkupstools/nut/issues/2794"],
    diagnosis: None,
};
