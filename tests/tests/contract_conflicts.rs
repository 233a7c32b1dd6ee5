//! Orders that name a resourceVersion, sent over the wire by the real engine after somebody else was quicker: each is a
//! conflict that changed nothing, and goes through once it names what is there.
//!
//! Exceptions by design: evict, delete, force-delete and delete-job name a UID, and a request to reconcile adds an annotation of
//! its own, whatever version the object is at.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and lives in real time")]

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ananke_core::engine::view::{Trust, View};
use ananke_core::engine::walk::{Plan, Walk};
use ananke_core::engine::{self, Hands, News, Reads};
use ananke_core::gate::{Overdue, Row};
use ananke_core::lease::{Lease, Purpose, SCHEMA};
use ananke_core::name::{Kind, LeaseId, Moment, NodeName, ObjectRef, ResourceVersion, RunId, Subject};
use ananke_core::order::{ClusterOrder, Order};
use ananke_core::port::clock::Uptime;
use ananke_core::port::{Clock, ClusterReads, ErrorKind};
use ananke_core::remedy::{Action, Remedy};
use ananke_core::report::Command;
use ananke_core::verdict::{GateId, Judgement, Reason, Verdict};
use ananke_k8s::{Deadlines, KubeCluster};
use ananke_sim::serve::{Served, UpOptions, up};
use ananke_sim::world::NodePatch;
use ananke_sim::{MemoryState, Scenario, Sim, SimPorts, World, drill};
use ananke_tests::LIMIT;
use async_trait::async_trait;

/// The one order of a run.
static ORDER: Mutex<Option<Order>> = Mutex::new(None);

struct Wall;

#[async_trait]
impl Clock for Wall {
    fn now(&self) -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Moment::from_millis(i64::try_from(since.as_millis()).unwrap())
    }
    fn uptime(&self) -> Option<Uptime> {
        None
    }
    async fn sleep_until(&self, until: Moment) {
        tokio::time::sleep(until.since(self.now())).await;
    }
}

fn order() -> Order {
    ORDER.lock().unwrap().clone().unwrap()
}

fn plan(view: &View<'_>) -> Vec<Action> {
    let order = order();
    let tries = view.history().tries(order.verb(), &order.subject());
    if tries.count > 0 { Vec::new() } else { vec![Action { order, why: "the test says so".to_owned() }] }
}

/// Passes when the order was answered.
fn answered(view: &View<'_>) -> Judgement {
    let tries = view.history().tries(order().verb(), &order().subject());
    let verdict = match tries.count > 0 && !tries.in_flight {
        true => Verdict::pass("it was answered"),
        false => Verdict::waiting(Reason::NotHeldLongEnough, "no answer yet", "wait"),
    };
    Judgement::of(Subject::Cluster, verdict)
}

const REMEDIES: &[Remedy] = &[Remedy::Duty(plan)];
const ROW: Row = Row { id: GateId::ControlPlane, needs: &[], overdue: Overdue::Fatal, evaluate: answered };

struct Site {
    served: Served,
    cluster: KubeCluster,
    _dir: tempfile::TempDir,
}

