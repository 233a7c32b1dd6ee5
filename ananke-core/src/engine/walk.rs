//! A run as a pure state machine: readings and answers go in, verdicts, reads that are due and actions come out.
//!
//! It awaits nothing and asks no clock; the driver does that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::basis::{Basis, Inputs, Looks};
use super::floor::Floor;
pub use super::gate_run::GateRun;
use super::history::History;
use super::reread::Reread;
use super::view::{Behind, Trust, View};
use super::withheld::Withheld;
use crate::eta::Past;
use crate::fact::Fact;
use crate::gate::{Need, Overdue, Row};
use crate::intent::Intent;
use crate::lease::{LeaseEvent, LeaseRecord};
use crate::name::{LeaseId, Moment, NodeName, RunId, Subject, human};
use crate::observation::{HostState, Observation};
use crate::order::Order;
use crate::phase::deadline::{self, Limit};
use crate::port::clock::Uptime;
use crate::remedy::{self, Action, Remedy};
use crate::report::{ActionReport, Command, EarlierRun, GateStatus, Outcome};
use crate::spec::{RemedyMode, Spec};
use crate::trap;
use crate::verdict::{Blocker, BlockerKind, GateId, Judgement, Trap, Verdict};

/// How long an interrupted shutdown gives cordons back; what is left then is told, and swept by whoever looks next.
const WIND_DOWN: Duration = Duration::from_secs(15);

/// Which graph is walked, with which remedies.
#[derive(Debug, Clone)]
pub struct Plan {
    pub command: Command,
    pub rows: Vec<Row>,
    pub remedies: &'static [Remedy],
    /// Phases of a shutdown stay passed: the cluster that proved them goes away.
    pub latching: bool,
    /// Part of a graph, for a look at one gate: it neither starts nor ends a life of the cluster.
    pub partial: bool,
}

impl Plan {
    /// Ends the walk at `gate`: what it does not require is left out.
    pub fn until(mut self, gate: GateId) -> Self {
        let mut wanted = BTreeSet::from([gate]);
        for row in self.rows.iter().rev() {
            if wanted.contains(&row.id) {
                wanted.extend(row.needs.iter().map(|need| need.gate()));
            }
        }
        self.rows.retain(|row| wanted.contains(&row.id));
        self.partial = true;
        self
    }

    /// Walks `gate` alone, behind the guards: what else it requires is taken for granted.
    pub fn only(mut self, gate: GateId) -> Self {
        self.rows.retain(|row| row.id == gate || row.id == GateId::Guards);
        self.partial = true;
        self
    }
}

