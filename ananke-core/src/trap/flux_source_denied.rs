//! The source refuses Flux's key, or shows another.

use super::evidence::says;
use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FluxSourceDenied,
    class: Class::Person,
    often: Often::Medium,
    symptom: "the source is not ready: unable to authenticate, or a host key that differs",
    precondition: "none",
    budget: "none",
    effect: "names the Secret to renew; it is never taken for a network that is late",
    evidence: &["https://github.com/fluxcd/source-controller/issues/192", "https://github.com/fluxcd/flux2/issues/4200"],
    diagnosis: Some(Diagnosis { gates: &[GateId::FluxSource], find, remake: None }),
};

const WORDS: &[&str] = &[
    "unable to authenticate",
    "authentication required",
    "knownhosts: key mismatch",
    "knownhosts: key is unknown",
    "invalid credentials",
    "authorization failed",
];

/// Whether what a source says is that its key or its host key is refused.
pub(crate) fn is_refused(message: &str) -> bool {
    says(message, WORDS)
}

fn find(case: &Case<'_>) -> Option<Finding> {
    case.flux_said(WORDS)?;
    Some(Finding::new(
        "its credentials or its host key are refused",
        format!("renew the deploy key or token in the Secret of {} (spec.secretRef), and check known_hosts in it", case.subject),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_flux;

    /// As it is told, and what is near and is not it.
    const YES: &str = "failed to checkout and determine revision: unable to clone 'ssh://git@git.example/iac.git': ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain";
    const NO: &str =
        "failed to checkout and determine revision: unable to clone: dial tcp 10.0.0.9:22: connect: no route to host";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_flux(YES), Some(ENTRY.trap));
        assert_ne!(of_flux(NO), Some(ENTRY.trap));
    }
}
