//! cert-manager's webhook refuses, or its certificate is not trusted yet.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CertManagerWebhookNotServing,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "applying fails at webhook.cert-manager.io",
    precondition: "its pods are from before this start",
    budget: "one deletion a pod",
    effect: "makes the webhook's pod and the CA injector's anew; Flux applies again by itself",
    evidence: &[
        "https://github.com/cert-manager/cert-manager/issues/7687",
        "https://github.com/cert-manager/cert-manager/issues/4713",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::Kustomizations], find, remake: Some(certs) }),
};

const WORDS: &[&str] = &["webhook.cert-manager.io"];

fn certs<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    case.old_pods(|owner| matches!(owner.name.as_ref(), "cert-manager-webhook" | "cert-manager-cainjector"))
}

fn find(case: &Case<'_>) -> Option<Finding> {
    case.flux_said(WORDS)?;
    Some(Finding::new(
        "cert-manager's webhook does not serve",
        format!("look at the pods of cert-manager-webhook and cert-manager-cainjector, then {}", case.describe()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_flux;

    /// As it is told, and what is near and is not it.
    const YES: &str = "Certificate/apps/web dry-run failed: failed calling webhook webhook.cert-manager.io: failed to call webhook: Post https://cert-manager-webhook.cert-manager.svc:443/validate: x509: certificate signed by unknown authority";
    const NO: &str = "Certificate/apps/web dry-run failed: admission webhook policy.example denied the request";

    #[test]
    fn it_is_known_by_its_words() {
        assert_eq!(of_flux(YES), Some(ENTRY.trap));
        assert_ne!(of_flux(NO), Some(ENTRY.trap));
    }
}
