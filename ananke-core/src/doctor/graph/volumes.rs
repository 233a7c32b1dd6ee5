//! Claims need their volume, and a volume needs whoever serves it.

use super::super::map::{ClusterMap, Volume, Workload};
use super::super::need::When;
use super::super::part::{Part, PartKind};
use super::Needs;

/// Drivers whose workloads are known by their names.
const KNOWN: &[(&str, &[(&str, &str)])] =
    &[("driver.longhorn.io", &[("longhorn-system", "longhorn-manager"), ("longhorn-system", "longhorn-csi-plugin")])];

pub(super) fn add(map: &ClusterMap, needs: &mut Needs) {
    for claim in &map.claims {
        if let (Some(from), Some(volume)) = (Part::of(&claim.object), &claim.volume) {
            needs.add(&from, &Part::new(PartKind::PersistentVolume, "", volume), When::Start, "its volume");
        }
    }
    for volume in &map.volumes {
        let from = Part::new(PartKind::PersistentVolume, "", &volume.name);
        for workload in map.workloads.iter().filter(|workload| is_driver(volume, workload)) {
            if let Some(to) = Part::of(&workload.object) {
                needs.add(&from, &to, When::Start, format!("its driver {}", volume.driver.as_deref().unwrap_or_default()));
            }
        }
        if let Some(server) = &volume.server {
            needs.add(&from, &Part::host(server), When::Start, "the files that it serves");
        }
    }
}

/// A driver's pods keep its socket under the kubelet's `plugins/<driver>`.
fn is_driver(volume: &Volume, workload: &Workload) -> bool {
    let Some(driver) = &volume.driver else { return false };
    let of = &workload.object;
    let known = KNOWN.iter().filter(|(name, _)| *name == &**driver).flat_map(|(_, workloads)| *workloads);
    known.into_iter().any(|(namespace, name)| *namespace == &*of.namespace && *name == &*of.name)
        || workload.host_paths.iter().any(|path| path.split('/').any(|word| word == &**driver))
}
