//! Many volumes are being rebuilt at once, and whatever stands on them is slow.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::observation::LonghornVolume;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::LonghornRebuildStorm,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "three or more Longhorn volumes are attached and degraded, and a workload on one of them is slow",
    precondition: "none",
    budget: "waits for the gate's deadline",
    effect: "waits, and adds no load; if it lasts, a person looks why a rebuild never ends",
    evidence: &["https://github.com/longhorn/longhorn/issues/2460", "https://github.com/longhorn/longhorn/issues/5692"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

/// Fewer are repaired beside all else.
const MANY: usize = 3;

fn find(case: &Case<'_>) -> Option<Finding> {
    let owner = case.workload()?;
    let volumes = &case.view.storage().ok()?.longhorn.as_ref()?.volumes;
    let rebuilt = |volume: &&LonghornVolume| &*volume.state == "attached" && &*volume.robustness == "degraded";
    let rebuilt: Vec<&LonghornVolume> = volumes.iter().filter(rebuilt).collect();
    if rebuilt.len() < MANY {
        return None;
    }
    let pods = case.view.pod_index().ok()?;
    let on_one = pods.owned_by(owner).into_iter().filter(|pod| !pod.ready).flat_map(|pod| &pod.claims).any(|name| {
        let same = |volume: &&LonghornVolume| {
            volume.claim.as_ref().is_some_and(|of| of.namespace == owner.namespace && of.name == *name)
        };
        rebuilt.iter().any(same)
    });
    on_one.then(|| {
        Finding::new(
            format!("{} Longhorn volumes are being rebuilt, its own among them: disks and network are slow meanwhile", rebuilt.len()),
            "look at `kubectl get volumes.longhorn.io -n longhorn-system`: volumes that stay degraded have a replica that never becomes whole; Longhorn's setting concurrent-replica-rebuild-per-node-limit makes rebuilds gentler",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Kind, ObjectRef};
    use crate::observation::LonghornState;
    use crate::trap::testing::of_bench;

    #[test]
    fn many_rebuilds_are_a_storm_for_what_stands_on_one_of_them() {
        let named = |claim: &str, degraded: usize| {
            of_bench(|bench| {
                bench.pod("web-0", |pod| pod.claims = vec![claim.into()]);
                let volume = |n: usize| LonghornVolume {
                    name: format!("pvc-{n}").as_str().into(),
                    claim: Some(ObjectRef::new(Kind::PersistentVolumeClaim, "apps", &format!("data-{n}"))),
                    state: "attached".into(),
                    robustness: if n < degraded { "degraded" } else { "healthy" }.into(),
                };
                let volumes = (0..4).map(volume).collect();
                bench.storage(|storage| storage.longhorn = Some(LonghornState { nodes: Vec::new(), volumes }));
            })
        };
        assert_eq!(named("data-0", MANY), Some(ENTRY.trap));
        assert_eq!(named("data-0", MANY - 1), None);
        assert_eq!(named("data-3", MANY), None, "its own volume is whole");
    }
}
