//! The one place that awaits ports. It decides nothing: it asks what the walk wants to know, hands it the answers, and
//! sends what the walk has decided, journal first.

mod journaling;

use std::time::Duration;

use futures::future::{BoxFuture, Either, FutureExt, select};
use futures::stream::{FuturesUnordered, StreamExt};

use super::Permit;
use super::intake::{self, Reading};
use super::journal::{Seen, What};
use super::record;
use super::schedule::{Part, Schedule};
use super::view::Trust;
use super::walk::{Change, Walk};
use crate::coordination;
use crate::eta::Past;
use crate::intent::{Intent, IntentState};
use crate::lease::expiry::prune;
use crate::lease::{Lease, merged};
use crate::name::{Moment, RunId};
use crate::order::{ClusterOrder, HostOrder, Order};
use crate::port::nothing::Nothing;
use crate::port::{
    Clock, ClusterActions, ClusterPart, ClusterReads, HostActions, HostReads, MachineReads, PeerReads, PortError, PowerActions,
    Probes, StateReads, StateWrites, UpsReads, VaultActions, VaultReads, clean,
};
use crate::remedy::Action;
use crate::report::{ActionOutcome, Command, Outcome, Report};

/// Everything is judged again at least this often: facts age, deadlines pass.
const JUDGE_AT_LEAST: Duration = Duration::from_secs(5);
/// Answers that come within this time are judged together: a fifth of a second, and the larger the cluster, the more, for the
/// more a judgement costs: a millisecond for each node, up to two seconds. A start-up has more time than a battery: there it is
/// 33 ms for each node, up to a second, save for what it drives step by step.
const JUDGE_AT_MOST: Duration = Duration::from_millis(200);
const AT_MOST_PER_NODE: Duration = Duration::from_millis(1);
const LONGEST_AT_MOST: Duration = Duration::from_secs(2);
const START_PER_NODE: Duration = Duration::from_millis(33);
const START_AT_MOST: Duration = Duration::from_secs(1);
/// A port call that has not come back by then counts as failed, whatever the adapter's own deadline is.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// Progress is written at least this often: whoever keeps the leases knows by it that the run is alive.
const SAVE_AT_LEAST: Duration = Duration::from_secs(30);
/// A run that ends waits this long for answers to what it sent: with the time to notice a shutdown, less than 10 s.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// The ports that only look. Each call has a deadline of a minute here, whatever the adapter's own is; an error is a gap in
/// what is known and never ends a run.
#[derive(Clone, Copy)]
pub struct Reads<'a> {
    pub clock: &'a dyn Clock,
    pub cluster: &'a dyn ClusterReads,
    pub hosts: &'a dyn HostReads,
    pub probes: &'a dyn Probes,
    pub ups: &'a dyn UpsReads,
    pub machine: &'a dyn MachineReads,
    pub peers: &'a dyn PeerReads,
    pub vault: &'a dyn VaultReads,
    pub state: &'a dyn StateReads,
}

/// The ports that act. A run that was not given them cannot change anything.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    pub cluster: &'a dyn ClusterActions,
    pub hosts: &'a dyn HostActions,
    pub vault: &'a dyn VaultActions,
    pub power: &'a dyn PowerActions,
    pub state: &'a dyn StateWrites,
}

impl<'a> Reads<'a> {
    /// The ports that no run can do without; the others are [`Nothing`] until they are set.
    pub fn new(clock: &'a dyn Clock, cluster: &'a dyn ClusterReads, hosts: &'a dyn HostReads, state: &'a dyn StateReads) -> Self {
        let (probes, ups, machine, peers, vault) = (&Nothing, &Nothing, &Nothing, &Nothing, &Nothing);
        Self { clock, cluster, hosts, probes, ups, machine, peers, vault, state }
    }
}

