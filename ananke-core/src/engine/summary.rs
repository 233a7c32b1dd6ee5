//! Progress and report of a walk, as data.

use std::collections::{BTreeMap, BTreeSet};

use super::walk::{GateRun, Walk, named};
use crate::lease::taint_lease;
use crate::name::{Kind, Moment, Subject, human};
use crate::report::{
    ActionReport, BlockerReport, Command, EarlierRun, Effect, GateReport, GateStatus, ManualAction, Outcome, Progress, Report,
    SCHEMA,
};
use crate::verdict::{BlockerKind, GateId, Reason, Trap, Verdict};

/// Blockers of one gate that a report spells out; the counts say how many there are.
const BLOCKERS_SHOWN: usize = 50;

impl Walk {
    pub fn progress(&self, now: Moment) -> Progress {
        Progress {
            schema: SCHEMA,
            run: self.run.clone(),
            command: self.plan.command,
            dry_run: self.dry_run,
            started: self.started,
            updated: now,
            outcome: self.outcome,
            remaining: self.remaining(now),
            gates: self.gate_reports(now),
            actions: self.actions.clone(),
            earlier: self.earlier.clone(),
            reboots: self.reboots.clone(),
            proofs_from: self.proofs_from(),
        }
    }

    pub fn report(&self, now: Moment) -> Report {
        let manual = self.manual_actions();
        let outcome = self.outcome.unwrap_or(if manual.is_empty() { Outcome::Failed } else { Outcome::Manual });
        Report {
            schema: SCHEMA,
            run: self.run.clone(),
            command: self.plan.command,
            dry_run: self.dry_run,
            reason: self.reason.clone(),
            started: self.started,
            ended: now,
            took: now.since(self.began),
            normal: self.past.whole().map(|normal| normal.median),
            outcome,
            summary: self.summary(outcome, &manual, now),
            gates: self.gate_reports(now),
            actions: self.actions.iter().map(|action| self.ended(action)).collect(),
            manual,
            notes: self.all_notes(),
            earlier: self.earlier.clone(),
            cordons: self.cordons(),
        }
    }

    /// What a gate holds for this trap: the subject itself, or the workload whose pod it is.
    pub(super) fn held_by(&self, trap: Trap, subject: &Subject) -> Option<Effect> {
        let owner = match subject {
            Subject::Object(object) if object.kind == Kind::Pod => {
                let pods = self.obs.pods.last()?;
                pods.iter().find(|pod| pod.object == *object)?.owner.clone().map(Subject::Object)
            }
            Subject::Object(_)
            | Subject::Cluster
            | Subject::Ananke
            | Subject::Node(_)
            | Subject::Ups(_)
            | Subject::Url(_)
            | Subject::Peer(_) => None,
        };
        let about = owner.unwrap_or_else(|| subject.clone());
        let (gate, verdict) = self.gates.iter().find_map(|(id, gate)| {
            let verdict = gate.judgement.subjects.get(&about)?;
            (verdict.trap() == Some(trap)).then_some((*id, verdict))
        })?;
        Some(Effect { gate, subject: about, before: verdict.text().to_owned(), after: String::new() })
    }

    /// An action with what it came to.
    fn ended(&self, action: &ActionReport) -> ActionReport {
        let mut action = action.clone();
        if let Some(effect) = &mut action.effect {
            let now = self.gates.get(&effect.gate).and_then(|gate| gate.judgement.subjects.get(&effect.subject));
            effect.after = now.map_or("it is not judged any more", Verdict::text).to_owned();
        }
        action
    }

