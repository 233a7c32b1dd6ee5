//! The one place that awaits ports. It decides nothing: it asks what the walk wants to know, hands it the answers, and
//! sends what the walk has decided, journal first.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{BoxFuture, Either, FutureExt, select};
use futures::stream::{FuturesUnordered, StreamExt};

use super::Permit;
use super::intake::{self, Reading};
use super::journal::{Entry, What};
use super::schedule::{Part, Schedule};
use super::view::Trust;
use super::walk::{Change, Walk};
use crate::intent::{Intent, IntentState};
use crate::lease::expiry::Finding;
use crate::lease::{LeaseEvent, LeaseRecord, LeaseState};
use crate::name::{LeaseId, Moment};
use crate::order::{ClusterOrder, Order};
use crate::port::{
    Clock, ClusterActions, ClusterReads, ErrorKind, HostActions, HostReads, PortError, Probes, StateReads, StateWrites, UpsReads,
};
use crate::remedy::{Action, leftover_cordon};
use crate::report::{ActionOutcome, Command, Outcome, Report};

/// Everything is judged again at least this often: facts age, deadlines pass.
const JUDGE_AT_LEAST: Duration = Duration::from_secs(5);
/// Answers that come within this time are judged together.
const JUDGE_AT_MOST: Duration = Duration::from_millis(200);
/// A port call that has not come back by then counts as failed, whatever the adapter's own deadline is.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// Actions sent at once; the rest waits for the next round.
const ACTIONS_AT_ONCE: usize = 64;

/// The ports that only look.
#[derive(Clone, Copy)]
pub struct Reads<'a> {
    pub clock: &'a dyn Clock,
    pub cluster: &'a dyn ClusterReads,
    pub hosts: &'a dyn HostReads,
    pub probes: &'a dyn Probes,
    pub ups: &'a dyn UpsReads,
    pub state: &'a dyn StateReads,
}

/// The ports that act. A run that was not given them cannot change anything.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    pub cluster: &'a dyn ClusterActions,
    pub hosts: &'a dyn HostActions,
    pub state: &'a dyn StateWrites,
}

impl std::fmt::Debug for Reads<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reads")
    }
}

impl std::fmt::Debug for Hands<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hands")
    }
}

/// What a run tells whoever watches it.
#[derive(Debug)]
pub enum News<'a> {
    Gate(&'a Change),
    Acting(&'a Action),
    Acted {
        order: &'a Order,
        error: Option<&'a PortError>,
    },
    /// Nothing in particular: a good moment to draw.
    Tick,
}

/// Called with everything that happens, in order.
pub type Observer<'a> = dyn FnMut(&Walk, Moment, &News<'_>) + Send + 'a;

/// What a port answered.
enum Event {
    Read(Part, Box<Reading>),
    Acted { seq: u64, index: usize, order: Box<Order>, result: Result<(), PortError> },
    Interrupted,
}

/// Looks once at everything and judges it. Nothing can be changed: there are no hands. What the remedies would do
/// stands in the report as planned.
pub async fn look<'a>(mut walk: Walk, reads: Reads<'a>, observer: &'a mut Observer<'_>) -> (Report, Walk) {
    walk.trust = Trust::Stated;
    match reads.state.leases().await {
        Ok(leases) => walk.leases = leases,
        Err(error) => walk.notes.push(format!("the leases on disk cannot be read: {error}")),
    }
    let mut run = Run::new(walk, reads, None, observer);
    run.watch_once().await;
    let mut walk = run.walk;
    let now = reads.clock.now();
    let planned = if walk.held_by_guards() { Vec::new() } else { walk.plan_actions(now) };
    for action in planned {
        let index = walk.record_sent(&action.order, &action.why, now);
        walk.set_outcome(index, ActionOutcome::Planned);
    }
    (walk.report(now), walk)
}

