//! A run as a pure state machine: readings and answers go in, verdicts, reads that are due and actions come out.
//!
//! It awaits nothing and asks no clock; the driver does that.

use std::collections::{BTreeMap, BTreeSet};

use super::history::History;
use super::view::{Trust, View};
use crate::gate::{Need, Overdue, Row};
use crate::lease::{LeaseEvent, LeaseRecord};
use crate::name::{LeaseId, Moment, NodeName, RunId, Subject};
use crate::observation::Observation;
use crate::order::Order;
use crate::remedy::{Action, Remedy};
use crate::report::{ActionReport, Command, EarlierRun, GateStatus, Outcome};
use crate::spec::Spec;
use crate::verdict::{BlockerKind, GateId, Judgement, Verdict};

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

/// Where one gate stands in this run.
#[derive(Debug, Clone)]
pub struct GateRun {
    pub status: GateStatus,
    pub judgement: Judgement,
    pub opened: Option<Moment>,
    /// Since when it has been settled without a break.
    pub settled: Option<Moment>,
    /// When it passed for the first time.
    pub passed: Option<Moment>,
    /// Since when it waits, for its deadline.
    waiting_since: Option<Moment>,
    /// Subjects whose deadline passed.
    pub overdue: BTreeSet<Subject>,
    pub regressions: u64,
}

#[derive(Debug)]
pub struct Walk {
    pub plan: Plan,
    pub spec: Spec,
    pub run: RunId,
    pub dry_run: bool,
    pub trust: Trust,
    pub reason: String,
    pub started: Moment,
    pub obs: Observation,
    pub gates: BTreeMap<GateId, GateRun>,
    pub history: History,
    pub leases: Vec<LeaseRecord>,
    pub actions: Vec<ActionReport>,
    pub earlier: Vec<EarlierRun>,
    pub notes: Vec<String>,
    pub outcome: Option<Outcome>,
    pub(super) floor: Floor,
    pub(super) nodes_asked: Moment,
    changed: bool,
}

/// From when on a reconciliation proves anything.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floor {
    /// The newest reason other than the hosts' boot: a finished shutdown, an API that was away at the first look.
    pub since: Option<Moment>,
    pub api_asked: bool,
}

