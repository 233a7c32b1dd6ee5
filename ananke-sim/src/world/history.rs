//! What comes back from yesterday, and what is made anew: an etcd that was restored, a Node that was deleted and registered
//! again.

use ananke_core::name::{NodeName, Uid};
use ananke_core::observation::Taint;

use super::{What, Words, World, parsed};

/// The Nodes as the API had them at one time.
#[derive(Debug, Clone)]
pub struct NodesBackup {
    nodes: Vec<(Uid, Words, Words, Vec<Taint>, bool)>,
}

impl World {
    pub fn back_up_nodes(&self) -> NodesBackup {
        let kept = |node: &super::Node| {
            (node.uid.clone(), node.labels.clone(), node.annotations.clone(), node.taints.clone(), node.unschedulable)
        };
        NodesBackup { nodes: self.nodes.iter().map(kept).collect() }
    }

    /// etcd is restored: whatever was written to the Nodes since is forgotten.
    pub fn restore_nodes(&mut self, backup: &NodesBackup) {
        for (row, (uid, labels, annotations, taints, unschedulable)) in backup.nodes.iter().enumerate() {
            let node = &mut self.nodes[row];
            node.uid = uid.clone();
            (node.labels, node.annotations) = (labels.clone(), annotations.clone());
            (node.taints, node.unschedulable) = (taints.clone(), *unschedulable);
            self.follow_node(row);
        }
        self.note(|_| "etcd restored".to_owned());
        self.settle();
    }

    /// `kubectl delete node`, and the kubelet registers it again: another object under the same name.
    pub fn recreate_node(&mut self, name: &NodeName) {
        let Some(row) = self.node_row(name) else { return };
        let object = self.nodes[row].object.clone();
        self.touched(What::Deleted, &object, row);
        let uid = parsed(Uid::parse, &self.rng.uuid("recreated", row as u64, self.revision));
        let node = &mut self.nodes[row];
        node.uid = uid;
        node.annotations.retain(|key, _| !key.starts_with("ananke.dev/"));
        node.labels.retain(|key, _| !key.starts_with("ananke.dev/"));
        node.taints.clear();
        node.unschedulable = false;
        self.note(|_| format!("{name}: deleted and registered again"));
        self.follow_node(row);
        self.settle();
    }

    fn follow_node(&mut self, row: usize) {
        self.taints_changed(row);
        if self.control.controllers {
            self.taints_follow(row);
            self.look_soon(row);
        }
    }
}
