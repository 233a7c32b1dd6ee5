//! Ports whose run dies at a chosen call, before it reached the world or before its answer came back: what a power cut
//! or a `kill -9` does to Ananke.

use std::future::{Future, pending, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use ananke_core::baseline::Baseline;
use ananke_core::engine::journal::Entry;
use ananke_core::engine::{Hands, Permit, Reads};
use ananke_core::intent::Intent;
use ananke_core::lease::LeaseRecord;
use ananke_core::name::{MacAddress, NodeName, UnitName};
use ananke_core::observation::{
    ApiHealth, Confirmation, CoordinationState, EndpointsState, FluxState, HostState, IngressState, JobState, NodeState,
    PodState, ProbeAnswer, SnapshotState, StorageState, UpsReading, VaultState, WorkloadState,
};
use ananke_core::order::{ClusterOrder, HostOrder};
use ananke_core::port::probe::ProbeRequest;
use ananke_core::port::{
    Clock, ClusterActions, ClusterReads, HostActions, HostReads, MachineReads, PeerReads, PortError, PowerActions, Probes,
    StateReads, StateWrites, UpsReads, VaultActions, VaultReads,
};
use ananke_core::report::{PastRun, Progress, Report};
use ananke_core::spec::HostNeeds;
use async_trait::async_trait;

use super::SimPorts;
use crate::executor::lock;

/// Which side of a call the run dies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The call never reaches the world.
    Before,
    /// It has its effect, and nobody hears of it.
    After,
}

/// A run that dies at one of its calls.
#[derive(Debug)]
pub struct Mortal<'a, S> {
    ports: &'a SimPorts,
    state: &'a S,
    at: Option<(usize, Side)>,
    calls: Mutex<Vec<&'static str>>,
    dead: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl<'a, S: StateReads + StateWrites> Mortal<'a, S> {
    /// Dies at that call, counted from 0; or never, and only counts.
    pub fn new(ports: &'a SimPorts, state: &'a S, at: Option<(usize, Side)>) -> Self {
        Self { ports, state, at, calls: Mutex::default(), dead: AtomicBool::new(false), waker: Mutex::default() }
    }

    pub fn reads<'b>(&'b self, clock: &'b dyn Clock) -> Reads<'b> {
        let (cluster, hosts, probes, ups, machine, peers, vault, state) = (self, self, self, self, self, self, self, self);
        Reads { clock, cluster, hosts, probes, ups, machine, peers, vault, state }
    }

    pub fn hands(&self) -> Hands<'_> {
        Hands { cluster: self, hosts: self, vault: self, power: self, state: self }
    }

    /// The calls that were made, by name.
    pub fn calls(&self) -> Vec<&'static str> {
        lock(&self.calls).clone()
    }

    /// Comes when the run has died.
    pub fn death(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            if self.dead.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            *lock(&self.waker) = Some(context.waker().clone());
            Poll::Pending
        })
    }

    async fn call<T>(&self, name: &'static str, call: impl Future<Output = T>) -> T {
        self.live().await;
        let nth = {
            let mut calls = lock(&self.calls);
            calls.push(name);
            calls.len() - 1
        };
        self.die_if(nth, Side::Before).await;
        let answer = call.await;
        self.live().await;
        self.die_if(nth, Side::After).await;
        answer
    }

    /// The dead neither call nor hear.
    async fn live(&self) {
        if self.dead.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }

    async fn die_if(&self, nth: usize, side: Side) {
        if self.at == Some((nth, side)) {
            self.dead.store(true, Ordering::Relaxed);
            if let Some(waker) = lock(&self.waker).take() {
                waker.wake();
            }
            pending::<()>().await;
        }
    }
}

type Answer<T> = Result<T, PortError>;

