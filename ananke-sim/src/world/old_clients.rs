//! Pods that hold on to what they knew before the outage, to the harm of others: until they are made anew, others wait.

use std::sync::Arc;

use super::cluster_trouble::AGENT_TAINT;
use super::trouble::{STALE_LEADER, WEBHOOK_LOOP};
use super::{Event, Ms, World};

/// A DaemonSet whose pod from before keeps a node, or all, from something until it is made anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plugin {
    pub(super) workload: usize,
    pub(super) node: Option<usize>,
    pub(super) since: Ms,
}

/// A workload whose trouble a new pod of another ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cure {
    pub(super) by: usize,
    pub(super) of: usize,
    pub(super) since: Ms,
}

/// The Lease by which the pods of the attacher elect one of them.
#[derive(Debug, Clone)]
pub struct Leader {
    pub namespace: Arc<str>,
    pub name: &'static str,
    pub holder: Arc<str>,
    pub renewed: Ms,
    pub lasts_secs: u64,
}

const ATTACHER: (&str, &str) = ("longhorn-system", "csi-attacher");
const ATTACHER_LEASE: &str = "external-attacher-leader-driver-longhorn-io";
const LEASE_SECS: u64 = 15;
/// A candidate counts the Lease of another from when it first saw it.
const TAKES_OVER: Ms = 16_000;
/// A container that crashes is started again after this at most.
const BACK_OFF: Ms = 5 * 60_000;

/// So long after the mains the address has moved to a node that is not ready to have it.
const MOVED: std::ops::Range<Ms> = 120_000..200_000;

impl World {
    /// The storage of the node only waits for a new pod of its plugin.
    pub(crate) fn plugin_is_old(&self, node: usize) -> bool {
        self.troubles.driver.is_some_and(|plugin| plugin.node == Some(node))
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
        } else if is_new(&self.troubles.controller) {
            self.troubles.controller = None;
        } else if is_new(&self.troubles.speakers) {
            self.troubles.speakers = None;
        }
        self.cured(workload, created);
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

    /// kustomize-controller has connections that lead nowhere.
    pub(super) fn wedge_controller(&mut self) {
        let workload = self.known.kustomize_controller;
        self.troubles.controller = Some(Plugin { workload, node: None, since: self.now });
    }

    /// MetalLB's speakers announce no address.
    pub(super) fn silence_speakers(&mut self) -> Result<(), String> {
        let workload = self.row_of("metallb-system", "speaker")?;
        self.troubles.speakers = Some(Plugin { workload, node: None, since: self.now });
        Ok(())
    }

    /// What waited for a new pod of this workload waits no longer.
    fn cured(&mut self, workload: usize, created: Ms) {
        // The first manager that serves its webhook serves it to the others, which try again within a back-off.
        let loops = |(kind, since): &(super::trouble::Kind, Ms)| kind.id == WEBHOOK_LOOP && created > *since;
        let of = &self.workloads[workload];
        let first = || of.pods.iter().filter(|pod| self.pods[**pod].serving).count() == 1;
        if of.trouble.as_ref().is_some_and(loops) && first() {
            self.after(BACK_OFF, Event::TroublePasses(workload));
        }
        let cures = |it: &Cure| it.by == workload && created > it.since;
        while let Some(place) = self.troubles.cures.iter().position(cures) {
            let cure = self.troubles.cures.remove(place);
            if self.row_of(ATTACHER.0, ATTACHER.1) == Ok(workload) {
                self.after(TAKES_OVER, Event::TroublePasses(cure.of));
            } else {
                self.trouble_passes(cure.of);
            }
        }
    }

    /// Who leads the attacher; none where there is no attacher. A pod that is no more does while those that are there hang on
    /// connections that lead nowhere.
    pub fn leader(&self) -> Option<Leader> {
        let row = self.row_of(ATTACHER.0, ATTACHER.1).ok()?;
        let waits = |it: &super::Workload| it.trouble.is_some_and(|(kind, _)| kind.id == STALE_LEADER);
        let stale = self.workloads.iter().any(waits);
        let first = || self.workloads[row].pods.iter().find(|pod| self.pods[**pod].serving);
        let holder =
            if stale { format!("{}-6d8f5c9b7-x2k4q", ATTACHER.1).into() } else { self.pods[*first()?].object.name.clone() };
        let (namespace, name) = (ATTACHER.0.into(), ATTACHER_LEASE);
        Some(Leader {
            namespace,
            name,
            holder,
            renewed: if stale { 0 } else { self.now - self.now % 5_000 },
            lasts_secs: LEASE_SECS,
        })
    }

    /// What kustomize-controller says of an artifact that it cannot download.
    pub(super) fn artifact_unreached(&self) -> Option<String> {
        let commit = self.source.revision.as_deref().and_then(|revision| revision.rsplit_once(':')).map_or("", |(_, hash)| hash);
        let url = format!(
            "http://source-controller.flux-system.svc.cluster.local./gitrepository/flux-system/flux-system/{commit}.tar.gz"
        );
        self.troubles.controller.map(|_| {
            format!("failed to download archive: GET {url} giving up after 10 attempt(s): Get \"{url}\": dial tcp 10.43.118.20:80: i/o timeout")
        })
    }

    /// What would announce the addresses again is not made before a person has decided.
    pub(crate) fn address_barred(&self) -> bool {
        self.troubles.speakers.is_some_and(|plugin| self.gets_no_pod(plugin.workload))
    }

    /// The same of what would let kustomize-controller reach its source, or this Kustomization its certificates.
    pub(crate) fn kustomization_barred(&self, row: usize) -> bool {
        let certificates = self.troubles.certificates.filter(|_| self.certificate_refused(row).is_some());
        [self.troubles.controller, certificates].iter().flatten().any(|plugin| self.gets_no_pod(plugin.workload))
    }

    /// No host answers for the address of the ingress controller.
    pub(super) fn address_unannounced(&self) -> bool {
        self.troubles.failback && MOVED.contains(&self.now) || self.troubles.speakers.is_some()
    }
}