/// Walks until everything has settled. `interrupt` ends it early, between two actions.
pub async fn execute<'a>(
    mut walk: Walk,
    reads: Reads<'a>,
    hands: Hands<'a>,
    interrupt: BoxFuture<'a, ()>,
    observer: &'a mut Observer<'_>,
) -> (Report, Walk) {
    walk.dry_run = false;
    let mut run = Run::new(walk, reads, Some(hands), observer);
    if let Err(error) = run.begin().await {
        run.walk.notes.push(format!("the run could not begin: {error}"));
        run.walk.end(Outcome::Failed);
    }
    run.inflight.push(interrupt.map(|()| Event::Interrupted).boxed());
    run.watch().await;
    let report = run.finish().await;
    (report, run.walk)
}

struct Run<'a, 'o> {
    walk: Walk,
    reads: Reads<'a>,
    hands: Option<Hands<'a>>,
    observer: &'a mut Observer<'o>,
    schedule: Schedule,
    inflight: FuturesUnordered<BoxFuture<'a, Event>>,
    seq: u64,
    judged: Moment,
    /// The intent says that a start-up is under way.
    announced: bool,
}

impl<'a, 'o> Run<'a, 'o> {
    fn new(walk: Walk, reads: Reads<'a>, hands: Option<Hands<'a>>, observer: &'a mut Observer<'o>) -> Self {
        let judged = Moment::from_millis(0);
        Self {
            walk,
            reads,
            hands,
            observer,
            schedule: Schedule::default(),
            inflight: FuturesUnordered::new(),
            seq: 0,
            judged,
            announced: false,
        }
    }

    /// What must be durable before anything else happens: the journal's first line, and the intent.
    async fn begin(&mut self) -> Result<(), PortError> {
        let Some(hands) = self.hands else { return Ok(()) };
        let now = self.reads.clock.now();
        // A shutdown's intent comes first of all: whoever starts the cluster must see it and yield.
        if self.walk.plan.command == Command::Shutdown {
            hands.state.save_intent(&self.intent(IntentState::ShuttingDown, now)).await?;
        }
        match self.reads.state.leases().await {
            Ok(leases) => self.walk.leases = leases,
            Err(error) => {
                self.walk.notes.push(format!("the leases on disk cannot be read ({error}); they are taken from the nodes"))
            }
        }
        let resumes = self.walk.earlier.last().map(|earlier| earlier.run.clone());
        self.journal(What::RunStarted { command: self.walk.plan.command, resumes }).await.map(|_| ())
    }

    async fn watch_once(&mut self) {
        loop {
            self.ask(true);
            let Some(event) = self.inflight.next().await else { break };
            self.take(event).await;
        }
        // The second look judges what the first one opened.
        let now = self.reads.clock.now();
        for _ in 0..=self.walk.plan.rows.len() {
            self.judge(now);
        }
    }

    async fn watch(&mut self) {
        while self.walk.outcome.is_none() {
            self.ask(false);
            self.wait().await;
            let now = self.reads.clock.now();
            let quiet = now.since(self.judged);
            if quiet >= JUDGE_AT_LEAST || quiet >= JUDGE_AT_MOST && self.walk.take_changed() {
                let changes = self.judge(now);
                for change in &changes {
                    let what = What::Gate { gate: change.gate, status: change.status, text: change.text.clone() };
                    self.journal_or_note(what).await;
                }
                self.settle_leases(now).await;
                self.act(now).await;
                if !changes.is_empty() {
                    self.save_progress(now).await;
                }
                (self.observer)(&self.walk, now, &News::Tick);
            }
        }
    }

    fn ask(&mut self, once: bool) {
        let now = self.reads.clock.now();
        for part in self.schedule.take_due(&self.walk, now, once) {
            let reading = intake::read(self.reads, &part, &self.walk.spec, now.plus(CALL_DEADLINE));
            self.inflight.push(async move { Event::Read(part, Box::new(reading.await)) }.boxed());
        }
    }

