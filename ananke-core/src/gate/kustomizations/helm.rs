//! The HelmReleases of gate `kustomizations`: ready and reconciled since the cluster came up. What Helm gave up, what hangs in
//! the middle of an action and what merely takes its time are told apart, for a person must do different things.

use super::{known_failure, left_ready, suspended};
use crate::engine::view::View;
use crate::gate::flux_source::{believable, said};
use crate::name::{ObjectRef, Subject};
use crate::observation::{FluxState, HelmReleaseState, Reconcile, Tri};
use crate::remedy::{immutable_job, reset_release};
use crate::report::GateStatus;
use crate::verdict::{Blocker, BlockerKind, GateId, Judgement, Reason, Trap, Verdict};

pub(super) fn judge_all(view: &View<'_>, flux: &FluxState, judgement: &mut Judgement) {
    for found in flux.helm_releases.iter().filter(|found| counts(view, flux, &found.object)) {
        if found.reconcile.suspended && found.suspend_stamp.is_none() {
            judgement.notes.push(format!("{} is suspended by someone else; left as it is", found.object));
        }
        match known_failure(view, &found.object, judge(view, flux, found)) {
            Ok(verdict) => judgement.set(Subject::Object(found.object.clone()), verdict),
            Err(note) => judgement.notes.push(note),
        }
    }
}

/// Where the config names what it requires, only what that applies counts.
fn counts(view: &View<'_>, flux: &FluxState, object: &ObjectRef) -> bool {
    let required = &view.spec.flux.required;
    let applied = || flux.kustomizations.iter().any(|it| required.contains(&it.object) && it.applies.contains(object));
    required.is_empty() || required.contains(object) || applied()
}

/// The verdict on one HelmRelease.
pub(crate) fn judge(view: &View<'_>, flux: &FluxState, found: &HelmReleaseState) -> Verdict {
    let object = &found.object;
    if found.reconcile.suspended {
        return suspended(view, object, found.suspend_stamp.as_deref());
    }
    if let Some(parent) = found.depends_on.iter().find(|parent| !ready(view, flux, parent)) {
        let text = format!("{object} waits for {parent}");
        return match flux.helm_releases.iter().any(|other| other.object == *parent) {
            true => Verdict::follows(Reason::DependencyNotReady, Subject::Object(parent.clone()), text),
            false => Verdict::waiting(Reason::DependencyNotReady, text, describe(object)),
        };
    }
    own(view, found)
}

fn own(view: &View<'_>, found: &HelmReleaseState) -> Verdict {
    let (object, state) = (&found.object, &found.reconcile);
    let settled = state.observed_generation == state.generation;
    if state.ready == Tri::True && settled {
        return match believable(view, state) {
            true => Verdict::pass("ready"),
            false => Verdict::repairable(
                Reason::NotProvedThisBoot,
                Trap::FluxDependencyChainSlow,
                format!("{object} says Ready, but was not reconciled since the cluster came up"),
                describe(object),
            ),
        };
    }
    let gave_up = found.stalled.as_ref().filter(|_| settled);
    if is_cut_off(state) {
        return cut_off(object, state, gave_up.is_some());
    }
    if let Some(why) = gave_up {
        let text = format!("{object} has given up ({why}); it tries no more: {}", said(state));
        let (name, namespace) = (&object.name, &object.namespace);
        let by_hand =
            format!("find out why ({}), then `flux reconcile helmrelease {name} -n {namespace} --reset`", command(object));
        return match (reset_release::next(view, found), cannot_run(view, found)) {
            (Some(_), Some(cause)) => Verdict::follows(Reason::HelmReleaseNotReady, cause, text),
            (Some(_), None) => Verdict::repairable(Reason::HelmReleaseNotReady, Trap::HelmRetriesExhausted, text, by_hand),
            (None, _) => Verdict::person(Reason::HelmReleaseNotReady, text, by_hand).known_as(reset_release::trap(found)),
        };
    }
    if let Some(verdict) = immutable_job::judge(view, object, state) {
        return verdict;
    }
    Verdict::waiting(Reason::HelmReleaseNotReady, format!("{object} is not ready: {}", said(state)), describe(object))
}

