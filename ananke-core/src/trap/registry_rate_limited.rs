//! Every node pulls at once, and the registry has had enough.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::RegistryRateLimited,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "pulls are answered toomanyrequests or 429",
    precondition: "none",
    budget: "none",
    effect: "waits: making pods anew would only pull again",
    evidence: &["https://github.com/kubernetes/kubernetes/issues/103643", "https://github.com/docker/hub-feedback/issues/2197"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["toomanyrequests", "429 too many requests"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    Some(Finding::new(
        format!("its registry takes no more pulls for now: {}", said.quoted()),
        format!("wait for the registry's limit to pass, or give the nodes credentials or a mirror; {}", case.describe()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_pod;

    /// As it is told, and what is near and is not it.
    const YES: &str = "Failed to pull image \"nginx:1.27\": failed to copy: httpReadSeeker: toomanyrequests: You have reached your unauthenticated pull rate limit";
    const NO: &str = "Failed to pull image \"nginx:1.27\": rpc error: code = NotFound desc = failed to resolve reference";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_pod(YES), Some(ENTRY.trap));
        assert_ne!(of_pod(NO), Some(ENTRY.trap));
    }
}
