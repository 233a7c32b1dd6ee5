//! The contract's cases on the served simulator, under the rights that are granted to Ananke.

use std::path::Path;

use ananke_k8s::{Deadlines, KubeCluster};
use ananke_sim::serve::site::ANANKES;
use ananke_sim::serve::{Served, UpOptions, up};

use super::world_stage::{SPEED, WorldStage};
use super::{Outcome, Subject};
use crate::LIMIT;

pub const SEED: u64 = 7;
pub const NODES: usize = 4;

/// A cluster that is well, in `dir`.
pub async fn served(dir: &Path) -> Served {
    let scenario = "healthy".to_owned();
    let options = UpOptions { dir: dir.to_owned(), scenario, nodes: Some(NODES), pods: None, seed: SEED, speed: SPEED };
    up(options).await.expect("the cluster comes up")
}

pub async fn client(kubeconfig: &Path) -> KubeCluster {
    KubeCluster::from_kubeconfig(kubeconfig, Deadlines::default()).await.expect("the kubeconfig is right")
}

pub fn on_runtime<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(LIMIT, test).await.expect("the test took too long") })
}

/// Runs one case on a cluster that is served in `dir`.
///
/// # Errors
/// What the simulated world lacks for it.
pub fn on_the_served_world(dir: &Path, case: impl AsyncFn(&Subject<'_>) -> Outcome) -> Outcome {
    on_runtime(async {
        let served = served(dir).await;
        let port = client(&dir.join(ANANKES)).await;
        case(&Subject { port: &port, stage: &WorldStage(served.cluster().clone()) }).await
    })
}
