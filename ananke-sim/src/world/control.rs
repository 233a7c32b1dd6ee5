//! Units, etcd's quorum, the API server, and the controllers that wait for a leader.

use ananke_core::name::{NodeName, SnapshotName};
use ananke_core::observation::{Leftovers, SnapshotCheck, SnapshotState, UnitState};

use super::{ApiFault, Event, Ms, Power, World};

/// A new leader waits out the Lease of the one before it.
const LEADER_WAIT: (Ms, Ms) = (14_500, 17_000);

#[derive(Debug, Clone, Default)]
pub(crate) struct Control {
    /// Enough server units run.
    pub(crate) quorum: bool,
    /// They have found each other.
    pub(crate) formed: bool,
    /// At least one API server answers those who may reach it.
    pub(crate) api: bool,
    /// Since when, or when it last did.
    pub(crate) api_since: Ms,
    /// Controller-manager and scheduler have a leader.
    pub(crate) controllers: bool,
    pub(crate) epoch: u32,
    pub(crate) fault: Option<ApiFault>,
    pub(crate) hang_since: Option<Ms>,
    /// What a stale cache shows.
    pub(crate) stale: Option<Box<World>>,
    pub(crate) fault_epoch: u32,
    pub(crate) starts: u64,
}

impl World {
    /// The API server runs on a quorum. A fault may still keep clients from it: see [`World::fault`].
    pub fn api_up(&self) -> bool {
        self.control.api
    }

    /// When the API last came up.
    pub fn api_since(&self) -> Ms {
        self.control.api_since
    }

    /// Controller-manager and scheduler are at work.
    pub fn controllers_work(&self) -> bool {
        self.control.controllers
    }

    /// `systemctl start --no-block`. `Err` if the host is not up.
    pub fn unit_start(&mut self, node: &NodeName) -> Result<(), String> {
        let host = self.live_host(node)?;
        if matches!(self.hosts[host].unit_state, UnitState::Inactive | UnitState::Failed) {
            self.note(|world| format!("{}: start {}", world.hosts[host].name, world.hosts[host].unit));
            self.start_unit(host);
        }
        Ok(())
    }

    /// `systemctl stop`: the unit is down a few seconds later, its containers run on.
    pub fn unit_stop(&mut self, node: &NodeName) -> Result<(), String> {
        let host = self.live_host(node)?;
        (self.hosts[host].restarting, self.nodes[host].wedged) = (false, false);
        if matches!(self.hosts[host].unit_state, UnitState::Active | UnitState::Activating) {
            self.stop_unit(host);
            self.settle();
        }
        Ok(())
    }

    /// `systemctl restart --no-block`: the containers run on meanwhile.
    pub fn unit_restart(&mut self, node: &NodeName) -> Result<(), String> {
        let host = self.live_host(node)?;
        self.unit_stop(node)?;
        if self.hosts[host].unit_state == UnitState::Deactivating {
            self.hosts[host].restarting = true;
            return Ok(());
        }
        self.unit_start(node)
    }

    /// Ends the containers that a stopped unit left running. `Err` while the unit runs.
    pub fn kill_pods(&mut self, node: &NodeName) -> Result<(), String> {
        let host = self.live_host(node)?;
        if !matches!(self.hosts[host].unit_state, UnitState::Inactive | UnitState::Failed) {
            return Err(format!("{} runs", self.hosts[host].unit));
        }
        self.note(|world| format!("{}: leftover containers ended", world.hosts[host].name));
        self.containers_die(host);
        self.settle();
        Ok(())
    }

    /// Containers that run on a host, and volumes that are mounted for them.
    pub fn leftovers(&self, host: usize) -> Leftovers {
        let pods = self.nodes.get(host).map(|node| node.pods.as_slice()).unwrap_or_default();
        let running = || pods.iter().filter_map(|pod| self.pods.get(*pod)).filter(|pod| pod.running);
        let volumes = running().filter(|pod| self.workloads.get(pod.workload).is_some_and(|workload| workload.volumes));
        let count = |found: usize| u32::try_from(found).unwrap_or(u32::MAX);
        Leftovers { shims: count(running().count()), mounts: count(volumes.count()) }
    }

