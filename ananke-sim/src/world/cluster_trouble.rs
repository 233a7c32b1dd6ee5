//! Trouble that is neither a pod's own nor a unit's: what people, controllers, webhooks and plugins left behind.

mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::{Taint, Tri};

use super::build::{CREATED, add_running, add_workload};
use super::old_clients::Plugin;
use super::releases_stuck::ReleaseTrouble;
use super::{Event, Ms, Namespace, Power, Quirk, What, World};

const MINUTE: Ms = 60_000;
/// A resolver or a person is there this long after the mains.
const LATE_NAMES: Ms = 8 * MINUTE;
const FSD_LASTS: Ms = 4 * MINUTE;
/// Thousandths, which are enough some minutes later.
const LITTLE_CHARGE: i64 = 270;
/// Cilium's, on nodes whose agent it does not know to run.
pub(super) const AGENT_TAINT: &str = "node.cilium.io/agent-not-ready";
/// A Deployment of one pod on which nothing stands, and a StatefulSet of the same kind.
const LEAF: (&str, &str) = ("dashboards", "homepage");
const LEAF_WITH_VOLUME: (&str, &str) = ("media", "navidrome");

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClusterTrouble {
    LeftCordon,
    ForeignCordons,
    StaleAttachment,
    StuckAttachment,
    ClosedWebhook,
    UsedUpRelease,
    LockedRelease,
    FailedInstall,
    NetworkPlugin,
    NodePlugin,
    AgentTaint,
    RefusedCertificates,
    LateNames,
    DeniedSource,
    LittleCharge,
    LatchedShutdown,
    OrphanedApi,
    RebootLock,
    WedgedController,
    SilentSpeakers,
    OutOfService,
    SickOsd,
    Herd,
    OtherAutomation,
    RebuildStorm,
    Failback,
    CephFlags,
    Bypass,
    MissedStarts,
}

/// Who gets the cluster out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Itself,
    Ananke,
    Person,
}

/// What of it there is now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles {
    pub(super) releases: BTreeMap<usize, ReleaseTrouble>,
    pub(super) network: Option<Plugin>,
    pub(super) driver: Option<Plugin>,
    pub(super) agents: Option<Plugin>,
    /// DaemonSets that tolerate every taint.
    tolerant: BTreeSet<usize>,
    pub(super) webhook: Option<usize>,
    pub(super) certificates: Option<Plugin>,
    attachment: Option<usize>,
    late_names: Option<Ms>,
    denied: bool,
    pub(super) cordoned: bool,
    /// All nodes are declared out of service.
    pub(super) fenced: bool,
    pub(super) orphan: bool,
    pub(super) controller: Option<Plugin>,
    pub(super) speakers: Option<Plugin>,
    pub(super) failback: bool,
    pub(super) missed_starts: bool,
    /// Flags are left on a Ceph cluster, whose operator is this workload.
    pub(super) flagged: Option<usize>,
    pub(super) cures: Vec<super::old_clients::Cure>,
    /// The workload that has it, and the node that holds it.
    pub(super) reboot_lock: Option<(usize, Arc<str>)>,
    harm: Vec<String>,
}

