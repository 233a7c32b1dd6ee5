//! Watches a whole cluster for a while, as a run does, and says what there is: `watch KUBECONFIG SECONDS`.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a command that is run by hand, and by `cargo xtask bench`")]

use std::path::Path;
use std::time::Duration;

use ananke_core::port::{ClusterReads, PortError};
use ananke_k8s::{Deadlines, KubeCluster, WatchedCluster};
use tokio::time::{Instant, timeout_at};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(kubeconfig), Some(seconds)) = (args.next(), args.next()) else {
        return Err("usage: watch KUBECONFIG SECONDS".into());
    };
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    let cluster = WatchedCluster::new(KubeCluster::from_kubeconfig(Path::new(&kubeconfig), Deadlines::default()).await?);
    let mut looks = 0_u32;
    loop {
        let text = look(&cluster).await?;
        looks += 1;
        // Who reads too often has the copies of every reading.
        let pause = Instant::now() + Duration::from_millis(500);
        if timeout_at(end, async { (cluster.changed().await, tokio::time::sleep_until(pause).await) }).await.is_err() {
            println!("{text}, looked at {looks} times");
            return Ok(());
        }
    }
}

/// Everything that a run reads.
async fn look(cluster: &WatchedCluster) -> Result<String, PortError> {
    let (nodes, pods, workloads, flux) = tokio::try_join!(cluster.nodes(), cluster.pods(), cluster.workloads(), cluster.flux())?;
    tokio::try_join!(cluster.ingresses(), cluster.storage(), cluster.endpoints(), cluster.jobs(), cluster.extensions())?;
    let flux = flux.as_ref().as_ref().map_or(0, |flux| flux.kustomizations.len());
    Ok(format!("{} nodes, {} pods, {} workloads, {flux} Kustomizations", nodes.len(), pods.len(), workloads.len()))
}
