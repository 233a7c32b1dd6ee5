//! Hosts over what stands for SSH.

use std::sync::Arc;

use ananke_core::doctor::map::{HostFacts, Mount};
use ananke_core::engine::Permit;
use ananke_core::name::{NodeName, UnitName};
use ananke_core::observation::{HostState, SnapshotState, UnitState};
use ananke_core::order::HostOrder;
use ananke_core::port::{ErrorKind, HostActions, HostReads, PortError};
use ananke_core::spec::HostNeeds;
use ananke_core::verdict::Reason;
use async_trait::async_trait;

use super::{NO_ANSWER, SimPorts};
use crate::world::{MOUNTS, Manner, Ms, RESOLVER, World};

/// `systemctl stop` is looked at this often until the unit is down.
const STOP_STEP: Ms = 500;
/// systemd's own patience with a unit that does not stop.
const STOP_LIMIT: Ms = 90_000;
/// Ananke's own patience with one command.
const COMMAND_LIMIT: Ms = 20_000;
/// Ending some dozens of containers and unmounting their volumes takes this long, and so does a snapshot.
const WORK: (Ms, Ms) = (2_000, 9_000);

impl SimPorts {
    /// A verified session on the host; the row of the host.
    async fn connect(&self, node: &NodeName, tried: &str) -> Result<usize, PortError> {
        let fail = |kind, found: &str| PortError::new(kind, tried, node, found);
        let (row, reached, sshd, changed) = {
            let world = self.sim.world();
            let row = world.node_row(node).ok_or_else(|| fail(ErrorKind::Invalid, "no such host in the config"))?;
            let host = &world.hosts()[row];
            (row, host.is_reached(), host.sshd, host.key_changed)
        };
        if !reached {
            self.sim.delay(NO_ANSWER).await;
            return Err(fail(ErrorKind::Transient, "no answer within 5 s"));
        }
        self.latency("ssh-latency", 50, 300).await;
        if !sshd {
            return Err(fail(ErrorKind::Transient, "connection refused on port 22").with_reason(Reason::SshRefused));
        }
        if changed {
            let remedy = format!(
                "compare the key on the console of {node} (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub); if it is right: ssh-keygen -R {node} && ssh-keyscan -t ed25519 {node} >> known_hosts"
            );
            return Err(fail(ErrorKind::Untrusted, "the host key is not the one in known_hosts").with_remedy(remedy));
        }
        Ok(row)
    }

    /// How the host's way with sessions ends a command, after it was carried out.
    async fn answered(&self, row: usize, tried: &str, node: &NodeName) -> Result<(), PortError> {
        let manner = self.sim.world().hosts()[row].manner;
        match manner {
            Manner::Usual | Manner::Noisy | Manner::AsksPassword => Ok(()),
            Manner::Stalls => {
                self.sim.delay(COMMAND_LIMIT).await;
                let found = "the command did not end within 20.0 s";
                Err(PortError::new(ErrorKind::Transient, tried, node, found).with_reason(Reason::SshBroken))
            }
            Manner::Cuts => {
                let found = "the connection broke before the command ended";
                Err(PortError::new(ErrorKind::Transient, tried, node, found).with_reason(Reason::SshBroken))
            }
        }
    }

    /// What needs root is refused where sudo asks for a password.
    fn may(&self, row: usize, tried: &str, node: &NodeName) -> Result<(), PortError> {
        if self.sim.world().hosts()[row].manner != Manner::AsksPassword {
            return Ok(());
        }
        let error = PortError::new(ErrorKind::Denied, tried, node, "sudo: a password is required");
        Err(error.with_remedy("add the lines of `ananke config sudoers` to the host's sudoers"))
    }

    async fn until_stopped(&self, row: usize) -> Result<(), String> {
        for _ in 0..STOP_LIMIT / STOP_STEP {
            match self.sim.world().hosts()[row].unit_state {
                UnitState::Inactive | UnitState::Failed | UnitState::NotFound => return Ok(()),
                UnitState::Active | UnitState::Activating | UnitState::Deactivating => {}
            }
            self.sim.delay(STOP_STEP).await;
        }
        Err("the unit is still stopping after 90 s".to_owned())
    }
}

/// The end of the log of a unit that does not run, as an inspection reads it.
fn logged(world: &World, row: usize) -> Vec<Arc<str>> {
    let ended = world.hosts()[row].unit_state != UnitState::Active;
    world.last_words(row).filter(|_| ended).map_or_else(Vec::new, |words| words.lines().map(Into::into).collect())
}

