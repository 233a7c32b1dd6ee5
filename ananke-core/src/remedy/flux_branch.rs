//! Sets the branch that `--force-flux-branch` names. A branch that only the config expects is a person's choice.

use std::time::Duration;

use super::Action;
use crate::engine::view::View;
use crate::name::Subject;
use crate::order::{ClusterOrder, Order};

/// If something sets it back twice, that something must be found.
const BUDGET: u32 = 3;
const PAUSE: Duration = Duration::from_secs(30);

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Some(branch) = &view.spec.flux.force_branch else { return Vec::new() };
    let Ok(Some(flux)) = view.flux() else { return Vec::new() };
    let Some(source) = flux.sources.iter().find(|source| source.object == view.spec.flux.source) else { return Vec::new() };
    let url_fits = view.spec.flux.expected_url.as_ref().is_none_or(|url| *url == source.url);
    if !url_fits || source.pinned.is_some() || source.branch.as_ref() == Some(branch) {
        return Vec::new();
    }
    let order = Order::Cluster(ClusterOrder::SetBranch {
        source: source.object.clone(),
        seen: source.version.clone(),
        branch: branch.clone(),
    });
    let subject = Subject::Object(source.object.clone());
    if !view.history.allows(order.verb(), &subject, view.now, BUDGET, PAUSE) {
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
}
