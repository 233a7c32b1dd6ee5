//! The attacher of a CSI driver has a leader that is no more, and none of its pods takes over.

use std::time::Duration;

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::name::Kind;
use crate::observation::{LeaderState, PodState};
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::StaleLeaderLease,
    class: Class::Auto,
    often: Often::Low,
    symptom: "the attach of a volume waits for external-attacher, whose Lease is held by a pod that is not there",
    precondition: "the Lease was not renewed for ten times its length, all of it in this life of the cluster, and the attacher's pods are from before this start",
    budget: "one deletion a pod",
    effect: "waits for the Lease to lapse, as a candidate counts it from its first look; then makes the pods of the attacher anew. No Lease is deleted",
    evidence: &[
        "https://github.com/kubernetes/client-go/issues/448",
        "https://github.com/kubernetes-csi/external-attacher/issues/233",
        "https://github.com/kubernetes/kubernetes/issues/125530",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: Some(candidates) }),
};

const WORDS: &[&str] = &["timed out waiting for external-attacher of "];
/// A candidate takes over after one length of the Lease, and a controller may need a second try.
const LAPSED: u32 = 10;

/// The Lease of the driver that the words name, where its holder is gone and it was not renewed for long.
fn stale<'a>(case: &Case<'a>) -> Option<&'a LeaderState> {
    let said = case.said(WORDS)?;
    let (_, rest) = said.text.split_once("external-attacher of ")?;
    let driver = rest.split(' ').next()?.replace(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-', "-");
    let name = format!("external-attacher-leader-{driver}");
    let view = case.view;
    let lease = view.leaders().iter().find(|found| *found.name == *name)?;
    let since = lease.renewed.map_or(view.floor(), |renewed| renewed.max(view.floor()));
    let lapsed = view.has_passed(lease.lasts.max(Duration::from_secs(1)) * LAPSED, since);
    let pods = view.pods().ok()?;
    let there = pods.iter().any(|pod| pod.object.namespace == lease.namespace && *pod.object.name == *holder(lease));
    (lapsed && !there).then_some(lease)
}

/// The pod that holds it: client-go adds an identifier of its own behind an underscore.
fn holder(lease: &LeaderState) -> &str {
    lease.holder.split('_').next().unwrap_or(&lease.holder)
}

/// The pods of the workload that the holder belonged to.
fn candidates<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let Some(lease) = stale(case) else { return Vec::new() };
    // `csi-attacher-6d8f5c9b7-x2k4q` is a pod of Deployment `csi-attacher`.
    let made_by = |name: &str, parts: usize| holder(lease).rsplitn(parts, '-').last() == Some(name);
    case.old_pods(|owner| {
        let parts = if owner.kind == Kind::Deployment { 3 } else { 2 };
        owner.namespace == lease.namespace && made_by(&owner.name, parts)
    })
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let lease = stale(case)?;
    let LeaderState { namespace, name, .. } = lease;
    Some(Finding::new(
        format!("the Lease {namespace}/{name} is held by {}, which is no more", lease.holder),
        format!(
            "look at `kubectl get lease {name} -n {namespace} -o yaml` and at the logs of the attacher's pods: none takes over"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::observation::{NodeState, Taint};
    use crate::trap::testing::{bench, deleted};

    /// As the kubelet tells it.
    const YES: &str = "AttachVolume.Attach failed for volume \"pvc-0b5f\" : timed out waiting for external-attacher of rook-ceph.rbd.csi.ceph.com CSI driver to attach volume 0001-0009";
    const NO: &str = "AttachVolume.Attach failed for volume \"pvc-0b5f\" : rpc error: code = DeadlineExceeded desc = context deadline exceeded";

    fn remade(message: &str, holder: &str, minutes: u64) -> Vec<String> {
        remade_where(message, holder, minutes, |_| {})
    }

    fn remade_where(message: &str, holder: &str, minutes: u64, change: impl FnOnce(&mut Bench)) -> Vec<String> {
        let mut bench = bench();
        bench.workload(Kind::Deployment, "csi-rbdplugin-provisioner", &[(1, true), (2, true)]);
        bench.workload(Kind::Deployment, "csi-rbdplugin", &[(1, true)]);
        bench.pod("web-0", |pod| pod.message = message.into());
        let lease = LeaderState {
            namespace: "apps".into(),
            name: "external-attacher-leader-rook-ceph-rbd-csi-ceph-com".into(),
            holder: holder.into(),
            renewed: Some(bench.now.minus(Duration::from_secs(minutes * 60))),
            lasts: Duration::from_secs(15),
        };
        bench.obs.leaders = Fact::known(Arc::new(vec![lease]), bench.now);
        change(&mut bench);
        deleted(&mut bench, GateId::Workloads, ENTRY.trap)
    }

    #[test]
    fn candidates_are_made_anew_once_the_lease_of_a_lost_leader_has_lapsed() {
        let gone = "csi-rbdplugin-provisioner-5c8d9f7b4-qq2zl";
        let both = ["Pod apps/csi-rbdplugin-provisioner-0", "Pod apps/csi-rbdplugin-provisioner-1"];
        assert_eq!(remade(YES, gone, 30), both);
        assert_eq!(remade(YES, &format!("{gone}_1d3c"), 30), both);
        assert!(remade(YES, gone, 1).is_empty(), "it may yet lapse by itself");
        assert!(remade(YES, "csi-rbdplugin-provisioner-0", 30).is_empty(), "its holder is there");
        assert!(remade(NO, gone, 30).is_empty(), "the driver itself is late");
    }

    #[test]
    fn nothing_is_made_anew_where_no_node_would_take_it() {
        let gone = "csi-rbdplugin-provisioner-5c8d9f7b4-qq2zl";
        let full = |node: &mut NodeState| {
            let (key, effect) = ("node.kubernetes.io/disk-pressure".into(), "NoSchedule".into());
            node.taints.push(Taint { key, value: "".into(), effect });
        };
        let one_is_full = remade_where(YES, gone, 30, |bench| bench.change_node(1, full));
        assert_eq!(one_is_full.len(), 2);
        let none_is_free = remade_where(YES, gone, 30, |bench| {
            bench.change_node(1, full);
            bench.change_node(2, |node| node.unschedulable = true);
        });
        assert_eq!(none_is_free, Vec::<String>::new());
    }
}
