//! Scales a workload back that was scaled to zero for the outage and forgotten (trap `scaled-to-zero-not-restored`): once, to the
//! number that its stamp or the last good baseline tells. A zero that nobody vouches for is somebody's wish.

use std::time::Duration;

use super::{Action, Budget, Pace, Stage};
use crate::engine::view::View;
use crate::name::{Kind, Subject};
use crate::observation::{FluxState, WorkloadState};
use crate::order::{ClusterOrder, Order};
use crate::verdict::{Reason, Trap, Verdict};

const TRAP: Trap = Trap::ScaledToZeroNotRestored;
/// Exactly once; the others are for conflicts.
const BUDGET: Budget = Budget { trap: TRAP, times: 4, pause: Duration::from_secs(30) };
/// Operators and autoscalers that own the number set it by themselves once they run.
const PACE: Pace = Pace { wait: Duration::from_secs(60), nudge: Duration::ZERO };

/// What is known of a workload at zero.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Before {
    /// It had so many, and what vouches for that.
    Had(u32, String),
    /// Stamp and baseline tell different numbers.
    Disagree(u32, u32),
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Ok(workloads) = view.workloads() else { return Vec::new() };
    workloads.iter().filter_map(|found| step(view, found)).collect()
}

fn step(view: &View<'_>, found: &WorkloadState) -> Option<Action> {
    let Some(Before::Had(replicas, vouched)) = before(view, found) else { return None };
    let subject = Subject::Object(found.object.clone());
    let meant = holder(view, found).is_some() || view.was_lowered(&found.object);
    if meant || restored(view, &subject) || PACE.stage(view, TRAP, &subject) != Stage::Act {
        return None;
    }
    let order = Order::Cluster(ClusterOrder::Scale { workload: found.object.clone(), seen: found.version.clone(), replicas });
    BUDGET.allows(view, &order).then(|| Action { order, why: format!("it is at zero, and {vouched}") })
}

/// The verdict on a workload at zero; none where nothing says that it ever was at more. `Err` is a note: the config does not
/// require it by name, and the zero may be meant.
pub(crate) fn judge(view: &View<'_>, found: &WorkloadState, by_name: bool) -> Option<Result<Verdict, String>> {
    let object = &found.object;
    let hold = |text: String, instruction: String| {
        if by_name { Ok(Verdict::person(Reason::ScaledToZero, text, instruction)) } else { Err(format!("{text}; left as it is")) }
    };
    let scale =
        |to: u32| format!("run `kubectl scale {} {} -n {} --replicas={to}`", lower(object.kind), object.name, object.namespace);
    let (replicas, vouched) = match before(view, found)? {
        Before::Had(replicas, vouched) => (replicas, vouched),
        Before::Disagree(stamp, known) => {
            let text = format!("{object} is at zero; its stamp says that it had {stamp}, the last good baseline says {known}");
            return Some(Ok(Verdict::person(Reason::ScaledToZero, text, scale(known))));
        }
    };
    if let Some(holder) = holder(view, found) {
        let text = format!("{object} is at zero, and {holder}, which applies it, is suspended by someone else");
        return Some(hold(text, format!("find out who suspended {holder}; then {}", scale(replicas))));
    }
    if view.was_lowered(object) {
        let text = format!("{object} was scaled to zero by someone during this run");
        return Some(hold(text, format!("find out who scaled {object} to zero; then {}", scale(replicas))));
    }
    if restored(view, &Subject::Object(object.clone())) {
        let text = format!("{object} is at zero again after it was scaled back to {replicas}");
        return Some(hold(text, format!("find what scales {object} to zero, or stop requiring it")));
    }
    let text = format!("{object} is at zero, and {vouched}");
    Some(Ok(Verdict::repairable(Reason::ScaledToZero, TRAP, text, scale(replicas))))
}

