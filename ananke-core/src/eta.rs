//! What is normal, learned from the runs before this one, and what remains of a run that goes as they did.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::walk::{GateRun, Walk};
use crate::gate::{Need, Row};
use crate::intent::IntentState;
use crate::name::{Moment, human};
use crate::report::{Command, GateReport, GateStatus, Outcome, PastRun, Progress};
use crate::verdict::GateId;

/// How long something took in the runs before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normal {
    pub median: Duration,
    /// Nine of ten took no longer.
    pub p90: Duration,
    pub runs: usize,
}

/// What runs of one command took, as far as they ended well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    whole: Option<Normal>,
    gates: BTreeMap<GateId, Normal>,
}

impl Past {
    /// `runs` may be of any command and have any outcome: only those that got through say what is normal. A status is held
    /// against start-ups, whose gates it looks at.
    pub fn of(runs: &[PastRun], command: Command) -> Self {
        let command = if command == Command::Status { Command::Startup } else { command };
        let good = || runs.iter().filter(|run| run.command == command && got_through(run.outcome));
        let mut gates: BTreeMap<GateId, Vec<u64>> = BTreeMap::new();
        for (gate, seconds) in good().flat_map(|run| &run.gates) {
            gates.entry(*gate).or_default().push(*seconds);
        }
        let gates = gates.into_iter().filter_map(|(gate, seconds)| Some((gate, normal(seconds)?)));
        Self { whole: normal(good().map(|run| run.seconds).collect()), gates: gates.collect() }
    }

    /// What is normal for a whole run; none: no run got through yet.
    pub fn whole(&self) -> Option<Normal> {
        self.whole
    }

    /// What is normal for a gate, from its opening to its settling; none: it never passed in a run that is remembered.
    pub fn gate(&self, gate: GateId) -> Option<Normal> {
        self.gates.get(&gate).copied()
    }
}

/// Time that a whole run of `command` should be given: nine of ten took no longer. None: there is no history yet.
pub fn budget(runs: &[PastRun], command: Command) -> Option<Duration> {
    Past::of(runs, command).whole.map(|normal| normal.p90)
}

fn got_through(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Done | Outcome::Manual => true,
        Outcome::Failed | Outcome::Refused | Outcome::Yielded | Outcome::Interrupted => false,
    }
}

fn normal(mut seconds: Vec<u64>) -> Option<Normal> {
    seconds.sort_unstable();
    let rank = |percent: usize| {
        let place = seconds.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
        seconds.get(place).copied().map(Duration::from_secs)
    };
    Some(Normal { median: rank(50)?, p90: rank(90)?, runs: seconds.len() })
}

impl Walk {
    /// What this run adds to the history; none if it did not walk its whole graph to a good end. A shutdown that was cut short,
    /// or found the cluster half stopped or half started, says nothing of how long a whole one takes.
    pub fn past_run(&self, now: Moment) -> Option<PastRun> {
        let ran = self.before.as_ref().is_none_or(|before| before.state == IntentState::Normal);
        let whole = ran && self.got_through() && self.gates.values().all(|gate| gate.status != GateStatus::CutShort);
        let outcome = self.outcome.filter(|outcome| got_through(*outcome) && !self.dry_run && whole)?;
        let took = |gate: &GateRun| Some(gate.passed.and(gate.settled)?.since(gate.opened?).as_secs());
        Some(PastRun {
            schema: crate::report::SCHEMA,
            run: self.run.clone(),
            command: self.plan.command,
            started: self.started,
            outcome,
            seconds: now.since(self.began).as_secs(),
            gates: self.gates.iter().filter_map(|(id, gate)| Some((*id, took(gate)?))).collect(),
        })
    }

