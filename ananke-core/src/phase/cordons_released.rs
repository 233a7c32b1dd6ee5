//! Phase `cordons-released`: no taint of Ananke is left before the servers stop, so that the cluster can boot by itself
//! even if Ananke's own host is the one that died.

use std::collections::BTreeSet;

use super::api_is_stopped;
use crate::engine::view::View;
use crate::lease::taint_lease;
use crate::name::{LeaseId, Subject};
use crate::remedy::{Action, leftover_cordon};
use crate::verdict::{GateId, Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let outstanding = view.leases.iter().filter(|record| record.state.outstanding()).count();
    if api_is_stopped(view) && outstanding == 0 {
        return Judgement::not_applicable(super::STOPPED);
    }
    let nodes = match view.nodes() {
        Ok(nodes) => nodes,
        Err(gap) => {
            let command = "at the next start: `ananke startup --execute` gives the cordons back first";
            return Judgement::of(Subject::Cluster, Verdict::unknown(gap, command));
        }
    };
    let mut judgement = Judgement::default();
    for node in nodes {
        let verdict = match taint_lease(node) {
            None => Verdict::pass("no cordon of Ananke"),
            Some(lease) => {
                let remove = format!("kubectl taint node {} {}-", node.name, crate::lease::TAINT_KEY);
                let text = format!("{} is still cordoned under lease {lease}", node.name);
                Verdict::waiting(Reason::CordonOutstanding, text, format!("run `{remove}`"))
            }
        };
        judgement.set(Subject::Node(node.name.clone()), verdict);
    }
    judgement
}

/// Before this phase only the leases of other runs are swept; in it, all.
pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let releasing = view.gates.get(&GateId::CordonsReleased).is_some_and(|gate| gate.opened.is_some());
    let in_use: BTreeSet<LeaseId> = if releasing { BTreeSet::new() } else { own(view) };
    leftover_cordon::actions(view, &in_use)
}

/// The leases that this run placed.
pub(crate) fn own(view: &View<'_>) -> BTreeSet<LeaseId> {
    let mine = |id: &LeaseId| id.as_str().starts_with(view.run.as_str());
    view.leases.iter().map(|record| record.lease.id.clone()).filter(mine).collect()
}
