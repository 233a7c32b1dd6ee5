//! `drill`: one story, or many seeds.

mod many;
mod page;
mod swarm;

use ananke_core::name::NodeName;
use ananke_core::trap::{self, Entry};
use ananke_core::verdict::Trap;
use ananke_sim::campaign::{Beside, Seed};
use ananke_sim::drill::{self, Ending};
use ananke_sim::{Fault, Scenario, World};
use serde::Serialize;

use super::doctor::NO_SNAPSHOT;
use super::print;
use crate::args;
use crate::exit::Exit;
use crate::render;
use crate::state::snapshot;
use crate::wire::Failure;

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
    if !args.merge.is_empty() {
        return many::merge(args);
    }
    if let Some(file) = &args.replay {
        return swarm::replay(args, file);
    }
    if args.swarm {
        return swarm::run(args);
    }
    let scenario = scenario(args)?;
    match &args.seeds {
        Some(seeds) => many(args, &scenario, seeds),
        None => one(args, &scenario),
    }
}

fn one(args: &args::Drill, scenario: &Scenario) -> Result<Exit, Failure> {
    let drill = drill::run(scenario, args.seed).map_err(|stalled| Failure::Internal(format!("the drill hung: {stalled}")))?;
    print(args.output.output, &drill, render::drill)?;
    let outcome = drill.outcome;
    if let Some(file) = &args.html {
        page::write(file, &page::of_run(&Seed::of_drill(drill, scenario, reproduce(args, args.seed), None).timeline()))?;
    }
    Ok(match outcome {
        Ending::Recovered => Exit::Done,
        Ending::Manual => Exit::PersonNeeded,
        Ending::Failed => Exit::NotInTime,
    })
}

fn many(args: &args::Drill, scenario: &Scenario, seeds: &std::ops::Range<u64>) -> Result<Exit, Failure> {
    let play = |seed: u64| match drill::run(scenario, seed) {
        Ok(drill) => {
            let beside = args.compare.then(|| Beside::of(scenario, seed));
            Seed::of_drill(drill, scenario, reproduce(args, seed), beside)
        }
        Err(stalled) => Seed::broken(seed, reproduce(args, seed), stalled.to_string()),
    };
    many::run(args, &drilled(args), seeds, play)
}

/// What repeats one of them.
fn reproduce(args: &args::Drill, seed: u64) -> String {
    format!("ananke drill {} --seed {seed}", drilled(args))
}

fn drilled(args: &args::Drill) -> String {
    let mut command = args.trap.as_ref().map_or_else(|| format!("--scenario {}", args.scenario), |trap| format!("--trap {trap}"));
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

fn scenario(args: &args::Drill) -> Result<Scenario, Failure> {
    let known = || Scenario::all().map(|(id, _)| id).collect::<Vec<_>>().join(", ");
    let mut scenario = match &args.trap {
        Some(id) => trapped(id)?,
        None => Scenario::named(&args.scenario)
            .ok_or_else(|| Failure::Usage(format!("there is no scenario {:?}; there are {}", args.scenario, known())))?,
    };
    if let Some(file) = &args.from {
        let map = snapshot::read(file).map_err(Failure::asked(NO_SNAPSHOT))?.map;
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
            can_strike(&scenario, fault, node).map_err(|found| Failure::Usage(format!("--inject {wanted}: {found}")))?;
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
    ananke_sim::trap::scenario(entry.trap).ok_or_else(|| Failure::Usage(format!("{id} is not drilled: docs/traps.md says why")))
}

/// A fault on a node that the world does not have, or that cannot have it, would be a drill of nothing.
fn can_strike(scenario: &Scenario, fault: Fault, node: &NodeName) -> Result<(), String> {
    let mut world = World::new(scenario, 0);
    if world.hosts().iter().any(|host| host.name == *node) {
        return world.inject(fault, Some(node));
    }
    let names = || world.hosts().iter().map(|host| &host.name);
    let ends = names().next().zip(names().next_back()).map(|(first, last)| format!("; there are {first} to {last}"));
    Err(format!("there is no node {node}{}", ends.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use ananke_sim::campaign::Campaign;
    use clap::Parser;

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
    fn a_fault_on_a_node_that_cannot_have_it_is_refused() {
        let world = Scenario::named("power-loss").unwrap().with_nodes(5);
        for (fault, node, said) in [
            (Fault::Unplugged, "titan-05", Ok(())),
            (Fault::NeverBoots, "titan-99", Err("there is no node titan-99; there are titan-01 to titan-05")),
            (Fault::Unplugged, "titan-01", Err("fault unplugged is a worker's, and titan-01 is a server")),
            (Fault::DnsDown, "titan-01", Err("fault dns-down takes no node")),
        ] {
            assert_eq!(can_strike(&world, fault, &NodeName::parse(node).unwrap()), said.map_err(str::to_owned));
        }
    }

    #[test]
    fn a_merge_that_lacks_a_shard_does_not_end_well() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let part = |shard: &str| {
            let seeds = std::iter::once((0, 6, shard.to_owned())).collect();
            serde_json::to_string(&Campaign { seeds, ..Campaign::new("drills".to_owned()) }).unwrap()
        };
        let (first, second, empty) = (write("0", &part("0/2")), write("1", &part("1/2")), write("2", ""));
        let ends = |files: &[&String]| {
            let words = ["ananke", "drill", "--merge"].into_iter().chain(files.iter().map(|file| file.as_str()));
            crate::commands::run(args::Args::try_parse_from(words).unwrap())
        };
        assert_eq!(ends(&[&first, &second]), Exit::Done);
        assert_eq!(ends(&[&first]), Exit::NotInTime);
        assert_eq!(ends(&[&first, &second, &empty]), Exit::NotInTime);
    }

    #[test]
    fn the_job_of_a_campaign_asks_for_what_there_is() {
        let job = include_str!("../../../deploy/drill-campaign.yaml");
        let line = job.lines().find_map(|line| line.trim().strip_prefix("args: [")?.strip_suffix(']')).unwrap();
        let words = line.replace("$(JOB_COMPLETION_INDEX)", "7").replace('"', "");
        let parsed = args::Args::try_parse_from(std::iter::once("ananke").chain(words.split(", "))).unwrap();
        let args::Command::Drill(drill) = parsed.command else { panic!("{words}") };
        assert!(drill.swarm && job.contains("completions: 8\n"));
        assert_eq!(drill.shard, Some(args::Shard { index: 7, of: 8 }));
    }
}
