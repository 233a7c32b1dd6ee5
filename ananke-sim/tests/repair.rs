//! Repairs under a cordon lease, on virtual time: a wedged agent is restarted and the cordon given back; what does not come
//! back is marked for a person; and what people put on nodes stays as it was.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::time::Duration;

use ananke_core::engine::keeper::{Keeper, Tick, Wish, list};
use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, Hands, News, Permit, Reads};
use ananke_core::lease::{ANNOTATION, Lease, LeaseState, MANUAL_ANNOTATION, MANUAL_LABEL, Purpose, TAINT_KEY, read_note};
use ananke_core::name::{Moment, NodeName, Subject, UnitName};
use ananke_core::observation::{HostState, SnapshotState, Taint};
use ananke_core::order::{ClusterOrder, Order};
use ananke_core::port::{Clock, ClusterActions, ErrorKind, HostReads, PortError};
use ananke_core::report::{Outcome, Report};
use ananke_core::spec::{HostNeeds, Spec};
use ananke_core::verdict::Reason;
use ananke_sim::fault::Fault;
use ananke_sim::world::{Node, NodePatch};
use ananke_sim::{MemoryState, Ms, Scenario, Sim, SimClock, SimPorts, World, drill};

const MINUTE: Ms = 60_000;
const HOUR: Ms = 60 * MINUTE;

struct Bench {
    sim: Sim,
    ports: SimPorts,
    state: MemoryState,
    spec: Spec,
}

fn node(n: usize) -> NodeName {
    NodeName::parse(&format!("titan-{n:02}")).unwrap()
}

impl Bench {
    fn new(faults: &[(Fault, usize)], seed: u64) -> Self {
        let scenario = Scenario::named("power-loss").unwrap().with_nodes(12);
        let with = |scenario: Scenario, (fault, n): &(Fault, usize)| scenario.with_fault(*fault, Some(node(*n)));
        let sim = Sim::new(World::new(&faults.iter().fold(scenario, with), seed));
        let (ports, spec) = (SimPorts::new(&sim), drill::spec(&sim.world()));
        Self { sim, ports, state: MemoryState::default(), spec }
    }

    fn now(&self) -> Ms {
        self.sim.world().now()
    }

