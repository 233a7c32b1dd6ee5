//! A disk is full, and the kubelet takes no pods.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::DiskPressureTaint,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "the condition DiskPressure is true",
    precondition: "none",
    budget: "none",
    effect: "names the node and what may be freed; the kubelet alone lifts its taint",
    evidence: &["https://github.com/k3s-io/k3s/issues/6290", "https://github.com/kubernetes/kubernetes/issues/83668"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation, GateId::NodesReady], find, remake: None }),
};

const WORDS: &[&str] = &["disk-pressure"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let about_disks = case.node().is_some() || case.said(WORDS).is_some();
    let node = about_disks.then(|| case.sick_node("DiskPressure"))??;
    let text = format!("{} is short of disk space", node.name);
    Some(Finding::new(
        text,
        format!(
            "on {}: look at `df -h` and `journalctl --disk-usage`, free space (`journalctl --vacuum-size=200M`, `k3s crictl rmi --prune` once the registry serves); the kubelet lifts its taint by itself",
            node.name
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::NodeTrouble;
    use crate::trap::testing::of_bench;

    fn named(kind: &str, message: &str) -> Option<Trap> {
        of_bench(|bench| {
            let trouble = NodeTrouble { kind: kind.into(), message: "kubelet has disk pressure".into() };
            bench.change_node(1, |node| node.troubles.push(trouble));
            bench.pod("web-0", |pod| (pod.node, pod.message) = (None, message.into()));
        })
    }

    #[test]
    fn the_taint_must_be_what_keeps_the_pod_away() {
        let tainted = "0/1 nodes are available: 1 node(s) had untolerated taint(s) {node.kubernetes.io/disk-pressure: }.";
        assert_eq!(named("DiskPressure", tainted), Some(Trap::DiskPressureTaint));
        assert_eq!(named("MemoryPressure", tainted), None);
        assert_eq!(named("DiskPressure", "0/1 nodes are available: 1 Insufficient cpu."), None);
    }
}
