//! Gate `ingress`: every discovered ingress host answers with an accepted status, asked from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::view::View;
use crate::name::{ObjectRef, Subject};
use crate::observation::{IngressState, ProbeAnswer};
use crate::spec::{IngressSpec, Spec};
use crate::verdict::{Blocker, GateId, Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let ingresses = match view.ingresses() {
        Ok(ingresses) => ingresses,
        Err(gap) => {
            return Judgement::of(Subject::Cluster, Verdict::unknown(gap, "look at the API server: it does not list Ingresses"));
        }
    };
    let urls = urls(ingresses, &view.spec.ingress);
    if urls.is_empty() {
        return Judgement::not_applicable("the cluster has no Ingress hosts to check");
    }
    let mut judgement = Judgement::default();
    for (url, host) in urls {
        let accepted = accepted(view.spec, &host);
        judgement.set(Subject::Url(url.clone()), explained(view, &host, answer(view, &url, accepted)));
    }
    judgement
}

/// A host that does not answer because the workload behind it has not converged follows that workload. The Service is
/// taken to have the workload's name, as nearly all have; where it has not, the host stands for itself.
pub(crate) fn explained(view: &View<'_>, host: &str, verdict: Verdict) -> Verdict {
    match (verdict, behind(view, host)) {
        (Verdict::Hold(Blocker { reason, text, .. }), Some(cause)) => Verdict::follows(reason, cause, text),
        (verdict @ (Verdict::Pass(_) | Verdict::Hold(_) | Verdict::Unknown(_)), _) => verdict,
    }
}

fn behind(view: &View<'_>, host: &str) -> Option<Subject> {
    let workloads = &view.gates.get(&GateId::Workloads)?.judgement.subjects;
    let ingress = view.ingresses().ok()?.iter().find(|ingress| ingress.hosts.iter().any(|found| found.as_ref() == host))?;
    let leads_to = |object: &ObjectRef| object.namespace == ingress.object.namespace && ingress.services.contains(&object.name);
    let mut stuck = workloads.iter().filter(|(_, verdict)| !verdict.is_pass()).map(|(subject, _)| subject);
    stuck.find(|subject| matches!(subject, Subject::Object(object) if leads_to(object))).cloned()
}

/// URL and host of every ingress host that is checked.
pub(crate) fn urls(ingresses: &[IngressState], spec: &IngressSpec) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut urls = BTreeMap::new();
    for ingress in ingresses {
        for host in &ingress.hosts {
            // A wildcard is no name that can be asked for.
            if host.starts_with('*') || spec.exclude.contains(host) {
                continue;
            }
            let scheme = match &spec.scheme {
                Some(scheme) => scheme.as_ref(),
                None if ingress.tls_hosts.contains(host) => "https",
                None => "http",
            };
            urls.insert(format!("{scheme}://{host}/").into(), host.clone());
        }
    }
    urls
}

fn accepted<'a>(spec: &'a Spec, host: &Arc<str>) -> &'a [u16] {
    spec.ingress.accepted_by_host.get(host).unwrap_or(&spec.ingress.accepted_statuses)
}

/// The verdict on one URL; the service checklist asks in the same way.
pub(crate) fn answer(view: &View<'_>, url: &Arc<str>, accepted: &[u16]) -> Verdict {
    let look = format!("open {url} and look at the workload behind it");
    match view.probe(url) {
        Ok(ProbeAnswer { status, .. }) if accepted.contains(status) => Verdict::pass(format!("{url} answers {status}")),
        Ok(ProbeAnswer { status, .. }) => Verdict::waiting(Reason::StatusRefused, format!("{url} answers {status}"), look),
        Err(gap) => Verdict::unknown(gap, look),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;

    #[test]
    fn each_host_is_judged_by_its_own_accepted_statuses() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.check(evaluate, "not applicable: the cluster has no Ingress hosts to check");
        bench.ingress(&["git.example", "old.example", "*.example"]);
        bench.spec.ingress.exclude = vec!["old.example".into()];
        bench.check(evaluate, "http://git.example/: unknown");
        let answer = |status| Fact::known(ProbeAnswer { status, location: None }, Bench::new(1).now);
        bench.obs.probes.insert("http://git.example/".into(), answer(503));
        bench.check(evaluate, "http://git.example/: hold status-refused waiting");
        bench.spec.ingress.accepted_by_host.insert("git.example".into(), vec![503]);
        bench.check(evaluate, "http://git.example/: pass");
    }
}
