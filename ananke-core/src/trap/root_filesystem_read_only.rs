//! The root file system came up read-only.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::RootReadOnly,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "findmnt says ro, and k3s does not run",
    precondition: "the node holds no quorum and nothing that only it has",
    budget: "one reboot a day",
    effect: "reboots once, which replays the journal; if it is read-only again, the disk is for a person to look at",
    evidence: &[
        "https://rhotertj.de/posts/sdcard-failure",
        "https://docs.crud-in-the.cloud/reference/linux/filesystem-recovery/",
    ],
    diagnosis: None,
};
