//! Down and up again on virtual time, with runs that die on the way: what a run leaves behind, the next one settles.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::intent::IntentState;
use ananke_core::lease::TAINT_KEY;
use ananke_core::name::{Moment, NodeName};
use ananke_core::observation::UnitState;
use ananke_core::port::Clock;
use ananke_core::report::{Command, GateStatus, Outcome, Report};
use ananke_core::spec::{ShutdownMode, Spec, Transport};
use ananke_core::verdict::{GateId, Reason};
use ananke_sim::fault::Fault;
use ananke_sim::world::{Host, Power};
use ananke_sim::{MemoryState, Ms, Scenario, Sim, SimPorts, World, drill};

const SECOND: Ms = 1_000;
const MINUTE: Ms = 60 * SECOND;
const HOUR: Ms = 60 * MINUTE;

type Interrupt = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Bench {
    sim: Sim,
    ports: SimPorts,
    state: MemoryState,
    spec: Spec,
}

impl Bench {
    fn new(scenario: &str, seed: u64) -> Self {
        let sim = Sim::new(World::new(&Scenario::named(scenario).unwrap().with_nodes(9), seed));
        let ports = SimPorts::new(&sim);
        let spec = drill::spec(&sim.world());
        Self { sim, ports, state: MemoryState::default(), spec }
    }

    /// A shutdown that also powers the hosts off.
    fn poweroff(scenario: &str, seed: u64) -> Self {
        let mut bench = Self::new(scenario, seed);
        bench.spec.shutdown.mode = ShutdownMode::Poweroff;
        bench
    }

    /// Runs until its end, or dies after `dies_after`.
    fn run(&self, command: Command, dies_after: Option<Ms>) -> Option<Report> {
        let limit = self.sim.world().now() + dies_after.unwrap_or(4 * HOUR);
        let ended = self.sim.run(self.walk(command, Box::pin(std::future::pending())), limit);
        assert!(dies_after.is_some() || ended.is_ok(), "{command:?} hangs");
        ended.ok()
    }

    /// Runs until its end, which the operator asks for after a while.
    fn interrupted(&self, command: Command, after: Duration) -> Report {
        let clock = self.sim.clock();
        let until = clock.now().plus(after);
        let limit = self.sim.world().now() + HOUR;
        self.sim.run(self.walk(command, Box::pin(async move { clock.sleep_until(until).await })), limit).unwrap()
    }

    async fn walk(&self, command: Command, interrupt: Interrupt) -> Report {
        let clock = self.sim.clock();
        let (kept, now, spec) = (self.state.kept().clone(), clock.now(), self.spec.clone());
        let walk = match command {
            Command::Shutdown => engine::shutdown(spec, now, "test", kept.progress, kept.intent.as_ref()),
            Command::Startup | Command::Status => {
                engine::startup(engine::startup_plan(), spec, now, kept.progress, kept.intent.as_ref())
            }
        };
        let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
        let (reads, hands) = (self.ports.reads(&clock, &self.state), self.ports.hands(&self.state));
        engine::execute(walk, reads, hands, interrupt, &mut silent).await.0
    }

    fn taints(&self) -> usize {
        let ours = |node: &ananke_sim::world::Node| node.taints.iter().any(|taint| &*taint.key == TAINT_KEY);
        self.sim.world().nodes().iter().filter(|node| ours(node)).count()
    }

    fn sent(&self, verb: &str) -> usize {
        let kept = self.state.kept();
        kept.progress.as_ref().map_or(0, |progress| progress.actions.iter().filter(|action| action.verb == verb).count())
    }

    fn hosts(&self, wanted: impl Fn(&Host) -> bool) -> Vec<String> {
        self.sim.world().hosts().iter().filter(|host| wanted(host)).map(|host| host.name.to_string()).collect()
    }

    /// Nothing of the cluster runs or is mounted anywhere, and nothing of Ananke is left on it.
    fn check_stopped(&self, what: &str) {
        assert_eq!(self.taints(), 0, "{what}: a cordon outlived the shutdown");
        let world = self.sim.world();
        assert!(!world.api_up(), "{what}");
        for (row, host) in world.hosts().iter().enumerate().filter(|(_, host)| host.power == Power::Up) {
            let left = world.leftovers(row);
            assert_eq!((left.shims, left.mounts), (0, 0), "{what}: {} still runs containers", host.name);
        }
        let kept = self.state.kept().clone();
        assert_eq!(kept.intent.unwrap().state, IntentState::ShutdownComplete, "{what}");
        assert!(kept.leases.iter().all(|record| !record.state.outstanding()), "{what}: {:?}", kept.leases);
    }

