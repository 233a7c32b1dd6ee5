//! Something else in the cluster reboots nodes while it comes back.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::engine::history::REBOOT;
use crate::name::human;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::OtherAutomationFightsRecovery,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "a node that was seen alive in this run boots again, not by Ananke, and kured or its like runs",
    precondition: "none",
    budget: "none",
    effect: "waits for the node, and says how to hold what reboots it; nothing of others is paused",
    evidence: &[
        "https://github.com/rancher/system-upgrade-controller/issues/71",
        "https://github.com/medik8s/node-healthcheck-operator/pull/378",
    ],
    diagnosis: Some(Diagnosis { gates: &[GateId::NodesReady], find, remake: None }),
};

/// Workloads that are known to reboot or replace nodes.
const OTHERS: &[&str] =
    &["kured", "system-upgrade-controller", "node-healthcheck-controller-manager", "self-node-remediation-ds"];

fn find(case: &Case<'_>) -> Option<Finding> {
    let (view, node) = (case.view, case.node_name()?);
    let uptime = view.host(node).ok()?.uptime;
    let booted = view.now.minus(uptime);
    // Its kubelet renewed its Lease while this run looked, and not since that boot.
    view.heartbeat(node)?.advanced_at.filter(|advanced| *advanced < booted)?;
    if view.history().tries(REBOOT, case.subject).count > 0 {
        return None;
    }
    let mut others = view.workloads().unwrap_or_default().iter().filter(|found| found.ready > 0).map(|found| &found.object);
    let by = others.find(|object| OTHERS.contains(&object.name.as_ref()))?;
    let hold = match &*by.name {
        "kured" => format!(
            "run `kubectl annotate daemonset kured -n {} weave.works/kured-node-lock='{{\"nodeID\":\"manual\"}}'` until the cluster is whole, then take the annotation away",
            by.namespace
        ),
        _ => format!("hold {by} until the cluster is whole"),
    };
    Some(Finding::new(format!("{node} was booted again {} ago, and not by Ananke; {by} runs here", human(uptime)), hold))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::name::Kind;
    use crate::observation::Tri;
    use crate::trap::testing::{bench, of_node};

    #[test]
    fn it_is_a_second_boot_and_somebody_who_does_that() {
        let named = |uptime: u64, other: &str| {
            let mut bench = bench();
            bench.workload(Kind::DaemonSet, other, &[(2, true)]);
            bench.change_node(1, |node| node.ready = Tri::False);
            let now = bench.now;
            bench.obs.heartbeats.get_mut(&crate::gate::testing::node(1)).unwrap().advanced_at =
                Some(now.minus(Duration::from_secs(120)));
            bench.host(1, |host| host.uptime = Duration::from_secs(uptime));
            of_node(&bench)
        };
        assert_eq!(named(60, "kured"), Some(ENTRY.trap));
        assert_eq!(named(600, "kured"), None, "it has been up since before");
        assert_eq!(named(60, "node-exporter"), None);
    }
}