    /// Waits for an answer, for the next part to be due, or for the time to judge again.
    async fn wait(&mut self) {
        let changed = self.walk.is_changed();
        let judge_at = self.judged.plus(if changed { JUDGE_AT_MOST } else { JUDGE_AT_LEAST });
        let until = self.schedule.next_due().map_or(judge_at, |due| due.min(judge_at));
        let event = {
            let timer = self.reads.clock.sleep_until(until);
            match select(self.inflight.next(), timer).await {
                Either::Left((event, _)) => event,
                Either::Right(((), _)) => None,
            }
        };
        if let Some(event) = event {
            self.take(event).await;
        }
        while let Some(Some(event)) = self.inflight.next().now_or_never() {
            self.take(event).await;
        }
    }

    async fn take(&mut self, event: Event) {
        let now = self.reads.clock.now();
        match event {
            Event::Read(part, reading) => {
                if self.walk.take(*reading, now) {
                    self.schedule.unsettle();
                }
                self.schedule.answered(&part, &self.walk, now);
            }
            Event::Acted { seq, index, order, result } => self.acted(seq, index, &order, result, now).await,
            Event::Interrupted => self.walk.end(Outcome::Interrupted),
        }
    }

    fn judge(&mut self, now: Moment) -> Vec<Change> {
        self.judged = now;
        // Facts age: what was fresh at the last judgement may not be at this one.
        self.schedule.unsettle();
        let changes = self.walk.judge(now);
        for change in &changes {
            tracing::info!(run = %self.walk.run, gate = %change.gate, status = ?change.status, "{}", change.text);
            (self.observer)(&self.walk, now, &News::Gate(change));
        }
        changes
    }

    /// Records that only follow the world, without touching it.
    async fn settle_leases(&mut self, now: Moment) {
        let Some(hands) = self.hands else { return };
        if self.walk.outcome.is_some() {
            return;
        }
        let findings = {
            let view = self.walk.view(now);
            leftover_cordon::findings(&view, &crate::phase::cordons_released::own(&view), &BTreeSet::new())
        };
        let mut moved = false;
        for finding in findings {
            match finding {
                Finding::Settle { lease, event } => moved |= self.walk.move_lease(&lease, event, now),
                Finding::Adopt(record) => {
                    self.walk
                        .notes
                        .push(format!("the lease {} on {} was not on disk; taken over", record.lease.id, record.lease.node));
                    self.walk.leases.push(*record);
                    moved = true;
                }
                Finding::Release { .. } | Finding::Mark { .. } => {}
            }
        }
        if moved && let Err(error) = hands.state.save_leases(&self.walk.leases).await {
            self.walk.note_once(format!("the leases cannot be written: {error}"));
        }
    }

    async fn act(&mut self, now: Moment) {
        let Some(hands) = self.hands else { return };
        if self.walk.outcome.is_some() {
            return;
        }
        let mut actions = self.walk.plan_actions(now);
        actions.truncate(ACTIONS_AT_ONCE);
        if actions.is_empty() || self.walk.held_by_guards() || self.yields().await {
            return;
        }
        self.announce(hands, now).await;
        for action in actions {
            if let Err(error) = self.send(hands, action, now).await {
                // What cannot be journaled is not done: a full disk stops actions, not the checks.
                self.walk.note_once(format!("an action was not started: {error}"));
                break;
            }
        }
        self.save_progress(now).await;
    }

    /// Before every round of actions the intent is read again: a shutdown pre-empts a start-up.
    async fn yields(&mut self) -> bool {
        if self.walk.plan.command != Command::Startup {
            return false;
        }
        let now = self.reads.clock.now();
        let intent = self.reads.state.intent().await;
        let shutdown = matches!(&intent, Ok(Some(intent)) if intent.state == IntentState::ShuttingDown && intent.run != self.walk.run
            && now.since(intent.at) <= self.walk.spec.intent_max_age);
        if shutdown {
            self.walk.end(Outcome::Yielded);
        }
        let unreadable = intent.is_err();
        if unreadable {
            self.walk.note_once("nothing was done while the intent could not be read".to_owned());
        }
        self.walk.obs.intent.fold(intent, now);
        shutdown || unreadable
    }