    /// Runs a start-up to its end, or until it dies; `watch` sees the world with everything that is sent.
    fn run(&self, dies_after: Option<Ms>, mut watch: impl FnMut(&Sim, &News<'_>) + Send) -> Option<Report> {
        let clock = self.sim.clock();
        let (kept, now) = (self.state.kept().clone(), clock.now());
        let walk = engine::startup(engine::startup_plan(), self.spec.clone(), now, kept.progress, kept.intent.as_ref());
        let sim = self.sim.clone();
        let mut observer = move |_: &Walk, _: Moment, news: &News<'_>| watch(&sim, news);
        let (reads, hands) = (self.ports.reads(&clock, &self.state), self.ports.hands(&self.state));
        let limit = self.now() + dies_after.unwrap_or(4 * HOUR);
        let never = Box::pin(std::future::pending());
        let ended = self.sim.run(engine::execute(walk, reads, hands, never, &mut observer), limit);
        assert!(dies_after.is_some() || ended.is_ok(), "the start-up hangs");
        ended.ok().map(|(report, _)| report)
    }

    fn start(&self) -> Report {
        self.run(None, |_, _| {}).unwrap()
    }

    /// Runs a start-up that dies as soon as `done` says so of the world.
    fn dies_when(&self, done: impl Fn(&World) -> bool) {
        let clock = self.sim.clock();
        let walk = engine::startup(engine::startup_plan(), self.spec.clone(), clock.now(), None, None);
        let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
        let (reads, hands) = (self.ports.reads(&clock, &self.state), self.ports.hands(&self.state));
        let run = engine::execute(walk, reads, hands, Box::pin(std::future::pending()), &mut silent);
        let death = async {
            while !done(&self.sim.world()) {
                clock.sleep_until(clock.now().plus(Duration::from_millis(100))).await;
            }
        };
        let ended = self.sim.run(futures::future::select(Box::pin(run), Box::pin(death)), self.now() + HOUR);
        assert!(matches!(ended, Ok(futures::future::Either::Right(_))), "it ended, or never came to that point");
    }

    /// The annotation of the lease on a node is rewritten.
    fn rewrite_note(&self, n: usize, change: impl FnOnce(&mut Lease)) {
        let note = self.node(n).annotations.get(ANNOTATION).cloned().unwrap();
        let mut lease = read_note(&note).unwrap();
        change(&mut lease);
        let note = serde_json::to_string(&lease).unwrap();
        let patch = NodePatch { annotations: vec![(ANNOTATION.into(), Some(note.into()))], ..NodePatch::default() };
        self.sim.world().patch_node(&node(n), None, patch).unwrap();
    }

    fn node(&self, n: usize) -> Node {
        let world = self.sim.world();
        let row = world.node_row(&node(n)).unwrap();
        world.nodes()[row].clone()
    }

    fn tick(&self, keeper: &mut Keeper) -> Tick {
        let clock = self.sim.clock();
        let limit = self.now() + 10 * MINUTE;
        let (reads, hands) = (self.ports.reads(&clock, &self.state), self.ports.hands(&self.state));
        self.sim.run(keeper.tick(reads, hands), limit).unwrap()
    }

    /// Ticks as the daemon does, for `span`.
    fn keep(&self, keeper: &mut Keeper, span: Ms) -> Vec<Tick> {
        let (clock, until) = (self.sim.clock(), self.now() + span);
        let mut ticks = Vec::new();
        while self.now() < until {
            let tick = self.tick(keeper);
            self.sim.run(clock.sleep_until(tick.next), self.now() + HOUR).unwrap();
            ticks.push(tick);
        }
        ticks
    }
}

fn cordon_of(node: &Node) -> Option<&str> {
    node.taints.iter().find(|taint| &*taint.key == TAINT_KEY).map(|taint| &*taint.value)
}

fn verbs(report: &Report) -> Vec<&str> {
    let of_leases = ["cordon", "restart-unit", "uncordon", "mark-manual", "uncoordinate"];
    let mut verbs: Vec<&str> = report.actions.iter().map(|action| action.verb.as_str()).collect();
    verbs.retain(|verb| of_leases.contains(verb));
    verbs.dedup();
    verbs
}

#[test]
fn a_wedged_agent_is_restarted_under_a_lease_and_nothing_is_left_of_it() {
    let bench = Bench::new(&[(Fault::KubeletWedged, 7)], 1);
    let report = bench.start();
    assert_eq!(report.outcome, Outcome::Done, "{}\n{:#?}", report.summary, report.manual);
    assert_eq!(verbs(&report), ["cordon", "restart-unit", "uncordon", "uncoordinate"]);
    assert_eq!(bench.sim.world().truly_healthy(), Ok(()));
    let node = bench.node(7);
    assert_eq!((cordon_of(&node), node.annotations.get(ANNOTATION)), (None, None));
    let leases = bench.state.kept().leases.clone();
    assert_eq!(leases.len(), 1);
    assert_eq!((leases[0].state, leases[0].lease.purpose), (LeaseState::Released, Purpose::Repair));
    assert!(leases[0].lease.clock.is_some(), "its age goes by the boot's own clock");
    let world = bench.sim.world();
    assert_eq!(world.coordination().unwrap().holder, None, "the coordination Lease was given back");
    assert_eq!(report.cordons, Vec::<NodeName>::new());
}

#[test]
fn a_node_that_does_not_come_back_is_marked_and_everybody_says_the_same_sentence() {
    let bench = Bench::new(&[(Fault::NodeNeverReady, 9)], 2);
    let report = bench.start();
    assert_eq!(report.outcome, Outcome::Manual, "{}", report.summary);
    let marked = bench.node(9);
    let sentence = marked.annotations.get(MANUAL_ANNOTATION).unwrap();
    assert_eq!(marked.labels.get(MANUAL_LABEL).map(|value| &**value), Some("required"));
    assert!(sentence.contains("titan-09") && sentence.contains("ananke lease release titan-09"), "{sentence}");
    let events = bench.sim.world().node_events().to_vec();
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0].node, &*events[0].message), (&node(9), &**sentence));
    let action = report.manual.iter().find(|action| action.subject == Subject::Node(node(9))).unwrap();
    assert_eq!((action.instruction.as_str(), action.reason), (&**sentence, Some(Reason::ManualActionMarked)));
    assert_eq!(report.manual.len(), 1, "{:#?}", report.manual);
    let record = bench.state.kept().leases[0].clone();
    assert_eq!(record.state, LeaseState::Manual);
    assert_eq!(cordon_of(&marked), Some(record.lease.id.as_str()), "the taint stays until a person lifts it");
    assert_eq!(verbs(&report).iter().filter(|verb| **verb == "restart-unit").count(), 1);
    assert_eq!(report.cordons, [node(9)]);
}

