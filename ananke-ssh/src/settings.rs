//! What the adapter must be told: where the hosts are, who we are, whom we believe, and how long each step may take.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ananke_core::name::NodeName;
use ananke_core::spec::SshTarget;

use crate::pin::Pin;

/// A machine to log in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub target: SshTarget,
    /// Private key, readable by its owner only. One with a passphrase is used through the agent; without a file, the
    /// agent's keys are.
    pub identity_file: Option<PathBuf>,
    /// OpenSSH `known_hosts`; it is read at every connect, so a correction counts at once.
    pub known_hosts: PathBuf,
}

/// A host, and the machine that forwards to it; where that does not, the host is reached directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub login: Login,
    pub jump: Option<Login>,
}

/// Everything the adapter knows of the outside; it reads no environment and no `~/.ssh/config`.
#[derive(Debug, Clone)]
pub struct SshSettings {
    pub routes: BTreeMap<NodeName, Route>,
    /// Socket of the SSH agent.
    pub agent: Option<PathBuf>,
    /// Nodes whose key is known by its fingerprint: `known_hosts` is not asked about them.
    pub pins: BTreeMap<NodeName, Pin>,
    /// Directory of the archives of images that hosts may be sent.
    pub archives: Option<PathBuf>,
    /// From the first packet to the end of the key exchange; a host that accepts and never speaks ends here.
    pub connect_timeout: Duration,
    pub auth_timeout: Duration,
    /// From the request to the end of one command.
    pub run_timeout: Duration,
    /// A connection that nobody used for so long is closed.
    pub idle: Duration,
    /// Hosts that are worked on at the same time.
    pub concurrency: usize,
}

impl SshSettings {
    /// 64 hosts at once keep file descriptors and the start-up burst of a rack in bounds.
    pub const CONCURRENCY: usize = 64;

    /// A rack is asked every few seconds during a run. A daemon looks once in a while, and would hold 100 KiB a host for it.
    pub const IDLE: Duration = Duration::from_secs(60);

    /// Settings with the usual limits, without an agent, pins or archives.
    pub fn new(routes: BTreeMap<NodeName, Route>) -> Self {
        Self {
            routes,
            agent: None,
            pins: BTreeMap::new(),
            archives: None,
            connect_timeout: Duration::from_secs(5),
            auth_timeout: Duration::from_secs(5),
            run_timeout: Duration::from_secs(20),
            idle: Self::IDLE,
            concurrency: Self::CONCURRENCY,
        }
    }

    /// The same for hosts that are all reached directly, with one key and one file of host keys.
    pub fn direct(
        targets: BTreeMap<NodeName, SshTarget>,
        identity_file: impl Into<Option<PathBuf>>,
        known_hosts: PathBuf,
    ) -> Self {
        let identity_file = identity_file.into();
        let login = |target| Login { target, identity_file: identity_file.clone(), known_hosts: known_hosts.clone() };
        Self::new(targets.into_iter().map(|(node, target)| (node, Route { login: login(target), jump: None })).collect())
    }
}
