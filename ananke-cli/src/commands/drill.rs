//! `drill`: one story, or many seeds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ananke_core::name::NodeName;
use ananke_core::trap::{self, Entry};
use ananke_core::verdict::Trap;
use ananke_sim::drill::{self, Drill, Ending};
use ananke_sim::{Fault, Scenario, World};
use serde::Serialize;

use super::print;
use crate::args;
use crate::exit::Exit;
use crate::render;
use crate::state::snapshot;
use crate::wire::Failure;

/// What many drills come to.
#[derive(Debug, Serialize)]
struct Campaign {
    runs: u64,
    failed: u64,
    recovered: u64,
    manual: u64,
    runs_per_second: u64,
    recovery_seconds: Spread,
    failures: Vec<Failed>,
}

/// Virtual seconds.
#[derive(Debug, Serialize, Default, PartialEq, Eq)]
struct Spread {
    min: u64,
    median: u64,
    p90: u64,
    max: u64,
}

#[derive(Debug, Serialize)]
struct Failed {
    seed: u64,
    /// Prints that one run's story.
    reproduce: String,
    violations: Vec<String>,
}

/// One line of `--list`.
#[derive(Debug, Serialize)]
struct Listed {
    trap: Trap,
    /// A: Ananke repairs it. B: a gentle first step, then a person. H: a person.
    class: &'static str,
    often: &'static str,
    ending: &'static str,
    /// Whether the simulated world has it.
    drilled: bool,
    symptom: &'static str,
    precondition: &'static str,
    budget: &'static str,
    effect: &'static str,
    evidence: &'static [&'static str],
}

impl Listed {
    fn of(entry: &Entry) -> Self {
        Self {
            trap: entry.trap,
            class: entry.class.letter(),
            often: entry.often.word(),
            ending: entry.class.ending().id(),
            drilled: ananke_sim::trap::scenario(entry.trap).is_some(),
            symptom: entry.symptom,
            precondition: entry.precondition,
            budget: entry.budget,
            effect: entry.effect,
            evidence: entry.evidence,
        }
    }
}

fn list(args: &args::Drill) -> Result<Exit, Failure> {
    let all: Vec<Listed> = trap::ALL.iter().map(|entry| Listed::of(entry)).collect();
    print(args.output.output, &all, |all| {
        let line =
            |it: &Listed| format!("{} {:<38} {}\n", it.class, it.trap, if it.drilled { it.ending } else { "not drilled yet" });
        all.iter().map(line).collect()
    })?;
    Ok(Exit::Done)
}

pub(super) fn run(args: &args::Drill) -> Result<Exit, Failure> {
    if args.list {
        return list(args);
    }
    let scenario = scenario(args)?;
    match &args.seeds {
        Some(seeds) => many(args, &scenario, seeds.clone()),
        None => one(args, &scenario),
    }
}

fn one(args: &args::Drill, scenario: &Scenario) -> Result<Exit, Failure> {
    let drill = drill::run(scenario, args.seed).map_err(|stalled| Failure::Internal(format!("the drill hung: {stalled}")))?;
    print(args.output.output, &drill, render::drill)?;
    Ok(match drill.outcome {
        Ending::Recovered => Exit::Done,
        Ending::Manual => Exit::PersonNeeded,
        Ending::Failed => Exit::NotInTime,
    })
}

#[expect(clippy::disallowed_methods, reason = "the rate of drills is measured in real time, and never judged")]
fn many(args: &args::Drill, scenario: &Scenario, seeds: std::ops::Range<u64>) -> Result<Exit, Failure> {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut ended: Vec<(u64, Result<Drill, String>)> = std::thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    break mine;
                }
                mine.push((seed, drill::run(scenario, seed).map_err(|stalled| stalled.to_string())));
            }
        };
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    ended.sort_by_key(|(seed, _)| *seed);
    let campaign = summed(args, &ended, seeds.end.saturating_sub(seeds.start), began.elapsed().as_millis());
    let failed = campaign.failed > 0;
    print(args.output.output, &campaign, told)?;
    Ok(if failed { Exit::NotInTime } else { Exit::Done })
}

