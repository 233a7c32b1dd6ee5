//! What clients of the API can do to the cluster: people, Ananke, anybody with a kubeconfig.
//!
//! Whether the API can be reached at all is asked before, by whoever carries the call.

use std::sync::Arc;

use ananke_core::name::{Kind, NodeName, ObjectRef, Uid};
use ananke_core::observation::Taint;
use ananke_core::order::REQUESTED_ANNOTATION;

use super::flux::FluxRow;
use super::{Refusal, World};

/// Changes to a Node. `None` in a pair removes the key.
#[derive(Debug, Clone, Default)]
pub struct NodePatch {
    pub labels: Vec<(Arc<str>, Option<Arc<str>>)>,
    pub annotations: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// The whole list that shall be there.
    pub taints: Option<Vec<Taint>>,
    pub unschedulable: Option<bool>,
}

impl World {
    /// Patches a Node, on condition that it is at `seen` where that is given.
    pub fn patch_node(&mut self, name: &NodeName, seen: Option<u64>, patch: NodePatch) -> Result<(), Refusal> {
        let row = self.node_row(name).ok_or_else(|| Refusal::Missing(format!("nodes \"{name}\"")))?;
        check_version(self.nodes[row].rv, seen)?;
        let node = &mut self.nodes[row];
        let before = (node.labels.clone(), node.annotations.clone(), node.taints.clone(), node.unschedulable);
        apply(&mut node.labels, patch.labels);
        apply(&mut node.annotations, patch.annotations);
        if let Some(taints) = patch.taints {
            node.taints = taints;
        }
        if let Some(unschedulable) = patch.unschedulable {
            node.unschedulable = unschedulable;
        }
        if before == (node.labels.clone(), node.annotations.clone(), node.taints.clone(), node.unschedulable) {
            return Ok(());
        }
        self.note(|world| format!("{name} patched: taints {:?}", taint_keys(&world.nodes[row].taints)));
        self.taints_changed(row);
        if self.control.controllers {
            self.taints_follow(row);
        }
        self.settle();
        Ok(())
    }

    /// `kubectl cordon`.
    pub fn person_cordon(&mut self, name: &NodeName) -> Result<(), Refusal> {
        self.patch_node(name, None, NodePatch { unschedulable: Some(true), ..NodePatch::default() })
    }

    /// `kubectl uncordon`.
    pub fn person_uncordon(&mut self, name: &NodeName) -> Result<(), Refusal> {
        self.patch_node(name, None, NodePatch { unschedulable: Some(false), ..NodePatch::default() })
    }

    /// Sets `spec.ref.branch` of the source; the branch need not exist.
    pub fn set_branch(&mut self, source: &ObjectRef, seen: Option<u64>, branch: &str) -> Result<(), Refusal> {
        let row = self.flux_row(source)?;
        if row != FluxRow::Source {
            return Err(Refusal::Invalid(format!("{source} has no branch")));
        }
        check_version(self.source.meta.rv, seen)?;
        if &*self.source.branch != branch {
            self.source.branch = branch.into();
            self.source.meta.generation += 1;
            self.note(|_| format!("{source}: branch {branch}"));
            self.touch_flux(row);
            self.flux_changed(row);
        }
        Ok(())
    }

    /// Sets `spec.url` of the source.
    pub fn set_url(&mut self, source: &ObjectRef, seen: Option<u64>, url: &str) -> Result<(), Refusal> {
        let row = self.flux_row(source)?;
        if row != FluxRow::Source {
            return Err(Refusal::Invalid(format!("{source} has no URL")));
        }
        check_version(self.source.meta.rv, seen)?;
        if &*self.source.url != url {
            self.source.url = url.into();
            self.source.meta.generation += 1;
            self.note(|_| format!("{source}: URL {url}"));
            self.touch_flux(row);
            self.flux_changed(row);
        }
        Ok(())
    }

    /// Sets and removes annotations of a Flux object; a new `requestedAt` makes its controller look.
    pub fn annotate_flux(
        &mut self,
        object: &ObjectRef,
        seen: Option<u64>,
        changes: Vec<(Arc<str>, Option<Arc<str>>)>,
    ) -> Result<(), Refusal> {
        let row = self.flux_row(object)?;
        check_version(self.flux_object(row).rv, seen)?;
        let meta = self.flux_object_mut(row);
        let before = meta.annotations.clone();
        apply(&mut meta.annotations, changes);
        if meta.annotations != before {
            let asked = meta.annotations.get(REQUESTED_ANNOTATION) != before.get(REQUESTED_ANNOTATION);
            self.touch_flux(row);
            if asked {
                self.note(|_| format!("{object}: reconciliation requested"));
                self.flux_changed(row);
            }
        }
        Ok(())
    }