#[test]
fn the_lease_is_on_disk_before_the_cordon_and_the_coordination_lease_is_held_while_it_is_sent() {
    let bench = Bench::new(&[(Fault::KubeletWedged, 7)], 3);
    let state = &bench.state;
    let seen = Mutex::new(0);
    bench.run(None, |sim, news| {
        let News::Acting(action) = news else { return };
        let Order::Cluster(ClusterOrder::Cordon { lease, .. }) = &action.order else { return };
        *seen.lock().unwrap() += 1;
        assert!(state.kept().leases.iter().any(|record| record.lease == **lease), "not on disk");
        let world = sim.world();
        assert_eq!(world.coordination().unwrap().holder.as_deref(), Some("titan-db"));
    });
    assert_eq!(*seen.lock().unwrap(), 1);
}

#[test]
fn what_people_put_on_the_node_is_there_before_during_and_after() {
    let theirs = Taint { key: "team/disk".into(), value: "slow".into(), effect: "PreferNoSchedule".into() };
    for (before, fault) in [
        (true, Fault::KubeletWedged),
        (false, Fault::KubeletWedged),
        (true, Fault::NodeNeverReady),
        (false, Fault::NodeNeverReady),
    ] {
        let bench = Bench::new(&[(fault, 7)], 4);
        let patch = || NodePatch {
            annotations: vec![("team/note".into(), Some("ask Anna".into()))],
            taints: Some(bench.node(7).taints.into_iter().chain([theirs.clone()]).collect()),
            unschedulable: Some(true),
            ..NodePatch::default()
        };
        let mut done = before;
        if before {
            let patch = patch();
            bench.sim.world().patch_node(&node(7), None, patch).unwrap();
        }
        let report = bench.run(None, |sim, news| {
            if let News::Acting(action) = news
                && action.order.verb() == "restart-unit"
                && !std::mem::replace(&mut done, true)
            {
                let patch = NodePatch {
                    annotations: vec![("team/note".into(), Some("ask Anna".into()))],
                    taints: Some({
                        let world = sim.world();
                        let row = world.node_row(&node(7)).unwrap();
                        world.nodes()[row].taints.iter().cloned().chain([theirs.clone()]).collect()
                    }),
                    unschedulable: Some(true),
                    ..NodePatch::default()
                };
                sim.world().patch_node(&node(7), None, patch).unwrap();
            }
        });
        let (report, left) = (report.unwrap(), bench.node(7));
        let what = format!("{fault}, before: {before}: {}", report.summary);
        assert!(left.unschedulable && left.taints.contains(&theirs), "{what}");
        assert_eq!(left.annotations.get("team/note").map(|note| &**note), Some("ask Anna"), "{what}");
        assert_eq!(cordon_of(&left).is_some(), fault == Fault::NodeNeverReady, "{what}");
    }
}

#[test]
fn a_run_that_dies_under_its_lease_is_gone_on_with_and_does_not_repair_twice() {
    for fault in [Fault::KubeletWedged, Fault::NodeNeverReady] {
        let bench = Bench::new(&[(fault, 7)], 5);
        bench.dies_when(|world| world.nodes().iter().any(|node| cordon_of(node).is_some()));
        let report = bench.start();
        let journal = bench.state.kept().journal.clone();
        let restarts = journal.iter().filter(|entry| {
            matches!(&entry.what, ananke_core::engine::journal::What::Acting { order, .. } if order.verb() == "restart-unit")
        });
        let what = format!("{fault}: {}", report.summary);
        assert!(restarts.count() <= 1, "{what}");
        let outcome = if fault == Fault::KubeletWedged { Outcome::Done } else { Outcome::Manual };
        assert_eq!(report.outcome, outcome, "{what}");
        assert_eq!(bench.state.kept().leases.iter().filter(|record| record.state.outstanding()).count(), 0, "{what}");
    }
}