impl<'a> Hands<'a> {
    /// The ports that no run can act without; the others are [`Nothing`] until they are set.
    pub fn new(cluster: &'a dyn ClusterActions, hosts: &'a dyn HostActions, state: &'a dyn StateWrites) -> Self {
        Self { cluster, hosts, vault: &Nothing, power: &Nothing, state }
    }
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
    /// A gate changed its status.
    Gate(&'a Change),
    /// An order is journaled and about to be sent.
    Acting(&'a Action),
    /// An order was answered.
    Acted { order: &'a Order, error: Option<&'a PortError> },
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
    run.learn().await;
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

/// How long a judgement waits for the next answers, in a cluster of so many nodes.
fn at_most(nodes: usize, presses: bool) -> Duration {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
    let any = AT_MOST_PER_NODE.saturating_mul(nodes).clamp(JUDGE_AT_MOST, LONGEST_AT_MOST);
    if presses { any } else { any.max(START_PER_NODE.saturating_mul(nodes).min(START_AT_MOST)) }
}

struct Run<'a, 'o> {
    walk: Walk,
    reads: Reads<'a>,
    hands: Option<Hands<'a>>,
    observer: &'a mut Observer<'o>,
    schedule: Schedule,
    inflight: FuturesUnordered<BoxFuture<'a, Event>>,
    /// The next word of the watches; beside the answers that are under way, since a run may end without it.
    changes: BoxFuture<'a, Vec<ClusterPart>>,
    seq: u64,
    /// The journal's first line, until it is written.
    opening: Option<What>,
    /// What was read since the last judgement; none where nobody keeps it.
    seen: Option<Vec<Seen>>,
    judged: Moment,
    /// The intent says that a start-up is under way.
    announced: bool,
    /// When a shutdown last wrote its intent.
    intended: Moment,
    /// When the progress was last written.
    saved: Moment,
    /// The progress on disk is that of a start-up that power asked for, and that the daemon goes on with by it.
    leaves_progress: bool,
    /// Whose intent stood there at the first look; none before it.
    found: Option<Option<RunId>>,
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
            changes: reads.cluster.changed(),
            seq: 0,
            opening: None,
            seen: hands.filter(|hands| hands.state.records()).map(|_| Vec::new()),
            judged,
            announced: false,
            intended: judged,
            saved: judged,
            leaves_progress: false,
            found: None,
        }
    }

    /// What must be durable before anything else happens: the journal's first line, and the intent.
    async fn begin(&mut self) -> Result<(), PortError> {
        let Some(hands) = self.hands else { return Ok(()) };
        let now = self.reads.clock.now();
        // A shutdown's intent comes first of all: whoever starts the cluster must see it and yield.
        if self.walk.plan.command == Command::Shutdown {
            hands.state.save_intent(&self.walk.intent(IntentState::ShuttingDown, now)).await?;
            self.intended = now;
        }
        if self.walk.plan.partial {
            let intent = self.reads.state.intent().await;
            self.leaves_progress = intent.map_or(true, |intent| intent.is_some_and(|intent| intent.owes_a_start_up()));
        }
        match self.reads.state.leases().await {
            Ok(leases) => self.walk.leases = leases,
            Err(error) => {
                self.walk.notes.push(format!("the leases on disk cannot be read ({error}); they are taken from the nodes"))
            }
        }
        self.learn().await;
        let resumes = self.walk.earlier.last().map(|earlier| earlier.run.clone());
        let start = self.seen.is_some().then(|| Box::new(self.walk.start()));
        self.opening = Some(What::RunStarted { command: self.walk.plan.command, resumes, start });
        if let Err(error) = self.open_journal().await {
            self.walk.note_once(format!("the journal cannot be begun, so that nothing new is done: {error}"));
        }
        Ok(())
    }

    /// What is normal, is read once: a history that cannot be read is only told.
    async fn learn(&mut self) {
        match self.reads.state.runs().await {
            Ok(runs) => self.walk.past = Past::of(&runs, self.walk.plan.command),
            Err(error) => self.walk.note_once(format!("what earlier runs took cannot be read: {error}")),
        }
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
            self.heed_clock(now);
            let quiet = now.since(self.judged);
            let due = self.walk.due.is_some_and(|due| now >= due);
            if quiet >= JUDGE_AT_LEAST || quiet >= self.judge_at_most() && (self.walk.take_changed() || due) {
                let changes = self.judge(now);
                self.record_judgement(now).await;
                for change in &changes {
                    let what = What::Gate { gate: change.gate, status: change.status, text: change.text.clone() };
                    self.journal_or_note(what, now).await;
                }
                self.settle_leases(now).await;
                self.keep_intent(now).await;
                self.act(now).await;
                if !changes.is_empty() || now.since(self.saved) >= SAVE_AT_LEAST {
                    self.save_progress(now).await;
                }
                (self.observer)(&self.walk, now, &News::Tick);
            }
        }
    }

