//! Makes pods anew that hold on to something from before the outage, where a trap says that this helps: each once, with its
//! grace period, under a controller, on a node that is alive. A pod that is younger than this life of the cluster had its
//! chance, so what fails again is a person's.

use std::time::Duration;

use super::{Action, Pace, Stage};
use crate::engine::view::View;
use crate::name::Subject;
use crate::order::{ClusterOrder, Order};
use crate::spec::RemedyMode;
use crate::trap::{self, evidence::Evidence};
use crate::verdict::{Blocker, BlockerKind, Trap, Verdict};

/// Kubelets and controllers try again by themselves, at most every five minutes.
const PACE: Pace = Pace { wait: Duration::from_secs(180), nudge: Duration::ZERO };

pub(super) fn plan(view: &View<'_>) -> Vec<(Trap, Action)> {
    let held = view.gates().values().flat_map(|gate| &gate.judgement.subjects);
    let named: Vec<_> = held.filter_map(|(subject, verdict)| Some((subject, named(verdict)?))).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(view);
    let mut actions = Vec::new();
    for (subject, (blocker, trap)) in named {
        if PACE.stage(view, trap, subject) != Stage::Act {
            continue;
        }
        for pod in trap::remade(view, &evidence, subject, blocker, trap) {
            let order = Order::Cluster(ClusterOrder::Delete { pod: pod.object.clone(), uid: pod.uid.clone(), grace: None });
            if view.history().allows_for(trap, &order, view.now, 1, Duration::ZERO) {
                actions.push((trap, Action { order, why: format!("{trap}: {}", blocker.text) }));
            }
        }
    }
    actions
}

/// For how long nobody knows whether it helps: from when a gate holds a subject for a trap of this remedy, until what was made
/// anew had its time.
pub(crate) fn is_to_come<'a>(view: &View<'a>) -> Option<&'a Subject> {
    let made_anew = |trap: Trap| trap::entry(trap).and_then(|it| it.diagnosis.as_ref()).is_some_and(|it| it.remake.is_some());
    let wanted =
        |trap: Trap| view.spec.remedies.get(&trap).is_none_or(|remedy| remedy.mode.unwrap_or_default() == RemedyMode::Auto);
    let ours = view.sightings().iter().filter(|(trap, _)| made_anew(**trap) && wanted(**trap));
    let within = PACE.wait.saturating_add(view.spec.soak);
    let mut young = ours.flat_map(|(_, seen)| seen).filter(|(_, sighting)| !view.has_passed(within, sighting.first));
    young.next().map(|(subject, _)| subject)
}

/// A blocker that a trap has named, of those that no other remedy is for.
fn named(verdict: &Verdict) -> Option<(&Blocker, Trap)> {
    match verdict {
        Verdict::Hold(blocker) => match blocker.kind {
            BlockerKind::Repairable(trap) => Some((blocker, trap)),
            BlockerKind::Waiting | BlockerKind::Person | BlockerKind::Follows(_) => None,
        },
        Verdict::Pass(_) | Verdict::Unknown(_) => None,
    }
}
