//! What a round of judgement, an order and its answer change in the walk itself: the same in a run and in its replay.

use super::basis::Inputs;
use super::walk::Walk;
use crate::lease::expiry::{Finding, overdue};
use crate::lease::{Lease, LeaseEvent, LeaseRecord, LeaseState};
use crate::name::{LeaseId, Moment};
use crate::order::{ClusterOrder, Order};
use crate::phase::cordons_released;
use crate::port::{ErrorKind, PortError};
use crate::remedy::leftover_cordon::Needs;
use crate::remedy::{Action, leftover_cordon};
use crate::report::ActionOutcome;

/// Actions sent at once; the rest waits for the next round.
const ACTIONS_AT_ONCE: usize = 64;

impl Walk {
    /// What is to be sent after a judgement at `now`: nothing once the run is over or while a guard holds it.
    pub(super) fn orders(&mut self, now: Moment) -> Vec<Action> {
        if self.outcome.is_some() || self.held_by_guards() {
            return Vec::new();
        }
        let mut actions = match self.interrupted {
            Some(_) => self.releases(now),
            None => self.plan_actions(now),
        };
        actions.truncate(ACTIONS_AT_ONCE);
        actions
    }

    /// The cordons of an interrupted shutdown go back.
    fn releases(&self, now: Moment) -> Vec<Action> {
        let view = self.view(now);
        let mut actions = leftover_cordon::plan_for(&view, &Needs::giving_back(&view));
        actions.retain(|action| !self.history.tries(action.order.verb(), &action.order.subject()).in_flight);
        actions
    }

    /// Whether a cordon of this shutdown stands, or may.
    pub(super) fn cordons_are_out(&self, now: Moment) -> bool {
        let own = cordons_released::own(&self.view(now));
        let out = self.leases.iter().any(|record| record.state.outstanding() && own.contains(&record.lease.id));
        out || self.history.in_flight("cordon") > 0
    }

    /// Moves the records that only follow the world, and says whether any did.
    pub(super) fn settle_leases(&mut self, now: Moment) -> bool {
        if self.outcome.is_some() {
            return false;
        }
        let findings = {
            let view = self.view(now);
            let done = self.interrupted.is_some() && self.history.in_flight("cordon") == 0;
            let needs = if done { Needs::giving_back(&view) } else { Needs::of(&view) };
            leftover_cordon::found(&view, &needs)
        };
        let late: Vec<String> = overdue(&self.leases, now, self.uptime.as_ref()).map(|(lease, _)| told_overdue(lease)).collect();
        late.into_iter().for_each(|text| self.note_once(text));
        let mut moved = false;
        for finding in findings {
            match finding {
                Finding::Settle { lease, event } => moved |= self.move_lease(&lease, event, now),
                Finding::Adopt(record) => {
                    let (lease, node) = (&record.lease.id, &record.lease.node);
                    self.notes.push(format!("the lease {lease} on {node} was not on disk; taken over"));
                    self.leases.push(*record);
                    self.news |= Inputs::LEASES;
                    moved = true;
                }
                Finding::Foreign { text, .. } => self.note_once(text),
                Finding::Release { .. } | Finding::Mark { .. } | Finding::ClearMark { .. } => {}
            }
        }
        moved
    }

    /// A cordon's lease stands among the leases before the cordon is journaled. Says whether they changed.
    pub(super) fn intend(&mut self, order: &Order, now: Moment) -> bool {
        let Order::Cluster(ClusterOrder::Cordon { lease, .. }) = order else { return false };
        let record = LeaseRecord { lease: (**lease).clone(), state: LeaseState::Intended, since: now };
        self.leases.retain(|known| known.lease.id != record.lease.id);
        self.leases.push(record);
        self.news |= Inputs::LEASES;
        true
    }

    /// Takes the answer to an order. Says whether it was one that changes a lease's record.
    pub(super) fn answered(&mut self, index: usize, order: &Order, error: Option<&PortError>, now: Moment) -> bool {
        let outcome = error.map_or(ActionOutcome::Done, |error| ActionOutcome::Failed(error.to_string()));
        self.set_outcome(index, outcome);
        self.history.answered(order, error.cloned());
        self.news |= Inputs::HISTORY;
        self.reread.answered(order, error, now);
        self.touch();
        let Some((lease, event)) = lease_event(order, error) else { return false };
        self.move_lease(&lease, event, now);
        true
    }
}

fn told_overdue(lease: &Lease) -> String {
    format!(
        "lease {} on {} was not settled when its window ended at {}: it is at the next contact with the cluster; by hand: `{}`",
        lease.id, lease.node, lease.expires, lease.remove_with
    )
}

/// What a cordon, its return, or a mark means for the lease.
fn lease_event(order: &Order, error: Option<&PortError>) -> Option<(LeaseId, LeaseEvent)> {
    let Order::Cluster(order) = order else { return None };
    match (order, error.map(|error| error.kind)) {
        (ClusterOrder::Cordon { lease, .. }, None) => Some((lease.id.clone(), LeaseEvent::Placed)),
        // Whether a cordon whose answer got lost was placed, only the node can tell: the record stays intended.
        // Nor is a conflict a no: it may be the answer to our own cordon, placed by a try whose answer got lost.
        (ClusterOrder::Cordon { lease, .. }, Some(ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Invalid)) => {
            Some((lease.id.clone(), LeaseEvent::NeverPlaced))
        }
        (ClusterOrder::Uncordon { lease, .. }, None) => Some((lease.clone(), LeaseEvent::GivenBack)),
        (ClusterOrder::MarkManual { lease, .. }, None) => Some((lease.clone(), LeaseEvent::Marked)),
        (
            ClusterOrder::Cordon { .. }
            | ClusterOrder::Uncordon { .. }
            | ClusterOrder::MarkManual { .. }
            | ClusterOrder::ClearMark { .. }
            | ClusterOrder::Coordinate { .. }
            | ClusterOrder::Uncoordinate { .. }
            | ClusterOrder::Evict { .. }
            | ClusterOrder::Delete { .. }
            | ClusterOrder::ForceDelete { .. }
            | ClusterOrder::DeleteJob { .. }
            | ClusterOrder::Scale { .. }
            | ClusterOrder::SetBranch { .. }
            | ClusterOrder::SetUrl { .. }
            | ClusterOrder::Create(_)
            | ClusterOrder::Reconcile { .. }
            | ClusterOrder::Suspend { .. }
            | ClusterOrder::Resume { .. },
            _,
        ) => None,
    }
}
