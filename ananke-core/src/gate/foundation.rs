//! Gate `foundation`: the workloads behind the Flux source, the image registries and Vault run, where these live in this
//! cluster: Flux cannot bring up what it is fetched from.
//!
//! They are found by following names: a host of a URL or of an image, the Ingress or Service that has this name, the pods
//! behind it, the workload that owns them. The chain stands in the evidence.

mod kept;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::endpoints;
use super::workloads;
use crate::engine::view::View;
use crate::fact::Gap;
use crate::name::{ObjectRef, Subject};
use crate::observation::{EndpointsState, IngressState, PodIndex, WorkloadState};
use crate::verdict::{BlockerKind, GateId, Judgement, Reason, Verdict};

pub(crate) fn evaluate(view: &View<'_>) -> Judgement {
    let seen = match Seen::of(view) {
        Ok(seen) => seen,
        Err(gap) => {
            let look = "look at the API server: it does not list workloads and what leads to them";
            return Judgement::of(Subject::Cluster, Verdict::unknown(gap, look));
        }
    };
    let mut found = Found::default();
    for workload in &view.spec.foundation {
        found.workloads.entry(workload.clone()).or_default().push("startup.foundation_workloads".to_owned());
    }
    for (host, what) in hosts(view, &seen) {
        seen.follow(view, &host, &what, &mut found);
    }
    let kept = kept::judge(view, seen.workloads);
    if found.is_empty() && kept.is_empty() {
        return Judgement::not_applicable(found.why_empty());
    }
    let mut judgement = Judgement::default();
    for (object, chains) in found.workloads {
        let verdict = shown(seen.judge(view, &object), &chains.join("; "));
        judgement.set(Subject::Object(object), verdict);
    }
    for (service, chain) in found.dead_ends {
        let verdict = Verdict::waiting(
            Reason::NoEndpoints,
            format!("{service} has no workload behind it ({chain})"),
            format!("find the workload that {service} should lead to, and bring it up"),
        );
        judgement.set(Subject::Object(service), verdict);
    }
    for (object, verdict) in kept {
        judgement.set(Subject::Object(object), verdict);
    }
    judgement
}

/// What the walk along the names came to.
#[derive(Default)]
struct Found {
    /// With the chains that lead there.
    workloads: BTreeMap<ObjectRef, Vec<String>>,
    /// Services that lead to no workload.
    dead_ends: BTreeMap<ObjectRef, String>,
    outside: Vec<String>,
}

impl Found {
    fn is_empty(&self) -> bool {
        self.workloads.is_empty() && self.dead_ends.is_empty()
    }

    fn why_empty(&self) -> String {
        match self.outside.as_slice() {
            [] => "neither a Flux source nor images nor Vault name a host".to_owned(),
            all => format!("outside of this cluster: {}", all.join(", ")),
        }
    }
}

struct Seen<'a> {
    ingresses: &'a [IngressState],
    services: &'a [EndpointsState],
    workloads: &'a [WorkloadState],
    pods: Cow<'a, PodIndex>,
    source: Option<&'a Arc<str>>,
}

impl<'a> Seen<'a> {
    fn of(view: &View<'a>) -> Result<Self, Gap> {
        let flux = view.flux()?.as_ref();
        let source = flux.and_then(|flux| flux.sources.iter().find(|source| source.object == view.spec.flux.source));
        Ok(Self {
            ingresses: view.ingresses()?,
            services: view.endpoints()?,
            workloads: view.workloads()?,
            pods: view.pod_index()?,
            source: source
                .map(|source| source.url_from.as_ref().unwrap_or(&source.url))
                .or(flux.and(view.spec.flux.expected_url.as_ref())),
        })
    }