#[test]
fn while_another_ananke_renews_the_coordination_lease_nothing_is_cordoned() {
    let bench = Bench::new(&[(Fault::KubeletWedged, 7)], 6);
    let report = bench.run(None, |sim, _| {
        let mut world = sim.world();
        if world.api_up() {
            let (seen, now) = (world.coordination().map(|lease| lease.rv), world.now());
            let at = world.wall(now);
            world.coordinate(seen, Some("tethys"), at, Duration::from_secs(30)).unwrap();
        }
    });
    let report = report.unwrap();
    assert_eq!(report.outcome, Outcome::Manual, "{}", report.summary);
    assert_eq!(verbs(&report), Vec::<&str>::new());
    let told = format!("{:?}", report.manual);
    assert!(told.contains("tethys") && told.contains("coordination"), "{told}");
}

#[test]
fn many_sick_nodes_are_a_reason_to_stop_and_say_so() {
    let bench = Bench::new(&[5, 6, 7, 8].map(|n| (Fault::KubeletWedged, n)), 7);
    let report = bench.start();
    assert_eq!(report.outcome, Outcome::Manual, "{}", report.summary);
    assert_eq!(verbs(&report), Vec::<&str>::new());
    for n in [5, 6, 7, 8] {
        let told = report.manual.iter().find(|action| action.subject == Subject::Node(node(n))).unwrap();
        assert_eq!(told.reason, Some(Reason::TooManySick), "{told:#?}");
        assert!(told.instruction.starts_with("find what the sick nodes have in common"), "{told:#?}");
    }
}

/// A world in which the run that cordoned `titan-07` died under its lease.
fn orphaned(fault: Fault, seed: u64) -> Bench {
    let bench = Bench::new(&[(fault, 7)], seed);
    bench.dies_when(|world| world.nodes().iter().any(|node| cordon_of(node).is_some()));
    bench
}

#[test]
fn the_daemon_leaves_a_live_runs_lease_and_gives_a_dead_ones_back() {
    let bench = orphaned(Fault::NodeNeverReady, 8);
    let mut keeper = Keeper::new(bench.spec.clone());
    let tick = bench.tick(&mut keeper);
    assert!(tick.done.is_empty() && tick.failed.is_empty(), "{tick:?}");
    assert!(cordon_of(&bench.node(7)).is_some(), "its run wrote its progress just now");
    bench.keep(&mut keeper, 3 * MINUTE);
    assert_eq!(cordon_of(&bench.node(7)), None, "nobody repairs under it any more");
    assert_eq!(bench.state.kept().leases[0].state, LeaseState::Released);
    assert_eq!(bench.node(7).annotations.get(MANUAL_ANNOTATION), None);
}

#[test]
fn anothers_expired_lease_is_settled_within_a_minute_and_under_the_coordination_lease() {
    for (fault, state) in [(Fault::NodeNeverReady, LeaseState::Manual), (Fault::KubeletWedged, LeaseState::Released)] {
        let bench = orphaned(fault, 9);
        if fault == Fault::KubeletWedged {
            // Someone restarted its agent meanwhile.
            bench.sim.world().unit_restart(&node(7)).unwrap();
        }
        let mut keeper = Keeper::new(Spec { holder: "rhea".to_owned(), ..bench.spec.clone() });
        bench.state.kept().leases.clear();
        bench.state.kept().progress = None;
        bench.keep(&mut keeper, 62 * MINUTE);
        let record = bench.state.kept().leases.last().cloned().unwrap_or_else(|| panic!("{fault}: never adopted"));
        assert_eq!(record.state, state, "{fault}");
        let settled = record.since.since(record.lease.expires);
        assert!(settled <= Duration::from_secs(60), "{fault}: settled {settled:?} after its expiry");
        let left = bench.node(7);
        assert_eq!(cordon_of(&left).is_some(), state == LeaseState::Manual, "{fault}");
        assert_eq!(left.annotations.contains_key(MANUAL_ANNOTATION), state == LeaseState::Manual, "{fault}");
        assert_eq!(bench.sim.world().coordination().unwrap().holder, None, "{fault}: it was taken and given back");
    }
}