    fn judge_at_most(&self) -> Duration {
        at_most(self.walk.spec.nodes.len(), self.walk.plan.latching || self.walk.presses())
    }

    /// Where somebody set the clock back, what was to come at a time that lies far ahead by it comes now.
    fn heed_clock(&mut self, now: Moment) {
        if now < self.judged {
            (self.judged, self.saved) = (now, self.saved.min(now));
            self.schedule.set_back(now);
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
        let soonest = self.judged.plus(self.judge_at_most());
        let latest = self.judged.plus(JUDGE_AT_LEAST);
        let judge_at = if changed { soonest } else { self.walk.due.map_or(latest, |due| due.clamp(soonest, latest)) };
        let until = self.schedule.next_due().map_or(judge_at, |due| due.min(judge_at));
        let (event, changed) = {
            let timer = self.reads.clock.sleep_until(until);
            match select(select(self.inflight.next(), &mut self.changes), timer).await {
                Either::Left((Either::Left((Some(event), _)), _)) => (Some(event), None),
                // Once the interrupt has come, nothing may be under way: time alone brings the next answer.
                Either::Left((Either::Left((None, _)), timer)) => {
                    timer.await;
                    (None, None)
                }
                Either::Left((Either::Right((parts, _)), _)) => (None, Some(parts)),
                Either::Right(((), _)) => (None, None),
            }
        };
        if let Some(parts) = changed {
            self.heard(parts);
        }
        if let Some(event) = event {
            self.take(event).await;
        }
        while let Some(Some(event)) = self.inflight.next().now_or_never() {
            self.take(event).await;
        }
    }

    /// Parts that a watch says changed are due again soon.
    fn heard(&mut self, parts: Vec<ClusterPart>) {
        self.changes = self.reads.cluster.changed();
        let now = self.reads.clock.now();
        for part in parts {
            self.schedule.heard(&part.into(), now);
        }
    }

    async fn take(&mut self, event: Event) {
        let now = self.reads.clock.now();
        match event {
            Event::Read(part, reading) => {
                let wait = reading.retry_after();
                self.take_in(*reading, now);
                self.schedule.answered(&part, &self.walk, now);
                self.schedule.hold_back(wait, now);
            }
            Event::Acted { seq, index, order, result } => {
                self.schedule.hold_back(result.as_ref().err().and_then(|error| error.retry_after), now);
                self.acted(seq, index, &order, result, now).await;
            }
            Event::Interrupted => {
                self.walk.interrupt(now);
                self.journal_or_note(What::Interrupted, now).await;
            }
        }
    }

    fn take_in(&mut self, reading: Reading, now: Moment) {
        if let Reading::Intent(Ok(intent)) = &reading {
            self.found.get_or_insert_with(|| intent.as_ref().map(|intent| intent.run.clone()));
            if let Some(intent) = intent.as_ref().filter(|intent| self.is_overtaken_by(intent)) {
                self.yield_to(intent);
            }
        }
        if let Some(seen) = &mut self.seen {
            seen.push(record::seen(&reading, &self.walk.obs, now));
        }
        if self.walk.take(reading, now) {
            self.schedule.unsettle();
        }
    }

    fn judge(&mut self, now: Moment) -> Vec<Change> {
        self.judged = now;
        // Facts age: what was fresh at the last judgement may not be at this one.
        self.schedule.unsettle();
        self.walk.tick(self.reads.clock.uptime(), now);
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
        let moved = self.walk.settle_leases(now);
        if moved && let Err(error) = self.keep_leases(hands, now).await {
            self.walk.note_once(format!("the leases cannot be written: {error}"));
        }
    }

    async fn act(&mut self, now: Moment) {
        let Some(hands) = self.hands else { return };
        let actions = self.walk.orders(now);
        if actions.is_empty() {
            self.meets_anothers_drain(now).await;
            return;
        }
        if self.yields().await {
            self.record_withheld("a shutdown took over, or the intent could not be read", now).await;
            return;
        }
        self.announce(hands, now).await;
        let mut stopped = false;
        for action in actions {
            // What cannot be journaled is not done, save for the end of a lease: a full disk stops new actions, not the checks.
            if stopped && !action.order.ends_a_lease() {
                self.walk.withheld.add(&action.order);
                continue;
            }
            let order = action.order.clone();
            if let Err(error) = self.send(hands, action, now).await {
                self.walk.withheld.add(&order);
                self.walk.note_once(format!("an action was not started: {error}"));
                stopped = true;
            }
        }
        if stopped {
            self.record_withheld("an order could not be made durable", now).await;
        }
        self.save_progress(now).await;
    }

    /// Before every round of actions the intent is read again: a shutdown pre-empts a start-up.
    async fn yields(&mut self) -> bool {
        if self.walk.plan.command != Command::Startup {
            return false;
        }
        let now = self.reads.clock.now();
        if self.meets_anothers_drain(now).await {
            return true;
        }
        let intent = self.reads.state.intent().await;
        let shutdown = matches!(&intent, Ok(Some(intent)) if self.is_overtaken_by(intent)
            || intent.state == IntentState::ShuttingDown && intent.run != self.walk.run
                && now.since(intent.at) <= self.walk.spec.intent_max_age
                && !(self.walk.by_power && intent.died_before(self.walk.started)));
        if shutdown && let Ok(Some(intent)) = &intent {
            self.yield_to(intent);
        }
        let unreadable = intent.is_err();
        if unreadable {
            self.walk.note_once("nothing was done while the intent could not be read".to_owned());
        }
        self.take_in(Reading::Intent(intent), now);
        shutdown || unreadable
    }

    /// A start-up yields to it even where it has nothing to do: soon nothing in the cluster tells of it any more.
    async fn meets_anothers_drain(&mut self, now: Moment) -> bool {
        let startup = self.walk.plan.command == Command::Startup;
        let drain = startup.then(|| coordination::anothers_drain(&self.walk.view(now))).flatten();
        if let Some(drain) = &drain {
            self.yield_to_anothers(drain, now).await;
        }
        drain.is_some()
    }

    /// Whether a shutdown came after this start-up had begun. One that found little to stop may be over before it is seen.
    fn is_overtaken_by(&self, intent: &Intent) -> bool {
        let startup = self.hands.is_some() && self.walk.plan.command == Command::Startup;
        let new = self.found.as_ref().is_some_and(|found| found.as_ref() != Some(&intent.run)) && intent.run != self.walk.run;
        let stops = match intent.state {
            IntentState::ShuttingDown | IntentState::ShutdownComplete => true,
            IntentState::Normal | IntentState::StartupInProgress => false,
        };
        startup && new && stops
    }

    fn yield_to(&mut self, intent: &Intent) {
        self.walk.note_once(format!("it yielded to {}: {}", intent.run, intent.reason));
        self.walk.end(Outcome::Yielded);
    }

    /// Written down as what is wanted here too: once its servers are stopped, nothing in the cluster tells of it any more.
    async fn yield_to_anothers(&mut self, drain: &Lease, now: Moment) {
        let host = clean(&drain.holder, 63);
        let run = drain.id.as_str().rsplit_once('-').and_then(|(run, _)| RunId::parse(run).ok());
        let run = run.unwrap_or_else(|| self.walk.run.clone());
        let reason = format!("it drains {} under lease {}", drain.node, drain.id);
        let intent =
            Intent { state: IntentState::ShuttingDown, run, at: now, reason, by_power: true, of: Some(host.as_str().into()) };
        if let Some(hands) = self.hands
            && let Err(error) = hands.state.save_intent(&intent).await
        {
            self.walk.note_once(format!("the intent cannot be written: {error}"));
        }
        self.walk.note_once(format!("it yielded to a shutdown of the Ananke on {host}: {}", intent.reason));
        self.walk.end(Outcome::Yielded);
    }

    /// A shutdown's intent must not grow stale while it runs, and a start-up that was just beginning may have written its
    /// own over it.
    async fn keep_intent(&mut self, now: Moment) {
        let Some(hands) = self.hands.filter(|_| self.walk.plan.command == Command::Shutdown) else { return };
        let seen = &self.walk.obs.intent;
        let ours = |intent: &Intent| intent.state == IntentState::ShuttingDown && intent.run == self.walk.run;
        let lost = seen.seen_at() > Some(self.intended) && !seen.last().and_then(Option::as_ref).is_some_and(ours);
        let old = now.since(self.intended) >= self.walk.spec.intent_max_age / 4;
        if self.walk.outcome.is_some() || !(lost || old) {
            return;
        }
        match hands.state.save_intent(&self.walk.intent(IntentState::ShuttingDown, now)).await {
            Ok(()) => self.intended = now,
            Err(error) => self.walk.note_once(format!("the intent cannot be written: {error}")),
        }
    }

    /// Before the first action of a start-up: whoever looks shall see that one is under way.
    async fn announce(&mut self, hands: Hands<'a>, now: Moment) {
        if self.announced || self.walk.plan.command != Command::Startup || self.walk.plan.partial {
            return;
        }
        self.announced = true;
        if let Err(error) = hands.state.save_intent(&self.walk.intent(IntentState::StartupInProgress, now)).await {
            self.walk.note_once(format!("the intent cannot be written: {error}"));
        }
    }

    async fn send(&mut self, hands: Hands<'a>, action: Action, now: Moment) -> Result<(), PortError> {
        if self.walk.intend(&action.order, now) {
            self.keep_leases(hands, now).await?;
        }
        let seq = match self.journal(What::Acting { order: action.order.clone(), why: action.why.clone() }, now).await {
            Ok(seq) => seq,
            // The node and the record on disk are the truth, and a cordon must not outlive its lease for want of a line. The
            // number that is left out shows in the journal.
            Err(error) if action.order.ends_a_lease() => {
                self.walk.note_once(format!("leases end without their line in the journal: {error}"));
                self.seq = self.seq.saturating_add(1);
                self.seq
            }
            Err(error) => return Err(error),
        };
        let permit = Permit { run: self.walk.run.clone(), seq };
        let index = self.walk.record_sent(&action.order, &action.why, now);
        (self.observer)(&self.walk, now, &News::Acting(&action));
        let order = Box::new(action.order);
        self.inflight.push(
            async move {
                let result = match &*order {
                    Order::Cluster(order) => hands.cluster.perform(order, &permit).await,
                    Order::Host { node, order } => hands.hosts.perform(node, order, &permit).await,
                    Order::Unseal => hands.vault.unseal(&permit).await,
                    Order::Wake { node, mac } => hands.power.wake(node, mac, &permit).await,
                };
                Event::Acted { seq, index, order, result }
            }
            .boxed(),
        );
        Ok(())
    }

    async fn acted(&mut self, seq: u64, index: usize, order: &Order, result: Result<(), PortError>, now: Moment) {
        let error = result.err();
        if self.walk.answered(index, order, error.as_ref(), now)
            && let Some(hands) = self.hands
            && let Err(error) = self.keep_leases(hands, now).await
        {
            self.walk.note_once(format!("the leases cannot be written: {error}"));
        }
        for part in touched(order) {
            self.schedule.hurry(&part, now);
        }
        (self.observer)(&self.walk, now, &News::Acted { order, error: error.as_ref() });
        self.journal_or_note(What::Acted { order_seq: seq, error }, now).await;
    }

    /// A daemon may have written meanwhile: what it added stays, and what was settled long ago goes.
    async fn keep_leases(&self, hands: Hands<'a>, now: Moment) -> Result<(), PortError> {
        let disk = self.reads.state.leases().await.unwrap_or_default();
        let mut records = merged(self.walk.leases.clone(), disk);
        prune(&mut records, now);
        hands.state.save_leases(&records).await
    }

    async fn save_progress(&mut self, now: Moment) {
        let Some(hands) = self.hands.filter(|_| !self.leaves_progress) else { return };
        self.saved = now;
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
                let intent = self.walk.intent(state, now);
                if let Err(error) = hands.state.save_intent(&intent).await {
                    self.walk.note_once(format!("the intent cannot be written: {error}"));
                }
            }
            let up = self.walk.plan.command == Command::Startup && outcome == Outcome::Done && self.walk.got_through();
            if let Some(baseline) = super::healthy_baseline(&self.walk, now).filter(|_| up)
                && let Err(error) = hands.state.save_baseline(&baseline).await
            {
                self.walk.note_once(format!("the baseline cannot be written: {error}"));
            }
            self.save_progress(now).await;
            self.journal_or_note(What::RunEnded { outcome }, now).await;
            if let Some(past) = self.walk.past_run(now)
                && let Err(error) = hands.state.save_run(&past).await
            {
                self.walk.note_once(format!("what this run took cannot be kept: {error}"));
            }
            let report = self.walk.report(now);
            if let Err(error) = hands.state.save_report(&report).await {
                self.walk.note_once(format!("the report cannot be written: {error}"));
            }
        }
        self.walk.report(now)
    }

    /// Actions that are under way are waited for, within their deadline: their answers belong in the journal.
    async fn drain_actions(&mut self) {
        // One timer for all of it: a clock that is set meanwhile makes it neither longer nor shorter.
        let mut timer = self.reads.clock.sleep_until(self.reads.clock.now().plus(LAST_ANSWERS));
        while self.walk.history.any_in_flight() {
            let event = match select(self.inflight.next(), &mut timer).await {
                Either::Left((event, _)) => event,
                Either::Right(((), _)) => None,
            };
            match event {
                Some(event @ Event::Acted { .. }) => self.take(event).await,
                Some(Event::Read(..) | Event::Interrupted) => {}
                None => break,
            }
        }
    }
}

