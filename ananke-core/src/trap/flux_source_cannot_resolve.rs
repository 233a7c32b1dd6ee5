//! Flux cannot resolve or reach the host of its source.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FluxSourceCannotResolve,
    class: Class::Auto,
    often: Often::High,
    symptom: "the source is not ready: lookup failure, timeout or refused connection",
    precondition: "none",
    budget: "waits for the gate's deadline",
    effect: "waits for DNS and for what serves the source, then asks again",
    evidence: &["https://github.com/fluxcd/flux2/issues/4411", "https://github.com/fluxcd/source-controller/issues/192"],
    diagnosis: Some(Diagnosis { gates: &[GateId::FluxSource], find, remake: None }),
};

const WORDS: &[&str] = &[
    "no such host",
    "server misbehaving",
    "i/o timeout",
    "connection refused",
    "no route to host",
    "connection timed out",
    "temporary failure in name resolution",
];

fn find(case: &Case<'_>) -> Option<Finding> {
    case.flux_said(WORDS)?;
    Some(Finding::new(
        "its host is not resolved or not reached",
        format!("make sure that cluster DNS answers and that the host of the source serves, then {}", case.describe()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_flux;

    /// As it is told, and what is near and is not it.
    const YES: &str = "failed to checkout and determine revision: unable to clone 'ssh://git@git.example/iac.git': dial tcp: lookup git.example on 10.43.0.10:53: server misbehaving";
    const NO: &str = "failed to checkout and determine revision: unable to clone 'ssh://git@git.example/iac.git': ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey]";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_flux(YES), Some(ENTRY.trap));
        assert_ne!(of_flux(NO), Some(ENTRY.trap));
    }
}
