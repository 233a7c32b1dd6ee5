//! Claims need their volume, and a volume needs whoever serves it; a claim without one waits for whoever makes it.

use super::super::map::{ClusterMap, Workload};
use super::super::need::When;
use super::super::part::{Part, PartKind};
use super::Needs;

/// Drivers whose workloads are known by their names.
const KNOWN: &[(&str, &[(&str, &str)])] =
    &[("driver.longhorn.io", &[("longhorn-system", "longhorn-manager"), ("longhorn-system", "longhorn-csi-plugin")])];

pub(super) fn add(map: &ClusterMap, needs: &mut Needs) {
    for claim in &map.claims {
        let Some(from) = Part::of(&claim.object) else { continue };
        if let Some(volume) = &claim.volume {
            needs.add(&from, &Part::new(PartKind::PersistentVolume, "", volume), When::Start, "its volume");
        } else if let Some(class) = &claim.class {
            needs.add(&from, &Part::new(PartKind::StorageClass, "", class), When::Start, "a volume");
        }
    }
    for class in &map.storage_classes {
        let from = Part::new(PartKind::StorageClass, "", &class.name);
        for workload in map.workloads.iter().filter(|workload| serves(workload, &class.provisioner)) {
            if let Some(to) = Part::of(&workload.object) {
                needs.add(&from, &to, When::Start, format!("its provisioner {}", class.provisioner));
            }
        }
    }
    for volume in &map.volumes {
        let from = Part::new(PartKind::PersistentVolume, "", &volume.name);
        if let Some(server) = &volume.server {
            needs.add(&from, &Part::host(server), When::Start, "the files that it serves");
        }
        let Some(driver) = &volume.driver else { continue };
        for workload in map.workloads.iter().filter(|workload| serves(workload, driver)) {
            if let Some(to) = Part::of(&workload.object) {
                needs.add(&from, &to, When::Start, format!("its driver {driver}"));
            }
        }
    }
}

/// A driver's pods keep its socket under the kubelet's `plugins/<driver>`; another provisioner is told what it is called.
fn serves(workload: &Workload, driver: &str) -> bool {
    let of = &workload.object;
    let known = KNOWN.iter().filter(|(name, _)| *name == driver).flat_map(|(_, workloads)| *workloads);
    known.into_iter().any(|(namespace, name)| *namespace == &*of.namespace && *name == &*of.name)
        || workload.host_paths.iter().any(|path| path.split('/').any(|word| word == driver))
        || workload.provisions.iter().any(|provisioner| **provisioner == *driver)
}
