//! What the adapter must be told: where the hosts are, who we are, whom we believe, and how long each step may take.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ananke_core::name::NodeName;
use ananke_core::spec::SshTarget;

use crate::pin::Pin;

/// Everything the adapter knows of the outside; it reads no environment and no `~/.ssh/config`.
#[derive(Debug, Clone)]
pub struct SshSettings {
    pub targets: BTreeMap<NodeName, SshTarget>,
    /// Private key, readable by its owner only. One with a passphrase is used through the agent; without a file, the
    /// agent's keys are.
    pub identity_file: Option<PathBuf>,
    /// Socket of the SSH agent.
    pub agent: Option<PathBuf>,
    /// OpenSSH `known_hosts`; it is read at every connect, so a correction counts at once.
    pub known_hosts: PathBuf,
    /// Nodes whose key is known by its fingerprint: `known_hosts` is not asked about them.
    pub pins: BTreeMap<NodeName, Pin>,
    /// The host that forwards to the others; where it does not, they are reached directly.
    pub jump: Option<SshTarget>,
    /// From the first packet to the end of the key exchange; a host that accepts and never speaks ends here.
    pub connect_timeout: Duration,
    pub auth_timeout: Duration,
    /// From the request to the end of one command.
    pub run_timeout: Duration,
    /// Hosts that are worked on at the same time.
    pub concurrency: usize,
}

impl SshSettings {
    /// 64 hosts at once keep file descriptors and the start-up burst of a rack in bounds.
    pub const CONCURRENCY: usize = 64;

    /// Settings with the usual limits, without an agent, pins or a jump host.
    pub fn new(targets: BTreeMap<NodeName, SshTarget>, identity_file: impl Into<Option<PathBuf>>, known_hosts: PathBuf) -> Self {
        Self {
            targets,
            identity_file: identity_file.into(),
            agent: None,
            known_hosts,
            pins: BTreeMap::new(),
            jump: None,
            connect_timeout: Duration::from_secs(5),
            auth_timeout: Duration::from_secs(5),
            run_timeout: Duration::from_secs(20),
            concurrency: Self::CONCURRENCY,
        }
    }
}
