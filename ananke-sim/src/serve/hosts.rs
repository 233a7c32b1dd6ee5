//! The hosts of the world behind the SSH servers.

use std::sync::Arc;
use std::time::Duration;

use ananke_core::name::{Moment, NodeName, SnapshotName, UnitName};
use ananke_core::observation::{HostHealth, SnapshotState, UnitState};
use ananke_core::spec::HostNeeds;
use async_trait::async_trait;

use super::cluster::Cluster;
use super::host_shell::{self, ExecReply, HostFacts, HostModel};
use super::images;
use super::ssh::{HostBackend, Reach};
use crate::world::{Host, Manner, Node, World};

/// How often a command looks whether the unit that it stops has stopped.
const STOP_LOOK: Duration = Duration::from_millis(20);

/// The longest wait for it; systemd would kill the unit then.
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// All hosts of a cluster.
#[derive(Debug)]
pub struct Hosts(pub Arc<Cluster>);

impl Hosts {
    fn with<T>(&self, node: &NodeName, read: impl FnOnce(&Host) -> T) -> Option<T> {
        self.0.look(|world| world.node_row(node).and_then(|row| world.hosts().get(row)).map(read))
    }
}

#[async_trait]
impl HostBackend for Hosts {
    fn reach(&self, node: &NodeName) -> Reach {
        let seen = self.with(node, |host| match (host.is_reached(), host.sshd) {
            (true, true) => Reach::Answer,
            (true, false) => Reach::Refuse,
            (false, _) => Reach::Dark,
        });
        seen.unwrap_or(Reach::Dark)
    }

    fn host_key_generation(&self, node: &NodeName) -> u32 {
        self.with(node, |host| u32::from(host.key_changed)).unwrap_or(0)
    }

    fn manner(&self, node: &NodeName) -> Manner {
        self.with(node, |host| host.manner).unwrap_or_default()
    }

    async fn exec(&self, node: &NodeName, line: &str, input: &[u8]) -> ExecReply {
        let (reply, stopping) = self.0.act(|world| {
            let found = world.node_row(node).and_then(|row| Some((row, world.hosts().get(row)?.clone())));
            let Some((row, host)) = found else {
                return (ExecReply { exit: 255, ..ExecReply::default() }, false);
            };
            let mut shell = Shell { world, row, host, stopping: false };
            (host_shell::run(line, input, &mut shell), shell.stopping)
        });
        self.0.note(&format!("SSH {node} {} {}", line.chars().take(200).collect::<String>(), reply.exit));
        if stopping {
            self.wait_until_stopped(node).await;
        }
        reply
    }
}

impl Hosts {
    async fn wait_until_stopped(&self, node: &NodeName) {
        let looks = STOP_LIMIT.as_millis() / STOP_LOOK.as_millis();
        for _ in 0..looks {
            let state = self.with(node, |host| host.unit_state);
            if state != Some(UnitState::Deactivating) {
                return;
            }
            tokio::time::sleep(STOP_LOOK).await;
        }
    }
}

struct Shell<'a> {
    world: &'a mut World,
    row: usize,
    /// As it was when the command came.
    host: Host,
    stopping: bool,
}

impl HostModel for Shell<'_> {
    fn facts(&self) -> HostFacts {
        let (now, host) = (self.world.now(), &self.host);
        HostFacts {
            name: host.name.clone(),
            boot_id: host.boot_id.clone(),
            machine_id: host.machine_id.as_ref().to_owned(),
            uptime: self.world.wall_span(now - host.booted_at),
            time: Moment::from_millis(self.world.wall(now).as_millis() + host.skew),
            leftovers: self.world.leftovers(self.row),
            log: self.world.last_words(self.row).unwrap_or_default().to_owned(),
        }
    }

    fn unit(&self, unit: &UnitName) -> UnitState {
        let same = self.host.unit.as_str() == unit.as_str().trim_end_matches(".service");
        if same { self.host.unit_state } else { UnitState::NotFound }
    }

    fn lacks(&self, needs: &HostNeeds) -> HostHealth {
        self.host.lacks(needs)
    }

    // What follows fails only for hosts that are not up, and those run no command.

    fn start(&mut self, _unit: &UnitName) {
        self.world.unit_start(&self.host.name).ok();
    }

    fn stop(&mut self, _unit: &UnitName) {
        self.stopping = self.world.unit_stop(&self.host.name).is_ok();
    }

    fn restart(&mut self, _unit: &UnitName) {
        self.world.unit_restart(&self.host.name).ok();
    }

    fn kill_pods(&mut self) {
        self.world.kill_pods(&self.host.name).ok();
    }

    fn save_snapshot(&mut self, name: &SnapshotName) -> Result<(), String> {
        self.world.save_snapshot(&self.host.name, name)
    }

    fn snapshots(&self) -> Result<Vec<SnapshotState>, String> {
        if !self.host.server {
            return Err("etcd database not found in /var/lib/rancher/k3s/server".to_owned());
        }
        if self.host.unit_state != UnitState::Active {
            return Err("dial tcp 127.0.0.1:6443: connect: connection refused".to_owned());
        }
        Ok(self.host.snapshots.clone())
    }

    fn load_images(&mut self, archive: &[u8]) -> Result<(), String> {
        let label = |node: &Node| node.labels.get("kubernetes.io/arch").cloned();
        let architecture = self.world.nodes().get(self.row).and_then(label).unwrap_or_default();
        let references = images::fitting(archive, &architecture)?;
        self.world.load_images(self.row, &references)
    }

    fn reboot(&mut self) {
        self.world.reboot(&self.host.name).ok();
    }

    fn power_off(&mut self, force: bool) {
        self.world.power_off(&self.host.name, force).ok();
    }
}
