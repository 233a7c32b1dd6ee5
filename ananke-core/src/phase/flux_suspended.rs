//! Phase `flux-suspended`: no Kustomization puts back what is being taken down. Ours carry a stamp, so that start-up
//! resumes only them; what a person suspended stays as it is.
//!
//! Sources are left alone: a fetch changes nothing in the cluster, and start-up wants the artifact. HelmReleases too: the
//! drain changes no object that Helm keeps, and their specs come from the Kustomizations that are suspended. One that is
//! in the middle of an action is told, for it may come back as pending (trap `helm-operation-in-progress`).

use std::time::Duration;

use super::{STOPPED, api_is_stopped, at_work};
use crate::engine::view::View;
use crate::name::Subject;
use crate::observation::HelmReleaseState;
use crate::order::{ClusterOrder, Order};
use crate::remedy::Action;
use crate::verdict::{GateId, Judgement, Reason, Verdict};

const BUDGET: u32 = 5;
const PAUSE: Duration = Duration::from_secs(5);

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    if api_is_stopped(view) {
        return Judgement::not_applicable(STOPPED);
    }
    match view.flux() {
        Err(gap) => {
            Judgement::of(Subject::Cluster, Verdict::unknown(gap, "suspend the Kustomizations by hand before the next start"))
        }
        Ok(None) => Judgement::not_applicable("the cluster serves no Flux API"),
        Ok(Some(flux)) => {
            let mut judgement = Judgement::default();
            for found in &flux.kustomizations {
                let object = &found.object;
                let verdict = if found.reconcile.suspended {
                    Verdict::pass(if found.suspend_stamp.is_some() { "suspended" } else { "suspended by someone else" })
                } else {
                    let command = format!("flux suspend kustomization {} -n {}", object.name, object.namespace);
                    Verdict::waiting(Reason::NotSuspended, format!("{object} is not suspended"), format!("run `{command}`"))
                };
                judgement.set(Subject::Object(object.clone()), verdict);
            }
            judgement.notes.extend(flux.helm_releases.iter().filter_map(under_way));
            judgement
        }
    }
}

/// helm-controller says `Progressing` while Helm installs or upgrades.
fn under_way(release: &HelmReleaseState) -> Option<String> {
    let (object, reason) = (&release.object, release.reconcile.reason.as_ref());
    (!release.reconcile.suspended && reason == "Progressing").then(|| {
        format!(
            "{object} is in the middle of a Helm action; if it is cut off, it comes back as pending: look at it after the start"
        )
    })
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    if !at_work(view, GateId::FluxSuspended) {
        return Vec::new();
    }
    let Ok(Some(flux)) = view.flux() else { return Vec::new() };
    let running = flux.kustomizations.iter().filter(|found| !found.reconcile.suspended);
    running
        .filter_map(|found| {
            let (object, seen) = (found.object.clone(), found.version.clone());
            let order = Order::Cluster(ClusterOrder::Suspend { object, seen, run: view.run.clone(), at: view.now });
            let allowed = view.history().allows(order.verb(), &order.subject(), view.now, BUDGET, PAUSE);
            allowed.then(|| Action { order, why: "so that Flux does not put back what is taken down".to_owned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::name::{Kind, ObjectRef, ResourceVersion};

    #[test]
    fn ours_get_a_stamp_and_a_persons_stay_as_they_are() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.open(GateId::FluxSuspended);
        bench.change_kustomization("apps", |k| k.reconcile.suspended = true);
        bench.check(evaluate, "Kustomization flux-system/apps: pass\nKustomization flux-system/core: hold not-suspended waiting");
        let actions = plan(&bench.view());
        let texts: Vec<String> = actions.iter().map(|action| action.order.to_string()).collect();
        assert_eq!(texts, ["suspend Kustomization flux-system/core"]);
    }

    #[test]
    fn a_helm_action_that_is_under_way_is_told() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_flux(|flux| {
            let mut reconcile = flux.sources[0].reconcile.clone();
            reconcile.reason = "Progressing".into();
            flux.kustomizations.clear();
            flux.helm_releases.push(HelmReleaseState {
                object: ObjectRef::new(Kind::HelmRelease, "apps", "db"),
                version: ResourceVersion::parse("1").unwrap(),
                depends_on: Vec::new(),
                reconcile,
                suspend_stamp: None,
                stalled: None,
                uninstalls: false,
            });
        });
        bench.check(
            evaluate,
            "note: HelmRelease apps/db is in the middle of a Helm action; if it is cut off, it comes back as pending: look at it after the start",
        );
        bench.change_flux(|flux| flux.helm_releases[0].reconcile.suspended = true);
        bench.check(evaluate, "");
        bench.change_flux(|flux| {
            let state = &mut flux.helm_releases[0].reconcile;
            (state.suspended, state.reason) = (false, "UpgradeSucceeded".into());
        });
        bench.check(evaluate, "");
    }
}
