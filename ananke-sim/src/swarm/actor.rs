//! One Ananke of a story: its disk, its clock and its hands, all of whose doings are written down.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use ananke_core::baseline::Baseline;
use ananke_core::doctor::map::HostFacts;
use ananke_core::engine::journal::{Entry, What as Line};
use ananke_core::engine::{Hands, Permit, Reads};
use ananke_core::intent::{Intent, IntentState};
use ananke_core::lease::{LeaseRecord, TAINT_KEY};
use ananke_core::name::{BootId, MacAddress, Moment, NodeName, UnitName};
use ananke_core::observation::{Confirmation, HostState, SnapshotState, UnitState};
use ananke_core::order::{ClusterOrder, HostOrder, Order};
use ananke_core::port::clock::Uptime;
use ananke_core::port::{
    Clock, ClusterActions, ErrorKind, HostActions, HostReads, MachineReads, PortError, PowerActions, StateReads, StateWrites,
    VaultActions,
};
use ananke_core::report::{Command, PastRun, Progress, Report};
use ananke_core::spec::HostNeeds;
use ananke_core::verdict::Trap;
use async_trait::async_trait;

use super::canary::Canary;
use crate::check::{Record, Scene, Sent, What};
use crate::executor::{Sim, SimClock, lock};
use crate::ports::{MemoryState, SimPorts};
use crate::world::{Host, Power, World};

type Answer<T> = Result<T, PortError>;

/// What those on a stage share.
#[derive(Debug)]
pub(super) struct Scenery {
    pub(super) sim: Sim,
    pub(super) record: Mutex<Record>,
    /// When mains went, while they are away.
    pub(super) dark_since: Mutex<Option<i64>>,
    pub(super) canary: Option<Canary>,
    /// The branch of the source may be set.
    pub(super) forces_branch: bool,
    /// Orders that were sent, by all.
    sent: AtomicU64,
    /// Traps that were met.
    met: Mutex<BTreeSet<Trap>>,
}

impl Scenery {
    pub(super) fn new(sim: Sim, canary: Option<Canary>, forces_branch: bool) -> Self {
        Self {
            sim,
            record: Mutex::default(),
            dark_since: Mutex::default(),
            canary,
            forces_branch,
            sent: AtomicU64::new(0),
            met: Mutex::default(),
        }
    }

    /// Notes a trap, once.
    pub(super) fn meets(&self, trap: Trap) {
        if lock(&self.met).insert(trap) {
            self.note(What::Met(trap));
        }
    }

    pub(super) fn note(&self, what: What) {
        let at = self.sim.world().now();
        lock(&self.record).note(at, what);
    }
}

pub(super) struct Actor<'a> {
    pub(super) scenery: &'a Scenery,
    pub(super) name: &'static str,
    pub(super) state: MemoryState,
    pub(super) ports: SimPorts,
    pub(super) clock: OwnClock,
    /// How far its newest shutdown came, beside the newest start-up.
    pub(super) shutdown: Mutex<Option<Progress>>,
    /// Nothing can be written to the disk.
    pub(super) full: AtomicBool,
}

/// A disk on which no shutdown stands, for the start-ups of a planted defect.
pub(super) struct Deaf<'a>(pub(super) &'a MemoryState);

#[async_trait]
impl StateReads for Deaf<'_> {
    async fn intent(&self) -> Answer<Option<Intent>> {
        Ok(self.0.intent().await?.filter(|intent| intent.state != IntentState::ShuttingDown))
    }
    async fn leases(&self) -> Answer<Vec<LeaseRecord>> {
        self.0.leases().await
    }
    async fn progress(&self) -> Answer<Option<Progress>> {
        self.0.progress().await
    }
    async fn baseline(&self) -> Answer<Option<Baseline>> {
        self.0.baseline().await
    }
    async fn confirmations(&self) -> Answer<Vec<Confirmation>> {
        self.0.confirmations().await
    }
    async fn runs(&self) -> Answer<Vec<PastRun>> {
        self.0.runs().await
    }
}

/// Wall time as this machine has it, so many milliseconds ahead of what is right; and which boot of it this is.
#[derive(Debug)]
pub(super) struct OwnClock {
    right: SimClock,
    machine: &'static str,
    pub(super) ahead: AtomicI64,
    pub(super) boots: AtomicU64,
}

