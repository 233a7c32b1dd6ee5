//! Images come from a registry that runs in this cluster, and is not up.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::name::{ArchiveName, NodeName};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::RegistryInClusterDeadlock,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "pulls fail at a registry whose host leads to a workload of this cluster",
    precondition: "an archive has the image for the node's kind of machine (bootstrap.image_archives), and it was waited for bootstrap.wait (3m)",
    budget: "six loads a node, five and a half minutes apart",
    effect: "loads the image on the node over SSH; without an archive it waits for the registry, which the gate foundation judges",
    evidence: &["https://github.com/goharbor/harbor/issues/20524", "https://github.com/spegel-org/spegel/issues/2"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["failed to pull image", "back-off pulling image", "failed to resolve reference"];

/// An image that a node can be given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    pub(crate) node: NodeName,
    pub(crate) archive: ArchiveName,
    pub(crate) image: Arc<str>,
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    let host = case.inside_registry(said.text)?;
    let text = format!("its image comes from {host}, which this cluster serves itself: {}", said.quoted());
    let kept = image(said.text, host).map(|image| case.view.spec.bootstrap.architectures(image)).unwrap_or_default();
    let place = said.place();
    let instruction = if !loads(case).is_empty() {
        format!("look at what `sudo k3s ctr images ls` has on {place}: the image was loaded, and its pod does not start")
    } else if kept.is_empty() {
        format!(
            "bring up the registry {host} first; if this is part of it, load its image on {place} from an archive (`sudo k3s ctr images import`)"
        )
    } else {
        let kept: Vec<&str> = kept.into_iter().collect();
        format!("put an archive of its image for {place} into bootstrap.image_archives: there is one for {}", kept.join(" and "))
    };
    Some(Finding::new(text, instruction))
}

/// What could be loaded for the workload that waits.
pub(super) fn loads(case: &Case<'_>) -> Vec<Load> {
    let load = |pod: &&crate::observation::PodState| {
        let host = case.inside_registry(&pod.message).filter(|_| super::evidence::says(&pod.message, WORDS))?;
        let (image, node) = (image(&pod.message, host)?, pod.node.as_ref()?);
        let architecture = case.view.node(node).ok()??.architecture.as_ref()?;
        let archive = case.view.spec.bootstrap.archive(image, architecture)?;
        Some(Load { node: node.clone(), archive: archive.name.clone(), image: image.into() })
    };
    let loads: BTreeSet<Load> = case.pods().iter().filter_map(load).collect();
    loads.into_iter().collect()
}

/// The image of this registry that a kubelet names.
fn image<'a>(words: &'a str, host: &str) -> Option<&'a str> {
    words.split('"').find(|word| word.strip_prefix(host).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::of_bench;

    #[test]
    fn a_registry_elsewhere_is_another_matter() {
        let named = |host: &str| {
            of_bench(|bench| {
                bench.ingress(&["harbor.titan.example"]);
                let text = format!("Back-off pulling image \"{host}/infra/gitea:1\"");
                bench.pod("web-0", |pod| pod.message = text.as_str().into());
            })
        };
        assert_eq!(named("harbor.titan.example"), Some(Trap::RegistryInClusterDeadlock));
        assert_eq!(named("quay.example"), None);
    }

    #[test]
    fn the_image_is_what_the_kubelet_quotes() {
        let words =
            "Back-off pulling image \"h.example/a/b:1\": ErrImagePull: failed to do request: Head \"https://h.example/v2/\"";
        assert_eq!(image(words, "h.example"), Some("h.example/a/b:1"));
        assert_eq!(image(words, "example"), None);
    }
}
