//! Remedies end to end on virtual time: what they repair, what they leave alone, and when a person is asked.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::name::{Kind, Moment, NodeName, ObjectRef};
use ananke_core::observation::Confirmation;
use ananke_core::port::Clock;
use ananke_core::report::{Outcome, Report};
use ananke_core::spec::Spec;
use ananke_core::verdict::Trap;
use ananke_sim::fault::Fault;
use ananke_sim::{MemoryState, Ms, Scenario, Sim, SimPorts, World, drill};

const LIMIT: Ms = 4 * 3_600_000;

struct Bench {
    sim: Sim,
    ports: SimPorts,
    state: MemoryState,
    spec: Spec,
}

impl Bench {
    fn new(faults: &[(Fault, Option<&str>)], seed: u64) -> Self {
        let node = |name: &str| NodeName::parse(name).unwrap();
        let scenario = faults
            .iter()
            .fold(Scenario::default().with_nodes(9), |scenario, (fault, name)| scenario.with_fault(*fault, name.map(node)));
        let sim = Sim::new(World::new(&scenario, seed));
        let (ports, spec) = (SimPorts::new(&sim), drill::spec(&sim.world()));
        let bench = Self { sim, ports, state: MemoryState::default(), spec };
        bench.state.kept().baseline = Some(drill::baseline(&bench.sim.world()));
        bench
    }

    fn start_up(&self) -> Report {
        let clock = self.sim.clock();
        let walk = engine::startup(engine::startup_plan(), self.spec.clone(), clock.now(), None, None);
        let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
        let reads = self.ports.reads(&clock, &self.state);
        let hands = self.ports.hands(&self.state);
        let never = Box::pin(std::future::pending());
        self.sim.run(engine::execute(walk, reads, hands, never, &mut silent), LIMIT).unwrap().0
    }
}

fn of(report: &Report, trap: Trap) -> Vec<String> {
    report.actions.iter().filter(|action| action.trap == Some(trap)).map(|action| action.text.clone()).collect()
}

#[test]
fn a_finished_job_that_blocks_its_kustomization_is_deleted_once() {
    let bench = Bench::new(&[(Fault::ImmutableJob, None)], 1);
    let report = bench.start_up();
    assert_eq!(report.outcome, Outcome::Done, "{}\n{:#?}", report.summary, report.manual);
    assert_eq!(bench.sim.world().truly_healthy(), Ok(()));
    let done = of(&report, Trap::FluxImmutableField);
    assert_eq!(done[0], "delete Job keycloak/realm-import, which has finished");
    assert_eq!(done.iter().filter(|text| text.starts_with("delete Job")).count(), 1, "{done:?}");
}

#[test]
fn a_forgotten_workload_is_scaled_back_only_where_a_baseline_vouches_for_it() {
    let bench = Bench::new(&[(Fault::ScaledToZero, None)], 1);
    let report = bench.start_up();
    assert_eq!(report.outcome, Outcome::Done, "{}\n{:#?}", report.summary, report.manual);
    assert_eq!(of(&report, Trap::ScaledToZeroNotRestored), ["scale Deployment office/vaultwarden to 1"]);
    assert_eq!(bench.sim.world().truly_healthy(), Ok(()));

    let mut blind = Bench::new(&[(Fault::ScaledToZero, None)], 1);
    blind.state.kept().baseline = None;
    blind.spec.required_workloads = vec![ObjectRef::new(Kind::Deployment, "office", "vaultwarden")];
    let report = blind.start_up();
    assert_eq!(report.outcome, Outcome::Manual, "{}", report.summary);
    assert!(of(&report, Trap::ScaledToZeroNotRestored).is_empty());
    assert!(report.manual.iter().any(|action| action.instruction.contains("scale Deployment office/vaultwarden up again")));
}

#[test]
fn pods_of_a_dark_machine_move_only_once_a_person_confirms_that_it_is_off() {
    let dark = "titan-09";
    let without = Bench::new(&[(Fault::NeverBoots, Some(dark))], 2);
    let report = without.start_up();
    assert_eq!(report.outcome, Outcome::Manual, "{}", report.summary);
    assert!(of(&report, Trap::PodTerminatingOnDeadNode).is_empty());

    let with = Bench::new(&[(Fault::NeverBoots, Some(dark))], 2);
    let at = with.sim.clock().now();
    with.state.kept().confirmations.push(Confirmation { node: NodeName::parse(dark).unwrap(), at, boot_id: None });
    let report = with.start_up();
    let moved = of(&report, Trap::PodTerminatingOnDeadNode);
    assert!(moved.iter().any(|text| text.contains("at once: titan-09 was confirmed to be off")), "{moved:?}");
    assert_eq!(report.outcome, Outcome::Manual, "the box itself still needs a person");
    let subjects: Vec<String> = report.manual.iter().map(|action| action.subject.to_string()).collect();
    assert_eq!(subjects, [dark], "{:#?}", report.manual);
    let world = with.sim.world();
    let row = world.node_row(&NodeName::parse(dark).unwrap()).unwrap();
    for workload in world.workloads().iter().filter(|workload| workload.object.kind == Kind::StatefulSet) {
        let up = workload.pods.iter().filter(|pod| world.pod_row(**pod).unwrap().serving).count();
        assert_eq!(up, usize::try_from(workload.replicas).unwrap(), "{} waits for nothing on {dark}", workload.object);
        assert!(workload.pods.iter().all(|pod| world.pod_row(*pod).unwrap().node != Some(row)));
    }
}

#[test]
fn a_good_start_up_leaves_a_baseline_for_the_next_outage() {
    let bench = Bench::new(&[], 3);
    bench.state.kept().baseline = None;
    assert_eq!(bench.start_up().outcome, Outcome::Done);
    let taken = bench.state.kept().baseline.clone().unwrap();
    assert_eq!(taken.workloads.len(), bench.sim.world().workloads().len());
    assert!(taken.workloads.iter().all(|workload| workload.healthy) && taken.flux_failing.is_empty());
}

#[test]
fn a_program_that_crashed_before_the_outage_is_reported_and_not_waited_for() {
    let bench = Bench::new(&[(Fault::WorkloadCrashloop, None)], 4);
    let mut known = bench.state.kept().baseline.clone().unwrap();
    let broken = |object: &ObjectRef| bench.sim.world().workloads().iter().any(|it| it.object == *object && it.crashing);
    known.workloads.iter_mut().filter(|it| broken(&it.object)).for_each(|it| it.healthy = false);
    assert_eq!(known.workloads.iter().filter(|it| !it.healthy).count(), 1);
    bench.state.kept().baseline = Some(known);
    let report = bench.start_up();
    let note = report.notes.iter().find(|note| note.contains("media/jellyfin")).unwrap_or_else(|| panic!("{:?}", report.notes));
    assert!(note.contains("before the outage: not waited for"), "{note}");
    assert!(
        !report.manual.iter().any(|action| action.subject.to_string() == "StatefulSet media/jellyfin"),
        "{:#?}",
        report.manual
    );
}
