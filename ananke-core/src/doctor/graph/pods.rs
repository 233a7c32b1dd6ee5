//! What pods need: images, claims, Secrets, cluster DNS, and whoever applies them.

use std::collections::BTreeMap;

use super::super::image;
use super::super::map::{ClusterMap, MapNode, PodImage, Pull, Workload, includes};
use super::super::need::{Cached, When};
use super::super::part::{Part, PartKind};
use super::{Needs, flux, names};

pub(super) fn add(map: &ClusterMap, needs: &mut Needs) {
    let stock = Stock::of(map);
    for workload in &map.workloads {
        let Some(from) = Part::of(&workload.object) else { continue };
        let namespace = &workload.object.namespace;
        for of in &workload.images {
            pull(&stock, workload, &from, of, needs);
        }
        for claim in &workload.claims {
            let claim = Part::new(PartKind::PersistentVolumeClaim, namespace, claim);
            needs.add(&from, &claim, When::Start, "its data");
        }
        for secret in &workload.secrets {
            needs.add(&from, &Part::new(PartKind::Secret, namespace, secret), When::Start, "its pods");
        }
        if workload.cluster_dns {
            for dns in map.services.iter().filter(|service| names::is_cluster_dns(service)) {
                needs.add(&from, &Part::service(&dns.object), When::Start, "the names that its pods ask for");
            }
        }
        if let Some(applier) = workload.applied_by.as_ref().filter(|_| !flux::is_controller(workload)) {
            needs.add(&from, applier, When::Apply, "its object");
        }
    }
}

fn pull(stock: &Stock<'_>, workload: &Workload, from: &Part, of: &PodImage, needs: &mut Needs) {
    let registry = Part::host(names::host_of(image::registry(&of.image)));
    let (when, why) = match of.pull {
        Pull::Never => return,
        Pull::Always => (When::Start, format!("its image {}, which it always asks for", of.image)),
        Pull::IfNotPresent => {
            let image = of.image.to_string();
            (When::Image { image, cached: stock.cached(workload, &of.image) }, format!("its image {}", of.image))
        }
    };
    needs.add(from, &registry, when, why);
}

/// Which nodes say that they have an image, by its full name.
struct Stock<'a> {
    on: BTreeMap<String, Vec<&'a MapNode>>,
    /// There may be more than the nodes tell of.
    more: bool,
}

impl<'a> Stock<'a> {
    fn of(map: &'a ClusterMap) -> Self {
        let mut on: BTreeMap<String, Vec<&MapNode>> = BTreeMap::new();
        for node in &map.nodes {
            for name in &node.images {
                on.entry(image::full(name)).or_default().push(node);
            }
        }
        Self { on, more: map.nodes.is_empty() || map.nodes.iter().any(|node| node.more_images) }
    }

    /// Of the nodes where `workload` may run.
    fn cached(&self, workload: &Workload, image: &str) -> Cached {
        let nodes = self.on.get(&image::full(image)).into_iter().flatten();
        let nodes = nodes.filter(|node| includes(&node.labels, &workload.node_selector));
        let nodes: Vec<_> = nodes.map(|node| node.name.clone()).collect();
        match (nodes.is_empty(), self.more) {
            (false, _) => Cached::On(nodes),
            (true, true) => Cached::Untold,
            (true, false) => Cached::Nowhere,
        }
    }
}
