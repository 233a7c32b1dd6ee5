//! What a cluster needs that waits for itself: when Flux is fetched from a Git server that Flux should bring up, and images
//! come from a registry that needs images, something of it has to be kept outside.
//!
//! Layers are what single Kustomizations applied, as the cluster had it on the last healthy day, in the order in which the
//! config names them. Of a layer only what is absent is ever made. Secrets are not kept.

mod manifest;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use manifest::{KINDS, Manifest};

use crate::name::{ArchiveName, Kind, Moment, ObjectRef};
use crate::observation::WorkloadState;

/// What the config has for a cluster that waits for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapSpec {
    /// How long something is missed before what is kept is used: much heals by itself.
    pub wait: Duration,
    /// Kustomizations whose objects are kept, in the order in which they are brought back.
    pub layers: Vec<ObjectRef>,
    /// Where Flux fetches from while its own source cannot be had.
    pub mirror: Option<Arc<str>>,
    /// Images on this machine.
    pub archives: Vec<Archive>,
    /// What was kept; journals do not repeat it.
    #[serde(skip)]
    pub cache: Arc<Cache>,
}

/// The layers, as they were on one day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cache {
    pub layers: Vec<Layer>,
}

/// What one Kustomization applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub kustomization: ObjectRef,
    /// `status.lastAppliedRevision`.
    pub revision: Arc<str>,
    pub taken: Moment,
    /// In the order in which they are made.
    pub objects: Vec<Manifest>,
    /// Objects that it applied and that are not kept, as `Kind namespace/name`.
    pub left_out: BTreeSet<Arc<str>>,
}

/// Bytes of JSON that the ConfigMaps of one layer may have, as many as one object of the cluster may: what has more is data.
const MAX_CONFIG: usize = 1 << 20;

impl Layer {
    /// Sorts the objects, and leaves out the ConfigMaps that are too much.
    pub fn of(
        kustomization: ObjectRef,
        (revision, taken): (Arc<str>, Moment),
        mut objects: Vec<Manifest>,
        mut left_out: BTreeSet<Arc<str>>,
    ) -> Self {
        objects.sort_by(|one, other| (one.rank(), &one.object).cmp(&(other.rank(), &other.object)));
        let mut config = 0_usize;
        objects.retain(|manifest| {
            let size = if manifest.object.kind == Kind::ConfigMap { manifest.body.to_string().len() } else { 0 };
            let fits = config.saturating_add(size) <= MAX_CONFIG;
            if fits {
                config = config.saturating_add(size);
            } else {
                left_out.insert(manifest.object.to_string().into());
            }
            fits
        });
        Self { kustomization, revision, taken, objects, left_out }
    }

    pub fn workloads(&self) -> impl Iterator<Item = &Manifest> {
        self.objects.iter().filter(|manifest| manifest.is_workload())
    }

    /// Its workloads that the cluster does not have.
    pub fn absent<'a>(&'a self, workloads: &[WorkloadState]) -> Vec<&'a Manifest> {
        let there = |object: &ObjectRef| workloads.iter().any(|workload| workload.object == *object);
        self.workloads().filter(|manifest| !there(&manifest.object)).collect()
    }
}

/// A file with images, as `docker save` or `ctr images export` write it, in the directory of archives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    pub name: ArchiveName,
    pub images: Vec<ArchivedImage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedImage {
    /// With its registry, as a pod's kubelet names it.
    pub reference: Arc<str>,
    /// As Go and Kubernetes call it: `amd64`, `arm64`.
    pub architecture: Arc<str>,
}

impl Default for BootstrapSpec {
    fn default() -> Self {
        let (layers, mirror, archives, cache) = (Vec::new(), None, Vec::new(), Arc::default());
        Self { wait: Duration::from_secs(180), layers, mirror, archives, cache }
    }
}

impl BootstrapSpec {
    /// The archive that has an image for machines of this kind.
    pub fn archive(&self, image: &str, architecture: &str) -> Option<&Archive> {
        let fits = |one: &ArchivedImage| *one.reference == *image && *one.architecture == *architecture;
        self.archives.iter().find(|archive| archive.images.iter().any(fits))
    }

    /// Kinds of machines that an image is kept for.
    pub fn architectures(&self, image: &str) -> BTreeSet<&str> {
        let images = self.archives.iter().flat_map(|archive| &archive.images);
        images.filter(|one| *one.reference == *image).map(|one| one.architecture.as_ref()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_layer_is_sorted_and_leaves_out_config_that_is_data() {
        let manifest = |kind, name: &str, size: usize| {
            let body = json!({"metadata": {"name": name}, "data": {"config": "x".repeat(size)}});
            Manifest::of(ObjectRef::new(kind, "git", name), body).unwrap()
        };
        let objects = vec![
            manifest(Kind::Ingress, "web", 0),
            manifest(Kind::ConfigMap, "b", 700_000),
            manifest(Kind::ConfigMap, "a", 700_000),
            manifest(Kind::ConfigMap, "c", 9),
            manifest(Kind::Namespace, "git", 0),
        ];
        let kustomization = ObjectRef::new(Kind::Kustomization, "flux-system", "git");
        let secret = BTreeSet::from([Arc::from("Secret git/key")]);
        let layer = Layer::of(kustomization, ("main@sha1:0".into(), Moment::from_millis(0)), objects, secret);
        let names: Vec<String> = layer.objects.iter().map(|manifest| manifest.object.to_string()).collect();
        assert_eq!(names, ["Namespace git/git", "ConfigMap git/a", "ConfigMap git/c", "Ingress git/web"]);
        assert_eq!(layer.left_out.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["ConfigMap git/b", "Secret git/key"]);
    }
}
