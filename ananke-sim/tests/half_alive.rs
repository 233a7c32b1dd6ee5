//! The API is half alive in every way there is, for 5 to 60 s each, again and again while the cluster is brought up or taken
//! down: the run ends well, every call that changes something has its line in the journal and is made once, and what was
//! answered by nobody is judged again from what was read after that. A server that asks for a pause gets it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says which seeds it ran")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ananke_core::engine::journal::{Entry, What};
use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, Hands, News, Permit, Reads};
use ananke_core::lease::TAINT_KEY;
use ananke_core::name::Moment;
use ananke_core::observation::{
    ApiHealth, CoordinationState, EndpointsState, FluxState, IngressState, JobState, NodeState, PodState, StorageState,
    WorkloadState,
};
use ananke_core::order::{ClusterOrder, Order};
use ananke_core::port::{Clock, ClusterActions, ClusterReads, ErrorKind, PortError};
use ananke_core::report::{Command, Outcome};
use ananke_sim::rng::Rng;
use ananke_sim::world::ApiFault;
use ananke_sim::{MemoryState, Ms, Scenario, Sim, SimPorts, World, drill};
use async_trait::async_trait;
use futures::future::{Either, select};

const HOUR: Ms = 3_600_000;
/// Each way to be half alive comes so often.
const ROUNDS: u64 = 2;

type Answer<T> = Result<T, PortError>;

/// What went over the port, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Asked(&'static str),
    /// A good answer, with the place of its question.
    Read(&'static str, usize),
    Sent {
        key: String,
        part: &'static str,
        seq: u64,
    },
    Answered {
        key: String,
        doubtful: bool,
    },
}

/// The ports of the world, with everything that goes over them written down.
struct Spy<'a> {
    sim: &'a Sim,
    ports: &'a SimPorts,
    seen: Mutex<Vec<Seen>>,
    /// The API server asked not to be asked before then.
    quiet: Mutex<Moment>,
}

impl Spy<'_> {
    fn note(&self, what: Seen) -> usize {
        let mut seen = self.seen.lock().unwrap();
        seen.push(what);
        seen.len() - 1
    }

    async fn read<T>(&self, part: &'static str, call: impl Future<Output = Answer<T>>) -> Answer<T> {
        let asked = self.note(Seen::Asked(part));
        let (clock, quiet) = (self.sim.clock(), *self.quiet.lock().unwrap());
        assert!(clock.now() >= quiet, "{part} was read {:?} too early", quiet.since(clock.now()));
        let answer = call.await;
        match &answer {
            Ok(_) => {
                self.note(Seen::Read(part, asked));
            }
            Err(error) => {
                let until = clock.now().plus(error.retry_after.unwrap_or_default());
                let mut quiet = self.quiet.lock().unwrap();
                *quiet = (*quiet).max(until);
            }
        }
        answer
    }
}

#[async_trait]
impl ClusterReads for Spy<'_> {
    async fn health(&self) -> Answer<ApiHealth> {
        self.read("health", self.ports.health()).await
    }
    async fn nodes(&self) -> Answer<Arc<Vec<NodeState>>> {
        self.read("nodes", self.ports.nodes()).await
    }
    async fn flux(&self) -> Answer<Arc<Option<FluxState>>> {
        self.read("flux", self.ports.flux()).await
    }
    async fn workloads(&self) -> Answer<Arc<Vec<WorkloadState>>> {
        self.read("workloads", self.ports.workloads()).await
    }
    async fn pods(&self) -> Answer<Arc<Vec<PodState>>> {
        self.read("pods", self.ports.pods()).await
    }
    async fn ingresses(&self) -> Answer<Arc<Vec<IngressState>>> {
        self.read("ingresses", self.ports.ingresses()).await
    }
    async fn namespaces(&self) -> Answer<Arc<Vec<Arc<str>>>> {
        self.read("namespaces", self.ports.namespaces()).await
    }
    async fn storage(&self) -> Answer<Arc<StorageState>> {
        self.read("storage", self.ports.storage()).await
    }
    async fn endpoints(&self) -> Answer<Arc<Vec<EndpointsState>>> {
        self.read("endpoints", self.ports.endpoints()).await
    }
    async fn jobs(&self) -> Answer<Arc<Vec<JobState>>> {
        self.read("jobs", self.ports.jobs()).await
    }
    async fn coordination(&self) -> Answer<Option<CoordinationState>> {
        self.read("coordination", self.ports.coordination()).await
    }
}

