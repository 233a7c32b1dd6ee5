//! Observe, judge, act: the walk through a graph of gates.

mod basis;
mod delta;
pub mod driver;
mod effects;
pub mod explain;
mod floor;
mod gate_run;
pub mod history;
mod intake;
pub mod journal;
pub mod keeper;
mod own_clock;
mod record;
pub mod replay;
mod reread;
mod schedule;
mod summary;
pub mod view;
pub mod walk;
mod withheld;

use std::time::Duration;

use crate::baseline::{self, Baseline};
use crate::intent::{Intent, IntentState};
use crate::name::{Moment, RunId};
use crate::observation::Observation;
use crate::report::{ActionOutcome, ActionReport, Command, Progress};
use crate::spec::Spec;
use crate::verdict::GateId;
use crate::{gate, phase, remedy};
use history::History;
use view::Trust;
use walk::{Plan, Walk};

pub use driver::{Hands, News, Observer, Reads, execute, look};

/// A start-up that was heard of within this time goes on; budgets spent longer ago are not counted.
const RESUMABLE: Duration = Duration::from_secs(3600);

/// The walk of a start-up.
pub fn startup_plan() -> Plan {
    Plan { command: Command::Startup, rows: gate::STARTUP.to_vec(), remedies: remedy::STARTUP, latching: false, partial: false }
}

/// A start-up that goes on where `left` stopped, if that run died.
pub fn startup(plan: Plan, spec: Spec, now: Moment, left: Option<Progress>, intent: Option<&Intent>) -> Walk {
    let mut walk = Walk::new(plan, spec, run_id("startup", now), now, Trust::Proven);
    walk.reason = "start-up".to_owned();
    // A run that died long ago, or before a shutdown that finished, is no part of this recovery.
    let died = |progress: &Progress| progress.command == Command::Startup && progress.outcome.is_none() && !progress.dry_run;
    let recent = |progress: &Progress| now.since(progress.updated) <= RESUMABLE;
    let stopped = intent.filter(|intent| intent.state == IntentState::ShutdownComplete).map(|intent| intent.at);
    let same_life = |progress: &Progress| stopped.is_none_or(|at| progress.started > at);
    let goes_on = left.as_ref().is_some_and(|progress| died(progress) && recent(progress) && same_life(progress));
    walk.reboots = left.as_ref().map_or_else(Vec::new, |progress| remembered(progress, goes_on, now));
    // The intent has forgotten the shutdown once a start-up began.
    let proofs_from = left.as_ref().and_then(|progress| progress.proofs_from);
    walk.resume(left.filter(|_| goes_on));
    walk.floor.since = walk.floor.since.max(proofs_from);
    walk.history = history_of(&walk);
    walk.raise_floor(intent);
    walk
}

/// What is to be remembered of today as the last good baseline; none unless what `walk` saw makes today a healthy day. A walk
/// of [`status`] that has looked is enough.
pub fn healthy_baseline(walk: &Walk, now: Moment) -> Option<Baseline> {
    baseline::of(&walk.view(now))
}

/// One look with the gates of a start-up.
pub fn status(spec: Spec, now: Moment, intent: Option<&Intent>) -> Walk {
    let mut walk = Walk::new(plan(Command::Status), spec, run_id("status", now), now, Trust::Stated);
    walk.raise_floor(intent);
    walk
}

/// The same over what was seen before, as it stood at `at`: nothing is asked.
pub fn status_of(spec: Spec, obs: Observation, at: Moment) -> Walk {
    let intent = obs.intent.last().cloned().flatten();
    let mut walk = status(spec, at, intent.as_ref());
    walk.nodes_asked = obs.nodes.seen_at().unwrap_or(walk.nodes_asked);
    walk.obs = obs;
    // Each judgement opens what the one before settled.
    for _ in 0..=walk.plan.rows.len() {
        walk.judge(at);
    }
    walk
}

/// The whole graph of a command.
fn plan(command: Command) -> Plan {
    match command {
        Command::Startup => startup_plan(),
        Command::Shutdown => {
            Plan { command, rows: phase::SHUTDOWN.to_vec(), remedies: phase::REMEDIES, latching: true, partial: false }
        }
        Command::Status => {
            let mut plan = Plan { command, remedies: &[], ..startup_plan() };
            // A single look cannot see that something holds.
            plan.rows.retain(|row| row.id != GateId::Soak);
            plan
        }
    }
}

/// Budgets that runs which died on the same job have spent, and reboots. Those of a shutdown begin anew.
fn history_of(walk: &Walk) -> History {
    match walk.plan.command {
        Command::Startup => History::from_actions(walk.reboots.iter().chain(walk.earlier.iter().flat_map(|run| &run.actions))),
        Command::Shutdown | Command::Status => History::default(),
    }
}

