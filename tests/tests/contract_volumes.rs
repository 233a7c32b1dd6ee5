//! One world, asked twice: what ananke-k8s reads of the served API is what the ports in memory say. Storage, endpoints,
//! where images come from, and the doctor's map.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use ananke_core::doctor::ClusterMap;
use ananke_core::observation::{EndpointsState, StorageState};
use ananke_core::port::{ClusterReads, MapReads};
use ananke_k8s::{Deadlines, KubeCluster};
use ananke_sim::serve::{UpOptions, up};
use ananke_sim::{Scenario, Sim, SimPorts, World};
use ananke_tests::LIMIT;

const SEED: u64 = 7;
const NODES: usize = 4;

/// In an order that both can be brought into: the API lists by name, the world by row.
fn sorted(storage: &StorageState) -> StorageState {
    let mut storage = storage.clone();
    storage.csi_nodes.sort_by(|a, b| a.node.cmp(&b.node));
    storage.attachments.sort_by(|a, b| a.object.cmp(&b.object));
    storage.claims.sort_by(|a, b| a.object.cmp(&b.object));
    let longhorn = storage.longhorn.as_mut().unwrap();
    longhorn.nodes.sort_by(|a, b| a.node.cmp(&b.node));
    longhorn.volumes.sort_by(|a, b| a.name.cmp(&b.name));
    storage
}

/// Both in the order of names.
fn mapped(mut map: ClusterMap) -> ClusterMap {
    map.workloads.sort_by(|a, b| a.object.cmp(&b.object));
    map.services.sort_by(|a, b| a.object.cmp(&b.object));
    map.ingresses.sort_by(|a, b| a.object.cmp(&b.object));
    map.claims.sort_by(|a, b| a.object.cmp(&b.object));
    map.volumes.sort_by(|a, b| a.name.cmp(&b.name));
    map.jobs.sort_by(|a, b| a.object.cmp(&b.object));
    map.budgets.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    map.external_secrets.sort_by(|a, b| a.object.cmp(&b.object));
    map.sources.sort_by(|a, b| a.object.cmp(&b.object));
    map.appliers.sort_by(|a, b| a.object.cmp(&b.object));
    map
}

fn by_service(all: &[EndpointsState]) -> BTreeMap<String, (u32, Vec<String>)> {
    let each = all.iter().map(|state| {
        let mut pods: Vec<String> = state.pods.iter().map(ToString::to_string).collect();
        pods.sort();
        (state.service.to_string(), (state.ready, pods))
    });
    each.collect()
}

#[test]
fn volumes_and_endpoints_read_over_the_wire_are_those_of_the_world() {
    let sim = Sim::new(World::new(&Scenario::named("healthy").unwrap().with_nodes(NODES), SEED));
    let ports = SimPorts::new(&sim);
    let storage = sim.run(ports.storage(), 60_000).unwrap().unwrap();
    let endpoints = sim.run(ports.endpoints(), 60_000).unwrap().unwrap();
    let workloads = sim.run(ports.workloads(), 60_000).unwrap().unwrap();
    let pods = sim.run(ports.pods(), 60_000).unwrap().unwrap();
    let map = sim.run(ports.map(), 60_000).unwrap().unwrap();

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
        let reads =
            async { tokio::try_join!(cluster.storage(), cluster.endpoints(), cluster.workloads(), cluster.pods()).unwrap() };
        let (storage_read, endpoints_read, workloads_read, pods_read) = tokio::time::timeout(LIMIT, reads).await.unwrap();

        assert!(storage.attachments.len() > 30 && storage.csi_nodes.len() == NODES);
        assert_eq!(sorted(&storage_read), sorted(&storage));
        assert_eq!(by_service(&endpoints_read), by_service(&endpoints));
        for workload in workloads.iter() {
            let read = workloads_read.iter().find(|read| read.object == workload.object).unwrap();
            assert_eq!(read.registries, workload.registries, "{}", workload.object);
        }
        let map_read = tokio::time::timeout(LIMIT, cluster.map()).await.unwrap().unwrap();
        assert_eq!(mapped(map_read), mapped(map));
        for pod in pods.iter() {
            let read = pods_read.iter().find(|read| read.object == pod.object).unwrap();
            assert_eq!(read.claims, pod.claims, "{}", pod.object);
        }
    });
}
