//! What people do about trouble who go to the machine, or to the cluster, and end it.

use ananke_core::name::NodeName;
use ananke_core::observation::{Tri, UnitState};

use super::flux::FluxRow;
use super::{ClusterTrouble, Cure, Manner, Obedience, PodTrouble, Power, Quirk, SiteTrouble, World};
use crate::fault::Fault;

impl World {
    /// Ends a fault for good, and all that it did to machines, pods and nodes. `false`: it is none that a person ends.
    pub fn mend(&mut self, fault: Fault, node: Option<&NodeName>) -> bool {
        let host = node.and_then(|node| self.node_row(node));
        self.note(|_| format!("a person mends {fault}{}", node.map(|node| format!(" on {node}")).unwrap_or_default()));
        let mended = match host {
            Some(host) => self.mend_host(fault, host),
            None => self.mend_cluster(fault),
        };
        self.settle();
        mended
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of the others a person ends none")]
    fn mend_host(&mut self, fault: Fault, host: usize) -> bool {
        let row = &mut self.hosts[host];
        match fault {
            Fault::NeverBoots | Fault::StaysOff | Fault::Cluster(ClusterTrouble::StaleAttachment) => {
                (row.never_boots, row.stays_off, row.told_off) = (false, false, false);
                self.boot(host);
            }
            Fault::Unplugged => self.plug_in(host),
            Fault::SshKeyChanged => row.key_changed = false,
            Fault::SshdDown => (row.sshd_broken, row.sshd) = (false, row.power == Power::Up),
            Fault::SshNoisy | Fault::SshStalls | Fault::SshCuts | Fault::SudoPassword => row.manner = Manner::Usual,
            Fault::UnitDisabled => {
                row.unit_enabled = true;
                self.start_again(host);
            }
            Fault::NodeNeverReady => {
                self.nodes[host].never_ready = false;
                self.network_up(host);
            }
            Fault::KubeletWedged => {
                self.nodes[host].wedged = false;
                self.network_up(host);
            }
            Fault::CsiNotRegistered => {
                self.nodes[host].storage.broken = false;
                self.storage_pod_changed(host);
            }
            Fault::RootReadOnly | Fault::RootReadOnlyOnce => {
                (row.health.root_read_only, row.read_only_in) = (false, None);
                self.start_again(host);
            }
            Fault::DiskFull => {
                row.health.space = vec![super::power::disk(70)];
                self.start_again(host);
            }
            Fault::MountMissing => row.health.missing_mounts.clear(),
            Fault::ClockSkew => (row.skew, row.health.clock_synced) = (0, Some(true)),
            Fault::Unit(_) => {
                row.words = None;
                self.start_again(host);
            }
            Fault::Site(SiteTrouble::Hangs) => row.told = Obedience::GoesOff,
            Fault::Site(SiteTrouble::OwnAgent) => {
                (row.health.agents, row.told_off) = (Vec::new(), false);
                self.boot(host);
            }
            Fault::Site(SiteTrouble::Emergency) => {
                (row.words, row.sshd_broken, row.sshd) = (None, false, row.power == Power::Up);
                self.start_again(host);
            }
            _ => return false,
        }
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of the others a person ends none")]
    fn mend_cluster(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::DnsDown => self.stops_crashing(self.known.dns),
            Fault::WorkloadCrashloop => self.stops_crashing(self.known.crasher),
            Fault::VolumeFaulted => self.restore_volumes(self.known.faulty),
            Fault::WrongBranch => {
                let source = self.source.meta.object.clone();
                return self.set_branch(&source, None, "main").is_ok();
            }
            Fault::VaultSealed => return self.unseal_vault(),
            Fault::Pod(trouble) if trouble.kind().cure == Cure::Person => return self.pods_are_mended(trouble),
            Fault::Cluster(trouble) => return self.mend_trouble(trouble),
            Fault::Site(trouble) => return self.mend_site(trouble),
            _ => return false,
        }
        true
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of the others a person ends none")]
    fn mend_trouble(&mut self, trouble: ClusterTrouble) -> bool {
        use ClusterTrouble as C;
        match trouble {
            C::ForeignCordons | C::RebootLock => {
                (self.troubles.cordoned, self.troubles.reboot_lock) = (false, None);
                let names: Vec<NodeName> = self.nodes.iter().map(|node| node.name.clone()).collect();
                names.iter().for_each(|node| drop(self.person_uncordon(node)));
            }
            C::OutOfService => {
                self.troubles.fenced = false;
                self.lift_everywhere(super::held_nodes::OUT_OF_SERVICE);
            }
            C::StuckAttachment => self.let_attachment_go(),
            C::ClosedWebhook => self.relax_webhook(),
            C::LockedRelease => self.release_mended(self.releases.len().saturating_sub(1)),
            C::FailedInstall => self.release_mended(self.releases.len().saturating_sub(1)),
            C::DeniedSource => {
                self.allow_source();
                self.flux_changed(FluxRow::Source);
            }
            C::CephFlags => self.troubles.flagged = None,
            C::Bypass => self.set_quirk(0, Quirk::Bypasses, false),
            C::SickOsd => {
                let sick = self.row_of("rook-ceph", "rook-ceph-osd-0");
                sick.into_iter().for_each(|row| self.trouble_passes(row));
            }
            _ => return false,
        }
        true
    }

    fn mend_site(&mut self, trouble: SiteTrouble) -> bool {
        match trouble {
            SiteTrouble::NoSpace => {
                self.has_space_again();
                let servers = (0..self.hosts.len()).filter(|row| self.hosts[*row].server);
                servers.collect::<Vec<_>>().into_iter().for_each(|row| self.start_again(row));
            }
            SiteTrouble::DiskPressure => {
                self.site.pressed = false;
                self.lift_everywhere(super::site_trouble::DISK_PRESSURE);
            }
            SiteTrouble::LostAddress => self.has_address_again(),
            SiteTrouble::LostServers => {
                let servers: Vec<usize> = (0..self.hosts.len()).filter(|row| self.hosts[*row].server).collect();
                for row in servers {
                    self.hosts[row].never_boots = false;
                    self.boot(row);
                }
            }
            SiteTrouble::WaitsForItself | SiteTrouble::Emergency | SiteTrouble::OwnAgent | SiteTrouble::Hangs => return false,
        }
        true
    }

    /// Whoever mends a host starts its unit there; one that runs already goes on as it is.
    fn start_again(&mut self, host: usize) {
        let row = &self.hosts[host];
        if row.power == Power::Up && matches!(row.unit_state, UnitState::Inactive | UnitState::Failed) {
            self.start_unit(host);
        }
    }

    fn lift_everywhere(&mut self, key: &str) {
        for row in 0..self.nodes.len() {
            let before = self.nodes[row].taints.len();
            self.nodes[row].taints.retain(|taint| &*taint.key != key);
            if self.nodes[row].taints.len() < before {
                self.taints_changed(row);
            }
        }
    }

    fn stops_crashing(&mut self, workload: usize) {
        self.workloads[workload].crashing = false;
        self.wake(self.workloads[workload].pods.clone());
    }

    fn restore_volumes(&mut self, workload: usize) {
        for row in self.workloads[workload].claims.clone() {
            self.volumes[row].faulted = false;
            let claim = self.volumes[row].claim.clone();
            self.volumes[row].rv = self.touched(super::What::Modified, &claim, row);
        }
        self.wake(self.workloads[workload].pods.clone());
    }

    fn pods_are_mended(&mut self, trouble: PodTrouble) -> bool {
        let (namespace, name) = trouble.kind().workload.split_once('/').unwrap_or_default();
        let Ok(row) = self.row_of(namespace, name) else { return false };
        self.trouble_passes(row);
        true
    }

    fn release_mended(&mut self, row: usize) {
        self.troubles.releases.remove(&row);
        if self.releases.get(row).is_some_and(|release| release.meta.ready != Tri::True) {
            self.flux_changed(FluxRow::Release(row));
        }
    }
}
