//! Orders of a shutdown that could not be made durable, and so were never sent.
//!
//! What a phase then misses is not what the world kept from it: such a run has not got through, and is owed again.

use std::collections::BTreeSet;

use super::walk::Walk;
use crate::name::Subject;
use crate::order::Order;
use crate::report::{Command, GateStatus};

/// By verb and subject, until the order is sent after all.
#[derive(Debug, Default)]
pub(super) struct Withheld(BTreeSet<(&'static str, Subject)>);

impl Withheld {
    pub(super) fn add(&mut self, order: &Order) {
        self.0.insert((order.verb(), order.subject()));
    }

    pub(super) fn sent(&mut self, order: &Order) {
        self.0.remove(&(order.verb(), order.subject()));
    }
}

impl Walk {
    /// Orders that were left out, where a phase was given up for want of something; none: nothing hangs on them.
    pub(super) fn left_out(&self) -> Option<usize> {
        let given_up = |status: GateStatus| matches!(status, GateStatus::Manual | GateStatus::CutShort | GateStatus::Failed);
        let shutdown = self.plan.command == Command::Shutdown;
        let missed = shutdown && self.gates.values().any(|gate| given_up(gate.status));
        Some(self.withheld.0.len()).filter(|count| missed && *count > 0)
    }
}
