//! Admission webhooks that pods must pass, and APIs that Services serve.

use std::collections::BTreeMap;
use std::sync::Arc;

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::{ApiServiceState, Tri, WebhookState};
use serde::Deserialize;

use super::meta::{Condition, Meta, condition, named, null_is_default};

named!(WebhookConfiguration, ApiService);

/// The label that the API server itself puts on every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A ValidatingWebhookConfiguration or MutatingWebhookConfiguration, which are alike in this.
#[derive(Debug, Deserialize)]
pub(crate) struct WebhookConfiguration {
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
    namespace_selector: Selector,
    #[serde(deserialize_with = "null_is_default")]
    object_selector: Selector,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClientConfig {
    service: Option<Service>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    operations: Vec<String>,
    resources: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Selector {
    #[serde(deserialize_with = "null_is_default")]
    match_labels: BTreeMap<String, Arc<str>>,
    #[serde(deserialize_with = "null_is_default")]
    match_expressions: Vec<Expression>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Expression {
    key: String,
    operator: String,
    #[serde(deserialize_with = "null_is_default")]
    values: Vec<Arc<str>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ApiService {
    metadata: Meta,
    #[serde(default)]
    spec: ApiServiceSpec,
    #[serde(default)]
    status: ApiServiceStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApiServiceSpec {
    service: Option<Service>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApiServiceStatus {
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
}

impl Service {
    fn object(&self) -> ObjectRef {
        ObjectRef::new(Kind::Service, &self.namespace, &self.name)
    }
}

impl Rule {
    fn is_for_new_pods(&self) -> bool {
        let has = |list: &[String], wanted: &[&str]| list.iter().any(|entry| wanted.contains(&entry.as_str()));
        has(&self.api_groups, &["", "*"])
            && has(&self.operations, &["CREATE", "*"])
            && has(&self.resources, &["pods", "*", "*/*"])
    }
}

impl Selector {
    /// Labels without which nothing is selected.
    fn wanted(&self) -> impl Iterator<Item = &str> {
        let wants = |of: &&Expression| matches!(of.operator.as_str(), "In" | "Exists");
        let expressions = self.match_expressions.iter().filter(wants).map(|of| of.key.as_str());
        self.match_labels.keys().map(String::as_str).chain(expressions)
    }

    /// What the expressions about the name label list for an operator.
    fn names(&self, operator: &str) -> impl Iterator<Item = &[Arc<str>]> {
        let by_name = move |of: &&Expression| of.key == NAME_LABEL && of.operator == operator;
        self.match_expressions.iter().filter(by_name).map(|of| of.values.as_slice())
    }

    /// Names of which one is wanted; none where any may be.
    fn only(&self) -> Option<Vec<Arc<str>>> {
        let label = self.match_labels.get(NAME_LABEL).map(std::slice::from_ref);
        let mut lists = label.into_iter().chain(self.names("In"));
        let mut only = lists.next()?.to_vec();
        for list in lists {
            only.retain(|name| list.contains(name));
        }
        Some(only)
    }
}

impl Webhook {
    /// Which pods and namespaces carry a label is not known here. Where none is called that was not labelled for it, such as
    /// for the sidecars of a mesh, the webhook is left out: taken for all namespaces, it would keep every pod from being mended.
    fn is_opt_in(&self) -> bool {
        self.object_selector.wanted().next().is_some() || self.namespace_selector.wanted().any(|label| label != NAME_LABEL)
    }

    fn state(self, configuration: &Arc<str>) -> Option<WebhookState> {
        let fails = self.failure_policy.as_deref().unwrap_or("Fail") == "Fail";
        let counts = fails && !self.is_opt_in() && self.rules.iter().any(Rule::is_for_new_pods);
        let service = self.client_config.service.filter(|_| counts)?;
        let only = self.namespace_selector.only();
        if only.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        Some(WebhookState {
            configuration: Arc::clone(configuration),
            name: self.name,
            service: service.object(),
            excludes: self.namespace_selector.names("NotIn").flatten().cloned().collect(),
            only: only.unwrap_or_default(),
        })
    }
}

/// Those of a configuration's webhooks without which no pod is made.
pub(crate) fn webhooks(of: WebhookConfiguration) -> Result<Option<Vec<WebhookState>>, String> {
    let configuration = Arc::from(of.metadata.name);
    let webhooks: Vec<WebhookState> = of.webhooks.into_iter().filter_map(|webhook| webhook.state(&configuration)).collect();
    Ok(Some(webhooks).filter(|webhooks| !webhooks.is_empty()))
}

/// `None` for what the API server serves itself.
pub(crate) fn api_service(of: ApiService) -> Result<Option<ApiServiceState>, String> {
    let Some(service) = of.spec.service else { return Ok(None) };
    let available = condition(&of.status.conditions, "Available");
    Ok(Some(ApiServiceState {
        name: of.metadata.name.into(),
        service: service.object(),
        available: available.map_or(Tri::Unknown, Condition::tri),
        reason: available.map_or("", |of| of.reason.as_str()).into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &str, rule: &str, expected: &[&str]) {
        let text = format!(
            r#"{{"metadata":{{"name":"kyverno-resource-validating-webhook-cfg"}},"webhooks":[{{"name":"validate.kyverno.svc-fail",
            "clientConfig":{{"caBundle":"Cg==","service":{{"name":"kyverno-svc","namespace":"kyverno","path":"/validate/fail","port":443}}}},
            {policy}"rules":[{rule}],"namespaceSelector":{{"matchExpressions":[
              {{"key":"kubernetes.io/metadata.name","operator":"NotIn","values":["kube-system","kyverno"]}},
              {{"key":"team","operator":"DoesNotExist"}}]}}}}]}}"#
        );
        let found = webhooks(serde_json::from_str(&text).unwrap()).unwrap().unwrap_or_default();
        let told: Vec<String> = found.iter().map(|of| format!("{} {} {:?}", of.name, of.service, of.excludes)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn only_what_pods_must_pass_and_what_fails_closed_counts() {
        let pods = r#"{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE","UPDATE"],"resources":["pods","pods/ephemeralcontainers"],"scope":"*"}"#;
        let all = r#"{"apiGroups":["*"],"apiVersions":["*"],"operations":["*"],"resources":["*/*"],"scope":"*"}"#;
        let certificates =
            r#"{"apiGroups":["cert-manager.io"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["*/*"]}"#;
        let deletes = r#"{"apiGroups":[""],"apiVersions":["v1"],"operations":["DELETE"],"resources":["pods"]}"#;
        let kyverno = r#"validate.kyverno.svc-fail Service kyverno/kyverno-svc ["kube-system", "kyverno"]"#;
        check(r#""failurePolicy":"Fail","#, pods, &[kyverno]);
        check("", all, &[kyverno]);
        check(r#""failurePolicy":"Ignore","#, pods, &[]);
        check(r#""failurePolicy":"Fail","#, certificates, &[]);
        check(r#""failurePolicy":"Fail","#, deletes, &[]);
    }

    /// Which namespaces a webhook is asked about that has these selectors: those left out, and those picked; none where it is
    /// left out itself.
    fn asked(selectors: &str) -> Option<String> {
        let text = format!(
            r#"{{"metadata":{{"name":"x"}},"webhooks":[{{"name":"a","clientConfig":{{"service":{{"name":"s","namespace":"n"}}}},
            "rules":[{{"apiGroups":[""],"operations":["CREATE"],"resources":["pods"]}}],{selectors}}}]}}"#
        );
        let found = webhooks(serde_json::from_str(&text).unwrap()).unwrap()?;
        Some(found.iter().map(|of| format!("{:?} {:?}", of.excludes, of.only)).collect())
    }

    #[test]
    fn a_webhook_that_is_called_only_for_what_was_labelled_for_it_is_left_out() {
        let name = r#""key":"kubernetes.io/metadata.name""#;
        for opt_in in [
            // Two of the four of Istio's injector, as istioctl installs them.
            r#""namespaceSelector":{"matchExpressions":[{"key":"istio-injection","operator":"In","values":["enabled"]}]},
               "objectSelector":{"matchExpressions":[{"key":"sidecar.istio.io/inject","operator":"NotIn","values":["false"]}]}"#,
            r#""namespaceSelector":{"matchExpressions":[{"key":"istio-injection","operator":"DoesNotExist"}]},
               "objectSelector":{"matchExpressions":[{"key":"sidecar.istio.io/inject","operator":"In","values":["true"]}]}"#,
            r#""namespaceSelector":{"matchLabels":{"policy":"on"}}"#,
            r#""namespaceSelector":{"matchExpressions":[{"key":"team","operator":"Exists"}]}"#,
            r#""objectSelector":{"matchLabels":{"app":"db"}}"#,
            r#""objectSelector":{"matchExpressions":[{"key":"app","operator":"Exists"}]}"#,
        ] {
            assert_eq!(asked(opt_in), None, "{opt_in}");
        }
        let all = Some("[] []".to_owned());
        for opt_out in [
            r#""namespaceSelector":{},"objectSelector":{}"#.to_owned(),
            r#""namespaceSelector":null,"objectSelector":null"#.to_owned(),
            r#""objectSelector":{"matchExpressions":[{"key":"app","operator":"NotIn","values":["db"]}]}"#.to_owned(),
            r#""namespaceSelector":{"matchExpressions":[{"key":"skip","operator":"DoesNotExist"}]}"#.to_owned(),
            format!(r#""namespaceSelector":{{"matchExpressions":[{{{name},"operator":"Exists"}}]}}"#),
        ] {
            assert_eq!(asked(&opt_out), all, "{opt_out}");
        }
    }

    #[test]
    fn a_webhook_that_picks_namespaces_by_name_is_asked_about_those() {
        let by_name = |operator: &str, names: &str| {
            format!(r#"{{"key":"kubernetes.io/metadata.name","operator":"{operator}","values":[{names}]}}"#)
        };
        let selector = |labels: &str, expressions: &[String]| {
            let expressions = expressions.join(",");
            asked(&format!(r#""namespaceSelector":{{"matchLabels":{{{labels}}},"matchExpressions":[{expressions}]}}"#))
        };
        let apps = r#""kubernetes.io/metadata.name":"apps""#;
        let (two, not) = (by_name("In", r#""apps","media""#), by_name("NotIn", r#""media""#));
        assert_eq!(selector("", std::slice::from_ref(&two)).as_deref(), Some(r#"[] ["apps", "media"]"#));
        assert_eq!(selector(apps, &[]).as_deref(), Some(r#"[] ["apps"]"#));
        assert_eq!(selector(apps, &[two, not]).as_deref(), Some(r#"["media"] ["apps"]"#));
        assert_eq!(selector(apps, &[by_name("In", r#""media""#)]), None, "no namespace has two names");
    }

    #[test]
    fn a_webhook_outside_of_the_cluster_is_left_out() {
        let text = r#"{"metadata":{"name":"x"},"webhooks":[{"name":"a","clientConfig":{"url":"https://example.org"},
            "rules":[{"apiGroups":[""],"operations":["CREATE"],"resources":["pods"]}]}]}"#;
        assert_eq!(webhooks(serde_json::from_str(text).unwrap()), Ok(None));
    }

    #[test]
    fn an_api_of_the_servers_own_is_left_out() {
        let local = r#"{"metadata":{"name":"v1.apps"},"spec":{"group":"apps","version":"v1"},
            "status":{"conditions":[{"type":"Available","status":"True","reason":"Local"}]}}"#;
        assert_eq!(api_service(serde_json::from_str(local).unwrap()), Ok(None));
        let metrics = r#"{"metadata":{"name":"v1beta1.metrics.k8s.io"},"spec":{"service":{"name":"metrics-server","namespace":"kube-system","port":443}},
            "status":{"conditions":[{"type":"Available","status":"False","reason":"MissingEndpoints","message":"endpoints for service/metrics-server in \"kube-system\" have no addresses with port name \"https\""}]}}"#;
        let found = api_service(serde_json::from_str(metrics).unwrap()).unwrap().unwrap();
        assert_eq!((&*found.name, found.available, &*found.reason), ("v1beta1.metrics.k8s.io", Tri::False, "MissingEndpoints"));
    }
}
