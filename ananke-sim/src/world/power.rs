//! Mains, and hosts that lose power and boot.

use ananke_core::name::{BootId, HostPath, MacAddress, NodeName};
use ananke_core::observation::{DiskSpace, UnitState};

use super::{Event, Host, Manner, Ms, Obedience, Power, World, parsed};
use crate::fault::Fault;

/// The disk that Longhorn keeps its replicas on: every host has one, and its operator requires it.
pub const LONGHORN_DISK: &str = "/var/lib/longhorn";
/// How far the clock of `clock-skew` is ahead.
const SKEWED: Ms = 90_000;
/// A guest of a hypervisor has no firmware to wait for.
const GUEST_BOOT: (Ms, Ms) = (8_000, 15_000);

/// What `df` says of k3s's data directory.
pub(super) fn disk(free_percent: u8) -> DiskSpace {
    DiskSpace { path: parsed(HostPath::parse, "/var/lib/rancher/k3s"), free_percent, free_inodes_percent: Some(90) }
}

impl World {
    /// Mains fail. Hosts run on until the battery that feeds them is empty.
    pub fn power_cut(&mut self) {
        if !self.mains {
            return;
        }
        self.note(|_| "mains off".to_owned());
        self.recharge(false);
    }

    /// Mains fail and no battery helps: every host is dark at once.
    pub fn power_lost(&mut self) {
        self.power_cut();
        for ups in self.upses.iter_mut() {
            (ups.charge, ups.since, ups.epoch) = (0, self.now, ups.epoch + 1);
        }
        for host in 0..self.hosts.len() {
            self.host_down(host);
        }
        self.settle();
    }

