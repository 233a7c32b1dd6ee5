//! `config`: check it, print every key, print what the nodes must allow.

mod live;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ananke_core::name::NodeName;
use ananke_core::port::{Clock, ClusterReads};
use ananke_core::power::UpsSpec;
use ananke_core::spec::NodeRole;
use ananke_k8s::{Deadlines, KubeCluster};
use ananke_ssh::command::{of_peers, sudoers};
use serde::Serialize;

use self::live::Asked;
use super::{layers, print, trust};
use crate::archives;
use crate::args::{Config, Format};
use crate::clock::SystemClock;
use crate::config::{self, Loaded, Overrides};
use crate::exit::Exit;
use crate::state::StateDir;
use crate::wire::{self, Adapters, Failure};

#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    servers: usize,
    workers: usize,
    flux_source: String,
    state_dir: String,
    /// Each UPS with what it feeds.
    upses: Vec<String>,
    /// What could be loaded; none where no archives are configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<String>,
    /// How old what is kept is; none where no layers are.
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<String>,
    warnings: Vec<String>,
    /// What answered, and what cannot work; nothing where nothing was asked.
    answers: Vec<String>,
    trouble: Vec<String>,
}

pub(super) async fn run(args: Config) -> Result<Exit, Failure> {
    match args {
        Config::Reference => print(Format::Text, &(), |()| config::reference())?,
        Config::Schema => print(Format::Json, &config::schema(), |_| String::new())?,
        Config::Init { kubeconfig, out } => return init(&kubeconfig, out.as_deref()).await,
        Config::Check { offline, config, output } => {
            let loaded = wire::load(&config.config, &Overrides::default())?;
            let asked = if offline {
                Asked::default()
            } else {
                live::asked(&loaded, &Adapters::new(&loaded, StateDir::open_read_only(&loaded.state_dir)?).await?).await
            };
            let checked = Checked {
                file: config.config.display().to_string(),
                servers: loaded.spec.servers().count(),
                workers: loaded.spec.workers().count(),
                flux_source: loaded.spec.flux.source.to_string(),
                state_dir: loaded.state_dir.display().to_string(),
                upses: loaded.spec.power.upses.iter().map(fed).collect(),
                images: loaded.image_archives.as_ref().map(|_| archives::told(&loaded.spec.bootstrap.archives)),
                layers: kept(&loaded)?,
                warnings: loaded.warnings.clone(),
                answers: asked.answers,
                trouble: asked.trouble,
            };
            print(output.output, &checked, told)?;
            if !checked.trouble.is_empty() {
                return Ok(Exit::NotInTime);
            }
        }
        Config::Trust { node, yes, config } => return trust::run(&node, yes, &config).await,
        Config::Sudoers { config } => {
            let loaded = wire::load(&config.config, &Overrides::default())?;
            print(Format::Text, &(), |()| allow_list(&loaded))?;
        }
    }
    Ok(Exit::Done)
}

/// `rack-a@titan-db feeds titan-01, titan-11`.
fn fed(ups: &UpsSpec) -> String {
    let nodes: Vec<&str> = ups.feeds.iter().map(NodeName::as_str).collect();
    format!("{} feeds {}", ups.name, if nodes.is_empty() { "every node".to_owned() } else { nodes.join(", ") })
}

fn kept(loaded: &Loaded) -> Result<Option<String>, Failure> {
    let wanted = &loaded.spec.bootstrap.layers;
    if wanted.is_empty() {
        return Ok(None);
    }
    let kept = StateDir::open_read_only(&loaded.state_dir)?.layers(wanted);
    Ok(Some(layers::ages(wanted, &kept, SystemClock::start().now())))
}

/// Asks the cluster; a file that is there already is a person's.
async fn init(kubeconfig: &Path, out: Option<&Path>) -> Result<Exit, Failure> {
    let cluster = KubeCluster::from_kubeconfig(kubeconfig, Deadlines::default())
        .await
        .map_err(Failure::asked("name a kubeconfig that kubectl takes"))?;
    let machines = cluster.machines().await.map_err(Failure::of_cluster)?;
    let flux = cluster.flux().await.map_err(Failure::of_cluster)?;
    let sources = flux.as_ref().as_ref().map(|flux| flux.sources.as_slice()).unwrap_or_default();
    let source = sources.iter().find(|source| &*source.object.name == "flux-system").or(sources.first());
    let source = source.map(|source| (source.url.to_string(), source.branch.as_deref().map(str::to_owned)));
    let text = config::example(&config::Found { kubeconfig, server: &cluster.server(), machines: &machines, source });
    let Some(out) = out else {
        print(Format::Text, &(), |()| text)?;
        return Ok(Exit::Done);
    };
    let failed = |error: std::io::Error| Failure::Usage(format!("write the config {}: {error}", out.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    print(Format::Text, &(), |()| {
        format!("written: {}; go through it, then run `ananke config check --config {0}`", out.display())
    })?;
    Ok(Exit::Done)
}

fn told(checked: &Checked) -> String {
    let mut text = format!(
        "{} is valid: {} servers, {} workers, source {}, state in {}\n",
        checked.file, checked.servers, checked.workers, checked.flux_source, checked.state_dir
    );
    for ups in &checked.upses {
        text.push_str(&format!("UPS {ups}\n"));
    }
    for (what, line) in [("images", &checked.images), ("layers", &checked.layers)] {
        text.push_str(&line.as_ref().map(|line| format!("{what}: {line}\n")).unwrap_or_default());
    }
    for warning in &checked.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    for line in &checked.answers {
        text.push_str(&format!("answered: {line}\n"));
    }
    for line in &checked.trouble {
        text.push_str(&format!("cannot work: {line}\n"));
    }
    text
}

/// Whatever it allows, it is one digit at a time: no version of sudo reads more into it.
const OPEN: &str =
    "# Each [0-9] stands for one digit of a time: in a snapshot's name, or of --within. Nothing else is left open.\n";

/// One block for each kind of machine and SSH user, with what it must allow.
fn allow_list(loaded: &Loaded) -> String {
    let mut blocks: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for node in loaded.spec.nodes.values() {
        let Some(target) = &node.target else { continue };
        let place = match node.role {
            NodeRole::Server => "servers",
            NodeRole::Worker => "workers",
        };
        let mut commands = sudoers::of_node(node.role, &node.unit, loaded.spec.distribution);
        if loaded.image_archives.is_some() {
            commands.extend(sudoers::of_archives(loaded.spec.distribution));
        }
        let lines = commands.iter().flat_map(|command| command.sudoers(&target.user));
        blocks.entry((place, &target.user)).or_default().extend(lines);
    }
    for peer in loaded.ssh.peers.values() {
        let target = &peer.route.login.target;
        blocks
            .entry(("peers", &target.user))
            .or_default()
            .extend(of_peers().iter().flat_map(|command| command.sudoers(&target.user)));
    }
    let text = |((place, user), lines): ((&str, &str), BTreeSet<String>)| {
        let open = if lines.iter().any(|line| line.contains("[0-9]")) { OPEN } else { "" };
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        format!(
            "# What Ananke runs as root on {place}, as the SSH user {user}, and nothing else.\n\
             # Put it into /etc/sudoers.d/ananke there, owned by root, mode 0440; check it with `visudo -cf` first.\n{open}{lines}"
        )
    };
    blocks.into_iter().rev().map(text).collect::<Vec<_>>().join("\n")
}
