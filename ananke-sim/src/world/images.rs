//! Images: what a node has, and pulls of what it does not.

use std::sync::Arc;

use ananke_core::bootstrap::{Archive, ArchivedImage};
use ananke_core::name::{ArchiveName, NodeName};

use super::catalogue::{CIRCLE, HARBOR};
use super::{Event, Ms, Pod, World, parsed};

/// A kubelet tries again after ten seconds, then ever more slowly up to five minutes.
const FIRST_RETRY: Ms = 10_000;
const LAST_RETRY: Ms = 300_000;

impl World {
    /// The image is on the node once this is true. Where it cannot be pulled, the kubelet says so and tries again.
    pub(super) fn image_is_there(&mut self, row: usize) -> bool {
        let pod = &self.pods[row];
        let (workload, epoch) = (pod.workload, pod.epoch);
        let Some(node) = pod.node else { return false };
        if self.nodes[node].images.contains(&workload) {
            return true;
        }
        if self.registry_serves(&self.workloads[workload].registry) {
            self.nodes[node].images.insert(workload);
            self.change_pod(row, |pod| pod.pulls = 0);
            return true;
        }
        let failed = self.pods[row].pulls;
        self.change_pod(row, |pod| (pod.pulls, pod.reason) = (failed + 1, "ImagePullBackOff"));
        let wait = (FIRST_RETRY << failed.min(10)).min(LAST_RETRY);
        self.after(wait, Event::PodStarted(row, epoch));
        false
    }

    /// What the cluster does not serve itself stands elsewhere, and is up.
    fn registry_serves(&self, registry: &str) -> bool {
        !self.is_inside(registry) || self.serves(self.known.registry) && self.site_works(HARBOR)
    }

    fn is_inside(&self, registry: &str) -> bool {
        registry == HARBOR && self.ingresses.iter().any(|ingress| &*ingress.host == HARBOR)
    }

    /// Its images come from the cluster's own registry.
    pub(crate) fn pulls_from_here(&self, workload: usize) -> bool {
        self.is_inside(&self.workloads[workload].registry)
    }

    /// A pod of it waits for an image.
    pub(crate) fn lacks_image(&self, workload: usize) -> bool {
        self.workloads[workload].pods.iter().any(|pod| self.pods[*pod].pulls > 0)
    }

    /// The cluster's own registry and what belongs to it: from outside nobody can tell what of it serves images.
    pub(crate) fn beside_registry(&self) -> impl Iterator<Item = usize> {
        let namespace = &self.workloads[self.known.registry].object.namespace;
        (0..self.workloads.len()).filter(move |row| self.workloads[*row].object.namespace == *namespace)
    }

    /// What must serve for images to be had from the cluster's own registry.
    pub(crate) fn serve_images(&self) -> Vec<usize> {
        let front = self.ingresses.iter().find(|ingress| &*ingress.host == HARBOR).map(|ingress| ingress.backend);
        [self.known.registry, self.known.ingress].into_iter().chain(front).collect()
    }

    /// What a kubelet says of a pod whose image it cannot have.
    pub fn pull_failure(&self, pod: &Pod) -> Option<String> {
        if pod.pulls == 0 || pod.reason != "ImagePullBackOff" {
            return None;
        }
        let (image, registry) = (self.workloads[pod.workload].image(), &self.workloads[pod.workload].registry);
        Some(format!(
            "Back-off pulling image \"{image}\": ErrImagePull: failed to pull and unpack image \"{image}\": failed to resolve \
             reference \"{image}\": failed to do request: Head \"https://{registry}/v2/\": dial tcp 192.168.22.9:443: connect: \
             connection refused"
        ))
    }

    /// What Git and the registry run has been on every node once.
    pub(super) fn spread_images(&mut self) {
        let of = |kust: &&super::Kustomization| CIRCLE.contains(&&*kust.meta.object.name);
        let rows: Vec<usize> = self.kustomizations.iter().filter(of).flat_map(|kust| kust.workloads.iter().copied()).collect();
        self.nodes.iter_mut().for_each(|node| node.images.extend(&rows));
    }

    /// Every node's container runtime has an empty store. Harbor's own images come from Harbor; its operator has put them
    /// aside.
    pub(super) fn lose_images(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.images.clear());
        let harbor = self.workloads.iter_mut().filter(|workload| &*workload.object.namespace == "harbor");
        harbor.for_each(|workload| workload.registry = HARBOR.into());
        self.archives = archives(self);
    }

    /// An archive of the host of Ananke is loaded on a node, which takes nothing that is made for other machines.
    ///
    /// # Errors
    /// What the container runtime says.
    pub fn load_archive(&mut self, node: &NodeName, name: &ArchiveName) -> Result<(), String> {
        let row = self.node_row(node).ok_or("there is no such host")?;
        let archive = self.archives.iter().find(|archive| archive.name == *name).ok_or("no such file")?;
        let fits = |image: &&ArchivedImage| self.nodes[row].labels.get("kubernetes.io/arch") == Some(&image.architecture);
        let images: Vec<Arc<str>> = archive.images.iter().filter(fits).map(|image| image.reference.clone()).collect();
        if images.is_empty() {
            return Err("ctr: no match for platform in manifest: not found".to_owned());
        }
        self.load_images(row, &images)
    }

    /// Images of an archive are loaded into the container runtime of a node.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn load_images(&mut self, node: usize, references: &[Arc<str>]) -> Result<(), String> {
        if node >= self.nodes.len() {
            return Err("there is no such node".to_owned());
        }
        for row in 0..self.workloads.len() {
            if references.contains(&Arc::from(self.workloads[row].image())) {
                self.nodes[node].images.insert(row);
            }
        }
        self.note(|world| format!("{} images loaded on {}", references.len(), world.nodes[node].name));
        Ok(())
    }
}

/// What an operator has put aside of Harbor, for each kind of machine.
fn archives(world: &World) -> Vec<Archive> {
    let harbor = || world.workloads.iter().filter(|workload| &*workload.object.namespace == "harbor");
    let archive = |architecture: &str| Archive {
        name: parsed(ArchiveName::parse, &format!("harbor-{architecture}.tar")),
        images: harbor()
            .map(|workload| ArchivedImage { reference: workload.image().into(), architecture: architecture.into() })
            .collect(),
    };
    ["amd64", "arm64"].map(archive).into()
}
