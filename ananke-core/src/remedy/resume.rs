//! Resumes the Kustomizations and HelmReleases that a shutdown of Ananke suspended, and only those, each once what it comes from is
//! fresh: Flux would apply what Git was before the outage (trap `flux-suspended-looks-ready`). A stamp that outlived a resume by
//! hand goes too: whoever suspends that object the next time means it.

use std::time::Duration;

use super::{Action, Budget};
use crate::engine::view::View;
use crate::gate::flux_source;
use crate::name::ObjectRef;
use crate::order::{ClusterOrder, Order};
use crate::port::clean;
use crate::verdict::Trap;

const BUDGET: Budget = Budget { trap: Trap::FluxSuspendedLooksReady, times: 5, pause: Duration::from_secs(30) };

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Ok(Some(flux)) = view.flux() else { return Vec::new() };
    let fresh = |source: &ObjectRef| {
        let mut found = flux.sources.iter().filter(|it| it.object == *source);
        found.all(|source| flux_source::is_fresh(view, source))
    };
    let kustomizations = flux.kustomizations.iter();
    let kustomizations = kustomizations.map(|it| (&it.object, &it.version, &it.reconcile, &it.suspend_stamp, &it.source));
    let releases = flux.helm_releases.iter();
    let releases = releases.map(|it| (&it.object, &it.version, &it.reconcile, &it.suspend_stamp, &view.spec.flux.source));
    let mut actions = Vec::new();
    for (object, seen, state, stamp, source) in kustomizations.chain(releases) {
        let Some(stamp) = stamp.as_ref().filter(|_| !state.suspended || fresh(source)) else { continue };
        let order = Order::Cluster(ClusterOrder::Resume { object: object.clone(), seen: seen.clone() });
        if BUDGET.allows(view, &order) {
            let since = if state.suspended { "" } else { ", and somebody has resumed it since" };
            actions.push(Action { order, why: format!("Ananke suspended it ({}){since}", clean(stamp, 80)) });
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::name::Moment;

    #[test]
    fn only_our_own_stamp_is_lifted() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_kustomization("apps", |k| k.reconcile.suspended = true);
        assert!(plan(&bench.view()).is_empty());
        bench.change_kustomization("apps", |k| k.suspend_stamp = Some("shutdown-1 2026-03-14T01:00:00Z".into()));
        assert_eq!(plan(&bench.view())[0].order.to_string(), "resume Kustomization flux-system/apps");
        bench.change_kustomization("apps", |k| k.reconcile.suspended = false);
        assert!(plan(&bench.view())[0].why.ends_with("somebody has resumed it since"), "its stamp would outlive it");
    }

    #[test]
    fn nothing_is_resumed_before_its_source_is_fresh() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_kustomization("apps", |k| {
            (k.reconcile.suspended, k.suspend_stamp) = (true, Some("shutdown-1 2026-03-14T01:00:00Z".into()));
        });
        let resumed = |bench: &Bench| !plan(&bench.view()).is_empty();
        assert!(resumed(&bench));
        let url = bench.view().flux().unwrap().as_ref().unwrap().sources[0].url.clone();
        bench.change_source(|source| source.url = "ssh://elsewhere".into());
        assert!(!resumed(&bench), "a person chooses where it comes from");
        bench.change_source(|source| {
            source.url = url.clone();
            source.reconcile.handled_at = Some(Moment::from_millis(0).to_string().into());
            source.artifact_updated = None;
        });
        assert!(!resumed(&bench), "it was not fetched since the outage");
        bench.change_source(|source| {
            (source.url_from, source.url) = (Some(url.clone()), "https://mirror.example/iac".into());
        });
        bench.spec.bootstrap.mirror = Some("https://mirror.example/iac".into());
        assert!(!resumed(&bench), "the mirror was not fetched either");
        let now = bench.now;
        bench.change_source(|source| source.reconcile.handled_at = Some(now.to_string().into()));
        assert!(resumed(&bench), "a mirror serves");
    }
}
