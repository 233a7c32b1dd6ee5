//! Ingresses: the names under which the cluster is reached from outside.

use std::sync::Arc;

use ananke_core::name::Kind;
use ananke_core::observation::IngressState;
use serde::Deserialize;

use super::meta::{Meta, named, null_is_default};

named!(Ingress);

#[derive(Debug, Deserialize)]
pub(crate) struct Ingress {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(deserialize_with = "null_is_default")]
    rules: Vec<Rule>,
    #[serde(deserialize_with = "null_is_default")]
    tls: Vec<Tls>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Rule {
    pub(crate) host: Arc<str>,
    #[serde(deserialize_with = "null_is_default")]
    http: Http,
}

impl Rule {
    /// The Services that its paths lead to; a path may lead elsewhere.
    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<str>> {
        self.http.paths.iter().map(|path| &path.backend.service.name).filter(|name| !name.is_empty())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Http {
    #[serde(deserialize_with = "null_is_default")]
    paths: Vec<Path>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Path {
    backend: Backend,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Backend {
    #[serde(deserialize_with = "null_is_default")]
    service: Service,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    name: Arc<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tls {
    #[serde(deserialize_with = "null_is_default")]
    hosts: Vec<Arc<str>>,
}

pub(crate) fn ingress(ingress: Ingress) -> Result<Option<IngressState>, String> {
    let services = ingress.spec.rules.iter().flat_map(Rule::services).cloned();
    Ok(Some(IngressState {
        services: distinct(services),
        object: ingress.metadata.object(Kind::Ingress),
        hosts: distinct(ingress.spec.rules.into_iter().map(|rule| rule.host)),
        tls_hosts: distinct(ingress.spec.tls.into_iter().flat_map(|tls| tls.hosts)),
    }))
}

/// In the order in which the Ingress has them. A rule without a host is for any name, so there is none to ask for.
fn distinct(hosts: impl Iterator<Item = Arc<str>>) -> Vec<Arc<str>> {
    let mut out = Vec::new();
    for host in hosts.filter(|host| !host.is_empty()) {
        if !out.contains(&host) {
            out.push(host);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_once_and_a_rule_for_any_name_gives_none() {
        let text = r#"{"metadata":{"name":"gitea","namespace":"apps"},"spec":{"tls":[{"hosts":["scm.example.dev"],"secretName":"t"},{"secretName":"u"}],"rules":[{"host":"scm.example.dev","http":{"paths":[]}},{"http":{"paths":[]}},{"host":"scm.example.dev"},{"host":"git.example.dev"}]},"status":{"loadBalancer":{}}}"#;
        let state = ingress(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!(state.hosts, ["scm.example.dev".into(), "git.example.dev".into()]);
        assert_eq!(state.tls_hosts, ["scm.example.dev".into()]);
    }
}
