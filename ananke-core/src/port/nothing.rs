//! A port for what is not there: for embedders, and wherever the config names none. It is never asked unless the
//! [`crate::spec::Spec`] speaks of such a thing.

use async_trait::async_trait;

use super::{
    ErrorKind, MachineReads, PeerReads, PortError, PowerActions, ProbeRequest, Probes, UpsReads, VaultActions, VaultReads,
};
use crate::engine::Permit;
use crate::intent::Intent;
use crate::name::{MacAddress, NodeName};
use crate::observation::{ProbeAnswer, UpsReading, VaultState};

/// No UPS, no peer, no Vault, no way to make HTTP requests, and no word of this machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

fn absent<T>(tried: &str, on: &str) -> Result<T, PortError> {
    Err(PortError::new(ErrorKind::Missing, tried, on, "there is nothing to ask"))
}

#[async_trait]
impl Probes for Nothing {
    async fn ask(&self, request: &ProbeRequest) -> Result<ProbeAnswer, PortError> {
        absent("ask", &request.url)
    }
}

#[async_trait]
impl UpsReads for Nothing {
    async fn read(&self, ups: &str) -> Result<UpsReading, PortError> {
        absent("read the UPS", ups)
    }
}

#[async_trait]
impl MachineReads for Nothing {
    async fn clock_synced(&self) -> Result<Option<bool>, PortError> {
        Ok(None)
    }
}

#[async_trait]
impl PeerReads for Nothing {
    async fn intent(&self, peer: &str) -> Result<Option<Intent>, PortError> {
        absent("ask the peer", peer)
    }
}

#[async_trait]
impl PowerActions for Nothing {
    async fn wake(&self, node: &NodeName, _: &MacAddress, _: &Permit) -> Result<(), PortError> {
        absent("wake", node.as_str())
    }
}

#[async_trait]
impl VaultReads for Nothing {
    async fn seal_status(&self) -> Result<VaultState, PortError> {
        absent("ask", "Vault")
    }
}

#[async_trait]
impl VaultActions for Nothing {
    async fn unseal(&self, _: &Permit) -> Result<(), PortError> {
        absent("unseal", "Vault")
    }
}
