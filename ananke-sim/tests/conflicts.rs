//! Another client changes an annotation or a taint between what Ananke read and what it writes, at every call that changes
//! something in the API: the call is a conflict that did nothing, it is judged again, and the other's change stays.
//!
//! Not conditional on a resourceVersion, by design, and so no conflict: what names a pod or a Job by UID (evict, delete,
//! force-delete, delete-job) is about that very object whatever is written on it, and a request to reconcile adds an
//! annotation of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how much it tried"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, Hands, News, Permit, Reads};
use ananke_core::lease::TAINT_KEY;
use ananke_core::name::{Moment, NodeName, ObjectRef, Subject};
use ananke_core::observation::Taint;
use ananke_core::order::{ClusterOrder, Order};
use ananke_core::port::{Clock, ClusterActions, ErrorKind, PortError};
use ananke_core::report::{Command, Outcome, Report};
use ananke_sim::fault::Fault;
use ananke_sim::world::NodePatch;
use ananke_sim::{MemoryState, Ms, Scenario, Sim, SimPorts, World, drill};
use async_trait::async_trait;

const HOUR: Ms = 3_600_000;
/// What the other client writes.
const THEIRS: &str = "example.com/maintenance";
/// Verbs of orders that name no resourceVersion.
const UNCONDITIONAL: [&str; 5] = ["evict", "delete-pod", "force-delete-pod", "delete-job", "request-reconcile"];

/// One call that changes something in the API.
#[derive(Debug, Clone)]
struct Call {
    verb: &'static str,
    subject: Subject,
    answer: Option<ErrorKind>,
}

/// Another client, which is quicker at one of the calls.
struct Rival<'a> {
    sim: &'a Sim,
    ports: &'a SimPorts,
    at: Option<usize>,
    calls: Mutex<Vec<Call>>,
}

#[async_trait]
impl ClusterActions for Rival<'_> {
    async fn perform(&self, order: &ClusterOrder, permit: &Permit) -> Result<(), PortError> {
        let nth = self.calls.lock().unwrap().len();
        let wrapped = Order::Cluster(order.clone());
        let (verb, subject) = (wrapped.verb(), wrapped.subject());
        self.calls.lock().unwrap().push(Call { verb, subject: subject.clone(), answer: None });
        let meddles = self.at == Some(nth);
        if meddles {
            meddle(&mut self.sim.world(), order, nth);
        }
        let before = state(&self.sim.world(), order);
        let answer = ClusterActions::perform(self.ports, order, permit).await;
        if meddles && !UNCONDITIONAL.contains(&verb) && !came_too_late(verb, answer.as_ref().err().map(|error| error.kind)) {
            assert_eq!(answer.as_ref().map_err(|error| error.kind), Err(ErrorKind::Conflict), "{wrapped}");
            assert_eq!(state(&self.sim.world(), order), before, "{wrapped}: a conflict does nothing");
        }
        self.calls.lock().unwrap()[nth].answer = answer.as_ref().err().map(|error| error.kind);
        answer
    }
}

/// The Lease that a shutdown gives back may find no API server any more: it runs out by itself.
fn came_too_late(verb: &str, answer: Option<ErrorKind>) -> bool {
    verb == "uncoordinate" && answer == Some(ErrorKind::Transient)
}

/// What the order is to change, as the world has it.
fn state(world: &World, order: &ClusterOrder) -> String {
    match order {
        ClusterOrder::Cordon { node, .. }
        | ClusterOrder::Uncordon { node, .. }
        | ClusterOrder::MarkManual { node, .. }
        | ClusterOrder::ClearMark { node, .. } => {
            let node = &world.nodes()[world.node_row(node).unwrap()];
            let ours: Vec<_> = node.taints.iter().filter(|taint| &*taint.key == TAINT_KEY).collect();
            format!("{ours:?} {:?} {:?}", node.annotations, node.labels)
        }
        ClusterOrder::Scale { workload, .. } => {
            format!("{:?}", world.find_workload(workload).map(|row| world.workloads()[row].replicas))
        }
        ClusterOrder::SetBranch { .. } => world.source().branch.to_string(),
        ClusterOrder::SetUrl { .. } => format!("{} {:?}", world.source().url, world.source().meta.annotations),
        ClusterOrder::Create(manifest) => format!("{}", world.has(&manifest.object)),
        ClusterOrder::Suspend { object, .. } | ClusterOrder::Resume { object, .. } => {
            let found = world.kustomizations().iter().find(|kust| kust.meta.object == *object);
            format!("{:?}", found.map(|kust| (kust.meta.suspended, kust.meta.annotations.clone())))
        }
        ClusterOrder::Coordinate { .. } | ClusterOrder::Uncoordinate { .. } => format!("{:?}", world.coordination()),
        ClusterOrder::Evict { .. }
        | ClusterOrder::Delete { .. }
        | ClusterOrder::ForceDelete { .. }
        | ClusterOrder::DeleteJob { .. }
        | ClusterOrder::Reconcile { .. } => String::new(),
    }
}