    /// Before the first action of a start-up: whoever looks shall see that one is under way.
    async fn announce(&mut self, hands: Hands<'a>, now: Moment) {
        if self.announced || self.walk.plan.command != Command::Startup || self.walk.plan.partial {
            return;
        }
        self.announced = true;
        if let Err(error) = hands.state.save_intent(&self.intent(IntentState::StartupInProgress, now)).await {
            self.walk.note_once(format!("the intent cannot be written: {error}"));
        }
    }

    async fn send(&mut self, hands: Hands<'a>, action: Action, now: Moment) -> Result<(), PortError> {
        if let Order::Cluster(ClusterOrder::Cordon { lease, .. }) = &action.order {
            let record = LeaseRecord { lease: (**lease).clone(), state: LeaseState::Intended, since: now };
            self.walk.leases.retain(|known| known.lease.id != record.lease.id);
            self.walk.leases.push(record);
            hands.state.save_leases(&self.walk.leases).await?;
        }
        let seq = self.journal(What::Acting { order: action.order.clone(), why: action.why.clone() }).await?;
        let permit = Permit { run: self.walk.run.clone(), seq };
        let index = self.walk.record_sent(&action.order, &action.why, now);
        (self.observer)(&self.walk, now, &News::Acting(&action));
        let order = Box::new(action.order);
        self.inflight.push(
            async move {
                let result = match &*order {
                    Order::Cluster(order) => hands.cluster.perform(order, &permit).await,
                    Order::Host { node, order } => hands.hosts.perform(node, order, &permit).await,
                };
                Event::Acted { seq, index, order, result }
            }
            .boxed(),
        );
        Ok(())
    }

    async fn acted(&mut self, seq: u64, index: usize, order: &Order, result: Result<(), PortError>, now: Moment) {
        let error = result.err();
        let outcome = error.as_ref().map_or(ActionOutcome::Done, |error| ActionOutcome::Failed(error.to_string()));
        self.walk.set_outcome(index, outcome);
        self.walk.history.answered(order, error.clone());
        self.walk.touch();
        self.move_lease_after(order, error.as_ref(), now).await;
        for part in touched(order) {
            self.schedule.hurry(&part, now);
        }
        (self.observer)(&self.walk, now, &News::Acted { order, error: error.as_ref() });
        self.journal_or_note(What::Acted { order_seq: seq, error }).await;
    }

    async fn journal_or_note(&mut self, what: What) {
        if let Err(error) = self.journal(what).await {
            self.walk.note_once(format!("the journal cannot be written: {error}"));
        }
    }

    /// A cordon or its return changes the lease's record, at once and durably.
    async fn move_lease_after(&mut self, order: &Order, error: Option<&PortError>, now: Moment) {
        let Some(hands) = self.hands else { return };
        let Order::Cluster(order) = order else { return };
        let (id, event): (LeaseId, LeaseEvent) = match (order, error.map(|error| error.kind)) {
            (ClusterOrder::Cordon { lease, .. }, None) => (lease.id.clone(), LeaseEvent::Placed),
            // Whether a cordon whose answer got lost was placed, only the node can tell: the record stays intended.
            // Nor is a conflict a no: it may be the answer to our own cordon, placed by a try whose answer got lost.
            (ClusterOrder::Cordon { lease, .. }, Some(ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Invalid)) => {
                (lease.id.clone(), LeaseEvent::NeverPlaced)
            }
            (ClusterOrder::Uncordon { lease, .. }, None) => (lease.clone(), LeaseEvent::GivenBack),
            (ClusterOrder::MarkManual { node, .. }, None) => {
                let marked = self.walk.leases.iter().find(|record| record.lease.node == *node && record.state.outstanding());
                match marked {
                    Some(record) => (record.lease.id.clone(), LeaseEvent::Marked),
                    None => return,
                }
            }
            (
                ClusterOrder::Cordon { .. }
                | ClusterOrder::Uncordon { .. }
                | ClusterOrder::MarkManual { .. }
                | ClusterOrder::Evict { .. }
                | ClusterOrder::Delete { .. }
                | ClusterOrder::SetBranch { .. }
                | ClusterOrder::Reconcile { .. }
                | ClusterOrder::Suspend { .. }
                | ClusterOrder::Resume { .. },
                _,
            ) => return,
        };
        self.walk.move_lease(&id, event, now);
        if let Err(error) = hands.state.save_leases(&self.walk.leases).await {
            self.walk.note_once(format!("the leases cannot be written: {error}"));
        }
    }

