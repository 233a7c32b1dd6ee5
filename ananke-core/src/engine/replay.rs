//! A journal lived through again: the same observations at the same times must lead to the same verdicts and orders.
//!
//! Nothing is asked and nothing is done: a journal is all that it takes, wherever it was written.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::journal::{Entry, Seen, Start, What};
use super::record;
use super::view::Trust;
use super::walk::{Change, Walk};
use crate::name::{Moment, RunId};
use crate::order::Order;
use crate::port::PortError;
use crate::remedy::Action;
use crate::report::{Command, Outcome};

/// How much of a journal was lived through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    pub entries: u64,
    pub readings: u64,
    pub judgements: u64,
    /// Gates that changed their status.
    pub verdicts: u64,
    /// Orders that were sent.
    pub actions: u64,
}

/// Where a journal leads.
#[derive(Debug)]
pub struct Replayed {
    pub run: RunId,
    pub counts: Counts,
    /// How the run ended; none if it died, or still goes on.
    pub outcome: Option<Outcome>,
    /// The time of the newest entry.
    pub at: Moment,
    /// The run as it was then.
    pub walk: Walk,
    /// Where [`retrace`] first came to something else than the journal says.
    pub difference: Option<Difference>,
}

/// The first place where a replay comes to something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("entry {entry}: the journal has {expected}, the replay came to {found}")]
pub struct Difference {
    pub entry: u64,
    pub expected: String,
    pub found: String,
}

/// Why a journal was not replayed to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// A verdict or an order came out otherwise.
    #[error(transparent)]
    Differs(#[from] Difference),
    #[error("the journal has no entries")]
    Empty,
    #[error("the journal does not hold what its run began with: it was written by an ananke that kept none")]
    NoRecord,
    /// It is not whole, or not one journal.
    #[error("entry {entry}: {why}")]
    Unusable { entry: u64, why: String },
}

/// Lives through `entries`, in their order, and compares every verdict and every order.
///
/// # Errors
/// At the first difference, or where the journal is not whole. An end without [`What::RunEnded`] is none: the run died.
pub fn replay(entries: &[Entry]) -> Result<Replayed, ReplayError> {
    through(entries, true)
}

/// The same for whoever wants to know where the run stood: what differs is noted, and the journal's word is taken for what
/// was done.
///
/// # Errors
/// Where the journal is not whole.
pub fn retrace(entries: &[Entry]) -> Result<Replayed, ReplayError> {
    through(entries, false)
}

fn through(entries: &[Entry], strict: bool) -> Result<Replayed, ReplayError> {
    let (first, rest) = entries.split_first().ok_or(ReplayError::Empty)?;
    let What::RunStarted { command, start, .. } = &first.what else {
        let why = "the journal does not begin with the start of its run".to_owned();
        return Err(ReplayError::Unusable { entry: first.seq, why });
    };
    let start = start.as_deref().ok_or(ReplayError::NoRecord)?;
    let mut replay = Replay::new(Walk::begun(first.run.clone(), *command, start), first, strict);
    for entry in rest {
        let expected = replay.replayed.counts.entries.saturating_add(1);
        if entry.seq != expected || entry.run != first.run {
            let why = format!("entry {expected} of {} was expected, entry {} of {} found", first.run, entry.seq, entry.run);
            return Err(ReplayError::Unusable { entry: expected, why });
        }
        replay.take(entry)?;
        replay.replayed.counts.entries = expected;
        replay.replayed.at = entry.at;
    }
    Ok(replay.replayed)
}

struct Replay {
    replayed: Replayed,
    strict: bool,
    /// What the newest judgement changed and led to, as far as the journal has not said so yet.
    changes: VecDeque<Change>,
    orders: VecDeque<Action>,
    /// Orders that wait for their answer, by their entry.
    sent: BTreeMap<u64, (usize, Order)>,
}

impl Replay {
    fn new(walk: Walk, first: &Entry, strict: bool) -> Self {
        let replayed = Replayed {
            run: first.run.clone(),
            counts: Counts { entries: first.seq, ..Counts::default() },
            outcome: None,
            at: first.at,
            walk,
            difference: None,
        };
        Self { replayed, strict, changes: VecDeque::new(), orders: VecDeque::new(), sent: BTreeMap::new() }
    }

    fn take(&mut self, entry: &Entry) -> Result<(), ReplayError> {
        match &entry.what {
            What::RunStarted { .. } => {
                Err(ReplayError::Unusable { entry: entry.seq, why: "the run begins a second time".to_owned() })
            }
            What::Judged { seen, uptime } => {
                self.replayed.walk.tick(uptime.clone(), entry.at);
                self.judge(entry, seen)
            }
            What::Gate { gate, status, text } => {
                let expected = Change { gate: *gate, status: *status, text: text.clone() };
                self.gate(entry.seq, &expected)
            }
            What::Withheld { .. } => {
                for action in self.orders.drain(..) {
                    self.replayed.walk.withheld.add(&action.order);
                }
                Ok(())
            }
            What::Acting { order, why } => self.send(entry, order, why),
            What::Acted { order_seq, error } => self.answer(entry, *order_seq, error.as_ref()),
            What::Interrupted => {
                self.replayed.walk.interrupt(entry.at);
                Ok(())
            }
            What::RunEnded { outcome } => self.end(entry.seq, *outcome),
        }
    }

