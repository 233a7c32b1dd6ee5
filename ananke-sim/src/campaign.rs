//! What many drills come to. Parts that ran on different machines are put together to the same whole.

mod counts;

use std::collections::{BTreeMap, BTreeSet};

use ananke_core::name::Moment;
use ananke_core::report::{ActionReport, GateReport, GateStatus};
use ananke_core::verdict::{GateId, Trap};
use serde::{Deserialize, Serialize};

pub use counts::Counts;

use crate::drill::{Drill, Ending};
use crate::oracle;
use crate::rivals;
use crate::scenario::Scenario;
use crate::swarm::{self, Run};
use crate::world::Ms;

pub const SCHEMA: u32 = 1;
/// Seeds of a campaign: the first, the one after the last, and which shard of them.
pub type Part = (u64, u64, String);

/// The shard that is all of them.
pub const WHOLE: &str = "0/1";

/// Failures and timelines that are kept whole; the others are counted.
const KEPT: usize = 20;
const SLOWEST: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    pub schema: u32,
    /// What was drilled, as the arguments of `ananke drill` that repeat it with a seed.
    pub drills: String,
    pub seeds: BTreeSet<Part>,
    pub runs: u64,
    pub failed: u64,
    pub recovered: u64,
    pub manual: u64,
    /// Of a part in its own time.
    pub runs_per_second: u64,
    /// That its parts took, one after the other.
    #[serde(default)]
    pub millis: u64,
    /// Drills of each ending.
    pub endings: BTreeMap<String, u64>,
    /// Virtual seconds until everything that can be had is there, of the drills that recovered.
    pub recovery_seconds: Counts,
    /// Beside the shortest that each world allows, and beside others; where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    /// Thousandths of the shortest time of a world without trouble that the first run took, where trouble came and nothing was
    /// missing at its end.
    #[serde(default, skip_serializing_if = "Counts::is_empty")]
    pub troubled_over_shortest: Counts,
    pub gates: BTreeMap<GateId, GateTally>,
    /// Faults that the drilled worlds had.
    pub faults: BTreeMap<String, u64>,
    /// Traps that something was done about or that a person was told of.
    pub traps: BTreeMap<Trap, u64>,
    /// Orders that were sent.
    pub orders: BTreeMap<String, u64>,
    pub failures: Vec<Failed>,
    pub timelines: Vec<Timeline>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateTally {
    pub endings: BTreeMap<String, u64>,
    pub seconds: Counts,
}

/// Thousandths of the shortest time are what the figures of `over_shortest` are in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    pub over_shortest: Counts,
    pub shortest_seconds: Counts,
    /// Who powers on and waits for Flux, and who goes by a runbook: seconds where they get there.
    pub waiting_seconds: Counts,
    pub runbook_seconds: Counts,
    pub waiting_over_shortest: Counts,
    pub runbook_over_shortest: Counts,
    /// Recovered by Ananke, and never by them.
    pub waiting_never: u64,
    pub runbook_never: u64,
    /// Seeds in which waiting was quicker than Ananke: each is a defect.
    pub slower_than_waiting: Vec<u64>,
    /// Seeds that were quicker than the shortest time: each is a defect of the oracle.
    pub beaten: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub seed: u64,
    pub ending: String,
    /// Prints that one run's story.
    pub reproduce: String,
    pub violations: Vec<String>,
}

/// A run as a picture has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    pub title: String,
    pub seconds: u64,
    pub gates: Vec<GateReport>,
    /// When something was done, in seconds from the beginning, and what.
    pub actions: Vec<(u64, String)>,
}

/// What one seed came to.
#[derive(Debug, Clone)]
pub struct Seed {
    pub seed: u64,
    pub ending: String,
    pub kind: Kind,
    pub reproduce: String,
    pub recovery_seconds: u64,
    pub violations: Vec<String>,
    pub gates: Vec<GateReport>,
    pub faults: Vec<String>,
    pub traps: Vec<Trap>,
    pub orders: BTreeMap<String, u64>,
    pub actions: Vec<(u64, String)>,
    /// Of the run that these were done in, where it is not all of the story; in virtual seconds.
    pub took: Option<u64>,
    /// As [`Campaign::troubled_over_shortest`] has it.
    pub troubled_over_shortest: Option<u64>,
    pub beside: Option<Beside>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Recovered,
    Manual,
    Failed,
}