impl Site {
    async fn up() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = UpOptions {
            dir: dir.path().to_owned(),
            scenario: "healthy".to_owned(),
            nodes: Some(4),
            pods: None,
            seed: 7,
            speed: 1,
        };
        let served = up(options).await.unwrap();
        let cluster = KubeCluster::from_kubeconfig(&dir.path().join("kubeconfig"), Deadlines::default()).await.unwrap();
        Self { served, cluster, _dir: dir }
    }

    /// Sends the order as a run does; the kind of its error.
    async fn send(&self, order: ClusterOrder) -> Option<ErrorKind> {
        *ORDER.lock().unwrap() = Some(Order::Cluster(order));
        let elsewhere = Sim::new(World::new(&Scenario::named("healthy").unwrap().with_nodes(1), 1));
        let mut spec = drill::spec(&elsewhere.world());
        (spec.vault, spec.soak) = (None, Duration::ZERO);
        spec.nodes.clear();
        spec.power.upses.clear();
        spec.services.clear();
        let hosts = SimPorts::new(&elsewhere);
        let (clock, state) = (Wall, MemoryState::default());
        let plan = Plan { command: Command::Startup, rows: vec![ROW], remedies: REMEDIES, latching: false, partial: true };
        let walk = Walk::new(plan, spec, RunId::parse("startup-1").unwrap(), clock.now(), Trust::Proven);
        let reads = Reads::new(&clock, &self.cluster, &hosts, &state);
        let hands = Hands::new(&self.cluster, &hosts, &state);
        let mut kind = None;
        let mut observer = |_: &Walk, _: Moment, news: &News<'_>| {
            if let News::Acted { error, .. } = news {
                kind = error.map(|error| error.kind);
            }
        };
        let run = engine::execute(walk, reads, hands, Box::pin(std::future::pending()), &mut observer);
        let (report, _) = tokio::time::timeout(LIMIT, run).await.unwrap();
        assert_eq!(report.actions.len(), 1, "{report:?}");
        kind
    }

    /// Late once, then on what is there.
    async fn check<V: AsyncFn(&Self) -> ResourceVersion>(
        &self,
        version: V,
        quicker: impl FnOnce(&mut World),
        order: impl Fn(ResourceVersion) -> ClusterOrder,
    ) {
        let seen = version(self).await;
        self.served.cluster().act(quicker);
        let changed = version(self).await;
        let verb = Order::Cluster(order(seen.clone())).verb();
        assert_ne!(seen, changed, "{verb}: somebody else was quicker");
        assert_eq!(self.send(order(seen)).await, Some(ErrorKind::Conflict), "{verb}");
        assert_eq!(version(self).await, changed, "{verb}: a conflict changes nothing");
        assert_eq!(self.send(order(changed.clone())).await, None, "{verb}");
        assert_ne!(version(self).await, changed, "{verb} has done something");
    }
}

fn node() -> NodeName {
    NodeName::parse("titan-04").unwrap()
}

async fn node_version(site: &Site) -> ResourceVersion {
    site.cluster.nodes().await.unwrap().iter().find(|found| found.name == node()).unwrap().version.clone()
}

