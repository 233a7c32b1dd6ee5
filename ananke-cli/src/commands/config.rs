//! `config`: check it, print every key, print what the nodes must allow.

use std::collections::{BTreeMap, BTreeSet};

use ananke_core::name::SnapshotName;
use ananke_core::spec::{NodeRole, NodeSpec};
use ananke_ssh::command::Command;
use serde::Serialize;

use super::{print, trust};
use crate::args::{Config, Format};
use crate::config::{self, Loaded, Overrides};
use crate::exit::Exit;
use crate::wire::{self, Failure};

#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    servers: usize,
    workers: usize,
    flux_source: String,
    state_dir: String,
    warnings: Vec<String>,
}

pub(super) async fn run(args: Config) -> Result<Exit, Failure> {
    match args {
        Config::Reference => print(Format::Text, &(), |()| config::reference())?,
        Config::Check { config, output } => {
            let loaded = wire::load(&config.config, &Overrides::default())?;
            let checked = Checked {
                file: config.config.display().to_string(),
                servers: loaded.spec.servers().count(),
                workers: loaded.spec.workers().count(),
                flux_source: loaded.spec.flux.source.to_string(),
                state_dir: loaded.state_dir.display().to_string(),
                warnings: loaded.warnings.clone(),
            };
            print(output.output, &checked, told)?;
        }
        Config::Trust { node, yes, config } => return trust::run(&node, yes, &config).await,
        Config::Sudoers { config } => {
            let loaded = wire::load(&config.config, &Overrides::default())?;
            print(Format::Text, &(), |()| sudoers(&loaded))?;
        }
    }
    Ok(Exit::Done)
}

fn told(checked: &Checked) -> String {
    let mut text = format!(
        "{} is valid: {} servers, {} workers, source {}, state in {}\n",
        checked.file, checked.servers, checked.workers, checked.flux_source, checked.state_dir
    );
    for warning in &checked.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

/// A snapshot's name as a shutdown gives it: what differs between two of them is the digits of their time.
const SNAPSHOT: &str = "ananke-shutdown-20260314T020611000";

/// Every command that Ananke can send to a node with that unit and role.
fn commands(node: &NodeSpec) -> Vec<Command> {
    let unit = || node.unit.clone();
    let mut commands = vec![
        Command::Start(unit()),
        Command::Stop(unit()),
        Command::Restart(unit()),
        Command::KillPods(unit()),
        Command::PowerOff,
    ];
    if node.role == NodeRole::Server {
        commands.push(Command::ListSnapshots);
        commands.extend(SnapshotName::parse(SNAPSHOT).ok().map(Command::SaveSnapshot));
    }
    commands
}

/// One block for each kind of machine and SSH user, with what it must allow.
fn sudoers(loaded: &Loaded) -> String {
    let mut blocks: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for node in loaded.spec.nodes.values() {
        let Some(target) = &node.target else { continue };
        let place = match node.role {
            NodeRole::Server => "servers",
            NodeRole::Worker => "workers",
        };
        let lines = commands(node).into_iter().filter_map(|command| command.sudoers(&target.user));
        blocks.entry((place, &target.user)).or_default().extend(lines);
    }
    for target in loaded.ssh.peers.values() {
        blocks.entry(("peers", &target.user)).or_default().extend(Command::PeerIntent.sudoers(&target.user));
    }
    let text = |((place, user), lines): ((&str, &str), BTreeSet<String>)| {
        let lines: Vec<String> = lines.into_iter().collect();
        format!("# on {place}, for the SSH user {user}, e.g. in /etc/sudoers.d/ananke\n{}\n", lines.join("\n"))
    };
    blocks.into_iter().rev().map(text).collect::<Vec<_>>().join("\n")
}
