//! `doctor`: what would keep the cluster from coming back, found while it is well; and `snapshot`, which keeps what it looked
//! at in a file. Both only look.

mod text;

use std::path::Path;

use ananke_core::doctor::{ClusterMap, Examination, dot, examine, svg};
use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::name::Moment;
use ananke_core::port::{Clock, HostReads, MapReads, PortError};
use ananke_core::spec::Transport;
use futures::future::join_all;
use serde::Serialize;

use super::{print, put};
use crate::args::{self, DoctorFormat, Format};
use crate::config::{Loaded, Overrides};
use crate::exit::Exit;
use crate::state::StateDir;
use crate::state::snapshot::{self, Look, Snapshot};
use crate::terminal;
use crate::wire::{self, Adapters, Failure};

/// Where the config is, if nothing else is said.
const CONFIG: &str = "/etc/ananke/ananke.yaml";

pub(super) const NO_SNAPSHOT: &str = "name a file that `ananke snapshot -o FILE` wrote";

/// What JSON has: how large the cluster is, and all that was found.
#[derive(Debug, Serialize)]
struct Diagnosis<'a> {
    nodes: usize,
    workloads: usize,
    /// What could not be read.
    unseen: &'a [String],
    #[serde(flatten)]
    found: &'a Examination,
}

pub(super) async fn run(args: args::Doctor) -> Result<Exit, Failure> {
    let config = args.config.as_deref();
    let (map, spec) = match &args.snapshot {
        Some(file) => {
            let loaded = config.map(|path| wire::load(path, &Overrides::default())).transpose()?;
            (snapshot::read(file).map_err(Failure::asked(NO_SNAPSHOT))?.map, loaded.map(|loaded| loaded.spec))
        }
        None => {
            let (loaded, adapters) = adapters(config).await?;
            (map(&loaded, &adapters).await.map_err(Failure::of_cluster)?, Some(loaded.spec))
        }
    };
    let found = examine(&map, spec.as_ref());
    let told = Diagnosis { nodes: map.nodes.len(), workloads: map.workloads.len(), unseen: &map.unseen, found: &found };
    match args.output {
        DoctorFormat::Text => print(Format::Text, &told, text::told)?,
        DoctorFormat::Json => print(Format::Json, &told, text::told)?,
        DoctorFormat::Dot => put(&dot::draw(&found.circles)),
        DoctorFormat::Svg => put(&svg::draw(&found.circles)),
    }
    Ok(if found.is_clean() { Exit::Done } else { Exit::NotInTime })
}

pub(super) async fn keep(args: args::Snapshot) -> Result<Exit, Failure> {
    let (loaded, adapters) = adapters(Some(&args.config.config)).await?;
    let map = map(&loaded, &adapters).await.map_err(Failure::of_cluster)?;
    let told = format!("{} nodes and {} workloads are in {}", map.nodes.len(), map.workloads.len(), args.output.display());
    let unseen: String = map.unseen.iter().map(|line| format!("\nnot seen: {line}")).collect();
    // Last, since what the gates rest on ages within seconds.
    let look = Some(look(loaded, &adapters).await?);
    let snapshot = Snapshot { taken: adapters.clock.now(), map, look };
    snapshot::write(&args.output, &snapshot).map_err(Failure::asked("name another file with -o"))?;
    put(&terminal::plain(&format!("{told}{unseen}\n")));
    Ok(Exit::Done)
}

/// One look with the gates of a start-up, as `status` takes it.
async fn look(loaded: Loaded, adapters: &Adapters) -> Result<Look, PortError> {
    let reads = adapters.reads();
    let intent = reads.state.intent().await?;
    let walk = engine::status(loaded.spec, reads.clock.now(), intent.as_ref());
    let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
    let (_, walk) = engine::look(walk, reads, &mut silent).await;
    Ok(Look { spec: walk.spec, seen: walk.obs })
}

async fn adapters(config: Option<&Path>) -> Result<(Loaded, Adapters), Failure> {
    let loaded = wire::load(config.unwrap_or(Path::new(CONFIG)), &Overrides::default())?;
    let adapters = Adapters::new(&loaded, StateDir::open_read_only(&loaded.state_dir)?).await?;
    Ok((loaded, adapters))
}

/// The cluster's own word, and that of every host that the config knows a way to.
async fn map(loaded: &Loaded, adapters: &Adapters) -> Result<ClusterMap, PortError> {
    let mut map = adapters.cluster().map().await?;
    let reached = loaded.spec.nodes.iter().filter(|(_, node)| node.transport == Transport::Ssh && node.target.is_some());
    let each = reached.map(|(name, node)| async move {
        let mut facts = adapters.hosts().settings(name).await?;
        facts.clock_synced = adapters.hosts().inspect(name, &node.unit, &node.needs).await?.health.clock_synced;
        Ok::<_, PortError>((name.clone(), facts))
    });
    for facts in join_all(each).await {
        match facts {
            Ok((name, facts)) => {
                map.hosts.insert(name, facts);
            }
            Err(error) => map.unseen.push(error.to_string()),
        }
    }
    Ok(map)
}