/// A value that changes with every call.
fn annotate_node(nth: u32) -> impl FnOnce(&mut World) {
    move |world| {
        let annotations = vec![("example.com/note".into(), Some(nth.to_string().into()))];
        world.patch_node(&node(), None, NodePatch { annotations, ..NodePatch::default() }).unwrap();
    }
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn orders_about_nodes_that_come_late_are_conflicts() {
    block_on(async {
        let site = Site::up().await;
        let id = LeaseId::parse("l-1").unwrap();
        let uid = site.cluster.nodes().await.unwrap().iter().find(|found| found.name == node()).unwrap().uid.clone();
        let cluster_uid = site.cluster.health().await.unwrap().cluster_uid;
        let lease = Lease {
            schema: SCHEMA,
            id: id.clone(),
            holder: "titan-db".to_owned(),
            node: node(),
            node_uid: uid,
            cluster_uid,
            purpose: Purpose::default(),
            reason: "a test".to_owned(),
            acquired: Wall.now(),
            expires: Wall.now().plus(Duration::from_secs(3600)),
            clock: None,
            remove_with: "kubectl taint".to_owned(),
        };
        let cordon = |seen| ClusterOrder::Cordon { node: node(), seen, lease: Box::new(lease.clone()) };
        site.check(node_version, annotate_node(1), cordon).await;
        let (sentence, at) = ("look at it".to_owned(), Wall.now());
        let mark = |seen| ClusterOrder::MarkManual { node: node(), seen, lease: id.clone(), sentence: sentence.clone(), at };
        site.check(node_version, annotate_node(2), mark).await;
        site.check(node_version, annotate_node(3), |seen| ClusterOrder::ClearMark { node: node(), seen }).await;
        let uncordon = |seen| ClusterOrder::Uncordon { node: node(), seen, lease: id.clone() };
        site.check(node_version, annotate_node(4), uncordon).await;
        let nodes = site.cluster.nodes().await.unwrap();
        let found = nodes.iter().find(|found| found.name == node()).unwrap();
        assert!(found.taints.is_empty(), "{:?}", found.taints);
        let kept = site.served.cluster().act(|world| {
            let row = world.node_row(&node()).unwrap();
            world.nodes().get(row).unwrap().annotations.get("example.com/note").cloned()
        });
        assert_eq!(kept.as_deref(), Some("4"), "the other's note stays");
    });
}

#[test]
fn orders_about_flux_objects_that_come_late_are_conflicts() {
    block_on(async {
        let site = Site::up().await;
        let note = |object: &ObjectRef, nth: u32| {
            let object = object.clone();
            move |world: &mut World| {
                let notes = vec![("example.com/note".into(), Some(nth.to_string().into()))];
                world.annotate_flux(&object, None, notes).unwrap();
            }
        };
        let flux = site.cluster.flux().await.unwrap();
        let source = flux.as_ref().as_ref().unwrap().sources[0].object.clone();
        let kust = flux.as_ref().as_ref().unwrap().kustomizations.last().unwrap().object.clone();
        let source_version = async |site: &Site| {
            let flux = site.cluster.flux().await.unwrap();
            flux.as_ref().as_ref().unwrap().sources[0].version.clone()
        };
        let kust_version = async |site: &Site| {
            let flux = site.cluster.flux().await.unwrap();
            let all = &flux.as_ref().as_ref().unwrap().kustomizations;
            all.iter().find(|found| found.object == kust).unwrap().version.clone()
        };
        let (run, at) = (RunId::parse("shutdown-1").unwrap(), Wall.now());
        let suspend = |seen| ClusterOrder::Suspend { object: kust.clone(), seen, run: run.clone(), at };
        site.check(kust_version, note(&kust, 1), suspend).await;
        site.check(kust_version, note(&kust, 2), |seen| ClusterOrder::Resume { object: kust.clone(), seen }).await;
        let branch = |seen| ClusterOrder::SetBranch { source: source.clone(), seen, branch: "incident".into() };
        site.check(source_version, note(&source, 1), branch).await;
    });
}

#[test]
fn orders_about_workloads_and_the_lease_that_come_late_are_conflicts() {
    block_on(async {
        let site = Site::up().await;
        let web = ObjectRef::new(Kind::Deployment, "office", "vaultwarden");
        let workload_version = async |site: &Site| {
            let all = site.cluster.workloads().await.unwrap();
            all.iter().find(|found| found.object == web).unwrap().version.clone()
        };
        let scale = |seen| ClusterOrder::Scale { workload: web.clone(), seen, replicas: 2 };
        site.check(workload_version, |world| world.annotate_workload(&web).unwrap(), scale).await;

        let version = || async { site.cluster.coordination().await.unwrap().unwrap().version };
        let take = |seen| ClusterOrder::Coordinate { seen, holder: "titan-db".to_owned(), at: Wall.now() };
        assert_eq!(site.send(take(None)).await, None);
        let seen = version().await;
        assert_eq!(site.send(take(Some(seen.clone()))).await, None, "whoever is quicker");
        let changed = version().await;
        assert_ne!(seen, changed);
        for late in [take(Some(seen.clone())), take(None), ClusterOrder::Uncoordinate { seen }] {
            assert_eq!(site.send(late.clone()).await, Some(ErrorKind::Conflict), "{late:?}");
            assert_eq!(version().await, changed, "a conflict changes nothing");
        }
        assert_eq!(site.send(ClusterOrder::Uncoordinate { seen: changed }).await, None);
    });
}
