//! Down and up again on virtual time, with runs that die on the way: what a run leaves behind, the next one settles.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, Hands, News, Reads};
use ananke_core::intent::IntentState;
use ananke_core::lease::TAINT_KEY;
use ananke_core::name::Moment;
use ananke_core::port::Clock;
use ananke_core::report::{Command, Outcome, Report};
use ananke_sim::{MemoryState, Ms, Scenario, Sim, SimPorts, World, drill};

const HOUR: Ms = 3_600_000;

struct Bench {
    sim: Sim,
    ports: SimPorts,
    state: MemoryState,
}

impl Bench {
    fn new(scenario: &str, seed: u64) -> Self {
        let sim = Sim::new(World::new(&Scenario::named(scenario).unwrap().with_nodes(9), seed));
        let ports = SimPorts::new(&sim);
        Self { sim, ports, state: MemoryState::default() }
    }

    /// Runs until its end, or dies after `dies_after`.
    fn run(&self, command: Command, dies_after: Option<Ms>) -> Option<Report> {
        let clock = self.sim.clock();
        let spec = drill::spec(&self.sim.world());
        let (kept, now) = (self.state.kept(), clock.now());
        let walk = match command {
            Command::Shutdown => engine::shutdown(spec, now, "test", kept.progress, kept.intent.as_ref()),
            Command::Startup | Command::Status => {
                engine::startup(engine::startup_plan(), spec, now, kept.progress, kept.intent.as_ref())
            }
        };
        let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
        let ports = &self.ports;
        let reads = Reads { clock: &clock, cluster: ports, hosts: ports, probes: ports, ups: ports, state: &self.state };
        let hands = Hands { cluster: ports, hosts: ports, state: &self.state };
        let limit = self.sim.world().now() + dies_after.unwrap_or(4 * HOUR);
        let never = Box::pin(std::future::pending());
        let ended = self.sim.run(engine::execute(walk, reads, hands, never, &mut silent), limit);
        assert!(dies_after.is_some() || ended.is_ok(), "{command:?} hangs");
        ended.ok().map(|(report, _)| report)
    }

    fn taints(&self) -> usize {
        let ours = |node: &ananke_sim::world::Node| node.taints.iter().any(|taint| &*taint.key == TAINT_KEY);
        self.sim.world().nodes().iter().filter(|node| ours(node)).count()
    }

    fn evictions(&self) -> usize {
        self.state.kept().progress.map_or(0, |progress| progress.actions.iter().filter(|action| action.verb == "evict").count())
    }

    fn check_down(&self, report: &Report, what: &str) {
        assert_eq!(report.outcome, Outcome::Done, "{what}: {}\n{:#?}", report.summary, report.manual);
        assert_eq!(self.taints(), 0, "{what}: a cordon outlived the shutdown");
        assert!(!self.sim.world().api_up(), "{what}");
        let kept = self.state.kept();
        assert_eq!(kept.intent.unwrap().state, IntentState::ShutdownComplete, "{what}");
        assert!(kept.leases.iter().all(|record| !record.state.outstanding()), "{what}: {:?}", kept.leases);
    }

    fn check_up(&self, report: &Report, what: &str) {
        assert_eq!(report.outcome, Outcome::Done, "{what}: {}\n{:#?}", report.summary, report.manual);
        assert_eq!(self.sim.world().truly_healthy(), Ok(()), "{what}");
        assert_eq!(self.taints(), 0, "{what}");
        assert_eq!(self.state.kept().intent.unwrap().state, IntentState::Normal, "{what}");
    }
}

#[test]
fn a_cluster_goes_down_and_comes_up_again() {
    let bench = Bench::new("healthy", 1);
    let down = bench.run(Command::Shutdown, None).unwrap();
    bench.check_down(&down, "down");
    assert!(bench.evictions() > 20, "it was drained before it was stopped: {} evictions", bench.evictions());
    let up = bench.run(Command::Startup, None).unwrap();
    bench.check_up(&up, "up");
}

#[test]
fn a_shutdown_that_dies_anywhere_is_finished_by_the_next_one() {
    for second in (0..60).step_by(4) {
        let bench = Bench::new("healthy", 2);
        if bench.run(Command::Shutdown, Some(second * 1000 + 500)).is_some() {
            break;
        }
        let down = bench.run(Command::Shutdown, None).unwrap();
        bench.check_down(&down, &format!("died after {second} s"));
        bench.check_up(&bench.run(Command::Startup, None).unwrap(), &format!("died after {second} s, up"));
    }
}

#[test]
fn a_start_up_is_refused_while_a_dead_shutdown_is_still_wanted() {
    let bench = Bench::new("healthy", 3);
    assert!(bench.run(Command::Shutdown, Some(8_000)).is_none());
    let cordoned = bench.taints();
    let refused = bench.run(Command::Startup, None).unwrap();
    assert_eq!(refused.outcome, Outcome::Refused, "{}", refused.summary);
    assert!(refused.actions.is_empty(), "{:?}", refused.actions);
    assert_eq!(bench.taints(), cordoned);
}

#[test]
fn a_start_up_that_dies_anywhere_is_finished_by_the_next_one_and_tells_of_it() {
    for second in (10..240).step_by(23) {
        let bench = Bench::new("power-loss", 4);
        if bench.run(Command::Startup, Some(second * 1000)).is_some() {
            break;
        }
        let up = bench.run(Command::Startup, None).unwrap();
        bench.check_up(&up, &format!("died after {second} s"));
        assert_eq!(up.earlier.len(), 1, "died after {second} s: the report tells both halves");
    }
}
