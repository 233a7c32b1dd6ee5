//! Hosts of Ingresses that a start-up asks for nothing, so that nobody sees when they do not come back. What the config
//! excludes by name is somebody's decision, and left alone.

use std::collections::BTreeSet;

use super::super::graph::names::host_of;
use super::super::map::ClusterMap;
use super::{Finding, Lint};
use crate::gate::ingress::serves;
use crate::spec::Spec;

pub(super) fn look(map: &ClusterMap, spec: &Spec) -> Vec<Finding> {
    let include = &spec.ingress.include;
    let by_service: BTreeSet<&str> = spec.services.iter().map(|check| host_of(&check.url)).collect();
    let asked = |pattern: &str| {
        let named = include.iter().any(|host| serves(pattern, host)) || by_service.iter().any(|host| serves(pattern, host));
        named || (include.is_empty() && !pattern.starts_with('*'))
    };
    let mut findings = Vec::new();
    for ingress in &map.ingresses {
        for host in ingress.hosts.keys().filter(|host| !host.is_empty() && !spec.ingress.exclude.contains(host) && !asked(host)) {
            let what = format!("no check asks for a host of {}", ingress.object);
            let to_do = if host.starts_with('*') {
                "add a URL under it to startup.post_start_probes"
            } else {
                "add it to the ingress hosts that are checked, or to those that are not"
            };
            findings.push(Finding::new(Lint::IngressUnchecked, host, what, to_do));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{check, lab, spec};
    use super::*;

    #[test]
    fn wildcards_and_hosts_beside_the_list_are_asked_by_nobody() {
        let mut lab = lab();
        let mut spec = spec(&[]);
        lab.ingress("git.example", ("git", "gitea"));
        check(&look(&lab.map, &spec), &[]);
        lab.ingress("*.apps.example", ("apps", "web"));
        check(&look(&lab.map, &spec), &["*.apps.example: no check asks for a host of Ingress apps/web"]);
        spec.ingress.include = vec!["x.apps.example".into()];
        check(&look(&lab.map, &spec), &["git.example: no check asks for a host of Ingress git/gitea"]);
        spec.ingress.exclude = vec!["git.example".into()];
        check(&look(&lab.map, &spec), &[]);
    }
}