#[async_trait]
impl Clock for OwnClock {
    fn now(&self) -> Moment {
        shifted(self.right.now(), self.ahead.load(Ordering::Relaxed))
    }

    fn uptime(&self) -> Option<Uptime> {
        let boot = BootId::parse(&format!("{}-{}", self.machine, self.boots.load(Ordering::Relaxed))).ok()?;
        self.right.uptime().map(|uptime| Uptime { boot, ..uptime })
    }

    /// A timer runs on when the clock is set.
    async fn sleep_until(&self, until: Moment) {
        let until = shifted(until, -self.ahead.load(Ordering::Relaxed));
        self.right.sleep_until(until).await;
    }
}

fn shifted(moment: Moment, by: i64) -> Moment {
    Moment::from_millis(moment.as_millis().saturating_add(by))
}

impl<'a> Actor<'a> {
    pub(super) fn new(scenery: &'a Scenery, name: &'static str) -> Self {
        let sim = &scenery.sim;
        Self {
            scenery,
            name,
            state: MemoryState::default(),
            ports: SimPorts::new(sim),
            shutdown: Mutex::default(),
            clock: OwnClock { right: sim.clock(), machine: name, ahead: AtomicI64::new(0), boots: AtomicU64::new(0) },
            full: AtomicBool::new(false),
        }
    }

    pub(super) fn reads(&self) -> Reads<'_> {
        Reads { machine: self, hosts: self, ..self.ports.reads(&self.clock, &self.state) }
    }

    pub(super) fn hands(&self) -> Hands<'_> {
        Hands { cluster: self, hosts: self, vault: self, power: self, state: self }
    }

    fn sends(&self, order: &Order, permit: &Permit) {
        let scene = {
            let world = self.scenery.sim.world();
            self.scene(&world, order, permit)
        };
        let sent = Sent { by: self.name, run: permit.run().clone(), seq: permit.seq(), order: order.clone(), scene };
        self.scenery.note(What::Sent(Box::new(sent)));
    }

    /// Notes an order and, in a run with a planted defect, does what that makes of it. Whether it is still to be carried out.
    fn passes(&self, order: &Order, permit: &Permit) -> bool {
        self.sends(order, permit);
        let nth = self.scenery.sent.fetch_add(1, Ordering::Relaxed);
        let Some(canary) = self.scenery.canary else { return true };
        let also = canary.also_sends(&self.scenery.sim.world(), order, nth);
        also.iter().for_each(|order| self.sends(order, permit));
        canary.meddles(&mut self.scenery.sim.world(), order)
    }

    fn scene(&self, world: &World, order: &Order, permit: &Permit) -> Scene {
        let kept = self.state.kept();
        let is_own = |entry: &&Entry| entry.run == *permit.run() && entry.seq == permit.seq();
        let line = kept.journal.iter().rev().find(is_own).map(|entry| &entry.what);
        let lease = if let Order::Cluster(ClusterOrder::Cordon { lease, .. }) = order { Some(lease) } else { None };
        let servers = || world.hosts().iter().filter(|host| host.server);
        let tainted = world.nodes().iter().filter(|node| node.taints.iter().any(|taint| &*taint.key == TAINT_KEY));
        let fell = |host: &Host| host.fell_at.is_some_and(|at| world.now() - at < UNSEEN);
        let up = servers().filter(|host| host.power == Power::Up && host.unit_state == UnitState::Active || fell(host));
        Scene {
            journaled: matches!(line, Some(Line::Acting { order: of, .. }) if of == order),
            disk_full: self.full.load(Ordering::Relaxed),
            lease_on_disk: lease.is_none_or(|lease| kept.leases.iter().any(|record| record.lease == **lease)),
            coordinator: world.coordination().and_then(|lease| lease.holder.clone()),
            cordons: tainted.count(),
            servers: servers().map(|host| host.name.clone()).collect(),
            servers_up: up.map(|host| host.name.clone()).collect(),
            on_battery: lock(&self.scenery.dark_since).map(|since| world.now() - since),
            charge: world.upses().iter().map(|ups| world.charge(ups) / 10).min().unwrap_or(100),
            fetched: world.source().fresh,
            forces_branch: self.scenery.forces_branch,
        }
    }

    /// A disk that is full takes nothing.
    async fn write<T>(&self, write: impl Future<Output = Answer<T>> + Send) -> Answer<T> {
        if self.full.load(Ordering::Relaxed) {
            return Err(PortError::new(ErrorKind::Transient, "write", "the state directory", "no space is left on the device"));
        }
        write.await
    }

    pub(super) fn has(&self, canary: Canary) -> bool {
        self.scenery.canary == Some(canary)
    }
}

