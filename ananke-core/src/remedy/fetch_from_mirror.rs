//! Has Flux fetch from its mirror while its own source cannot be had (trap `flux-source-is-in-cluster-git`), and from its own
//! source again when what serves that has come up. Where it was fetched from before stands on the source meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::{Action, Budget, Pace, Stage};
use crate::engine::view::{Trust, View};
use crate::name::Subject;
use crate::observation::SourceState;
use crate::order::{ClusterOrder, Order};
use crate::port::without_password;
use crate::report::GateStatus;
use crate::verdict::{GateId, Trap};

const TRAP: Trap = Trap::FluxSourceIsInClusterGit;
/// A Git server that boots with its cluster takes minutes, and what is kept of it comes first: so many waits.
const WAITS: u32 = 3;
/// Conflicts count too.
const BUDGET: Budget = Budget { trap: TRAP, times: 4, pause: Duration::from_secs(30) };
/// What serves the source must have been up for this long before it is relied on again.
const STEADY: Duration = Duration::from_secs(60);
/// Flux fetches from the mirror and makes what serves the source: as long as that does not exist, nothing says that it is away.
const MADE_BY: Duration = Duration::from_secs(300);

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Ok(Some(flux)) = view.flux() else { return Vec::new() };
    let Some(source) = flux.sources.iter().find(|source| source.object == view.spec.flux.source) else { return Vec::new() };
    let Some((url, from, why)) = back(view, source).or_else(|| away(view, source)) else { return Vec::new() };
    let (object, seen) = (source.object.clone(), source.version.clone());
    let order = Order::Cluster(ClusterOrder::SetUrl { source: object, seen, url, from });
    if BUDGET.allows(view, &order) { vec![Action { order, why }] } else { Vec::new() }
}

type Step = (Arc<str>, Option<Arc<str>>, String);

fn away(view: &View<'_>, source: &SourceState) -> Option<Step> {
    let mirror = view.spec.bootstrap.mirror.as_ref().filter(|mirror| **mirror != source.url)?;
    let expected = view.spec.flux.expects(&source.url);
    let subject = Subject::Object(source.object.clone());
    let pace = Pace { wait: view.spec.bootstrap.wait * WAITS, nudge: Duration::ZERO };
    let resolves = view.gate(GateId::DnsCni).is_some_and(|gate| gate.status == GateStatus::Passed);
    // What sets it back after it was fetched once has what it needs.
    let fetched = view.history().tries("set-url", &subject).landed > 0;
    let unfit = source.url_from.is_some() || source.reconcile.suspended || !expected || !resolves || fetched;
    if unfit || view.first_seen(TRAP, &subject).is_none() || pace.stage(view, TRAP, &subject) != Stage::Act {
        return None;
    }
    Some((mirror.clone(), Some(source.url.clone()), format!("{} cannot be fetched", without_password(&source.url))))
}

fn back(view: &View<'_>, source: &SourceState) -> Option<Step> {
    let from = source.url_from.as_ref()?;
    if source.url == *from {
        return Some((from.clone(), None, "Flux has put the URL back itself".to_owned()));
    }
    let ours = view.spec.bootstrap.mirror.as_ref() == Some(&source.url);
    let gate = view.gate(GateId::Foundation).filter(|gate| gate.status == GateStatus::Passed)?;
    let steady = view.trust == Trust::Stated || gate.settled.is_some_and(|at| view.now.since(at) >= STEADY);
    let away_since = view.history().last_landed("set-url", |subject| *subject == Subject::Object(source.object.clone()));
    let made = away_since.is_none_or(|at| view.now.since(at) >= MADE_BY);
    (ours && steady && made).then(|| (from.clone(), None, "what serves it is up again".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::observation::Tri;

    const OWN: &str = "ssh://git@git.example/iac.git";
    const MIRROR: &str = "https://codeberg.example/titan/titan-iac.git";

    /// A source that cannot be fetched, seen for so long.
    fn bench(secs: u64) -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.spec.bootstrap.mirror = Some(MIRROR.into());
        bench.change_source(|source| source.reconcile.ready = Tri::False);
        bench.passes(GateId::DnsCni);
        let subject = Subject::Object(bench.spec.flux.source.clone());
        bench.seen_for(TRAP, &subject, Duration::from_secs(secs));
        bench
    }

    fn told(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    #[test]
    fn the_mirror_is_for_a_source_that_cannot_be_had_for_long() {
        let away = format!("have GitRepository flux-system/flux-system fetched from {MIRROR}");
        assert_eq!(told(&bench(540)), [away]);
        assert!(told(&bench(539)).is_empty());
        let mut none = bench(540);
        none.spec.bootstrap.mirror = None;
        assert!(told(&none).is_empty());
        let mut suspended = bench(540);
        suspended.change_source(|source| source.reconcile.suspended = true);
        assert!(told(&suspended).is_empty());
        let mut elsewhere = bench(540);
        elsewhere.spec.flux.expected_url = Some("ssh://another".into());
        assert!(told(&elsewhere).is_empty());
    }

    #[test]
    fn it_goes_back_when_what_serves_its_own_is_steady() {
        let mut bench = bench(540);
        bench.change_source(|source| (source.url, source.url_from) = (MIRROR.into(), Some(OWN.into())));
        assert!(told(&bench).is_empty(), "the foundation is not up");
        bench.passes(GateId::Foundation);
        assert!(told(&bench).is_empty(), "it has just come up");
        bench.now = bench.now.plus(STEADY);
        bench.fresh_lists();
        assert_eq!(told(&bench), [format!("have GitRepository flux-system/flux-system fetched from {OWN}")]);
        bench.change_source(|source| source.url = "ssh://a-persons-own".into());
        assert!(told(&bench).is_empty());
        bench.change_source(|source| source.url = OWN.into());
        bench.open(GateId::Foundation);
        assert_eq!(told(&bench).len(), 1, "only the annotation is left to take away");
    }
}
