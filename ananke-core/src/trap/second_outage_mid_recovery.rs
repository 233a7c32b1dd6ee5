//! Mains fail again while the cluster comes up.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::SecondOutageMidRecovery,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "the UPS goes on battery while gates hold",
    precondition: "none: a shutdown outranks everything",
    budget: "as many as there are, and power.max_outages within power.outage_window",
    effect: "the start-up yields within 10 s, and the shutdown works with what answers",
    evidence: &["https://github.com/ffind-dev/pve-ups/issues/25", "https://github.com/SensorsIot/SuperPower/issues/5"],
    diagnosis: None,
};
