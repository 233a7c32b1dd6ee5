//! Where the pattern of calls is the point: what must never be called.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use mockall::mock;

use super::*;
use crate::baseline::Baseline;
use crate::engine::journal::Entry;
use crate::engine::{self, startup_plan};
use crate::gate::testing::{Bench, node};
use crate::intent::Intent;
use crate::lease::LeaseRecord;
use crate::name::{NodeName, UnitName};
use crate::observation::UnitState;
use crate::observation::{
    ApiHealth, Confirmation, CoordinationState, EndpointsState, FluxState, HostState, IngressState, JobState, NodeState,
    PodState, ProbeAnswer, SnapshotState, StorageState, UpsReading, VaultState, WorkloadState,
};
use crate::order::HostOrder;
use crate::port::ErrorKind;
use crate::port::clock::Uptime;
use crate::port::nothing::Nothing;
use crate::report::{PastRun, Progress};
use crate::spec::HostNeeds;

mock! {
    Hosts {}
    #[async_trait]
    impl HostActions for Hosts {
        async fn perform(&self, node: &NodeName, order: &HostOrder, permit: &Permit) -> Result<(), PortError>;
    }
}

mock! {
    Cluster {}
    #[async_trait]
    impl ClusterActions for Cluster {
        async fn perform(&self, order: &ClusterOrder, permit: &Permit) -> Result<(), PortError>;
    }
}

mock! {
    Vault {}
    #[async_trait]
    impl VaultActions for Vault {
        async fn unseal(&self, permit: &Permit) -> Result<(), PortError>;
    }
}

mock! {
    State {}
    #[async_trait]
    impl StateWrites for State {
        async fn save_intent(&self, intent: &Intent) -> Result<(), PortError>;
        async fn save_leases(&self, leases: &[LeaseRecord]) -> Result<(), PortError>;
        async fn save_progress(&self, progress: &Progress) -> Result<(), PortError>;
        async fn save_report(&self, report: &Report) -> Result<(), PortError>;
        async fn append(&self, entry: &Entry) -> Result<(), PortError>;
        async fn record(&self, entry: &Entry) -> Result<(), PortError>;
        async fn save_baseline(&self, baseline: &Baseline) -> Result<(), PortError>;
        async fn save_run(&self, run: &PastRun) -> Result<(), PortError>;
    }
}

/// A host whose unit is stopped, in a cluster whose API is away. Time passes at each question.
struct Away {
    host: HostState,
    now: std::sync::Mutex<Moment>,
}

impl Away {
    fn error() -> PortError {
        PortError::new(ErrorKind::Transient, "ask", "the API server", "connection refused")
    }
}

#[async_trait]
impl Clock for Away {
    fn now(&self) -> Moment {
        *self.now.lock().unwrap()
    }

    fn uptime(&self) -> Option<Uptime> {
        None
    }

    async fn sleep_until(&self, until: Moment) {
        let mut first = true;
        std::future::poll_fn(|context| {
            if std::mem::take(&mut first) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut now = self.now.lock().unwrap();
            *now = until.max(*now);
            Poll::Ready(())
        })
        .await;
    }
}

#[async_trait]
impl ClusterReads for Away {
    async fn health(&self) -> Result<ApiHealth, PortError> {
        Err(Self::error())
    }
    async fn nodes(&self) -> Result<Arc<Vec<NodeState>>, PortError> {
        Err(Self::error())
    }
    async fn flux(&self) -> Result<Arc<Option<FluxState>>, PortError> {
        Err(Self::error())
    }
    async fn workloads(&self) -> Result<Arc<Vec<WorkloadState>>, PortError> {
        Err(Self::error())
    }
    async fn pods(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        Err(Self::error())
    }
    async fn ingresses(&self) -> Result<Arc<Vec<IngressState>>, PortError> {
        Err(Self::error())
    }
    async fn namespaces(&self) -> Result<Arc<Vec<Arc<str>>>, PortError> {
        Err(Self::error())
    }
    async fn storage(&self) -> Result<Arc<StorageState>, PortError> {
        Err(Self::error())
    }
    async fn endpoints(&self) -> Result<Arc<Vec<EndpointsState>>, PortError> {
        Err(Self::error())
    }
    async fn jobs(&self) -> Result<Arc<Vec<JobState>>, PortError> {
        Err(Self::error())
    }
    async fn coordination(&self) -> Result<Option<CoordinationState>, PortError> {
        Err(Self::error())
    }
}

