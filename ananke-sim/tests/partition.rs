//! Two Anankes that do not hear each other: one starts the cluster while the other shuts it down. What both see is the cluster,
//! and the shutdown wins.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::intent::IntentState;
use ananke_core::name::Moment;
use ananke_core::observation::UnitState;
use ananke_core::port::Clock;
use ananke_core::report::{Command, Outcome, Report};
use ananke_sim::{MemoryState, Ms, Scenario, Sim, SimPorts, World, drill};
use futures::future::join;
use proptest::prelude::*;

const NODES: usize = 5;
/// Virtual milliseconds in which a run ends.
const LIMIT: Ms = 6 * 3_600_000;
const CASES: u32 = 40;
/// What was on its way when the other one's cordon came into sight.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// What one Ananke did, and when.
#[derive(Debug, Default)]
struct Log {
    sent: Vec<(Moment, String)>,
    report: Option<Report>,
}

struct Ananke {
    holder: &'static str,
    disk: Rc<MemoryState>,
}

type Run = Pin<Box<dyn Future<Output = ()>>>;

impl Ananke {
    fn new(holder: &'static str) -> Self {
        Self { holder, disk: Rc::default() }
    }

    /// The peer that it would ask is beyond the partition: the simulator's has none.
    fn run(&self, sim: &Sim, command: Command, log: &Arc<Mutex<Log>>) -> Run {
        let (sim_clock, ports, disk, log) = (sim.clock(), SimPorts::new(sim), self.disk.clone(), log.clone());
        let mut spec = drill::spec(&sim.world());
        spec.holder = self.holder.to_owned();
        spec.peers = vec!["beyond".into()];
        // It does not wait for whom it cannot hear.
        spec.guard_wait = Duration::from_secs(5);
        Box::pin(async move {
            let kept = {
                let kept = disk.kept();
                (kept.progress.clone(), kept.intent.clone())
            };
            let now = sim_clock.now();
            let mut walk = match command {
                Command::Shutdown => engine::shutdown(spec, now, "battery", kept.0, kept.1.as_ref()),
                Command::Startup | Command::Status => engine::startup(engine::startup_plan(), spec, now, kept.0, kept.1.as_ref()),
            };
            walk.by_power = true;
            let told = log.clone();
            let mut observer = move |_: &Walk, now: Moment, news: &News<'_>| {
                if let News::Acting(action) = news {
                    told.lock().unwrap().sent.push((now, action.order.to_string()));
                }
            };
            let never = Box::pin(std::future::pending());
            let (report, _) =
                engine::execute(walk, ports.reads(&sim_clock, &*disk), ports.hands(&*disk), never, &mut observer).await;
            log.lock().unwrap().report = Some(report);
        })
    }
}

/// The coordinator starts a cluster that lost its power; the peer shuts it down so many seconds later.
fn tell(seed: u64, after: u64) -> (usize, Option<Outcome>) {
    let sim = Sim::new(World::new(&Scenario::named("power-loss").unwrap().with_nodes(NODES), seed));
    let (coordinator, peer) = (Ananke::new("titan-db"), Ananke::new("tethys"));
    let (started, stopped) = (Arc::<Mutex<Log>>::default(), Arc::<Mutex<Log>>::default());
    let start = coordinator.run(&sim, Command::Startup, &started);
    let late = sim.clock();
    let stop = peer.run(&sim, Command::Shutdown, &stopped);
    let stop = async move {
        late.sleep_until(late.now().plus(Duration::from_secs(after))).await;
        stop.await;
    };
    sim.run(join(start, stop), LIMIT).unwrap();
    let outcome = started.lock().unwrap().report.as_ref().map(|report| report.outcome);
    let first = stopped.lock().unwrap().sent.iter().find(|(_, order)| order.starts_with("cordon")).map(|(at, _)| *at);
    let Some(drains) = first else { return (0, outcome) };
    let too_late: Vec<_> =
        started.lock().unwrap().sent.iter().filter(|(at, _)| at.since(drains) > SEEN_WITHIN).cloned().collect();
    assert!(too_late.is_empty(), "seed {seed}, {after} s: it went on starting after {drains}: {too_late:?}");
    let ended = started.lock().unwrap().report.as_ref().map(|report| report.ended);
    if ended.is_some_and(|ended| ended < drains) {
        return (0, outcome);
    }
    assert_eq!(outcome, Some(Outcome::Yielded), "seed {seed}, {after} s");
    let intent = coordinator.disk.kept().intent.clone().unwrap();
    assert_eq!((intent.state, intent.of.as_deref()), (IntentState::ShuttingDown, Some("tethys")));
    assert!(is_down(&sim), "seed {seed}, {after} s: the shutdown did not get through: {:?}", stopped.lock().unwrap().report);

    // Nothing in the cluster tells of it any more, and the other one is still not heard.
    let again = Arc::<Mutex<Log>>::default();
    sim.run(coordinator.run(&sim, Command::Startup, &again), LIMIT).unwrap();
    let report = again.lock().unwrap().report.take().unwrap();
    assert_eq!((report.outcome, again.lock().unwrap().sent.len()), (Outcome::Refused, 0), "seed {seed}, {after} s");
    assert!(is_down(&sim), "seed {seed}, {after} s");
    (1, outcome)
}

fn is_down(sim: &Sim) -> bool {
    sim.world().hosts().iter().all(|host| host.unit_state != UnitState::Active)
}

#[test]
fn a_shutdown_is_not_undone_by_whoever_cannot_ask_for_it() {
    let met = RefCell::new((0, 0));
    let told = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
    .run(&(0u64..1000, 0u64..400), |(seed, after)| {
        let (both, _) = tell(seed, after);
        let mut met = met.borrow_mut();
        (met.0, met.1) = (met.0 + both, met.1 + 1);
        Ok(())
    });
    println!("{:?} stories in which the shutdown met the start-up, of all", met.borrow());
    if let Err(failed) = told {
        panic!("{failed}");
    }
    assert!(met.borrow().0 > usize::try_from(CASES / 4).unwrap(), "{met:?}");
}
