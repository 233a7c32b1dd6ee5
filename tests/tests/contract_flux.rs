//! One world, asked twice: what ananke-k8s reads of the served Flux objects and Jobs is what the ports in memory say. And
//! the remedies that write to them, from the built binary to the served API.

use ananke_core::observation::{FluxState, JobState, Reconcile};
use ananke_core::port::ClusterReads;
use ananke_k8s::{Deadlines, KubeCluster};
use ananke_sim::serve::{UpOptions, up};
use ananke_sim::{Scenario, Sim, SimPorts, World};
use ananke_tests::{Cluster, LIMIT};

const SEED: u64 = 7;
const NODES: usize = 4;

/// What does not depend on when it was asked, one line an object, in an order that both can be brought into.
fn lines(flux: &FluxState) -> Vec<String> {
    let state = |of: &Reconcile| format!("{:?} {} {} {}", of.ready, of.suspended, of.reason, of.message);
    let names = |of: &[ananke_core::name::ObjectRef]| {
        let mut names: Vec<String> = of.iter().map(ToString::to_string).collect();
        names.sort();
        names.join(",")
    };
    let sources = flux
        .sources
        .iter()
        .map(|it| format!("{} {} {:?} {:?} {:?} {}", it.object, it.url, it.branch, it.pinned, it.revision, state(&it.reconcile)));
    let kustomizations = flux.kustomizations.iter().map(|it| {
        let (parents, workloads, applies) = (names(&it.depends_on), names(&it.workloads), names(&it.applies));
        format!("{} {} {parents} {workloads} {applies} {:?} {}", it.object, it.source, it.suspend_stamp, state(&it.reconcile))
    });
    let releases = flux.helm_releases.iter().map(|it| {
        format!("{} {} {:?} {:?} {}", it.object, names(&it.depends_on), it.suspend_stamp, it.stalled, state(&it.reconcile))
    });
    let mut lines: Vec<String> = sources.chain(kustomizations).chain(releases).collect();
    lines.sort();
    lines
}

fn jobs(list: &[JobState]) -> Vec<String> {
    let mut lines: Vec<String> = list.iter().map(|job| format!("{job:?}")).collect();
    lines.sort();
    lines
}

#[test]
fn flux_objects_and_jobs_read_over_the_wire_are_those_of_the_world() {
    let sim = Sim::new(World::new(&Scenario::named("healthy").unwrap().with_nodes(NODES), SEED));
    let ports = SimPorts::new(&sim);
    let flux = sim.run(ports.flux(), 60_000).unwrap().unwrap();
    let known = sim.run(ports.jobs(), 60_000).unwrap().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = UpOptions {
            dir: dir.path().to_owned(),
            scenario: "healthy".to_owned(),
            nodes: Some(NODES),
            pods: None,
            seed: SEED,
            speed: 1,
        };
        let _served = up(options).await.unwrap();
        let cluster = KubeCluster::from_kubeconfig(&dir.path().join("kubeconfig"), Deadlines::default()).await.unwrap();
        let reads = async { tokio::try_join!(cluster.flux(), cluster.jobs()).unwrap() };
        let (flux_read, jobs_read) = tokio::time::timeout(LIMIT, reads).await.unwrap();
        let (flux, flux_read) = ((*flux).clone().unwrap(), (*flux_read).clone().unwrap());
        assert!(!flux.helm_releases.is_empty() && !known.is_empty());
        assert_eq!(lines(&flux_read), lines(&flux));
        assert_eq!(jobs(&jobs_read), jobs(&known));
    });
}

#[test]
fn a_finished_job_that_blocks_its_kustomization_is_deleted_over_the_wire() {
    let cluster = Cluster::up(&["--speed", "20", "--nodes", "4"]);
    cluster.inject("immutable-job", None);
    let told = cluster.ananke(&["startup", "--execute"]).ok();
    assert!(told.contains("delete Job keycloak/realm-import, which has finished"), "{told}");
    let deletions: Vec<String> = cluster.requests().into_iter().filter(|line| line.starts_with("DELETE ")).collect();
    assert!(
        matches!(deletions.as_slice(), [one] if one.starts_with("DELETE /apis/batch/v1/namespaces/keycloak/jobs/realm-import 200")),
        "{deletions:?}"
    );
}