fn before(view: &View<'_>, found: &WorkloadState) -> Option<Before> {
    if found.desired > 0 || !matches!(found.object.kind, Kind::Deployment | Kind::StatefulSet) {
        return None;
    }
    let baseline = view.baseline();
    let known = baseline.and_then(|baseline| baseline.workload(&found.object)).filter(|known| known.healthy && known.desired > 0);
    let stamp = found.scaled_from.filter(|replicas| *replicas > 0);
    match (stamp, known.map(|known| known.desired)) {
        (None, None) => None,
        (Some(stamp), Some(known)) if stamp != known => Some(Before::Disagree(stamp, known)),
        (Some(stamp), _) => Some(Before::Had(stamp, format!("its stamp says that it had {stamp}"))),
        (None, Some(known)) => {
            let day = baseline.map(crate::baseline::Baseline::day).unwrap_or_default();
            Some(Before::Had(known, format!("it had {known} on {day}")))
        }
    }
}

/// The Kustomization or HelmRelease that applies it and that somebody suspended: then somebody works on it by hand.
fn holder(view: &View<'_>, found: &WorkloadState) -> Option<String> {
    let Ok(Some(FluxState { kustomizations, helm_releases, .. })) = view.flux() else { return None };
    let applied = kustomizations.iter().filter(|it| it.workloads.contains(&found.object));
    let applied = applied.map(|it| (&it.object, it.reconcile.suspended && it.suspend_stamp.is_none()));
    let installed = helm_releases.iter().filter(|it| found.release.as_ref() == Some(&it.object));
    let installed = installed.map(|it| (&it.object, it.reconcile.suspended && it.suspend_stamp.is_none()));
    applied.chain(installed).find(|(_, held)| *held).map(|(object, _)| object.to_string())
}

fn restored(view: &View<'_>, subject: &Subject) -> bool {
    view.history().tries("scale", subject).landed > 0
}