    /// Each subject that needs a person, once, with what waits for it; first what was recognised, for the rest may follow from it.
    pub fn manual_actions(&self) -> Vec<ManualAction> {
        let mut actions: BTreeMap<Subject, ManualAction> = BTreeMap::new();
        // First what stands for itself, then what follows a cause that nobody was sent to.
        for following in [false, true] {
            for (id, subject, verdict) in self.wanting() {
                let root = self.root(subject, verdict);
                let (found, instruction) = match verdict {
                    Verdict::Pass(_) => continue,
                    Verdict::Unknown(unknown) => (&unknown.gap.text, &unknown.if_it_lasts),
                    Verdict::Hold(blocker) => (&blocker.text, &blocker.if_it_lasts),
                };
                // A mark and a cordon still stand there when all else that is wrong with it is mended.
                let stays = verdict.reason() == Some(Reason::ManualActionMarked) || id == GateId::CordonsReleased;
                if let Some(action) = actions.get_mut(subject).filter(|action| stays && !action.instruction.contains(instruction))
                {
                    action.instruction = format!("{}; {instruction}", action.instruction);
                }
                if verdict.cause().is_some() != following || actions.contains_key(subject) || actions.contains_key(root) {
                    continue;
                }
                let action = ManualAction {
                    subject: subject.clone(),
                    gate: id,
                    reason: verdict.reason(),
                    trap: verdict.trap(),
                    found: found.clone(),
                    instruction: instruction.clone(),
                    holds_back: Vec::new(),
                };
                actions.insert(subject.clone(), action);
            }
        }
        let mut waiting: BTreeMap<Subject, BTreeSet<Subject>> = BTreeMap::new();
        for (_, subject, verdict) in self.wanting() {
            let root = self.root(subject, verdict);
            if root != subject {
                waiting.entry(root.clone()).or_default().insert(subject.clone());
            }
        }
        for (cause, subjects) in waiting {
            if let Some(action) = actions.get_mut(&cause) {
                action.holds_back = subjects.into_iter().collect();
            }
        }
        let mut actions: Vec<ManualAction> = actions.into_values().collect();
        actions.sort_by_key(|action| action.trap.is_none());
        actions
    }

    /// Verdicts that will not become a pass without a person.
    fn wanting(&self) -> impl Iterator<Item = (GateId, &Subject, &Verdict)> {
        let gates = self.plan.rows.iter().filter_map(|row| self.gates.get(&row.id).map(|gate| (row.id, gate)));
        gates.flat_map(|(id, gate)| {
            let failed = gate.status == GateStatus::Failed;
            let settled = gate.status == GateStatus::Manual;
            gate.judgement.subjects.iter().filter_map(move |(subject, verdict)| {
                let person = matches!(verdict, Verdict::Hold(blocker) if blocker.kind == BlockerKind::Person);
                let follows = settled && verdict.cause().is_some();
                let wanting = !verdict.is_pass() && (person || follows || failed || gate.overdue.contains(subject));
                wanting.then_some((id, subject, verdict))
            })
        })
    }