    async fn journal(&mut self, what: What) -> Result<u64, PortError> {
        let Some(hands) = self.hands else { return Ok(0) };
        let seq = self.seq.saturating_add(1);
        let entry = Entry { run: self.walk.run.clone(), seq, at: self.reads.clock.now(), what };
        hands.state.append(&entry).await?;
        self.seq = seq;
        Ok(seq)
    }

    async fn save_progress(&mut self, now: Moment) {
        let Some(hands) = self.hands else { return };
        if let Err(error) = hands.state.save_progress(&self.walk.progress(now)).await {
            self.walk.note_once(format!("the progress cannot be written: {error}"));
        }
    }

    async fn finish(&mut self) -> Report {
        self.drain_actions().await;
        // A shutdown that came meanwhile owns the intent.
        if matches!(self.walk.outcome, Some(Outcome::Done | Outcome::Manual)) && self.yields().await {
            self.walk.outcome = Some(Outcome::Yielded);
        }
        let now = self.reads.clock.now();
        let outcome = self.walk.outcome.unwrap_or(Outcome::Failed);
        if let Some(hands) = self.hands {
            let state = match (self.walk.plan.command, outcome) {
                (Command::Startup, Outcome::Done | Outcome::Manual) if self.walk.got_through() => Some(IntentState::Normal),
                (Command::Shutdown, Outcome::Done | Outcome::Manual) if self.walk.got_through() => {
                    Some(IntentState::ShutdownComplete)
                }
                (Command::Startup | Command::Shutdown | Command::Status, _) => None,
            };
            if let Some(state) = state {
                let intent = self.intent(state, now);
                if let Err(error) = hands.state.save_intent(&intent).await {
                    self.walk.note_once(format!("the intent cannot be written: {error}"));
                }
            }
            self.save_progress(now).await;
            self.journal_or_note(What::RunEnded { outcome }).await;
            let report = self.walk.report(now);
            if let Err(error) = hands.state.save_report(&report).await {
                self.walk.note_once(format!("the report cannot be written: {error}"));
            }
        }
        self.walk.report(now)
    }

    /// Actions that are under way are waited for, within their deadline: their answers belong in the journal.
    async fn drain_actions(&mut self) {
        let until = self.reads.clock.now().plus(Duration::from_secs(10));
        while self.walk.history.any_in_flight() {
            let event = {
                let timer = self.reads.clock.sleep_until(until);
                match select(self.inflight.next(), timer).await {
                    Either::Left((event, _)) => event,
                    Either::Right(((), _)) => None,
                }
            };
            match event {
                Some(event @ Event::Acted { .. }) => self.take(event).await,
                Some(Event::Read(..) | Event::Interrupted) => {}
                None => break,
            }
        }
    }

    fn intent(&self, state: IntentState, at: Moment) -> Intent {
        Intent { state, run: self.walk.run.clone(), at, reason: self.walk.reason.clone() }
    }
}

/// The parts that show what an order did.
fn touched(order: &Order) -> Vec<Part> {
    match order {
        Order::Host { node, .. } => vec![Part::Host(node.clone())],
        Order::Cluster(order) => match order {
            ClusterOrder::Cordon { .. } | ClusterOrder::Uncordon { .. } | ClusterOrder::MarkManual { .. } => vec![Part::Nodes],
            ClusterOrder::Evict { .. } | ClusterOrder::Delete { .. } => vec![Part::Pods],
            ClusterOrder::SetBranch { .. }
            | ClusterOrder::Reconcile { .. }
            | ClusterOrder::Suspend { .. }
            | ClusterOrder::Resume { .. } => vec![Part::Flux],
        },
    }
}

#[cfg(test)]
mod tests;