/// The node under an orphaned lease is well again, and the lease has so long to go for an Ananke on another host.
fn well_again(seed: u64) -> (Bench, Keeper, Ms) {
    let bench = orphaned(Fault::KubeletWedged, seed);
    bench.sim.world().unit_restart(&node(7)).unwrap();
    bench.state.kept().leases.clear();
    bench.state.kept().progress = None;
    let lease = read_note(bench.node(7).annotations.get(ANNOTATION).unwrap()).unwrap();
    let left = lease.expires.since(bench.sim.clock().now());
    let keeper = Keeper::new(Spec { holder: "rhea".to_owned(), ..bench.spec.clone() });
    (bench, keeper, Ms::try_from(left.as_millis()).unwrap())
}

/// Hosts of which one takes the connection and says nothing more.
struct OneHangs<'a>(&'a SimPorts, NodeName, SimClock);

#[async_trait::async_trait]
impl HostReads for OneHangs<'_> {
    async fn inspect(&self, name: &NodeName, unit: &UnitName, needs: &HostNeeds) -> Result<HostState, PortError> {
        if *name == self.1 {
            self.2.sleep_until(self.2.now().plus(Duration::from_secs(30))).await;
            return Err(PortError::new(ErrorKind::Transient, "inspect the host", name, "no answer within 30 s"));
        }
        HostReads::inspect(self.0, name, unit, needs).await
    }

    async fn snapshots(&self, name: &NodeName) -> Result<Vec<SnapshotState>, PortError> {
        HostReads::snapshots(self.0, name).await
    }
}

#[test]
fn a_host_that_hangs_keeps_no_lease_of_another_node_from_its_end() {
    let (bench, mut keeper, left) = well_again(12);
    let foreign = Taint { key: TAINT_KEY.into(), value: "shutdown-0-8".into(), effect: "NoSchedule".into() };
    let patch = NodePatch { taints: Some(vec![foreign]), ..NodePatch::default() };
    bench.sim.world().patch_node(&node(8), None, patch).unwrap();
    let clock = bench.sim.clock();
    let hosts = OneHangs(&bench.ports, node(8), bench.sim.clock());
    let until = bench.now() + left + 90_000;
    while bench.now() < until {
        let reads = Reads { hosts: &hosts, ..bench.ports.reads(&clock, &bench.state) };
        let tick = bench.sim.run(keeper.tick(reads, bench.ports.hands(&bench.state)), bench.now() + 10 * MINUTE).unwrap();
        bench.sim.run(clock.sleep_until(tick.next), bench.now() + HOUR).unwrap();
    }
    assert_eq!(cordon_of(&bench.node(7)), None, "{:?}", bench.state.kept().leases);
    assert_eq!(bench.node(7).annotations.get(MANUAL_ANNOTATION), None);
}

/// An API whose store hangs: lists are there, and no write is answered.
struct WritesHang(SimClock);

#[async_trait::async_trait]
impl ClusterActions for WritesHang {
    async fn perform(&self, order: &ClusterOrder, _permit: &Permit) -> Result<(), PortError> {
        self.0.sleep_until(self.0.now().plus(Duration::from_secs(50))).await;
        Err(PortError::new(ErrorKind::Transient, "write", format!("{order:?}"), "no answer within 50 s"))
    }
}

#[test]
fn a_sweep_over_a_store_that_hangs_ends_before_the_daemon_counts_as_stuck() {
    let bench = orphaned(Fault::NodeNeverReady, 13);
    for n in [4, 5, 6, 8, 9, 10, 11, 12] {
        let value = format!("startup-0-{n}").as_str().into();
        let taints = Some(vec![Taint { key: TAINT_KEY.into(), value, effect: "NoSchedule".into() }]);
        bench.sim.world().patch_node(&node(n), None, NodePatch { taints, ..NodePatch::default() }).unwrap();
    }
    let (clock, cluster) = (bench.sim.clock(), WritesHang(bench.sim.clock()));
    let mut keeper = Keeper::new(bench.spec.clone());
    let mut failed = 0;
    let until = bench.now() + 70 * MINUTE;
    while bench.now() < until {
        let hands = Hands { cluster: &cluster, ..bench.ports.hands(&bench.state) };
        let tick = bench.sim.run(keeper.tick(bench.ports.reads(&clock, &bench.state), hands), bench.now() + HOUR).unwrap();
        let took = clock.now().since(tick.at);
        assert!(took <= Duration::from_secs(120), "{took:?} for {tick:?}");
        failed = failed.max(tick.failed.len());
        bench.sim.run(clock.sleep_until(tick.next), bench.now() + HOUR).unwrap();
    }
    assert!(failed > 0, "nothing was tried");
}

