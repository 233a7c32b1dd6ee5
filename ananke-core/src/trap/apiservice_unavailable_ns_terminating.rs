//! An aggregated API that nobody serves breaks discovery.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::ApiserviceUnavailableNsTerminating,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "an APIService is not Available",
    precondition: "none",
    budget: "none",
    effect: "told, and not waited for; discovery errors do not fail Ananke",
    evidence: &["https://github.com/kubernetes/kubernetes/issues/83332", "https://github.com/kubernetes/kubernetes/issues/60807"],
    diagnosis: None,
};