/// One run: what it expects, what it saw, what it judged and what it did. Made by [`crate::engine::startup`],
/// [`crate::engine::shutdown`] and [`crate::engine::status`].
#[derive(Debug)]
pub struct Walk {
    pub plan: Plan,
    pub spec: Spec,
    pub run: RunId,
    pub dry_run: bool,
    pub trust: Trust,
    /// Why, in the words of whoever asked.
    pub reason: String,
    /// Power asked for it, and not a person.
    pub by_power: bool,
    pub started: Moment,
    pub obs: Observation,
    pub gates: BTreeMap<GateId, GateRun>,
    pub history: History,
    pub leases: Vec<LeaseRecord>,
    /// Orders of this run, in the order in which they were sent.
    pub actions: Vec<ActionReport>,
    /// Runs before this one that died on the same job, oldest first.
    pub earlier: Vec<EarlierRun>,
    /// What is told at the end and waited for by nobody.
    pub notes: Vec<String>,
    /// What was wanted of the cluster when a shutdown began.
    pub(crate) before: Option<Intent>,
    /// None while the run goes on.
    pub outcome: Option<Outcome>,
    /// What earlier runs took: it is shown, and decides nothing.
    pub past: Past,
    /// Since when the operator wants it to end.
    pub(super) interrupted: Option<Moment>,
    pub(super) floor: Floor,
    /// Those of the spec, which may name thousands of workers beside them.
    pub(super) servers: Vec<NodeName>,
    /// When it began, by what the wall clock says since it was last set: what it waits for, it waits for since then.
    pub(crate) began: Moment,
    /// This machine's own clock at the newest judgement, and when that was.
    pub uptime: Option<Uptime>,
    pub(super) ticked: Moment,
    /// Reboots that runs before this one ordered, which have ended: they are remembered for a while.
    pub reboots: Vec<ActionReport>,
    pub(super) nodes_asked: Moment,
    /// What the orders that were planned last are about.
    about: BTreeMap<(&'static str, Subject), Trap>,
    pub(super) sightings: Sightings,
    pub(super) reread: Reread,
    pub(super) withheld: Withheld,
    changed: bool,
    /// What changed is what a start-up drives, step by step.
    pressing: bool,
    /// What changed since the last judgement.
    pub(super) news: Inputs,
    /// Gates that moved at the last judgement.
    moved: Inputs,
    /// The floor by which was judged last.
    judged_from: Moment,
    /// When the next span is over that a gate waits for.
    pub(super) due: Option<Moment>,
    /// Since when power ends sooner than this shutdown was given for.
    pub(super) dying: Option<Moment>,
}

/// Since when gates have held subjects for traps.
pub type Sightings = BTreeMap<Trap, BTreeMap<Subject, Sighting>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    pub first: Moment,
    last: Moment,
}

impl Sighting {
    /// The same by a clock of ours that was set meanwhile.
    pub(super) fn moves(&mut self, moved: impl Fn(Moment) -> Moment) {
        (self.first, self.last) = (moved(self.first), moved(self.last));
    }

    #[cfg(test)]
    pub(crate) fn at(first: Moment) -> Self {
        Self { first, last: first }
    }
}

/// A trap that no gate has named for this long is over: a list that fails once does not make it new.
const SIGHTING_LASTS: Duration = Duration::from_secs(30);

/// A gate that changed its status, for the journal and the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub gate: GateId,
    pub status: GateStatus,
    pub text: String,
}

impl Walk {
    pub fn new(plan: Plan, spec: Spec, run: RunId, started: Moment, trust: Trust) -> Self {
        let gates = plan.rows.iter().map(|row| (row.id, GateRun::new())).collect();
        let servers = spec.servers().map(|(name, _)| name.clone()).collect();
        Self {
            plan,
            spec,
            run,
            dry_run: true,
            trust,
            reason: String::new(),
            by_power: false,
            started,
            obs: Observation::default(),
            gates,
            history: History::default(),
            leases: Vec::new(),
            actions: Vec::new(),
            earlier: Vec::new(),
            notes: Vec::new(),
            before: None,
            outcome: None,
            past: Past::default(),
            interrupted: None,
            floor: Floor::default(),
            servers,
            began: started,
            uptime: None,
            ticked: started,
            reboots: Vec::new(),
            nodes_asked: Moment::from_millis(0),
            about: BTreeMap::new(),
            sightings: Sightings::new(),
            reread: Reread::default(),
            withheld: Withheld::default(),
            changed: true,
            pressing: false,
            news: Inputs::ALL,
            moved: Inputs::NONE,
            judged_from: started,
            due: None,
            dying: None,
        }
    }

    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    /// It is judged soon, however large the cluster is.
    pub(super) fn press(&mut self) {
        self.pressing = true;
    }

    pub(super) fn presses(&self) -> bool {
        self.pressing
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub fn view(&self, now: Moment) -> View<'_> {
        View {
            behind: Behind {
                obs: &self.obs,
                gates: &self.gates,
                history: &self.history,
                leases: &self.leases,
                sightings: &self.sightings,
                floor: self.floor_moment(),
                looks: None,
            },
            spec: &self.spec,
            now,
            started: self.started,
            began: self.began,
            trust: self.trust,
            run: &self.run,
            by_power: self.by_power,
            earlier: &self.earlier,
            uptime: self.uptime.as_ref(),
            nodes_asked: self.nodes_asked,
        }
    }