#[test]
fn with_disk_and_annotation_lost_the_taint_is_taken_over_and_settled() {
    let bench = orphaned(Fault::NodeNeverReady, 10);
    bench.state.kept().leases.clear();
    let patch = NodePatch { annotations: vec![(ANNOTATION.into(), None)], ..NodePatch::default() };
    bench.sim.world().patch_node(&node(7), None, patch).unwrap();
    let mut keeper = Keeper::new(bench.spec.clone());
    let ticks = bench.keep(&mut keeper, 4 * MINUTE);
    assert!(ticks.iter().flat_map(|tick| &tick.done).any(|line| line.contains("was not on disk")), "{ticks:?}");
    let record = bench.state.kept().leases[0].clone();
    assert_eq!((record.state, record.lease.purpose), (LeaseState::Manual, Purpose::Unknown));
    assert!(ticks.last().unwrap().manual[0].contains("titan-07"), "{ticks:?}");
}

#[test]
fn a_person_releases_a_marked_node_and_nothing_of_ananke_is_left_on_it() {
    let bench = Bench::new(&[(Fault::NodeNeverReady, 9)], 2);
    bench.start();
    bench.sim.world().person_cordon(&node(9)).unwrap();
    let clock = bench.sim.clock();
    let listed = bench.sim.run(list(&bench.spec, bench.ports.reads(&clock, &bench.state)), bench.now() + MINUTE).unwrap();
    assert_eq!(
        (listed.leases.len(), listed.leases[0].state, listed.leases[0].on_node),
        (1, Some(LeaseState::Manual), Some(true))
    );
    assert!(listed.leases[0].manual.as_ref().unwrap().contains("titan-09"));
    for wish in [Wish::Lease(listed.leases[0].lease.clone().unwrap()), Wish::Node(node(9))] {
        let mut keeper = Keeper::new(bench.spec.clone());
        let (reads, hands) = (bench.ports.reads(&clock, &bench.state), bench.ports.hands(&bench.state));
        bench.sim.run(keeper.release(reads, hands, &wish), bench.now() + 10 * MINUTE).unwrap().unwrap();
        let left = bench.node(9);
        assert!(left.unschedulable, "the person's own cordon stays");
        assert_eq!(
            (cordon_of(&left), left.annotations.get(ANNOTATION), left.annotations.get(MANUAL_ANNOTATION)),
            (None, None, None)
        );
        assert_eq!(left.labels.get(MANUAL_LABEL), None);
        assert_eq!(bench.state.kept().leases[0].state, LeaseState::Released);
    }
    let mut keeper = Keeper::new(bench.spec.clone());
    let (reads, hands) = (bench.ports.reads(&clock, &bench.state), bench.ports.hands(&bench.state));
    let unknown = Wish::Node(NodeName::parse("titan-99").unwrap());
    let refused = bench.sim.run(keeper.release(reads, hands, &unknown), bench.now() + 10 * MINUTE).unwrap().unwrap_err();
    assert_eq!(refused.kind, ananke_core::port::ErrorKind::Missing);
}

#[test]
fn another_clusters_cordon_is_never_touched() {
    let bench = orphaned(Fault::KubeletWedged, 11);
    bench.state.kept().leases.clear();
    bench.rewrite_note(7, |lease| lease.cluster_uid = ananke_core::name::Uid::parse("elsewhere").unwrap());
    let before = bench.node(7);
    let mut keeper = Keeper::new(bench.spec.clone());
    let ticks = bench.keep(&mut keeper, 65 * MINUTE);
    let after = bench.node(7);
    assert_eq!((cordon_of(&before), &before.annotations), (cordon_of(&after), &after.annotations));
    assert!(ticks.last().unwrap().notes[0].contains("another cluster"), "{ticks:?}");
    let clock = bench.sim.clock();
    let (reads, hands) = (bench.ports.reads(&clock, &bench.state), bench.ports.hands(&bench.state));
    let refused = bench.sim.run(keeper.release(reads, hands, &Wish::Node(node(7))), bench.now() + HOUR).unwrap().unwrap_err();
    assert_eq!(refused.kind, ananke_core::port::ErrorKind::Denied);
}