    /// The end of the chain of causes that `subject` follows; itself, if it follows none.
    fn root<'a>(&'a self, subject: &'a Subject, verdict: &'a Verdict) -> &'a Subject {
        let mut root = verdict.cause().unwrap_or(subject);
        // A chain is at most as long as there are gates and parents; a circle ends it too.
        for _ in 0..64 {
            let next = self.gates.values().filter_map(|gate| gate.judgement.subjects.get(root)).find_map(Verdict::cause);
            match next {
                Some(cause) if cause != root => root = cause,
                Some(_) | None => break,
            }
        }
        root
    }

    pub fn gate_reports(&self, now: Moment) -> Vec<GateReport> {
        self.plan.rows.iter().filter_map(|row| self.gates.get(&row.id).map(|gate| self.gate_report(row.id, gate, now))).collect()
    }

    fn gate_report(&self, id: GateId, gate: &GateRun, now: Moment) -> GateReport {
        let (passed, all) = gate.judgement.counts();
        let end = gate.settled.unwrap_or(now);
        let blockers = gate.judgement.subjects.iter().filter_map(|(subject, verdict)| {
            let blocker = || BlockerReport {
                subject: subject.clone(),
                reason: verdict.reason(),
                trap: verdict.trap(),
                text: named(subject, verdict.text()),
            };
            (!verdict.is_pass()).then(blocker)
        });
        GateReport {
            id,
            status: gate.status,
            took: gate.opened.map(|opened| end.since(opened)).unwrap_or_default(),
            normal: self.past.gate(id).map(|normal| normal.median),
            passed_after: gate.passed.map(|passed| passed.since(self.started)),
            subjects_passed: u64::try_from(passed).unwrap_or(u64::MAX),
            subjects: u64::try_from(all).unwrap_or(u64::MAX),
            text: gate.headline(),
            blockers: blockers.take(BLOCKERS_SHOWN).collect(),
            regressions: gate.regressions,
        }
    }

    fn summary(&self, outcome: Outcome, manual: &[ManualAction], now: Moment) -> String {
        let took = human(now.since(self.began));
        let what = match self.plan.command {
            Command::Startup | Command::Shutdown if self.plan.partial => "the gates that were asked for pass",
            Command::Startup => "the cluster is up",
            Command::Shutdown => "the cluster is stopped",
            Command::Status => "everything passes",
        };
        let stuck = || {
            let open = self.plan.rows.iter().filter_map(|row| self.gates.get(&row.id).map(|gate| (row.id, gate)));
            let mut open = open.filter(|(_, gate)| gate.settled.is_none());
            open.next().map_or_else(String::new, |(id, gate)| format!("{id}: {}", gate.headline()))
        };
        let first = || manual.first().map_or_else(String::new, |action| named(&action.subject, &action.instruction));
        match (outcome, self.plan.command) {
            (Outcome::Done, Command::Status) => what.to_owned(),
            (Outcome::Done, Command::Startup | Command::Shutdown) => format!("{what}, after {took}"),
            (Outcome::Manual, command) => {
                let there = match command {
                    _ if !self.gates.values().all(|gate| gate.settled.is_some()) => {
                        format!("not there after {took}; {}", stuck())
                    }
                    Command::Status => "all that can be had is there".to_owned(),
                    Command::Startup => format!("all that can be had is there after {took}"),
                    Command::Shutdown => format!("the cluster is stopped after {took}, not all of it as planned"),
                };
                match manual.len() {
                    1 => format!("{there}; a person is needed: {}", first()),
                    n => format!("{there}; a person is needed in {n} places, first: {}", first()),
                }
            }
            (Outcome::Failed, Command::Status) => format!("not everything passes; {}", stuck()),
            (Outcome::Failed, Command::Shutdown) if let Some(orders) = self.left_out() => format!(
                "not there after {took}; nothing can be written on this host, so that {orders} orders were not sent: make room \
                 for the state directory, then `ananke shutdown --execute` goes on"
            ),
            (Outcome::Failed, Command::Startup | Command::Shutdown) => format!("not there after {took}; {}", stuck()),
            (Outcome::Refused, _) => format!("refused: {}", stuck_or_first(stuck(), first())),
            (Outcome::Yielded, _) => format!("a shutdown took over after {took}{}", self.who_took_over()),
            (Outcome::Interrupted, Command::Shutdown) => format!(
                "interrupted after {took}; `ananke shutdown --execute` goes on; `ananke intent clear` and then `ananke startup --execute` goes back; {}",
                stuck()
            ),
            (Outcome::Interrupted, Command::Startup | Command::Status) => format!("interrupted after {took}; {}", stuck()),
        }
    }

    fn who_took_over(&self) -> String {
        let intent = self.obs.intent.last().and_then(Option::as_ref).filter(|intent| intent.run != self.run);
        intent.map_or_else(String::new, |intent| format!(": {} ({})", intent.reason, intent.run))
    }

    fn all_notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        for row in &self.plan.rows {
            for note in self.gates.get(&row.id).map(|gate| gate.judgement.notes.as_slice()).unwrap_or_default() {
                if !notes.contains(note) {
                    notes.push(note.clone());
                }
            }
        }
        notes
    }

    fn cordons(&self) -> Vec<crate::name::NodeName> {
        let nodes = self.obs.nodes.last().map(|nodes| nodes.as_slice()).unwrap_or_default();
        nodes.iter().filter(|node| taint_lease(node).is_some()).map(|node| node.name.clone()).collect()
    }
}

fn stuck_or_first(stuck: String, first: String) -> String {
    if first.is_empty() { stuck } else { first }
}

impl Progress {
    /// What the next run must know of this one, if it died: its own past and that of those before it.
    pub fn into_earlier(self) -> Vec<EarlierRun> {
        let passed = self.gates.iter().filter(|gate| gate.status == GateStatus::Passed).map(|gate| gate.id).collect();
        let mut earlier = self.earlier;
        let (run, started, last_seen, actions) = (self.run, self.started, self.updated, self.actions);
        earlier.push(EarlierRun { run, started, last_seen, gates_passed: passed, actions });
        earlier
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::shutdown;
    use crate::fact::Gap;
    use crate::gate::testing::Bench;
    use crate::verdict::Judgement;

    #[test]
    fn whoever_is_asked_about_the_cluster_is_told_of_the_cordons_that_stay() {
        let bench = Bench::new(1);
        let mut walk = shutdown(bench.spec, bench.now, "test", None, None);
        for (id, instruction) in
            [(GateId::FluxSuspended, "suspend"), (GateId::Drained, "drain"), (GateId::CordonsReleased, "start")]
        {
            let Some(gate) = walk.gates.get_mut(&id) else { panic!("{id} is not walked") };
            gate.status = GateStatus::Manual;
            gate.judgement = Judgement::of(Subject::Cluster, Verdict::unknown(Gap::not_asked(), instruction));
            gate.overdue.insert(Subject::Cluster);
        }
        let told: Vec<String> = walk.manual_actions().into_iter().map(|action| action.instruction).collect();
        assert_eq!(told, ["suspend; start"]);
    }
}