impl Floor {
    /// An API that is away when the run first asks ended its life before this run.
    pub(super) fn first_look(&mut self, away: bool, started: Moment) {
        let first = !std::mem::replace(&mut self.api_asked, true);
        if first && away && self.since.is_none() {
            self.since = Some(started);
        }
    }
}

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
        Self {
            plan,
            spec,
            run,
            dry_run: true,
            trust,
            reason: String::new(),
            started,
            obs: Observation::default(),
            gates,
            history: History::default(),
            leases: Vec::new(),
            actions: Vec::new(),
            earlier: Vec::new(),
            notes: Vec::new(),
            outcome: None,
            floor: Floor::default(),
            nodes_asked: Moment::from_millis(0),
            changed: true,
        }
    }

    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub fn view(&self, now: Moment) -> View<'_> {
        View {
            obs: &self.obs,
            spec: &self.spec,
            now,
            started: self.started,
            trust: self.trust,
            floor: self.floor_moment(),
            run: &self.run,
            gates: &self.gates,
            history: &self.history,
            leases: &self.leases,
            earlier: &self.earlier,
            nodes_asked: self.nodes_asked,
        }
    }

    /// The moment a quorum of servers had booted: what was reconciled before it says nothing of this life of the cluster.
    fn floor_moment(&self) -> Moment {
        let mut boots: Vec<Moment> = self
            .spec
            .servers()
            .filter_map(|(node, _)| self.obs.hosts.get(node))
            .filter_map(|fact| Some(fact.seen_at()?.minus(fact.last()?.uptime)))
            .collect();
        boots.sort_unstable();
        let booted = boots.get(self.spec.quorum().saturating_sub(1)).or(boots.last()).copied();
        booted.into_iter().chain(self.floor.since).max().unwrap_or(Moment::from_millis(0))
    }

    /// Evaluates every gate and moves it on. Returns what changed.
    pub fn judge(&mut self, now: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        // Whoever follows a cause settles when the cause has, at whichever gate that is judged.
        let causes = self.person_subjects(now);
        for row in self.plan.rows.clone() {
            let judgement = (row.evaluate)(&self.view(now));
            let open = row.needs.iter().all(|need| self.satisfied(*need));
            let patience = self.spec.deadline(row.id);
            let latching = self.plan.latching;
            let Some(gate) = self.gates.get_mut(&row.id) else { continue };
            if latching && gate.settled.is_some() {
                continue;
            }
            let before = gate.status;
            gate.step(&row, judgement, open, now, patience, &causes);
            if gate.status != before {
                changes.push(Change { gate: row.id, status: gate.status, text: gate.headline() });
            }
        }
        // A gate that moved may be the cause or the need of one that was judged before it.
        self.changed |= !changes.is_empty();
        self.outcome = self.outcome.or_else(|| self.verdict_of_run());
        changes
    }

    /// What the remedies would do now, in the order of their table; nothing that is already under way.
    pub fn plan_actions(&self, now: Moment) -> Vec<Action> {
        let view = self.view(now);
        let mut actions: Vec<Action> = Vec::new();
        for remedy in self.plan.remedies {
            for action in (remedy.plan)(&view) {
                let (verb, subject) = (action.order.verb(), action.order.subject());
                let twice = actions.iter().any(|other| other.order.verb() == verb && other.order.subject() == subject);
                if !twice && !self.history.tries(verb, &subject).in_flight {
                    actions.push(action);
                }
            }
        }
        actions
    }

    /// Ends a run from outside its gates: an interrupt, a shutdown that takes over.
    pub fn end(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    pub(super) fn record_sent(&mut self, order: &Order, why: &str, at: Moment) -> usize {
        self.history.sent(order, at);
        self.actions.push(ActionReport {
            at,
            verb: order.verb().to_owned(),
            subject: order.subject(),
            text: order.to_string(),
            why: why.to_owned(),
            outcome: crate::report::ActionOutcome::Sent,
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
    pub(super) fn got_through(&self) -> bool {
        !self.plan.partial && self.gates.values().all(|gate| gate.status != GateStatus::Failed)
    }

    /// Whether a guard that is part of this walk has not passed.
    pub(super) fn held_by_guards(&self) -> bool {
        self.gates.get(&GateId::Guards).is_some_and(|gate| gate.settled.is_none())
    }

    fn satisfied(&self, need: Need) -> bool {
        let Some(gate) = self.gates.get(&need.gate()) else { return true };
        match (need, gate.status) {
            (_, GateStatus::Passed | GateStatus::Manual | GateStatus::NotApplicable) => true,
            (Need::Part(_), GateStatus::Holding | GateStatus::Unknown) => gate.judgement.counts().0 > 0,
            (Need::Whole(_), GateStatus::Holding | GateStatus::Unknown) | (_, GateStatus::Pending | GateStatus::Failed) => false,
        }
    }

    /// Subjects that need a person, at any gate.
    fn person_subjects(&self, now: Moment) -> BTreeSet<Subject> {
        let mut causes = BTreeSet::new();
        for row in &self.plan.rows {
            let Some(gate) = self.gates.get(&row.id) else { continue };
            let overdue = row.overdue == Overdue::Person && gate.is_overdue(now, self.spec.deadline(row.id));
            for (subject, verdict) in &gate.judgement.subjects {
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
            let verdicts = self.gates.values().flat_map(|gate| &gate.judgement.subjects);
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
        let manual = || self.gates.values().any(|gate| gate.status == GateStatus::Manual);
        if self.gates.get(&GateId::Guards).is_some_and(GateRun::wants_person) {
            return Some(Outcome::Refused);
        }
        if self.gates.values().any(|gate| gate.status == GateStatus::Failed) {
            let guards = status(GateId::Guards) == Some(GateStatus::Failed);
            return Some(match (guards, manual()) {
                (true, _) => Outcome::Refused,
                (false, true) => Outcome::Manual,
                (false, false) => Outcome::Failed,
            });
        }
        if self.gates.values().all(|gate| gate.settled.is_some()) {
            return Some(if manual() { Outcome::Manual } else { Outcome::Done });
        }
        None
    }
}

impl GateRun {
    fn new() -> Self {
        Self {
            status: GateStatus::Pending,
            judgement: Judgement::default(),
            opened: None,
            settled: None,
            passed: None,
            waiting_since: None,
            overdue: BTreeSet::new(),
            regressions: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn opened_at(now: Moment) -> Self {
        Self { opened: Some(now), ..Self::new() }
    }

    fn step(
        &mut self,
        row: &Row,
        judgement: Judgement,
        open: bool,
        now: Moment,
        patience: std::time::Duration,
        causes: &BTreeSet<Subject>,
    ) {
        self.judgement = judgement;
        let was = self.status;
        if !open && was == GateStatus::Passed && self.judgement.passes() {
            return;
        }
        if !open && self.is_late(row, now, patience) {
            self.status = GateStatus::Failed;
        } else if !open {
            self.status = GateStatus::Pending;
            self.settled = None;
            self.waiting_since = None;
        } else {
            self.opened.get_or_insert(now);
            self.status = self.open_status(row, now, patience, causes);
            match self.status {
                GateStatus::Passed | GateStatus::Manual | GateStatus::NotApplicable => {
                    self.settled.get_or_insert(now);
                    self.waiting_since = None;
                }
                GateStatus::Pending | GateStatus::Holding | GateStatus::Unknown | GateStatus::Failed => {
                    self.settled = None;
                    self.waiting_since.get_or_insert(now);
                }
            }
        }
        match (was == GateStatus::Passed, self.status == GateStatus::Passed) {
            (false, true) => {
                self.passed.get_or_insert(now);
            }
            (true, false) => self.regressions = self.regressions.saturating_add(1),
            (true, true) | (false, false) => {}
        }
    }

    fn open_status(&mut self, row: &Row, now: Moment, patience: std::time::Duration, causes: &BTreeSet<Subject>) -> GateStatus {
        if self.judgement.not_applicable.is_some() {
            return GateStatus::NotApplicable;
        }
        if self.judgement.passes() {
            self.overdue.clear();
            return GateStatus::Passed;
        }
        let overdue = self.is_overdue(now, patience);
        if self.is_late(row, now, patience) || overdue && row.overdue == Overdue::Fatal {
            return GateStatus::Failed;
        }
        let mut unsettled = false;
        let mut unknown = true;
        for (subject, verdict) in &self.judgement.subjects {
            match verdict {
                Verdict::Pass(_) => {
                    self.overdue.remove(subject);
                }
                Verdict::Hold(blocker) => match &blocker.kind {
                    BlockerKind::Person => unknown = false,
                    BlockerKind::Follows(cause) if causes.contains(cause) => unknown = false,
                    BlockerKind::Follows(_) | BlockerKind::Waiting | BlockerKind::Repairable(_) => {
                        unknown = false;
                        if overdue || self.overdue.contains(subject) {
                            self.overdue.insert(subject.clone());
                        } else {
                            unsettled = true;
                        }
                    }
                },
                Verdict::Unknown(_) => {
                    if overdue || self.overdue.contains(subject) {
                        self.overdue.insert(subject.clone());
                    } else {
                        unsettled = true;
                    }
                }
            }
        }
        match (unsettled, unknown) {
            (false, _) => GateStatus::Manual,
            (true, true) => GateStatus::Unknown,
            (true, false) => GateStatus::Holding,
        }
    }

    fn is_overdue(&self, now: Moment, patience: std::time::Duration) -> bool {
        self.waiting_since.is_some_and(|since| now.since(since) >= patience)
    }

    /// What never holds for long is overdue from when it could have begun to.
    fn is_late(&self, row: &Row, now: Moment, patience: std::time::Duration) -> bool {
        row.overdue == Overdue::Ends && self.opened.is_some_and(|opened| now.since(opened) >= patience)
    }

    fn wants_person(&self) -> bool {
        self.status == GateStatus::Manual
    }

    /// One line for the journal and the screen: the evidence, or the first blockers.
    pub fn headline(&self) -> String {
        if let Some(why) = &self.judgement.not_applicable {
            return format!("not applicable: {why}");
        }
        let (passed, all) = self.judgement.counts();
        let waiting: Vec<(&Subject, &Verdict)> =
            self.judgement.subjects.iter().filter(|(_, verdict)| !verdict.is_pass()).collect();
        match (waiting.as_slice(), all) {
            ([], 1) => self.judgement.subjects.values().next().map_or_else(String::new, |only| only.text().to_owned()),
            ([], _) => format!("all {all}"),
            ([(subject, verdict)], 1) => named(subject, verdict.text()),
            ([(subject, verdict), rest @ ..], _) => {
                let first = named(subject, verdict.text());
                match rest.len() {
                    0 => format!("{passed} of {all}; {first}"),
                    more => format!("{passed} of {all}; {first}; and {more} more"),
                }
            }
        }
    }
}

/// `text` with its subject in front, unless it speaks of it already.
pub(crate) fn named(subject: &Subject, text: &str) -> String {
    match subject {
        Subject::Cluster | Subject::Ananke => text.to_owned(),
        Subject::Node(_) | Subject::Object(_) | Subject::Ups(_) | Subject::Url(_) => {
            let name = subject.to_string();
            if text.contains(&name) { text.to_owned() } else { format!("{name}: {text}") }
        }
    }
}

/// The node a subject is, if it is one.
pub(crate) fn as_node(subject: &Subject) -> Option<&NodeName> {
    match subject {
        Subject::Node(node) => Some(node),
        Subject::Cluster | Subject::Ananke | Subject::Object(_) | Subject::Ups(_) | Subject::Url(_) => None,
    }
}