/// What a release installs is taken for the workloads of its namespace: one of them that waits for something else, such as a
/// node, makes any try fail.
fn cannot_run(view: &View<'_>, found: &HelmReleaseState) -> Option<Subject> {
    let follows = |blocker: &Blocker| matches!(blocker.kind, BlockerKind::Follows(_));
    held(view, found).find(|(_, blocker)| follows(blocker)).map(|(subject, _)| subject.clone())
}

/// Whether its workloads have come up, or were given their time to.
pub(crate) fn may_run(view: &View<'_>, found: &HelmReleaseState) -> bool {
    let waits = view.gate(GateId::Workloads).is_some_and(|gate| gate.status == GateStatus::Holding);
    cannot_run(view, found).is_none() && !(waits && held(view, found).next().is_some())
}

fn held<'a>(view: &View<'a>, found: &'a HelmReleaseState) -> impl Iterator<Item = (&'a Subject, &'a Blocker)> {
    let subjects = view.gate(GateId::Workloads).into_iter().flat_map(|gate| &gate.judgement.subjects);
    subjects.filter_map(|(subject, verdict)| {
        let (Subject::Object(object), Verdict::Hold(blocker)) = (subject, verdict) else { return None };
        (object.namespace == found.object.namespace).then_some((subject, blocker))
    })
}

/// Helm's own record says that an action is going on, which no further try ends.
pub(crate) fn is_cut_off(state: &Reconcile) -> bool {
    state.ready == Tri::False && state.message.contains("another operation")
}

/// It may be unlocked as long as it is tried; nobody tries one that gave up.
fn cut_off(object: &ObjectRef, state: &Reconcile, gave_up: bool) -> Verdict {
    let text = format!("{object} was cut off in the middle of an action: {}", said(state));
    let (name, namespace) = (&object.name, &object.namespace);
    let by_hand = format!(
        "look at `helm history {name} -n {namespace}`: for pending-upgrade or pending-rollback run `helm rollback {name} -n \
         {namespace}`; a pending-install may hold data, and is not to be uninstalled blindly"
    );
    if !gave_up {
        return Verdict::waiting(Reason::HelmReleaseNotReady, text, by_hand);
    }
    let reset = format!("{by_hand}; then `flux reconcile helmrelease {name} -n {namespace} --reset`");
    Verdict::person(Reason::HelmReleaseNotReady, text, reset).known_as(Trap::HelmOperationInProgress)
}

/// Whether all that it depends on is ready.
pub(crate) fn parents_ready(view: &View<'_>, flux: &FluxState, found: &HelmReleaseState) -> bool {
    found.depends_on.iter().all(|parent| ready(view, flux, parent))
}

fn ready(view: &View<'_>, flux: &FluxState, object: &ObjectRef) -> bool {
    flux.helm_releases.iter().find(|found| found.object == *object).is_some_and(|found| {
        left_ready(&found.reconcile, found.suspend_stamp.as_deref()).unwrap_or_else(|| own(view, found).is_pass())
    })
}

/// Whether a reconciliation may help: it is not ready or not proved, it still tries, and what it depends on is ready.
pub(crate) fn wants_request(view: &View<'_>, flux: &FluxState, found: &HelmReleaseState) -> bool {
    !found.reconcile.suspended && found.stalled.is_none() && parents_ready(view, flux, found) && !own(view, found).is_pass()
}

fn describe(object: &ObjectRef) -> String {
    format!("look at {}", command(object))
}

