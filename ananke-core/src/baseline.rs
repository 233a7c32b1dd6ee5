//! What was well on the last healthy day: what was broken before the outage must not block recovery from it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::view::View;
use crate::name::{Kind, Moment, ObjectRef, Subject};
use crate::observation::{FluxState, Reconcile, Tri, WorkloadState};
use crate::report::GateStatus;
use crate::verdict::{GateId, Judgement, Verdict};

/// `baseline.json`. Recorded when everything required held: at the end of a start-up, and by the daemon on healthy days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub at: Moment,
    /// In the order of their names.
    pub workloads: Vec<BaselineWorkload>,
    /// Flux objects that were not ready then.
    pub flux_failing: BTreeSet<ObjectRef>,
    /// URLs of ingress hosts and service checks that did not answer as they should then.
    pub urls_failing: BTreeSet<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineWorkload {
    pub object: ObjectRef,
    pub desired: u32,
    /// Whether it had converged.
    pub healthy: bool,
}

/// What still fails after a day of the cluster being up is not the outage's doing: people live with it.
const KNOWN_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Baseline {
    pub fn new(at: Moment, mut workloads: Vec<BaselineWorkload>) -> Self {
        workloads.sort_by(|one, other| one.object.cmp(&other.object));
        Self { at, workloads, flux_failing: BTreeSet::new(), urls_failing: BTreeSet::new() }
    }

    pub fn workload(&self, object: &ObjectRef) -> Option<&BaselineWorkload> {
        let at = self.workloads.binary_search_by(|known| known.object.cmp(object)).ok()?;
        self.workloads.get(at)
    }

    /// Of what fails, only what failed at an earlier look too: a roll-out in the middle of a look is no known failure.
    pub fn confirmed_by(mut self, earlier: &Self) -> Self {
        self.flux_failing.retain(|object| earlier.flux_failing.contains(object));
        self.urls_failing.retain(|url| earlier.urls_failing.contains(url));
        for workload in &mut self.workloads {
            workload.healthy |= earlier.workload(&workload.object).is_some_and(|before| before.healthy);
        }
        self
    }

    /// The day it was taken, as `2026-03-14`.
    pub fn day(&self) -> String {
        self.at.day()
    }
}

/// The baseline that the newest observation makes, if today is a healthy day: what everything stands on passes, and so does
/// all that the config requires by name. Whatever else still fails is a known failure once the cluster has been up for a day.
pub fn of(view: &View<'_>) -> Option<Baseline> {
    let (workloads, flux) = (view.workloads().ok()?, view.flux().ok()?);
    for (id, gate) in view.gates() {
        let passes = matches!(gate.status, GateStatus::Passed | GateStatus::NotApplicable);
        let known = || may_fail(*id) && only_known_failures(view, &gate.judgement);
        if !(passes || known()) {
            return None;
        }
    }
    let seen = |id: GateId| view.gates().contains_key(&id);
    if !(seen(GateId::NodesReady) && seen(GateId::Workloads) && seen(GateId::Kustomizations)) {
        return None;
    }
    let mut taken = Baseline::new(view.now, workloads.iter().map(workload).collect());
    let main = &view.spec.flux.source;
    taken.flux_failing = flux.iter().flat_map(|flux| failing(flux, main)).filter(|object| !passes(view, object)).collect();
    taken.urls_failing = urls_failing(view);
    Some(taken)
}

/// Gates that judge what runs on the cluster, and not the cluster itself.
fn may_fail(id: GateId) -> bool {
    matches!(
        id,
        GateId::Kustomizations | GateId::Workloads | GateId::Ingress | GateId::Services | GateId::Endpoints | GateId::Soak
    )
}

