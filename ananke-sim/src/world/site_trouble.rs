//! Trouble of the site: stores and disks that are full, and a manager of storage that waits for itself.

use ananke_core::name::UnitName;
use ananke_core::observation::{Taint, UnitState};

use super::build::DAY;
use super::{ApiFault, Event, Ms, Obedience, Way, World};

/// The kubelet's own, which DaemonSets tolerate.
pub(super) const DISK_PRESSURE: &str = "node.kubernetes.io/disk-pressure";
const NO_SPACE: &str =
    "level=fatal msg=\"starting kubernetes: preparing server: bootstrap: etcdserver: mvcc: database space exceeded\"";
const EMERGENCY: &str = "You are in emergency mode. Give root password for maintenance";
const FOR_EVER: Ms = 30 * DAY;
const ACTS_AFTER: Ms = 25_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SiteTrouble {
    NoSpace,
    DiskPressure,
    WaitsForItself,
    LostAddress,
    Emergency,
    LostServers,
    OwnAgent,
    Hangs,
}

/// What of it there is now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Site {
    /// etcd's alarm: no server's unit gets through its first write.
    no_space: bool,
    pub(super) pressed: bool,
    /// Nobody has the address of the API server.
    no_address: bool,
}

impl SiteTrouble {
    /// Id, what it is, whether a node has it, and who ends it.
    pub const fn entry(self) -> (&'static str, &'static str, bool, Way) {
        match self {
            Self::NoSpace => (
                "etcd-nospace-alarm",
                "etcd has reached its quota: k3s ends on every server with its first write",
                false,
                Way::Person,
            ),
            Self::DiskPressure => (
                "disk-pressure-taint",
                "images that were pulled again filled the disks of all nodes, and the pod of dashboards/homepage was evicted",
                false,
                Way::Person,
            ),
            Self::WaitsForItself => (
                "longhorn-webhook-loop",
                "the pods of longhorn-manager wait for the webhook that they serve until they are made anew",
                false,
                Way::Ananke,
            ),
            Self::LostAddress => {
                ("api-vip-deadlock", "nothing answers at the address of the API server, which runs", false, Way::Person)
            }
            Self::Emergency => (
                "boot-stuck-emergency-mode",
                "the host waits in a maintenance shell: a mount that its boot needs is not there",
                true,
                Way::Person,
            ),
            Self::LostServers => {
                ("etcd-quorum-lost", "the boards of all servers but the first died with the mains", false, Way::Person)
            }
            Self::Hangs => (
                "shutdown-hangs-or-becomes-reboot",
                "told to power off the host goes on answering, since a job does not stop, until it is forced; in every second world \
                 it boots again instead, the first time",
                true,
                Way::Itself,
            ),
            Self::OwnAgent => (
                "two-shutdown-brains",
                "where everything runs, the host's own upsmon switches it off 25 s later, whatever is stopped there",
                true,
                Way::Itself,
            ),
        }
    }
}

impl World {
    pub(super) fn site_trouble(&mut self, trouble: SiteTrouble, host: usize) -> Result<(), String> {
        match trouble {
            SiteTrouble::NoSpace => {
                self.site.no_space = true;
                let servers = (0..self.hosts.len()).filter(|row| self.hosts[*row].server);
                servers.collect::<Vec<_>>().into_iter().for_each(|row| self.fail_unit(row));
            }
            SiteTrouble::DiskPressure => {
                self.evicted_leaf()?;
                self.site.pressed = true;
                for row in 0..self.nodes.len() {
                    let taint = Taint { key: DISK_PRESSURE.into(), value: "".into(), effect: "NoSchedule".into() };
                    self.nodes[row].taints.push(taint);
                    self.taints_changed(row);
                }
            }
            SiteTrouble::WaitsForItself => {
                self.trouble(super::PodTrouble::WebhookLoop)?;
                let manager = &mut self.workloads[self.known.storage];
                (manager.service, manager.serves_as) = (true, Some("longhorn-admission-webhook"));
            }
            SiteTrouble::LostAddress => {
                self.inject_api_fault(ApiFault::Refused, FOR_EVER);
                self.site.no_address = true;
            }
            SiteTrouble::Emergency => {
                let row = &mut self.hosts[host];
                (row.sshd, row.sshd_broken, row.words) = (false, true, Some(EMERGENCY));
                self.fail_unit(host);
            }
            SiteTrouble::Hangs => {
                let hangs = self.draw("disobeys", host, 0, 0, 1) == 0;
                self.hosts[host].told = if hangs { Obedience::Hangs } else { Obedience::BootsAgain };
            }
            SiteTrouble::OwnAgent => {
                self.hosts[host].health.agents.extend(UnitName::parse("nut-monitor").ok());
                if self.hosts[host].unit_state == UnitState::Active {
                    self.after(ACTS_AFTER, Event::AgentActs(host));
                }
            }
            SiteTrouble::LostServers => {
                let servers: Vec<usize> = (0..self.hosts.len()).filter(|row| self.hosts[*row].server).collect();
                if servers.len() < 2 {
                    return Err("a single server has no quorum to lose".to_owned());
                }
                for row in servers.into_iter().skip(1) {
                    self.hosts[row].never_boots = true;
                    self.host_down(row);
                }
            }
        }
        Ok(())
    }

    /// The timer of a host's own upsmon is over.
    pub(super) fn agent_acts(&mut self, host: usize) {
        let name = self.hosts[host].name.clone();
        // A host that is off already is not switched off.
        drop(self.power_off(&name, true));
    }

    /// A host went down by its own agent, in the middle of what somebody else did.
    pub fn went_by_itself(&self) -> bool {
        self.hosts.iter().any(|host| host.told_off && !host.health.agents.is_empty())
    }

    pub(super) fn has_space_again(&mut self) {
        self.site.no_space = false;
    }

    pub(super) fn has_address_again(&mut self) {
        self.site.no_address = false;
        self.api_fault_ends(self.control.fault_epoch);
    }

    /// A person must be there before the API can be reached.
    pub(crate) fn address_is_lost(&self) -> bool {
        self.site.no_address
    }

    /// The last words of a host's unit, where there is a reason for which it ends whenever it is started.
    pub fn last_words(&self, host: usize) -> Option<&'static str> {
        let row = self.hosts.get(host)?;
        row.words.or((row.server && self.site.no_space).then_some(NO_SPACE))
    }

    /// What every kubelet says of its disk.
    pub fn has_disk_pressure(&self) -> bool {
        self.site.pressed
    }

    /// No quorum of servers runs before a person has been there.
    pub(crate) fn control_is_lost(&self) -> bool {
        let servers = || self.hosts.iter().filter(|host| host.server);
        let there = servers().filter(|host| !host.is_lost() && !host.never_boots).count();
        self.site.no_space || there <= servers().count() / 2
    }
}
