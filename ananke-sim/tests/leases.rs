//! The nine rules of cordon leases under whatever may happen: runs that start and die, two Anankes, an API that goes away,
//! clocks that jump, people, Nodes made anew, disks that are lost or full, an etcd from yesterday.
//!
//! The checks look at the world and at the disks, never at the engine. One line of a story is one thing that happens.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says how much it tried"
)]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use ananke_core::baseline::Baseline;
use ananke_core::engine::journal::Entry;
use ananke_core::engine::keeper::Keeper;
use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::intent::Intent;
use ananke_core::lease::{ANNOTATION, LeaseRecord, LeaseState, MANUAL_ANNOTATION, MANUAL_LABEL, Purpose, TAINT_KEY};
use ananke_core::name::{BootId, Moment, NodeName};
use ananke_core::observation::{Confirmation, Taint};
use ananke_core::port::clock::Uptime;
use ananke_core::port::{Clock, ErrorKind, PortError, StateReads, StateWrites};
use ananke_core::report::{PastRun, Progress, Report};
use ananke_core::spec::Spec;
use ananke_sim::world::{NodePatch, NodesBackup};
use ananke_sim::{Fault, MemoryState, Ms, Scenario, Sim, SimClock, SimPorts, World, drill};
use async_trait::async_trait;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

const WINDOW: Duration = Duration::from_secs(600);
/// Rule 4: within a minute of its expiry, while somebody who may settle it is alive and reaches the API.
const SETTLED_WITHIN: Ms = 60_000;
/// Another's lease is left to its holder for this long.
const GRACE: Ms = 30_000;
const NODES: usize = 5;
const CASES: u32 = 200;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Wait(u16),
    Startup(bool),
    Shutdown(bool),
    Kill(bool),
    DaemonStarts(bool),
    DaemonDies(bool),
    Api(u8),
    ClockJumps(bool, i32),
    Reboots(bool, i32),
    Cordon(u8),
    Uncordon(u8),
    Taint(u8),
    TakeTaint(u8),
    TakeNote(u8),
    Recreate(u8),
    BackUp,
    Restore,
    LoseDisk(bool),
    FullDisk(bool),
    Wedge(u8),
    NeverReady(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let node = || 0..u8::try_from(NODES).unwrap();
    let jump = || prop_oneof![-100_000..100_000i32, -900..900i32];
    prop_oneof![
        6 => (1u16..900).prop_map(Act::Wait),
        4 => any::<bool>().prop_map(Act::Startup),
        2 => any::<bool>().prop_map(Act::Shutdown),
        3 => any::<bool>().prop_map(Act::Kill),
        2 => any::<bool>().prop_map(Act::DaemonStarts),
        1 => any::<bool>().prop_map(Act::DaemonDies),
        1 => (0u8..3).prop_map(Act::Api),
        1 => (any::<bool>(), jump()).prop_map(|(who, by)| Act::ClockJumps(who, by)),
        1 => (any::<bool>(), jump()).prop_map(|(who, by)| Act::Reboots(who, by)),
        1 => node().prop_map(Act::Cordon),
        1 => node().prop_map(Act::Uncordon),
        1 => node().prop_map(Act::Taint),
        1 => node().prop_map(Act::TakeTaint),
        1 => node().prop_map(Act::TakeNote),
        1 => node().prop_map(Act::Recreate),
        1 => Just(Act::BackUp),
        1 => Just(Act::Restore),
        1 => any::<bool>().prop_map(Act::LoseDisk),
        1 => any::<bool>().prop_map(Act::FullDisk),
        4 => node().prop_map(Act::Wedge),
        2 => node().prop_map(Act::NeverReady),
    ]
}

/// A machine's clocks: the wall may be set, the boot may end, the other only grows.
struct Jumpy {
    sim: SimClock,
    offset: AtomicI64,
    boot: AtomicU32,
    booted: AtomicI64,
}

