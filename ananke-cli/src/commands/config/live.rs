//! What the config names is asked once, each UPS, host, node, right and peer: what answered, and what cannot be had.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use ananke_core::name::{NodeName, Uid, human};
use ananke_core::observation::{ApiHealth, UpsReading, VaultState};
use ananke_core::port::{ClusterReads, HostReads, PeerReads, PortError, UpsReads};
use ananke_core::spec::{HostNeeds, Transport};
use futures::future::join_all;
use futures::join;

use crate::commands::intent;
use crate::config::{Loaded, suggest};
use crate::wire::Adapters;

/// All of them at once have this long each: a dry run of a write to the API may take 35 s, and then says what is wrong, once no
/// other server is seen to do better.
const PATIENCE: Duration = Duration::from_secs(60);

/// One line each.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) answers: Vec<String>,
    /// What cannot work.
    pub(super) trouble: Vec<String>,
}

impl Asked {
    fn take(&mut self, line: Result<String, String>) {
        match line {
            Ok(answer) => self.answers.push(answer),
            Err(trouble) => self.trouble.push(trouble),
        }
    }

    fn rights(&mut self, manifest: &str, missing: Result<Vec<String>, String>) {
        match missing {
            Ok(missing) if missing.is_empty() => self.answers.push(format!("rights: all that {manifest} grants")),
            Ok(missing) => {
                let text = |right: &String| format!("this kubeconfig may not {right}; {manifest} grants it");
                self.trouble.extend(missing.iter().map(text));
            }
            Err(text) => self.trouble.push(text),
        }
    }
}

pub(super) async fn asked(loaded: &Loaded, adapters: &Adapters) -> Asked {
    let (cluster, hosts, ups, vault, peers) = join!(
        cluster(loaded, adapters),
        hosts(loaded, adapters),
        upses(loaded, adapters),
        vault(loaded, adapters),
        peers(loaded, adapters)
    );
    let (mut answers, mut trouble) = (Vec::new(), Vec::new());
    for part in [cluster, hosts, ups, vault, peers] {
        answers.extend(part.answers);
        trouble.extend(part.trouble);
    }
    Asked { answers, trouble }
}

async fn cluster(loaded: &Loaded, adapters: &Adapters) -> Asked {
    let (cluster, mut asked) = (adapters.cluster(), Asked::default());
    let (health, each, machines) = join!(within(cluster.health()), cluster.each_server(), within(cluster.machines()));
    let cluster_uid = health.as_ref().ok().map(|health| health.cluster_uid.clone());
    asked.take(health.map(|health| format!("API server: {}, with a quorum read and a dry-run write", health.version)));
    each.into_iter().for_each(|(server, health)| asked.take(one_server(&server, health, cluster_uid.as_ref())));
    let machines = match machines {
        Ok(machines) => machines,
        Err(text) => {
            asked.trouble.push(format!("{text} (nodes and rights were not looked at)"));
            return asked;
        }
    };
    let names: BTreeSet<NodeName> = machines.into_iter().map(|machine| machine.name).collect();
    let strangers = unknown_nodes(loaded.spec.nodes.keys(), &loaded.spec.ignored, &names);
    if strangers.is_empty() {
        asked.answers.push(format!("nodes: {}, as in the config", names.len()));
    }
    asked.trouble.extend(strangers);
    asked.rights("deploy/rbac.yaml", within(cluster.missing_rights()).await);
    if !loaded.spec.bootstrap.layers.is_empty() {
        asked.rights("deploy/rbac-bootstrap.yaml", within(cluster.missing_rights_for_layers()).await);
    }
    asked
}

/// One of several API servers, which has to be well by itself, and one of this cluster.
fn one_server(server: &str, health: Result<ApiHealth, PortError>, cluster: Option<&Uid>) -> Result<String, String> {
    let health = health.map_err(|error| text(&error))?;
    if cluster.is_some_and(|cluster| *cluster != health.cluster_uid) {
        return Err(format!("{server} is an API server of another cluster: take it out of api_servers"));
    }
    Ok(format!("API server {server}: {}", health.version))
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

async fn hosts(loaded: &Loaded, adapters: &Adapters) -> Asked {
    let reached = loaded.spec.nodes.iter().filter(|(_, node)| node.transport == Transport::Ssh && node.target.is_some());
    let needs = HostNeeds::default();
    let each = reached.map(|(name, node)| within(adapters.hosts().inspect(name, &node.unit, &needs)));
    let found = join_all(each).await;
    let (all, trouble) = (found.len(), found.into_iter().filter_map(Result::err).collect::<Vec<_>>());
    let well = all.saturating_sub(trouble.len());
    let answers = (well > 0).then(|| format!("hosts: {well} of {all} logged in to over SSH")).into_iter().collect();
    Asked { answers, trouble }
}

async fn upses(loaded: &Loaded, adapters: &Adapters) -> Asked {
    let mut asked = Asked::default();
    let each = loaded.spec.power.upses.iter().map(|ups| async move {
        let reading = within(adapters.ups.read(&ups.name)).await;
        reading.map(|reading| format!("UPS {}: {}", ups.name, values(&reading)))
    });
    join_all(each).await.into_iter().for_each(|line| asked.take(line));
    asked.trouble.extend(adapters.ups.refused_logins().values().map(text));
    asked
}

/// `OL CHRG, charge 43 %, runtime 12m00s`.
fn values(reading: &UpsReading) -> String {
    let charge = reading.charge_percent.map(|charge| format!("charge {charge} %"));
    let runtime = reading.runtime.map(|runtime| format!("runtime {}", human(runtime)));
    std::iter::once(reading.status.join(" ")).chain(charge).chain(runtime).collect::<Vec<_>>().join(", ")
}

async fn vault(loaded: &Loaded, adapters: &Adapters) -> Asked {
    let mut asked = Asked::default();
    if loaded.http.vault.is_some() {
        let state = within(adapters.reads().vault.seal_status()).await;
        asked.take(state.map(|state| format!("Vault: {}", seal(state))));
    }
    asked
}

fn seal(state: VaultState) -> &'static str {
    match state {
        VaultState { initialised: false, .. } => "not initialised",
        VaultState { sealed: true, .. } => "sealed",
        VaultState { .. } => "unsealed",
    }
}

async fn peers(loaded: &Loaded, adapters: &Adapters) -> Asked {
    let mut asked = Asked::default();
    let each = loaded.spec.peers.iter().map(|peer| async move {
        let wanted = |found: Option<ananke_core::intent::Intent>| match found {
            Some(intent) => format!("{} since {}", intent::word(intent.state), intent.at),
            None => "nothing is recorded".to_owned(),
        };
        within(adapters.peers.intent(peer)).await.map(|intent| format!("peer {peer}: {}", wanted(intent)))
    });
    join_all(each).await.into_iter().for_each(|line| asked.take(line));
    asked
}

fn text(error: &PortError) -> String {
    match &error.remedy {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    }
}

async fn within<T>(asked: impl Future<Output = Result<T, PortError>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| text(&error)),
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

    #[test]
    fn a_ups_says_what_it_has() {
        let reading = |charge_percent, runtime| UpsReading { status: vec!["OL".into(), "CHRG".into()], charge_percent, runtime };
        assert_eq!(values(&reading(Some(43), Some(Duration::from_secs(720)))), "OL CHRG, charge 43 %, runtime 12m00s");
        assert_eq!(values(&reading(None, None)), "OL CHRG");
    }
}