#[async_trait]
impl HostReads for Away {
    async fn inspect(&self, _: &NodeName, _: &UnitName, _: &HostNeeds) -> Result<HostState, PortError> {
        Ok(self.host.clone())
    }
    async fn snapshots(&self, _: &NodeName) -> Result<Vec<SnapshotState>, PortError> {
        Err(Self::error())
    }
}

#[async_trait]
impl MachineReads for Away {
    async fn clock_synced(&self) -> Result<Option<bool>, PortError> {
        Ok(Some(true))
    }
}

#[async_trait]
impl PeerReads for Away {
    async fn intent(&self, _: &str) -> Result<Option<Intent>, PortError> {
        Err(Self::error())
    }
}

#[async_trait]
impl VaultReads for Away {
    async fn seal_status(&self) -> Result<VaultState, PortError> {
        Err(Self::error())
    }
}

#[async_trait]
impl Probes for Away {
    async fn ask(&self, _: &crate::port::ProbeRequest) -> Result<ProbeAnswer, PortError> {
        Err(Self::error())
    }
}

#[async_trait]
impl UpsReads for Away {
    async fn read(&self, _: &str) -> Result<UpsReading, PortError> {
        Err(Self::error())
    }
}

#[async_trait]
impl StateReads for Away {
    async fn intent(&self) -> Result<Option<Intent>, PortError> {
        Ok(None)
    }
    async fn leases(&self) -> Result<Vec<LeaseRecord>, PortError> {
        Ok(Vec::new())
    }
    async fn progress(&self) -> Result<Option<Progress>, PortError> {
        Ok(None)
    }
    async fn baseline(&self) -> Result<Option<Baseline>, PortError> {
        Ok(None)
    }
    async fn confirmations(&self) -> Result<Vec<Confirmation>, PortError> {
        Ok(Vec::new())
    }
    async fn runs(&self) -> Result<Vec<PastRun>, PortError> {
        Ok(Vec::new())
    }
}

/// Polls to the end; whoever waits here wakes itself.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn reads(away: &Away) -> Reads<'_> {
    Reads {
        clock: away,
        cluster: away,
        hosts: away,
        probes: away,
        ups: away,
        machine: away,
        peers: away,
        vault: away,
        state: away,
    }
}

/// Runs a start-up with a stopped unit, whose journal takes entries or not.
fn run(hosts: &MockHosts, journal_works: bool) -> Report {
    let mut bench = Bench::new(1);
    bench.host_up(1);
    bench.host(1, |host| host.unit = UnitState::Inactive);
    let host = bench.obs.hosts[&node(1)].last().unwrap().clone();
    let away = Away { host, now: std::sync::Mutex::new(bench.now) };
    let (cluster, mut state) = (MockCluster::new(), MockState::new());
    let full = || PortError::new(ErrorKind::Transient, "append", "the journal", "no space left on device");
    let refused = move |entry: &Entry| !journal_works && matches!(entry.what, What::Acting { .. });
    state.expect_append().returning(move |entry| if refused(entry) { Err(full()) } else { Ok(()) });
    state.expect_save_intent().returning(|_| Ok(()));
    state.expect_save_progress().returning(|_| Ok(()));
    state.expect_save_report().returning(|_| Ok(()));
    state.expect_record().returning(|_| Ok(()));
    state.expect_save_baseline().returning(|_| Ok(()));
    state.expect_save_run().returning(|_| Ok(()));
    let reads = reads(&away);
    let vault = MockVault::new();
    let hands = Hands { cluster: &cluster, hosts, vault: &vault, power: &Nothing, state: &state };
    let walk = engine::startup(startup_plan(), bench.spec.clone(), bench.now, None, None);
    let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
    block_on(execute(walk, reads, hands, Box::pin(std::future::pending()), &mut silent)).0
}

#[test]
fn nothing_is_done_that_cannot_be_journaled() {
    let mut hosts = MockHosts::new();
    hosts.expect_perform().never();
    let report = run(&hosts, false);
    assert_eq!(report.outcome, Outcome::Failed, "{}", report.summary);
    assert!(report.notes.iter().any(|note| note.contains("no space left")), "{:?}", report.notes);
    assert!(report.actions.is_empty());
}

#[test]
fn what_is_journaled_is_done_under_the_number_of_its_entry_and_within_its_budget() {
    let mut hosts = MockHosts::new();
    hosts.expect_perform().times(1..=3).withf(|_, _, permit| permit.seq() > 1).returning(|_, _, _| Ok(()));
    let report = run(&hosts, true);
    assert_eq!(report.outcome, Outcome::Failed, "the API never came: {}", report.summary);
    assert!(report.actions.iter().all(|action| action.verb == "start-unit"));
}

