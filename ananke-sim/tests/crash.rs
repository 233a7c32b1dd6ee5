//! The run is killed at every port call, on both sides of it, and at every journal boundary among them; the next run ends
//! in the same state of the world as one that nobody killed.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says how much it tried")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::intent::IntentState;
use ananke_core::lease::TAINT_KEY;
use ananke_core::name::Moment;
use ananke_core::port::Clock;
use ananke_core::report::{Command, Outcome, Report};
use ananke_sim::ports::{Mortal, Side};
use ananke_sim::{MemoryState, Ms, Scenario, Sim, SimPorts, World, drill};
use futures::future::{Either, select};

const HOUR: Ms = 3_600_000;

/// Calls that change something.
const WRITES: &[&str] = &[
    "perform on the cluster",
    "perform on a host",
    "unseal",
    "save intent",
    "save leases",
    "save progress",
    "save report",
    "journal",
    "record",
    "save baseline",
    "save run",
];

struct Bench {
    sim: Sim,
    ports: SimPorts,
    state: MemoryState,
}

/// A small cluster that is looked at seldom: fewer calls, each still of every kind.
fn bench(scenario: &str) -> Bench {
    let sim = Sim::new(World::new(&Scenario::named(scenario).unwrap().with_nodes(2), 1));
    let ports = SimPorts::new(&sim);
    Bench { sim, ports, state: MemoryState::default() }
}

impl Bench {
    /// The report, unless the run died; and the calls it made.
    fn run(&self, command: Command, dies: Option<(usize, Side)>) -> (Option<Report>, Vec<&'static str>) {
        let clock = self.sim.clock();
        let mut spec = drill::spec(&self.sim.world());
        spec.poll = Duration::from_secs(8);
        spec.soak = Duration::from_secs(10);
        let (progress, intent) = {
            let kept = self.state.kept();
            (kept.progress.clone(), kept.intent.clone())
        };
        let now = clock.now();
        let walk = match command {
            Command::Shutdown => engine::shutdown(spec, now, "test", progress, intent.as_ref()),
            Command::Startup | Command::Status => engine::startup(engine::startup_plan(), spec, now, progress, intent.as_ref()),
        };
        let mortal = Mortal::new(&self.ports, &self.state, dies);
        let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
        let never = Box::pin(std::future::pending());
        let run = Box::pin(engine::execute(walk, mortal.reads(&clock), mortal.hands(), never, &mut silent));
        let limit = self.sim.world().now() + 4 * HOUR;
        let death = Box::pin(mortal.death());
        let report = self.sim.run(
            async move {
                match select(run, death).await {
                    Either::Left(((report, _), _)) => Some(report),
                    Either::Right(_) => None,
                }
            },
            limit,
        );
        (report.unwrap(), mortal.calls())
    }

    /// What lasts: what the API and the hosts are left with, times and names of runs aside.
    fn world(&self) -> BTreeMap<String, String> {
        let world = self.sim.world();
        let mut left = BTreeMap::new();
        for (node, host) in world.nodes().iter().zip(world.hosts()) {
            // The control plane's own taints come and go with its nodes.
            let lasting = |key: &&Arc<str>| !key.starts_with("node.kubernetes.io/");
            let taints: Vec<_> = node.taints.iter().map(|taint| &taint.key).filter(lasting).collect();
            let marks: Vec<_> = node.annotations.keys().chain(node.labels.keys()).filter(|key| key.contains("ananke")).collect();
            let text = format!("{taints:?} {marks:?} {} {:?} {:?}", node.unschedulable, host.unit_state, host.power);
            left.insert(node.name.to_string(), text);
        }
        for kust in world.kustomizations() {
            let stamped = kust.meta.annotations.keys().any(|key| key.contains("ananke"));
            left.insert(kust.meta.object.to_string(), format!("suspended {} stamped {stamped}", kust.meta.suspended));
        }
        for workload in world.workloads() {
            left.insert(workload.object.to_string(), format!("{} replicas", workload.replicas));
        }
        left.insert("source".to_owned(), world.source().branch.to_string());
        left
    }

    fn check(&self, command: Command, report: &Report, at: &str) {
        assert_eq!(report.outcome, Outcome::Done, "{at}: {}\n{:#?}", report.summary, report.manual);
        let kept = self.state.kept();
        let tainted = |node: &ananke_sim::world::Node| node.taints.iter().any(|taint| &*taint.key == TAINT_KEY);
        assert!(!self.sim.world().nodes().iter().any(tainted), "{at}: a cordon is left");
        assert!(kept.leases.iter().all(|record| !record.state.outstanding()), "{at}: {:?}", kept.leases);
        let intent = kept.intent.as_ref().unwrap().state;
        match command {
            Command::Shutdown => {
                assert_eq!(intent, IntentState::ShutdownComplete, "{at}");
                assert!(!self.sim.world().api_up(), "{at}");
            }
            Command::Startup | Command::Status => {
                assert_eq!(intent, IntentState::Normal, "{at}");
                assert_eq!(self.sim.world().truly_healthy(), Ok(()), "{at}");
            }
        }
    }
}

/// Kills one run per point and lets the next one finish; prints how many points there were.
fn every_point(command: Command, scenario: &str) {
    let whole = bench(scenario);
    let (report, calls) = whole.run(command, None);
    whole.check(command, &report.unwrap(), "undisturbed");
    let expected = whole.world();
    // A read that was not heard changed nothing: one side of it is the other.
    let writes = |call: &usize| calls.get(*call).is_some_and(|name| WRITES.contains(name));
    let after = (0..calls.len()).filter(writes).map(|call| (call, Side::After));
    let points: Vec<(usize, Side)> = (0..calls.len()).map(|call| (call, Side::Before)).chain(after).collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            let at = format!("{command:?} killed {:?} call {} ({})", point.1, point.0, calls.get(point.0).unwrap());
            let bench = bench(scenario);
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let (died, _) = bench.run(command, Some(*point));
                assert!(died.is_none(), "{at}: it did not die");
                let (report, _) = bench.run(command, None);
                bench.check(command, &report.unwrap(), &at);
                let left = bench.world();
                let other: Vec<_> = left.iter().filter(|(key, value)| expected.get(*key) != Some(*value)).collect();
                assert!(other.is_empty() && left.len() == expected.len(), "{at}: {other:?}");
            }));
            if tried.is_err() {
                failed.lock().unwrap().push(at);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    let journal = calls.iter().filter(|name| **name == "journal").count();
    let acts = calls.iter().filter(|name| name.starts_with("perform")).count();
    println!(
        "{command:?}: died at {} points: before each of {} port calls, and after each of {} writes, of them {journal} journal entries and {acts} actions",
        points.len(),
        calls.len(),
        points.len() - calls.len()
    );
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} points failed, first: {:?}", failed.len(), points.len(), failed.first());
    assert!(journal > 10 && acts > 5, "the run did nothing worth dying at: {calls:?}");
}

#[test]
fn a_start_up_may_die_at_any_call() {
    every_point(Command::Startup, "after-shutdown");
}

#[test]
fn a_shutdown_may_die_at_any_call() {
    every_point(Command::Shutdown, "healthy");
}