    fn check_down(&self, report: &Report, what: &str) {
        assert_eq!(report.outcome, Outcome::Done, "{what}: {}\n{:#?}", report.summary, report.manual);
        self.check_stopped(what);
    }

    fn check_up(&self, report: &Report, what: &str) {
        assert_eq!(report.outcome, Outcome::Done, "{what}: {}\n{:#?}", report.summary, report.manual);
        assert_eq!(self.sim.world().truly_healthy(), Ok(()), "{what}");
        assert_eq!(self.taints(), 0, "{what}");
        assert_eq!(self.state.kept().intent.as_ref().unwrap().state, IntentState::Normal, "{what}");
    }

    /// Mains go and come back, and nobody but the cluster itself is there.
    fn cycle_power(&self) {
        let mut world = self.sim.world();
        world.power_lost();
        let now = world.now();
        world.advance_to(now + MINUTE);
        world.power_restore();
        world.advance_to(now + 40 * MINUTE);
    }

    /// All that runs is healthy; only Flux waits to be resumed, with Ananke's stamp on every Kustomization.
    fn check_boots_by_itself(&self, what: &str) {
        self.cycle_power();
        let world = self.sim.world();
        let wrong = world.truly_healthy().err().unwrap_or_default();
        let others: Vec<&String> = wrong.iter().filter(|wrong| !wrong.starts_with("Kustomization")).collect();
        assert!(others.is_empty(), "{what}: {others:?}");
        assert!(world.pods().all(|pod| pod.node.is_some() && pod.running), "{what}: a pod was not scheduled");
    }
}

fn gate(report: &Report, id: GateId) -> &ananke_core::report::GateReport {
    report.gates.iter().find(|gate| gate.id == id).unwrap()
}

fn at(report: &Report, verb: &str, node: &str) -> Moment {
    let of = |action: &&ananke_core::report::ActionReport| action.verb == verb && action.subject.to_string() == node;
    report.actions.iter().find(of).unwrap().at
}

#[test]
fn a_node_without_ssh_comes_back_by_the_api_alone_and_a_shutdown_leaves_it_to_a_person() {
    let mut bench = Bench::new("power-loss", 4);
    let silent = NodeName::parse("titan-09").unwrap();
    let node = bench.spec.nodes.get_mut(&silent).unwrap();
    (node.target, node.transport) = (None, Transport::None);
    let up = bench.run(Command::Startup, None).unwrap();
    assert_eq!((up.outcome, bench.sim.world().truly_healthy()), (Outcome::Done, Ok(())), "{}\n{:#?}", up.summary, up.manual);

    bench.spec.shutdown.mode = ShutdownMode::Poweroff;
    let down = bench.run(Command::Shutdown, None).unwrap();
    assert_eq!(down.outcome, Outcome::Done, "{}\n{:#?}", down.summary, down.manual);
    assert_eq!(bench.hosts(|host| host.power == Power::Up), ["titan-09"]);
    let told = |what: &str| down.notes.iter().any(|note| note.contains("titan-09") && note.contains(what));
    assert!(told("stopping it is left to a person") && told("switching it off is left to a person"), "{:?}", down.notes);
    assert_eq!(bench.taints(), 0);
}

#[test]
fn a_cluster_goes_down_and_comes_up_again() {
    let bench = Bench::new("healthy", 1);
    let down = bench.run(Command::Shutdown, None).unwrap();
    bench.check_down(&down, "down");
    let (evictions, killed) = (bench.sent("evict"), bench.sent("kill-pods"));
    assert!(evictions > 20, "it was drained before it was stopped: {evictions} evictions");
    assert_eq!(killed, 9, "DaemonSet pods outlive k3s on every host");
    assert_eq!(bench.hosts(|host| host.power == Power::Up).len(), 9, "the hosts stay on");
    let snapshot = &gate(&down, GateId::EtcdSnapshot).text;
    assert!(snapshot.starts_with(&format!("ananke-{}-titan-0", down.run)), "{snapshot}");
    let up = bench.run(Command::Startup, None).unwrap();
    bench.check_up(&up, "up");
}