/// A seed that did not come back at all (its thread died) counts as failed.
fn summed(args: &args::Drill, ended: &[(u64, Result<Drill, String>)], runs: u64, millis: u128) -> Campaign {
    let count =
        |ending: Ending| count(ended.iter().filter(|(_, end)| matches!(end, Ok(drill) if drill.outcome == ending)).count());
    let (recovered, manual) = (count(Ending::Recovered), count(Ending::Manual));
    let failures = ended.iter().filter_map(|(seed, end)| {
        let violations = match end {
            Ok(drill) if drill.outcome == Ending::Failed => drill.violations.clone(),
            Ok(_) => return None,
            Err(stalled) => vec![stalled.clone()],
        };
        Some(Failed { seed: *seed, reproduce: reproduce(args, *seed), violations })
    });
    let mut seconds: Vec<u64> =
        ended.iter().filter_map(|(_, end)| end.as_ref().ok()).map(|drill| drill.recovery_seconds).collect();
    seconds.sort_unstable();
    Campaign {
        runs,
        failed: runs.saturating_sub(recovered).saturating_sub(manual),
        recovered,
        manual,
        runs_per_second: u64::try_from(u128::from(runs).saturating_mul(1000) / millis.max(1)).unwrap_or(u64::MAX),
        recovery_seconds: spread(&seconds),
        failures: failures.collect(),
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn spread(sorted: &[u64]) -> Spread {
    let at = |percent: usize| sorted.get(sorted.len().saturating_sub(1).saturating_mul(percent) / 100).copied().unwrap_or(0);
    Spread { min: at(0), median: at(50), p90: at(90), max: at(100) }
}

fn reproduce(args: &args::Drill, seed: u64) -> String {
    let world = args.trap.as_ref().map_or_else(|| format!("--scenario {}", args.scenario), |trap| format!("--trap {trap}"));
    let mut command = format!("ananke drill {world} --seed {seed}");
    if let Some(file) = &args.from {
        command.push_str(&format!(" --from {}", file.display()));
    }
    if let Some(nodes) = args.nodes {
        command.push_str(&format!(" --nodes {nodes}"));
    }
    for fault in &args.inject {
        command.push_str(&format!(" --inject {fault}"));
    }
    command
}

fn told(campaign: &Campaign) -> String {
    let Campaign { runs, failed, recovered, manual, runs_per_second, recovery_seconds: s, failures } = campaign;
    let mut text = format!(
        "{runs} drills, {runs_per_second} a second: {recovered} recovered, {manual} need a person, {failed} failed\n\
         recovery in simulated seconds: min {}, median {}, p90 {}, max {}\n",
        s.min, s.median, s.p90, s.max
    );
    for failure in failures {
        text.push_str(&format!("failed: {}\n", failure.reproduce));
        for violation in &failure.violations {
            text.push_str(&format!("  {violation}\n"));
        }
    }
    text
}

fn scenario(args: &args::Drill) -> Result<Scenario, Failure> {
    let known = || Scenario::all().map(|(id, _)| id).collect::<Vec<_>>().join(", ");
    let mut scenario = match &args.trap {
        Some(id) => trapped(id)?,
        None => Scenario::named(&args.scenario)
            .ok_or_else(|| Failure::Usage(format!("there is no scenario {:?}; there are {}", args.scenario, known())))?,
    };
    if let Some(file) = &args.from {
        let map = snapshot::read(file)?.map;
        let wrong = |why: String| Failure::Usage(format!("{} cannot be drilled: {why}", file.display()));
        scenario = scenario.with_map(map).map_err(wrong)?;
    }
    if let Some(nodes) = args.nodes {
        if !(1..=ananke_sim::scenario::MAX_NODES).contains(&nodes) {
            return Err(Failure::Usage(format!("--nodes {nodes} is not between 1 and {}", ananke_sim::scenario::MAX_NODES)));
        }
        scenario = scenario.with_nodes(nodes);
    }
    for wanted in &args.inject {
        let (id, node) = wanted.split_once('=').map_or((wanted.as_str(), None), |(id, node)| (id, Some(node)));
        let fault =
            Fault::parse(id).ok_or_else(|| Failure::Usage(format!("there is no fault {id:?}; see `ananke sim faults`")))?;
        let node =
            node.map(NodeName::parse).transpose().map_err(|error| Failure::Usage(format!("--inject {wanted}: {error}")))?;
        if let Some(node) = &node {
            is_there(&scenario, node).map_err(|found| Failure::Usage(format!("--inject {wanted}: {found}")))?;
        }
        scenario = scenario.with_fault(fault, node);
    }
    Ok(scenario)
}

fn trapped(id: &str) -> Result<Scenario, Failure> {
    let entry = trap::ALL.iter().find(|entry| entry.trap.id() == id).ok_or_else(|| {
        let hint = crate::config::suggest(id, trap::ALL.iter().map(|entry| entry.trap.id()));
        Failure::Usage(format!("there is no trap {id:?}{hint}; `ananke drill --list` has them all"))
    })?;
    ananke_sim::trap::scenario(entry.trap).ok_or_else(|| Failure::Usage(format!("the simulated world does not have {id} yet")))
}

/// A fault on a node that the world does not have would be a drill of nothing.
fn is_there(scenario: &Scenario, node: &NodeName) -> Result<(), String> {
    let world = World::new(scenario, 0);
    let names = || world.hosts().iter().map(|host| &host.name);
    if names().any(|name| name == node) {
        return Ok(());
    }
    let ends = names().next().zip(names().next_back()).map(|(first, last)| format!("; there are {first} to {last}"));
    Err(format!("there is no node {node}{}", ends.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_traps_says_how_each_drill_ends() {
        let page = include_str!("../../../docs/traps.md");
        for of in trap::ALL.iter().map(|entry| Listed::of(entry)) {
            let drill = if of.drilled { of.ending } else { "not drilled yet" };
            let row = format!("| [{0}](#{0}) | {1} | {2} | {drill} |", of.trap, of.class, of.often);
            assert!(page.contains(&row), "{row}: run `cargo xtask traps`");
        }
    }

    #[test]
    fn a_fault_on_a_node_that_is_not_there_is_refused() {
        let world = Scenario::named("power-loss").unwrap().with_nodes(5);
        let said = |node: &str| is_there(&world, &NodeName::parse(node).unwrap());
        assert_eq!(said("titan-05"), Ok(()));
        assert_eq!(said("titan-99"), Err("there is no node titan-99; there are titan-01 to titan-05".to_owned()));
    }

    #[test]
    fn the_spread_is_of_what_is_there() {
        assert_eq!(spread(&[]), Spread::default());
        assert_eq!(spread(&[5]), Spread { min: 5, median: 5, p90: 5, max: 5 });
        let hundred: Vec<u64> = (0..=100).collect();
        assert_eq!(spread(&hundred), Spread { min: 0, median: 50, p90: 90, max: 100 });
    }
}
