//! A CSI driver has not told the kubelet of a node that it is there.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::gate::storage;
use crate::name::NodeName;
use crate::observation::PodState;
use crate::spec::NodeRole;
use crate::verdict::{GateId, Reason, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CsiDriverNotRegistered,
    class: Class::Auto,
    often: Often::Medium,
    symptom: "CSINode lacks a driver that the node uses, or a pod waits for one that is not registered",
    precondition: "the pod of the node plugin is from before this start",
    budget: "one deletion a node",
    effect: "makes the node plugin's pod anew",
    evidence: &["https://github.com/longhorn/longhorn/issues/9424", "https://github.com/longhorn/longhorn/issues/7116"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Storage, GateId::Workloads, GateId::Foundation], find, remake: Some(plugins) }),
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

/// Of what a pod waits for. CSINode may go on listing a driver that was cut off and has not come back: only deregistration
/// takes it out.
const WORDS: &[&str] = &["not found in the list of registered csi drivers", "does not contain driver"];

/// A driver that the kubelet of a node does not know.
struct Missing<'a> {
    driver: &'static str,
    plugin: &'static str,
    node: &'a NodeName,
}

fn missing<'a>(case: &Case<'a>) -> Vec<Missing<'a>> {
    let node = case.node_name().filter(|_| case.blocker.reason == Reason::DriverNotRegistered);
    let told = node.map(|node| (case.blocker.text.as_str(), node));
    let said = case.said_by_pods(WORDS).filter_map(|said| Some((said.text.as_ref(), said.node?)));
    let mut missing: Vec<Missing<'a>> = Vec::new();
    for (text, node) in told.into_iter().chain(said) {
        let Some((driver, plugin)) = PLUGINS.iter().find(|(driver, _)| text.contains(driver)) else { continue };
        if !missing.iter().any(|known| known.driver == *driver && known.node == node) {
            missing.push(Missing { driver, plugin, node });
        }
    }
    missing
}

fn plugins<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let of = |missing: Missing<'a>| case.old_pods_on(missing.node, |owner| *owner.name == *missing.plugin);
    missing(case).into_iter().flat_map(of).collect()
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let missing = missing(case);
    let Missing { driver, node, .. } = missing.first()?;
    if case.node_name().is_some() {
        return Some(Finding::as_told(case));
    }
    let text = format!("the kubelet of {node} does not know CSI driver {driver}");
    let spec = &case.view.spec;
    let unit = spec.nodes.get(*node).map_or(spec.distribution.unit(NodeRole::Worker), |node| node.unit.as_str());
    Some(Finding::new(text, storage::register_anew(driver, node, unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::name::{Kind, ObjectRef, Subject};
    use crate::observation::EventState;
    use crate::trap::testing::{bench, deleted, recognised, told};

    #[test]
    fn the_plugin_of_the_driver_that_is_missing_is_made_anew() {
        let named = |used: &str| {
            let mut bench = bench();
            bench.workload(Kind::DaemonSet, "longhorn-csi-plugin", &[(1, true), (2, true)]);
            bench.attach(1);
            bench.storage(|storage| storage.attachments[0].driver = used.into());
            bench.judged(GateId::NodesReady, crate::gate::STARTUP[5].evaluate);
            deleted(&mut bench, GateId::Storage, ENTRY.trap)
        };
        assert_eq!(named("driver.longhorn.io"), ["Pod apps/longhorn-csi-plugin-0"]);
        assert!(named("csi.example").is_empty(), "nobody knows whose that is");
    }

    /// As the kubelet says it while CSINode goes on listing the driver, as the attach controller does where it does not, and
    /// what is near and is not it.
    const MOUNT: &str = "MountVolume.MountDevice failed for volume \"pvc-1\" : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name driver.longhorn.io not found in the list of registered CSI drivers";
    const ATTACH: &str =
        "AttachVolume.Attach failed for volume \"pvc-1\" : CSINode n1 does not contain driver driver.longhorn.io";
    const NO: &str = "MountVolume.MountDevice failed for volume \"pvc-1\" : kubernetes.io/csi: attacher.MountDevice failed: rpc error from driver.longhorn.io: volume pvc-1 hasn't been attached yet";
    const OTHER: &str = "driver name csi.example not found in the list of registered CSI drivers";

    /// The plugin runs on both nodes, and an Event says this of `apps/web`, whose pod is on n1.
    fn said(message: &str) -> Bench {
        let mut bench = bench();
        bench.workload(Kind::DaemonSet, "longhorn-csi-plugin", &[(1, true), (2, true)]);
        let (about, last) = (ObjectRef::new(Kind::Pod, "apps", "web-0"), Some(bench.now));
        let event = EventState { about, reason: "FailedMount".into(), message: message.into(), last };
        bench.obs.events = Fact::known(vec![event].into(), bench.now);
        bench
    }

    #[test]
    fn a_pod_that_misses_the_driver_has_the_plugin_of_its_node_made_anew() {
        let remade = |message| deleted(&mut said(message), GateId::Workloads, ENTRY.trap);
        for message in [MOUNT, ATTACH] {
            assert_eq!(remade(message), ["Pod apps/longhorn-csi-plugin-0"], "{message}");
        }
        for message in [NO, OTHER] {
            assert!(remade(message).is_empty(), "{message}");
        }
        let mut foundation = said(MOUNT);
        foundation.spec.foundation = vec![ObjectRef::new(Kind::Deployment, "apps", "web")];
        assert_eq!(deleted(&mut foundation, GateId::Foundation, ENTRY.trap), ["Pod apps/longhorn-csi-plugin-0"]);
    }

    #[test]
    fn each_node_where_it_is_said_gets_its_plugin_anew() {
        let mut bench = said("");
        bench.workload(Kind::StatefulSet, "db", &[(1, false), (2, false), (2, false)]);
        (0..3).for_each(|n| bench.pod(&format!("db-{n}"), |pod| pod.message = MOUNT.into()));
        let both = ["Pod apps/longhorn-csi-plugin-0", "Pod apps/longhorn-csi-plugin-1"];
        assert_eq!(deleted(&mut bench, GateId::Workloads, ENTRY.trap), both);
    }

    #[test]
    fn a_plugin_from_after_this_start_is_left_to_a_person() {
        let mut bench = said(MOUNT);
        let now = bench.now;
        bench.pod("longhorn-csi-plugin-0", |pod| pod.created = Some(now));
        let web = Subject::Object(ObjectRef::new(Kind::Deployment, "apps", "web"));
        assert_eq!(recognised(&bench, GateId::Workloads, &web), Some(ENTRY.trap));
        let text = told(&bench, GateId::Workloads, &web).unwrap();
        assert!(text.ends_with("; the kubelet of n1 does not know CSI driver driver.longhorn.io"), "{text}");
        assert!(deleted(&mut bench, GateId::Workloads, ENTRY.trap).is_empty());
    }
}
