//! What a run recorded leads to the same verdicts and orders again; what was altered is found.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use ananke_core::engine::explain::{About, explain};
use ananke_core::engine::journal::{Delta, Entry, Told, What};
use ananke_core::engine::replay::{ReplayError, replay, retrace};
use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::intent::{Intent, IntentState};
use ananke_core::name::{Moment, RunId};
use ananke_core::port::Clock;
use ananke_core::report::{Command, GateStatus, Outcome};
use ananke_core::spec::Spec;
use ananke_core::verdict::GateId;
use ananke_sim::drill;
use ananke_sim::executor::Sim;
use ananke_sim::fault::Fault;
use ananke_sim::ports::{MemoryState, SimPorts};
use ananke_sim::scenario::Scenario;
use ananke_sim::world::World;

const LIMIT: i64 = 4 * 3_600_000;

fn world(scenario: &str, seed: u64, faults: &[Fault]) -> Sim {
    let mut scenario = Scenario::named(scenario).unwrap().with_nodes(9);
    for fault in faults {
        scenario = scenario.with_fault(*fault, None);
    }
    Sim::new(World::new(&scenario, seed))
}

/// Entries as they would be read from a disk.
fn from_disk(state: &MemoryState) -> Vec<Entry> {
    let lines: Vec<String> = state.kept().journal.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs `command` on a world of nine nodes, and hands out its journal.
fn journal(scenario: &str, seed: u64, faults: &[Fault], command: Command, set: impl FnOnce(&mut Spec)) -> Vec<Entry> {
    let sim = world(scenario, seed, faults);
    let mut spec = drill::spec(&sim.world());
    set(&mut spec);
    let (ports, state, clock) = (SimPorts::new(&sim), MemoryState::recording(), sim.clock());
    let walk = match command {
        Command::Shutdown => engine::shutdown(spec, clock.now(), "test", None, None),
        Command::Startup | Command::Status => engine::startup(engine::startup_plan(), spec, clock.now(), None, None),
    };
    let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
    let never = Box::pin(std::future::pending());
    let run = engine::execute(walk, ports.reads(&clock, &state), ports.hands(&state), never, &mut silent);
    let (report, _) = sim.run(run, LIMIT).unwrap();
    assert_eq!(report.command, command);
    from_disk(&state)
}

fn start_up(seed: u64, faults: &[Fault]) -> Vec<Entry> {
    journal("power-loss", seed, faults, Command::Startup, |_| {})
}

#[test]
fn every_verdict_and_every_order_of_a_start_up_comes_again() {
    let mut actions = 0;
    for (seed, faults) in [
        (1, &[][..]),
        (2, &[Fault::NeverBoots]),
        (3, &[Fault::UnitDisabled, Fault::StoreHang]),
        (4, &[Fault::NodeNeverReady]),
        (5, &[Fault::WrongBranch, Fault::Api500]),
        (6, &[Fault::WorkloadCrashloop, Fault::SshdDown]),
    ] {
        let entries = start_up(seed, faults);
        let replayed = replay(&entries).unwrap_or_else(|error| panic!("seed {seed}, {faults:?}: {error}"));
        let counts = replayed.counts;
        assert_eq!(usize::try_from(counts.entries).unwrap(), entries.len());
        assert!(counts.readings > 500 && counts.judgements > 50 && counts.verdicts > 10, "{counts:?}");
        assert!(replayed.outcome.is_some(), "seed {seed}: {counts:?}");
        actions += counts.actions;
    }
    assert!(actions > 20, "{actions}");
}

#[test]
fn a_shutdown_and_the_start_up_after_it_come_again() {
    for (scenario, command, faults) in [
        ("healthy", Command::Shutdown, &[][..]),
        ("healthy", Command::Shutdown, &[Fault::Api500]),
        ("after-shutdown", Command::Startup, &[]),
    ] {
        let entries = journal(scenario, 7, faults, command, |_| {});
        let replayed = replay(&entries).unwrap_or_else(|error| panic!("{scenario}, {faults:?}: {error}"));
        assert!(matches!(replayed.outcome, Some(Outcome::Done | Outcome::Manual)), "{:?}", replayed.outcome);
        assert!(replayed.counts.actions > 12, "{:?}", replayed.counts);
    }
}

#[test]
fn a_shutdown_that_is_cut_short_comes_again() {
    let within = |spec: &mut Spec| spec.shutdown.within = Some(Duration::from_secs(60));
    let entries = journal("healthy", 9, &[], Command::Shutdown, within);
    replay(&entries).unwrap();
}

#[test]
fn a_run_that_died_is_replayed_as_far_as_it_got() {
    let entries = start_up(1, &[]);
    for cut in [1, 2, entries.len() / 3, entries.len() / 2, entries.len() - 1] {
        let replayed = replay(&entries[..cut]).unwrap();
        assert_eq!((replayed.outcome, replayed.at), (None, entries[cut - 1].at));
    }
}

#[test]
fn whatever_goes_wrong_in_whatever_world_it_comes_again() {
    // A journal has no layers that were kept, and what was pruned is known by them alone.
    let all: Vec<Fault> = Fault::ALL.iter().copied().filter(|fault| *fault != Fault::GitPruned).collect();
    for seed in 20..26_usize {
        let faults: Vec<Fault> = (0..3).map(|nth| all[(seed * 7 + nth * 5) % all.len()]).collect();
        let entries = start_up(u64::try_from(seed).unwrap(), &faults);
        replay(&entries).unwrap_or_else(|error| panic!("seed {seed}, {faults:?}: {error}"));
    }
}

/// A start-up that is interrupted after a while, and the run that goes on where it stopped.
#[test]
fn a_run_that_was_interrupted_and_the_one_after_it_come_again() {
    let sim = world("power-loss", 8, &[Fault::UnitDisabled, Fault::NodeNeverReady]);
    let spec = drill::spec(&sim.world());
    let (ports, state, clock) = (SimPorts::new(&sim), MemoryState::recording(), sim.clock());
    let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
    let begun = clock.now();
    let walk = engine::startup(engine::startup_plan(), spec.clone(), begun, None, None);
    let interrupt = Box::pin(clock.sleep_until(begun.plus(Duration::from_secs(200))));
    let run = engine::execute(walk, ports.reads(&clock, &state), ports.hands(&state), interrupt, &mut silent);
    let (report, _) = sim.run(run, LIMIT).unwrap();
    assert_eq!((report.outcome, replay(&from_disk(&state)).unwrap().outcome), (Outcome::Interrupted, Some(Outcome::Interrupted)));

    // The next one takes it for a run that died: its leases, its actions and their budgets are part of what it begins with.
    let mut left = state.kept().progress.clone().unwrap();
    left.outcome = None;
    state.kept().journal.clear();
    let walk = engine::startup(engine::startup_plan(), spec, clock.now(), Some(left), None);
    assert!(!walk.earlier.is_empty());
    let never = Box::pin(std::future::pending());
    let run = engine::execute(walk, ports.reads(&clock, &state), ports.hands(&state), never, &mut silent);
    let (report, _) = sim.run(run, LIMIT).unwrap();
    let replayed = replay(&from_disk(&state)).unwrap();
    assert_eq!(replayed.outcome, Some(report.outcome));
    assert_eq!(replayed.walk.leases, state.kept().leases);
}

#[test]
fn a_run_that_yields_to_a_shutdown_comes_again() {
    let sim = world("power-loss", 8, &[Fault::UnitDisabled]);
    let spec = drill::spec(&sim.world());
    let (ports, state, clock) = (SimPorts::new(&sim), MemoryState::recording(), sim.clock());
    let mut silent = |walk: &Walk, now: Moment, news: &News<'_>| {
        if matches!(news, News::Acted { .. }) {
            let run = RunId::parse("shutdown-1").unwrap();
            let shutdown =
                Intent { state: IntentState::ShuttingDown, run, at: now, reason: "battery".to_owned(), by_power: true, of: None };
            assert_ne!(walk.run, shutdown.run);
            state.kept().intent = Some(shutdown);
        }
    };
    let walk = engine::startup(engine::startup_plan(), spec, clock.now(), None, None);
    let never = Box::pin(std::future::pending());
    let run = engine::execute(walk, ports.reads(&clock, &state), ports.hands(&state), never, &mut silent);
    let (report, _) = sim.run(run, LIMIT).unwrap();
    assert!(matches!(report.outcome, Outcome::Yielded | Outcome::Refused), "{:?}", report.outcome);
    assert_eq!(replay(&from_disk(&state)).unwrap().outcome, Some(report.outcome));
}