    /// The longest way through what is left, if every gate takes what is normal for it. None: no run got through yet, or
    /// this is only a look. A gate that no run before this one had to pass costs nothing; one that is later than normal
    /// is expected at once: how late it will be, nobody knows.
    pub fn remaining(&self, now: Moment) -> Option<Duration> {
        self.past.whole.filter(|_| self.plan.command != Command::Status)?;
        let mut opens: BTreeMap<GateId, Duration> = BTreeMap::new();
        let mut ends: BTreeMap<GateId, Duration> = BTreeMap::new();
        for row in &self.plan.rows {
            let Some(gate) = self.gates.get(&row.id) else { continue };
            let (open, end) = self.expected(row, gate, &opens, &ends, now);
            opens.insert(row.id, open);
            ends.insert(row.id, end);
        }
        ends.into_values().max()
    }

    /// In how long a gate opens, and in how long it settles.
    fn expected(
        &self,
        row: &Row,
        gate: &GateRun,
        opens: &BTreeMap<GateId, Duration>,
        ends: &BTreeMap<GateId, Duration>,
        now: Moment,
    ) -> (Duration, Duration) {
        if gate.settled.is_some() {
            return (Duration::ZERO, Duration::ZERO);
        }
        let normal = self.past.gate(row.id).map(|normal| normal.median).unwrap_or_default();
        if let Some(opened) = gate.opened {
            return (Duration::ZERO, normal.saturating_sub(now.since(opened)));
        }
        // Who needs a part only goes on beside it: its own time, as it was learned, includes that wait.
        let open = row.needs.iter().filter_map(|need| match need {
            Need::Whole(id) => ends.get(id),
            Need::Part(id) => opens.get(id),
        });
        let open = open.max().copied().unwrap_or_default();
        (open, open.saturating_add(normal))
    }
}

impl GateReport {
    /// `2m10s (normally 1m50s)`: how long it has waited, `later` after this report was made.
    pub fn waited(&self, later: Duration) -> String {
        let took = human(self.took.saturating_add(later));
        match self.normal {
            Some(normal) => format!("{took} (normally {})", human(normal)),
            None => took,
        }
    }

    /// Whether it is what the run waits for.
    pub fn is_waited_for(&self) -> bool {
        match self.status {
            GateStatus::Holding | GateStatus::Unknown => true,
            GateStatus::Pending
            | GateStatus::Passed
            | GateStatus::Manual
            | GateStatus::CutShort
            | GateStatus::NotApplicable
            | GateStatus::Failed => false,
        }
    }
}

/// The first of them, and how many more there are.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 3;
    match (names.get(..SHOWN), names.len().saturating_sub(SHOWN)) {
        (Some(first), more) if more > 0 => format!("{} and {more} more", first.join(", ")),
        _ if names.is_empty() => "nothing in particular".to_owned(),
        _ => names.join(", "),
    }
}

/// What remains, in words.
pub fn outlook(remaining: Option<Duration>) -> String {
    match remaining {
        Some(left) if left.is_zero() => "later than it normally is".to_owned(),
        Some(left) => format!("about {} left", human(left)),
        None => "no history yet".to_owned(),
    }
}

