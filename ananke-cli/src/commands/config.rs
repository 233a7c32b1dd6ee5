//! `config`: check it, print every key, print what the nodes must allow.

use std::collections::{BTreeMap, BTreeSet};

use ananke_core::spec::NodeRole;
use ananke_ssh::command::{of_peers, sudoers};
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
            print(Format::Text, &(), |()| allow_list(&loaded))?;
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

/// Whatever it allows, it is one digit at a time: no version of sudo reads more into it.
const OPEN: &str = "# Each [0-9] stands for one digit of the time in a snapshot's name; nothing else is left open.\n";

/// One block for each kind of machine and SSH user, with what it must allow.
fn allow_list(loaded: &Loaded) -> String {
    let mut blocks: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for node in loaded.spec.nodes.values() {
        let Some(target) = &node.target else { continue };
        let place = match node.role {
            NodeRole::Server => "servers",
            NodeRole::Worker => "workers",
        };
        let commands = sudoers::of_node(node.role, &node.unit, loaded.spec.distribution);
        let lines = commands.iter().flat_map(|command| command.sudoers(&target.user));
        blocks.entry((place, &target.user)).or_default().extend(lines);
    }
    for peer in loaded.ssh.peers.values() {
        let target = &peer.route.login.target;
        blocks.entry(("peers", &target.user)).or_default().extend(of_peers().iter().flat_map(|command| command.sudoers(&target.user)));
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
