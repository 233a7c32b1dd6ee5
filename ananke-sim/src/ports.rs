//! Ananke's ports on the world in memory. Calls take virtual time, and fail as the real ones do.

mod cluster;
mod half_alive;
mod hosts;
#[cfg(feature = "serve")]
mod layers;
mod leases;
mod map;
mod mortal;
mod storage_views;
#[cfg(test)]
mod tests;
mod views;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ananke_core::engine::{Hands, Permit, Reads};
use ananke_core::intent::Intent;
use ananke_core::name::{MacAddress, NodeName};
use ananke_core::observation::{ProbeAnswer, UpsReading, VaultState};
use ananke_core::port::probe::RawAnswer;
use ananke_core::port::{
    Clock, ErrorKind, MachineReads, PeerReads, PortError, PowerActions, ProbeRequest, Probes, StateReads, StateWrites, UpsReads,
    VaultActions, VaultReads,
};
use ananke_core::spec::ProbeMethod;
use async_trait::async_trait;

pub use ananke_core::port::memory::{Kept, MemoryState};
pub use mortal::{Mortal, Side};
#[cfg(feature = "serve")]
pub(crate) use views::said;

use crate::executor::{Sim, lock};
use crate::rng::Rng;
use crate::world::{HttpAnswer, Ms, Quirk};

/// Every port but the state and the clock.
#[derive(Debug)]
pub struct SimPorts {
    sim: Sim,
    rng: Rng,
    calls: AtomicU64,
    views: Mutex<views::Views>,
}

/// A connection to a dark host is given up after this long.
const NO_ANSWER: Ms = 5_000;

impl SimPorts {
    pub fn new(sim: &Sim) -> Self {
        let rng = sim.world().rng;
        Self { sim: sim.clone(), rng, calls: AtomicU64::new(0), views: Mutex::default() }
    }

    /// This world, and `state`, as the ports of a run that looks.
    pub fn reads<'a>(&'a self, clock: &'a dyn Clock, state: &'a dyn StateReads) -> Reads<'a> {
        let (cluster, hosts, probes, ups, machine, peers, vault) = (self, self, self, self, self, self, self);
        Reads { clock, cluster, hosts, probes, ups, machine, peers, vault, state }
    }

    /// The same for a run that acts.
    pub fn hands<'a>(&'a self, state: &'a dyn StateWrites) -> Hands<'a> {
        Hands { cluster: self, hosts: self, vault: self, power: self, state }
    }

    async fn latency(&self, label: &str, low: Ms, high: Ms) {
        let nth = self.calls.fetch_add(1, Ordering::Relaxed);
        self.sim.delay(self.rng.between(label, 0, nth, low, high)).await;
    }
}

#[async_trait]
impl Probes for SimPorts {
    async fn ask(&self, request: &ProbeRequest) -> Result<ProbeAnswer, PortError> {
        let (tried, url): (_, &str) = (request.method.to_string(), &request.url);
        let failed = |kind, found| PortError::new(kind, &tried, url, found);
        let Some((_, rest)) = url.split_once("://") else {
            return Err(failed(ErrorKind::Invalid, "no scheme in the URL"));
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.split_once(':').map_or(authority, |(host, _)| host);
        self.latency("probe-latency", 3, 40).await;
        let answer = self.sim.world().http(host, path);
        match answer {
            HttpAnswer::Page(page) => {
                let headers: Vec<_> = page.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                let body = if request.method == ProbeMethod::Head { "" } else { &page.body };
                Ok(request.keep(&RawAnswer { status: page.status, headers: &headers, body: body.as_bytes() }))
            }
            HttpAnswer::Refused => Err(failed(ErrorKind::Transient, "connection refused")),
            HttpAnswer::NoAnswer => {
                self.sim.delay(NO_ANSWER).await;
                Err(failed(ErrorKind::Transient, "no answer within 5 s"))
            }
        }
    }
}

#[async_trait]
impl UpsReads for SimPorts {
    async fn read(&self, ups: &str) -> Result<UpsReading, PortError> {
        self.latency("ups-latency", 1, 10).await;
        let name = ups.split_once('@').map_or(ups, |(name, _)| name);
        let world = self.sim.world();
        let Some(row) = world.upses().iter().find(|row| &*row.name == name) else {
            return Err(PortError::new(ErrorKind::Missing, "read the UPS", ups, "upsd says UNKNOWN-UPS"));
        };
        if row.has(Quirk::Silent) {
            return Err(PortError::new(ErrorKind::Transient, "read the UPS", ups, "upsd says DATA-STALE"));
        }
        Ok(UpsReading {
            status: world.ups_status(row).into_iter().map(Into::into).collect(),
            charge_percent: u8::try_from(world.charge(row) / 10).ok(),
            runtime: Some(world.wall_span(world.claimed_runtime(row))),
        })
    }
}

#[async_trait]
impl MachineReads for SimPorts {
    async fn clock_synced(&self) -> Result<Option<bool>, PortError> {
        Ok(Some(true))
    }
}

/// There is one Ananke only.
#[async_trait]
impl PeerReads for SimPorts {
    async fn intent(&self, peer: &str) -> Result<Option<Intent>, PortError> {
        Err(PortError::new(ErrorKind::Missing, "ask the peer", peer, "there is no such peer"))
    }
}

#[async_trait]
impl VaultReads for SimPorts {
    async fn seal_status(&self) -> Result<VaultState, PortError> {
        self.latency("vault-latency", 3, 40).await;
        let state = self.sim.world().vault_state();
        state.ok_or_else(|| PortError::new(ErrorKind::Transient, "ask for the seal status", "Vault", "connection refused"))
    }
}

#[async_trait]
impl VaultActions for SimPorts {
    async fn unseal(&self, _: &Permit) -> Result<(), PortError> {
        self.latency("vault-latency", 200, 900).await;
        match self.sim.world().unseal_vault() {
            true => Ok(()),
            false => Err(PortError::new(ErrorKind::Transient, "unseal", "Vault", "connection refused")),
        }
    }
}

#[async_trait]
impl PowerActions for SimPorts {
    async fn wake(&self, _: &NodeName, mac: &MacAddress, _: &Permit) -> Result<(), PortError> {
        self.sim.world().wake_on_lan(mac);
        Ok(())
    }
}

/// Locks the views; they are only a cache, so a poisoned lock is no loss.
fn views(ports: &SimPorts) -> std::sync::MutexGuard<'_, views::Views> {
    lock(&ports.views)
}