    /// `k3s etcd-snapshot save`. k3s appends its node and the time to the name. `Err` where there is no etcd to save.
    pub fn save_snapshot(&mut self, node: &NodeName, name: &SnapshotName) -> Result<(), String> {
        let host = self.live_host(node)?;
        let row = &self.hosts[host];
        if !row.server || row.unit_state != UnitState::Active || !self.control.api {
            return Err(format!("no etcd runs on {node}"));
        }
        if self.control.fault.is_some_and(ApiFault::stops_the_store) {
            return Err("etcdserver: request timed out".to_owned());
        }
        let seconds = self.wall(self.now).as_millis().div_euclid(1000);
        let pages = self.draw("snapshot", host, row.snapshots.len() as u64, 12_000_000, 48_000_000).unsigned_abs() / 4096;
        // The store's pages, and their SHA-256.
        let bytes = pages * 4096 + 32;
        let name = format!("{name}-{node}-{seconds}").into();
        let saved = SnapshotState { name, bytes, check: SnapshotCheck::None };
        self.note(|_| format!("{node}: snapshot {} saved", saved.name));
        self.hosts[host].snapshots.push(saved);
        Ok(())
    }

    pub(super) fn live_host(&self, node: &NodeName) -> Result<usize, String> {
        match self.node_row(node) {
            Some(host) if self.hosts[host].power == Power::Up => Ok(host),
            Some(_) => Err(format!("{node} is not up")),
            None => Err(format!("there is no host {node}")),
        }
    }

    pub(super) fn start_unit(&mut self, host: usize) {
        if self.hosts[host].cannot_write() || self.last_words(host).is_some() {
            return self.fail_unit(host);
        }
        let boots = u64::from(self.hosts[host].unit_epoch);
        let (low, high) = if self.hosts[host].server { (6_000, 14_000) } else { (3_000, 9_000) };
        let takes = self.draw("unit-start", host, boots, low, high);
        let row = &mut self.hosts[host];
        (row.unit_state, row.prepared, row.unit_epoch) = (UnitState::Activating, false, row.unit_epoch + 1);
        let epoch = row.unit_epoch;
        self.after(takes, Event::UnitPrepared(host, epoch));
    }

    pub(super) fn stop_unit(&mut self, host: usize) {
        let takes = self.draw("unit-stop", host, u64::from(self.hosts[host].unit_epoch), 1_500, 6_000);
        let row = &mut self.hosts[host];
        (row.unit_state, row.prepared, row.unit_epoch) = (UnitState::Deactivating, false, row.unit_epoch + 1);
        let epoch = row.unit_epoch;
        self.note(|world| format!("{}: stop {}", world.hosts[host].name, world.hosts[host].unit));
        self.after(takes, Event::UnitStopped(host, epoch));
        self.control_changed(host);
    }

    pub(super) fn unit_stopped(&mut self, host: usize, epoch: u32) {
        if self.hosts[host].unit_epoch != epoch {
            return;
        }
        self.hosts[host].unit_state = UnitState::Inactive;
        if std::mem::take(&mut self.hosts[host].restarting) {
            self.start_unit(host);
        }
    }

    /// The unit cannot run: it ends at once, wherever it was.
    pub(super) fn fail_unit(&mut self, host: usize) {
        let row = &mut self.hosts[host];
        if row.power != Power::Up {
            return;
        }
        (row.unit_state, row.prepared, row.unit_epoch) = (UnitState::Failed, false, row.unit_epoch + 1);
        self.note(|world| format!("{}: {} failed", world.hosts[host].name, world.hosts[host].unit));
        self.control_changed(host);
    }

    /// The unit's own part is done; a server waits for quorum, an agent for the API.
    pub(super) fn unit_prepared(&mut self, host: usize, epoch: u32) {
        if self.hosts[host].unit_epoch != epoch {
            return;
        }
        self.hosts[host].prepared = true;
        if self.hosts[host].server {
            self.check_quorum();
        }
        if self.is_served(host) {
            self.activate(host);
        }
    }

    /// What the unit waits for: a server for the others, an agent for the API.
    fn is_served(&self, host: usize) -> bool {
        let row = &self.hosts[host];
        if row.server { self.control.formed } else { self.control.api && row.is_reached() }
    }

    fn activate(&mut self, host: usize) {
        let row = &self.hosts[host];
        let epoch = row.unit_epoch;
        let (low, high) = if row.server { (500, 3_000) } else { (500, 5_500) };
        let takes = self.draw("unit-active", host, u64::from(epoch), low, high);
        self.after(takes, Event::UnitActive(host, epoch));
    }

    pub(super) fn unit_active(&mut self, host: usize, epoch: u32) {
        let row = &self.hosts[host];
        if row.unit_epoch != epoch || row.unit_state != UnitState::Activating || !self.is_served(host) {
            return;
        }
        self.hosts[host].unit_state = UnitState::Active;
        self.note(|world| format!("{}: {} active", world.hosts[host].name, world.hosts[host].unit));
        if self.hosts[host].server && !self.control.api {
            self.api_comes_up();
        }
        self.refresh_kubelet(host);
    }