/// A clock that is off by more follows no time source: `ananke` says so, and waits for a while.
const FOLLOWS: i64 = 180_000;
/// A host that went dark so lately, nobody can know to be away.
const UNSEEN: i64 = 10_000;

#[async_trait]
impl MachineReads for Actor<'_> {
    async fn clock_synced(&self) -> Answer<Option<bool>> {
        Ok(Some(self.clock.ahead.load(Ordering::Relaxed).abs() <= FOLLOWS))
    }
}

#[async_trait]
impl HostReads for Actor<'_> {
    /// By how much a host's clock differs is seen from here.
    async fn inspect(&self, node: &NodeName, unit: &UnitName, needs: &HostNeeds) -> Answer<HostState> {
        let mut host = self.ports.inspect(node, unit, needs).await?;
        host.clock_skew_millis = host.clock_skew_millis.saturating_sub(self.clock.ahead.load(Ordering::Relaxed));
        Ok(host)
    }
    async fn snapshots(&self, node: &NodeName) -> Answer<Vec<SnapshotState>> {
        self.ports.snapshots(node).await
    }
    async fn settings(&self, node: &NodeName) -> Answer<HostFacts> {
        self.ports.settings(node).await
    }
}

#[async_trait]
impl ClusterActions for Actor<'_> {
    async fn perform(&self, order: &ClusterOrder, permit: &Permit) -> Answer<()> {
        if !self.passes(&Order::Cluster(order.clone()), permit) {
            return Ok(());
        }
        ClusterActions::perform(&self.ports, order, permit).await
    }
}

#[async_trait]
impl HostActions for Actor<'_> {
    async fn perform(&self, node: &NodeName, order: &HostOrder, permit: &Permit) -> Answer<()> {
        if !self.passes(&Order::Host { node: node.clone(), order: order.clone() }, permit) {
            return Ok(());
        }
        HostActions::perform(&self.ports, node, order, permit).await
    }
}

#[async_trait]
impl VaultActions for Actor<'_> {
    async fn unseal(&self, permit: &Permit) -> Answer<()> {
        self.passes(&Order::Unseal, permit);
        self.ports.unseal(permit).await
    }
}

#[async_trait]
impl PowerActions for Actor<'_> {
    async fn wake(&self, node: &NodeName, mac: &MacAddress, permit: &Permit) -> Answer<()> {
        self.passes(&Order::Wake { node: node.clone(), mac: mac.clone() }, permit);
        self.ports.wake(node, mac, permit).await
    }
}

#[async_trait]
impl StateWrites for Actor<'_> {
    async fn save_intent(&self, intent: &Intent) -> Answer<()> {
        self.write(self.state.save_intent(intent)).await
    }
    async fn save_leases(&self, leases: &[LeaseRecord]) -> Answer<()> {
        if self.has(Canary::LeaseNotOnDisk) {
            return Ok(());
        }
        self.write(self.state.save_leases(leases)).await
    }
    async fn save_progress(&self, progress: &Progress) -> Answer<()> {
        if progress.command == Command::Shutdown {
            let kept = async {
                *lock(&self.shutdown) = Some(progress.clone());
                Ok(())
            };
            return self.write(kept).await;
        }
        self.write(self.state.save_progress(progress)).await
    }
    async fn save_report(&self, report: &Report) -> Answer<()> {
        self.write(self.state.save_report(report)).await
    }
    async fn append(&self, entry: &Entry) -> Answer<()> {
        if self.has(Canary::NoJournalLine) && matches!(&entry.what, Line::Acting { .. }) && entry.seq.is_multiple_of(5) {
            return Ok(());
        }
        self.write(self.state.append(entry)).await
    }
    async fn record(&self, entry: &Entry) -> Answer<()> {
        self.write(self.state.record(entry)).await
    }
    fn records(&self) -> bool {
        self.state.records()
    }
    async fn save_baseline(&self, baseline: &Baseline) -> Answer<()> {
        self.write(self.state.save_baseline(baseline)).await
    }
    async fn save_run(&self, run: &PastRun) -> Answer<()> {
        self.write(self.state.save_run(run)).await
    }
}