    /// Evaluates every gate and moves it on. Returns what changed.
    pub fn judge(&mut self, now: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        self.pressing = false;
        if let Some(since) = self.interrupted {
            if !self.cordons_are_out(now) || now.since(since) >= WIND_DOWN {
                self.end(Outcome::Interrupted);
            }
            return changes;
        }
        self.forget_other_lives();
        self.hasten(now);
        // Whoever follows a cause settles when the cause has, at whichever gate that is judged.
        let causes = self.person_subjects(now);
        let mut news = self.take_news();
        // Whoever was judged after a gate that moved has seen it move.
        let mut unseen = std::mem::take(&mut self.moved);
        for row in self.plan.rows.clone() {
            let news_here = news | unseen;
            unseen = unseen.without(Inputs::gate(row.id));
            if self.plan.latching && self.gates.get(&row.id).is_some_and(|gate| gate.settled.is_some()) {
                continue;
            }
            let (judgement, differs) = self.judgement(&row, news_here, now);
            let open = row.needs.iter().all(|need| self.satisfied(*need));
            let limit = self.limit(row.id, now);
            let Some(gate) = self.gates.get_mut(&row.id) else { continue };
            let before = gate.status;
            gate.step(&row, judgement, open, now, limit, &causes);
            if differs || gate.status != before {
                news |= Inputs::gate(row.id);
                self.moved |= Inputs::gate(row.id);
            }
            if gate.status == before {
                continue;
            }
            let change = Change { gate: row.id, status: gate.status, text: gate.headline() };
            if gate.cut_short
                && let Some(within) = self.spec.shutdown.within
            {
                let within = human(within);
                let left = change.text.replace("cut short: ", "");
                self.note_once(format!("{} was cut short, to be over within {within}: {left}", change.gate));
            }
            changes.push(change);
        }
        self.due = self.gates.values().filter_map(|gate| gate.basis).filter_map(Basis::due).min();
        self.sight(now);
        // A gate that moved may be the cause or the need of one that was judged before it.
        self.changed |= !changes.is_empty();
        self.outcome = self.outcome.or_else(|| self.verdict_of_run());
        changes
    }

    /// A shutdown whose power ends sooner than it was given for takes no longer. Where power did not ask for it, a blip must not
    /// cut it short.
    fn hasten(&mut self, now: Moment) {
        if self.plan.command != Command::Shutdown || self.spec.power.upses.is_empty() {
            return;
        }
        let Some(within) = deadline::sooner(&self.view(now)) else {
            self.dying = None;
            return;
        };
        let since = *self.dying.get_or_insert(now);
        if self.by_power || now.since(since) >= self.spec.power.debounce {
            self.spec.shutdown.within = Some(within);
            self.note_once("power ends sooner than this shutdown was given for: its phases are cut short for that".to_owned());
        }
    }

    /// What changed since the last judgement. A clock that is read anew moves the floor by little, and says nothing by it.
    fn take_news(&mut self) -> Inputs {
        let floor = self.floor_moment();
        if floor.since(self.judged_from).max(self.judged_from.since(floor)) > Duration::from_secs(1) {
            self.news |= Inputs::FLOOR;
        }
        self.judged_from = floor;
        std::mem::take(&mut self.news)
    }

    /// The judgement of a gate, which is made anew unless it stands; and whether it differs from the one before.
    fn judgement(&mut self, row: &Row, news: Inputs, now: Moment) -> (Judgement, bool) {
        let Some(gate) = self.gates.get_mut(&row.id) else { return (Judgement::default(), false) };
        if gate.basis.is_some_and(|basis| basis.holds(news, now)) {
            return (std::mem::take(&mut gate.judgement), false);
        }
        let looks = Looks::new();
        let mut view = self.view(now);
        view.behind.looks = Some(&looks);
        let mut judgement = (row.evaluate)(&view);
        trap::explain(&view, row.id, &mut judgement);
        let basis = looks.basis(now);
        let Some(gate) = self.gates.get_mut(&row.id) else { return (judgement, false) };
        gate.basis = Some(basis);
        let differs = gate.judgement != judgement;
        (judgement, differs)
    }