/// An annotation or a taint of somebody else's, on the object of the order; the Lease is rewritten as it was.
fn meddle(world: &mut World, order: &ClusterOrder, nth: usize) {
    let flux = |world: &mut World, object: &ObjectRef| {
        world.annotate_flux(object, None, vec![(THEIRS.into(), Some("tonight".into()))]).unwrap();
    };
    match order {
        ClusterOrder::Cordon { node, .. }
        | ClusterOrder::Uncordon { node, .. }
        | ClusterOrder::MarkManual { node, .. }
        | ClusterOrder::ClearMark { node, .. } => meddle_with_node(world, node, nth),
        ClusterOrder::Scale { workload, .. } => world.annotate_workload(workload).unwrap(),
        ClusterOrder::SetBranch { source: object, .. }
        | ClusterOrder::SetUrl { source: object, .. }
        | ClusterOrder::Suspend { object, .. }
        | ClusterOrder::Resume { object, .. }
        | ClusterOrder::Reconcile { object, .. } => flux(world, object),
        ClusterOrder::Coordinate { .. } | ClusterOrder::Uncoordinate { .. } => {
            let (seen, holder, at) = match world.coordination() {
                Some(lease) => (Some(lease.rv), lease.holder.clone(), lease.renewed),
                None => (None, None, Moment::from_millis(0)),
            };
            world.coordinate(seen, holder.as_deref(), at, Duration::from_secs(30)).unwrap();
        }
        // Nothing that is written on a pod or a Job makes it another one, and on what is absent nothing is.
        ClusterOrder::Create(_)
        | ClusterOrder::Evict { .. }
        | ClusterOrder::Delete { .. }
        | ClusterOrder::ForceDelete { .. }
        | ClusterOrder::DeleteJob { .. } => {}
    }
}

/// Annotations and taints by turns; the taint repels nothing that must run.
fn meddle_with_node(world: &mut World, node: &NodeName, nth: usize) {
    let patch = if nth.is_multiple_of(2) {
        NodePatch { annotations: vec![(THEIRS.into(), Some("tonight".into()))], ..NodePatch::default() }
    } else {
        let mut taints = world.nodes()[world.node_row(node).unwrap()].taints.clone();
        taints.push(Taint { key: THEIRS.into(), value: "tonight".into(), effect: "PreferNoSchedule".into() });
        NodePatch { taints: Some(taints), ..NodePatch::default() }
    };
    world.patch_node(node, None, patch).unwrap();
}

/// Whether the other client's change is still on the object.
fn survives(world: &World, subject: &Subject) -> bool {
    match subject {
        Subject::Node(node) => {
            let node = &world.nodes()[world.node_row(node).unwrap()];
            node.annotations.contains_key(THEIRS) || node.taints.iter().any(|taint| &*taint.key == THEIRS)
        }
        Subject::Object(object) => {
            let kust = world.kustomizations().iter().find(|kust| kust.meta.object == *object).map(|kust| &kust.meta);
            let meta = kust.or_else(|| Some(&world.source().meta).filter(|meta| meta.object == *object));
            // The world keeps no annotations of workloads.
            meta.is_none_or(|meta| meta.annotations.contains_key(THEIRS))
        }
        Subject::Cluster | Subject::Ananke | Subject::Ups(_) | Subject::Url(_) | Subject::Peer(_) => true,
    }
}