/// The journal with its first entry that `alter` takes altered, and that entry's number.
fn altered(entries: &[Entry], mut alter: impl FnMut(&mut What) -> bool) -> (Vec<Entry>, u64) {
    let mut entries = entries.to_vec();
    let entry = entries.iter_mut().find_map(|entry| alter(&mut entry.what).then_some(entry.seq)).unwrap();
    (entries, entry)
}

fn refused_at(entries: &[Entry]) -> u64 {
    let error = replay(entries).unwrap_err();
    let ReplayError::Differs(difference) = error else { panic!("{error}") };
    difference.entry
}

#[test]
fn an_altered_verdict_order_or_observation_is_refused() {
    let entries = start_up(3, &[Fault::UnitDisabled]);
    let (verdict, at) = altered(&entries, |what| {
        let What::Gate { gate: GateId::ControlPlane, status, .. } = what else { return false };
        std::mem::replace(status, GateStatus::Failed) != GateStatus::Failed
    });
    assert_eq!(refused_at(&verdict), at);

    let (order, at) = altered(&entries, |what| {
        let What::Acting { why, .. } = what else { return false };
        std::mem::replace(why, "no reason".to_owned()) != "no reason"
    });
    assert_eq!(refused_at(&order), at);

    // A host whose unit does not run is said to run it: what the run did about it makes no sense any more.
    let (seen, at) = altered(&entries, |what| {
        let What::Judged { seen, .. } = what else { return false };
        seen.iter_mut().any(|seen| {
            let Told::Changed(Delta::Whole(host)) = &mut seen.told else { return false };
            let inactive = host.get("unit").is_some_and(|unit| unit == "inactive");
            if inactive {
                host["unit"] = "active".into();
            }
            inactive
        })
    });
    assert!(refused_at(&seen) > at);

    // A judgement that is left out is missed.
    let last = entries.iter().rposition(|entry| matches!(entry.what, What::Gate { .. })).unwrap();
    let mut missing = entries.clone();
    missing.remove(last);
    assert!(matches!(replay(&missing), Err(ReplayError::Unusable { .. })));
    for entry in &mut missing[last..] {
        entry.seq -= 1;
    }
    assert!(matches!(replay(&missing), Err(ReplayError::Differs(_) | ReplayError::Unusable { .. })));

    // Whoever only wants to know where the run stood takes the journal's word.
    let retraced = retrace(&verdict).unwrap();
    assert_eq!(retraced.walk.outcome, retraced.outcome);
    assert!(retraced.difference.is_some() && retraced.outcome.is_some());
}