/// Others in the same world, in virtual milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beside {
    pub shortest: Option<Ms>,
    pub waiting: Option<Ms>,
    pub runbook: Option<Ms>,
}

impl Beside {
    pub fn of(scenario: &Scenario, seed: u64) -> Self {
        Self {
            shortest: oracle::shortest(scenario, seed).map(|it| it.at),
            waiting: rivals::power_on_and_wait(scenario, seed),
            runbook: rivals::runbook(scenario, seed),
        }
    }
}

impl Seed {
    pub fn of_drill(drill: Drill, scenario: &Scenario, reproduce: String, beside: Option<Beside>) -> Self {
        let report = &drill.report;
        let traps = report.actions.iter().filter_map(|it| it.trap).chain(report.manual.iter().filter_map(|it| it.trap));
        let mut orders = BTreeMap::new();
        for action in &report.actions {
            *orders.entry(action.verb.clone()).or_default() += 1;
        }
        let (kind, ending) = match drill.outcome {
            Ending::Recovered => (Kind::Recovered, "recovered"),
            Ending::Manual => (Kind::Manual, "manual"),
            Ending::Failed => (Kind::Failed, "failed"),
        };
        Self {
            seed: drill.seed,
            ending: ending.to_owned(),
            kind,
            reproduce,
            recovery_seconds: drill.recovery_seconds,
            traps: traps.collect::<BTreeSet<_>>().into_iter().collect(),
            faults: scenario.faults.iter().map(|(fault, _)| fault.id().to_owned()).collect(),
            orders,
            actions: actions(&report.actions, report.started),
            took: None,
            troubled_over_shortest: None,
            violations: drill.violations,
            gates: drill.gates,
            beside,
        }
    }

    pub fn of_swarm(run: Run, reproduce: String) -> Self {
        let over = troubled_over_shortest(&run);
        let kind = match run.ending {
            swarm::Ending::Recovered => Kind::Recovered,
            swarm::Ending::Manual => Kind::Manual,
            swarm::Ending::Stuck | swarm::Ending::Forbidden | swarm::Ending::Crashed => Kind::Failed,
        };
        Self {
            seed: run.seed,
            ending: run.ending.id().to_owned(),
            kind,
            reproduce,
            recovery_seconds: run.recovery_seconds,
            violations: run.violations.iter().map(ToString::to_string).collect(),
            gates: run.gates,
            faults: run.faults,
            traps: run.traps,
            orders: run.remedies,
            actions: run.actions,
            took: Some(run.last_seconds),
            troubled_over_shortest: over,
            beside: None,
        }
    }

    /// A seed whose drill did not come to an end.
    pub fn broken(seed: u64, reproduce: String, why: String) -> Self {
        Self {
            seed,
            ending: "failed".to_owned(),
            kind: Kind::Failed,
            reproduce,
            recovery_seconds: 0,
            violations: vec![why],
            gates: Vec::new(),
            faults: Vec::new(),
            traps: Vec::new(),
            orders: BTreeMap::new(),
            actions: Vec::new(),
            took: None,
            troubled_over_shortest: None,
            beside: None,
        }
    }

    pub fn is_failure(&self) -> bool {
        self.kind == Kind::Failed
    }

    pub fn timeline(&self) -> Timeline {
        // The soak comes after the recovery.
        let passed = self.gates.iter().filter_map(|gate| gate.passed_after).max().map_or(0, |passed| passed.as_secs());
        Timeline {
            title: format!("seed {}: {}", self.seed, self.ending),
            seconds: self.took.unwrap_or(self.recovery_seconds).max(passed),
            gates: self.gates.clone(),
            actions: self.actions.clone(),
        }
    }
}

