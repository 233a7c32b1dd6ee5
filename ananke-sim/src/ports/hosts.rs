//! Hosts over what stands for SSH.

use ananke_core::engine::Permit;
use ananke_core::name::{NodeName, UnitName};
use ananke_core::observation::{HostState, UnitState};
use ananke_core::order::HostOrder;
use ananke_core::port::{ErrorKind, HostActions, HostReads, PortError};
use async_trait::async_trait;

use super::{NO_ANSWER, SimPorts};
use crate::world::{Ms, Power};

/// `systemctl stop` is looked at this often until the unit is down.
const STOP_STEP: Ms = 500;
/// systemd's own patience with a unit that does not stop.
const STOP_LIMIT: Ms = 90_000;

impl SimPorts {
    /// A verified session on the host; the row of the host.
    async fn connect(&self, node: &NodeName, tried: &str) -> Result<usize, PortError> {
        let fail = |kind, found: &str| PortError::new(kind, tried, node, found);
        let (row, power, sshd, changed) = {
            let world = self.sim.world();
            let row = world.node_row(node).ok_or_else(|| fail(ErrorKind::Invalid, "no such host in the config"))?;
            let host = &world.hosts()[row];
            (row, host.power, host.sshd, host.key_changed)
        };
        if power != Power::Up {
            self.sim.delay(NO_ANSWER).await;
            return Err(fail(ErrorKind::Transient, "no answer within 5 s"));
        }
        self.latency("ssh-latency", 50, 300).await;
        if !sshd {
            return Err(fail(ErrorKind::Transient, "connection refused on port 22"));
        }
        if changed {
            let remedy = format!(
                "compare the key on the console of {node} (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub); if it is right: ssh-keygen -R {node} && ssh-keyscan -t ed25519 {node} >> known_hosts"
            );
            return Err(fail(ErrorKind::Untrusted, "the host key is not the one in known_hosts").with_remedy(remedy));
        }
        Ok(row)
    }
}

#[async_trait]
impl HostReads for SimPorts {
    async fn inspect(&self, node: &NodeName, unit: &UnitName) -> Result<HostState, PortError> {
        let row = self.connect(node, "ssh").await?;
        let world = self.sim.world();
        let host = &world.hosts()[row];
        if host.power != Power::Up {
            return Err(PortError::new(ErrorKind::Transient, "ssh", node, "connection lost"));
        }
        Ok(HostState {
            boot_id: host.boot_id.clone(),
            machine_id: host.machine_id.clone(),
            uptime: world.wall_span(world.now() - host.booted_at),
            clock_skew_millis: host.skew,
            unit: if same_unit(unit, &host.unit) { host.unit_state } else { UnitState::NotFound },
        })
    }
}

#[async_trait]
impl HostActions for SimPorts {
    async fn perform(&self, node: &NodeName, order: &HostOrder, _permit: &Permit) -> Result<(), PortError> {
        let (unit, tried) = match order {
            HostOrder::Start(unit) => (unit, "systemctl start --no-block"),
            HostOrder::Stop(unit) => (unit, "systemctl stop"),
        };
        let row = self.connect(node, tried).await?;
        let failed = |kind, found: String| PortError::new(kind, tried, node, found);
        {
            let mut world = self.sim.world();
            if !same_unit(unit, &world.hosts()[row].unit) {
                return Err(failed(ErrorKind::Missing, format!("unit {unit} not found")));
            }
            match order {
                HostOrder::Start(_) => world.unit_start(node),
                HostOrder::Stop(_) => world.unit_stop(node),
            }
            .map_err(|found| failed(ErrorKind::Transient, found))?;
        }
        if matches!(order, HostOrder::Start(_)) {
            return Ok(());
        }
        for _ in 0..STOP_LIMIT / STOP_STEP {
            match self.sim.world().hosts()[row].unit_state {
                UnitState::Inactive | UnitState::Failed | UnitState::NotFound => return Ok(()),
                UnitState::Active | UnitState::Activating | UnitState::Deactivating => {}
            }
            self.sim.delay(STOP_STEP).await;
        }
        Err(failed(ErrorKind::Transient, format!("unit {unit} is still stopping after 90 s")))
    }
}

fn same_unit(asked: &UnitName, found: &UnitName) -> bool {
    let asked = asked.as_str();
    asked.strip_suffix(".service").unwrap_or(asked) == found.as_str()
}