fn only_known_failures(view: &View<'_>, judgement: &Judgement) -> bool {
    let up_for_long = view.floor() > Moment::from_millis(0) && view.now.since(view.floor()) >= KNOWN_AFTER;
    let mut failing = judgement.subjects.iter().filter(|(_, verdict)| !verdict.is_pass());
    let is_seen = |subject: &Subject, verdict: &Verdict| match verdict {
        Verdict::Hold(_) => true,
        Verdict::Unknown(unknown) => {
            unknown.gap.error.is_some() && matches!(subject, Subject::Url(_)) && one_url_answers(judgement)
        }
        Verdict::Pass(_) => false,
    };
    up_for_long && failing.all(|(subject, verdict)| is_seen(subject, verdict) && !by_name(view, subject))
}

/// A host that cannot be reached from here (it has no record, or is for another network) is a failure of its own only where
/// another one was reached.
fn one_url_answers(judgement: &Judgement) -> bool {
    judgement.subjects.iter().any(|(subject, verdict)| matches!(subject, Subject::Url(_)) && verdict.is_pass())
}

/// Whether the config names the subject: the operator insists on it.
fn by_name(view: &View<'_>, subject: &Subject) -> bool {
    let spec = view.spec;
    match subject {
        Subject::Object(object) => {
            let lists = [&spec.required_workloads, &spec.flux.required, &spec.critical_services, &spec.foundation];
            object.kind == Kind::Namespace || lists.iter().any(|list| list.contains(object))
        }
        Subject::Url(url) => crate::gate::services::checks(spec).iter().any(|check| check.subject == *url),
        Subject::Cluster | Subject::Ananke | Subject::Node(_) | Subject::Ups(_) | Subject::Peer(_) => true,
    }
}

fn workload(found: &WorkloadState) -> BaselineWorkload {
    let converged = found.ready >= found.desired && found.observed_generation >= found.generation;
    BaselineWorkload { object: found.object.clone(), desired: found.desired, healthy: converged }
}

/// Kustomizations and HelmReleases, and what Kustomizations come from beside the main source: that one has a gate of its own.
fn failing(flux: &FluxState, main: &ObjectRef) -> impl Iterator<Item = ObjectRef> {
    let fails = |state: &Reconcile| !state.suspended && state.ready != Tri::True;
    let kustomizations = flux.kustomizations.iter().map(|found| (&found.object, &found.reconcile));
    let releases = flux.helm_releases.iter().map(|found| (&found.object, &found.reconcile));
    let used = move |object: &ObjectRef| object != main && flux.kustomizations.iter().any(|found| found.source == *object);
    let sources = flux.sources.iter().filter(move |found| used(&found.object)).map(|found| (&found.object, &found.reconcile));
    kustomizations.chain(releases).chain(sources).filter(move |(_, state)| fails(state)).map(|(object, _)| object.clone())
}

/// Its gate lets it pass: it is only reconciled again.
fn passes(view: &View<'_>, object: &ObjectRef) -> bool {
    let verdict =
        view.gate(GateId::Kustomizations).and_then(|gate| gate.judgement.subjects.get(&Subject::Object(object.clone())));
    verdict.is_some_and(Verdict::is_pass)
}