    /// Notes which traps hold which subjects, and since when.
    fn sight(&mut self, now: Moment) {
        for (subject, verdict) in self.gates.values().flat_map(GateRun::held) {
            let Verdict::Hold(Blocker { kind: BlockerKind::Repairable(trap), .. }) = verdict else { continue };
            let seen = self.sightings.entry(*trap).or_default();
            match seen.get_mut(subject) {
                Some(sighting) => sighting.last = now,
                None => {
                    seen.insert(subject.clone(), Sighting { first: now, last: now });
                    self.news |= Inputs::SIGHTINGS;
                }
            }
        }
        for seen in self.sightings.values_mut() {
            seen.retain(|_, sighting| now.since(sighting.last) <= SIGHTING_LASTS);
        }
    }

    /// When a gate's patience ends, if it is counting.
    pub fn deadline(&self, id: GateId, now: Moment) -> Option<Moment> {
        let gate = self.gates.get(&id)?;
        let ends = self.plan.rows.iter().any(|row| row.id == id && row.overdue == Overdue::Ends);
        let since = if ends { gate.opened } else { gate.waiting_since }?;
        let limit = self.limit(id, now);
        let end = since.plus(limit.patience);
        Some(limit.cut.map_or(end, |cut| cut.min(end)))
    }

    /// How long a gate may wait.
    fn limit(&self, gate: GateId, now: Moment) -> Limit {
        let waiting = self.gates.get(&gate).and_then(|gate| gate.waiting_since).unwrap_or(now);
        match self.plan.command {
            Command::Shutdown => deadline::limit(&self.spec, gate, self.began, waiting),
            Command::Startup | Command::Status => Limit { patience: self.spec.deadline(gate), cut: None },
        }
    }

    /// Budgets that a run before this one spent are not held against a cluster that has booted since: what was tried then,
    /// was tried on what the power cut has ended.
    fn forget_other_lives(&mut self) {
        let Some(first) = self.earlier.first().map(|run| run.started) else { return };
        // An API that goes and comes gives no budget back.
        let floor = self.booted().map_or(first, |booted| booted.max(first));
        let boots: BTreeMap<&NodeName, Moment> =
            self.obs.hosts.iter().filter_map(|(name, host)| Some((name, boot_of(host)?))).collect();
        let life = |subject: &Subject| as_node(subject).and_then(|node| boots.get(node).copied()).unwrap_or(floor);
        // What this run did is its own, whatever the clock said when it began.
        if self.history.forget_before(self.started.min(self.began), life) {
            self.news |= Inputs::HISTORY;
        }
    }