impl World {
    pub(super) fn cluster_trouble(&mut self, trouble: ClusterTrouble, node: usize) -> Result<(), String> {
        use ClusterTrouble as C;
        let now = self.now;
        match trouble {
            C::LeftCordon => self.leave_cordon(node),
            C::ForeignCordons => self.cordon_all()?,
            C::StaleAttachment => self.force_away(node),
            C::StuckAttachment => self.hold_attachment()?,
            C::ClosedWebhook => {
                let engine = self.install(Kind::Deployment, "kyverno", "kyverno");
                self.workloads[engine].replicas = 1;
                self.troubles.webhook = Some(engine);
                self.mark_dirty(engine);
            }
            C::UsedUpRelease => self.release_trouble(0, ReleaseTrouble::UsedUp)?,
            C::LockedRelease => self.release_trouble(self.releases.len().saturating_sub(1), ReleaseTrouble::Locked)?,
            C::FailedInstall => self.release_trouble(self.releases.len().saturating_sub(1), ReleaseTrouble::NeverInstalled)?,
            C::NetworkPlugin if self.troubles.network.is_some() => return Err("one node has it already".to_owned()),
            C::NodePlugin if self.troubles.driver.is_some() => return Err("one node has it already".to_owned()),
            C::NetworkPlugin => {
                let workload = self.install_daemon("kube-flannel", "kube-flannel-ds");
                self.troubles.network = Some(Plugin { workload, node: Some(node), since: now });
                if self.nodes[node].alive_since.is_some() {
                    self.kubelet_says(node, Tri::False, "KubeletNotReady", super::nodes::NO_NETWORK);
                }
            }
            C::NodePlugin => {
                let workload = self.install_daemon(super::LONGHORN_NAMESPACE, "longhorn-csi-plugin");
                self.troubles.driver = Some(Plugin { workload, node: Some(node), since: now });
                self.break_driver(node);
            }
            C::AgentTaint => {
                self.evicted_leaf()?;
                let workload = self.install_daemon("kube-system", "cilium");
                self.troubles.agents = Some(Plugin { workload, node: None, since: now });
                for row in 0..self.nodes.len() {
                    let taint = Taint { key: AGENT_TAINT.into(), value: "true".into(), effect: "NoSchedule".into() };
                    self.nodes[row].taints.push(taint);
                    self.taints_changed(row);
                }
            }
            C::RefusedCertificates => {
                let workload = self.row_of("cert-manager", "cert-manager-webhook")?;
                self.troubles.certificates = Some(Plugin { workload, node: None, since: now });
            }
            C::LateNames => self.troubles.late_names = Some(now + LATE_NAMES),
            C::DeniedSource => self.troubles.denied = true,
            C::LittleCharge => {
                for row in 0..self.upses.len() {
                    let (lasts, fills) = (self.upses[row].lasts, self.upses[row].fills);
                    self.set_battery(row, lasts, fills, LITTLE_CHARGE);
                }
            }
            C::LatchedShutdown => {
                self.set_quirk(0, Quirk::Forced, true);
                self.after(FSD_LASTS, Event::ShutdownUnlatched);
            }
            C::OrphanedApi => self.troubles.orphan = true,
            C::RebootLock => self.leave_reboot_lock()?,
            C::WedgedController => self.wedge_controller(),
            C::SilentSpeakers => self.silence_speakers()?,
            C::OutOfService => self.leave_out_of_service()?,
            C::SickOsd => self.install_ceph(),
            C::Herd => self.start_all_at_once()?,
            C::OtherAutomation => self.want_reboot(node),
            C::RebuildStorm => self.rebuild_many()?,
            C::Failback => self.troubles.failback = true,
            C::CephFlags => self.leave_flags(),
            C::Bypass => self.set_quirk(0, Quirk::Bypasses, true),
            C::MissedStarts => self.troubles.missed_starts = true,
        }
        Ok(())
    }

    pub(super) fn row_of(&self, namespace: &str, name: &str) -> Result<usize, String> {
        let found = self.workloads.iter().position(|it| &*it.object.namespace == namespace && &*it.object.name == name);
        found.ok_or_else(|| format!("there is no {namespace}/{name} in this world"))
    }

    /// What nobody needs was evicted before the outage, and its next pod is not made yet.
    pub(super) fn evicted_leaf(&mut self) -> Result<(), String> {
        let row = self.row_of(LEAF.0, LEAF.1)?;
        for pod in self.workloads[row].pods.clone() {
            self.remove_pod(pod);
        }
        Ok(())
    }

    /// The object, and its namespace where that is not there; what is there already is not there twice.
    pub(super) fn install(&mut self, kind: Kind, namespace: &str, name: &str) -> usize {
        if let Ok(row) = self.row_of(namespace, name) {
            return row;
        }
        if !self.namespaces.iter().any(|found| &*found.name == namespace) {
            let uid = self.uid("namespace", self.namespaces.len());
            let rv = self.revision;
            self.namespaces.push(Namespace { name: namespace.into(), uid, rv, created: CREATED });
        }
        let row = add_workload(self, kind, namespace, name);
        let object = self.workloads[row].object.clone();
        self.workloads[row].rv = self.touched(What::Added, &object, row);
        row
    }

    /// One pod a node, that runs where its host does.
    pub(super) fn install_daemon(&mut self, namespace: &str, name: &str) -> usize {
        if let Ok(row) = self.row_of(namespace, name) {
            return row;
        }
        let row = self.install(Kind::DaemonSet, namespace, name);
        self.daemons.push(row);
        self.troubles.tolerant.insert(row);
        for node in 0..self.nodes.len() {
            self.made_pods += 1;
            let suffix = self.rng.suffix("pod-name", row as u64, self.made_pods);
            add_running(self, (row, &format!("{name}-{suffix}")), 0, node);
            if let Some(pod) = self.workloads[row].pods.last().copied().filter(|_| self.hosts[node].power != Power::Up) {
                self.change_pod(pod, |pod| (pod.running, pod.serving) = (false, false));
            }
        }
        row
    }

    /// A person waited for the host long enough, and forced what has volumes away from it.
    fn force_away(&mut self, node: usize) {
        self.hosts[node].never_boots = true;
        self.host_down(node);
        for pod in self.nodes[node].pods.clone() {
            if self.workloads[self.pods[pod].workload].volumes {
                self.remove_pod(pod);
            }
        }
    }

