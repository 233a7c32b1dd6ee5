//! Gate `ingress`: every discovered ingress host answers with an accepted status, asked from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::http_check::{self, Check};
use crate::engine::view::View;
use crate::name::Subject;
use crate::observation::IngressState;
use crate::port::ProbeRequest;
use crate::spec::IngressSpec;
use crate::verdict::{Judgement, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let ingresses = match view.ingresses() {
        Ok(ingresses) => ingresses,
        Err(gap) => {
            return Judgement::of(Subject::Cluster, Verdict::unknown(gap, "look at the API server: it does not list Ingresses"));
        }
    };
    let checks = checks(ingresses, &view.spec.ingress);
    if checks.is_empty() {
        return Judgement::not_applicable("the cluster has no Ingress hosts to check");
    }
    http_check::judge(view, checks)
}

/// A check of every host that is looked at.
pub(super) fn checks(ingresses: &[IngressState], spec: &IngressSpec) -> Vec<Check> {
    let check = |(url, host): (Arc<str>, Arc<str>)| {
        let accepted = spec.accepted_by_host.get(&host).unwrap_or(&spec.accepted_statuses).clone();
        Check { subject: url.clone(), request: ProbeRequest::plain(url), accepted, redirect: None }
    };
    urls(ingresses, spec).into_iter().map(check).collect()
}

/// URL and host of all that is checked. A host on the include list is asked even if no Ingress names it: a wildcard may serve
/// it, and if nothing does, that must show.
pub(super) fn urls(ingresses: &[IngressState], spec: &IngressSpec) -> BTreeMap<Arc<str>, Arc<str>> {
    // Several Ingresses may name one host; TLS in any of them is TLS.
    let mut hosts: BTreeMap<&Arc<str>, bool> = BTreeMap::new();
    for ingress in ingresses {
        // A wildcard is no name that can be asked for.
        for host in ingress.hosts.iter().filter(|host| !host.starts_with('*')) {
            *hosts.entry(host).or_default() |= has_tls(ingress, host);
        }
    }
    if !spec.include.is_empty() {
        let tls = |host: &Arc<str>| ingresses.iter().any(|ingress| has_tls(ingress, host));
        hosts = spec.include.iter().map(|host| (host, tls(host))).collect();
    }
    hosts.retain(|host, _| !spec.exclude.contains(host));
    let url = |(host, tls): (&Arc<str>, bool)| {
        let scheme = spec.scheme.as_deref().unwrap_or(if tls { "https" } else { "http" });
        (format!("{scheme}://{host}/").into(), host.clone())
    };
    hosts.into_iter().map(url).collect()
}

fn has_tls(ingress: &IngressState, host: &str) -> bool {
    ingress.tls_hosts.iter().any(|pattern| serves(pattern, host))
}

/// Whether the host of an Ingress rule covers `host`: a wildcard stands for one label.
pub(crate) fn serves(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::name::{Kind, ObjectRef};
    use crate::observation::{EndpointsState, ProbeAnswer};
    use crate::verdict::GateId;

    fn answers(bench: &mut Bench, url: &str, status: u16) {
        let answer = ProbeAnswer { status, ..ProbeAnswer::default() };
        bench.obs.probes.insert(ProbeRequest::plain(url.into()).key(), Fact::known(answer, bench.now));
    }

    #[test]
    fn each_host_is_judged_by_its_own_accepted_statuses() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.check(evaluate, "not applicable: the cluster has no Ingress hosts to check");
        bench.ingress(&["git.example", "old.example", "*.example"]);
        bench.spec.ingress.exclude = vec!["old.example".into()];
        bench.check(evaluate, "http://git.example/: unknown");
        answers(&mut bench, "http://git.example/", 503);
        bench.check(evaluate, "http://git.example/: hold status-refused waiting");
        bench.spec.ingress.accepted_by_host.insert("git.example".into(), vec![503]);
        bench.check(evaluate, "http://git.example/: pass");
    }

    #[test]
    fn the_include_list_narrows_what_is_checked_and_never_hides_a_host_that_is_gone() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.ingress(&["git.example", "old.example", "*.apps.example"]);
        bench.spec.ingress.include = vec!["git.example".into(), "x.apps.example".into(), "gone.example".into()];
        bench.check(evaluate, "http://git.example/: unknown\nhttp://gone.example/: unknown\nhttp://x.apps.example/: unknown");
        bench.spec.ingress.exclude = vec!["gone.example".into()];
        bench.check(evaluate, "http://git.example/: unknown\nhttp://x.apps.example/: unknown");
        let mut ingresses = bench.obs.ingresses.last().unwrap().to_vec();
        ingresses[0].tls_hosts = vec!["*.apps.example".into()];
        bench.obs.ingresses = Fact::known(Arc::new(ingresses), bench.now);
        bench.check(evaluate, "http://git.example/: unknown\nhttps://x.apps.example/: unknown");
    }

    #[test]
    fn a_host_follows_the_workload_behind_its_service_whatever_that_is_called() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.ingress(&["git.example"]);
        bench.workload(Kind::StatefulSet, "gitea", &[(1, false)]);
        bench.workload(Kind::Deployment, "git-http", &[(1, false)]);
        let mut ingresses = bench.obs.ingresses.last().unwrap().to_vec();
        ingresses[0].services = vec!["git-http".into()];
        bench.obs.ingresses = Fact::known(Arc::new(ingresses), bench.now);
        answers(&mut bench, "http://git.example/", 503);
        bench.check(evaluate, "http://git.example/: hold status-refused waiting");
        bench.judged(GateId::Workloads, crate::gate::workloads::evaluate);
        bench.check(evaluate, "http://git.example/: hold status-refused follows Deployment apps/git-http");
        let service = ObjectRef::new(Kind::Service, "apps", "git-http");
        let pods = vec![ObjectRef::new(Kind::Pod, "apps", "gitea-0")];
        bench.obs.endpoints = Fact::known(Arc::new(vec![EndpointsState { service, ready: 0, pods }]), bench.now);
        bench.check(evaluate, "http://git.example/: hold status-refused follows StatefulSet apps/gitea");
    }

    #[test]
    fn a_host_follows_its_service_where_no_workload_is_held() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.ingress(&["git.example"]);
        bench.ingress_leads_to(&["git"]);
        bench.endpoints("apps", "git", 0, &[]);
        answers(&mut bench, "http://git.example/", 503);
        bench.judged(GateId::Workloads, crate::gate::workloads::evaluate);
        bench.judged(GateId::Endpoints, crate::gate::endpoints::evaluate);
        bench.check(evaluate, "http://git.example/: hold status-refused follows Service apps/git");
    }

    #[test]
    fn a_host_does_not_follow_what_is_behind_another_service_of_its_namespace() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.ingress(&["git.example"]);
        bench.ingress_leads_to(&["git"]);
        bench.workload(Kind::StatefulSet, "db", &[(1, false)]);
        bench.endpoints("apps", "db", 0, &["db-0"]);
        answers(&mut bench, "http://git.example/", 503);
        bench.judged(GateId::Workloads, crate::gate::workloads::evaluate);
        bench.check(evaluate, "http://git.example/: hold status-refused waiting");
    }

    #[test]
    fn tls_in_any_ingress_of_a_host_is_tls() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.ingress(&["git.example"]);
        let mut ingresses = bench.obs.ingresses.last().unwrap().to_vec();
        ingresses.push(IngressState { tls_hosts: vec!["git.example".into()], ..ingresses[0].clone() });
        bench.obs.ingresses = Fact::known(Arc::new(ingresses), bench.now);
        bench.check(evaluate, "https://git.example/: unknown");
    }
}
