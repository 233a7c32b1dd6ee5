//! Resumes the Kustomizations and HelmReleases that a shutdown of Ananke suspended, and only those (trap 76).

use std::time::Duration;

use super::{Action, Budget};
use crate::engine::view::View;
use crate::order::{ClusterOrder, Order};
use crate::port::clean;
use crate::verdict::Trap;

const BUDGET: Budget = Budget { trap: Trap::FluxSuspendedLooksReady, times: 5, pause: Duration::from_secs(30) };

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Ok(Some(flux)) = view.flux() else { return Vec::new() };
    let kustomizations = flux.kustomizations.iter().map(|it| (&it.object, &it.version, &it.reconcile, &it.suspend_stamp));
    let releases = flux.helm_releases.iter().map(|it| (&it.object, &it.version, &it.reconcile, &it.suspend_stamp));
    let mut actions = Vec::new();
    for (object, seen, state, stamp) in kustomizations.chain(releases) {
        let Some(stamp) = stamp.as_ref().filter(|_| state.suspended) else { continue };
        let order = Order::Cluster(ClusterOrder::Resume { object: object.clone(), seen: seen.clone() });
        if BUDGET.allows(view, &order) {
            actions.push(Action { order, why: format!("Ananke suspended it ({})", clean(stamp, 80)) });
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    #[test]
    fn only_our_own_stamp_is_lifted() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_kustomization("apps", |k| k.reconcile.suspended = true);
        assert!(plan(&bench.view()).is_empty());
        bench.change_kustomization("apps", |k| k.suspend_stamp = Some("shutdown-1 2026-03-14T01:00:00Z".into()));
        assert_eq!(plan(&bench.view())[0].order.to_string(), "resume Kustomization flux-system/apps");
    }
}
