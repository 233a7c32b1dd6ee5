//! What stands between controllers and the store: a webhook that must be asked before a pod is made, and does not answer
//! (`failurePolicy: Fail`). After a power loss nothing may be there yet that serves it, and it may wait for itself.

use std::sync::Arc;

use crate::engine::view::View;
use crate::name::{ObjectRef, Subject};
use crate::observation::{Tri, WebhookState, WorkloadState};
use crate::verdict::{Reason, Trap, Verdict};

/// Why no pods of a workload can be made, where a webhook is in the way of its namespace.
pub(super) fn blocks(view: &View<'_>, workload: &ObjectRef, text: &str) -> Option<Verdict> {
    let WebhookState { configuration, name, service, .. } = silent(view, &workload.namespace)?;
    let text = format!(
        "{text}: its pods are not made, for webhook {name} ({configuration}) must allow them and {service} has no ready endpoint"
    );
    let look = format!(
        "bring up the pods behind {service}; if they wait for the webhook too, save `kubectl get -o yaml` of {configuration} \
         and set its failurePolicy to Ignore until they serve"
    );
    match server(view, service) {
        Some(server) if server != workload => {
            Some(Verdict::follows(Reason::WebhookNotServing, Subject::Object(server.clone()), text))
        }
        Some(_) | None => Some(Verdict::waiting(Reason::WebhookNotServing, text, look).known_as(Trap::WebhookFailClosedDeadlock)),
    }
}

/// What must serve before pods of a namespace can be made, where a webhook is in the way.
pub(crate) fn behind(view: &View<'_>, namespace: &str) -> Option<Subject> {
    server(view, &silent(view, namespace)?.service).map(|server| Subject::Object(server.clone()))
}

/// The workload behind a Service that has no pods: one of its namespace that has none either, and that is judged.
fn server<'a>(view: &View<'a>, service: &ObjectRef) -> Option<&'a ObjectRef> {
    let required = &view.spec.required_workloads;
    let judged = |of: &ObjectRef| required.is_empty() || required.contains(of);
    let near = |of: &&WorkloadState| of.object.namespace == service.namespace && of.desired > 0 && of.ready == 0;
    view.workloads().ok()?.iter().filter(near).map(|of| &of.object).find(|of| judged(of))
}

/// A webhook that must allow the pods of a namespace, and that nobody serves: what is taken away there is not made again.
pub(crate) fn silent<'a>(view: &View<'a>, namespace: &str) -> Option<&'a WebhookState> {
    let webhooks = &view.extensions().ok()?.webhooks;
    webhooks.iter().filter(|webhook| asks(webhook, namespace)).find(|webhook| serves(view, &webhook.service) == Some(false))
}

fn asks(webhook: &WebhookState, namespace: &str) -> bool {
    let has = |names: &[Arc<str>]| names.iter().any(|name| **name == *namespace);
    !has(&webhook.excludes) && (webhook.only.is_empty() || has(&webhook.only))
}

/// Webhooks in whose way it stands that pods which are taken away are made again.
#[derive(Debug)]
pub(crate) struct Bars<'a> {
    /// Nobody serves them, and no pod is there that may yet.
    hopeless: Vec<&'a WebhookState>,
    /// They must allow the very pods that serve them.
    of_themselves: Vec<&'a WebhookState>,
}

impl<'a> Bars<'a> {
    pub(crate) fn of(view: &View<'a>) -> Self {
        let webhooks: &[WebhookState] = view.extensions().map_or(&[], |extensions| extensions.webhooks.as_slice());
        let pods = view.pods().unwrap_or_default();
        let is_empty = |namespace: &str| !pods.iter().any(|pod| *pod.object.namespace == *namespace);
        let hopeless = |it: &&WebhookState| serves(view, &it.service) == Some(false) && is_empty(&it.service.namespace);
        let of_themselves = |it: &&WebhookState| asks(it, &it.service.namespace);
        Self {
            hopeless: webhooks.iter().filter(hopeless).collect(),
            of_themselves: webhooks.iter().filter(of_themselves).collect(),
        }
    }

    /// The webhook for which a pod of this namespace would not be made again, were it taken away.
    pub(crate) fn on(&self, namespace: &str) -> Option<&'a WebhookState> {
        let hopeless = self.hopeless.iter().find(|webhook| asks(webhook, namespace));
        hopeless.or_else(|| self.of_themselves.iter().find(|webhook| *webhook.service.namespace == *namespace)).copied()
    }
}

