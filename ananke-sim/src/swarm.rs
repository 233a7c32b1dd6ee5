//! The swarm: whole stories of what can befall a cluster and those who bring it back, each from a seed alone. In the first
//! half trouble comes and nothing forbidden may happen. In the second one it is calm, people have taken back what they did,
//! and everything must end in bounded time: recovered, or stopped with the right person's work.

mod actor;
mod canary;
mod draw;
mod gear;
mod remedy;
mod shrink;
mod stage;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ananke_core::report::{Command, GateReport, ManualAction, Outcome, Report};
use ananke_core::verdict::Trap;
use serde::{Deserialize, Serialize};

pub use canary::Canary;
pub use draw::draw;
pub use gear::Gear;
pub use shrink::shrink;
pub use story::{Act, NotAStory, Step, Story};

use crate::check::{BOUNDED, Record, Violation, What};
use crate::fault::Fault;
use crate::{campaign, drill, trap};

/// What came of one story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub seed: u64,
    pub story: Story,
    pub ending: Ending,
    pub violations: Vec<Violation>,
    /// From the beginning to the end of the last run of Ananke, in virtual seconds.
    pub recovery_seconds: u64,
    pub summary: String,
    /// Of the last run of Ananke; empty where none ended.
    pub gates: Vec<GateReport>,
    pub manual: Vec<ManualAction>,
    /// Ids of the faults that the story has, each once.
    pub faults: Vec<String>,
    /// Traps that were met in all runs: named, acted on, told to a person, or in the world where no gate names them.
    pub traps: Vec<Trap>,
    /// Orders that were sent, by their verb.
    pub remedies: BTreeMap<String, u64>,
    /// How many times a run of Ananke began.
    pub runs: u64,
    /// How long the last one took, in virtual seconds.
    pub last_seconds: u64,
    /// What it did, in seconds from its beginning.
    pub actions: Vec<(u64, String)>,
    /// What the first one took until everything was there, the soak left out, where nothing was missing at its end; in virtual
    /// seconds.
    #[serde(default)]
    pub first_recovery: Option<u64>,
}

/// How a story ended, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    Recovered,
    /// Stopped with the right person's work.
    Manual,
    /// Nothing bad was done, and it did not come to an end either.
    Stuck,
    /// A rule was broken.
    Forbidden,
    /// The engine panicked.
    Crashed,
}

impl Ending {
    pub fn id(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Manual => "manual",
            Self::Stuck => "stuck",
            Self::Forbidden => "forbidden",
            Self::Crashed => "crashed",
        }
    }

    pub fn is_failure(self) -> bool {
        match self {
            Self::Recovered | Self::Manual => false,
            Self::Stuck | Self::Forbidden | Self::Crashed => true,
        }
    }
}

