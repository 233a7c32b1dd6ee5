//! What the adapter must be told: where the hosts are, who we are, whom we believe, and how long each step may take.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ananke_core::name::NodeName;
use ananke_core::spec::SshTarget;

/// Everything the adapter knows of the outside; it reads no environment and no `~/.ssh/config`.
#[derive(Debug, Clone)]
pub struct SshSettings {
    pub targets: BTreeMap<NodeName, SshTarget>,
    /// Unencrypted private key in OpenSSH format, readable by its owner only.
    pub identity_file: PathBuf,
    /// OpenSSH `known_hosts`; it is read at every connect, so a correction counts at once.
    pub known_hosts: PathBuf,
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

    /// Settings with the usual limits.
    pub fn new(targets: BTreeMap<NodeName, SshTarget>, identity_file: PathBuf, known_hosts: PathBuf) -> Self {
        Self {
            targets,
            identity_file,
            known_hosts,
            connect_timeout: Duration::from_secs(5),
            auth_timeout: Duration::from_secs(5),
            run_timeout: Duration::from_secs(20),
            concurrency: Self::CONCURRENCY,
        }
    }
}