    /// Sets `spec.suspend`. What is under way goes on.
    pub fn suspend_flux(&mut self, object: &ObjectRef, seen: Option<u64>, suspend: bool) -> Result<(), Refusal> {
        let row = self.flux_row(object)?;
        check_version(self.flux_object(row).rv, seen)?;
        let meta = self.flux_object_mut(row);
        if meta.suspended != suspend {
            (meta.suspended, meta.generation) = (suspend, meta.generation + 1);
            if suspend {
                // Controllers skip suspended objects, and their observedGeneration stays behind until they are resumed.
                self.note(|_| format!("{object}: suspended"));
            } else {
                self.note(|_| format!("{object}: resumed"));
            }
            self.touch_flux(row);
            if !suspend {
                self.flux_changed(row);
            }
        }
        Ok(())
    }

    /// Deletes a pod with its grace period; on a dead node it stays Terminating.
    pub fn delete_pod(&mut self, namespace: &str, name: &str, uid: Option<&Uid>) -> Result<(), Refusal> {
        let row = self.named_pod(namespace, name, uid)?;
        // With a dead node nothing is lost that runs.
        let lives = self.pods[row].node.is_some_and(|node| self.nodes[node].alive_since.is_some());
        if lives && self.refuses_pods(self.pods[row].workload) && self.pods[row].deleting.is_none() {
            self.harmed(format!("{namespace}/{name} was deleted while a webhook lets no pod be made in its place"));
        }
        if self.is_only_copy(row) {
            self.harmed(format!("{namespace}/{name} was deleted, the primary of a database that no replica follows"));
        }
        self.let_go(row);
        Ok(())
    }

    /// The same by a person, who knows what it does or learns it: that is no harm of Ananke's.
    pub fn person_deletes_pod(&mut self, namespace: &str, name: &str) -> Result<(), Refusal> {
        let row = self.named_pod(namespace, name, None)?;
        self.let_go(row);
        Ok(())
    }

    fn let_go(&mut self, row: usize) {
        self.note(|world| format!("deleted {}/{}", world.pods[row].object.namespace, world.pods[row].object.name));
        self.terminate(row);
        self.settle();
    }

    /// Deletes a pod with grace 0: the object goes at once, whatever its containers do.
    pub fn force_delete_pod(&mut self, namespace: &str, name: &str, uid: Option<&Uid>) -> Result<(), Refusal> {
        let row = self.named_pod(namespace, name, uid)?;
        if self.pods[row].running {
            self.harmed(format!("{namespace}/{name} was forced away while its containers run"));
        }
        self.note(|_| format!("force-deleted {namespace}/{name}"));
        self.remove_pod(row);
        self.settle();
        Ok(())
    }

    pub fn scale(&mut self, workload: &ObjectRef, seen: Option<u64>, replicas: u32) -> Result<(), Refusal> {
        let row = self.find_workload(workload).ok_or_else(|| Refusal::Missing(workload.to_string()))?;
        check_version(self.workloads[row].rv, seen)?;
        if workload.kind == Kind::DaemonSet {
            return Err(Refusal::Invalid(format!("{workload} cannot be scaled")));
        }
        if self.workloads[row].replicas != replicas {
            let object = &mut self.workloads[row];
            (object.replicas, object.generation) = (replicas, object.generation + 1);
            self.note(|_| format!("{workload} scaled to {replicas}"));
            self.touch_workload(row);
            self.mark_dirty(row);
            self.settle();
        }
        Ok(())
    }

    /// `kubectl annotate`: the workload is at a new version, and nothing that the world knows of it changes.
    pub fn annotate_workload(&mut self, workload: &ObjectRef) -> Result<(), Refusal> {
        let row = self.find_workload(workload).ok_or_else(|| Refusal::Missing(workload.to_string()))?;
        self.touch_workload(row);
        Ok(())
    }

    fn flux_row(&self, object: &ObjectRef) -> Result<FluxRow, Refusal> {
        if *object == self.source.meta.object {
            return Ok(FluxRow::Source);
        }
        (self.kustomizations.iter().position(|kust| kust.meta.object == *object))
            .map(FluxRow::Kustomization)
            .or_else(|| self.releases.iter().position(|release| release.meta.object == *object).map(FluxRow::Release))
            .ok_or_else(|| Refusal::Missing(object.to_string()))
    }

    pub(super) fn named_pod(&self, namespace: &str, name: &str, uid: Option<&Uid>) -> Result<usize, Refusal> {
        let row = self.find_pod(namespace, name).ok_or_else(|| Refusal::Missing(format!("pods \"{name}\"")))?;
        match uid {
            Some(uid) if *uid != self.pods[row].uid => Err(Refusal::OtherUid { found: self.pods[row].uid.clone() }),
            Some(_) | None => Ok(row),
        }
    }
}

fn check_version(found: u64, seen: Option<u64>) -> Result<(), Refusal> {
    match seen {
        Some(seen) if seen != found => Err(Refusal::Conflict { found }),
        Some(_) | None => Ok(()),
    }
}

fn apply(words: &mut super::Words, changes: Vec<(Arc<str>, Option<Arc<str>>)>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(words.insert(key, value)),
            None => drop(words.remove(&key)),
        }
    }
}

fn taint_keys(taints: &[Taint]) -> Vec<&str> {
    taints.iter().map(|taint| &*taint.key).collect()
}
