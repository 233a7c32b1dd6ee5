//! What an HTTP answer must be like: one rule for ingress hosts and for the service checklist.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ingress, services};
use crate::engine::view::View;
use crate::name::{ObjectRef, Subject};
use crate::observation::ProbeAnswer;
use crate::port::ProbeRequest;
use crate::verdict::{GateId, Judgement, Reason, Verdict};

/// One request, and what its answer must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Check {
    pub request: ProbeRequest,
    /// Its name in reports: the URL, unless several checks share that.
    pub subject: Arc<str>,
    pub accepted: Vec<u16>,
    /// `Location` must begin with this.
    pub redirect: Option<String>,
}

/// All checks that can be made now: ingress hosts only where they are known.
pub(crate) fn all(view: &View<'_>) -> Vec<Check> {
    let hosts = view.ingresses().map(|found| ingress::checks(found, &view.spec.ingress)).unwrap_or_default();
    hosts.into_iter().chain(services::checks(view.spec)).collect()
}

/// One verdict for each check. What was broken before the outage is reported, and not waited for.
pub(super) fn judge(view: &View<'_>, checks: Vec<Check>) -> Judgement {
    let mut judgement = Judgement::default();
    for check in checks {
        let verdict = check.verdict(view);
        match view.baseline().filter(|baseline| baseline.urls_failing.contains(&check.subject)) {
            Some(baseline) if !verdict.is_pass() => judgement.notes.push(format!(
                "not waited for, since it failed on the last good day too ({}): {}",
                baseline.day(),
                crate::engine::walk::named(&Subject::Url(check.subject), verdict.text())
            )),
            Some(_) | None => {
                let verdict = explained(view, host_of(&check.request.url), verdict);
                judgement.set(Subject::Url(check.subject), verdict);
            }
        }
    }
    if judgement.subjects.is_empty() && !judgement.notes.is_empty() {
        judgement.not_applicable = Some("all that is checked failed on the last good day too".to_owned());
    }
    judgement
}

impl Check {
    /// Whether the newest answer is what it should be.
    pub(crate) fn fulfilled(&self, view: &View<'_>) -> bool {
        view.probe(&self.request).is_ok_and(|answer| self.mismatch(answer).is_none())
    }

    fn verdict(&self, view: &View<'_>) -> Verdict {
        let look = || match &self.request.check {
            Some(name) => format!("open {} and look at the workload behind it, or correct the check {name:?}", self.request.url),
            None => format!("open {} and look at the workload behind it", self.request.url),
        };
        match view.probe(&self.request) {
            Ok(answer) => match self.mismatch(answer) {
                None => Verdict::pass(self.evidence(answer)),
                Some((reason, text)) => Verdict::waiting(reason, format!("{} {text}", self.subject), look()),
            },
            Err(gap) => {
                let remedy = gap.error.as_ref().and_then(|error| error.remedy.clone());
                Verdict::unknown(gap, remedy.unwrap_or_else(look))
            }
        }
    }

    fn evidence(&self, answer: &ProbeAnswer) -> String {
        match (&self.redirect, &answer.location) {
            (Some(_), Some(location)) => format!("{} answers {} and leads to {location}", self.subject, answer.status),
            (_, _) => format!("{} answers {}", self.subject, answer.status),
        }
    }

    /// The first thing that is not as it should be: what was found, and what was wanted.
    fn mismatch(&self, answer: &ProbeAnswer) -> Option<(Reason, String)> {
        if !self.accepted.contains(&answer.status) {
            return Some((Reason::StatusRefused, format!("answers {}; wanted: {}", answer.status, few(&self.accepted))));
        }
        if let Some(wanted) = &self.redirect
            && !answer.location.as_ref().is_some_and(|location| location.starts_with(wanted))
        {
            let found = answer.location.as_deref().map_or("nowhere".to_owned(), |location| format!("to {location}"));
            return Some((Reason::RedirectDiffers, format!("leads {found}; wanted: {wanted}")));
        }
        for (name, wanted) in &self.request.headers {
            let text = match answer.headers.get(name) {
                None => format!("has no header {name}"),
                Some(found) if !found.contains(wanted) => format!("has the header {name}: {found}; wanted in it: {wanted}"),
                Some(_) => continue,
            };
            return Some((Reason::HeaderDiffers, text));
        }
        let missing = answer.missing.first()?;
        let found = answer.body.as_deref().filter(|body| !body.is_empty()).unwrap_or("nothing");
        Some((Reason::BodyDiffers, format!("has a body without {missing:?}; it begins: {found}")))
    }
}

/// The first of the statuses, and how many more there are: the usual list is long, and the config has it.
fn few(statuses: &[u16]) -> String {
    let shown: Vec<String> = statuses.iter().take(4).map(u16::to_string).collect();
    match statuses.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        1 => statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
        more => format!("{} or {more} others", shown.join(", ")),
    }
}