#[async_trait]
impl HostReads for SimPorts {
    async fn inspect(&self, node: &NodeName, unit: &UnitName, needs: &HostNeeds) -> Result<HostState, PortError> {
        let row = self.connect(node, "ssh").await?;
        self.answered(row, "ssh", node).await?;
        let world = self.sim.world();
        let host = &world.hosts()[row];
        if !host.is_reached() {
            return Err(PortError::new(ErrorKind::Transient, "ssh", node, "connection lost"));
        }
        Ok(HostState {
            boot_id: host.boot_id.clone(),
            machine_id: host.machine_id.as_ref().to_owned(),
            uptime: world.wall_span(world.now() - host.booted_at),
            clock_skew_millis: host.skew,
            unit: if same_unit(unit, &host.unit) { host.unit_state } else { UnitState::NotFound },
            health: host.lacks(needs),
            leftovers: world.leftovers(row),
            words: logged(&world, row),
        })
    }

    async fn snapshots(&self, node: &NodeName) -> Result<Vec<SnapshotState>, PortError> {
        const TRIED: &str = "list etcd snapshots";
        let row = self.connect(node, TRIED).await?;
        self.may(row, TRIED, node)?;
        self.answered(row, TRIED, node).await?;
        let world = self.sim.world();
        let host = &world.hosts()[row];
        if !host.server {
            return Err(PortError::new(ErrorKind::Missing, TRIED, node, "no etcd runs there"));
        }
        if host.unit_state != UnitState::Active {
            return Err(PortError::new(ErrorKind::Transient, TRIED, node, "k3s does not answer: connection refused"));
        }
        Ok(host.snapshots.clone())
    }

    async fn settings(&self, node: &NodeName) -> Result<HostFacts, PortError> {
        const TRIED: &str = "read the host's settings";
        let row = self.connect(node, TRIED).await?;
        self.answered(row, TRIED, node).await?;
        let mounts = MOUNTS.iter().map(|(source, path)| Mount { source: (*source).into(), path: (*path).into() }).collect();
        Ok(HostFacts { clock_synced: None, nameservers: RESOLVER.parse().into_iter().collect(), mounts })
    }
}

#[async_trait]
impl HostActions for SimPorts {
    async fn perform(&self, node: &NodeName, order: &HostOrder, _permit: &Permit) -> Result<(), PortError> {
        let tried = match order {
            HostOrder::Start(_) => "systemctl start --no-block",
            HostOrder::Stop(_) => "systemctl stop",
            HostOrder::Restart(_) => "systemctl restart --no-block",
            HostOrder::KillPods(_) => "end leftover containers",
            HostOrder::SaveSnapshot(_) => "k3s etcd-snapshot save",
            HostOrder::LoadImages(_) => "k3s ctr images import",
            HostOrder::Reboot => "systemctl reboot",
            HostOrder::PowerOff => "systemctl poweroff",
            HostOrder::PowerOffNow => "systemctl poweroff --force",
        };
        let row = self.connect(node, tried).await?;
        self.may(row, tried, node)?;
        let failed = |found: String| PortError::new(ErrorKind::Transient, tried, node, found);
        match order {
            HostOrder::KillPods(_) | HostOrder::SaveSnapshot(_) | HostOrder::LoadImages(_) => {
                self.latency("host-work", WORK.0, WORK.1).await
            }
            HostOrder::Start(_)
            | HostOrder::Stop(_)
            | HostOrder::Restart(_)
            | HostOrder::Reboot
            | HostOrder::PowerOff
            | HostOrder::PowerOffNow => {}
        }
        if let HostOrder::Start(unit) | HostOrder::Stop(unit) | HostOrder::Restart(unit) | HostOrder::KillPods(unit) = order
            && !same_unit(unit, &self.sim.world().hosts()[row].unit)
        {
            return Err(PortError::new(ErrorKind::Missing, tried, node, format!("unit {unit} not found")));
        }
        carry_out(&mut self.sim.world(), node, order).map_err(failed)?;
        self.answered(row, tried, node).await?;
        match order {
            HostOrder::Stop(_) => self.until_stopped(row).await.map_err(failed),
            HostOrder::Start(_)
            | HostOrder::Restart(_)
            | HostOrder::KillPods(_)
            | HostOrder::SaveSnapshot(_)
            | HostOrder::LoadImages(_)
            | HostOrder::Reboot
            | HostOrder::PowerOff
            | HostOrder::PowerOffNow => Ok(()),
        }
    }
}

fn carry_out(world: &mut World, node: &NodeName, order: &HostOrder) -> Result<(), String> {
    world.is_told(node, order);
    match order {
        HostOrder::Start(_) => world.unit_start(node),
        HostOrder::Stop(_) => world.unit_stop(node),
        HostOrder::Restart(_) => world.unit_restart(node),
        HostOrder::KillPods(_) => world.kill_pods(node),
        HostOrder::SaveSnapshot(name) => world.save_snapshot(node, name),
        HostOrder::LoadImages(name) => world.load_archive(node, name),
        HostOrder::Reboot => world.reboot(node),
        HostOrder::PowerOff => world.power_off(node, false),
        HostOrder::PowerOffNow => world.power_off(node, true),
    }
}

fn same_unit(asked: &UnitName, found: &UnitName) -> bool {
    let asked = asked.as_str();
    asked.strip_suffix(".service").unwrap_or(asked) == found.as_str()
}