#[test]
fn a_shutdown_that_dies_anywhere_is_finished_by_the_next_one() {
    for second in (0..90).step_by(4) {
        let bench = Bench::new("healthy", 2);
        if bench.run(Command::Shutdown, Some(second * SECOND + 500)).is_some() {
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
    assert!(bench.run(Command::Shutdown, Some(20 * SECOND)).is_none());
    let cordoned = bench.taints();
    assert!(cordoned > 0);
    let refused = bench.run(Command::Startup, None).unwrap();
    assert_eq!(refused.outcome, Outcome::Refused, "{}", refused.summary);
    assert!(refused.actions.is_empty(), "{:?}", refused.actions);
    assert_eq!(bench.taints(), cordoned);
}

#[test]
fn a_start_up_that_dies_anywhere_is_finished_by_the_next_one_and_tells_of_it() {
    for second in (10..240).step_by(23) {
        let bench = Bench::new("power-loss", 4);
        if bench.run(Command::Startup, Some(second * SECOND)).is_some() {
            break;
        }
        let up = bench.run(Command::Startup, None).unwrap();
        bench.check_up(&up, &format!("died after {second} s"));
        assert_eq!(up.earlier.len(), 1, "died after {second} s: the report tells both halves");
    }
}

#[test]
fn hosts_go_off_workers_first_and_come_up_with_the_mains() {
    let bench = Bench::poweroff("healthy", 5);
    let down = bench.run(Command::Shutdown, None).unwrap();
    bench.check_down(&down, "off");
    assert_eq!(bench.hosts(|host| host.power != Power::Off), Vec::<String>::new());
    let off =
        |server| bench.hosts(|host| host.server == server).iter().map(|node| at(&down, "power-off", node)).collect::<Vec<_>>();
    assert!(off(false).iter().max() < off(true).iter().min(), "workers before servers");
    assert!(gate(&down, GateId::PoweredOff).status == GateStatus::Passed);
    bench.cycle_power();
    bench.check_up(&bench.run(Command::Startup, None).unwrap(), "up");
}

#[test]
fn a_poweroff_that_dies_anywhere_is_finished_by_the_next_one() {
    let died = |second| {
        let bench = Bench::poweroff("healthy", 6);
        let ended = bench.run(Command::Shutdown, Some(second * SECOND));
        ended.is_none().then_some(bench)
    };
    let mut points = 0;
    for second in (60..200).step_by(7) {
        let Some(bench) = died(second) else { break };
        points += 1;
        let down = bench.run(Command::Shutdown, None).unwrap();
        bench.check_down(&down, &format!("died after {second} s"));
        assert!(down.took < Duration::from_secs(240), "died after {second} s: {}", down.summary);
        assert_eq!(bench.hosts(|host| host.power != Power::Off), Vec::<String>::new(), "died after {second} s");
    }
    assert!(points > 5, "{points} points");
}

#[test]
fn a_stopped_cluster_boots_and_schedules_without_ananke() {
    for (mode, bench) in [("cluster-only", Bench::new("healthy", 7)), ("poweroff", Bench::poweroff("healthy", 8))] {
        bench.check_down(&bench.run(Command::Shutdown, None).unwrap(), mode);
        bench.check_boots_by_itself(mode);
        bench.check_up(&bench.run(Command::Startup, None).unwrap(), &format!("{mode}, then Ananke is back"));
    }
}

#[test]
fn a_short_time_cuts_the_drain_and_never_the_stop() {
    for (seconds, mode) in [(130, ShutdownMode::ClusterOnly), (20, ShutdownMode::ClusterOnly), (190, ShutdownMode::Poweroff)] {
        let what = format!("{mode:?} within {seconds} s");
        let mut bench = Bench::new("healthy", 9);
        bench.spec.shutdown.within = Some(Duration::from_secs(seconds));
        bench.spec.shutdown.mode = mode;
        let down = bench.run(Command::Shutdown, None).unwrap();
        bench.check_down(&down, &what);
        let drained = gate(&down, GateId::Drained);
        assert_eq!(drained.status, GateStatus::CutShort, "{what}: {}", drained.text);
        assert!(drained.blockers.iter().all(|blocker| blocker.reason == Some(Reason::CutShort)), "{what}");
        assert!(down.notes.iter().any(|note| note.starts_with("drained was cut short")), "{what}: {:?}", down.notes);
        let kept = [GateId::WorkersStopped, GateId::CordonsReleased, GateId::ServersStopped];
        assert!(kept.iter().all(|id| gate(&down, *id).status == GateStatus::Passed), "{what}: {:?}", down.gates);
        assert!(down.took <= Duration::from_secs(seconds.max(60)), "{what} took {:?}", down.took);
        if mode == ShutdownMode::ClusterOnly {
            bench.check_boots_by_itself(&what);
        }
    }
}

#[test]
fn with_time_enough_nothing_is_cut() {
    let mut bench = Bench::new("healthy", 9);
    bench.spec.shutdown.within = Some(Duration::from_secs(900));
    let down = bench.run(Command::Shutdown, None).unwrap();
    bench.check_down(&down, "within 15 min");
    assert!(down.gates.iter().all(|gate| gate.status != GateStatus::CutShort), "{:?}", down.notes);
}

#[test]
fn a_dark_worker_is_one_instruction_and_keeps_the_servers_waiting_no_longer_than_there_is_time() {
    let mut bench = Bench::new("healthy", 10);
    bench.spec.shutdown.within = Some(Duration::from_secs(180));
    bench.sim.world().inject(Fault::NeverBoots, Some(&NodeName::parse("titan-08").unwrap())).unwrap();
    let down = bench.run(Command::Shutdown, None).unwrap();
    assert_eq!(down.outcome, Outcome::Manual, "{}", down.summary);
    bench.check_stopped("a dark worker");
    let subjects: Vec<String> = down.manual.iter().map(|action| action.subject.to_string()).collect();
    assert_eq!(subjects, ["titan-08"], "{:#?}", down.manual);
    assert!(down.took <= Duration::from_secs(180), "{:?}", down.took);
}

#[test]
fn an_interrupted_shutdown_gives_its_cordons_back_and_says_how_to_go_on() {
    for second in [3, 12, 20, 30, 45, 60] {
        let what = format!("interrupted after {second} s");
        let bench = Bench::new("healthy", 11);
        let report = bench.interrupted(Command::Shutdown, Duration::from_secs(second));
        if report.outcome == Outcome::Done {
            break;
        }
        assert_eq!((report.outcome, bench.taints(), report.cordons.len()), (Outcome::Interrupted, 0, 0), "{what}");
        assert!(report.took < Duration::from_secs(second + 20), "{what}: {:?}", report.took);
        for way in ["`ananke shutdown --execute` goes on", "`ananke intent clear` and then `ananke startup --execute` goes back"]
        {
            assert!(report.summary.contains(way), "{what}: {}", report.summary);
        }
        let kept = bench.state.kept().clone();
        assert!(kept.leases.iter().all(|record| !record.state.outstanding()), "{what}: {:?}", kept.leases);
        assert_eq!(kept.intent.unwrap().state, IntentState::ShuttingDown, "{what}: the shutdown is still wanted");
        assert_eq!(bench.run(Command::Startup, None).unwrap().outcome, Outcome::Refused, "{what}");
        bench.check_down(&bench.run(Command::Shutdown, None).unwrap(), &what);
    }
}

#[test]
fn a_start_up_goes_on_from_an_interrupted_shutdown_when_its_intent_is_cleared() {
    let bench = Bench::new("healthy", 12);
    bench.interrupted(Command::Shutdown, Duration::from_secs(40));
    bench.state.kept().intent = None;
    bench.check_up(&bench.run(Command::Startup, None).unwrap(), "back");
}

#[test]
fn a_start_up_yields_to_a_shutdown_within_ten_seconds_and_both_say_why() {
    let bench = Bench::new("power-loss", 13);
    // Its own state but the intent: two processes share that alone.
    let clock = bench.sim.clock();
    let startup = bench.walk(Command::Startup, Box::pin(std::future::pending()));
    let shutdown = async {
        clock.sleep_until(clock.now().plus(Duration::from_secs(100))).await;
        let began = clock.now();
        (began, bench.walk(Command::Shutdown, Box::pin(std::future::pending())).await)
    };
    let both = futures::future::join(startup, shutdown);
    let (up, (began, down)) = bench.sim.run(both, 4 * HOUR).unwrap();
    assert_eq!(up.outcome, Outcome::Yielded, "{}", up.summary);
    assert!(up.ended.since(began) <= Duration::from_secs(10), "it yielded after {:?}", up.ended.since(began));
    assert!(up.summary.contains("a shutdown took over") && up.summary.contains("test (shutdown-"), "{}", up.summary);
    assert!(matches!(down.outcome, Outcome::Done | Outcome::Manual), "{}", down.summary);
    bench.check_stopped("after it took over");
}

#[test]
fn the_intent_of_a_long_shutdown_stays_young_and_is_not_overwritten() {
    let mut bench = Bench::new("healthy", 14);
    bench.spec.intent_max_age = Duration::from_secs(60);
    assert!(bench.run(Command::Shutdown, Some(50 * SECOND)).is_none());
    let intent = bench.state.kept().intent.clone().unwrap();
    let age = bench.sim.clock().now().since(intent.at);
    assert!(intent.state == IntentState::ShuttingDown && age <= Duration::from_secs(25), "{age:?} old: {intent:?}");

    let bench = Bench::new("healthy", 14);
    let clock = bench.sim.clock();
    let shutdown = bench.walk(Command::Shutdown, Box::pin(std::future::pending()));
    let meddler = async {
        clock.sleep_until(clock.now().plus(Duration::from_secs(5))).await;
        bench.state.kept().intent.as_mut().unwrap().state = IntentState::StartupInProgress;
        clock.sleep_until(clock.now().plus(Duration::from_secs(10))).await;
        bench.state.kept().intent.clone().unwrap().state
    };
    let (down, state) = bench.sim.run(futures::future::join(shutdown, meddler), HOUR).unwrap();
    assert_eq!(state, IntentState::ShuttingDown);
    bench.check_down(&down, "overwritten");
}

#[test]
fn a_unit_that_somebody_stops_in_the_middle_of_a_start_up_stays_stopped_and_is_told_of() {
    let bench = Bench::new("power-loss", 4);
    let worker = NodeName::parse("titan-09").unwrap();
    let clock = bench.sim.clock();
    let somebody = async {
        let runs = || bench.sim.world().hosts().iter().any(|host| host.name == worker && host.unit_state == UnitState::Active);
        while !runs() {
            clock.sleep_until(clock.now().plus(Duration::from_secs(1))).await;
        }
        // Ananke has seen it run.
        clock.sleep_until(clock.now().plus(Duration::from_secs(15))).await;
        bench.sim.world().unit_stop(&worker).unwrap();
    };
    let startup = bench.walk(Command::Startup, Box::pin(std::future::pending()));
    let (report, ()) = bench.sim.run(futures::future::join(startup, somebody), 4 * HOUR).unwrap();
    assert_eq!((report.outcome, bench.sent("start-unit")), (Outcome::Manual, 0), "{:#?}", report.actions);
    let told = "when the work on titan-09 is done: `systemctl start k3s-agent` there";
    assert!(report.manual.iter().any(|action| action.instruction.starts_with(told)), "{:#?}", report.manual);
}

/// A start-up died when the budget of every unit was spent. With `cut`, the power goes and comes back after that.
fn after_a_run_that_spent_its_budgets(cut: bool) -> (Bench, Report) {
    let mut bench = Bench::new("after-shutdown", 15);
    bench.spec.deadlines.insert(GateId::ControlPlane, Duration::from_secs(300));
    for node in bench.hosts(|_| true) {
        bench.sim.world().inject(Fault::UnitDisabled, Some(&NodeName::parse(&node).unwrap())).unwrap();
    }
    assert!(bench.run(Command::Startup, Some(30 * SECOND)).is_none());
    {
        let mut kept = bench.state.kept();
        let progress = kept.progress.as_mut().unwrap();
        let starts: Vec<_> = progress.actions.iter().filter(|action| action.verb == "start-unit").cloned().collect();
        assert_eq!(starts.len(), 9);
        (0..5).for_each(|_| progress.actions.extend(starts.iter().cloned()));
    }
    // What the dead run had started does not come up.
    let mut world = bench.sim.world();
    for node in world.hosts().iter().map(|host| host.name.clone()).collect::<Vec<_>>() {
        world.unit_stop(&node).unwrap();
    }
    if cut {
        world.power_lost();
        let now = world.now();
        world.advance_to(now + MINUTE);
        world.power_restore();
    }
    drop(world);
    let report = bench.run(Command::Startup, None).unwrap();
    (bench, report)
}

#[test]
fn budgets_of_a_run_that_died_stay_spent_until_the_power_is_cut_again() {
    let (bench, report) = after_a_run_that_spent_its_budgets(true);
    bench.check_up(&report, "up after the second cut");
    let (_, report) = after_a_run_that_spent_its_budgets(false);
    assert_ne!(report.outcome, Outcome::Done, "{}", report.summary);
    assert!(report.actions.iter().all(|action| action.verb != "start-unit"), "{:#?}", report.actions);
}
