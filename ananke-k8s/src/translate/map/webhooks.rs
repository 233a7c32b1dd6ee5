//! Admission webhooks, whatever they are asked about.

use std::sync::Arc;

use ananke_core::doctor::map;
use ananke_core::doctor::{Part, PartKind};
use ananke_core::name::{Kind, ObjectRef};
use serde::Deserialize;

use super::super::meta::{Meta, null_is_default, set};
use super::{RawSelector, Reference};
use crate::collection::Collection;

pub(crate) static VALIDATING: Collection<Configuration, Vec<map::Webhook>> =
    Collection::new("list validating webhooks", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", |of| {
        webhooks(PartKind::ValidatingWebhookConfiguration, of)
    });
pub(crate) static MUTATING: Collection<Configuration, Vec<map::Webhook>> =
    Collection::new("list mutating webhooks", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", |of| {
        webhooks(PartKind::MutatingWebhookConfiguration, of)
    });

#[derive(Debug, Deserialize)]
pub(crate) struct Configuration {
    metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    webhooks: Vec<Webhook>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Webhook {
    name: Arc<str>,
    client_config: ClientConfig,
    /// `Fail` where it is absent, as the API defines it.
    failure_policy: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    rules: Vec<Rule>,
    #[serde(deserialize_with = "null_is_default")]
    namespace_selector: RawSelector,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClientConfig {
    service: Option<Reference>,
    url: Option<Arc<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<Arc<str>>,
    resources: Vec<Arc<str>>,
    operations: Vec<Arc<str>>,
}

fn webhooks(kind: PartKind, of: Configuration) -> Result<Option<Vec<map::Webhook>>, String> {
    let part = Part::new(kind, "", &of.metadata.name);
    let rule = |of: Rule| map::WebhookRule { groups: of.api_groups, resources: of.resources, operations: of.operations };
    let webhook = |of: Webhook| map::Webhook {
        part: part.clone(),
        name: of.name,
        fail_closed: of.failure_policy.as_deref().unwrap_or("Fail") == "Fail",
        service: of.client_config.service.map(|service| ObjectRef::new(Kind::Service, &service.namespace, &service.name)),
        url: set(of.client_config.url),
        rules: of.rules.into_iter().map(rule).collect(),
        namespaces: of.namespace_selector.into(),
    };
    Ok(Some(of.webhooks.into_iter().map(webhook).collect()))
}

#[cfg(test)]
mod tests {
    use ananke_core::doctor::map::Operator;

    use super::*;

    #[test]
    fn a_webhook_fails_closed_where_it_does_not_say_otherwise() {
        let text = r#"{"metadata":{"name":"kyverno"},"webhooks":[
            {"name":"a","clientConfig":{"caBundle":"Cg==","service":{"name":"kyverno-svc","namespace":"kyverno","path":"/v","port":443}},
             "rules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"],"scope":"*"}],
             "namespaceSelector":{"matchLabels":{"policy":"on"},"matchExpressions":[{"key":"team","operator":"Exists"}]}},
            {"name":"b","clientConfig":{"url":"https://policy.example/x"},"failurePolicy":"Ignore"}]}"#;
        let found = webhooks(PartKind::MutatingWebhookConfiguration, serde_json::from_str(text).unwrap()).unwrap().unwrap();
        let told: Vec<_> = found.iter().map(|of| (&*of.name, of.fail_closed, of.service.is_some(), of.url.as_deref())).collect();
        assert_eq!(told, [("a", true, true, None), ("b", false, false, Some("https://policy.example/x"))]);
        assert_eq!(found[0].namespaces.expressions[0].operator, Operator::Exists);
        assert_eq!((found[0].rules.len(), found[0].namespaces.labels.len()), (1, 1));
    }
}