    fn follow(&self, view: &View<'_>, host: &str, what: &str, found: &mut Found) {
        let leads = self.services_of(host);
        if leads.is_empty() {
            found.outside.push(format!("{host} ({what})"));
        }
        for (service, how) in leads {
            let chain = format!("{what} at {host} leads to {how}{service}");
            let owners = self.owners(&service);
            if owners.is_empty() && self.is_served(view, &service) {
                found.outside.push(format!("{host} ({what}), behind {service}"));
            } else if owners.is_empty() {
                found.dead_ends.insert(service.clone(), chain.clone());
            }
            for owner in owners {
                found.workloads.entry(owner).or_default().push(chain.clone());
            }
        }
    }

    /// Whether what serves it is none of the workloads that are known here: a name or addresses of elsewhere, or pods of another
    /// controller.
    fn is_served(&self, view: &View<'_>, service: &ObjectRef) -> bool {
        let state = self.services.iter().find(|state| state.service == *service);
        state.is_some_and(|state| endpoints::judge(view, state, &self.pods, Reason::NoEndpoints).is_pass())
    }

    /// Services of this cluster that answer to a host name, each with what stands in between.
    fn services_of(&self, host: &str) -> Vec<(ObjectRef, String)> {
        let mut leads = Vec::new();
        for ingress in self.ingresses.iter().filter(|ingress| ingress.answers_to(host)) {
            for name in &ingress.services {
                leads.push((endpoints::service(&ingress.object.namespace, name), format!("{}, then ", ingress.object)));
            }
        }
        if leads.is_empty()
            && let Some(service) = in_cluster(host)
            && self.services.iter().any(|state| state.service == service)
        {
            leads.push((service, String::new()));
        }
        leads
    }

    /// Workloads behind a Service: by its pods, and where there are none by its name.
    fn owners(&self, service: &ObjectRef) -> BTreeSet<ObjectRef> {
        let state = self.services.iter().find(|state| state.service == *service);
        let behind = state.into_iter().flat_map(|state| endpoints::owners(state, &self.pods));
        let owners: BTreeSet<ObjectRef> = behind.cloned().collect();
        if !owners.is_empty() {
            return owners;
        }
        let of_its_name = |object: &&ObjectRef| object.namespace == service.namespace && object.name == service.name;
        self.workloads.iter().map(|workload| &workload.object).filter(of_its_name).cloned().collect()
    }

    /// As the gate `workloads` judges it, which may know of a cause that only shows beside other workloads.
    fn judge(&self, view: &View<'_>, object: &ObjectRef) -> Verdict {
        let Some(workload) = self.workloads.iter().find(|workload| workload.object == *object) else {
            let text = format!("{object} does not exist");
            return Verdict::waiting(Reason::WorkloadAbsent, text, format!("bring {object} back: Flux depends on it"));
        };
        let mut verdict = workloads::judge(view, workload, &self.pods.owned_by(object));
        let subject = Subject::Object(object.clone());
        let elsewhere = view.gate(GateId::Workloads).and_then(|gate| gate.judgement.subjects.get(&subject));
        if let (Verdict::Hold(blocker), Some(cause)) = (&mut verdict, elsewhere.and_then(Verdict::cause))
            && blocker.kind == BlockerKind::Waiting
        {
            blocker.kind = BlockerKind::Follows(cause.clone());
        }
        verdict
    }
}

/// Hosts that recovery depends on, each with what it is for.
fn hosts(view: &View<'_>, seen: &Seen<'_>) -> BTreeMap<String, String> {
    let mut hosts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut add = |host: &str, what: &'static str| {
        if !host.is_empty() {
            hosts.entry(host.to_ascii_lowercase()).or_default().insert(what);
        }
    };
    if let Some(url) = seen.source {
        add(host_of(url), "the Flux source");
    }
    if let Some(vault) = &view.spec.vault {
        add(host_of(&vault.address), "Vault");
    }
    let registries: BTreeSet<&Arc<str>> = seen.workloads.iter().flat_map(|workload| &workload.registries).collect();
    for registry in registries {
        add(host_of(registry), "images");
    }
    hosts.into_iter().map(|(host, what)| (host, what.into_iter().collect::<Vec<_>>().join(" and "))).collect()
}

