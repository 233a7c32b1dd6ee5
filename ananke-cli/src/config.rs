//! The config: layers by figment, keys checked by hand, everything parsed once into types.
//!
//! It reads nothing but the files it is told of: host name and environment are given. It connects to nothing; whether a
//! host answers is a gate's question.

mod bootstrap;
mod build;
mod error;
mod example;
mod files;
mod hosts;
mod http;
mod keys;
mod layers;
mod notify;
mod power;
mod reader;
mod remedies;
mod schema;
mod shutdown;
mod ssh;
mod storage;
mod text;
mod update;
mod yaml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ananke_core::spec::Spec;

pub use self::http::{Http, Reach, VaultSettings};
pub use crate::nut::Nut;
pub(crate) use error::suggest;
pub use error::{ConfigError, Place, Problem};
pub(crate) use example::{Found, example};
pub(crate) use files::{nobody_elses, private, trusted};
pub use notify::{Channel, Notify, Post};
pub use ssh::{Peer, Ssh};
pub use text::HostPort;
pub(crate) use text::host_and_port;
pub use update::{Remote, Update};

use layers::Layers;
use reader::Reader;

const HOW_TO_CREATE: &str = "start from what `ananke config reference` prints, or name another file with --config";

/// The machine that Ananke runs on, as far as the config depends on it.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Host name: the holder of leases.
    pub name: String,
    /// `HOME`, `SSH_AUTH_SOCK` and `ANANKE_CONFIG__*` are looked at.
    pub env: BTreeMap<String, String>,
}

/// Flags that outrank every other layer.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub allow_on_battery: bool,
    pub allow_peer_startup: bool,
    pub force_flux_branch: Option<String>,
    pub skip_drain: bool,
    pub skip_etcd_snapshot: bool,
    /// `--mode poweroff`.
    pub poweroff: bool,
    /// `--within`.
    pub within: Option<std::time::Duration>,
}

/// What the daemon of a peer does where no other Ananke can.
#[derive(Debug, Clone, Copy)]
pub struct Alone {
    pub shutdown: bool,
    pub startup: bool,
}

/// A config that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub spec: Spec,
    pub kubeconfig: PathBuf,
    /// Addresses of other servers of its cluster.
    pub api_servers: Vec<String>,
    pub state_dir: PathBuf,
    pub ssh: Ssh,
    /// Directory of the archives of images.
    pub image_archives: Option<PathBuf>,
    pub http: Http,
    pub nut: Nut,
    /// Where magic packets go.
    pub wol_address: SocketAddr,
    /// The host that Ananke runs on goes off too, as the last act of `shutdown --mode poweroff`.
    pub poweroff_this_host: bool,
    /// What a peer does by itself.
    pub alone: Alone,
    /// Where the daemon serves its page and metrics; none: nowhere.
    pub listen: Option<SocketAddr>,
    pub notify: Notify,
    /// None: nothing is updated.
    pub update: Option<Update>,
    /// Sensible, but worth a second look.
    pub warnings: Vec<String>,
}

/// Reads `path` and lays defaults, file, environment and flags over each other.
///
/// Refused: files that other users can write, an identity file that they can read, and every key that is unknown, of the
/// wrong type or impossible. All problems come at once, unless the file is not YAML.
pub fn load(path: &Path, host: &Host, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let text = files::read(path)?;
    let layers = Layers::read(path, &text, host, overrides)?;
    let mut reader = Reader::new(&layers);
    let loaded = build::build(&mut reader, path, host, overrides).map(|mut loaded| {
        files::check(&mut reader, &mut loaded);
        loaded
    });
    let mut problems = reader.finish();
    problems.sort_by_key(|problem| match problem.place {
        Place::Line { line, column, .. } => (line, column),
        Place::File(_) | Place::Variable(_) | Place::Flag | Place::Default => (usize::MAX, 0),
    });
    match loaded {
        Some(loaded) if problems.is_empty() => Ok(loaded),
        Some(_) | None => Err(ConfigError { file: path.to_owned(), problems }),
    }
}

/// The shape of the config as JSON Schema.
pub fn schema() -> serde_json::Value {
    schema::schema()
}

/// A commented example of every key with its default; it loads once its names are the reader's.
pub fn reference() -> String {
    keys::reference()
}
