//! A data disk is not mounted, and its directory looks empty.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::DataDiskNotMounted,
    class: Class::Person,
    often: Often::Medium,
    symptom: "a required mount is missing or read-only",
    precondition: "none",
    budget: "none",
    effect: "the mount, the host and the command are named; nothing is mounted",
    evidence: &["https://github.com/longhorn/longhorn/issues/14076", "https://github.com/harvester/harvester/issues/10453"],
    diagnosis: None,
};