/// Reboots that a new start-up knows of, oldest first: all that the runs before it ordered, but for those of a run that goes
/// on, which are among its actions.
fn remembered(left: &Progress, goes_on: bool, now: Moment) -> Vec<ActionReport> {
    let ended = (!goes_on).then(|| left.earlier.iter().flat_map(|run| &run.actions).chain(&left.actions));
    let all = left.reboots.iter().chain(ended.into_iter().flatten());
    let ordered = |action: &&ActionReport| action.verb == history::REBOOT && action.outcome != ActionOutcome::Planned;
    all.filter(ordered).filter(|action| now.since(action.at) < history::REBOOT_REMEMBERED).cloned().collect()
}

/// A shutdown that goes on where `left` stopped, if the intent says that it is still wanted. Budgets begin anew: the pods of a
/// StatefulSet come back under the same names.
pub fn shutdown(spec: Spec, now: Moment, reason: &str, left: Option<Progress>, intent: Option<&Intent>) -> Walk {
    let mut walk = Walk::new(plan(Command::Shutdown), spec, run_id("shutdown", now), now, Trust::Proven);
    walk.reason = reason.to_owned();
    walk.before = intent.cloned();
    let wanted = |run: &RunId| intent.is_some_and(|intent| intent.state == IntentState::ShuttingDown && intent.run == *run);
    let died = |progress: &Progress| progress.command == Command::Shutdown && wanted(&progress.run);
    walk.resume(left.filter(died));
    walk
}

/// `startup-20260314T020611123`: short enough for a lease ID, which is a taint's value.
pub fn run_id(command: &str, now: Moment) -> RunId {
    let stamp: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).take(18).collect();
    RunId::of(command, &stamp)
}

/// Proof that the engine decided an order and journaled it. Nothing else can make one, so no adapter and no command can
/// act on an idea of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    run: RunId,
    seq: u64,
}

impl Permit {
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Number of the journal entry that holds the order.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

impl Walk {
    /// What this run writes as its intent. Power that stops what a person had stopped leaves it the person's.
    fn intent(&self, state: IntentState, at: Moment) -> Intent {
        let max_age = self.spec.intent_max_age;
        let persons = self.before.as_ref().is_some_and(|before| before.is_a_persons_stop(max_age, self.started));
        Intent { state, run: self.run.clone(), at, reason: self.reason.clone(), by_power: self.by_power && !persons, of: None }
    }

    fn resume(&mut self, left: Option<Progress>) {
        let Some(left) = left else { return };
        self.earlier = left.into_earlier();
        // What the runs before this one proved still counts; what was true before them does not.
        self.floor.since = self.earlier.first().map(|run| run.started);
    }

    /// A finished shutdown ended the life of the cluster that came before it.
    fn raise_floor(&mut self, intent: Option<&Intent>) {
        let stopped = intent.filter(|intent| intent.state == IntentState::ShutdownComplete).map(|intent| intent.at);
        self.floor.since = self.floor.since.max(stopped);
        self.floor.is_not_after(self.started);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};
    use crate::name::Subject;
    use crate::order::{HostOrder, Order};
    use crate::power::UpsSpec;
    use crate::report::{GateStatus, Outcome};

    #[test]
    fn what_was_seen_is_judged_again_without_a_cluster() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let seen = serde_json::to_string(&bench.obs).unwrap();
        let walk = status_of(bench.spec.clone(), serde_json::from_str(&seen).unwrap(), bench.now);
        assert_eq!(walk.gates[&GateId::Inventory].status, GateStatus::Passed);
        assert_eq!(walk.gates[&GateId::NodesReady].status, GateStatus::Passed, "{:#?}", walk.gates[&GateId::NodesReady]);
        let later = bench.now.plus(Duration::from_secs(3600));
        let stale = status_of(bench.spec, bench.obs, later);
        assert_ne!(stale.gates[&GateId::NodesReady].status, GateStatus::Passed, "a fact has an age");
    }

    /// A start-up rebooted node 2 at `at` and ended so; none: it died.
    fn rebooted(bench: &Bench, at: Moment, outcome: Option<Outcome>) -> Progress {
        let mut walk = startup(startup_plan(), bench.spec.clone(), at, None, None);
        let order = Order::Host { node: node(2), order: HostOrder::Reboot };
        walk.record_sent(&order, "its root is read-only", at);
        (walk.dry_run, walk.outcome) = (false, outcome);
        walk.progress(at)
    }

