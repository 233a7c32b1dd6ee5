//! What the doctor's map is made of. The shapes have no field for a Secret's content, nor for the value of a variable, of
//! which only the names in it are kept.

pub(crate) mod cluster;
pub(crate) mod environment;
pub(crate) mod flux;
pub(crate) mod jobs;
pub(crate) mod network;
pub(crate) mod secrets;
pub(crate) mod storage;
pub(crate) mod webhooks;
pub(crate) mod workload;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ananke_core::doctor::map::{Expression, Operator, Selector, Words};
use ananke_core::doctor::{Part, PartKind};
use serde::Deserialize;

use super::meta::null_is_default;

/// Another object; without a namespace it is in the referring one's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reference {
    kind: String,
    namespace: String,
    name: String,
}

impl Reference {
    fn part(&self, kind: PartKind, own: &str) -> Part {
        Part::new(kind, if self.namespace.is_empty() { own } else { &self.namespace }, &self.name)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawSelector {
    #[serde(deserialize_with = "null_is_default")]
    match_labels: Words,
    #[serde(deserialize_with = "null_is_default")]
    match_expressions: Vec<RawExpression>,
}

#[derive(Debug, Deserialize)]
struct RawExpression {
    key: Arc<str>,
    operator: Operator,
    #[serde(default, deserialize_with = "null_is_default")]
    values: Vec<Arc<str>>,
}

impl From<RawSelector> for Selector {
    fn from(of: RawSelector) -> Self {
        let expression = |of: RawExpression| Expression { key: of.key, operator: of.operator, values: of.values };
        Self { labels: of.match_labels, expressions: of.match_expressions.into_iter().map(expression).collect() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: Arc<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LoadBalanced {
    load_balancer: LoadBalancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Address>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Address {
    ip: String,
}

impl LoadBalanced {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.load_balancer.ingress.iter().filter_map(|address| address.ip.parse().ok())
    }
}

fn words(labels: &BTreeMap<String, String>) -> Words {
    labels.iter().map(|(key, value)| (Arc::from(key.as_str()), Arc::from(value.as_str()))).collect()
}

/// Flux labels all that it applies. What Helm made carries the release's labels, whatever else stands there.
fn applied_by(labels: &BTreeMap<String, String>) -> Option<Part> {
    let by = |group: &str, kind| {
        let label = |word: &str| labels.get(&format!("{group}.toolkit.fluxcd.io/{word}"));
        Some(Part::new(kind, label("namespace")?, label("name")?))
    };
    by("helm", PartKind::HelmRelease).or_else(|| by("kustomize", PartKind::Kustomization))
}
