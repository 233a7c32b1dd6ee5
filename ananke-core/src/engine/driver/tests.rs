//! Where the pattern of calls is the point: what must never be called.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use mockall::mock;

use super::*;
use crate::engine::journal::Entry;
use crate::engine::{self, startup_plan};
use crate::gate::testing::{Bench, node};
use crate::intent::Intent;
use crate::lease::LeaseRecord;
use crate::name::{NodeName, UnitName};
use crate::observation::UnitState;
use crate::observation::{
    ApiHealth, FluxState, HostState, IngressState, NodeState, PodState, ProbeAnswer, UpsReading, WorkloadState,
};
use crate::order::HostOrder;
use crate::report::Progress;

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
    State {}
    #[async_trait]
    impl StateWrites for State {
        async fn save_intent(&self, intent: &Intent) -> Result<(), PortError>;
        async fn save_leases(&self, leases: &[LeaseRecord]) -> Result<(), PortError>;
        async fn save_progress(&self, progress: &Progress) -> Result<(), PortError>;
        async fn save_report(&self, report: &Report) -> Result<(), PortError>;
        async fn append(&self, entry: &Entry) -> Result<(), PortError>;
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
}

#[async_trait]
impl HostReads for Away {
    async fn inspect(&self, _: &NodeName, _: &UnitName) -> Result<HostState, PortError> {
        Ok(self.host.clone())
    }
}

#[async_trait]
impl Probes for Away {
    async fn get(&self, _: &str) -> Result<ProbeAnswer, PortError> {
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
    let reads = Reads { clock: &away, cluster: &away, hosts: &away, probes: &away, ups: &away, state: &away };
    let hands = Hands { cluster: &cluster, hosts, state: &state };
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