    #[test]
    fn a_reboot_is_remembered_for_a_day_whatever_became_of_its_run() {
        let (bench, hour) = (Bench::new(2), Duration::from_secs(3600));
        let tries = |walk: &Walk| walk.history.tries(history::REBOOT, &Subject::Node(node(2))).count;
        for outcome in [None, Some(Outcome::Done), Some(Outcome::Manual), Some(Outcome::Failed)] {
            let mut left = rebooted(&bench, bench.now, outcome);
            // However many start-ups come and go.
            for (hours, known) in [(0, 1), (2, 1), (23, 1), (24, 0), (25, 0)] {
                let now = bench.now.plus(hour * hours);
                let mut walk = startup(startup_plan(), bench.spec.clone(), now, Some(left), None);
                assert_eq!(tries(&walk), known, "{hours} h after a run that ended {outcome:?}");
                walk.judge(now);
                assert_eq!(tries(&walk), known, "{hours} h after a run that ended {outcome:?}, judged");
                (walk.dry_run, walk.outcome) = (false, outcome);
                left = walk.progress(now);
            }
        }
    }

    /// Between the two, the intent has forgotten the shutdown, and no host has booted since.
    #[test]
    fn what_was_proved_before_a_shutdown_proves_nothing_to_the_second_start_up_after_it_either() {
        let bench = Bench::new(1);
        let (stopped, hour) = (bench.now, Duration::from_secs(3600));
        let intent = Intent {
            state: IntentState::ShutdownComplete,
            run: run_id("shutdown", stopped),
            at: stopped,
            reason: "maintenance".to_owned(),
            by_power: false,
            of: None,
        };
        let start = |hours, left, intent| {
            let now = stopped.plus(hour * hours);
            startup(startup_plan(), bench.spec.clone(), now, left, intent)
        };
        let mut first = start(1, None, Some(&intent));
        for outcome in [Outcome::Manual, Outcome::Failed, Outcome::Interrupted] {
            first.outcome = Some(outcome);
            let second = start(2, Some(first.progress(stopped.plus(hour))), None);
            assert_eq!(second.view(second.started).floor(), stopped, "{outcome:?}");
        }
        let mut ahead = first.progress(stopped);
        ahead.proofs_from = Some(stopped.plus(hour * 9));
        let second = start(2, Some(ahead), None);
        assert_eq!(second.floor.since, Some(second.started), "its clock was ahead");
    }

    #[test]
    fn power_that_ends_cuts_a_shutdown_short_and_a_blip_cuts_no_persons() {
        for (by_power, seconds, cut) in [(false, 10, false), (false, 15, true), (true, 0, true)] {
            let mut bench = Bench::new(2);
            let rack = "rack@h".into();
            bench.spec.power.upses = vec![UpsSpec::feeding_all(std::sync::Arc::clone(&rack))];
            let mut walk = shutdown(bench.spec.clone(), bench.now, "maintenance", None, None);
            walk.by_power = by_power;
            for second in 0..=20 {
                let words = if second <= seconds { "OB DISCHRG" } else { "OL CHRG" };
                bench.ups(&rack, words, 100 - second);
                walk.obs.ups = bench.obs.ups.clone();
                walk.judge(bench.now);
                bench.now = bench.now.plus(Duration::from_secs(1));
            }
            assert_eq!(walk.spec.shutdown.within.is_some(), cut, "by power: {by_power}, {seconds} s");
            assert_eq!(walk.notes.len(), usize::from(cut), "{:?}", walk.notes);
        }
    }

    #[test]
    fn power_that_stops_what_a_person_had_stopped_leaves_it_the_persons() {
        let bench = Bench::new(1);
        let hour = Duration::from_secs(3600);
        for (before, hours, by_power) in [
            (None, 0, true),
            (Some((IntentState::Normal, false)), 24, true),
            (Some((IntentState::StartupInProgress, false)), 1, true),
            (Some((IntentState::ShutdownComplete, false)), 24, false),
            (Some((IntentState::ShutdownComplete, true)), 24, true),
            (Some((IntentState::ShuttingDown, false)), 1, false),
            (Some((IntentState::ShuttingDown, false)), 24, true),
            (Some((IntentState::ShuttingDown, true)), 1, true),
        ] {
            let (run, at) = (run_id("shutdown", bench.now), bench.now.minus(hour * hours));
            let before =
                before.map(|(state, by_power)| Intent { state, run, at, reason: "maintenance".to_owned(), by_power, of: None });
            let mut walk = shutdown(bench.spec.clone(), bench.now, "battery", None, before.as_ref());
            walk.by_power = true;
            assert_eq!(walk.intent(IntentState::ShutdownComplete, bench.now).by_power, by_power, "{before:?}");
        }
    }
}