impl Run {
    /// Names of the rules that were broken, each once.
    pub fn broken(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.violations.iter().map(|violation| violation.checker.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Plays a story. The same story gives the same run.
pub fn run(story: &Story) -> Run {
    run_with(story, None)
}

/// The same, with a defect planted where one is given.
pub fn run_with(story: &Story, canary: Option<Canary>) -> Run {
    let played = catch_unwind(AssertUnwindSafe(|| stage::play(story, canary)));
    let (record, crashed) = match played {
        Ok(Ok(record)) => (record, None),
        Ok(Err(why)) => (Record::default(), Some(why)),
        Err(panic) => (Record::default(), Some(words(&*panic))),
    };
    told(story, &record, crashed)
}

/// The smallest story found that fails as `run` did: in one of the same rules, or by a crash.
pub fn cut(failed: &Run) -> Story {
    let broken = failed.broken();
    shrink(&failed.story, |story| {
        let again = run(story);
        again.ending == failed.ending && again.broken().iter().any(|rule| broken.contains(rule))
    })
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "it panicked".to_owned())
}

fn told(story: &Story, record: &Record, crashed: Option<String>) -> Run {
    let mut violations = record.violations();
    let reports: Vec<&Report> = record.events.iter().filter_map(|event| report(&event.what)).collect();
    let last = reports.last();
    let ending = match (&crashed, violations.is_empty(), last.map(|report| report.outcome)) {
        (Some(_), ..) => Ending::Crashed,
        (None, false, _) if violations.iter().all(|violation| violation.checker == BOUNDED) => Ending::Stuck,
        (None, false, _) => Ending::Forbidden,
        (None, true, Some(Outcome::Done)) => Ending::Recovered,
        (None, true, _) => Ending::Manual,
    };
    violations.extend(crashed.map(|text| Violation { checker: "crash".to_owned(), text }));
    let mut traps: Vec<Trap> = reports
        .iter()
        .flat_map(|report| report.actions.iter().filter_map(|it| it.trap).chain(report.manual.iter().filter_map(|it| it.trap)))
        .collect();
    let mut remedies = BTreeMap::new();
    let mut runs = 0;
    for event in &record.events {
        match &event.what {
            What::Sent(sent) => {
                *remedies.entry(sent.order.verb().to_owned()).or_default() += 1;
                let drains = sent.run.as_str().starts_with("shutdown") && sent.order.verb() == "delete-pod";
                traps.extend(drains.then_some(Trap::DrainBlockedByPdb));
            }
            What::Began { .. } => runs += 1,
            _ => {}
        }
    }
    let faults = struck(story, record);
    traps.extend(met(story, record, &faults));
    traps.sort_unstable();
    traps.dedup();
    let faults = faults.into_iter().map(|fault| fault.id().to_owned()).collect();
    Run {
        seed: story.seed,
        story: story.clone(),
        ending,
        violations,
        recovery_seconds: record.events.last().map_or(0, |event| u64::try_from(event.at / 1000).unwrap_or(0)),
        summary: last.map(|report| report.summary.clone()).unwrap_or_default(),
        gates: last.map(|report| report.gates.clone()).unwrap_or_default(),
        manual: last.map(|report| report.manual.clone()).unwrap_or_default(),
        faults,
        traps,
        remedies,
        runs,
        last_seconds: last.map_or(0, |report| report.took.as_secs()),
        actions: last.map(|report| campaign::actions(&report.actions, report.started)).unwrap_or_default(),
        first_recovery: first_recovery(record),
    }
}

/// Of the run that began with the story.
fn first_recovery(record: &Record) -> Option<u64> {
    let runs = record.events.iter().filter(|event| matches!(event.what, What::Began { .. } | What::Ended(_)));
    let report = runs.take(2).find_map(|event| report(&event.what))?;
    let took = report.took.saturating_sub(drill::SOAK).as_secs();
    (report.command == Command::Startup && report.outcome == Outcome::Done).then_some(took)
}

/// Faults that came into the world, each once; some stand in where it begins.
fn struck(story: &Story, record: &Record) -> Vec<Fault> {
    let begins: &[Fault] = match story.scenario.as_str() {
        "circle" => &[Fault::GitPruned],
        "circle-cold" => &[Fault::GitPruned, Fault::ImagesLost],
        _ => &[],
    };
    let came = record.events.iter().filter_map(|event| if let What::Struck(fault) = event.what { Some(fault) } else { None });
    let mut faults: Vec<Fault> = begins.iter().copied().chain(came).collect();
    faults.sort_unstable();
    faults.dedup();
    faults
}

/// Traps that were named, and those that no gate names by themselves: what the world had that is one.
fn met(story: &Story, record: &Record, faults: &[Fault]) -> BTreeSet<Trap> {
    let named = record.events.iter().filter_map(|event| if let What::Met(trap) = event.what { Some(trap) } else { None });
    let nameless = |trap: &Trap| ananke_core::trap::entry(*trap).is_some_and(|entry| entry.diagnosis.is_none());
    let had = Trap::ALL.iter().copied().filter(nameless).filter(|trap| trap::fault(*trap).is_some_and(|it| faults.contains(&it)));
    let lost = story.scenario == "power-loss" || story.steps.iter().any(|step| matches!(step.act, Act::Outage(_)));
    let everywhere = if lost { trap::EVERYWHERE } else { &[] };
    named.chain(had).chain(everywhere.iter().copied()).collect()
}

fn report(what: &What) -> Option<&Report> {
    if let What::Ended(ended) = what { Some(&ended.report) } else { None }
}