/// Of the first run of a story, in thousandths.
fn troubled_over_shortest(run: &Run) -> Option<u64> {
    let troubled = run.story.scenario == "power-loss" && !run.faults.is_empty();
    let took = run.first_recovery.filter(|_| troubled)?;
    let shortest = oracle::shortest(&run.story.scenario().ok()?, run.seed)?.at;
    took.saturating_mul(1_000_000).checked_div(u64::try_from(shortest).ok()?)
}

/// Seconds from the beginning, and what was done.
pub fn actions(done: &[ActionReport], began: Moment) -> Vec<(u64, String)> {
    done.iter().map(|action| (action.at.since(began).as_secs(), action.text.clone())).collect()
}

impl Campaign {
    pub fn new(drills: String) -> Self {
        Self {
            schema: SCHEMA,
            drills,
            seeds: BTreeSet::new(),
            runs: 0,
            failed: 0,
            recovered: 0,
            manual: 0,
            runs_per_second: 0,
            millis: 0,
            endings: BTreeMap::new(),
            recovery_seconds: Counts::default(),
            compared: None,
            troubled_over_shortest: Counts::default(),
            gates: BTreeMap::new(),
            faults: BTreeMap::new(),
            traps: BTreeMap::new(),
            orders: BTreeMap::new(),
            failures: Vec::new(),
            timelines: Vec::new(),
        }
    }

    pub fn add(&mut self, seed: &Seed) {
        self.runs += 1;
        *self.endings.entry(seed.ending.clone()).or_default() += 1;
        match seed.kind {
            Kind::Recovered => {
                self.recovered += 1;
                self.recovery_seconds.add(seed.recovery_seconds);
            }
            Kind::Manual => self.manual += 1,
            Kind::Failed => {
                self.failed += 1;
                let (ending, reproduce, violations) = (seed.ending.clone(), seed.reproduce.clone(), seed.violations.clone());
                self.failures.push(Failed { seed: seed.seed, ending, reproduce, violations });
            }
        }
        for gate in &seed.gates {
            let tally = self.gates.entry(gate.id).or_default();
            *tally.endings.entry(gate.status.id().to_owned()).or_default() += 1;
            if gate.status == GateStatus::Passed {
                tally.seconds.add(gate.took.as_secs());
            }
        }
        seed.faults.iter().for_each(|fault| *self.faults.entry(fault.clone()).or_default() += 1);
        seed.traps.iter().for_each(|trap| *self.traps.entry(*trap).or_default() += 1);
        sum(&mut self.orders, &seed.orders);
        self.troubled_over_shortest.extend(seed.troubled_over_shortest);
        if let Some(beside) = seed.beside.filter(|_| seed.kind == Kind::Recovered) {
            self.compared.get_or_insert_default().add(seed, beside);
        }
        self.timelines.push(seed.timeline());
        self.trim();
    }

    /// The other part of it.
    ///
    /// # Errors
    /// If it is of other drills, or of seeds that are counted already.
    pub fn merge(&mut self, other: &Self) -> Result<(), String> {
        if self.drills != other.drills {
            return Err(format!("these are drills of `{}`, and those of `{}`", self.drills, other.drills));
        }
        let both = |one: &Part, other: &Part| {
            let same = one.2 == other.2 || [&one.2, &other.2].iter().any(|shard| *shard == WHOLE);
            same && one.0 < other.1 && other.0 < one.1
        };
        if let Some((from, to, shard)) = other.seeds.iter().find(|part| self.seeds.iter().any(|mine| both(mine, part))) {
            return Err(format!("the seeds {from}..{to} (shard {shard}) are counted already"));
        }
        self.seeds.extend(other.seeds.iter().cloned());
        for (mine, more) in [
            (&mut self.runs, other.runs),
            (&mut self.failed, other.failed),
            (&mut self.recovered, other.recovered),
            (&mut self.manual, other.manual),
            (&mut self.millis, other.millis),
        ] {
            *mine += more;
        }
        self.runs_per_second = self.runs.saturating_mul(1000).checked_div(self.millis).unwrap_or(0);
        sum(&mut self.endings, &other.endings);
        self.recovery_seconds.merge(&other.recovery_seconds);
        self.troubled_over_shortest.merge(&other.troubled_over_shortest);
        for (gate, tally) in &other.gates {
            let mine = self.gates.entry(*gate).or_default();
            sum(&mut mine.endings, &tally.endings);
            mine.seconds.merge(&tally.seconds);
        }
        sum(&mut self.faults, &other.faults);
        sum(&mut self.traps, &other.traps);
        sum(&mut self.orders, &other.orders);
        if let Some(compared) = &other.compared {
            self.compared.get_or_insert_default().merge(compared);
        }
        self.failures.extend(other.failures.iter().cloned());
        self.failures.sort_by_key(|failed| failed.seed);
        self.timelines.extend(other.timelines.iter().cloned());
        self.trim();
        Ok(())
    }