fn command(object: &ObjectRef) -> String {
    format!("`kubectl describe helmrelease {} -n {}`", object.name, object.namespace)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::gate::kustomizations::evaluate;
    use crate::gate::testing::Bench;
    use crate::name::{Kind, ResourceVersion};

    fn release(name: &str) -> ObjectRef {
        ObjectRef::new(Kind::HelmRelease, "home", name)
    }

    /// `home/broker` and `home/bridge`, which depends on it.
    fn bench() -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_flux(|flux| {
            let reconcile: Reconcile = flux.sources[0].reconcile.clone();
            flux.kustomizations.clear();
            flux.helm_releases = [("bridge", vec![release("broker")]), ("broker", Vec::new())]
                .map(|(name, depends_on)| HelmReleaseState {
                    object: release(name),
                    version: ResourceVersion::parse("1").unwrap(),
                    depends_on,
                    reconcile: reconcile.clone(),
                    suspend_stamp: None,
                    stalled: None,
                    uninstalls: false,
                })
                .into();
        });
        bench
    }

    fn change(bench: &mut Bench, name: &str, change: impl FnOnce(&mut HelmReleaseState)) {
        bench.change_flux(|flux| change(flux.helm_releases.iter_mut().find(|it| it.object == release(name)).unwrap()));
    }

    fn broken(bench: &mut Bench, message: &str) {
        change(bench, "bridge", |it| {
            (it.reconcile.ready, it.reconcile.reason) = (Tri::False, "UpgradeFailed".into());
            it.reconcile.message = message.into();
        });
    }

    fn check(bench: &Bench, bridge: &str) {
        bench.check(evaluate, &format!("HelmRelease home/bridge: {bridge}\nHelmRelease home/broker: pass"));
    }

    fn instruction(bench: &Bench) -> String {
        let verdict = evaluate(&bench.view()).subjects.remove(&Subject::Object(release("bridge"))).unwrap();
        let Verdict::Hold(blocker) = verdict else { panic!("{verdict:?}") };
        blocker.if_it_lasts
    }

    #[test]
    fn ready_from_before_the_outage_does_not_pass_and_children_wait_for_parents() {
        let mut bench = bench();
        check(&bench, "pass");
        change(&mut bench, "broker", |it| it.reconcile.handled_at = Some("2020-01-01T00:00:00Z".into()));
        bench.check(
            evaluate,
            "HelmRelease home/bridge: hold dependency-not-ready follows HelmRelease home/broker\n\
             HelmRelease home/broker: hold not-proved-this-boot repairable",
        );
        let view = bench.view();
        let Ok(Some(flux)) = view.flux() else { panic!() };
        let asked: Vec<bool> = flux.helm_releases.iter().map(|it| wants_request(&view, flux, it)).collect();
        assert_eq!(asked, [false, true], "parents first");
    }

    #[test]
    fn what_gave_up_what_was_cut_off_and_what_takes_its_time_are_told_apart() {
        let mut bench = bench();
        broken(&mut bench, "Helm upgrade failed: timed out waiting for the condition");
        check(&bench, "hold helm-release-not-ready waiting");
        assert_eq!(instruction(&bench), "look at `kubectl describe helmrelease bridge -n home`");
        broken(&mut bench, "Helm upgrade failed: another operation (install/upgrade/rollback) is in progress");
        check(&bench, "hold helm-release-not-ready waiting");
        assert!(instruction(&bench).contains("helm rollback bridge -n home"), "{}", instruction(&bench));
        change(&mut bench, "bridge", |it| it.stalled = Some("RetriesExceeded: Failed to upgrade after 1 attempt(s)".into()));
        check(&bench, "hold helm-release-not-ready person");
        assert!(instruction(&bench).contains("helm rollback bridge -n home"), "no try unlocks it: {}", instruction(&bench));
        broken(&mut bench, "Helm upgrade failed: no such chart");
        change(&mut bench, "bridge", |it| it.stalled = Some("InvalidChart: no such chart".into()));
        check(&bench, "hold helm-release-not-ready person");
        assert!(instruction(&bench).contains("flux reconcile helmrelease bridge -n home --reset"));
        change(&mut bench, "bridge", |it| it.reconcile.generation += 1);
        check(&bench, "hold helm-release-not-ready waiting");
    }

    #[test]
    fn only_our_own_suspension_is_ours_to_lift() {
        let mut bench = bench();
        change(&mut bench, "bridge", |it| it.reconcile.suspended = true);
        bench.check(
            evaluate,
            "HelmRelease home/bridge: pass\nHelmRelease home/broker: pass\n\
             note: HelmRelease home/bridge is suspended by someone else; left as it is",
        );
        change(&mut bench, "bridge", |it| it.suspend_stamp = Some("shutdown-1".into()));
        check(&bench, "hold suspended-by-ananke repairable");
    }

    #[test]
    fn what_depends_on_one_that_a_person_suspended_goes_by_its_last_word() {
        let mut bench = bench();
        change(&mut bench, "broker", |it| {
            it.reconcile.suspended = true;
            it.reconcile.handled_at = Some("2020-01-01T00:00:00Z".into());
        });
        let note = "note: HelmRelease home/broker is suspended by someone else; left as it is";
        bench.check(evaluate, &format!("HelmRelease home/bridge: pass\nHelmRelease home/broker: pass\n{note}"));
        let waits = "HelmRelease home/bridge: hold dependency-not-ready follows HelmRelease home/broker";
        change(&mut bench, "broker", |it| it.reconcile.ready = Tri::False);
        bench.check(evaluate, &format!("{waits}\nHelmRelease home/broker: pass\n{note}"));
        change(&mut bench, "broker", |it| (it.reconcile.ready, it.suspend_stamp) = (Tri::True, Some("shutdown-1".into())));
        bench.check(evaluate, &format!("{waits}\nHelmRelease home/broker: hold suspended-by-ananke repairable"));
    }

    #[test]
    fn where_the_config_names_what_it_requires_only_what_that_applies_counts() {
        let mut bench = bench();
        broken(&mut bench, "timed out");
        let core = ObjectRef::new(Kind::Kustomization, "flux-system", "core");
        bench.spec.flux.required = vec![core.clone()];
        bench.check(evaluate, "Kustomization flux-system/core: hold kustomization-absent waiting");
        let mut whole = Bench::new(1);
        whole.all_up();
        whole.spec.flux.required = vec![core];
        let releases = bench.obs.flux.last().cloned().and_then(Arc::unwrap_or_clone).unwrap().helm_releases;
        whole.change_flux(|flux| flux.helm_releases = releases);
        whole.check(evaluate, "Kustomization flux-system/core: pass");
        whole.change_kustomization("core", |it| it.applies = vec![release("bridge")]);
        whole.check(
            evaluate,
            "Kustomization flux-system/core: pass\nHelmRelease home/bridge: hold helm-release-not-ready waiting",
        );
        whole.change_kustomization("core", |it| it.reconcile.ready = Tri::Unknown);
        whole.check(
            evaluate,
            "Kustomization flux-system/core: hold kustomization-not-ready follows HelmRelease home/bridge\n\
             HelmRelease home/bridge: hold helm-release-not-ready waiting",
        );
    }

    #[test]
    fn a_release_that_failed_before_the_outage_is_a_note() {
        let mut bench = bench();
        broken(&mut bench, "timed out");
        let mut known = crate::baseline::Baseline::new(crate::name::Moment::from_millis(0), Vec::new());
        known.flux_failing.insert(release("bridge"));
        bench.obs.baseline = crate::fact::Fact::known(Some(known), bench.now);
        bench.check(
            evaluate,
            "HelmRelease home/broker: pass\nnote: HelmRelease home/bridge is not ready: UpgradeFailed: timed out; \
             it was not ready on 1970-01-01, before the outage: not waited for",
        );
        bench.spec.flux.required = vec![release("bridge")];
        bench.check(evaluate, "HelmRelease home/bridge: hold helm-release-not-ready waiting");
    }

    #[test]
    fn one_that_waits_for_a_parent_that_does_not_exist_has_nothing_to_follow() {
        let mut bench = bench();
        change(&mut bench, "bridge", |it| it.depends_on = vec![release("gone")]);
        check(&bench, "hold dependency-not-ready waiting");
    }

    #[test]
    fn a_request_is_wanted_only_where_it_may_help() {
        let wanted = |spoil: fn(&mut HelmReleaseState)| {
            let mut bench = bench();
            broken(&mut bench, "timed out");
            change(&mut bench, "bridge", spoil);
            let view = bench.view();
            let Ok(Some(flux)) = view.flux() else { panic!() };
            wants_request(&view, flux, &flux.helm_releases[0])
        };
        assert!(wanted(|_| {}));
        assert!(!wanted(|it| it.reconcile.suspended = true));
        assert!(!wanted(|it| it.stalled = Some("RetriesExceeded".into())));
        assert!(!wanted(|it| it.depends_on = vec![release("gone")]));
        assert!(!wanted(|it| it.reconcile.ready = Tri::True));
    }
}
