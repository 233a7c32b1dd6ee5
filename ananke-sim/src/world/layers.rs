//! Objects that Git has and the cluster does not: taken away by a prune, made again by whoever applies or creates them.

use std::collections::BTreeSet;

use ananke_core::bootstrap::{Archive, Layer, Manifest};
use ananke_core::name::{Kind, Moment, ObjectRef};
use serde_json::{Value, json};

use super::catalogue::CIRCLE;
use super::{Refusal, What, World};

impl World {
    /// Whether the API has an object that a Kustomization applies.
    pub fn has(&self, object: &ObjectRef) -> bool {
        self.pruned.is_empty() || !self.pruned.contains(object)
    }

    pub(super) fn is_pruned(&self, workload: usize) -> bool {
        !self.has(&self.workloads[workload].object)
    }

    /// Git and the registry are taken away, with an old revision that the source cannot get out of since; claims stay.
    pub(super) fn prune_foundation(&mut self) {
        let named = |kust: &&super::Kustomization| CIRCLE.contains(&&*kust.meta.object.name);
        let rows: Vec<usize> = (0..self.kustomizations.len()).filter(|row| named(&&self.kustomizations[*row])).collect();
        let mut lost: Vec<ObjectRef> = rows.iter().flat_map(|row| self.objects_of(*row)).collect();
        for release in 0..self.releases.len() {
            if rows.contains(&self.releases[release].kustomization) {
                lost.extend(self.uninstall(release));
            }
        }
        for object in lost {
            if self.has(&object) {
                self.take_away(object);
            }
        }
        self.lose_source();
    }

    /// Somebody deletes what a Kustomization applied.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for anything else.
    pub fn delete(&mut self, object: &ObjectRef) -> Result<(), Refusal> {
        let applied = (0..self.kustomizations.len()).any(|row| self.applied_by(row).contains(object));
        if !applied && self.release_of(object).is_none() {
            return Err(Refusal::Invalid(format!("neither a Kustomization applied {object} nor a chart has it")));
        }
        self.note(|_| format!("{object} deleted"));
        self.take_away(object.clone());
        self.settle();
        Ok(())
    }

    fn take_away(&mut self, object: ObjectRef) {
        let workload = self.find_workload(&object);
        for pod in workload.map(|row| self.workloads[row].pods.clone()).unwrap_or_default() {
            self.remove_pod(pod);
        }
        let version = self.touched(What::Deleted, &object, workload.unwrap_or(0));
        if let Some(row) = workload {
            self.workloads[row].rv = version;
        }
        self.unmarked.remove(&object);
        self.pruned.insert(object);
    }

    /// What a Kustomization applies itself of the kinds that layers have: its workloads with what belongs to them, but for
    /// those of a chart, and a ConfigMap and a ServiceAccount of its name, which nothing in the world needs.
    pub fn applied_by(&self, kustomization: usize) -> Vec<ObjectRef> {
        let Some(kust) = self.kustomizations.get(kustomization) else { return Vec::new() };
        let own = kust.workloads.iter().filter(|row| !self.is_of_a_chart(**row));
        let mut objects: Vec<ObjectRef> = own.flat_map(|row| self.parts_of(*row)).collect();
        if let Some(first) = kust.workloads.first().and_then(|row| self.workloads.get(*row)) {
            let beside = |kind| ObjectRef::new(kind, &first.object.namespace, &kust.meta.object.name);
            objects.extend([Kind::ServiceAccount, Kind::ConfigMap].map(beside));
        }
        objects
    }

    /// Workloads, Services and Ingresses that a Kustomization brings, by itself or by a chart.
    pub fn objects_of(&self, kustomization: usize) -> Vec<ObjectRef> {
        let kust = self.kustomizations.get(kustomization);
        kust.into_iter().flat_map(|kust| &kust.workloads).flat_map(|row| self.parts_of(*row)).collect()
    }

    /// A workload, its Service and its Ingresses.
    pub(super) fn parts_of(&self, row: usize) -> Vec<ObjectRef> {
        let Some(workload) = self.workloads.get(row) else { return Vec::new() };
        let service = workload.service.then(|| workload.service_ref());
        let ingresses = self.ingresses.iter().filter(|ingress| ingress.backend == row);
        [workload.object.clone()].into_iter().chain(service).chain(ingresses.map(|ingress| ingress.object.clone())).collect()
    }