/// APIs that the server passes on and that nobody answers: parts of discovery fail, and namespaces do not go.
pub(super) fn notes(view: &View<'_>) -> Vec<String> {
    let Ok(extensions) = view.extensions() else { return Vec::new() };
    let missing = extensions.api_services.iter().filter(|api| api.available != Tri::True);
    missing.map(|api| format!("APIService {} is not available ({}): {} serves it", api.name, api.reason, api.service)).collect()
}

/// None where nothing is known of the Service.
fn serves(view: &View<'_>, service: &ObjectRef) -> Option<bool> {
    let endpoints = view.endpoints().ok()?;
    endpoints.iter().find(|found| found.service == *service).map(|found| found.ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::gate::workloads;
    use crate::name::Kind;
    use crate::observation::{ApiServiceState, EndpointsState, ExtensionsState};

    fn service() -> ObjectRef {
        ObjectRef::new(Kind::Service, "kyverno", "kyverno-svc")
    }

    /// What a workload comes to of which no pod was made, with `ready` endpoints behind the webhook.
    #[track_caller]
    fn check(ready: u32, excludes: &[&str], expected: &str) {
        check_asked(ready, excludes, &[], expected);
    }

    #[track_caller]
    fn check_asked(ready: u32, excludes: &[&str], only: &[&str], expected: &str) {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[]);
        bench.obs.workloads = Fact::known(
            Arc::new(
                bench
                    .obs
                    .workloads
                    .last()
                    .unwrap()
                    .iter()
                    .cloned()
                    .map(|mut of| {
                        of.desired = 1;
                        of
                    })
                    .collect(),
            ),
            bench.now,
        );
        let webhook = WebhookState {
            configuration: "kyverno-resource-validating-webhook-cfg".into(),
            name: "validate.kyverno.svc-fail".into(),
            service: service(),
            excludes: excludes.iter().map(|name| (*name).into()).collect(),
            only: only.iter().map(|name| (*name).into()).collect(),
        };
        let api = ApiServiceState {
            name: "v1beta1.metrics.k8s.io".into(),
            service: ObjectRef::new(Kind::Service, "kube-system", "metrics-server"),
            available: Tri::False,
            reason: "MissingEndpoints".into(),
        };
        let extensions = ExtensionsState { webhooks: vec![webhook], api_services: vec![api] };
        bench.obs.extensions = Fact::known(Arc::new(extensions), bench.now);
        let state = EndpointsState { service: service(), ready, pods: Vec::new() };
        bench.obs.endpoints = Fact::known(Arc::new(vec![state]), bench.now);
        let note = "note: APIService v1beta1.metrics.k8s.io is not available (MissingEndpoints): \
                    Service kube-system/metrics-server serves it";
        bench.check(workloads::evaluate, &format!("{expected}\n{note}"));
    }

    #[test]
    fn a_webhook_that_nobody_serves_is_named_where_pods_must_pass_it() {
        check(0, &[], "Deployment apps/web: hold webhook-not-serving waiting");
        check(0, &["kube-system"], "Deployment apps/web: hold webhook-not-serving waiting");
        check(0, &["apps"], "Deployment apps/web: hold workload-not-converged waiting");
        check(1, &[], "Deployment apps/web: hold workload-not-converged waiting");
    }

    #[test]
    fn a_webhook_that_picks_namespaces_by_name_is_in_the_way_of_no_other() {
        check_asked(0, &[], &["media", "apps"], "Deployment apps/web: hold webhook-not-serving waiting");
        check_asked(0, &[], &["media"], "Deployment apps/web: hold workload-not-converged waiting");
        check_asked(0, &["apps"], &["apps"], "Deployment apps/web: hold workload-not-converged waiting");
    }

    #[test]
    fn a_webhook_of_an_older_journal_is_asked_about_all_namespaces() {
        let text =
            r#"{"configuration":"c","name":"w","service":{"kind":"Service","namespace":"policy","name":"s"},"excludes":[]}"#;
        let webhook: WebhookState = serde_json::from_str(text).unwrap();
        assert!(asks(&webhook, "apps"));
        assert_eq!(serde_json::to_string(&webhook).unwrap(), text);
    }
}
