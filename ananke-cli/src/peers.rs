//! Other Anankes of the cluster, asked over SSH and believed as the nodes are.

use std::collections::BTreeMap;
use std::sync::Arc;

use ananke_core::intent::Intent;
use ananke_core::name::NodeName;
use ananke_core::port::{Clock, ErrorKind, PeerActions, PeerAnswer, PeerReads, PeerRequest, PortError};
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
        let names = ssh.peers.iter().map(|(name, peer)| (name.clone(), peer.host.clone())).collect();
        let routes = ssh.peers.values().map(|peer| (peer.host.clone(), peer.route.clone())).collect();
        Ok(Self { names, hosts: SshHosts::new(wire::ssh(ssh, routes), clock)? })
    }

    fn name(&self, peer: &str) -> Result<&NodeName, PortError> {
        let unknown = || PortError::new(ErrorKind::Missing, "ask the peer", peer, "it is not in coordination.peer_hosts");
        self.names.get(peer).ok_or_else(unknown)
    }
}

#[async_trait]
impl PeerReads for SshPeers {
    async fn intent(&self, peer: &str) -> Result<Option<Intent>, PortError> {
        self.hosts.intent(self.name(peer)?).await
    }
}

#[async_trait]
impl PeerActions for SshPeers {
    async fn ask(&self, peer: &str, request: PeerRequest) -> Result<PeerAnswer, PortError> {
        self.hosts.ask(self.name(peer)?, request).await
    }
}
