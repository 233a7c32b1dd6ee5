//! Trouble that is neither a pod's own nor a unit's: what people, controllers, webhooks and plugins left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ananke_core::lease::{ANNOTATION, Lease, Purpose, SCHEMA, TAINT_EFFECT, TAINT_KEY, remove_with};
use ananke_core::name::{Kind, LeaseId, ObjectRef};
use ananke_core::observation::{Taint, Tri};

use super::build::{CREATED, add_running, add_workload};
use super::releases_stuck::ReleaseTrouble;
use super::{Event, Ms, Namespace, Power, Quirk, What, World, catalogue, parsed};

const MINUTE: Ms = 60_000;
/// A resolver or a person is there this long after the mains.
const LATE_NAMES: Ms = 8 * MINUTE;
const FSD_LASTS: Ms = 4 * MINUTE;
/// Thousandths, which are enough some minutes later.
const LITTLE_CHARGE: i64 = 270;
/// Cilium's, on nodes whose agent it does not know to run.
const AGENT_TAINT: &str = "node.cilium.io/agent-not-ready";
/// A Deployment of one pod on which nothing stands, and a StatefulSet of the same kind.
const LEAF: (&str, &str) = ("dashboards", "homepage");
const LEAF_WITH_VOLUME: (&str, &str) = ("media", "navidrome");
/// The one namespace that the policy engine leaves alone.
pub const NOT_ASKED: &str = "kube-system";
/// Its Kustomization applies a Certificate.
const CERTIFIED: &str = "identity";

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
}

/// Who gets the cluster out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Itself,
    Ananke,
    Person,
}

impl ClusterTrouble {
    /// Id, what it is, whether a node has it, and who ends it.
    pub const fn entry(self) -> (&'static str, &'static str, bool, Way) {
        match self {
            Self::LeftCordon => {
                ("node-left-cordoned", "a run of Ananke that the outage ended has left its cordon on the node", true, Way::Ananke)
            }
            Self::ForeignCordons => (
                "foreign-cordon",
                "somebody cordoned all nodes before the outage, and the pod of dashboards/homepage was evicted",
                false,
                Way::Person,
            ),
            Self::StaleAttachment => (
                "stale-volumeattachment-multi-attach",
                "the host stays dark, and somebody forced its pods away: their volumes are still attached there",
                true,
                Way::Person,
            ),
            Self::StuckAttachment => (
                "volumeattachment-being-deleted",
                "the attachment of the volume of media/navidrome is deleted, and its finalizer never goes",
                false,
                Way::Person,
            ),
            Self::ClosedWebhook => (
                "webhook-fail-closed-deadlock",
                "the pods of a policy engine were drained away, and its webhook must allow every new pod",
                false,
                Way::Person,
            ),
            Self::UsedUpRelease => (
                "helm-retries-exhausted",
                "the first HelmRelease used up its tries while nothing it needs was there",
                false,
                Way::Ananke,
            ),
            Self::LockedRelease => (
                "helm-operation-in-progress",
                "the outage cut off the upgrade of the last HelmRelease, whose record stays pending",
                false,
                Way::Person,
            ),
            Self::FailedInstall => {
                ("helm-remediation-destructive", "the last HelmRelease failed when it was first installed", false, Way::Person)
            }
            Self::NetworkPlugin => (
                "cni-not-ready",
                "the network plugin has written no configuration on the node until its pod there is made anew",
                true,
                Way::Ananke,
            ),
            Self::NodePlugin => (
                "csi-driver-not-registered",
                "the registrar of the CSI driver has lost the kubelet until the node plugin's pod is made anew",
                true,
                Way::Ananke,
            ),
            Self::AgentTaint => (
                "cilium-agent-taint-gap",
                "agents run and do not lift their taint until they are made anew, and the pod of dashboards/homepage was evicted",
                false,
                Way::Ananke,
            ),
            Self::RefusedCertificates => (
                "cert-manager-webhook-not-serving",
                "cert-manager's webhook has another authority than the API server knows until its pod is made anew",
                false,
                Way::Ananke,
            ),
            Self::LateNames => (
                "flux-source-cannot-resolve",
                "the resolver behind cluster DNS answers eight minutes after the mains",
                false,
                Way::Itself,
            ),
            Self::DeniedSource => ("flux-source-denied", "the deploy key of the Flux source was revoked", false, Way::Person),
            Self::LittleCharge => {
                ("ups-charge-too-low-to-start", "the outage has run the batteries down to 27 percent", false, Way::Itself)
            }
            Self::LatchedShutdown => (
                "ups-fsd-latched",
                "the UPS of the first rack still says FSD until somebody restarts its driver after four minutes",
                false,
                Way::Itself,
            ),
            Self::OrphanedApi => (
                "apiservice-unavailable-ns-terminating",
                "the APIService of a metrics adapter is there, and the adapter is not",
                false,
                Way::Itself,
            ),
        }
    }
}

