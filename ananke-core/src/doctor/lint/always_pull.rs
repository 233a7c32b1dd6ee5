//! `imagePullPolicy: Always` from a registry in this cluster: even a node that has the image must ask for it.

use std::collections::BTreeMap;

use super::super::graph::names::{host_of, is_served};
use super::super::image;
use super::super::map::{ClusterMap, Pull};
use super::{Finding, Lint};

pub(super) fn look(map: &ClusterMap) -> Vec<Finding> {
    let mut served: BTreeMap<&str, bool> = BTreeMap::new();
    let mut findings = Vec::new();
    for workload in &map.workloads {
        for of in workload.images.iter().filter(|of| of.pull == Pull::Always) {
            let registry = host_of(image::registry(&of.image));
            if *served.entry(registry).or_insert_with(|| is_served(map, registry)) {
                let what = format!("it always asks {registry}, which this cluster serves, for image {}", of.image);
                let to_do = "give the image a tag or digest that does not move, and set imagePullPolicy: IfNotPresent";
                findings.push(Finding::new(Lint::AlwaysPull, &workload.object, what, to_do));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{check, lab};
    use super::*;

    #[test]
    fn only_a_registry_of_this_cluster_counts() {
        let mut lab = lab();
        lab.harbor();
        let found = "Deployment apps/web: it always asks harbor.titan.example, which this cluster serves, for image \
                     harbor.titan.example/apps/web:1";
        for (image, pull, expected) in [
            ("harbor.titan.example/apps/web:1", Pull::Always, &[found][..]),
            ("harbor.titan.example/apps/web:1", Pull::IfNotPresent, &[]),
            ("ghcr.io/apps/web:1", Pull::Always, &[]),
        ] {
            lab.deployment("apps", "web", image);
            lab.map.workloads.last_mut().unwrap().images[0].pull = pull;
            check(&look(&lab.map), expected);
            lab.map.workloads.pop();
        }
    }
}
