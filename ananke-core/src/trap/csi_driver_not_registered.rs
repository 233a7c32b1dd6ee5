//! A CSI driver has not told the kubelet of a node that it is there.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::observation::PodState;
use crate::verdict::{GateId, Reason, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CsiDriverNotRegistered,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "CSINode lacks a driver that the node uses",
    precondition: "the pod of the node plugin is from before this start",
    budget: "one deletion a node",
    effect: "makes the node plugin's pod anew",
    evidence: &["https://github.com/longhorn/longhorn/issues/9424", "https://github.com/longhorn/longhorn/issues/7116"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Storage], find, remake: Some(plugin) }),
};

/// Node plugins by their driver: the DaemonSets that the projects' own manifests make.
const PLUGINS: &[(&str, &str)] = &[
    ("driver.longhorn.io", "longhorn-csi-plugin"),
    ("nfs.csi.k8s.io", "csi-nfs-node"),
    ("smb.csi.k8s.io", "csi-smb-node"),
    ("rook-ceph.rbd.csi.ceph.com", "csi-rbdplugin"),
    ("rook-ceph.cephfs.csi.ceph.com", "csi-cephfsplugin"),
    ("cstor.csi.openebs.io", "openebs-cstor-csi-node"),
];

fn driver(case: &Case<'_>) -> Option<&'static str> {
    let missing = case.blocker.reason == Reason::DriverNotRegistered;
    PLUGINS.iter().map(|(driver, _)| *driver).find(|driver| missing && case.blocker.text.contains(driver))
}

fn plugin<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let driver = driver(case);
    let plugin = PLUGINS.iter().find(|(name, _)| Some(*name) == driver).map(|(_, plugin)| *plugin);
    plugin.map_or_else(Vec::new, |plugin| case.old_pods_here(|owner| *owner.name == *plugin))
}

fn find(case: &Case<'_>) -> Option<Finding> {
    driver(case)?;
    Some(Finding::as_told(case))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::{bench, deleted};

    #[test]
    fn the_plugin_of_the_driver_that_is_missing_is_made_anew() {
        let named = |used: &str| {
            let mut bench = bench();
            bench.workload(crate::name::Kind::DaemonSet, "longhorn-csi-plugin", &[(1, true), (2, true)]);
            bench.attach(1);
            bench.storage(|storage| storage.attachments[0].driver = used.into());
            bench.judged(GateId::NodesReady, crate::gate::STARTUP[5].evaluate);
            deleted(&mut bench, GateId::Storage, ENTRY.trap)
        };
        assert_eq!(named("driver.longhorn.io"), ["Pod apps/longhorn-csi-plugin-0"]);
        assert!(named("csi.example").is_empty(), "nobody knows whose that is");
    }
}