/// A DaemonSet whose pod from before keeps a node, or all, from something until it is made anew.
#[derive(Debug, Clone, Copy)]
struct Plugin {
    workload: usize,
    node: Option<usize>,
    since: Ms,
}

/// What of it there is now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles {
    pub(super) releases: BTreeMap<usize, ReleaseTrouble>,
    network: Option<Plugin>,
    driver: Option<Plugin>,
    agents: Option<Plugin>,
    /// DaemonSets that tolerate every taint.
    tolerant: BTreeSet<usize>,
    webhook: Option<usize>,
    certificates: Option<Plugin>,
    attachment: Option<usize>,
    late_names: Option<Ms>,
    denied: bool,
    cordoned: bool,
    orphan: bool,
    harm: Vec<String>,
}

impl World {
    pub(super) fn cluster_trouble(&mut self, trouble: ClusterTrouble, node: usize) -> Result<(), String> {
        use ClusterTrouble as C;
        let now = self.now;
        match trouble {
            C::LeftCordon => self.leave_cordon(node),
            C::ForeignCordons => {
                self.evicted_leaf()?;
                self.troubles.cordoned = true;
                for name in self.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>() {
                    self.person_cordon(&name).map_err(|refusal| refusal.to_string())?;
                }
            }
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
        }
        Ok(())
    }