    /// What the remedies would do now, in the order of their table; nothing that is already under way, and no more than
    /// the storm brakes let through.
    pub fn plan_actions(&mut self, now: Moment) -> Vec<Action> {
        let mut planned = BTreeSet::new();
        let mut about = BTreeMap::new();
        let mut rooms: BTreeMap<Trap, usize> = BTreeMap::new();
        let mut held = BTreeSet::new();
        let mut asked: Vec<String> = Vec::new();
        let mut actions: Vec<Action> = Vec::new();
        let view = self.view(now);
        for remedy in self.plan.remedies {
            for (trap, action) in remedy.plan(&view) {
                let (verb, subject) = (action.order.verb(), action.order.subject());
                let under_way = self.history.tries(verb, &subject).in_flight || planned.contains(&(verb, subject.clone()));
                if under_way || !self.reread.allows(&action.order) {
                    continue;
                }
                if let Some(trap) = trap {
                    match remedy::wanted(&view, trap, &action.order) {
                        RemedyMode::Auto => {}
                        RemedyMode::Ask => {
                            asked.push(format!("remedies.{trap}.mode is ask, so this was left to you: {}", action.order));
                            continue;
                        }
                        RemedyMode::Off => continue,
                    }
                    if let Some(brake) = remedy::brake(trap) {
                        let room = rooms.entry(trap).or_insert_with(|| self.history.room(trap, brake, now));
                        if *room == 0 {
                            held.insert(trap);
                            continue;
                        }
                        *room = room.saturating_sub(1);
                    }
                    about.insert((verb, subject.clone()), trap);
                }
                planned.insert((verb, subject));
                actions.push(action);
            }
        }
        self.about = about;
        asked.into_iter().for_each(|note| self.note_once(note));
        for (trap, brake) in held.into_iter().filter_map(|trap| Some((trap, remedy::brake(trap)?))) {
            let (a_minute, a_run) = (brake.a_minute, brake.a_run);
            self.note_once(format!(
                "storm brake: at most {a_minute} actions a minute and {a_run} a run about {trap}; the rest waits"
            ));
        }
        actions
    }

    /// The operator wants the run to end. A shutdown gives back the cordons of its drain first: nobody may ever go on with it.
    pub(super) fn interrupt(&mut self, now: Moment) {
        if self.plan.command == Command::Shutdown && self.cordons_are_out(now) {
            self.interrupted.get_or_insert(now);
            self.touch();
        } else {
            self.end(Outcome::Interrupted);
        }
    }