    /// Shards that are not there beside others of the same cut; one line for each range of seeds.
    pub fn missing(&self) -> Vec<String> {
        let mut cuts: BTreeMap<(u64, u64, u64), BTreeSet<u64>> = BTreeMap::new();
        for (from, to, shard) in &self.seeds {
            if let Some((Ok(index), Ok(of))) = shard.split_once('/').map(|(index, of)| (index.parse(), of.parse())) {
                cuts.entry((*from, *to, of)).or_default().insert(index);
            }
        }
        let told = |((from, to, of), there): (&(u64, u64, u64), &BTreeSet<u64>)| {
            let absent = of.saturating_sub(u64::try_from(there.len()).unwrap_or(u64::MAX));
            let named: Vec<String> =
                (0..*of).filter(|index| !there.contains(index)).take(KEPT).map(|index| format!("{index}/{of}")).collect();
            let more = absent.saturating_sub(u64::try_from(named.len()).unwrap_or(u64::MAX));
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            (!named.is_empty()).then(|| format!("shard {}{more} of the seeds {from}..{to}", named.join(", ")))
        };
        cuts.iter().filter_map(told).collect()
    }

    /// Only the slowest runs are kept as pictures, and not every failure in its words; many of one kind push out none of another.
    fn trim(&mut self) {
        self.timelines.sort_by(|a, b| b.seconds.cmp(&a.seconds).then_with(|| a.title.cmp(&b.title)));
        self.timelines.truncate(SLOWEST);
        let mut kept: BTreeMap<(String, String), usize> = BTreeMap::new();
        self.failures.retain(|failed| {
            let of_its_kind = kept.entry(failed.kind()).or_default();
            *of_its_kind += 1;
            *of_its_kind <= KEPT
        });
    }
}

impl Failed {
    /// How it ended, and which rule was broken first.
    fn kind(&self) -> (String, String) {
        let rule = self.violations.first().and_then(|text| text.split_once(':')).map_or("", |(rule, _)| rule);
        (self.ending.clone(), rule.to_owned())
    }
}