#[async_trait]
impl ClusterActions for Spy<'_> {
    async fn perform(&self, order: &ClusterOrder, permit: &Permit) -> Answer<()> {
        let key = key(&Order::Cluster(order.clone()));
        self.note(Seen::Sent { key: key.clone(), part: shown_in(order), seq: permit.seq() });
        let answer = ClusterActions::perform(self.ports, order, permit).await;
        let kind = answer.as_ref().err().map(|error| error.kind);
        let doubtful = matches!(kind, Some(ErrorKind::Transient | ErrorKind::Conflict));
        self.note(Seen::Answered { key, doubtful });
        answer
    }
}

fn key(order: &Order) -> String {
    format!("{} {}", order.verb(), order.subject())
}

/// The list that shows what the order did.
fn shown_in(order: &ClusterOrder) -> &'static str {
    match order {
        ClusterOrder::Cordon { .. }
        | ClusterOrder::Uncordon { .. }
        | ClusterOrder::MarkManual { .. }
        | ClusterOrder::ClearMark { .. } => "nodes",
        ClusterOrder::Evict { .. } | ClusterOrder::Delete { .. } | ClusterOrder::ForceDelete { .. } => "pods",
        ClusterOrder::DeleteJob { .. } => "jobs",
        ClusterOrder::Scale { .. } | ClusterOrder::Create(_) => "workloads",
        ClusterOrder::Coordinate { .. } | ClusterOrder::Uncoordinate { .. } => "coordination",
        ClusterOrder::SetBranch { .. }
        | ClusterOrder::SetUrl { .. }
        | ClusterOrder::Reconcile { .. }
        | ClusterOrder::Suspend { .. }
        | ClusterOrder::Resume { .. } => "flux",
    }
}

/// How often something was sent again after nobody knew what had become of it. Panics where it was not read before.
fn sent_again(seen: &[Seen], at: &str) -> usize {
    let mut doubtful: BTreeMap<&str, usize> = BTreeMap::new();
    let mut again = 0;
    for (place, what) in seen.iter().enumerate() {
        match what {
            Seen::Answered { key, doubtful: true } => drop(doubtful.insert(key, place)),
            Seen::Answered { key, doubtful: false } => drop(doubtful.remove(key.as_str())),
            Seen::Sent { key, part, .. } => {
                let Some(since) = doubtful.remove(key.as_str()) else { continue };
                let fresh = |what: &Seen| matches!(what, Seen::Read(read, asked) if read == part && *asked > since);
                assert!(
                    seen.iter().take(place).skip(since).any(fresh),
                    "{at}: {key} was sent again before {part} was read again"
                );
                again += 1;
            }
            Seen::Asked(_) | Seen::Read(..) => {}
        }
    }
    again
}

/// Every call has its own line in the journal, which says the same.
fn check_journal(seen: &[Seen], state: &MemoryState, at: &str) {
    let kept = state.kept();
    let acting = |entry: &Entry| {
        if let What::Acting { order, .. } = &entry.what { Some((entry.seq, key(order))) } else { None }
    };
    let journaled: BTreeMap<u64, String> = kept.journal.iter().filter_map(acting).collect();
    let mut used = BTreeSet::new();
    for what in seen {
        if let Seen::Sent { key, seq, .. } = what {
            assert_eq!(journaled.get(seq), Some(key), "{at}: entry {seq} of the journal");
            assert!(used.insert(*seq), "{at}: {key} was sent twice for entry {seq}");
        }
    }
}

