//! What the config names and cannot be had: each UPS, host, node, right and peer is asked once.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use ananke_core::name::NodeName;
use ananke_core::port::{HostReads, PeerReads, PortError, UpsReads};
use ananke_core::spec::{HostNeeds, Transport};
use futures::future::join_all;
use futures::join;

use crate::config::{Loaded, suggest};
use crate::wire::Adapters;

/// All of them at once have this long each.
const PATIENCE: Duration = Duration::from_secs(20);

/// One line for each thing that cannot work.
pub(super) async fn trouble(loaded: &Loaded, adapters: &Adapters) -> Vec<String> {
    let (ups, hosts, cluster, peers, vault) = join!(
        upses(loaded, adapters),
        hosts(loaded, adapters),
        cluster(loaded, adapters),
        peers(loaded, adapters),
        vault(loaded, adapters)
    );
    [ups, hosts, cluster, peers, vault].concat()
}

async fn upses(loaded: &Loaded, adapters: &Adapters) -> Vec<String> {
    let each = loaded.spec.power.upses.iter().map(|ups| async { wrong(adapters.ups.read(&ups.name)).await });
    join_all(each).await.into_iter().flatten().collect()
}

async fn hosts(loaded: &Loaded, adapters: &Adapters) -> Vec<String> {
    let reached = loaded.spec.nodes.iter().filter(|(_, node)| node.transport == Transport::Ssh && node.target.is_some());
    let needs = HostNeeds::default();
    let each = reached.map(|(name, node)| wrong(adapters.hosts().inspect(name, &node.unit, &needs)));
    join_all(each).await.into_iter().flatten().collect()
}

async fn cluster(loaded: &Loaded, adapters: &Adapters) -> Vec<String> {
    let machines = match within(adapters.cluster().machines()).await {
        Ok(machines) => machines,
        Err(text) => return vec![format!("{text} (nodes and rights were not looked at)")],
    };
    let names: BTreeSet<NodeName> = machines.into_iter().map(|machine| machine.name).collect();
    let mut lines = unknown_nodes(loaded.spec.nodes.keys(), &loaded.spec.ignored, &names);
    match within(adapters.cluster().missing_rights()).await {
        Ok(missing) => {
            lines.extend(missing.iter().map(|right| format!("this kubeconfig may not {right}; deploy/rbac.yaml grants it")))
        }
        Err(text) => lines.push(text),
    }
    lines
}

fn unknown_nodes<'a>(
    configured: impl Iterator<Item = &'a NodeName>,
    ignored: &[NodeName],
    found: &BTreeSet<NodeName>,
) -> Vec<String> {
    let configured: BTreeSet<&NodeName> = configured.collect();
    let missing = configured.iter().filter(|name| !found.contains(name)).map(|name| {
        let hint = suggest(name.as_str(), found.iter().filter(|found| !configured.contains(found)).map(NodeName::as_str));
        format!("{name} is in the config, and the cluster has no such node{hint}")
    });
    let strange = found.iter().filter(|name| !configured.contains(name) && !ignored.contains(name));
    let strange = strange.map(|name| {
        format!(
            "the cluster has the node {name}, and the config does not: add it to workers or control_planes, or to ignore_nodes"
        )
    });
    missing.chain(strange).collect()
}

async fn peers(loaded: &Loaded, adapters: &Adapters) -> Vec<String> {
    let each = loaded.spec.peers.iter().map(|peer| wrong(adapters.peers.intent(peer)));
    join_all(each).await.into_iter().flatten().collect()
}

async fn vault(loaded: &Loaded, adapters: &Adapters) -> Vec<String> {
    if loaded.http.vault.is_none() {
        return Vec::new();
    }
    wrong(adapters.reads().vault.seal_status()).await.into_iter().collect()
}

/// What came of asking, if it is not an answer.
async fn wrong<T>(asked: impl Future<Output = Result<T, PortError>>) -> Option<String> {
    within(asked).await.err()
}

async fn within<T>(asked: impl Future<Output = Result<T, PortError>>) -> Result<T, String> {
    let text = |error: PortError| match &error.remedy {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(text),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_only_one_side_knows_are_told() {
        let name = |text: &&str| NodeName::parse(text).unwrap();
        let told = |configured: &[&str], ignored: &[&str], found: &[&str]| {
            let configured: Vec<NodeName> = configured.iter().map(name).collect();
            let ignored: Vec<NodeName> = ignored.iter().map(name).collect();
            unknown_nodes(configured.iter(), &ignored, &found.iter().map(name).collect())
        };
        assert!(told(&["titan-01", "titan-02"], &["titan-03"], &["titan-01", "titan-02", "titan-03"]).is_empty());
        assert_eq!(
            told(&["titan-01", "titan-20"], &[], &["titan-01", "titan-02"]),
            [
                "titan-20 is in the config, and the cluster has no such node; did you mean titan-02?",
                "the cluster has the node titan-02, and the config does not: add it to workers or control_planes, or to ignore_nodes",
            ]
        );
    }
}
