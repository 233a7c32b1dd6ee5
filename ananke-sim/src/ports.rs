//! Ananke's ports on the world in memory. Calls take virtual time, and fail as the real ones do.

mod cluster;
mod hosts;
mod state;
#[cfg(test)]
mod tests;
mod views;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ananke_core::observation::{ProbeAnswer, UpsReading};
use ananke_core::port::{ErrorKind, PortError, Probes, UpsReads};
use async_trait::async_trait;

pub use state::MemoryState;

use crate::executor::{Sim, lock};
use crate::rng::Rng;
use crate::world::{HttpAnswer, Ms};

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

    async fn latency(&self, label: &str, low: Ms, high: Ms) {
        let nth = self.calls.fetch_add(1, Ordering::Relaxed);
        self.sim.delay(self.rng.between(label, 0, nth, low, high)).await;
    }
}

#[async_trait]
impl Probes for SimPorts {
    async fn get(&self, url: &str) -> Result<ProbeAnswer, PortError> {
        const TRIED: &str = "GET";
        let Some((_, rest)) = url.split_once("://") else {
            return Err(PortError::new(ErrorKind::Invalid, TRIED, url, "no scheme in the URL"));
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.split_once(':').map_or(authority, |(host, _)| host);
        self.latency("probe-latency", 3, 40).await;
        let answer = self.sim.world().http(host, path);
        match answer {
            HttpAnswer::Status(status) => Ok(ProbeAnswer { status, location: None }),
            HttpAnswer::Refused => Err(PortError::new(ErrorKind::Transient, TRIED, url, "connection refused")),
            HttpAnswer::NoAnswer => {
                self.sim.delay(NO_ANSWER).await;
                Err(PortError::new(ErrorKind::Transient, TRIED, url, "no answer within 5 s"))
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
        Ok(UpsReading {
            status: world.ups_status(row).into_iter().map(Into::into).collect(),
            charge_percent: u8::try_from(world.charge(row) / 10).ok(),
        })
    }
}

/// Locks the views; they are only a cache, so a poisoned lock is no loss.
fn views(ports: &SimPorts) -> std::sync::MutexGuard<'_, views::Views> {
    lock(&ports.views)
}