/// The host of a URL, without its port.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if let Some((v6, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return v6;
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// A host that does not answer well because the workload behind it has not converged follows that workload.
fn explained(view: &View<'_>, host: &str, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Hold(blocker) => match behind(view, host) {
            Some(cause) => Verdict::follows(blocker.reason, cause, blocker.text),
            None => Verdict::Hold(blocker),
        },
        Verdict::Pass(_) | Verdict::Unknown(_) => verdict,
    }
}

/// The workload behind an ingress host, if that has not converged; else the Service that has nothing behind it.
pub(crate) fn behind(view: &View<'_>, host: &str) -> Option<Subject> {
    let workloads = &view.gate(GateId::Workloads)?.judgement.subjects;
    let stuck = |object: &ObjectRef| {
        let subject = Subject::Object(object.clone());
        workloads.get(&subject).is_some_and(|verdict| !verdict.is_pass()).then_some(subject)
    };
    let leads_there = |hosts: &[Arc<str>]| hosts.iter().any(|pattern| ingress::serves(pattern, host));
    let ingresses = view.ingresses().ok()?.iter().filter(|ingress| leads_there(&ingress.hosts));
    let services: Vec<_> =
        ingresses.flat_map(|ingress| ingress.services.iter().map(|name| (&ingress.object.namespace, name))).collect();
    let workload = services.iter().find_map(|(namespace, name)| {
        owners(view, namespace, name).iter().find_map(stuck).or_else(|| {
            // Without pods to go by: nearly every Service has its workload's name.
            let named = |subject: &&Subject| matches!(subject, Subject::Object(object) if object.namespace == **namespace && object.name == **name);
            workloads.iter().filter(|(_, verdict)| !verdict.is_pass()).map(|(subject, _)| subject).find(named).cloned()
        })
    });
    workload.or_else(|| services.iter().find_map(|(namespace, name)| empty(view, namespace, name)))
}

/// The Service, if it is judged apart and leads nowhere.
fn empty(view: &View<'_>, namespace: &Arc<str>, service: &Arc<str>) -> Option<Subject> {
    let judged = &view.gate(GateId::Endpoints)?.judgement.subjects;
    let subject = Subject::Object(super::endpoints::service(namespace, service));
    matches!(judged.get(&subject), Some(Verdict::Hold(_))).then_some(subject)
}

/// Whether an Ingress of this cluster answers to the host of the URL.
pub(crate) fn leads_in(view: &View<'_>, url: &str) -> bool {
    let hosts = view.ingresses().unwrap_or_default().iter().flat_map(|ingress| &ingress.hosts);
    hosts.into_iter().any(|pattern| ingress::serves(pattern, host_of(url)))
}

/// The workloads whose pods a Service leads to.
fn owners(view: &View<'_>, namespace: &Arc<str>, service: &Arc<str>) -> Vec<ObjectRef> {
    let (Ok(endpoints), Ok(pods)) = (view.endpoints(), view.pod_index()) else { return Vec::new() };
    let same = |object: &ObjectRef| object.namespace == *namespace && object.name == *service;
    let behind = endpoints.iter().filter(|found| same(&found.service)).flat_map(|found| &found.pods);
    behind.filter_map(|pod| pods.named(pod)?.owner.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::spec::{ProbeMethod, ServiceCheck};

    #[test]
    fn the_host_of_a_url_is_what_an_ingress_calls_it() {
        for url in ["https://git.example/v2/", "http://git.example", "http://git.example:8080?x=/", "git.example/"] {
            assert_eq!(host_of(url), "git.example", "{url}");
        }
        assert_eq!(host_of("https://[fd00::1]:8443/x"), "fd00::1");
    }

    #[test]
    fn all_checks_are_those_of_ingress_hosts_and_services_and_each_knows_when_it_is_fulfilled() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.ingress(&["git.example"]);
        bench.spec.services = vec![ServiceCheck {
            name: "registry".to_owned(),
            url: "https://registry.example/v2/".into(),
            method: ProbeMethod::Get,
            accepted_statuses: vec![401],
            redirect: None,
            headers: Default::default(),
            body: Vec::new(),
        }];
        let checks = all(&bench.view());
        let subjects: Vec<&str> = checks.iter().map(|check| check.subject.as_ref()).collect();
        assert_eq!(subjects, ["http://git.example/", "https://registry.example/v2/"]);
        let mut fulfilled = |status| {
            let answer = ProbeAnswer { status, ..ProbeAnswer::default() };
            bench.obs.probes.insert(checks[1].request.key(), Fact::known(answer, bench.now));
            checks[1].fulfilled(&bench.view())
        };
        assert!(fulfilled(401) && !fulfilled(503));
    }
}