/// Hosts that take an order and never answer.
struct Stuck;

#[async_trait]
impl HostActions for Stuck {
    async fn perform(&self, _: &NodeName, _: &HostOrder, _: &Permit) -> Result<(), PortError> {
        std::future::pending().await
    }
}

/// A start-up that polls every minute; once it has acted, another run writes `state` as its intent. How it ended, and how
/// long after that.
fn overtaken(state: IntentState, acts: bool) -> (Report, Duration) {
    let mut bench = Bench::new(1);
    bench.spec.poll = Duration::from_secs(60);
    bench.host_up(1);
    bench.host(1, |host| host.unit = if acts { UnitState::Inactive } else { UnitState::Active });
    let host = bench.obs.hosts[&node(1)].last().unwrap().clone();
    let away = Away { host, now: std::sync::Mutex::new(bench.now) };
    let kept = crate::port::memory::MemoryState::default();
    let (cluster, vault) = (MockCluster::new(), MockVault::new());
    let hands = Hands { cluster: &cluster, hosts: &Stuck, vault: &vault, power: &Nothing, state: &kept };
    let walk = engine::startup(startup_plan(), bench.spec.clone(), bench.now, None, None);
    let (mut written, begins) = (None, bench.now.plus(Duration::from_secs(30)));
    let mut other = |_: &Walk, now: Moment, news: &News<'_>| {
        let due = if acts { matches!(news, News::Acting(_)) } else { now >= begins };
        if written.is_none() && due {
            written = Some(now);
            let run = crate::name::RunId::parse("shutdown-1").unwrap();
            kept.kept().intent =
                Some(Intent { state, run, at: now, reason: "maintenance".to_owned(), by_power: false, of: None });
        }
    };
    let reads = Reads { state: &kept, ..reads(&away) };
    let (report, _) = block_on(execute(walk, reads, hands, Box::pin(std::future::pending()), &mut other));
    let took = report.ended.since(written.unwrap());
    (report, took)
}

#[test]
fn a_start_up_yields_within_10_s_whatever_it_waits_for() {
    for state in [IntentState::ShuttingDown, IntentState::ShutdownComplete] {
        for acts in [true, false] {
            let (report, took) = overtaken(state, acts);
            assert_eq!(report.outcome, Outcome::Yielded, "{state:?}: {}", report.summary);
            assert!(took <= Duration::from_secs(10), "{state:?}: {took:?}");
            assert!(report.summary.contains("maintenance"), "{}", report.summary);
        }
    }
}

/// Sends one order while neither journal nor leases can be written, and lets it come back; what was noted.
fn sent_on_a_full_disk(
    order: impl FnOnce(&Bench) -> ClusterOrder,
    cluster: &MockCluster,
) -> (Result<(), PortError>, Vec<String>) {
    let mut bench = Bench::new(1);
    bench.all_up();
    bench.cordon(1);
    let host = bench.obs.hosts[&node(1)].last().unwrap().clone();
    let away = Away { host, now: std::sync::Mutex::new(bench.now) };
    let full = || PortError::new(ErrorKind::Transient, "append", "the journal", "no space left on device");
    let (hosts, vault, mut state) = (MockHosts::new(), MockVault::new(), MockState::new());
    state.expect_append().returning(move |_| Err(full()));
    state.expect_save_leases().returning(move |_| Err(full()));
    let hands = Hands { cluster, hosts: &hosts, vault: &vault, power: &Nothing, state: &state };
    let mut walk = engine::startup(startup_plan(), bench.spec.clone(), bench.now, None, None);
    walk.leases = bench.leases.clone();
    let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
    let mut run = Run::new(walk, reads(&away), Some(hands), &mut silent);
    let action = Action { order: Order::Cluster(order(&bench)), why: "test".to_owned() };
    let sent = block_on(async {
        let sent = run.send(hands, action, bench.now).await;
        while let Some(event) = run.inflight.next().await {
            run.take(event).await;
        }
        sent
    });
    (sent, run.walk.notes)
}

