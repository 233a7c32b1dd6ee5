//! A blip or a self-test looks like an outage.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::UpsFlapOrSelftest,
    class: Class::Auto,
    often: Often::High,
    symptom: "OB, OFF or DISCHRG for seconds, or CAL",
    precondition: "none",
    budget: "none",
    effect: "both edges are debounced; a calibration is no outage, and never excuses one for ever",
    evidence: &["https://github.com/networkupstools/nut/issues/2104", "https://github.com/networkupstools/nut/issues/2168"],
    diagnosis: None,
};