/// One way after the other, in an order that follows from the seed.
async fn trouble(sim: &Sim, seed: u64) {
    let rng = Rng::new(seed);
    let clock = sim.clock();
    let mut all: Vec<(i64, ApiFault)> = Vec::new();
    for round in 0..ROUNDS {
        for (nth, fault) in (0..).zip(ApiFault::ALL) {
            all.push((rng.between("order", nth, round, 0, 1_000_000), *fault));
        }
    }
    all.sort_by_key(|(place, _)| *place);
    for (nth, (_, fault)) in (0..).zip(all) {
        let lasts = rng.between("lasts", nth, 0, 5_000, 60_000);
        let pause = rng.between("pause", nth, 0, 2_000, 20_000);
        sim.world().inject_api_fault(fault, lasts);
        clock.sleep_until(clock.now().plus(Duration::from_millis(u64::try_from(lasts + pause).unwrap()))).await;
    }
}

/// One run with all the trouble, and how often something was sent again.
fn check(command: Command, scenario: &str, seed: u64) -> usize {
    let at = format!("{command:?} from {scenario}, seed {seed}");
    let sim = Sim::new(World::new(&Scenario::named(scenario).unwrap().with_nodes(6), seed));
    let (ports, state, clock) = (SimPorts::new(&sim), MemoryState::default(), sim.clock());
    let mut spec = drill::spec(&sim.world());
    // Trouble is not what the gates' patience is tested by.
    for gate in ananke_core::verdict::GateId::ALL {
        spec.deadlines.insert(*gate, Duration::from_secs(3 * 3600));
    }
    let now = clock.now();
    let walk = match command {
        Command::Shutdown => engine::shutdown(spec, now, "test", None, None),
        Command::Startup | Command::Status => engine::startup(engine::startup_plan(), spec, now, None, None),
    };
    let spy = Spy { sim: &sim, ports: &ports, seen: Mutex::default(), quiet: Mutex::new(Moment::from_millis(0)) };
    let reads = Reads { cluster: &spy, ..ports.reads(&clock, &state) };
    let hands = Hands { cluster: &spy, ..ports.hands(&state) };
    let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
    let never = Box::pin(std::future::pending());
    let run = Box::pin(engine::execute(walk, reads, hands, never, &mut silent));
    let limit = sim.world().now() + 4 * HOUR;
    let both = async {
        match select(run, Box::pin(trouble(&sim, seed))).await {
            Either::Left((done, _)) => done,
            Either::Right(((), run)) => run.await,
        }
    };
    let (report, _) = sim.run(both, limit).unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{at}: {}\n{:#?}", report.summary, report.manual);
    assert!(!sim.world().nodes().iter().any(|node| node.taints.iter().any(|taint| &*taint.key == TAINT_KEY)), "{at}");
    if command == Command::Startup {
        // The next trouble may have begun in the moment in which the run ended.
        let mut wrong = sim.world().truly_healthy().err().unwrap_or_default();
        wrong.retain(|wrong| wrong != "the API does not answer");
        assert!(wrong.is_empty(), "{at}: {wrong:#?}");
    }
    let seen = spy.seen.lock().unwrap();
    check_journal(&seen, &state, &at);
    sent_again(&seen, &at)
}

/// Prints its seeds: one of them alone shows the failure again.
fn many(command: Command, scenario: &str, seeds: std::ops::Range<u64>) {
    println!("{command:?} from {scenario}, seeds {seeds:?}");
    let again: usize = seeds.map(|seed| check(command, scenario, seed)).sum();
    println!("{again} orders were sent again after a read of their own");
    assert!(again > 0, "no answer was ever lost: the trouble is none");
}

#[test]
fn a_start_up_recovers_from_a_power_loss_whatever_the_api_does() {
    many(Command::Startup, "power-loss", 1..25);
}

#[test]
fn a_start_up_after_a_shutdown_recovers_whatever_the_api_does() {
    many(Command::Startup, "after-shutdown", 1..25);
}

#[test]
fn a_shutdown_ends_whatever_the_api_does() {
    many(Command::Shutdown, "healthy", 1..25);
}
