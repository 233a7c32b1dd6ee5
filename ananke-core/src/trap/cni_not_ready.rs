//! The pod network of a node does not come up.

use super::evidence::says;
use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CniNotReady,
    class: Class::Auto,
    often: Often::High,
    symptom: "the kubelet says that the network plugin is not ready",
    precondition: "the pod of the plugin on that node is from before this start",
    budget: "one deletion a node",
    effect: "makes the plugin's pod on that node anew",
    evidence: &["https://github.com/flannel-io/flannel/issues/2437", "https://github.com/cilium/cilium/issues/38365"],
    diagnosis: Some(Diagnosis { gates: &[GateId::DnsCni], find, remake: Some(plugins) }),
};

const WORDS: &[&str] = &["networkpluginnotready", "cni plugin not initialized"];

/// DaemonSets that are known to be network plugins.
const PLUGINS: &[&str] = &["calico-node", "canal", "cilium", "kube-flannel-ds", "kube-router", "rke2-canal", "weave-net"];

fn plugins<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    case.old_pods_here(|owner| PLUGINS.contains(&owner.name.as_ref()))
}

fn find(case: &Case<'_>) -> Option<Finding> {
    case.node().filter(|node| says(&node.message, WORDS))?;
    Some(Finding::as_told(case))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::testing::{bench, deleted};

    #[test]
    fn the_plugins_pod_of_that_node_is_made_anew() {
        let named = |message: &str| {
            let mut bench = bench();
            bench.workload(crate::name::Kind::DaemonSet, "cilium", &[(1, false), (2, true)]);
            bench.change_node(1, |node| (node.ready, node.message) = (crate::observation::Tri::False, message.into()));
            deleted(&mut bench, GateId::DnsCni, ENTRY.trap)
        };
        let not_ready = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
        assert_eq!(named(not_ready), ["Pod apps/cilium-0"]);
        assert!(named("container runtime is down").is_empty());
    }
}