/// Those that fail at their gates, and those that failed before and have not been seen to pass since: a gate that does not
/// wait for them does not list them.
fn urls_failing(view: &View<'_>) -> BTreeSet<Arc<str>> {
    let mut failing: BTreeSet<Arc<str>> = view.baseline().map(|known| known.urls_failing.clone()).unwrap_or_default();
    for gate in [GateId::Ingress, GateId::Services].iter().filter_map(|id| view.gate(*id)) {
        for (subject, verdict) in &gate.judgement.subjects {
            let Subject::Url(url) = subject else { continue };
            if verdict.is_pass() {
                failing.remove(url);
            } else {
                failing.insert(url.clone());
            }
        }
    }
    failing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::verdict::Reason;

    #[test]
    fn what_failed_at_one_look_only_is_no_known_failure() {
        let taken = |url: &str, healthy| {
            let object = ObjectRef::new(Kind::Deployment, "apps", "web");
            let workload = BaselineWorkload { object, desired: 1, healthy };
            let mut taken = Baseline::new(Moment::from_millis(0), vec![workload]);
            taken.urls_failing = ["http://always/".into(), url.into()].into();
            taken
        };
        let confirmed = taken("http://later/", false).confirmed_by(&taken("http://earlier/", true));
        assert_eq!(confirmed.urls_failing, ["http://always/".into()].into());
        assert!(confirmed.workloads[0].healthy);
        assert!(!taken("", false).confirmed_by(&taken("", false)).workloads[0].healthy);
    }

    const HELD: [GateId; 4] = [GateId::NodesReady, GateId::Workloads, GateId::Kustomizations, GateId::Ingress];

    fn hold() -> Verdict {
        Verdict::waiting(Reason::StatusRefused, "broken", "look")
    }

    fn url(text: &str) -> Subject {
        Subject::Url(text.into())
    }

    /// All is well, and the cluster has been up for two days.
    fn healthy() -> Bench {
        let mut bench = Bench::new(1);
        bench.now = bench.now.plus(Duration::from_secs(48 * 3600));
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[(1, true)]);
        bench.workload(Kind::Deployment, "off", &[]);
        for id in HELD {
            bench.stands(id, GateStatus::Passed, Judgement::default());
        }
        bench
    }

    fn lines(taken: &Baseline) -> Vec<String> {
        taken.workloads.iter().map(|it| format!("{} {} {}", it.object, it.desired, it.healthy)).collect()
    }

    #[test]
    fn a_healthy_day_is_recorded_in_the_order_of_names() {
        let taken = of(&healthy().view()).unwrap();
        assert_eq!(lines(&taken), ["Deployment apps/off 0 true", "Deployment apps/web 1 true"]);
        assert_eq!(taken.workload(&ObjectRef::new(Kind::Deployment, "apps", "web")).unwrap().desired, 1);
        assert_eq!(taken.workload(&ObjectRef::new(Kind::Deployment, "apps", "gone")), None);
        assert_eq!(taken.day(), "2026-03-16");
        assert!(taken.flux_failing.is_empty() && taken.urls_failing.is_empty());
    }

    #[test]
    fn a_day_on_which_the_cluster_itself_is_not_well_is_not_recorded() {
        let mut bench = healthy();
        bench.stands(GateId::NodesReady, GateStatus::Holding, Judgement::of(Subject::Cluster, hold()));
        assert_eq!(of(&bench.view()), None);
        bench = healthy();
        bench.stands(GateId::Ingress, GateStatus::Unknown, Judgement::default());
        assert!(of(&bench.view()).is_some(), "an unknown gate without a subject that fails");
        bench.obs.workloads = crate::fact::Fact::default();
        assert_eq!(of(&bench.view()), None, "what was not seen is not recorded");
    }

    #[test]
    fn what_fails_for_a_day_is_known_unless_the_config_requires_it_by_name() {
        let mut bench = healthy();
        bench.stands(GateId::Ingress, GateStatus::Holding, Judgement::of(url("https://old.example"), hold()));
        bench.change_kustomization("apps", |it| it.reconcile.ready = Tri::False);
        let taken = of(&bench.view()).unwrap();
        assert_eq!(taken.urls_failing, BTreeSet::from(["https://old.example".into()]));
        assert_eq!(taken.flux_failing.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Kustomization flux-system/apps"]);

        let apps = Subject::Object(ObjectRef::new(Kind::Kustomization, "flux-system", "apps"));
        bench.stands(GateId::Kustomizations, GateStatus::Passed, Judgement::of(apps, Verdict::pass("reconciled again")));
        assert!(of(&bench.view()).unwrap().flux_failing.is_empty(), "it is not ready for a moment, and no failure");

        let web = ObjectRef::new(Kind::Deployment, "apps", "web");
        bench.spec.required_workloads = vec![web.clone()];
        bench.stands(GateId::Workloads, GateStatus::Holding, Judgement::of(Subject::Object(web), hold()));
        assert_eq!(of(&bench.view()), None);

        let mut young = healthy();
        young.now = Bench::new(1).now;
        young.all_up();
        young.stands(GateId::Ingress, GateStatus::Holding, Judgement::of(url("https://old.example"), hold()));
        assert_eq!(of(&young.view()), None, "it may yet come up");
    }

    #[test]
    fn a_source_that_fails_beside_the_main_one_is_known_where_something_comes_from_it() {
        let mut bench = healthy();
        bench.change_flux(|flux| {
            for name in ["charts", "unused", "left"] {
                let mut source = flux.sources[0].clone();
                source.object = ObjectRef::new(Kind::OCIRepository, "flux-system", name);
                flux.sources.push(source);
            }
            let (charts, left) = (flux.sources[1].object.clone(), flux.sources[3].object.clone());
            flux.sources.iter_mut().for_each(|source| source.reconcile.ready = Tri::False);
            flux.sources[3].reconcile.suspended = true;
            (flux.kustomizations[0].source, flux.kustomizations[1].source) = (charts, left);
        });
        let taken = of(&bench.view()).unwrap();
        let failing: Vec<String> = taken.flux_failing.iter().map(ToString::to_string).collect();
        assert_eq!(failing, ["OCIRepository flux-system/charts"]);
    }

    #[test]
    fn a_host_that_cannot_be_reached_is_known_where_another_one_is() {
        let mut bench = healthy();
        let away = "https://vpn.example/";
        let error = crate::port::PortError::new(crate::port::ErrorKind::Transient, "GET", away, "no such host");
        let gap = crate::fact::Gap { error: Some(error), ..crate::fact::Gap::not_asked() };
        let unknown = || Verdict::unknown(gap.clone(), "look");
        let mut judgement = Judgement::of(url(away), unknown());
        bench.stands(GateId::Ingress, GateStatus::Unknown, judgement.clone());
        assert_eq!(of(&bench.view()), None, "perhaps nothing is reached from here");
        judgement.set(url("https://git.example/"), Verdict::pass("200"));
        bench.stands(GateId::Ingress, GateStatus::Unknown, judgement.clone());
        assert_eq!(of(&bench.view()).unwrap().urls_failing, BTreeSet::from([away.into()]));

        let mut early = judgement.clone();
        early.set(url(away), Verdict::unknown(crate::fact::Gap::not_asked(), "look"));
        bench.stands(GateId::Ingress, GateStatus::Unknown, early);
        assert_eq!(of(&bench.view()), None, "nobody has asked yet");

        judgement.set(Subject::Object(ObjectRef::new(Kind::Service, "apps", "web")), unknown());
        bench.stands(GateId::Ingress, GateStatus::Unknown, judgement.clone());
        assert_eq!(of(&bench.view()), None, "what was not seen is no known failure");

        judgement.subjects.retain(|subject, _| matches!(subject, Subject::Url(_)));
        bench.stands(GateId::Ingress, GateStatus::Passed, Judgement::default());
        bench.stands(GateId::Services, GateStatus::Unknown, judgement);
        assert!(of(&bench.view()).is_some());
        bench.spec.services = vec![crate::spec::ServiceCheck {
            name: "vpn".to_owned(),
            url: away.into(),
            method: crate::spec::ProbeMethod::Get,
            accepted_statuses: vec![200],
            redirect: None,
            headers: Default::default(),
            body: Vec::new(),
        }];
        assert_eq!(of(&bench.view()), None, "the checklist names it");
    }

    #[test]
    fn a_known_failure_stays_known_until_it_is_seen_to_pass() {
        let mut bench = healthy();
        let mut before = of(&bench.view()).unwrap();
        before.urls_failing.insert("https://old.example".into());
        bench.obs.baseline = crate::fact::Fact::known(Some(before), bench.now);
        assert_eq!(of(&bench.view()).unwrap().urls_failing.len(), 1);
        bench.stands(GateId::Ingress, GateStatus::Passed, Judgement::of(url("https://old.example"), Verdict::pass("200")));
        assert_eq!(of(&bench.view()).unwrap().urls_failing.len(), 0);
    }
}
