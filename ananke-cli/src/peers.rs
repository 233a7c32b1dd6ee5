//! Other Anankes of the cluster, asked over SSH with the same identity and the same known hosts as the nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use ananke_core::intent::Intent;
use ananke_core::name::NodeName;
use ananke_core::port::{Clock, ErrorKind, PeerReads, PortError};
use ananke_ssh::SshHosts;
use async_trait::async_trait;

use crate::config::Ssh;
use crate::wire;

#[derive(Debug)]
pub(crate) struct SshPeers {
    /// The name under which the pool keeps each peer, by its name in the config.
    names: BTreeMap<Arc<str>, NodeName>,
    hosts: SshHosts,
}

impl SshPeers {
    pub(crate) fn new(ssh: &Ssh, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        // The config took only hosts that are such names.
        let named = ssh.peers.iter().filter_map(|(peer, target)| Some((peer, NodeName::parse(&target.host).ok()?, target)));
        let names = named.clone().map(|(peer, name, _)| (peer.clone(), name)).collect();
        let targets = named.map(|(_, name, target)| (name, target.clone())).collect();
        Ok(Self { names, hosts: SshHosts::new(wire::ssh(ssh, targets), clock)? })
    }
}

#[async_trait]
impl PeerReads for SshPeers {
    async fn intent(&self, peer: &str) -> Result<Option<Intent>, PortError> {
        match self.names.get(peer) {
            Some(name) => self.hosts.intent(name).await,
            None => Err(PortError::new(ErrorKind::Missing, "ask the peer", peer, "it is not in coordination.peer_hosts")),
        }
    }
}
