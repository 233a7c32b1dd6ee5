//! A release used up its tries while what it needs was away.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::HelmRetriesExhausted,
    class: Class::Auto,
    often: Often::High,
    symptom: "Stalled with RetriesExceeded after UpgradeFailed",
    precondition: "its parents are ready, and it would not uninstall",
    budget: "one reset and one forced try",
    effect: "forgets the failures once, then forces once",
    evidence: &["https://github.com/fluxcd/helm-controller/issues/297", "https://github.com/fluxcd/flux2/issues/5592"],
    diagnosis: None,
};