/// The parts that show what an order did.
pub(super) fn touched(order: &Order) -> Vec<Part> {
    match order {
        Order::Host { node, order: HostOrder::SaveSnapshot(_) } => vec![Part::Snapshots(node.clone())],
        Order::Host { node, .. } | Order::Wake { node, .. } => vec![Part::Host(node.clone())],
        Order::Unseal => vec![Part::Vault],
        Order::Cluster(order) => match order {
            ClusterOrder::Cordon { .. }
            | ClusterOrder::Uncordon { .. }
            | ClusterOrder::MarkManual { .. }
            | ClusterOrder::ClearMark { .. } => vec![Part::Nodes],
            ClusterOrder::Coordinate { .. } | ClusterOrder::Uncoordinate { .. } => vec![Part::Coordination],
            ClusterOrder::Evict { .. } | ClusterOrder::Delete { .. } | ClusterOrder::ForceDelete { .. } => vec![Part::Pods],
            ClusterOrder::DeleteJob { .. } => vec![Part::Jobs],
            // What else a layer has is not looked at.
            ClusterOrder::Scale { .. } | ClusterOrder::Create(_) => vec![Part::Workloads],
            ClusterOrder::SetBranch { .. }
            | ClusterOrder::SetUrl { .. }
            | ClusterOrder::Reconcile { .. }
            | ClusterOrder::Suspend { .. }
            | ClusterOrder::Resume { .. } => vec![Part::Flux],
        },
    }
}

#[cfg(test)]
mod tests;
