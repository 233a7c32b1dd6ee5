//! `config`: check it, print every key, print what the nodes must allow.

use std::collections::{BTreeMap, BTreeSet};

use ananke_core::order::HostOrder;
use ananke_ssh::command::Command;
use serde::Serialize;

use super::print;
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

pub(super) fn run(args: Config) -> Result<Exit, Failure> {
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

/// One block for each SSH user, with the commands that its nodes' units need.
fn sudoers(loaded: &Loaded) -> String {
    let mut lines: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for node in loaded.spec.nodes.values() {
        let Some(target) = &node.target else { continue };
        for order in [HostOrder::Start(node.unit.clone()), HostOrder::Stop(node.unit.clone())] {
            lines.entry(&target.user).or_default().extend(Command::of(&order).sudoers(&target.user));
        }
    }
    let blocks = lines.into_iter().map(|(user, lines)| {
        let lines: Vec<String> = lines.into_iter().collect();
        format!("# for the SSH user {user}, e.g. in /etc/sudoers.d/ananke\n{}\n", lines.join("\n"))
    });
    blocks.collect()
}