    fn hold_attachment(&mut self) -> Result<(), String> {
        let workload = self.row_of(LEAF_WITH_VOLUME.0, LEAF_WITH_VOLUME.1)?;
        let volume = self.workloads[workload].claims.first().copied();
        let volume = volume.ok_or_else(|| format!("{} has no volume", self.workloads[workload].object))?;
        self.troubles.attachment = Some(volume);
        self.delete_attachment(volume);
        for pod in self.workloads[workload].pods.clone() {
            self.change_pod(pod, |pod| pod.serving = false);
            self.publish(pod);
        }
        Ok(())
    }

    pub(super) fn let_attachment_go(&mut self) {
        self.troubles.attachment = None;
        self.sync_volumes();
    }

    pub(super) fn allow_source(&mut self) {
        self.troubles.denied = false;
    }

    pub(super) fn attachment_stuck(&self, volume: usize) -> bool {
        self.troubles.attachment == Some(volume)
    }

    /// Whether a DaemonSet has its pod on the node.
    pub(super) fn takes_daemon(&self, workload: usize, node: usize) -> bool {
        self.nodes[node].takes_daemons || self.troubles.tolerant.contains(&workload)
    }

    /// As network plugins do.
    pub fn tolerates_everything(&self, workload: &ObjectRef) -> bool {
        self.find_workload(workload).is_some_and(|row| self.troubles.tolerant.contains(&row))
    }

    /// How many pods a DaemonSet wants.
    pub(crate) fn daemons_wanted(&self, workload: usize) -> u32 {
        let all = || u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if self.troubles.tolerant.contains(&workload) { all() } else { self.daemon_nodes }
    }

    /// Why the source cannot be fetched, whatever serves it.
    pub(super) fn source_refused(&self) -> Option<String> {
        let url = &self.source.url;
        let said = |words: &str| format!("failed to checkout and determine revision: unable to list remote for '{url}': {words}");
        if self.troubles.denied && &**url != super::MIRROR {
            return Some(said("authentication required: Unauthorized"));
        }
        let late = self.troubles.late_names.is_some_and(|until| self.now < until);
        late.then(|| said("dial tcp: lookup scm.titan.example on 10.43.0.10:53: server misbehaving"))
    }

    pub(crate) fn source_denied(&self) -> bool {
        self.troubles.denied
    }

    pub(super) fn shutdown_unlatched(&mut self) {
        self.set_quirk(0, Quirk::Forced, false);
    }

    /// What somebody did that made things worse.
    pub fn harm(&self) -> &[String] {
        &self.troubles.harm
    }

    pub(super) fn harmed(&mut self, how: String) {
        self.troubles.harm.push(how);
    }

    /// Workloads that are not whole before a person has decided something.
    pub(crate) fn waits_for_decision(&self, workload: usize) -> bool {
        let of = &self.workloads[workload];
        let there = of.pods.iter().filter(|pod| self.pods[**pod].ended.is_none()).count();
        let missing = there < usize::try_from(of.replicas).unwrap_or(usize::MAX);
        let homeless = of.pods.iter().any(|pod| self.unschedulable.contains_key(pod));
        missing && self.refuses_pods(workload)
            || homeless && self.has_no_room()
            || self.cured_by(workload).is_some_and(|by| self.gets_no_pod(by))
            || of.claims.iter().any(|volume| self.attachment_stuck(*volume))
            || workload == self.vault.workload && self.vault_waits_for_a_person()
    }

    /// All nodes are kept from taking the usual pods.
    fn has_no_room(&self) -> bool {
        // One of many cordons may have been lifted, from a node that takes pods.
        let none_takes_pods = || (0..self.nodes.len()).all(|node| !self.schedulable(node));
        self.troubles.cordoned && none_takes_pods() || self.troubles.fenced || self.site.pressed
    }

    /// The next pod of a workload is not made, or has no place, before a person has decided.
    pub(super) fn gets_no_pod(&self, workload: usize) -> bool {
        let no_place = if self.workloads[workload].is_daemon() {
            (0..self.nodes.len()).all(|node| !self.takes_daemon(workload, node))
        } else {
            self.has_no_room()
        };
        no_place || self.refuses_pods(workload)
    }

    /// The workload whose next pod ends the trouble of this one, if one does.
    pub(crate) fn cured_by(&self, workload: usize) -> Option<usize> {
        let (kind, _) = self.workloads[workload].trouble?;
        match kind.cure {
            super::Cure::Remade => Some(workload),
            super::Cure::By(other) => {
                let (namespace, name) = other.split_once('/')?;
                self.row_of(namespace, name).ok()
            }
            super::Cure::Passes(_) | super::Cure::Person => None,
        }
    }

    /// A person must decide something about the cluster itself.
    pub(crate) fn decision_wanted(&self) -> bool {
        let releases = self.troubles.releases.values().any(|trouble| trouble.needs_person());
        releases
            || self.control_is_lost()
            || self.address_is_lost()
            || self.source_denied()
            || self.troubles.flagged.is_some()
            || self.upses.iter().any(|ups| ups.has(Quirk::Bypasses))
            || (0..self.workloads.len()).any(|row| self.waits_for_decision(row))
    }
}