    /// What Git and the registry are made of, whether or not it is there; none where the cluster has neither.
    pub fn layers(&self, taken: Moment) -> Vec<Layer> {
        let row = |name: &&str| self.kustomizations.iter().position(|kust| *kust.meta.object.name == **name);
        let layer = |row: usize| {
            let kust = self.kustomizations.get(row)?;
            let objects = self.objects_of(row).into_iter().filter_map(|object| Manifest::of(object.clone(), self.body(&object)));
            let revision = kust.applied_revision.clone().unwrap_or_default();
            Some(Layer::of(kust.meta.object.clone(), (revision, taken), objects.collect(), BTreeSet::new()))
        };
        CIRCLE.iter().filter_map(row).filter_map(layer).collect()
    }

    /// As much of it as decisions rest on.
    fn body(&self, object: &ObjectRef) -> Value {
        let rows = self.find_workload(object).map(|row| self.workloads[row].claims.clone()).unwrap_or_default();
        let claims = rows.iter().filter_map(|row| self.volumes.get(*row)).map(|volume| &volume.claim.name);
        let volumes: Vec<Value> = claims.map(|claim| json!({"persistentVolumeClaim": {"claimName": claim}})).collect();
        let (labels, annotations) = self.marks(object).unwrap_or_default();
        json!({
            "kind": object.kind.to_string(),
            "metadata": {"namespace": object.namespace, "name": object.name, "labels": labels, "annotations": annotations},
            "spec": {"template": {"spec": {"volumes": volumes}}},
        })
    }

    pub fn archives(&self) -> &[Archive] {
        &self.archives
    }

    /// Makes an object of which the world knows what it is; one that is there stays as it is. Of `body` only what Helm looks
    /// at counts.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for what nothing in the world stands for, [`Refusal::Missing`] where its namespace is not there.
    pub fn create(&mut self, object: &ObjectRef, body: &Value) -> Result<(), Refusal> {
        if !object.namespace.is_empty() && !self.namespaces.iter().any(|there| there.name == object.namespace) {
            return Err(Refusal::Missing(format!("namespaces \"{}\"", object.namespace)));
        }
        if !self.has(object) {
            self.note(|_| format!("{object} made again"));
            if !self.is_marked(object, body) {
                self.unmarked.insert(object.clone());
            }
            self.make_again(object);
            self.settle();
            return Ok(());
        }
        let of_workload = |of: &super::Workload| of.object == *object || of.service && of.service_ref() == *object;
        let known = matches!(object.kind, Kind::ConfigMap | Kind::ServiceAccount | Kind::Namespace)
            || self.ingresses.iter().any(|ingress| ingress.object == *object)
            || self.workloads.iter().any(of_workload);
        if known { Ok(()) } else { Err(Refusal::Invalid(format!("nothing in the world stands for {object}"))) }
    }

    /// kustomize-controller makes what is missing of what it applies.
    pub(super) fn apply_missing(&mut self, kustomization: usize) {
        if self.pruned.is_empty() {
            return;
        }
        for object in self.applied_by(kustomization) {
            if self.pruned.remove(&object) {
                self.note(|_| format!("{object} applied"));
                self.made(&object);
            }
        }
        for row in 0..self.releases.len() {
            let release = &self.releases[row];
            if release.kustomization == kustomization && self.pruned.remove(&release.meta.object) {
                self.note(|world| format!("{} applied", world.releases[row].meta.object));
                self.release_made(row);
            }
        }
    }

    pub(super) fn make_again(&mut self, object: &ObjectRef) {
        self.pruned.remove(object);
        self.made(object);
    }

    fn made(&mut self, object: &ObjectRef) {
        match self.find_workload(object) {
            Some(row) => {
                self.workloads[row].rv = self.touched(What::Added, object, row);
                self.mark_dirty(row);
            }
            None => drop(self.touched(What::Added, object, 0)),
        }
    }
}