impl Compared {
    fn add(&mut self, seed: &Seed, beside: Beside) {
        let ours = Ms::try_from(seed.recovery_seconds).unwrap_or(Ms::MAX).saturating_mul(1000);
        let seconds = |at: Ms| u64::try_from(at / 1000).unwrap_or(0);
        let over = |at: Ms| beside.shortest.filter(|shortest| *shortest > 0).and_then(|it| u64::try_from(at * 1000 / it).ok());
        self.over_shortest.extend(over(ours));
        if let Some(shortest) = beside.shortest {
            self.shortest_seconds.add(seconds(shortest));
            // A drill's seconds are whole.
            if ours + 999 < shortest {
                self.beaten.push(seed.seed);
            }
        }
        match beside.waiting {
            Some(at) => {
                self.waiting_seconds.add(seconds(at));
                self.waiting_over_shortest.extend(over(at));
                if at < ours {
                    self.slower_than_waiting.push(seed.seed);
                }
            }
            None => self.waiting_never += 1,
        }
        match beside.runbook {
            Some(at) => {
                self.runbook_seconds.add(seconds(at));
                self.runbook_over_shortest.extend(over(at));
            }
            None => self.runbook_never += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        for (mine, more) in [
            (&mut self.over_shortest, &other.over_shortest),
            (&mut self.shortest_seconds, &other.shortest_seconds),
            (&mut self.waiting_seconds, &other.waiting_seconds),
            (&mut self.runbook_seconds, &other.runbook_seconds),
            (&mut self.waiting_over_shortest, &other.waiting_over_shortest),
            (&mut self.runbook_over_shortest, &other.runbook_over_shortest),
        ] {
            mine.merge(more);
        }
        self.waiting_never += other.waiting_never;
        self.runbook_never += other.runbook_never;
        self.slower_than_waiting.extend(&other.slower_than_waiting);
        self.beaten.extend(&other.beaten);
    }
}

fn sum<K: Ord + Clone>(mine: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, count) in more {
        *mine.entry(key.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill;
    use crate::fault::Fault;

    fn played(seed: u64) -> Seed {
        let scenario = Scenario::default().with_nodes(3);
        let scenario = if seed.is_multiple_of(3) { scenario.with_fault(Fault::NeverBoots, None) } else { scenario };
        let drill = drill::run(&scenario, seed).unwrap();
        Seed::of_drill(drill, &scenario, format!("seed {seed}"), Some(Beside::of(&scenario, seed)))
    }

    fn of(seeds: impl Iterator<Item = u64>, part: &str) -> Campaign {
        let mut campaign = Campaign::new("drills".to_owned());
        seeds.for_each(|seed| campaign.add(&played(seed)));
        campaign.seeds.insert((0, 6, part.to_owned()));
        campaign
    }

    #[test]
    fn shards_put_together_are_the_whole_and_none_is_counted_twice() {
        let (mut parts, odd) = (of((0..6).step_by(2), "0/2"), of((1..6).step_by(2), "1/2"));
        parts.millis = 1_000;
        parts.merge(&Campaign { millis: 3_000, ..odd.clone() }).unwrap();
        let rate = parts.runs * 1000 / 4_000;
        assert_eq!(std::mem::take(&mut parts.runs_per_second), rate, "they may run at the same time, or one after the other");
        assert_eq!(std::mem::take(&mut parts.millis), 4_000);
        assert_eq!(parts.merge(&odd).unwrap_err(), "the seeds 0..6 (shard 1/2) are counted already");
        let whole = of(0..6, "0/1");
        assert_eq!(parts.merge(&whole).unwrap_err(), "the seeds 0..6 (shard 0/1) are counted already");
        let whole = Campaign { seeds: parts.seeds.clone(), ..whole };
        assert_eq!(parts, whole);
        assert_eq!((whole.runs, whole.recovered, whole.manual, whole.failed), (6, 4, 2, 0));
        assert_eq!((whole.faults.get("never-boots"), whole.traps.get(&Trap::HostDark)), (Some(&2), Some(&2)));
        let compared = whole.compared.unwrap();
        assert_eq!((compared.over_shortest.total(), compared.slower_than_waiting, compared.beaten), (4, Vec::new(), Vec::new()));
        assert!(Campaign::new("others".to_owned()).merge(&odd).unwrap_err().contains("others"));
    }

    #[test]
    fn a_failure_is_kept_with_what_repeats_it() {
        let mut campaign = Campaign::new("drills".to_owned());
        campaign.add(&Seed::broken(7, "ananke drill --seed 7".to_owned(), "it stalled".to_owned()));
        let failed = campaign.failures.first().unwrap();
        assert_eq!((failed.seed, failed.reproduce.as_str(), campaign.failed), (7, "ananke drill --seed 7", 1));
        let read: Campaign = serde_json::from_str(&serde_json::to_string(&campaign).unwrap()).unwrap();
        assert_eq!(read, campaign);
    }
}
