//! Watches on the served API: what is watched is what is listed, a change is read within a second, a server that goes away
//! and comes back is believed again only after a list. And the built binary, which polls seldom and reacts all the same.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and this one measures time")]

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ananke_core::observation::{FluxState, NodeState, PodState};
use ananke_core::port::{ClusterPart, ClusterReads};
use ananke_k8s::{Deadlines, KubeCluster, WatchedCluster};
use ananke_sim::Fault;
use ananke_sim::serve::{self, UpOptions, up};
use ananke_tests::{Cluster, LIMIT};

struct Bench {
    world: Arc<serve::Cluster>,
    listed: KubeCluster,
    watched: WatchedCluster,
}

/// A healthy cluster of four nodes that lives `speed` times as fast as we do.
fn with<F: Future<Output = ()>>(speed: u32, test: impl FnOnce(Bench) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options =
            UpOptions { dir: dir.path().to_owned(), scenario: "healthy".to_owned(), nodes: Some(4), pods: None, seed: 7, speed };
        let served = up(options).await.unwrap();
        let listed = KubeCluster::from_kubeconfig(&dir.path().join("kubeconfig"), Deadlines::default()).await.unwrap();
        let bench = Bench { world: served.cluster().clone(), watched: WatchedCluster::new(listed.clone()), listed };
        tokio::time::timeout(LIMIT, test(bench)).await.unwrap();
    });
}

fn lines<T: Debug>(of: &[T]) -> Vec<String> {
    let mut lines: Vec<String> = of.iter().map(|one| format!("{one:?}")).collect();
    lines.sort();
    lines
}

/// Everything that can be read of a cluster, without the time at which a kubelet last spoke.
async fn all(of: &dyn ClusterReads) -> Vec<Vec<String>> {
    let nodes = of.nodes().await.unwrap();
    assert!(nodes.iter().all(|node| node.renewed.is_some()));
    let nodes: Vec<NodeState> = nodes.iter().map(|node| NodeState { renewed: None, ..node.clone() }).collect();
    let FluxState { sources, kustomizations, helm_releases } = of.flux().await.unwrap().as_ref().clone().unwrap();
    let storage = of.storage().await.unwrap();
    let longhorn = storage.longhorn.as_ref().unwrap();
    vec![
        lines(&nodes),
        lines(&sources),
        lines(&kustomizations),
        lines(&helm_releases),
        lines(&of.workloads().await.unwrap()),
        lines(&of.pods().await.unwrap()),
        lines(&of.ingresses().await.unwrap()),
        lines(&of.namespaces().await.unwrap()),
        lines(&storage.csi_nodes),
        lines(&storage.attachments),
        lines(&storage.claims),
        lines(&longhorn.nodes),
        lines(&longhorn.volumes),
        lines(&of.endpoints().await.unwrap()),
        lines(&of.jobs().await.unwrap()),
        lines(&of.extensions().await.unwrap().api_services),
    ]
}

#[test]
fn what_is_watched_is_what_is_listed() {
    with(1, |bench| async move {
        // The world goes on between the two; soon enough it holds still for as long.
        loop {
            let (watched, listed) = (all(&bench.watched).await, all(&bench.listed).await);
            assert!(watched.iter().all(|part| !part.is_empty()), "{watched:?}");
            if watched == listed {
                break;
            }
        }
    });
}

fn is_at_work(pod: &PodState) -> bool {
    pod.ready && !pod.deleting && pod.owner.is_some() && !pod.mirror
}

fn shows_the_end(pods: &[PodState], of: &PodState) -> bool {
    pods.iter().all(|pod| pod.uid != of.uid || pod.deleting)
}

#[test]
fn a_change_is_told_and_read_within_a_second() {
    with(1, |Bench { world, watched, .. }| async move {
        // A machine that is busy with other tests may need more than one try.
        let mut took = Vec::new();
        while took.iter().all(|took| *took > Duration::from_secs(1)) {
            assert!(took.len() < 5, "{took:?}");
            let pods = watched.pods().await.unwrap();
            let pod = pods.iter().find(|pod| is_at_work(pod)).unwrap().clone();
            let at = Instant::now();
            world.act(|world| world.delete_pod(&pod.object.namespace, &pod.object.name, None)).unwrap();
            while !shows_the_end(&watched.pods().await.unwrap(), &pod) {
                assert_eq!(watched.changed().await, [ClusterPart::Pods]);
            }
            took.push(at.elapsed());
        }
    });
}

#[test]
fn a_server_that_was_away_is_believed_again_with_all_that_happened_meanwhile() {
    with(20, |Bench { world, watched, .. }| async move {
        let pod = watched.pods().await.unwrap().iter().find(|pod| is_at_work(pod)).unwrap().clone();
        watched.changed().await;
        world.act(|world| world.inject(Fault::ApiRefused, None)).unwrap();
        world.act(|world| world.delete_pod(&pod.object.namespace, &pod.object.name, None)).unwrap();
        assert_eq!(watched.changed().await, [ClusterPart::Pods], "the end of the watch is told");
        let away = || world.act(|world| world.fault()).is_some();
        let mut errors = 0;
        let pods = loop {
            let before = away();
            match watched.pods().await {
                Ok(pods) => {
                    assert!(!before || !away(), "an answer of a server that is away");
                    break pods;
                }
                Err(_) => errors += 1,
            }
        };
        assert!(errors > 0);
        assert!(shows_the_end(&pods, &pod), "an old fact");
    });
}

#[test]
fn a_run_that_polls_seldom_reacts_all_the_same() {
    let cluster = Cluster::up(&["--nodes", "4", "--speed", "20", "--scenario", "healthy"]);
    cluster.edit_config(|text| {
        let lines = text.lines().map(|line| if line.starts_with("poll:") { "poll: 60s" } else { line });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    });
    let run = cluster.ananke(&["startup", "--execute"]).exits(0);
    // A kubelet counts once its Lease was seen twice, which polls alone show after a minute.
    assert!(run.took < Duration::from_secs(45), "{run}");
    let requests = cluster.requests();
    let of = |what: &str| requests.iter().filter(|line| line.starts_with("GET /api/v1/nodes?") && line.contains(what)).count();
    // Once, and once more where no node changed for half a minute.
    assert!((1..=2).contains(&of("limit=500")), "{requests:?}");
    assert!(of("watch=true") >= 1, "{requests:?}");
}
