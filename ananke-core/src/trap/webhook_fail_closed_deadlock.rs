//! A webhook that must allow pods is itself a pod that must be allowed.

use super::{Class, Entry, Often};
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::WebhookFailClosedDeadlock,
    class: Class::FirstStep,
    often: Often::High,
    symptom: "no pods are made, and a webhook with failurePolicy Fail has no ready endpoint",
    precondition: "none",
    budget: "none",
    effect: "names the webhook and what serves it; its policy is for a person to relax",
    evidence: &["https://github.com/kyverno/kyverno/issues/16177", "https://github.com/kyverno/kyverno/issues/2796"],
    diagnosis: None,
};