    fn row_of(&self, namespace: &str, name: &str) -> Result<usize, String> {
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

    /// The object, and its namespace where that is not there.
    fn install(&mut self, kind: Kind, namespace: &str, name: &str) -> usize {
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
    fn install_daemon(&mut self, namespace: &str, name: &str) -> usize {
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

    /// As the run wrote it when it began to repair the node, half an hour ago.
    fn leave_cordon(&mut self, row: usize) {
        let acquired = self.wall(self.now).minus(Duration::from_secs(30 * 60));
        let kube_system = self.namespaces.iter().find(|namespace| &*namespace.name == "kube-system");
        let node = &self.nodes[row];
        let lease = Lease {
            schema: SCHEMA,
            id: parsed(LeaseId::parse, &format!("startup-20260314T013600Z-r{row}")),
            holder: "titan-db".to_owned(),
            node: node.name.clone(),
            node_uid: node.uid.clone(),
            cluster_uid: kube_system.map_or_else(|| node.uid.clone(), |namespace| namespace.uid.clone()),
            purpose: Purpose::Repair,
            reason: "its kubelet was not Ready".to_owned(),
            acquired,
            expires: acquired.plus(Duration::from_secs(3600)),
            clock: None,
            remove_with: remove_with(&node.name),
        };
        let taint = Taint { key: TAINT_KEY.into(), value: lease.id.as_str().into(), effect: TAINT_EFFECT.into() };
        let node = &mut self.nodes[row];
        node.annotations.insert(ANNOTATION.into(), serde_json::to_string(&lease).unwrap_or_default().into());
        node.taints.push(taint);
        self.taints_changed(row);
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

    pub(super) fn attachment_stuck(&self, volume: usize) -> bool {
        self.troubles.attachment == Some(volume)
    }

    /// A pod changed, which may be the new one that a plugin's node waits for.
    pub(super) fn plugin_changed(&mut self, row: usize) {
        let pod = &self.pods[row];
        let (Some(node), true) = (pod.node, pod.serving && pod.deleting.is_none()) else { return };
        let (workload, created) = (pod.workload, pod.created);
        let is_new = |plugin: &Option<Plugin>| {
            plugin.is_some_and(|it| it.workload == workload && created > it.since && it.node.is_none_or(|on| on == node))
        };
        if is_new(&self.troubles.network) {
            self.troubles.network = None;
            self.network_up(node);
        } else if is_new(&self.troubles.driver) {
            self.troubles.driver = None;
            self.nodes[node].storage.broken = false;
            self.storage_pod_changed(node);
        } else if is_new(&self.troubles.agents) && self.nodes[node].taints.iter().any(|taint| &*taint.key == AGENT_TAINT) {
            self.nodes[node].taints.retain(|taint| &*taint.key != AGENT_TAINT);
            self.taints_changed(node);
        } else if is_new(&self.troubles.certificates) {
            self.troubles.certificates = None;
        }
    }

    /// The kubelet has found no configuration of a network: nothing but the host's own network is there for pods.
    pub(super) fn lacks_network(&self, node: usize) -> bool {
        self.troubles.network.is_some_and(|plugin| plugin.node == Some(node))
    }

    /// The pod that would bring the network is not made before a person has decided.
    pub(crate) fn network_barred(&self, node: usize) -> bool {
        let plugin = self.troubles.network.filter(|plugin| plugin.node == Some(node));
        plugin.is_some_and(|plugin| self.refuses_pods(plugin.workload))
    }

    pub(super) fn pod_lacks_network(&self, pod: usize) -> bool {
        let pod = &self.pods[pod];
        pod.node.is_some_and(|node| self.lacks_network(node)) && !self.workloads[pod.workload].is_daemon()
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

    /// What serves a webhook that must allow every new pod: without it, none is made.
    pub fn webhook(&self) -> Option<&ObjectRef> {
        self.troubles.webhook.map(|engine| &self.workloads[engine].object)
    }

    /// The API server makes no pods of the workload.
    pub(crate) fn refuses_pods(&self, workload: usize) -> bool {
        self.troubles.webhook.is_some_and(|engine| self.workloads[engine].endpoints == 0)
            && &*self.workloads[workload].object.namespace != NOT_ASKED
    }

    /// A person sets the webhook's failurePolicy to Ignore.
    pub fn relax_webhook(&mut self) {
        self.troubles.webhook = None;
        for workload in 0..self.workloads.len() {
            self.mark_dirty(workload);
        }
        self.settle();
    }

    /// Why the source cannot be fetched, whatever serves it.
    pub(super) fn source_refused(&self) -> Option<String> {
        let url = &self.source.url;
        let said = |words: &str| format!("failed to checkout and determine revision: unable to list remote for '{url}': {words}");
        if self.troubles.denied {
            return Some(said(
                "ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain",
            ));
        }
        let late = self.troubles.late_names.is_some_and(|until| self.now < until);
        late.then(|| said("dial tcp: lookup scm.titan.example on 10.43.0.10:53: server misbehaving"))
    }

    pub(crate) fn source_denied(&self) -> bool {
        self.troubles.denied
    }

    /// The API server's word on a Certificate, which cert-manager's webhook must allow.
    pub(super) fn certificate_refused(&self, kustomization: usize) -> Option<String> {
        let certified = self.troubles.certificates.is_some() && kustomization == catalogue::kustomization(CERTIFIED);
        certified.then(|| {
            "Certificate/keycloak/sso dry-run failed (InternalError): Internal error occurred: failed calling webhook \"webhook.cert-manager.io\": failed to call webhook: Post \"https://cert-manager-webhook.cert-manager.svc:443/validate?timeout=30s\": tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
        })
    }

    /// An APIService that outlived what it leads to.
    pub fn orphaned_api(&self) -> Option<(&'static str, ObjectRef)> {
        let service = ObjectRef::new(Kind::Service, "monitoring", "prometheus-adapter");
        self.troubles.orphan.then_some(("v1beta1.custom.metrics.k8s.io", service))
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
        let missing = of.pods.len() < usize::try_from(of.replicas).unwrap_or(usize::MAX);
        let homeless = of.pods.iter().any(|pod| self.unschedulable.contains_key(pod));
        let cured_anew = of.trouble.is_some_and(|(kind, _)| kind.cure == super::Cure::Remade);
        (missing || cured_anew) && self.refuses_pods(workload)
            || homeless && (self.troubles.cordoned || self.site.pressed)
            || of.claims.iter().any(|volume| self.attachment_stuck(*volume))
    }

    /// A person must decide something about the cluster itself.
    pub(crate) fn decision_wanted(&self) -> bool {
        let releases = self.troubles.releases.values().any(|trouble| trouble.needs_person());
        releases
            || self.control_is_lost()
            || self.address_is_lost()
            || self.source_denied()
            || (0..self.workloads.len()).any(|row| self.waits_for_decision(row))
    }
}