    /// Ends a run from outside its gates: an interrupt, a shutdown that takes over.
    pub fn end(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    pub(crate) fn record_sent(&mut self, order: &Order, why: &str, at: Moment) -> usize {
        let trap = self.about.get(&(order.verb(), order.subject())).copied();
        let effect = trap.and_then(|trap| self.held_by(trap, &order.subject()));
        self.history.sent_for(trap, order, at);
        self.withheld.sent(order);
        self.news |= Inputs::HISTORY;
        self.actions.push(ActionReport {
            at,
            verb: order.verb().to_owned(),
            subject: order.subject(),
            text: order.to_string(),
            why: why.to_owned(),
            outcome: crate::report::ActionOutcome::Sent,
            trap,
            effect,
        });
        self.actions.len().saturating_sub(1)
    }

    pub(super) fn set_outcome(&mut self, index: usize, outcome: crate::report::ActionOutcome) {
        if let Some(action) = self.actions.get_mut(index) {
            action.outcome = outcome;
        }
    }

    pub(super) fn note_once(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Moves one lease's record; a transition that makes no sense is a defect and noted.
    pub(super) fn move_lease(&mut self, id: &LeaseId, event: LeaseEvent, now: Moment) -> bool {
        let Some(record) = self.leases.iter_mut().find(|record| record.lease.id == *id) else { return false };
        match record.state.after(event) {
            Ok(state) => {
                let moved = state != record.state;
                if moved {
                    (record.state, record.since) = (state, now);
                    self.news |= Inputs::LEASES;
                }
                moved
            }
            Err(error) => {
                let note = format!("lease {id}: {error}");
                self.note_once(note);
                false
            }
        }
    }

    /// Whether the whole graph was walked to its end: only then does the run end, or begin, a life of the cluster.
    pub(crate) fn got_through(&self) -> bool {
        !self.plan.partial && self.gates.values().all(|gate| gate.status != GateStatus::Failed)
    }

    /// Whether a guard that is part of this walk has not passed.
    pub(super) fn held_by_guards(&self) -> bool {
        self.gates.get(&GateId::Guards).is_some_and(|gate| gate.settled.is_none())
    }

    fn satisfied(&self, need: Need) -> bool {
        let Some(gate) = self.gates.get(&need.gate()) else { return true };
        match (need, gate.status) {
            (_, GateStatus::Passed | GateStatus::Manual | GateStatus::NotApplicable | GateStatus::CutShort) => true,
            (Need::Part(_), GateStatus::Holding | GateStatus::Unknown) => gate.judgement.subjects.values().any(Verdict::is_pass),
            (Need::Whole(_), GateStatus::Holding | GateStatus::Unknown) | (_, GateStatus::Pending | GateStatus::Failed) => false,
        }
    }

    /// Subjects that need a person, at any gate.
    fn person_subjects(&self, now: Moment) -> BTreeSet<Subject> {
        let mut causes = BTreeSet::new();
        for row in &self.plan.rows {
            let Some(gate) = self.gates.get(&row.id) else { continue };
            let overdue = row.overdue == Overdue::Person && gate.is_overdue(now, self.limit(row.id, now).patience);
            for (subject, verdict) in gate.held() {
                let overdue = overdue || gate.overdue.contains(subject);
                let person = match verdict {
                    Verdict::Pass(_) => false,
                    Verdict::Hold(blocker) => match &blocker.kind {
                        BlockerKind::Person => true,
                        BlockerKind::Follows(_) => false,
                        BlockerKind::Waiting | BlockerKind::Repairable(_) => overdue,
                    },
                    Verdict::Unknown(_) => overdue,
                };
                if person {
                    causes.insert(subject.clone());
                }
            }
        }
        // What follows a cause is a cause to what follows it.
        let followers = || {
            let verdicts = self.gates.values().flat_map(GateRun::held);
            verdicts.filter_map(|(subject, verdict)| verdict.cause().map(|cause| (subject, cause)))
        };
        let mut grown = usize::MAX;
        while grown != causes.len() {
            grown = causes.len();
            let new: Vec<Subject> =
                followers().filter(|(_, cause)| causes.contains(*cause)).map(|(subject, _)| subject.clone()).collect();
            causes.extend(new);
        }
        causes
    }

    fn verdict_of_run(&self) -> Option<Outcome> {
        let status = |id: GateId| self.gates.get(&id).map(|gate| gate.status);
        let manual = || self.gates.values().any(|gate| gate.status == GateStatus::Manual || gate.failed_for_a_person());
        if self.gates.get(&GateId::Guards).is_some_and(GateRun::wants_person) {
            return Some(Outcome::Refused);
        }
        let settled = self.gates.values().all(|gate| gate.settled.is_some());
        if settled && self.left_out().is_some() {
            return Some(Outcome::Failed);
        }
        if self.gates.values().any(|gate| gate.status == GateStatus::Failed) {
            let guards = status(GateId::Guards) == Some(GateStatus::Failed);
            return Some(match (guards, manual()) {
                (true, _) => Outcome::Refused,
                (false, true) => Outcome::Manual,
                (false, false) => Outcome::Failed,
            });
        }
        if settled {
            return Some(if manual() { Outcome::Manual } else { Outcome::Done });
        }
        None
    }
}

/// When the host booted, by our clock.
pub(crate) fn boot_of(host: &Fact<HostState>) -> Option<Moment> {
    Some(host.seen_at()?.minus(host.last()?.uptime))
}

/// `text` with its subject in front, unless it speaks of it already.
pub(crate) fn named(subject: &Subject, text: &str) -> String {
    match subject {
        Subject::Cluster | Subject::Ananke => text.to_owned(),
        Subject::Node(_) | Subject::Object(_) | Subject::Ups(_) | Subject::Url(_) | Subject::Peer(_) => {
            let name = subject.to_string();
            if text.contains(&name) { text.to_owned() } else { format!("{name}: {text}") }
        }
    }
}

/// The node a subject is, if it is one.
pub(crate) fn as_node(subject: &Subject) -> Option<&NodeName> {
    match subject {
        Subject::Node(node) => Some(node),
        Subject::Cluster | Subject::Ananke | Subject::Object(_) | Subject::Ups(_) | Subject::Url(_) | Subject::Peer(_) => None,
    }
}