/// The host of a URL, or of an image's registry, without user and port.
pub(crate) fn host_of(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.split(':').next().unwrap_or(host)
}

/// The Service that a name inside the cluster stands for: `name.namespace`, with `.svc` and the cluster's domain or without.
pub(crate) fn in_cluster(host: &str) -> Option<ObjectRef> {
    let mut labels = host.trim_end_matches('.').split('.');
    let (name, namespace) = (labels.next()?, labels.next()?);
    labels.next().is_none_or(|label| label == "svc").then(|| endpoints::service(namespace, name))
}

/// The verdict with the chain that makes the workload part of the foundation.
fn shown(verdict: Verdict, chain: &str) -> Verdict {
    match verdict {
        Verdict::Pass(evidence) => Verdict::pass(format!("{evidence} ({chain})")),
        Verdict::Hold(mut blocker) => {
            blocker.text = format!("{} ({chain})", blocker.text);
            Verdict::Hold(blocker)
        }
        Verdict::Unknown(unknown) => Verdict::Unknown(unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::name::Kind;
    use crate::spec::VaultSpec;

    /// Gitea serves `git.example` through an Ingress; its Service has another name than the workload.
    fn bench() -> Bench {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.workload(Kind::StatefulSet, "gitea", &[(2, true)]);
        bench.endpoints("apps", "gitea-http", 1, &["gitea-0"]);
        bench.ingress(&["git.example"]);
        bench.ingress_leads_to(&["gitea-http"]);
        bench
    }

    #[test]
    fn what_lives_outside_is_none_of_our_business() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.check(evaluate, "not applicable: outside of this cluster: git.example (the Flux source)");
        bench.workload(Kind::Deployment, "web", &[(1, true)]);
        bench.change_workload("web", |web| web.registries = vec!["docker.io".into(), "registry.example:5000".into()]);
        bench.check(
            evaluate,
            "not applicable: outside of this cluster: docker.io (images), git.example (the Flux source), registry.example (images)",
        );
    }

    #[test]
    fn the_flux_source_leads_to_the_workload_behind_its_ingress() {
        let mut bench = bench();
        bench.check(evaluate, "StatefulSet apps/gitea: pass");
        let judgement = evaluate(&bench.view());
        assert_eq!(
            judgement.subjects.values().next().unwrap().text(),
            "1 of 1 ready (the Flux source at git.example leads to Ingress apps/web, then Service apps/gitea-http)"
        );
        bench.node_dies(2);
        bench.check(evaluate, "StatefulSet apps/gitea: hold pods-not-proved follows n2");
    }

    #[test]
    fn a_registry_and_vault_may_be_named_by_their_services() {
        let mut bench = bench();
        bench.workload(Kind::Deployment, "harbor", &[(1, false)]);
        bench.change_workload("harbor", |harbor| harbor.registries = vec!["harbor.apps.svc.cluster.local:5000".into()]);
        bench.endpoints("apps", "harbor", 0, &["harbor-0"]);
        bench.endpoints("apps", "vault", 0, &[]);
        bench.spec.vault = Some(VaultSpec { address: "https://vault.apps.svc:8200".into(), can_unseal: false });
        bench.check(
            evaluate,
            "Deployment apps/harbor: hold workload-not-converged waiting\nStatefulSet apps/gitea: pass\n\
             Service apps/vault: hold no-endpoints waiting",
        );
        bench.workload(Kind::StatefulSet, "vault", &[(1, false)]);
        bench.check(
            evaluate,
            "Deployment apps/harbor: hold workload-not-converged waiting\nStatefulSet apps/gitea: pass\n\
             StatefulSet apps/vault: hold workload-not-converged waiting",
        );
    }

    #[test]
    fn a_service_that_is_served_by_no_workload_is_no_dead_end() {
        let outside = "not applicable: outside of this cluster: git.example (the Flux source), behind Service apps/git";
        let dead_end = "Service apps/git: hold no-endpoints waiting";
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.ingress(&["git.example"]);
        bench.ingress_leads_to(&["git"]);
        bench.check(evaluate, dead_end);
        bench.endpoints("apps", "git", 0, &[]);
        bench.check(evaluate, dead_end);
        bench.endpoints("apps", "git", 1, &[]);
        bench.check(evaluate, outside);
        bench.endpoints("apps", "git", 1, &["gitea-0"]);
        bench.check(evaluate, dead_end);
        bench.workload(Kind::StatefulSet, "gitea", &[(2, true)]);
        bench.pod("gitea-0", |pod| pod.owner = None);
        bench.check(evaluate, outside);
        bench.node_dies(2);
        bench.check(evaluate, dead_end);
    }

    #[test]
    fn configured_workloads_count_too_and_must_exist() {
        let mut bench = bench();
        bench.spec.foundation = vec![ObjectRef::new(Kind::StatefulSet, "apps", "postgres")];
        bench.check(evaluate, "StatefulSet apps/gitea: pass\nStatefulSet apps/postgres: hold workload-absent waiting");
        bench.workload(Kind::StatefulSet, "postgres", &[(1, true)]);
        bench.check(evaluate, "StatefulSet apps/gitea: pass\nStatefulSet apps/postgres: pass");
    }

    #[test]
    fn a_cause_that_the_workloads_know_is_taken_over() {
        let mut bench = bench();
        bench.workload(Kind::StatefulSet, "db", &[(2, false)]);
        bench.change_workload("gitea", |workload| workload.ready = 0);
        bench.pod("gitea-0", |pod| {
            pod.ready = false;
            pod.node = Some(crate::gate::testing::node(1));
        });
        bench.node_dies(2);
        bench.check(evaluate, "StatefulSet apps/gitea: hold workload-not-converged waiting");
        bench.judged(GateId::Workloads, workloads::evaluate);
        bench.check(evaluate, "StatefulSet apps/gitea: hold workload-not-converged follows StatefulSet apps/db");
    }

    #[test]
    fn hosts_are_found_in_urls_and_images() {
        for (text, host) in [
            ("ssh://git@git.example:2222/iac.git", "git.example"),
            ("https://git.example/iac", "git.example"),
            ("oci://registry.example", "registry.example"),
            ("registry.example:5000", "registry.example"),
            ("docker.io", "docker.io"),
        ] {
            assert_eq!(host_of(text), host, "{text}");
        }
        let service = |host| in_cluster(host).map(|service| service.to_string());
        assert_eq!(service("gitea.git.svc.cluster.local.").as_deref(), Some("Service git/gitea"));
        assert_eq!(service("gitea.git").as_deref(), Some("Service git/gitea"));
        assert_eq!(service("scm.titan.example"), None);
        assert_eq!(service("localhost"), None);
    }

    #[test]
    fn other_sources_and_services_lead_nowhere() {
        let mut bench = bench();
        bench.spec.flux.expected_url = None;
        bench.spec.vault = Some(VaultSpec { address: "https://vault.apps.svc:8200".into(), can_unseal: false });
        bench.workload(Kind::Deployment, "charts", &[(1, true)]);
        bench.obs.endpoints = crate::fact::Fact::known(Arc::default(), bench.now);
        bench.endpoints("apps", "charts", 1, &["charts-0"]);
        bench.endpoints("apps", "gitea-http", 1, &["gitea-0"]);
        bench.change_flux(|flux| {
            let mut charts = flux.sources[0].clone();
            charts.object = ObjectRef::new(Kind::OCIRepository, "flux-system", "charts");
            charts.url = "oci://charts.apps/all".into();
            flux.sources.insert(0, charts);
        });
        bench.check(evaluate, "StatefulSet apps/gitea: pass");
    }
}
