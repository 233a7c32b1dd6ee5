//! The firmware of a host stays off when power returns.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::HostDark,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "nothing answers on the wire, though the host has power",
    precondition: "the host has been dark for power.wake_after and has power.wol_mac",
    budget: "one magic packet a host and run",
    effect: "wakes the host; else a person is sent to it",
    evidence: &[
        "https://blog.tazlab.net/posts/blackout-test-power-loss-resurrection/",
        "https://www.apc.com/be/en/faqs/FAQ000268830/",
    ],
    diagnosis: None,
};