#[test]
fn a_run_that_died_explains_what_held_it_and_what_it_tried() {
    let entries = journal("power-loss", 4, &[Fault::UnitDisabled], Command::Startup, |_| {});
    // Two minutes in: the hosts are up, and the unit of the last worker does not run.
    let started = entries[0].at;
    let cut = entries.iter().position(|entry| matches!(entry.what, What::Acted { .. })).unwrap();
    let mut replayed = retrace(&entries[..=cut]).unwrap();
    let acted = replayed.walk.actions[0].clone();
    let told = explain(&mut replayed.walk, replayed.at, &About::Subject(acted.subject.to_string()));
    assert_eq!((told.outcome, told.started), (None, started));
    let subject = told.gates.iter().flat_map(|gate| &gate.subjects).find(|found| !found.tried.is_empty()).unwrap();
    assert_eq!((&subject.subject, &subject.tried[0]), (&acted.subject, &acted));
    assert!(!subject.evidence.is_empty() && !subject.next.is_empty(), "{subject:?}");

    let told = explain(&mut replayed.walk, replayed.at, &About::parse(Some("nodes-ready")));
    assert_eq!(told.gates.len(), 1);
    assert!(!told.gates[0].subjects.is_empty());
    let told = explain(&mut replayed.walk, replayed.at, &About::parse(None));
    assert!(told.gates.iter().all(|gate| gate.status != GateStatus::Passed) && told.gates.len() > 3);
    assert!(explain(&mut replayed.walk, replayed.at, &About::parse(Some("nobody"))).gates.is_empty());

    // At its end, every gate passed.
    let mut replayed = retrace(&entries).unwrap();
    let told = explain(&mut replayed.walk, replayed.at, &About::Unsettled);
    assert!(told.outcome.is_some());
    let told: Vec<GateId> = told.gates.iter().map(|gate| gate.gate).collect();
    let waited: Vec<GateId> = replayed.walk.gates.iter().filter(|(_, gate)| gate.passed.is_none()).map(|(id, _)| *id).collect();
    assert!(told.iter().all(|gate| waited.contains(gate)), "{told:?} {waited:?}");
}

#[test]
fn a_journal_without_records_is_told_apart() {
    let mut entries = start_up(1, &[]);
    let What::RunStarted { start, .. } = &mut entries[0].what else { panic!("{:?}", entries[0]) };
    *start = None;
    assert_eq!(replay(&entries).unwrap_err(), ReplayError::NoRecord);
    assert_eq!(replay(&[]).unwrap_err(), ReplayError::Empty);
}

#[test]
fn what_is_written_at_each_look_stays_small() {
    let entries = start_up(1, &[]);
    let bytes: usize = entries.iter().map(|entry| serde_json::to_vec(entry).unwrap().len() + 1).sum();
    let minutes = entries.last().unwrap().at.since(entries[0].at).as_secs() / 60 + 1;
    let minutes = usize::try_from(minutes).unwrap();
    assert!(bytes / minutes < 150_000, "{} kB a minute for 9 nodes", bytes / minutes / 1000);
}