#[test]
fn the_end_of_a_lease_is_sent_although_nothing_can_be_written() {
    let seen = || crate::name::ResourceVersion::parse("1").unwrap();
    let lease = |bench: &Bench| bench.leases[0].lease.id.clone();
    let ends: [fn(&Bench, crate::name::ResourceVersion, crate::name::LeaseId) -> ClusterOrder; 3] = [
        |_, seen, lease| ClusterOrder::Uncordon { node: node(1), seen, lease },
        |bench, seen, lease| ClusterOrder::MarkManual { node: node(1), seen, lease, sentence: "look".to_owned(), at: bench.now },
        |_, seen, _| ClusterOrder::ClearMark { node: node(1), seen },
    ];
    for end in ends {
        let mut cluster = MockCluster::new();
        cluster.expect_perform().times(1).returning(|_, _| Ok(()));
        let (sent, notes) = sent_on_a_full_disk(|bench| end(bench, seen(), lease(bench)), &cluster);
        assert_eq!(sent, Ok(()));
        assert!(notes.iter().any(|note| note.contains("no space left")), "{notes:?}");
    }
}

#[test]
fn a_new_cordon_is_not_sent_when_its_lease_cannot_be_written() {
    let mut cluster = MockCluster::new();
    cluster.expect_perform().never();
    let (sent, _) = sent_on_a_full_disk(
        |bench| ClusterOrder::Cordon {
            node: node(1),
            seen: crate::name::ResourceVersion::parse("1").unwrap(),
            lease: Box::new(bench.leases[0].lease.clone()),
        },
        &cluster,
    );
    assert!(sent.is_err());
}

/// A cluster whose API answers and whose watch speaks when it is told to; when its nodes were read.
struct Watched<'a> {
    clock: &'a Away,
    health: ApiHealth,
    speaks: std::sync::Mutex<bool>,
    read: std::sync::Mutex<Vec<Moment>>,
}

#[async_trait]
impl ClusterReads for Watched<'_> {
    async fn health(&self) -> Result<ApiHealth, PortError> {
        Ok(self.health.clone())
    }
    async fn nodes(&self) -> Result<Arc<Vec<NodeState>>, PortError> {
        self.read.lock().unwrap().push(self.clock.now());
        Ok(Arc::default())
    }
    async fn workloads(&self) -> Result<Arc<Vec<WorkloadState>>, PortError> {
        Ok(Arc::default())
    }
    async fn pods(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        Ok(Arc::default())
    }
    async fn changed(&self) -> Vec<ClusterPart> {
        std::future::poll_fn(|_| match std::mem::take(&mut *self.speaks.lock().unwrap()) {
            true => Poll::Ready(vec![ClusterPart::Nodes]),
            false => Poll::Pending,
        })
        .await
    }
}

#[test]
fn a_change_that_a_watch_tells_of_is_read_within_a_second_however_seldom_it_polls() {
    let mut bench = Bench::new(1);
    bench.spec.poll = Duration::from_secs(60);
    bench.all_up();
    let host = bench.obs.hosts[&node(1)].last().unwrap().clone();
    let away = Away { host, now: std::sync::Mutex::new(bench.now) };
    let health = bench.obs.api.last().unwrap().clone();
    let cluster = Watched { clock: &away, health, speaks: false.into(), read: Vec::new().into() };
    let kept = crate::port::memory::MemoryState::default();
    let (actions, vault) = (MockCluster::new(), MockVault::new());
    let hands = Hands { cluster: &actions, hosts: &Stuck, vault: &vault, power: &Nothing, state: &kept };
    let walk = engine::startup(startup_plan(), bench.spec.clone(), bench.now, None, None);
    let mut spoke = None;
    let quiet_until = bench.now.plus(Duration::from_secs(10));
    let mut other = |_: &Walk, now: Moment, _: &News<'_>| {
        if spoke.is_none() && now >= quiet_until {
            spoke = Some(now);
            *cluster.speaks.lock().unwrap() = true;
        }
    };
    let reads = Reads { cluster: &cluster, state: &kept, ..reads(&away) };
    block_on(execute(walk, reads, hands, Box::pin(std::future::pending()), &mut other));
    let (read, spoke) = (cluster.read.lock().unwrap().clone(), spoke.unwrap());
    assert!(read[0] < quiet_until && read[1] >= spoke, "{read:?}");
    assert!(read[1].since(spoke) < Duration::from_secs(1), "{:?}", read[1].since(spoke));
    assert!(read[2].since(read[1]) >= Duration::from_secs(60), "{read:?}");
}

