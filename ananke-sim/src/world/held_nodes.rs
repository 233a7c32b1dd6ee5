//! Nodes that are kept from taking pods, after the reason has gone.

use std::sync::Arc;
use std::time::Duration;

use ananke_core::lease::{
    ANNOTATION, Lease, MANUAL_ANNOTATION, MANUAL_LABEL, Purpose, SCHEMA, TAINT_EFFECT, TAINT_KEY, remove_with,
};
use ananke_core::name::{LeaseId, NodeName, ObjectRef};
use ananke_core::observation::Taint;

use super::{Event, Ms, World, parsed};

/// After the mains, when most of the cluster is there again.
const KURED_LOOKS: Ms = 150_000;
pub(super) const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

impl World {
    /// As the run wrote it when it began to repair the node, half an hour ago.
    pub(super) fn leave_cordon(&mut self, row: usize) {
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

    /// kured cordoned one node after the other and gave none back: a node that is no more has its lock.
    pub(super) fn leave_reboot_lock(&mut self) -> Result<(), String> {
        let kured = self.install_daemon("kube-system", "kured");
        self.troubles.reboot_lock = Some((kured, "titan-old".into()));
        self.cordon_all()
    }

    /// kured finds the file that asks for a reboot, as soon as it looks.
    pub(super) fn want_reboot(&mut self, node: usize) {
        self.install_daemon("kube-system", "kured");
        self.after(KURED_LOOKS, Event::OtherReboots(node));
    }

    pub(super) fn other_reboots(&mut self, node: usize) {
        let name = self.nodes[node].name.clone();
        // A host that is not there is not rebooted.
        drop(self.reboot(&name));
    }

    /// Somebody declared the nodes dead while they were dark, so that their volumes could go elsewhere.
    pub(super) fn leave_out_of_service(&mut self) -> Result<(), String> {
        self.evicted_leaf()?;
        self.troubles.fenced = true;
        for row in 0..self.nodes.len() {
            let taint = Taint { key: OUT_OF_SERVICE.into(), value: "nodeshutdown".into(), effect: "NoSchedule".into() };
            self.nodes[row].taints.push(taint);
            self.taints_changed(row);
        }
        Ok(())
    }

    /// All nodes are cordoned, and a pod that was evicted has nowhere to go.
    pub(super) fn cordon_all(&mut self) -> Result<(), String> {
        self.evicted_leaf()?;
        self.troubles.cordoned = true;
        for name in self.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>() {
            self.person_cordon(&name).map_err(|refusal| refusal.to_string())?;
        }
        Ok(())
    }

    /// A person takes Ananke's mark and its cordon off a node, as the sentence on it says. Whether there was one.
    pub(crate) fn lift_mark(&mut self, name: &NodeName) -> bool {
        let Some(row) = self.node_row(name).filter(|row| self.nodes[*row].annotations.contains_key(MANUAL_ANNOTATION)) else {
            return false;
        };
        let node = &mut self.nodes[row];
        node.taints.retain(|taint| &*taint.key != TAINT_KEY);
        [ANNOTATION, MANUAL_ANNOTATION].iter().for_each(|key| drop(node.annotations.remove(*key)));
        node.labels.remove(MANUAL_LABEL);
        self.taints_changed(row);
        self.settle();
        true
    }

    /// The node for which kured's DaemonSet has its lock.
    pub fn reboot_lock(&self, workload: &ObjectRef) -> Option<&Arc<str>> {
        let (kured, holder) = self.troubles.reboot_lock.as_ref()?;
        (self.workloads[*kured].object == *workload).then_some(holder)
    }
}
