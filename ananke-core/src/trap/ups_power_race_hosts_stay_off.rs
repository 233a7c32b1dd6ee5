//! Mains came back before a host had lost its supply, so that its firmware never saw power return.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::UpsPowerRaceHostsStayOff,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "the UPS is on line, and hosts that had shut down stay dark",
    precondition: "mains have been stable for the hold-off, the charge suffices, and the host has power.wol_mac",
    budget: "one magic packet a host and run, seen to help or not",
    effect: "wakes the host; where that does not help, names the box, where it stands and its button",
    evidence: &["https://github.com/networkupstools/nut/issues/3229", "https://github.com/networkupstools/nut/issues/1950"],
    diagnosis: None,
};