/// A shutdown of one server on a host whose journal takes no order, until it takes them after all if `room_after` says so; the
/// report, and the intent that stands at its end.
fn shut_down_on_a_full_disk(room_after: Option<Duration>) -> (Report, IntentState) {
    let mut bench = Bench::new(1);
    bench.host_up(1);
    let host = bench.obs.hosts[&node(1)].last().unwrap().clone();
    let away = Away { host, now: std::sync::Mutex::new(bench.now) };
    let kept = Arc::new(crate::port::memory::MemoryState::default());
    let (mut hosts, mut cluster, vault, mut state) = (MockHosts::new(), MockCluster::new(), MockVault::new(), MockState::new());
    hosts.expect_perform().returning(|_, _, _| Ok(()));
    cluster.expect_perform().returning(|_, _| Ok(()));
    let full = || PortError::new(ErrorKind::Transient, "append", "the journal", "no space left on device");
    let has_room = room_after.map(|after| bench.now.plus(after));
    let refused = move |entry: &Entry| matches!(entry.what, What::Acting { .. }) && has_room.is_none_or(|from| entry.at < from);
    state.expect_append().returning(move |entry| if refused(entry) { Err(full()) } else { Ok(()) });
    let wanted = Arc::clone(&kept);
    state.expect_save_intent().returning(move |intent| {
        wanted.kept().intent = Some(intent.clone());
        Ok(())
    });
    state.expect_save_progress().returning(|_| Ok(()));
    state.expect_save_report().returning(|_| Ok(()));
    state.expect_record().returning(|_| Ok(()));
    state.expect_save_run().returning(|_| Ok(()));
    let reads = Reads { state: &*kept, ..reads(&away) };
    let hands = Hands { cluster: &cluster, hosts: &hosts, vault: &vault, power: &Nothing, state: &state };
    let walk = engine::shutdown(bench.spec.clone(), bench.now, "battery", None, None);
    let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
    let (report, _) = block_on(execute(walk, reads, hands, Box::pin(std::future::pending()), &mut silent));
    let intent = kept.kept().intent.clone().unwrap().state;
    (report, intent)
}

#[test]
fn a_shutdown_that_could_not_send_its_orders_has_not_got_through() {
    let (report, intent) = shut_down_on_a_full_disk(None);
    assert_eq!((report.outcome, report.got_through(), intent), (Outcome::Failed, false, IntentState::ShuttingDown));
    assert!(report.summary.contains("orders were not sent: make room"), "{}", report.summary);
    let (report, intent) = shut_down_on_a_full_disk(Some(Duration::from_secs(5)));
    assert_eq!((report.outcome, intent), (Outcome::Manual, IntentState::ShutdownComplete), "{}", report.summary);
}

#[test]
fn a_look_at_one_gate_leaves_the_progress_of_a_start_up_that_is_owed() {
    for (by_power, kept) in [(true, false), (false, true)] {
        let mut bench = Bench::new(1);
        bench.host_up(1);
        let host = bench.obs.hosts[&node(1)].last().unwrap().clone();
        let away = Away { host, now: std::sync::Mutex::new(bench.now) };
        let state = crate::port::memory::MemoryState::default();
        let (run, reason) = (crate::name::RunId::parse("startup-1").unwrap(), "mains are back".to_owned());
        let intent = Intent { state: IntentState::StartupInProgress, run, at: bench.now, reason, by_power, of: None };
        state.kept().intent = Some(intent);
        let (cluster, vault) = (MockCluster::new(), MockVault::new());
        let hands = Hands { cluster: &cluster, hosts: &Stuck, vault: &vault, power: &Nothing, state: &state };
        let plan = startup_plan().only(crate::verdict::GateId::NodeSsh);
        let walk = engine::startup(plan, bench.spec.clone(), bench.now, None, None);
        let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
        let reads = Reads { state: &state, ..reads(&away) };
        block_on(execute(walk, reads, hands, Box::pin(std::future::pending()), &mut silent));
        assert_eq!(state.kept().progress.is_some(), kept, "by power: {by_power}");
    }
}

#[test]
fn the_larger_a_cluster_the_more_is_judged_together_and_what_presses_waits_less() {
    let millis = |nodes, presses| at_most(nodes, presses).as_millis();
    assert_eq!([3, 30, 500, 1_500, 9_000].map(|nodes| millis(nodes, false)), [200, 990, 1_000, 1_500, 2_000]);
    assert_eq!([3, 30, 500, 1_500, 9_000].map(|nodes| millis(nodes, true)), [200, 200, 500, 1_500, 2_000]);
}
