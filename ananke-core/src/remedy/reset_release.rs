//! Lets a HelmRelease that used up its tries during the outage try again (trap `helm-retries-exhausted`): once with its failures
//! forgotten, and once by force if that did not help. Never one that uninstalls what fails, nor one that was never installed (trap
//! `helm-remediation-destructive`).

use std::time::Duration;

use super::{Action, Budget, Pace, Stage};
use crate::engine::view::View;
use crate::gate::kustomizations::helm;
use crate::name::Subject;
use crate::observation::HelmReleaseState;
use crate::order::{ClusterOrder, Order, Push};
use crate::verdict::Trap;

const TRAP: Trap = Trap::HelmRetriesExhausted;
/// Of each kind. An upgrade has Helm's own five minutes before it counts as failed.
const BUDGET: Budget = Budget { trap: TRAP, times: 1, pause: Duration::from_secs(300) };
/// Its dependencies have only just come up, when they have.
const PACE: Pace = Pace { wait: Duration::from_secs(30), nudge: Duration::ZERO };

/// The reason that helm-controller gives for tries that are used up.
const USED_UP: &str = "RetriesExceeded";
/// What it was that failed: an install that fails is uninstalled, and an uninstall is a person's.
const UPGRADES: [&str; 2] = ["UpgradeFailed", "RollbackSucceeded"];

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Ok(Some(flux)) = view.flux() else { return Vec::new() };
    let ready = flux.helm_releases.iter().filter(|found| helm::parents_ready(view, flux, found));
    ready.filter_map(|found| step(view, found)).collect()
}

fn step(view: &View<'_>, found: &HelmReleaseState) -> Option<Action> {
    let push = next(view, found)?;
    let subject = Subject::Object(found.object.clone());
    if PACE.stage(view, TRAP, &subject) != Stage::Act || !helm::may_run(view, found) {
        return None;
    }
    // The first try has its time before the second.
    let waits =
        view.history().last_landed(Push::Reset.verb(), |on| *on == subject).is_some_and(|at| view.now.since(at) < BUDGET.pause);
    let why = "what it depends on is ready, and its tries were used up during the outage".to_owned();
    (!waits && BUDGET.allows(view, &order(view, found, push))).then(|| Action { order: order(view, found, push), why })
}

fn order(view: &View<'_>, found: &HelmReleaseState, push: Push) -> Order {
    Order::Cluster(ClusterOrder::Reconcile { object: found.object.clone(), token: view.now, push })
}

/// What there is left to try with a release that gave up; none where that is a person's job.
pub(crate) fn next(view: &View<'_>, found: &HelmReleaseState) -> Option<Push> {
    if found.reconcile.suspended || trap(found) != Some(TRAP) || helm::is_cut_off(&found.reconcile) {
        return None;
    }
    let subject = Subject::Object(found.object.clone());
    [Push::Reset, Push::Force].into_iter().find(|push| view.history().tries(push.verb(), &subject).count < BUDGET.times)
}

