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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fact::Fact;
    use crate::name::{Kind, ObjectRef};
    use crate::observation::{EndpointsState, ExtensionsState, WebhookState};
    use crate::trap::testing::{bench, deleted};
    use crate::verdict::GateId;

    /// Pods that are made anew of a workload whose mount is stale, where a webhook that must allow them has so many endpoints.
    fn remade(ready: u32) -> Vec<String> {
        let mut bench = bench();
        bench.pod("web-0", |pod| pod.message = "failed to stat /mnt: stale NFS file handle".into());
        let service = ObjectRef::new(Kind::Service, "kyverno", "kyverno-svc");
        let webhook = WebhookState {
            configuration: "kyverno-resource-validating-webhook-cfg".into(),
            name: "validate.kyverno.svc-fail".into(),
            service: service.clone(),
            excludes: Vec::new(),
            only: Vec::new(),
        };
        let extensions = ExtensionsState { webhooks: vec![webhook], api_services: Vec::new() };
        bench.obs.extensions = Fact::known(Arc::new(extensions), bench.now);
        let endpoints = vec![EndpointsState { service, ready, pods: Vec::new() }];
        bench.obs.endpoints = Fact::known(Arc::new(endpoints), bench.now);
        deleted(&mut bench, GateId::Workloads, Trap::NfsStaleOrHung)
    }

    #[test]
    fn no_pod_is_taken_away_that_the_webhook_would_not_let_be_made_again() {
        assert_eq!(remade(1), ["Pod apps/web-0"]);
        assert_eq!(remade(0), [""; 0]);
    }
}