impl Jumpy {
    fn truth(&self) -> i64 {
        self.sim.now().as_millis()
    }
}

#[async_trait]
impl Clock for Jumpy {
    fn now(&self) -> Moment {
        Moment::from_millis(self.truth() + self.offset.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Option<Uptime> {
        let boot = BootId::parse(&format!("boot-{}", self.boot.load(Ordering::Relaxed))).unwrap();
        let since = self.truth() - self.booted.load(Ordering::Relaxed);
        Some(Uptime { boot, since_boot: Duration::from_millis(u64::try_from(since).unwrap()) })
    }

    async fn sleep_until(&self, until: Moment) {
        let until = Moment::from_millis(until.as_millis() - self.offset.load(Ordering::Relaxed));
        self.sim.sleep_until(until).await;
    }
}

/// A state directory that may be full: then it can be read, and takes nothing but the end of a lease.
#[derive(Default)]
struct Disk {
    memory: MemoryState,
    full: AtomicBool,
}

impl Disk {
    fn room(&self) -> Result<(), PortError> {
        let full = self.full.load(Ordering::Relaxed);
        if full { Err(PortError::new(ErrorKind::Transient, "write", "the state", "no space left on device")) } else { Ok(()) }
    }

    fn records(&self) -> Vec<LeaseRecord> {
        self.memory.kept().leases.clone()
    }
}

type Answer<T> = Result<T, PortError>;

#[async_trait]
impl StateReads for Disk {
    async fn intent(&self) -> Answer<Option<Intent>> {
        self.memory.intent().await
    }
    async fn leases(&self) -> Answer<Vec<LeaseRecord>> {
        self.memory.leases().await
    }
    async fn progress(&self) -> Answer<Option<Progress>> {
        self.memory.progress().await
    }
    async fn baseline(&self) -> Answer<Option<Baseline>> {
        self.memory.baseline().await
    }
    async fn confirmations(&self) -> Answer<Vec<Confirmation>> {
        self.memory.confirmations().await
    }
    async fn runs(&self) -> Answer<Vec<PastRun>> {
        self.memory.runs().await
    }
}

#[async_trait]
impl StateWrites for Disk {
    async fn save_intent(&self, intent: &Intent) -> Answer<()> {
        self.room()?;
        self.memory.save_intent(intent).await
    }
    /// The reserve is kept for this: what ends a lease is written, a new one is not.
    async fn save_leases(&self, leases: &[LeaseRecord]) -> Answer<()> {
        let known = self.records();
        let new = leases
            .iter()
            .any(|lease| lease.state == LeaseState::Intended && !known.iter().any(|old| old.lease.id == lease.lease.id));
        if new {
            self.room()?;
        }
        self.memory.save_leases(leases).await
    }
    async fn save_progress(&self, progress: &Progress) -> Answer<()> {
        self.room()?;
        self.memory.save_progress(progress).await
    }
    async fn save_report(&self, report: &Report) -> Answer<()> {
        self.room()?;
        self.memory.save_report(report).await
    }
    async fn append(&self, entry: &Entry) -> Answer<()> {
        self.room()?;
        self.memory.append(entry).await
    }
    async fn record(&self, entry: &Entry) -> Answer<()> {
        self.room()?;
        self.memory.record(entry).await
    }
    async fn save_baseline(&self, baseline: &Baseline) -> Answer<()> {
        self.room()?;
        self.memory.save_baseline(baseline).await
    }
    async fn save_run(&self, run: &PastRun) -> Answer<()> {
        self.room()?;
        self.memory.save_run(run).await
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// One Ananke: a machine with a disk and clocks, a daemon or none, a run or none.
struct Ananke {
    name: &'static str,
    ports: Rc<SimPorts>,
    clock: Rc<Jumpy>,
    disk: Rc<Disk>,
    spec: Spec,
    run: Option<Task>,
    daemon: Option<Task>,
}

impl Ananke {
    fn new(sim: &Sim, name: &'static str) -> Self {
        let mut spec = drill::spec(&sim.world());
        spec.holder = name.to_owned();
        spec.cordon_window = WINDOW;
        spec.poll = Duration::from_secs(5);
        spec.soak = Duration::from_secs(10);
        let clock = Jumpy { sim: sim.clock(), offset: AtomicI64::new(0), boot: AtomicU32::new(1), booted: AtomicI64::new(0) };
        clock.booted.store(clock.truth() - 86_400_000, Ordering::Relaxed);
        let ports = Rc::new(SimPorts::new(sim));
        Self { name, ports, clock: Rc::new(clock), disk: Rc::default(), spec, run: None, daemon: None }
    }

    fn start(&mut self, shutdown: bool) {
        if self.run.is_some() {
            return;
        }
        let (ports, clock, disk, spec) = (self.ports.clone(), self.clock.clone(), self.disk.clone(), self.spec.clone());
        self.run = Some(Box::pin(async move {
            let (progress, intent) = {
                let kept = disk.memory.kept();
                (kept.progress.clone(), kept.intent.clone())
            };
            let now = clock.now();
            let walk = if shutdown {
                engine::shutdown(spec, now, "test", progress, intent.as_ref())
            } else {
                engine::startup(engine::startup_plan(), spec, now, progress, intent.as_ref())
            };
            let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
            let never = Box::pin(std::future::pending());
            engine::execute(walk, ports.reads(&*clock, &*disk), ports.hands(&*disk), never, &mut silent).await;
        }));
    }

    fn keep(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        let (ports, clock, disk, spec) = (self.ports.clone(), self.clock.clone(), self.disk.clone(), self.spec.clone());
        self.daemon = Some(Box::pin(async move {
            let mut keeper = Keeper::new(spec);
            loop {
                let tick = keeper.tick(ports.reads(&*clock, &*disk), ports.hands(&*disk)).await;
                let pause = tick.next.since(clock.now()).clamp(Duration::from_secs(1), Duration::from_secs(60));
                clock.sleep_until(clock.now().plus(pause)).await;
            }
        }));
    }
}

/// What people put on a node, as it must stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Foreign {
    unschedulable: bool,
    taints: BTreeSet<Arc<str>>,
    notes: BTreeMap<Arc<str>, Arc<str>>,
}

/// What the checks remember of one taint of ours.
#[derive(Debug, Clone)]
struct Seen {
    /// Virtual time at which it was first seen.
    since: Ms,
    /// For how long it has been past its window, with somebody alive who may settle it.
    late: Ms,
}

struct Story {
    sim: Sim,
    both: [Ananke; 2],
    people: BTreeMap<NodeName, Foreign>,
    backup: Option<(NodesBackup, BTreeMap<NodeName, Foreign>)>,
    seen: RefCell<BTreeMap<(NodeName, Arc<str>), Seen>>,
    /// Taints that people took away, or that went with their node: they may not come back by themselves.
    gone: RefCell<BTreeSet<(NodeName, Arc<str>)>>,
    /// How far clocks were set back or apart, in milliseconds: wall time across boots cannot know.
    slack: Cell<Ms>,
    checked: Cell<Ms>,
    /// When each lease ends, as it was first written.
    ends: RefCell<BTreeMap<String, Moment>>,
    /// Cordons that were seen for the first time.
    placed: Cell<usize>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let sim = Sim::new(World::new(&Scenario::named("healthy").unwrap().with_nodes(NODES), seed));
        let both = [Ananke::new(&sim, "titan-db"), Ananke::new(&sim, "tethys")];
        let people = sim.world().nodes().iter().map(|node| (node.name.clone(), foreign(node))).collect();
        let checked = Cell::new(sim.world().now());
        Self {
            sim,
            both,
            people,
            backup: None,
            seen: RefCell::default(),
            gone: RefCell::default(),
            slack: Cell::new(0),
            checked,
            ends: RefCell::default(),
            placed: Cell::new(0),
        }
    }

    fn node(&self, n: u8) -> NodeName {
        self.sim.world().nodes()[usize::from(n)].name.clone()
    }

    fn patch(&self, node: &NodeName, patch: NodePatch) {
        self.sim.world().patch_node(node, None, patch).unwrap();
    }

    fn happen(&mut self, act: &Act) {
        let who = |second: &bool| usize::from(*second);
        match act {
            Act::Wait(secs) => self.wait(Ms::from(*secs) * 1000),
            Act::Startup(second) => self.both[who(second)].start(false),
            Act::Shutdown(second) => self.both[who(second)].start(true),
            Act::Kill(second) => self.both[who(second)].run = None,
            Act::DaemonStarts(second) => self.both[who(second)].keep(),
            Act::DaemonDies(second) => self.both[who(second)].daemon = None,
            Act::Api(kind) => {
                let fault = [Fault::Api500, Fault::ApiRefused, Fault::StoreHang][usize::from(*kind)];
                self.sim.world().inject(fault, None).unwrap();
            }
            Act::ClockJumps(second, by) => self.set_clock(who(second), *by),
            Act::Reboots(second, by) => {
                let ananke = &mut self.both[who(second)];
                (ananke.run, ananke.daemon) = (None, None);
                ananke.clock.boot.fetch_add(1, Ordering::Relaxed);
                ananke.clock.booted.store(ananke.clock.truth(), Ordering::Relaxed);
                self.set_clock(who(second), *by);
            }
            Act::LoseDisk(second) => {
                let ananke = &mut self.both[who(second)];
                (ananke.run, ananke.daemon) = (None, None);
                ananke.disk = Rc::default();
            }
            Act::FullDisk(second) => {
                self.both[who(second)].disk.full.fetch_xor(true, Ordering::Relaxed);
            }
            Act::Wedge(n) => self.inject(Fault::KubeletWedged, *n),
            Act::NeverReady(n) => self.inject(Fault::NodeNeverReady, *n),
            Act::BackUp => self.backup = Some((self.sim.world().back_up_nodes(), self.people.clone())),
            Act::Restore => {
                if let Some((nodes, people)) = &self.backup {
                    self.sim.world().restore_nodes(nodes);
                    self.people = people.clone();
                    // What etcd brings back is nobody's deed.
                    self.gone.borrow_mut().clear();
                    self.seen.borrow_mut().clear();
                }
            }
            Act::Cordon(_) | Act::Uncordon(_) | Act::Taint(_) | Act::TakeTaint(_) | Act::TakeNote(_) | Act::Recreate(_) => {
                self.person(act);
            }
        }
        self.check();
    }

    fn person(&mut self, act: &Act) {
        match act {
            Act::Cordon(n) => {
                let node = self.node(*n);
                self.sim.world().person_cordon(&node).unwrap();
                self.people.get_mut(&node).unwrap().unschedulable = true;
            }
            Act::Uncordon(n) => {
                let node = self.node(*n);
                self.sim.world().person_uncordon(&node).unwrap();
                self.people.get_mut(&node).unwrap().unschedulable = false;
            }
            Act::Taint(n) => {
                let node = self.node(*n);
                let mut taints = self.sim.world().nodes()[usize::from(*n)].taints.clone();
                if !taints.iter().any(|taint| &*taint.key == "team.example/hold") {
                    taints.push(Taint { key: "team.example/hold".into(), value: "yes".into(), effect: "NoSchedule".into() });
                }
                let annotations = vec![("team.example/why".into(), Some("disk".into()))];
                self.patch(&node, NodePatch { taints: Some(taints), annotations, ..NodePatch::default() });
                let people = self.people.get_mut(&node).unwrap();
                people.taints.insert("team.example/hold".into());
                people.notes.insert("team.example/why".into(), "disk".into());
            }
            Act::TakeTaint(n) => {
                let node = self.node(*n);
                let (own, others): (Vec<Taint>, Vec<Taint>) =
                    self.sim.world().nodes()[usize::from(*n)].taints.iter().cloned().partition(|taint| &*taint.key == TAINT_KEY);
                self.gone.borrow_mut().extend(own.into_iter().map(|taint| (node.clone(), taint.value)));
                self.patch(&node, NodePatch { taints: Some(others), ..NodePatch::default() });
            }
            Act::TakeNote(n) => {
                let node = self.node(*n);
                self.patch(&node, NodePatch { annotations: vec![(ANNOTATION.into(), None)], ..NodePatch::default() });
            }
            Act::Recreate(n) => {
                let node = self.node(*n);
                let own = self.sim.world().nodes()[usize::from(*n)].taints.clone();
                let own = own.into_iter().filter(|taint| &*taint.key == TAINT_KEY).map(|taint| (node.clone(), taint.value));
                self.gone.borrow_mut().extend(own);
                self.sim.world().recreate_node(&node);
                let now = foreign(&self.sim.world().nodes()[usize::from(*n)]);
                self.people.insert(node, now);
            }
            Act::Wait(_)
            | Act::Startup(_)
            | Act::Shutdown(_)
            | Act::Kill(_)
            | Act::DaemonStarts(_)
            | Act::DaemonDies(_)
            | Act::Api(_)
            | Act::ClockJumps(..)
            | Act::Reboots(..)
            | Act::BackUp
            | Act::Restore
            | Act::LoseDisk(_)
            | Act::FullDisk(_)
            | Act::Wedge(_)
            | Act::NeverReady(_) => panic!("{act:?} is no person's deed"),
        }
    }

    fn inject(&self, fault: Fault, n: u8) {
        let node = self.node(n);
        self.sim.world().inject(fault, Some(&node)).unwrap();
    }

    fn set_clock(&self, who: usize, by: i32) {
        let by = i64::from(by) * 1000;
        self.both[who].clock.offset.fetch_add(by, Ordering::Relaxed);
        self.slack.set(self.slack.get() + by.abs());
    }

    /// Lets everybody who is alive go on for a while; the world is checked at every step of theirs.
    fn wait(&mut self, span: Ms) {
        let until = self.sim.world().now() + span;
        let sim = self.sim.clone();
        let end = sim.clock();
        let mut timer = Box::pin(async move {
            let until = sim_moment(&end, span);
            end.sleep_until(until).await;
        });
        let story = RefCell::new(self);
        let whole = poll_fn(|context| {
            let mut story = story.borrow_mut();
            for ananke in &mut story.both {
                for task in [&mut ananke.run, &mut ananke.daemon] {
                    if task.as_mut().is_some_and(|task| task.as_mut().poll(context).is_ready()) {
                        *task = None;
                    }
                }
            }
            story.check();
            timer.as_mut().poll(context)
        });
        sim.run(whole, until + 1000).unwrap();
    }

    /// Somebody who may settle leases is alive and reaches the API.
    fn settler(&self) -> bool {
        let world = self.sim.world();
        let reachable = world.api_up() && world.fault().is_none();
        reachable && self.both.iter().any(|ananke| ananke.daemon.is_some())
    }

    fn check(&self) {
        let now = self.sim.world().now();
        let passed = now - self.checked.replace(now);
        let settler = self.settler();
        let world = self.sim.world();
        let mut standing = BTreeSet::new();
        for node in world.nodes().iter() {
            assert_eq!(foreign(node), self.people[&node.name], "rule 2: {}: what people put there was touched", node.name);
            self.check_mark(&world, node);
            let ours: Vec<&Taint> = node.taints.iter().filter(|taint| &*taint.key == TAINT_KEY).collect();
            assert!(ours.len() <= 1, "rule 2: {} carries two cordons: {ours:?}", node.name);
            let Some(taint) = ours.first() else { continue };
            let key = (node.name.clone(), taint.value.clone());
            standing.insert(key.clone());
            assert!(!self.gone.borrow().contains(&key), "rule 2: {key:?} came back although a person took it away");
            let mut seen = self.seen.borrow_mut();
            let first = !seen.contains_key(&key);
            if first {
                self.placed.set(self.placed.get() + 1);
                self.check_record(&key);
            }
            let entry = seen.entry(key.clone()).or_insert(Seen { since: now, late: 0 });
            let marked = node.annotations.contains_key(MANUAL_ANNOTATION);
            let window = Ms::try_from(WINDOW.as_millis()).unwrap() + self.slack.get();
            // It may have ended between two checks: only what is past its end counts.
            let past = now - entry.since - window;
            entry.late = if settler && !marked && past > 0 { entry.late + passed.min(past) } else { 0 };
            assert!(entry.late <= SETTLED_WITHIN + GRACE, "rule 4: {key:?} stands {} s after it ended", entry.late / 1000);
        }
        self.seen.borrow_mut().retain(|key, _| standing.contains(key));
        drop(world);
        self.check_bounds(&standing);
    }

    /// Rule 7: annotation, label and Event say the same.
    fn check_mark(&self, world: &World, node: &ananke_sim::world::Node) {
        let Some(sentence) = node.annotations.get(MANUAL_ANNOTATION) else { return };
        let label = node.labels.get(MANUAL_LABEL).map(|value| &**value);
        assert_eq!(label, Some("required"), "rule 7: {} is marked without its label", node.name);
        let told = world.node_events().iter().any(|event| event.node == node.name && *event.message == **sentence);
        assert!(told || self.backup.is_some(), "rule 7: no Event on {} says {sentence:?}", node.name);
    }

    /// Rules 3 and 6: no lease is renewed or longer than its window, and repairs cordon few nodes at once.
    fn check_bounds(&self, standing: &BTreeSet<(NodeName, Arc<str>)>) {
        let mut repairs = 0;
        for record in self.both.iter().flat_map(|ananke| ananke.disk.records()) {
            let lease = &record.lease;
            // A taint whose lease is lost is taken for one that has ended: nobody knows when it did.
            if lease.purpose == Purpose::Unknown {
                continue;
            }
            let ends = *self.ends.borrow_mut().entry(lease.id.to_string()).or_insert(lease.expires);
            assert_eq!(ends, lease.expires, "rule 3: {} was renewed", lease.id);
            assert!(lease.expires.since(lease.acquired) <= WINDOW, "rule 3: {} has a longer window", lease.id);
            let key = (lease.node.clone(), Arc::from(lease.id.as_str()));
            if lease.purpose == Purpose::Repair && record.state == LeaseState::Held && standing.contains(&key) {
                repairs += 1;
            }
        }
        let most = self.both[0].spec.max_cordons;
        assert!(repairs <= most || self.backup.is_some(), "rule 6: {repairs} nodes are cordoned for repair, {most} are allowed");
    }

    /// Rule 1: whoever sees a new cordon finds its record on its holder's disk.
    fn check_record(&self, (node, id): &(NodeName, Arc<str>)) {
        let known = |ananke: &Ananke| ananke.disk.records().iter().any(|record| record.lease.id.as_str() == &**id);
        let lost = self.backup.is_some();
        assert!(lost || self.both.iter().any(known), "rule 1: {node} carries {id}, and no disk has a record of it");
    }

    /// Faults end, both daemons live: everything that is owed is settled.
    fn heal(&mut self) {
        for ananke in &mut self.both {
            ananke.disk.full.store(false, Ordering::Relaxed);
            ananke.run = None;
            ananke.daemon = None;
            ananke.keep();
        }
        // Hosts whose k3s a shutdown stopped are started again by a person.
        for n in 0..u8::try_from(NODES).unwrap() {
            let node = self.node(n);
            self.sim.world().unit_start(&node).unwrap();
        }
        let slack = self.slack.get().min(200_000_000);
        self.wait(Ms::try_from(WINDOW.as_millis()).unwrap() + slack + 600_000);
        for ananke in &self.both {
            for record in ananke.disk.records() {
                assert!(!record.state.outstanding(), "{}: {record:?} is still outstanding", ananke.name);
            }
        }
        let world = self.sim.world();
        for node in world.nodes().iter() {
            let tainted = node.taints.iter().any(|taint| &*taint.key == TAINT_KEY);
            let marked = node.annotations.contains_key(MANUAL_ANNOTATION);
            assert!(!tainted || marked, "{} is cordoned, and nobody is asked to look at it", node.name);
        }
    }
}

fn sim_moment(clock: &SimClock, span: Ms) -> Moment {
    clock.now().plus(Duration::from_millis(u64::try_from(span).unwrap()))
}

/// Everything on a node that is not Ananke's and not the control plane's own.
fn foreign(node: &ananke_sim::world::Node) -> Foreign {
    let theirs = |key: &str| key.starts_with("team.example/");
    Foreign {
        unschedulable: node.unschedulable,
        taints: node.taints.iter().map(|taint| taint.key.clone()).filter(|key| theirs(key)).collect(),
        notes: node.annotations.iter().filter(|(key, _)| theirs(key)).map(|(key, value)| (key.clone(), value.clone())).collect(),
    }
}

fn tell(seed: u64, acts: &[Act]) -> Story {
    let mut story = Story::new(seed);
    story.both[0].keep();
    for act in acts {
        story.happen(act);
    }
    story.heal();
    story
}

/// What the stories came to: a property of cordons that were never placed proves nothing.
#[derive(Debug, Default)]
struct Tally {
    stories: usize,
    placed: usize,
    settled: BTreeMap<String, usize>,
    marked: usize,
}

#[test]
fn every_lease_ends_and_nothing_of_anybody_elses_is_touched() {
    let tally = RefCell::new(Tally::default());
    let config = ProptestConfig { cases: CASES, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let stories = (0u64..1000, prop::collection::vec(act(), 1..24));
    let told = runner.run(&stories, |(seed, acts)| {
        let story = tell(seed, &acts);
        let mut tally = tally.borrow_mut();
        tally.stories += 1;
        tally.placed += story.placed.get();
        tally.marked += story.sim.world().nodes().iter().filter(|node| node.annotations.contains_key(MANUAL_ANNOTATION)).count();
        for record in story.both.iter().flat_map(|ananke| ananke.disk.records()) {
            *tally.settled.entry(format!("{:?}", record.state)).or_default() += 1;
        }
        Ok(())
    });
    let tally = tally.into_inner();
    println!("{tally:?}");
    if let Err(failed) = told {
        panic!("{failed}");
    }
    assert!(tally.placed > 50 && tally.marked > 2, "{tally:?}");
    for state in ["Released", "TakenAway", "Manual"] {
        assert!(tally.settled.contains_key(state), "no lease ended as {state}: {tally:?}");
    }
}

/// Two Anankes mark the node, each for the reason that it knows.
#[test]
fn a_second_reason_for_a_mark_is_told_too() {
    tell(0, &[Act::Wedge(0), Act::Shutdown(false), Act::Wait(9), Act::TakeNote(0)]);
}

/// Whoever settles another's leases takes the coordination Lease first: a full disk does not keep it from that.
#[test]
fn a_full_disk_does_not_keep_anothers_leases_standing() {
    tell(227, &[Act::Shutdown(true), Act::FullDisk(false), Act::Wait(9), Act::Kill(true), Act::Wait(679)]);
}