    /// A unit or its host went away.
    pub(super) fn control_changed(&mut self, host: usize) {
        self.refresh_kubelet(host);
        if self.hosts[host].server {
            self.check_quorum();
            if self.control.api && !self.hosts.iter().any(|row| row.server && row.unit_state == UnitState::Active) {
                self.api_goes_down();
            }
        }
    }

    fn check_quorum(&mut self) {
        let servers = self.hosts.iter().filter(|host| host.server).count();
        let running = (self.hosts.iter())
            .filter(|host| host.server && host.prepared)
            .filter(|host| matches!(host.unit_state, UnitState::Active | UnitState::Activating))
            .count();
        let quorum = running > servers / 2;
        if quorum && !self.control.quorum {
            self.control.quorum = true;
            let takes = self.draw("quorum", 0, self.control.starts, 3_000, 6_000);
            self.after(takes, Event::QuorumFormed(self.control.epoch));
        } else if !quorum && self.control.quorum {
            self.note(|_| "etcd lost its quorum".to_owned());
            (self.control.quorum, self.control.formed) = (false, false);
            self.control.epoch += 1;
            for host in self.hosts.iter_mut().filter(|host| host.server && host.unit_state == UnitState::Active) {
                // k3s ends without its store and systemd starts it again; it has little left to prepare.
                (host.unit_state, host.unit_epoch) = (UnitState::Activating, host.unit_epoch + 1);
            }
            if self.control.api {
                self.api_goes_down();
            }
        }
    }

    pub(super) fn quorum_formed(&mut self, epoch: u32) {
        if self.control.epoch != epoch || !self.control.quorum {
            return;
        }
        self.control.formed = true;
        self.note(|_| "etcd has a quorum".to_owned());
        for host in 0..self.hosts.len() {
            let row = &self.hosts[host];
            if row.server && row.prepared && row.unit_state == UnitState::Activating {
                self.activate(host);
            }
        }
    }

    fn api_comes_up(&mut self) {
        self.control.starts += 1;
        (self.control.api, self.control.api_since) = (true, self.now);
        self.note(|_| "the API answers".to_owned());
        let wait = self.draw("leader", 0, self.control.starts, LEADER_WAIT.0, LEADER_WAIT.1);
        self.after(wait, Event::ControllersUp(self.control.epoch));
        for host in 0..self.hosts.len() {
            self.agent_finds_api(host);
        }
    }

    /// An agent that waits for the API, or a kubelet that lost sight of it.
    fn agent_finds_api(&mut self, host: usize) {
        let row = &self.hosts[host];
        if !row.server && row.prepared && row.unit_state == UnitState::Activating && self.is_served(host) {
            self.activate(host);
        }
        self.refresh_kubelet(host);
    }

    /// The cable of a worker comes out: all that runs there runs on, and nobody reaches it.
    pub(super) fn unplug(&mut self, host: usize) {
        self.hosts[host].unplugged = true;
        self.refresh_kubelet(host);
        for pod in self.nodes[host].pods.clone() {
            self.change_pod(pod, |pod| pod.serving = false);
        }
    }

    pub(super) fn plug_in(&mut self, host: usize) {
        self.hosts[host].unplugged = false;
        self.agent_finds_api(host);
    }

    fn api_goes_down(&mut self) {
        (self.control.api, self.control.controllers) = (false, false);
        self.source.fresh &= self.source.stored;
        self.control.epoch += 1;
        self.note(|_| "the API is gone".to_owned());
        for host in 0..self.hosts.len() {
            self.refresh_kubelet(host);
        }
        // A quorum whose last API server stopped forms anew with the next one.
        if self.control.quorum {
            self.control.formed = false;
            let takes = self.draw("quorum", 1, self.control.starts, 3_000, 6_000);
            self.after(takes, Event::QuorumFormed(self.control.epoch));
        }
    }

    pub(super) fn controllers_up(&mut self, epoch: u32) {
        if self.control.epoch != epoch || !self.control.api {
            return;
        }
        self.control.controllers = true;
        self.note(|_| "controllers have a leader".to_owned());
        self.watch_all_nodes();
        for workload in 0..self.workloads.len() {
            self.mark_dirty(workload);
        }
        self.sync_volumes();
        self.retry_unschedulable();
    }
}
