//! What was already done, so that remedies have budgets and nothing is sent twice.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::name::{Moment, Subject};
use crate::order::Order;
use crate::port::{ErrorKind, PortError};
use crate::report::{ActionOutcome, ActionReport};

#[derive(Debug, Clone, Default)]
pub struct History {
    done: BTreeMap<(String, Subject), Tries>,
}

/// How often one kind of action was tried on one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tries {
    pub count: u32,
    pub first: Option<Moment>,
    pub last: Option<Moment>,
    pub in_flight: bool,
    /// The answer to the newest try, if it was an error.
    pub error: Option<PortError>,
}

impl History {
    /// From the actions of runs that died on the same job: their budgets stay spent.
    pub fn from_actions<'a>(actions: impl Iterator<Item = &'a ActionReport>) -> Self {
        let mut history = Self::default();
        for action in actions {
            history.note(&action.verb, &action.subject, action.at);
            // It may never have left: it costs budget, and nothing waits for its effect.
            if action.outcome == ActionOutcome::Sent
                && let Some(tries) = history.done.get_mut(&(action.verb.clone(), action.subject.clone()))
            {
                tries.last = None;
            }
        }
        history
    }

    pub fn tries(&self, verb: &str, subject: &Subject) -> Tries {
        self.done.get(&(verb.to_owned(), subject.clone())).cloned().unwrap_or_default()
    }

    /// Whether one more try fits the budget and the pause since the last one.
    pub fn allows(&self, verb: &str, subject: &Subject, now: Moment, budget: u32, pause: Duration) -> bool {
        let tries = self.tries(verb, subject);
        !tries.in_flight && tries.count < budget && tries.last.is_none_or(|last| now.since(last) >= pause)
    }

    pub(crate) fn sent(&mut self, order: &Order, at: Moment) {
        let subject = order.subject();
        self.note(order.verb(), &subject, at);
        if let Some(tries) = self.done.get_mut(&(order.verb().to_owned(), subject)) {
            tries.in_flight = true;
        }
    }

    pub(crate) fn answered(&mut self, order: &Order, error: Option<PortError>) {
        if let Some(tries) = self.done.get_mut(&(order.verb().to_owned(), order.subject())) {
            tries.in_flight = false;
            // A conflict did nothing: what was judged was old, and what is newer is judged at once, within the budget.
            if error.as_ref().is_some_and(|error| error.kind == ErrorKind::Conflict) {
                tries.last = None;
            }
            tries.error = error;
        }
    }

    pub(super) fn any_in_flight(&self) -> bool {
        self.done.values().any(|tries| tries.in_flight)
    }

    fn note(&mut self, verb: &str, subject: &Subject, at: Moment) {
        let tries = self.done.entry((verb.to_owned(), subject.clone())).or_default();
        tries.count = tries.count.saturating_add(1);
        tries.first.get_or_insert(at);
        tries.last = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{NodeName, UnitName};
    use crate::order::HostOrder;

    #[test]
    fn a_budget_and_a_pause_bound_every_repetition() {
        let node = NodeName::parse("titan-01").unwrap();
        let order = Order::Host { node: node.clone(), order: HostOrder::Start(UnitName::parse("k3s").unwrap()) };
        let (subject, pause) = (Subject::Node(node), Duration::from_secs(60));
        let mut history = History::default();
        let t0 = Moment::from_millis(0);
        assert!(history.allows("start-unit", &subject, t0, 2, pause));
        history.sent(&order, t0);
        assert!(!history.allows("start-unit", &subject, t0.plus(pause), 2, pause), "the first is still under way");
        history.answered(&order, None);
        assert!(!history.allows("start-unit", &subject, t0.plus(pause / 2), 2, pause));
        assert!(history.allows("start-unit", &subject, t0.plus(pause), 2, pause));
        history.sent(&order, t0.plus(pause));
        history.answered(&order, None);
        assert!(!history.allows("start-unit", &subject, t0.plus(pause * 10), 2, pause), "the budget is spent");
    }
}
