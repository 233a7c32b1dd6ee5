//! Services that a workload finds by a variable of its environment.
//!
//! What names each other (a front and its back, the parts of a Harbor) is one application that waits for itself well enough,
//! and no need: only what does not name back counts.

use std::collections::{BTreeMap, BTreeSet};

use super::super::map::ClusterMap;
use super::super::need::When;
use super::super::part::Part;
use super::Needs;

pub(super) fn add(map: &ClusterMap, needs: &mut Needs) {
    let named = named(map);
    for workload in &map.workloads {
        let Some(from) = Part::of(&workload.object) else { continue };
        for service in workload.names.iter().filter_map(|name| map.service(name)) {
            let mut behind = map.behind(service).filter_map(|workload| Part::of(&workload.object));
            if !behind.any(|to| reaches(&named, &to, &from)) {
                needs.add(&from, &Part::service(&service.object), When::Start, "what its environment names");
            }
        }
    }
}

type Named = BTreeMap<Part, BTreeSet<Part>>;

/// The workloads behind the Services that each workload names.
fn named(map: &ClusterMap) -> Named {
    let each = map.workloads.iter().filter_map(|workload| {
        let services = workload.names.iter().filter_map(|name| map.service(name));
        let behind = services.flat_map(|service| map.behind(service)).filter_map(|workload| Part::of(&workload.object));
        Some((Part::of(&workload.object)?, behind.collect()))
    });
    each.collect()
}

/// Whether `from` names `to`, itself or by others; every part names itself.
fn reaches(named: &Named, from: &Part, to: &Part) -> bool {
    let (mut left, mut seen) = (vec![from], BTreeSet::new());
    while let Some(part) = left.pop() {
        if part == to {
            return true;
        }
        if seen.insert(part) {
            left.extend(named.get(part).into_iter().flatten());
        }
    }
    false
}