impl Progress {
    /// One line for whoever asks how far the run has come; none if it has ended or was a dry run.
    pub fn under_way(&self, now: Moment) -> Option<String> {
        if self.outcome.is_some() || self.dry_run {
            return None;
        }
        let later = now.since(self.updated);
        let waits = self.gates.iter().filter(|gate| gate.is_waited_for());
        let waits: Vec<String> = waits.map(|gate| format!("{} for {}", gate.id, gate.waited(later))).collect();
        let waits = few(&waits);
        let outlook = outlook(self.remaining.map(|left| left.saturating_sub(later)));
        let (since, heard) = (human(now.since(self.started)), human(later));
        Some(format!("{} began {since} ago, was last heard of {heard} ago, and waits for {waits}; {outlook}", self.run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{shutdown, startup, startup_plan};
    use crate::gate::testing::Bench;
    use crate::intent::Intent;
    use crate::name::RunId;

    fn run(command: Command, outcome: Outcome, seconds: u64, gates: &[(GateId, u64)]) -> PastRun {
        let gates = gates.iter().copied().collect();
        let run = RunId::parse("startup-1").unwrap();
        PastRun { schema: 1, run, command, started: Moment::from_millis(0), outcome, seconds, gates }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_normal_comes_from_runs_that_got_through() {
        let mut runs: Vec<PastRun> =
            (1..=10).map(|n| run(Command::Startup, Outcome::Done, n * 10, &[(GateId::Workloads, n)])).collect();
        runs.push(run(Command::Startup, Outcome::Failed, 9999, &[(GateId::Workloads, 9999)]));
        runs.push(run(Command::Shutdown, Outcome::Manual, 300, &[]));
        let past = Past::of(&runs, Command::Startup);
        assert_eq!(past.gate(GateId::Workloads), Some(Normal { median: secs(5), p90: secs(9), runs: 10 }));
        assert_eq!(past.gate(GateId::Ingress), None);
        assert_eq!(Past::of(&runs, Command::Status), past);
        assert_eq!((budget(&runs, Command::Startup), budget(&runs, Command::Shutdown)), (Some(secs(90)), Some(secs(300))));
        assert_eq!(budget(&[], Command::Shutdown), None);
    }

    #[test]
    fn only_a_shutdown_of_a_cluster_that_ran_tells_how_long_one_takes() {
        let bench = Bench::new(1);
        let intent = |state| {
            let (run, at) = (RunId::parse("run-1").unwrap(), bench.now.minus(secs(600)));
            Some(Intent { state, run, at, reason: "battery".to_owned(), by_power: true, of: None })
        };
        for (intent, tells) in [
            (None, true),
            (intent(IntentState::Normal), true),
            (intent(IntentState::StartupInProgress), false),
            (intent(IntentState::ShuttingDown), false),
            (intent(IntentState::ShutdownComplete), false),
        ] {
            let mut walk = shutdown(bench.spec.clone(), bench.now, "battery", None, intent.as_ref());
            (walk.dry_run, walk.outcome) = (false, Some(Outcome::Done));
            assert_eq!(walk.past_run(bench.now.plus(secs(40))).is_some(), tells, "{intent:?}");
        }
    }

    #[test]
    fn a_run_that_is_under_way_is_told_with_what_is_normal() {
        let bench = Bench::new(1);
        let mut walk = startup(startup_plan(), bench.spec.clone(), bench.now, None, None);
        walk.dry_run = false;
        walk.past = Past::of(&[run(Command::Startup, Outcome::Done, 200, &[(GateId::Guards, 10)])], Command::Startup);
        walk.judge(bench.now);
        let later = bench.now.plus(secs(4));
        let told = |walk: &Walk| walk.progress(bench.now).under_way(later);
        let began = format!("{} began 4s ago, was last heard of 4s ago, and waits for", walk.run);
        assert_eq!(told(&walk), Some(format!("{began} guards for 4s (normally 10s); about 6s left")));
        walk.past = Past::default();
        assert_eq!(told(&walk), Some(format!("{began} guards for 4s; no history yet")));
        walk.outcome = Some(Outcome::Done);
        assert_eq!(told(&walk), None);
    }

    #[test]
    fn what_remains_is_the_longest_way_and_nobody_guesses_without_history() {
        let bench = Bench::new(1);
        let mut walk = startup(startup_plan(), bench.spec.clone(), bench.now, None, None);
        assert_eq!(walk.remaining(bench.now), None);
        let gates = [(GateId::ControlPlane, 60), (GateId::NodesReady, 20), (GateId::Workloads, 100), (GateId::Soak, 30)];
        walk.past = Past::of(&[run(Command::Startup, Outcome::Done, 200, &gates)], Command::Startup);
        // Workloads go on beside the nodes, and the soak comes after all.
        assert_eq!(walk.remaining(bench.now), Some(secs(190)));
        for (id, gate) in &mut walk.gates {
            gate.settled = matches!(id, GateId::Guards | GateId::Inventory).then_some(bench.now);
        }
        walk.gates.insert(GateId::ControlPlane, GateRun::opened_at(bench.now));
        assert_eq!(walk.remaining(bench.now.plus(secs(45))), Some(secs(145)));
        assert_eq!(walk.remaining(bench.now.plus(secs(500))), Some(secs(130)), "late, and expected at once");
    }
}