/// What lasts, the other client's change aside.
fn left(world: &World) -> BTreeMap<String, String> {
    let mut left = BTreeMap::new();
    for (node, host) in world.nodes().iter().zip(world.hosts()) {
        let own = |key: &&str| key.contains("ananke");
        let marks: Vec<&str> = node.annotations.keys().chain(node.labels.keys()).map(|key| &**key).filter(own).collect();
        let taints: Vec<&str> = node.taints.iter().map(|taint| &*taint.key).filter(own).collect();
        left.insert(node.name.to_string(), format!("{marks:?} {taints:?} {:?} {:?}", host.unit_state, host.power));
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

struct Ran {
    report: Report,
    calls: Vec<Call>,
    sim: Sim,
}

fn run(command: Command, faults: &[Fault], at: Option<usize>) -> Ran {
    let scenario = match command {
        Command::Shutdown => "healthy",
        Command::Startup | Command::Status => "after-shutdown",
    };
    let mut scenario = Scenario::named(scenario).unwrap().with_nodes(4);
    for fault in faults {
        scenario = scenario.with_fault(*fault, None);
    }
    let sim = Sim::new(World::new(&scenario, 1));
    let (ports, state, clock) = (SimPorts::new(&sim), MemoryState::default(), sim.clock());
    let mut spec = drill::spec(&sim.world());
    spec.soak = Duration::from_secs(10);
    spec.flux.force_branch = Some("main".into());
    state.kept().baseline = Some(drill::baseline(&sim.world()));
    let now = clock.now();
    let walk = match command {
        Command::Shutdown => engine::shutdown(spec, now, "test", None, None),
        Command::Startup | Command::Status => engine::startup(engine::startup_plan(), spec, now, None, None),
    };
    let rival = Rival { sim: &sim, ports: &ports, at, calls: Mutex::default() };
    let reads: Reads<'_> = ports.reads(&clock, &state);
    let hands = Hands { cluster: &rival, ..ports.hands(&state) };
    let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
    let never = Box::pin(std::future::pending());
    let limit = sim.world().now() + 4 * HOUR;
    let (report, _) = sim.run(engine::execute(walk, reads, hands, never, &mut silent), limit).unwrap();
    let calls = rival.calls.lock().unwrap().clone();
    Ran { report, calls, sim }
}

/// One run for each call, with the other client quicker there.
fn every_call(command: Command, faults: &[Fault], expected_verbs: &[&str]) {
    let quiet = run(command, faults, None);
    assert_eq!(quiet.report.outcome, Outcome::Done, "{}", quiet.report.summary);
    let expected = left(&quiet.sim.world());
    let next = AtomicUsize::new(0);
    let (failed, tried) = (Mutex::new(Vec::new()), Mutex::new(BTreeSet::new()));
    let work = || {
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some(call) = quiet.calls.get(nth) else { return };
            let at = format!("{command:?}, call {nth}: {} {}", call.verb, call.subject);
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let ran = run(command, faults, Some(nth));
                check(&ran, nth, &at);
                assert_eq!(left(&ran.sim.world()), expected, "{at}");
                ran.calls[nth].verb
            }));
            match checked {
                Ok(verb) => drop(tried.lock().unwrap().insert(verb)),
                Err(_) => failed.lock().unwrap().push(at),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    let (failed, tried) = (failed.into_inner().unwrap(), tried.into_inner().unwrap());
    println!("{command:?}: another client was quicker at each of {} calls: {tried:?}", quiet.calls.len());
    assert!(failed.is_empty(), "{} of {} calls failed: {failed:#?}", failed.len(), quiet.calls.len());
    assert!(expected_verbs.iter().all(|verb| tried.contains(verb)), "{tried:?}");
}

fn check(ran: &Ran, nth: usize, at: &str) {
    assert_eq!(ran.report.outcome, Outcome::Done, "{at}: {}\n{:#?}", ran.report.summary, ran.report.manual);
    let Some(call) = ran.calls.get(nth) else { panic!("{at}: there were {} calls only", ran.calls.len()) };
    if UNCONDITIONAL.contains(&call.verb) {
        assert_ne!(call.answer, Some(ErrorKind::Conflict), "{at}");
    } else if !came_too_late(call.verb, call.answer) {
        assert_eq!(call.answer, Some(ErrorKind::Conflict), "{at}");
        let again: Vec<&Call> =
            ran.calls[nth + 1..].iter().filter(|next| next.verb == call.verb && next.subject == call.subject).collect();
        // A Lease that another wrote need not be given back or renewed at once; whatever else was late is sent once more.
        let owed = call.subject != Subject::Cluster;
        assert!(!owed || again.first().is_some_and(|next| next.answer.is_none()), "{at}: sent again as {again:?}");
    }
    if !matches!(call.verb, "evict" | "delete-pod" | "force-delete-pod" | "delete-job") {
        assert!(survives(&ran.sim.world(), &call.subject), "{at}: the other client's change is gone");
    }
}

#[test]
fn a_start_up_judges_again_whatever_was_changed_under_it() {
    every_call(Command::Startup, &[Fault::ScaledToZero], &["resume", "request-reconcile", "scale"]);
}

#[test]
fn a_start_up_that_forces_the_branch_judges_again_whatever_was_changed_under_it() {
    every_call(Command::Startup, &[Fault::WrongBranch], &["set-branch", "resume", "request-reconcile"]);
}

#[test]
fn a_start_up_that_repairs_a_node_judges_again_whatever_was_changed_under_it() {
    every_call(Command::Startup, &[Fault::KubeletWedged], &["coordinate", "cordon", "uncordon", "uncoordinate"]);
}

#[test]
fn a_shutdown_judges_again_whatever_was_changed_under_it() {
    every_call(Command::Shutdown, &[], &["suspend", "coordinate", "cordon", "evict", "uncordon", "uncoordinate"]);
}