    fn judge(&mut self, entry: &Entry, seen: &[Seen]) -> Result<(), ReplayError> {
        self.nothing_is_left(entry.seq, "a judgement")?;
        let walk = &mut self.replayed.walk;
        for seen in seen {
            let at = seen.at;
            let reading = record::reading(seen.clone(), &walk.obs)
                .map_err(|misfit| ReplayError::Unusable { entry: entry.seq, why: format!("{:?}: {misfit}", seen.of) })?;
            walk.take(reading, at);
            self.replayed.counts.readings = self.replayed.counts.readings.saturating_add(1);
        }
        self.changes = walk.judge(entry.at).into();
        walk.settle_leases(entry.at);
        self.orders = walk.orders(entry.at).into();
        self.replayed.counts.judgements = self.replayed.counts.judgements.saturating_add(1);
        Ok(())
    }

    fn gate(&mut self, entry: u64, expected: &Change) -> Result<(), ReplayError> {
        self.replayed.counts.verdicts = self.replayed.counts.verdicts.saturating_add(1);
        match self.changes.pop_front() {
            Some(found) if found == *expected => Ok(()),
            found => self.differs(entry, told(expected), found.as_ref().map_or_else(|| "no change".to_owned(), told)),
        }
    }

    /// Orders go out in the order in which they were planned; one that could not be made durable is passed over.
    fn send(&mut self, entry: &Entry, order: &Order, why: &str) -> Result<(), ReplayError> {
        self.replayed.counts.actions = self.replayed.counts.actions.saturating_add(1);
        match self.orders.iter().position(|planned| planned.order == *order && planned.why == why) {
            Some(place) => {
                self.orders.remove(place);
            }
            None => {
                let found = self.orders.pop_front();
                let found = found.map_or_else(|| "no order".to_owned(), |action| ordered(&action.order, &action.why));
                self.differs(entry.seq, ordered(order, why), found)?;
            }
        }
        let walk = &mut self.replayed.walk;
        walk.intend(order, entry.at);
        let index = walk.record_sent(order, why, entry.at);
        self.sent.insert(entry.seq, (index, order.clone()));
        Ok(())
    }

    fn answer(&mut self, entry: &Entry, order_seq: u64, error: Option<&PortError>) -> Result<(), ReplayError> {
        let Some((index, order)) = self.sent.remove(&order_seq) else {
            let why = format!("it answers entry {order_seq}, which is no order that waits for an answer");
            return Err(ReplayError::Unusable { entry: entry.seq, why });
        };
        self.replayed.walk.answered(index, &order, error, entry.at);
        Ok(())
    }

    /// An interrupt, a shutdown that took over and a state that cannot be written end a run from outside its gates.
    fn end(&mut self, entry: u64, outcome: Outcome) -> Result<(), ReplayError> {
        let judged = self.replayed.walk.outcome;
        match outcome {
            Outcome::Interrupted | Outcome::Yielded => self.orders.clear(),
            Outcome::Done | Outcome::Manual | Outcome::Failed | Outcome::Refused => {
                let from_outside = outcome == Outcome::Failed && judged.is_none();
                if judged != Some(outcome) && !from_outside {
                    let found = judged.map_or_else(|| "no end".to_owned(), |outcome| format!("the end {outcome:?}"));
                    self.differs(entry, format!("the end {outcome:?}"), found)?;
                }
            }
        }
        self.nothing_is_left(entry, "the end")?;
        self.replayed.outcome = Some(outcome);
        self.replayed.walk.outcome = Some(outcome);
        Ok(())
    }

    /// The journal goes on only when it has told all that the judgement before led to.
    fn nothing_is_left(&mut self, entry: u64, next: &str) -> Result<(), ReplayError> {
        let change = self.changes.drain(..).next();
        let action = self.orders.drain(..).next();
        let found = change.as_ref().map(told).or_else(|| action.map(|action| ordered(&action.order, &action.why)));
        found.map_or(Ok(()), |found| self.differs(entry, next.to_owned(), format!("{found} before it")))
    }

    fn differs(&mut self, entry: u64, expected: String, found: String) -> Result<(), ReplayError> {
        let difference = Difference { entry, expected, found };
        if self.strict {
            return Err(difference.into());
        }
        self.replayed.difference.get_or_insert(difference);
        Ok(())
    }
}

fn told(change: &Change) -> String {
    format!("{} {:?} ({})", change.gate, change.status, change.text)
}

fn ordered(order: &Order, why: &str) -> String {
    format!("the order to {order} ({why})")
}

impl Walk {
    /// What this run begins with, for its journal.
    pub(super) fn start(&self) -> Start {
        Start {
            spec: self.spec.clone(),
            reason: self.reason.clone(),
            by_power: self.by_power,
            started: self.started,
            gates: self.plan.rows.iter().map(|row| row.id).collect(),
            partial: self.plan.partial,
            floor: self.floor.since,
            leases: self.leases.clone(),
            earlier: self.earlier.clone(),
            reboots: self.reboots.clone(),
        }
    }

    /// The run again, as it began.
    fn begun(run: RunId, command: Command, start: &Start) -> Self {
        let mut plan = super::plan(command);
        plan.rows.retain(|row| start.gates.contains(&row.id));
        plan.partial = start.partial;
        let mut walk = Self::new(plan, start.spec.clone(), run, start.started, Trust::Proven);
        walk.dry_run = false;
        walk.reason = start.reason.clone();
        walk.by_power = start.by_power;
        walk.floor.since = start.floor;
        walk.leases = start.leases.clone();
        walk.earlier = start.earlier.clone();
        walk.reboots = start.reboots.clone();
        walk.history = super::history_of(&walk);
        walk
    }
}
