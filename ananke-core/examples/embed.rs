//! Ananke inside another program, on ports of that program's own: a made-up cluster of one node, whose k3s did not start
//! with its host, is brought up. `cargo run -p ananke-core --example embed`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "an example ends by panicking, and prints what came of it")]

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ananke_core::engine::{self, Hands, News, Permit, Reads, walk::Walk};
use ananke_core::name::{BootId, Moment, NodeName, ResourceVersion, Uid, UnitName};
use ananke_core::observation::*;
use ananke_core::order::{ClusterOrder, HostOrder};
use ananke_core::port::{clock::Uptime, memory::MemoryState, *};
use ananke_core::spec::{HostNeeds, NodeRole, NodeSpec, Spec};
use ananke_core::verdict::GateId;
use async_trait::async_trait;

/// The cluster, the host under it, and a clock that runs as fast as it is waited for.
#[derive(Default)]
struct Toy {
    k3s_runs: AtomicBool,
    millis: AtomicI64,
}

#[async_trait]
impl Clock for Toy {
    fn now(&self) -> Moment {
        Moment::from_millis(self.millis.load(Relaxed))
    }
    fn uptime(&self) -> Option<Uptime> {
        None
    }
    async fn sleep_until(&self, until: Moment) {
        self.millis.fetch_max(until.as_millis(), Relaxed);
    }
}

#[async_trait]
impl HostReads for Toy {
    async fn inspect(&self, _: &NodeName, _: &UnitName, _: &HostNeeds) -> Result<HostState, PortError> {
        let unit = if self.k3s_runs.load(Relaxed) { UnitState::Active } else { UnitState::Inactive };
        Ok(HostState::new(BootId::parse("boot-1").unwrap(), "toy", Duration::from_secs(300), unit))
    }
}

#[async_trait]
impl ClusterReads for Toy {
    async fn health(&self) -> Result<ApiHealth, PortError> {
        let answer = ApiHealth { cluster_uid: Uid::parse("toy").unwrap(), version: "v1.36".to_owned() };
        let refused = || PortError::new(ErrorKind::Transient, "ask", "the API server", "connection refused");
        self.k3s_runs.load(Relaxed).then_some(answer).ok_or_else(refused)
    }
    async fn nodes(&self) -> Result<Arc<Vec<NodeState>>, PortError> {
        let (name, version) = (NodeName::parse("toy").unwrap(), ResourceVersion::parse("1").unwrap());
        let (ready, boot_id, renewed) = (Tri::True, BootId::parse("boot-1").ok(), Some(self.now()));
        Ok(Arc::new(vec![NodeState { ready, boot_id, renewed, ..NodeState::new(name, Uid::parse("n").unwrap(), version) }]))
    }
    async fn workloads(&self) -> Result<Arc<Vec<WorkloadState>>, PortError> {
        Ok(Arc::default())
    }
    async fn pods(&self) -> Result<Arc<Vec<PodState>>, PortError> {
        Ok(Arc::default())
    }
}

#[async_trait]
impl HostActions for Toy {
    async fn perform(&self, _: &NodeName, order: &HostOrder, _: &Permit) -> Result<(), PortError> {
        self.k3s_runs.fetch_or(matches!(order, HostOrder::Start(_)), Relaxed);
        Ok(())
    }
}

#[async_trait]
impl ClusterActions for Toy {
    async fn perform(&self, order: &ClusterOrder, _: &Permit) -> Result<(), PortError> {
        Err(PortError::new(ErrorKind::Invalid, "change the cluster", "toy", format!("{order:?} makes no sense here")))
    }
}

pub(crate) fn main() {
    let (toy, state) = (Toy::default(), MemoryState::default());
    let node = NodeSpec::new(NodeRole::Server, UnitName::parse("k3s").unwrap(), "toy.lan");
    let spec = Spec::new("here", BTreeMap::from([(NodeName::parse("toy").unwrap(), node)]));
    let walk = engine::startup(engine::startup_plan().until(GateId::NodesReady), spec, toy.now(), None, None);
    let (reads, hands) = (Reads::new(&toy, &toy, &toy, &state), Hands::new(&toy, &toy, &state));
    let mut tell = |_: &Walk, now: Moment, news: &News<'_>| println!("{now} {news:?}");
    let mut run = pin!(engine::execute(walk, reads, hands, Box::pin(std::future::pending()), &mut tell));
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready((report, _)) = run.as_mut().poll(&mut context) {
            println!("{}", serde_json::to_string_pretty(&report).unwrap());
            return assert_eq!(report.outcome, ananke_core::report::Outcome::Done, "{}", report.summary);
        }
    }
}
