//! Sets the branch that `--force-flux-branch` names. A branch that only the config expects is a person's choice.

use std::time::Duration;

use super::{Action, Budget};
use crate::engine::view::View;
use crate::gate::flux_source::BRANCH_TRIES;
use crate::name::Subject;
use crate::order::{ClusterOrder, Order};
use crate::verdict::Trap;

/// Conflicts count too; of tries that land, [`BRANCH_TRIES`] are made.
const BUDGET: Budget = Budget { trap: Trap::FluxWrongBranch, times: 6, pause: Duration::from_secs(30) };

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Some(branch) = &view.spec.flux.force_branch else { return Vec::new() };
    let Ok(Some(flux)) = view.flux() else { return Vec::new() };
    let Some(source) = flux.sources.iter().find(|source| source.object == view.spec.flux.source) else { return Vec::new() };
    if !view.spec.flux.expects(&source.url) || source.pinned.is_some() || source.branch.as_ref() == Some(branch) {
        return Vec::new();
    }
    let order = Order::Cluster(ClusterOrder::SetBranch {
        source: source.object.clone(),
        seen: source.version.clone(),
        branch: branch.clone(),
    });
    let subject = Subject::Object(source.object.clone());
    // Who sets it back again must be found: the gate names it.
    if view.history().tries(order.verb(), &subject).landed >= BRANCH_TRIES || !BUDGET.allows(view, &order) {
        return Vec::new();
    }
    let was = source.branch.as_deref().unwrap_or("none");
    vec![Action { order, why: format!("--force-flux-branch {branch}; it was {was}") }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    #[test]
    fn only_a_forced_branch_is_set_and_never_over_a_pin() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_source(|source| source.branch = Some("incident".into()));
        assert!(plan(&bench.view()).is_empty());
        bench.spec.flux.force_branch = Some("main".into());
        let actions = plan(&bench.view());
        assert_eq!(actions[0].order.to_string(), "set branch main on GitRepository flux-system/flux-system");
        assert_eq!(actions[0].why, "--force-flux-branch main; it was incident");
        bench.change_source(|source| source.pinned = Some("commit=abc".into()));
        assert!(plan(&bench.view()).is_empty());
    }
    #[test]
    fn what_is_set_back_again_is_left_for_the_gate_to_tell() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.spec.flux.force_branch = Some("main".into());
        bench.change_source(|source| source.branch = Some("incident".into()));
        let conflicting = plan(&bench.view()).remove(0).order;
        bench.refuse(&conflicting, crate::port::ErrorKind::Conflict);
        for _ in 0..BRANCH_TRIES {
            let order = plan(&bench.view()).remove(0).order;
            bench.carried_out(&order, Trap::FluxWrongBranch);
            assert!(plan(&bench.view()).is_empty());
            bench.now = bench.now.plus(BUDGET.pause);
            bench.fresh_lists();
        }
        assert!(plan(&bench.view()).is_empty());
    }
}