#[async_trait]
impl<S: StateReads + StateWrites> ClusterReads for Mortal<'_, S> {
    async fn health(&self) -> Answer<ApiHealth> {
        self.call("health", self.ports.health()).await
    }
    async fn nodes(&self) -> Answer<Arc<Vec<NodeState>>> {
        self.call("nodes", self.ports.nodes()).await
    }
    async fn flux(&self) -> Answer<Arc<Option<FluxState>>> {
        self.call("flux", self.ports.flux()).await
    }
    async fn workloads(&self) -> Answer<Arc<Vec<WorkloadState>>> {
        self.call("workloads", self.ports.workloads()).await
    }
    async fn pods(&self) -> Answer<Arc<Vec<PodState>>> {
        self.call("pods", self.ports.pods()).await
    }
    async fn ingresses(&self) -> Answer<Arc<Vec<IngressState>>> {
        self.call("ingresses", self.ports.ingresses()).await
    }
    async fn namespaces(&self) -> Answer<Arc<Vec<Arc<str>>>> {
        self.call("namespaces", self.ports.namespaces()).await
    }
    async fn storage(&self) -> Answer<Arc<StorageState>> {
        self.call("storage", self.ports.storage()).await
    }
    async fn endpoints(&self) -> Answer<Arc<Vec<EndpointsState>>> {
        self.call("endpoints", self.ports.endpoints()).await
    }
    async fn jobs(&self) -> Answer<Arc<Vec<JobState>>> {
        self.call("jobs", self.ports.jobs()).await
    }
    async fn coordination(&self) -> Answer<Option<CoordinationState>> {
        self.call("coordination", self.ports.coordination()).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> ClusterActions for Mortal<'_, S> {
    async fn perform(&self, order: &ClusterOrder, permit: &Permit) -> Answer<()> {
        self.call("perform on the cluster", ClusterActions::perform(self.ports, order, permit)).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> HostReads for Mortal<'_, S> {
    async fn inspect(&self, node: &NodeName, unit: &UnitName, needs: &HostNeeds) -> Answer<HostState> {
        self.call("inspect", self.ports.inspect(node, unit, needs)).await
    }
    async fn snapshots(&self, node: &NodeName) -> Answer<Vec<SnapshotState>> {
        self.call("snapshots", self.ports.snapshots(node)).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> HostActions for Mortal<'_, S> {
    async fn perform(&self, node: &NodeName, order: &HostOrder, permit: &Permit) -> Answer<()> {
        self.call("perform on a host", HostActions::perform(self.ports, node, order, permit)).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> Probes for Mortal<'_, S> {
    async fn ask(&self, request: &ProbeRequest) -> Answer<ProbeAnswer> {
        self.call("probe", self.ports.ask(request)).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> UpsReads for Mortal<'_, S> {
    async fn read(&self, ups: &str) -> Answer<UpsReading> {
        self.call("ups", self.ports.read(ups)).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> MachineReads for Mortal<'_, S> {
    async fn clock_synced(&self) -> Answer<Option<bool>> {
        self.call("clock", self.ports.clock_synced()).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> PeerReads for Mortal<'_, S> {
    async fn intent(&self, peer: &str) -> Answer<Option<Intent>> {
        self.call("peer", PeerReads::intent(self.ports, peer)).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> VaultReads for Mortal<'_, S> {
    async fn seal_status(&self) -> Answer<VaultState> {
        self.call("vault", self.ports.seal_status()).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> VaultActions for Mortal<'_, S> {
    async fn unseal(&self, permit: &Permit) -> Answer<()> {
        self.call("unseal", self.ports.unseal(permit)).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> PowerActions for Mortal<'_, S> {
    async fn wake(&self, node: &NodeName, mac: &MacAddress, permit: &Permit) -> Answer<()> {
        self.call("wake", self.ports.wake(node, mac, permit)).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> StateReads for Mortal<'_, S> {
    async fn intent(&self) -> Answer<Option<Intent>> {
        self.call("read intent", StateReads::intent(self.state)).await
    }
    async fn leases(&self) -> Answer<Vec<LeaseRecord>> {
        self.call("read leases", self.state.leases()).await
    }
    async fn progress(&self) -> Answer<Option<Progress>> {
        self.call("read progress", self.state.progress()).await
    }
    async fn baseline(&self) -> Answer<Option<Baseline>> {
        self.call("read baseline", self.state.baseline()).await
    }
    async fn confirmations(&self) -> Answer<Vec<Confirmation>> {
        self.call("read confirmations", self.state.confirmations()).await
    }
    async fn runs(&self) -> Answer<Vec<PastRun>> {
        self.call("read runs", self.state.runs()).await
    }
}

#[async_trait]
impl<S: StateReads + StateWrites> StateWrites for Mortal<'_, S> {
    async fn save_intent(&self, intent: &Intent) -> Answer<()> {
        self.call("save intent", self.state.save_intent(intent)).await
    }
    async fn save_leases(&self, leases: &[LeaseRecord]) -> Answer<()> {
        self.call("save leases", self.state.save_leases(leases)).await
    }
    async fn save_progress(&self, progress: &Progress) -> Answer<()> {
        self.call("save progress", self.state.save_progress(progress)).await
    }
    async fn save_report(&self, report: &Report) -> Answer<()> {
        self.call("save report", self.state.save_report(report)).await
    }
    async fn append(&self, entry: &Entry) -> Answer<()> {
        self.call("journal", self.state.append(entry)).await
    }
    async fn record(&self, entry: &Entry) -> Answer<()> {
        self.call("record", self.state.record(entry)).await
    }
    fn records(&self) -> bool {
        self.state.records()
    }
    async fn save_baseline(&self, baseline: &Baseline) -> Answer<()> {
        self.call("save baseline", self.state.save_baseline(baseline)).await
    }
    async fn save_run(&self, run: &PastRun) -> Answer<()> {
        self.call("save run", self.state.save_run(run)).await
    }
}
