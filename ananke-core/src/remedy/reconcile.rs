//! Asks Flux to prove itself: the source first, then each Kustomization as soon as its parents are ready, never all in a
//! loop (traps `flux-artifact-ready-lie`, `flux-dependency-chain-slow`).

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Action, Budget};
use crate::engine::view::View;
use crate::gate::flux_source;
use crate::gate::kustomizations::{self, helm};
use crate::name::{ObjectRef, Subject};
use crate::observation::{FluxState, KustomizationState, Reconcile};
use crate::order::{ClusterOrder, Order, Push};
use crate::report::GateStatus;
use crate::verdict::{GateId, Reason, Trap, Verdict};

/// A request is kept by the object and handled when its controller gets to it; more than a few say nothing new.
const BUDGET: Budget = Budget { trap: Trap::FluxArtifactReadyLie, times: 6, pause: Duration::from_secs(60) };

/// What a source is fetched from may come long after the cluster. While it cannot be reached, asking is how one learns that it
/// can: Flux's own pauses grow to a quarter of an hour.
const LATE: Budget = Budget { times: 60, ..BUDGET };

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Ok(Some(flux)) = view.flux() else { return Vec::new() };
    let mut actions = Vec::new();
    let used: BTreeSet<&ObjectRef> = flux.kustomizations.iter().map(|found| &found.source).collect();
    for source in &flux.sources {
        let main = source.object == view.spec.flux.source;
        let wanted = (main || used.contains(&source.object)) && !source.reconcile.suspended;
        if wanted && wants_proof(&flux_source::judge(view, source), main && foundation_is_away(view)) {
            let budget = if is_late(view, &source.object) { LATE } else { BUDGET };
            let why = "its artifact is not proved since the cluster came up";
            actions.extend(request(view, budget, (&source.object, &source.reconcile), why));
        }
    }
    for found in &flux.kustomizations {
        if eligible(view, flux, found) {
            let why = "its parents are ready and it is not proved itself";
            actions.extend(request(view, BUDGET, (&found.object, &found.reconcile), why));
        }
    }
    for found in flux.helm_releases.iter().filter(|found| helm::wants_request(view, flux, found)) {
        let why = "what it depends on is ready and it is not proved itself";
        actions.extend(request(view, BUDGET, (&found.object, &found.reconcile), why));
    }
    actions
}

/// Its gate has recognised that the host of the source is not resolved or not reached.
fn is_late(view: &View<'_>, source: &ObjectRef) -> bool {
    let gate = view.gate(GateId::FluxSource);
    let verdict = gate.and_then(|gate| gate.judgement.subjects.get(&Subject::Object(source.clone())));
    matches!(verdict, Some(Verdict::Hold(blocker)) if blocker.trap == Some(Trap::FluxSourceCannotResolve))
}

/// A source that could not be fetched is not asked before what serves it is up.
fn wants_proof(verdict: &Verdict, away: bool) -> bool {
    match verdict {
        Verdict::Hold(blocker) => {
            blocker.reason == Reason::NotProvedThisBoot || blocker.reason == Reason::SourceNotReady && !away
        }
        Verdict::Pass(_) | Verdict::Unknown(_) => false,
    }
}

fn foundation_is_away(view: &View<'_>) -> bool {
    let foundation = view.gate(GateId::Foundation).map(|gate| gate.status);
    matches!(foundation, Some(GateStatus::Holding | GateStatus::Unknown))
}

fn eligible(view: &View<'_>, flux: &FluxState, found: &KustomizationState) -> bool {
    if found.reconcile.suspended || judged_well(view, &found.object) {
        return false;
    }
    let source_proved = flux
        .sources
        .iter()
        .find(|source| source.object == found.source)
        .is_some_and(|source| flux_source::why_held(view, source).is_none());
    let parents_ready = || found.depends_on.iter().all(|parent| kustomizations::ready(view, flux, parent));
    source_proved && parents_ready() && !kustomizations::judge(view, flux, found).is_pass()
}

/// Its gate has just said so: actions are planned on what was judged.
fn judged_well(view: &View<'_>, object: &ObjectRef) -> bool {
    let gate = view.gate(GateId::Kustomizations);
    let verdict = gate.and_then(|gate| gate.judgement.subjects.get(&Subject::Object(object.clone())));
    verdict.is_some_and(Verdict::is_pass)
}