fn lower(kind: Kind) -> String {
    kind.to_string().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{Baseline, BaselineWorkload};
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::name::ObjectRef;

    fn web() -> ObjectRef {
        ObjectRef::new(Kind::Deployment, "apps", "web")
    }

    /// `apps/web` is at zero; the baseline says that it had `desired`.
    fn at_zero(desired: Option<u32>) -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[]);
        let workloads = desired.map(|desired| BaselineWorkload { object: web(), desired, healthy: true });
        let baseline = Baseline::new(bench.now.minus(Duration::from_secs(86_400)), workloads.into_iter().collect());
        bench.obs.baseline = Fact::known(Some(baseline), bench.now);
        bench.seen_for(TRAP, &Subject::Object(web()), Duration::from_secs(120));
        bench
    }

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| format!("{}: {}", action.order, action.why)).collect()
    }

    fn check(bench: &Bench, expected: &str) {
        let gate = crate::gate::STARTUP.iter().find(|row| row.id == crate::verdict::GateId::Workloads).unwrap();
        bench.check(gate.evaluate, expected);
    }

    #[test]
    fn what_the_baseline_vouches_for_is_scaled_back_once() {
        let mut bench = at_zero(Some(3));
        check(&bench, "Deployment apps/web: hold scaled-to-zero repairable");
        assert_eq!(texts(&bench), ["scale Deployment apps/web to 3: it is at zero, and it had 3 on 2026-03-13"]);
        let order = plan(&bench.view()).remove(0).order;
        bench.carried_out(&order, TRAP);
        bench.now = bench.now.plus(Duration::from_secs(600));
        bench.fresh_lists();
        assert!(texts(&bench).is_empty(), "whoever scales it to zero again means it");
        check(&bench, "note: Deployment apps/web is at zero again after it was scaled back to 3; left as it is");
        bench.spec.required_workloads = vec![web()];
        check(&bench, "Deployment apps/web: hold scaled-to-zero person");
    }

    #[test]
    fn a_zero_that_nobody_vouches_for_is_left_alone() {
        let mut bench = at_zero(None);
        check(&bench, "");
        assert!(texts(&bench).is_empty());
        bench.spec.required_workloads = vec![web()];
        check(&bench, "Deployment apps/web: hold scaled-to-zero waiting");
        assert!(texts(&bench).is_empty());
    }

    #[test]
    fn who_scales_to_zero_during_the_run_means_it() {
        let mut bench = at_zero(Some(3));
        let at = |bench: &mut Bench, desired: u32| {
            let mut list = bench.obs.workloads.last().unwrap().as_ref().clone();
            list.iter_mut().for_each(|it| it.desired = desired);
            bench.obs.note_lowered(&list);
            bench.change_workload("web", |it| it.desired = desired);
        };
        at(&mut bench, 3);
        at(&mut bench, 0);
        assert!(texts(&bench).is_empty());
        check(&bench, "note: Deployment apps/web was scaled to zero by someone during this run; left as it is");
        at(&mut bench, 3);
        bench.obs.workloads = Fact::default();
        bench.workload(Kind::Deployment, "web", &[]);
        at(&mut bench, 0);
        assert_eq!(texts(&bench).len(), 1, "it was at zero when it was first seen");
    }

    #[test]
    fn a_stamp_is_as_good_and_one_that_disagrees_is_a_persons_job() {
        let mut bench = at_zero(None);
        bench.change_workload("web", |it| it.scaled_from = Some(2));
        assert_eq!(texts(&bench), ["scale Deployment apps/web to 2: it is at zero, and its stamp says that it had 2"]);
        let mut torn = at_zero(Some(3));
        torn.change_workload("web", |it| it.scaled_from = Some(2));
        check(&torn, "Deployment apps/web: hold scaled-to-zero person");
        assert!(texts(&torn).is_empty());
    }

    #[test]
    fn what_somebody_works_on_by_hand_is_left_alone() {
        let mut bench = at_zero(Some(3));
        bench.change_kustomization("apps", |it| {
            it.workloads = vec![web()];
            it.reconcile.suspended = true;
        });
        assert!(texts(&bench).is_empty());
        bench.change_kustomization("apps", |it| it.suspend_stamp = Some("shutdown-1".into()));
        assert_eq!(texts(&bench).len(), 1, "our own suspension is lifted anyway");
    }

    #[test]
    fn the_owner_of_the_number_has_a_minute_and_a_conflict_is_tried_again() {
        let mut bench = at_zero(Some(3));
        bench.seen_for(TRAP, &Subject::Object(web()), Duration::from_secs(10));
        assert!(texts(&bench).is_empty());
        bench.seen_for(TRAP, &Subject::Object(web()), Duration::from_secs(60));
        let order = plan(&bench.view()).remove(0).order;
        bench.refuse(&order, crate::port::ErrorKind::Conflict);
        assert_eq!(texts(&bench).len(), 1);
    }

    #[test]
    fn only_a_zero_that_was_more_and_well_is_undone() {
        let mut scaled = at_zero(Some(3));
        scaled.change_workload("web", |it| it.desired = 1);
        assert!(texts(&scaled).is_empty(), "it is at one");
        for (desired, healthy) in [(3, false), (0, true)] {
            let mut bench = at_zero(None);
            let known = Baseline::new(bench.now, vec![BaselineWorkload { object: web(), desired, healthy }]);
            bench.obs.baseline = Fact::known(Some(known), bench.now);
            bench.change_workload("web", |it| it.scaled_from = Some(0));
            assert!(texts(&bench).is_empty(), "{desired} {healthy}");
        }
        let mut agreed = at_zero(Some(3));
        agreed.change_workload("web", |it| it.scaled_from = Some(3));
        assert_eq!(texts(&agreed), ["scale Deployment apps/web to 3: it is at zero, and its stamp says that it had 3"]);
        let judgement = crate::gate::STARTUP.iter().find(|row| row.id == crate::verdict::GateId::Workloads).unwrap().evaluate;
        let Some(Verdict::Hold(blocker)) = judgement(&agreed.view()).subjects.remove(&Subject::Object(web())) else { panic!() };
        assert_eq!(blocker.if_it_lasts, "run `kubectl scale deployment web -n apps --replicas=3`");
    }
}
