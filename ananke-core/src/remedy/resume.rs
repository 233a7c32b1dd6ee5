//! Resumes the Kustomizations that a shutdown of Ananke suspended, and only those (trap 76).

use std::time::Duration;

use super::Action;
use crate::engine::view::View;
use crate::name::Subject;
use crate::order::{ClusterOrder, Order};

const BUDGET: u32 = 5;
const PAUSE: Duration = Duration::from_secs(30);

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Ok(Some(flux)) = view.flux() else { return Vec::new() };
    let mut actions = Vec::new();
    for found in &flux.kustomizations {
        let Some(stamp) = found.suspend_stamp.as_ref().filter(|_| found.reconcile.suspended) else { continue };
        let order = Order::Cluster(ClusterOrder::Resume { object: found.object.clone(), seen: found.version.clone() });
        if view.history.allows(order.verb(), &Subject::Object(found.object.clone()), view.now, BUDGET, PAUSE) {
            actions.push(Action { order, why: format!("Ananke suspended it ({stamp})") });
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