fn request(view: &View<'_>, budget: Budget, (object, state): (&ObjectRef, &Reconcile), why: &str) -> Option<Action> {
    // A controller that works on the newest request is not asked again before it has had time for it.
    let pending = state.requested_at.is_some() && state.requested_at != state.handled_at;
    let pause = if pending { budget.pause * 2 } else { budget.pause };
    let order = Order::Cluster(ClusterOrder::Reconcile { object: object.clone(), token: view.now, push: Push::None });
    (Budget { pause, ..budget }).allows(view, &order).then(|| Action { order, why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::gate::testing::Bench;
    use crate::name::{Kind, Moment};

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    #[test]
    fn the_source_is_asked_first_then_parents_then_children() {
        let mut bench = Bench::new(1);
        bench.all_up();
        assert!(texts(&bench).is_empty());
        let long_ago = Some(Moment::from_millis(0).to_string().into());
        bench.change_kustomization("core", |k| k.reconcile.handled_at = long_ago.clone());
        bench.change_kustomization("apps", |k| k.reconcile.handled_at = long_ago.clone());
        assert_eq!(texts(&bench), ["ask Flux to reconcile Kustomization flux-system/core"]);
        bench.change_source(|source| {
            source.reconcile.handled_at = long_ago.clone();
            source.artifact_updated = None;
        });
        assert_eq!(texts(&bench), ["ask Flux to reconcile GitRepository flux-system/flux-system"]);
    }

    /// How often a source that is not ready is asked in two hours, by what it was recognised as.
    fn asked(trap: Option<Trap>) -> usize {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_source(|source| source.reconcile.ready = crate::observation::Tri::False);
        let source = bench.spec.flux.source.clone();
        let mut verdict = Verdict::waiting(Reason::SourceNotReady, "it is not ready", "look at it");
        if let Verdict::Hold(blocker) = &mut verdict {
            blocker.trap = trap;
        }
        let judgement = crate::verdict::Judgement::of(Subject::Object(source), verdict);
        bench.stands(GateId::FluxSource, crate::report::GateStatus::Holding, judgement);
        let mut asked = 0;
        for _ in 0..120 {
            for action in plan(&bench.view()) {
                bench.carried_out(&action.order, Trap::FluxArtifactReadyLie);
                asked += 1;
            }
            bench.now = bench.now.plus(BUDGET.pause);
            bench.fresh_lists();
        }
        asked
    }

    #[test]
    fn a_source_that_cannot_be_reached_is_asked_for_longer_than_one_that_says_no() {
        assert_eq!(asked(Some(Trap::FluxSourceCannotResolve)), 60);
        assert_eq!([asked(Some(Trap::FluxSourceDenied)), asked(None)], [6, 6]);
    }

    #[test]
    fn a_source_that_failed_is_asked_again_when_what_serves_it_is_up() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_source(|source| source.reconcile.ready = crate::observation::Tri::False);
        let asked = ["ask Flux to reconcile GitRepository flux-system/flux-system"];
        assert_eq!(texts(&bench), asked);
        bench.stands(GateId::Foundation, GateStatus::Holding, crate::verdict::Judgement::default());
        assert!(texts(&bench).is_empty());
        bench.passes(GateId::Foundation);
        assert_eq!(texts(&bench), asked);
    }

    #[test]
    fn other_sources_are_asked_only_where_something_comes_from_them() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_source(|source| {
            source.reconcile.handled_at = None;
            source.artifact_updated = None;
        });
        bench.change_flux(|flux| {
            for name in ["charts", "unused"] {
                let mut source = flux.sources[0].clone();
                source.object = ObjectRef::new(Kind::OCIRepository, "flux-system", name);
                flux.sources.push(source);
            }
            for found in &mut flux.kustomizations {
                found.source = flux.sources[1].object.clone();
            }
        });
        assert_eq!(
            texts(&bench),
            [
                "ask Flux to reconcile GitRepository flux-system/flux-system",
                "ask Flux to reconcile OCIRepository flux-system/charts"
            ]
        );
    }

    #[test]
    fn a_controller_that_works_on_a_request_has_twice_the_time() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let long_ago: Option<Arc<str>> = Some(Moment::from_millis(0).to_string().into());
        bench.change_kustomization("core", |it| it.reconcile.handled_at = long_ago.clone());
        let order = plan(&bench.view()).remove(0).order;
        bench.carried_out(&order, Trap::FluxArtifactReadyLie);
        let mut asked = |secs, requested: Option<&str>| {
            bench.now = Moment::parse("2026-03-14T02:06:00Z").unwrap().plus(Duration::from_secs(secs));
            bench.change_kustomization("core", |it| it.reconcile.requested_at = requested.map(Into::into));
            texts(&bench).len()
        };
        assert_eq!([asked(59, None), asked(60, None), asked(60, long_ago.as_deref())], [0, 1, 1]);
        assert_eq!([asked(119, Some("token")), asked(120, Some("token"))], [0, 1]);
    }
}
