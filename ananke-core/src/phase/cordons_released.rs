//! Phase `cordons-released`: no taint of Ananke is left before the servers stop, so that the cluster can boot by itself
//! even if Ananke's own host is the one that died.

use std::collections::BTreeSet;

use super::api_is_stopped;
use crate::engine::view::View;
use crate::lease::{Lease, LeaseState, taint_lease};
use crate::name::{LeaseId, Subject};
use crate::remedy::{Action, leftover_cordon};
use crate::verdict::{Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let outstanding = view.leases().iter().filter(|record| record.state.outstanding()).count();
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
        let marked = |lease: &str| {
            view.leases().iter().any(|record| record.lease.id.as_str() == lease && record.state == LeaseState::Manual)
        };
        let verdict = match taint_lease(node) {
            None => Verdict::pass("no cordon of Ananke"),
            Some(lease) if marked(lease) => Verdict::pass("marked for a person, who lifts the cordon"),
            Some(lease) => {
                let remove = crate::lease::remove_with(&node.name);
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
    leftover_cordon::plan(view)
}

/// The leases that this run placed, or a run before it that died on the same shutdown.
pub(crate) fn own(view: &View<'_>) -> BTreeSet<LeaseId> {
    let mine = |lease: &Lease| lease.is_of(view.run) || view.earlier.iter().any(|earlier| lease.is_of(&earlier.run));
    view.leases().iter().map(|record| &record.lease).filter(|lease| mine(lease)).map(|lease| lease.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::observation::UnitState;

    #[test]
    fn every_cordon_must_be_gone_but_those_that_a_person_lifts() {
        let mut bench = Bench::new(3);
        bench.all_up();
        bench.check(evaluate, "n1: pass\nn2: pass\nn3: pass");
        bench.cordon(1);
        bench.cordon(2);
        bench.leases[1].state = LeaseState::Manual;
        bench.check(evaluate, "n1: hold cordon-outstanding waiting\nn2: pass\nn3: pass");
        let sent: Vec<String> = plan(&bench.view()).iter().map(|action| action.order.to_string()).collect();
        assert_eq!(sent[0], "give back the cordon of n1 (lease lease-1)");
    }

    #[test]
    fn servers_that_are_stopped_already_keep_no_cordon_only_where_none_is_outstanding() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.cordon(1);
        (bench.obs.api, bench.obs.nodes) = (Fact::default(), Fact::default());
        bench.host(1, |host| host.unit = UnitState::Inactive);
        bench.check(evaluate, "the cluster: unknown");
        bench.leases.clear();
        bench.check(evaluate, "not applicable: the servers are stopped already");
    }
}
