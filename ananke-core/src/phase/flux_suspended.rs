//! Phase `flux-suspended`: no Kustomization puts back what is being taken down. Ours carry a stamp, so that start-up
//! resumes only them; what a person suspended stays as it is.

use std::time::Duration;

use super::{STOPPED, api_is_stopped, at_work};
use crate::engine::view::View;
use crate::name::Subject;
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
            judgement
        }
    }
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
            let allowed = view.history.allows(order.verb(), &order.subject(), view.now, BUDGET, PAUSE);
            allowed.then(|| Action { order, why: "so that Flux does not put back what is taken down".to_owned() })
        })
        .collect()
}