/// What a release is whose tries are used up.
pub(crate) fn trap(found: &HelmReleaseState) -> Option<Trap> {
    let gave_up = found.stalled.as_ref().is_some_and(|why| why.starts_with(USED_UP));
    let upgrades = UPGRADES.contains(&found.reconcile.reason.as_ref());
    gave_up.then_some(if found.uninstalls || !upgrades { Trap::HelmRemediationDestructive } else { TRAP })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::kustomizations::evaluate;
    use crate::gate::testing::Bench;
    use crate::name::{Kind, ObjectRef, ResourceVersion};
    use crate::observation::Tri;
    use crate::report::GateStatus;
    use crate::verdict::{GateId, Judgement, Reason, Verdict};

    /// A release whose upgrade failed three times, and that has been looked at for a minute.
    fn bench() -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_flux(|flux| {
            let mut reconcile = flux.sources[0].reconcile.clone();
            (reconcile.ready, reconcile.reason) = (Tri::False, "UpgradeFailed".into());
            reconcile.message = "timed out".into();
            flux.kustomizations.clear();
            flux.helm_releases.push(HelmReleaseState {
                object: ObjectRef::new(Kind::HelmRelease, "apps", "db"),
                version: ResourceVersion::parse("1").unwrap(),
                depends_on: Vec::new(),
                reconcile,
                suspend_stamp: None,
                stalled: Some("RetriesExceeded: Failed to upgrade after 3 attempt(s)".into()),
                uninstalls: false,
            });
        });
        let subject = Subject::Object(ObjectRef::new(Kind::HelmRelease, "apps", "db"));
        bench.seen_for(TRAP, &subject, Duration::from_secs(60));
        bench
    }

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    #[test]
    fn its_failures_are_forgotten_once_then_it_is_forced_once_then_it_is_a_persons() {
        let mut bench = bench();
        bench.check(evaluate, "HelmRelease apps/db: hold helm-release-not-ready repairable");
        assert_eq!(texts(&bench), ["ask Flux to reconcile HelmRelease apps/db and to forget its failures"]);
        let order = plan(&bench.view()).remove(0).order;
        bench.carried_out(&order, TRAP);
        assert!(texts(&bench).is_empty(), "it has its time");
        bench.now = bench.now.plus(BUDGET.pause);
        bench.fresh_lists();
        assert_eq!(texts(&bench), ["ask Flux to reconcile HelmRelease apps/db, whether or not anything changed"]);
        let order = plan(&bench.view()).remove(0).order;
        bench.carried_out(&order, TRAP);
        bench.now = bench.now.plus(BUDGET.pause);
        bench.fresh_lists();
        assert!(texts(&bench).is_empty());
        bench.check(evaluate, "HelmRelease apps/db: hold helm-release-not-ready person");
    }

    #[test]
    fn what_could_take_data_with_it_is_a_persons() {
        let left_alone = |change: fn(&mut HelmReleaseState)| {
            let mut bench = bench();
            bench.change_flux(|flux| change(&mut flux.helm_releases[0]));
            texts(&bench).is_empty()
        };
        assert!(!left_alone(|_| ()));
        assert!(left_alone(|it| it.uninstalls = true));
        assert!(left_alone(|it| it.reconcile.reason = "InstallFailed".into()), "it would be uninstalled first");
        assert!(left_alone(|it| it.stalled = Some("InvalidChart: no such chart".into())));
        assert!(left_alone(|it| it.reconcile.suspended = true));
        assert!(left_alone(|it| it.reconcile.message = "another operation (install/upgrade/rollback) is in progress".into()));
        assert!(left_alone(|it| it.depends_on = vec![ObjectRef::new(Kind::HelmRelease, "apps", "absent")]));
    }

    #[test]
    fn what_it_installs_must_be_able_to_run() {
        let mut bench = bench();
        let web = || Subject::Object(ObjectRef::new(Kind::Deployment, "apps", "web"));
        let mut stands = |status, verdict| {
            bench.stands(GateId::Workloads, status, Judgement::of(web(), verdict));
            texts(&bench).len()
        };
        let waits = || Verdict::waiting(Reason::WorkloadNotConverged, "0 of 1 ready", "look at it");
        assert_eq!(stands(GateStatus::Holding, waits()), 0, "it is given its time");
        assert_eq!(stands(GateStatus::Manual, waits()), 1);
        assert_eq!(stands(GateStatus::Passed, Verdict::pass("1 of 1 ready")), 1);
        let node = Subject::Node(crate::gate::testing::node(1));
        assert_eq!(stands(GateStatus::Manual, Verdict::follows(Reason::WorkloadNotConverged, node, "it needs n1")), 0);
        bench.check(evaluate, "HelmRelease apps/db: hold helm-release-not-ready follows Deployment apps/web");
    }

    #[test]
    fn it_is_waited_for_first() {
        let mut bench = bench();
        let subject = Subject::Object(ObjectRef::new(Kind::HelmRelease, "apps", "db"));
        bench.seen_for(TRAP, &subject, Duration::from_secs(5));
        assert!(texts(&bench).is_empty());
    }
}