    /// Mains are back: hosts that were off boot by themselves, but for those whose firmware leaves them off. Those that were
    /// told to power off boot too if mains had failed: a UPS cuts its outlets once its hosts are down.
    pub fn power_restore(&mut self) {
        let cycled = !self.mains;
        if cycled {
            self.note(|_| "mains on".to_owned());
            self.recharge(true);
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].told_off &= !cycled;
            if !self.hosts[host].stays_off {
                self.boot(host);
            }
        }
    }

    /// `systemctl poweroff`: the host is dark some seconds later, and stays so.
    /// One that hangs in a job that does not stop goes on answering, unless it is forced; of one that boots again the order
    /// becomes a reboot, once.
    pub fn power_off(&mut self, node: &NodeName, force: bool) -> Result<(), String> {
        let host = self.live_host(node)?;
        match self.hosts[host].told {
            Obedience::Hangs if !force => {
                self.note(|world| format!("{}: told to power off, and hangs", world.hosts[host].name));
                return Ok(());
            }
            Obedience::BootsAgain => {
                self.hosts[host].told = Obedience::BootedAgain;
                return self.reboot(node);
            }
            Obedience::GoesOff | Obedience::Hangs | Obedience::BootedAgain => {}
        }
        let takes = self.draw("power-off", host, self.hosts[host].boots, 4_000, 12_000);
        let row = &mut self.hosts[host];
        row.told_off = true;
        let epoch = row.epoch;
        self.note(|world| format!("{}: told to power off", world.hosts[host].name));
        self.after(takes, Event::PoweredOff(host, epoch));
        Ok(())
    }

    /// `systemctl reboot`: the host is dark some seconds later, and boots again.
    pub fn reboot(&mut self, node: &NodeName) -> Result<(), String> {
        let host = self.live_host(node)?;
        let takes = self.draw("reboot", host, self.hosts[host].boots, 4_000, 12_000);
        let epoch = self.hosts[host].epoch;
        self.note(|world| format!("{}: told to reboot", world.hosts[host].name));
        self.after(takes, Event::Rebooted(host, epoch));
        Ok(())
    }

    /// Somebody presses the button of a host that is off.
    pub fn switch_on(&mut self, node: &NodeName) {
        if let Some(host) = self.node_row(node) {
            self.hosts[host].told_off = false;
            self.boot(host);
        }
    }

    /// A magic packet goes over the wire: the host with this network card switches on, if it is off.
    pub fn wake_on_lan(&mut self, mac: &MacAddress) {
        if let Some(host) = self.hosts.iter().position(|host| host.mac == *mac) {
            self.hosts[host].told_off = false;
            self.boot(host);
        }
    }

    /// Somebody pulls the plug of one host.
    pub fn pull_plug(&mut self, node: &NodeName) {
        if let Some(host) = self.node_row(node) {
            self.host_down(host);
            self.settle();
        }
    }

    pub(super) fn powered_off(&mut self, host: usize, epoch: u32) {
        if self.hosts[host].epoch == epoch {
            self.host_down(host);
        }
    }

    pub(super) fn rebooted(&mut self, host: usize, epoch: u32) {
        if self.hosts[host].epoch == epoch {
            self.host_down(host);
            self.boot(host);
        }
    }

    pub fn mains(&self) -> bool {
        self.mains
    }

    /// Makes something go wrong, as a scenario has it: on this node, or the last that the fault can have.
    pub(crate) fn strike(&mut self, fault: Fault, node: Option<&NodeName>) {
        let fits = |host: &&Host| host.server || !fault.needs_server();
        let last = self.hosts.iter().rev().find(fits).map(|host| host.name.clone());
        let node = fault.needs_node().then(|| node.cloned().or(last)).flatten();
        if let Err(error) = self.inject(fault, node.as_ref()) {
            self.note(|_| format!("fault {fault} not injected: {error}"));
        }
    }

    fn place(&self, fault: Fault, node: Option<&NodeName>) -> Result<usize, String> {
        match (fault.needs_node(), node) {
            (true, None) => Err(format!("fault {fault} needs a node")),
            (false, Some(_)) => Err(format!("fault {fault} takes no node")),
            (false, None) => Ok(0),
            (true, Some(name)) => {
                let host = self.node_row(name).ok_or_else(|| format!("there is no node {name}"))?;
                let server = fault.needs_worker() && self.hosts[host].server;
                if server { Err(format!("fault {fault} is a worker's, and {name} is a server")) } else { Ok(host) }
            }
        }
    }

    /// Makes something go wrong. `Err` says what is missing.
    pub fn inject(&mut self, fault: Fault, node: Option<&NodeName>) -> Result<(), String> {
        let host = self.place(fault, node)?;
        self.note(|world| match fault.needs_node() {
            true => format!("fault {fault} on {}", world.hosts[host].name),
            false => format!("fault {fault}"),
        });
        match fault {
            Fault::NeverBoots => {
                self.hosts[host].never_boots = true;
                self.host_down(host);
            }
            Fault::StaysOff => {
                self.hosts[host].stays_off = true;
                self.host_down(host);
            }
            Fault::SlowBoot => {
                self.hosts[host].slow_boot = true;
                if self.hosts[host].power == Power::Booting {
                    self.hosts[host].power = Power::Off;
                    self.boot(host);
                }
            }
            Fault::Unplugged => self.unplug(host),
            Fault::SshKeyChanged => self.hosts[host].key_changed = true,
            Fault::SshdDown => (self.hosts[host].sshd_broken, self.hosts[host].sshd) = (true, false),
            Fault::SshNoisy => self.hosts[host].manner = Manner::Noisy,
            Fault::SshStalls => self.hosts[host].manner = Manner::Stalls,
            Fault::SshCuts => self.hosts[host].manner = Manner::Cuts,
            Fault::SudoPassword => self.hosts[host].manner = Manner::AsksPassword,
            // One that runs runs on, until its host boots.
            Fault::UnitDisabled => self.hosts[host].unit_enabled = false,
            Fault::NodeNeverReady => self.set_never_ready(host),
            Fault::CsiNotRegistered => self.break_driver(host),
            Fault::VolumeFaulted => self.fault_volumes(self.known.faulty),
            Fault::DnsDown => self.crash(self.known.dns),
            Fault::KubeletWedged => self.set_wedged(host),
            Fault::RootReadOnly => {
                self.hosts[host].health.root_read_only = true;
                self.fail_unit(host);
            }
            Fault::RootReadOnlyOnce => {
                let row = &mut self.hosts[host];
                row.health.root_read_only = true;
                row.read_only_in = Some(if row.power == Power::Up { row.boots } else { row.boots + 1 });
                self.fail_unit(host);
            }
            Fault::DiskFull => {
                self.hosts[host].health.space = vec![disk(0)];
                self.fail_unit(host);
            }
            Fault::MountMissing => {
                self.hosts[host].health.missing_mounts = vec![parsed(HostPath::parse, LONGHORN_DISK)];
            }
            Fault::ClockSkew => {
                let row = &mut self.hosts[host];
                (row.skew, row.health.clock_synced) = (SKEWED, Some(false));
            }
            Fault::Api500
            | Fault::ApiRefused
            | Fault::StoreHang
            | Fault::ApiTls
            | Fault::ApiCertificate
            | Fault::ApiUnauthorized
            | Fault::ApiForbidsLeases
            | Fault::ApiForbidsNodes
            | Fault::ApiThrottles
            | Fault::ApiInternalError
            | Fault::ApiUnavailable
            | Fault::ApiTimesOut
            | Fault::ApiHangs
            | Fault::ApiCloses
            | Fault::StaleCache => {
                if let Some(fault) = fault.of_the_api() {
                    self.inject_api_fault(fault, super::api_fault::LASTS);
                }
            }
            Fault::WrongBranch => self.left_on_branch("incident"),
            Fault::WorkloadCrashloop => self.crash(self.known.crasher),
            Fault::ImmutableJob => self.change_job_template(),
            Fault::ScaledToZero => self.forget(super::catalogue::FORGOTTEN),
            Fault::VaultSealed => self.seal_vault(),
            Fault::GitPruned => self.prune_foundation(),
            Fault::ImagesLost => self.lose_images(),
            Fault::Pod(trouble) => self.trouble(trouble)?,
            Fault::Cluster(trouble) => self.cluster_trouble(trouble, host)?,
            Fault::Site(trouble) => self.site_trouble(trouble, host)?,
            Fault::Unit(trouble) => {
                self.hosts[host].words = Some(trouble.entry().2);
                self.fail_unit(host);
            }
        }
        self.settle();
        Ok(())
    }

    /// Switches a host on, if it is off and can.
    pub(super) fn boot(&mut self, host: usize) {
        let row = &self.hosts[host];
        if row.power != Power::Off || row.never_boots || row.told_off || !self.mains {
            return;
        }
        let (low, high) = match (row.slow_boot, row.server) {
            (true, _) => (360_000, 540_000),
            _ if row.told == Obedience::BootedAgain => GUEST_BOOT,
            (false, true) => (50_000, 90_000),
            (false, false) => (40_000, 150_000),
        };
        let takes = self.draw("boot", host, row.boots, low, high);
        let row = &mut self.hosts[host];
        (row.power, row.epoch) = (Power::Booting, row.epoch + 1);
        let epoch = row.epoch;
        self.after(takes, Event::HostUp(host, epoch));
    }

    pub(super) fn host_up(&mut self, host: usize, epoch: u32) {
        if self.hosts[host].epoch != epoch {
            return;
        }
        let boots = self.hosts[host].boots + 1;
        let boot_id = self.boot_id(host, boots);
        let (sshd, now) = (self.draw("sshd", host, boots, 3_000, 12_000), self.now);
        let row = &mut self.hosts[host];
        (row.power, row.boots, row.boot_id, row.booted_at) = (Power::Up, boots, boot_id, now);
        row.unit_state = UnitState::Inactive;
        if row.read_only_in.is_some_and(|boot| boot < boots) {
            (row.read_only_in, row.health.root_read_only) = (None, false);
        }
        let enabled = row.unit_enabled;
        self.note(|world| format!("{} up", world.hosts[host].name));
        self.after(sshd, Event::SshdUp(host, epoch));
        if enabled {
            self.start_unit(host);
        }
    }

    pub(super) fn sshd_up(&mut self, host: usize, epoch: u32) {
        let row = &mut self.hosts[host];
        if row.epoch == epoch && !row.sshd_broken {
            row.sshd = true;
        }
    }

    pub(super) fn boot_id(&self, host: usize, boots: u64) -> BootId {
        parsed(BootId::parse, &self.rng.uuid("boot-id", host as u64, boots))
    }

    /// Power is gone: containers, units and sshd with it. The API learns nothing.
    pub(super) fn host_down(&mut self, host: usize) {
        let row = &mut self.hosts[host];
        if row.power == Power::Off {
            return;
        }
        let was_up = row.power == Power::Up;
        (row.power, row.sshd, row.epoch) = (Power::Off, false, row.epoch + 1);
        (row.unit_state, row.prepared, row.unit_epoch) = (UnitState::Inactive, false, row.unit_epoch + 1);
        (row.restarting, row.fell_at) = (false, Some(self.now));
        self.note(|world| format!("{} dark", world.hosts[host].name));
        if was_up {
            // The next boot begins with another kubelet.
            self.nodes[host].wedged = false;
            self.containers_die(host);
            self.control_changed(host);
        }
    }
}
