//! A world made to measure: named nodes and workloads, no Flux, no volumes, and a control plane that stands elsewhere.
//!
//! It has the cluster that recordings of real controllers were taken of: one process plays all its kubelets, which do what
//! they do at once, and their hosts boot in no time. What the controllers make of it is theirs.

use ananke_core::name::{Kind, NodeName};

use super::build::{CREATED, add_host, add_running, add_workload, budget, empty};
use super::lifecycle::PERIOD;
use super::{HEARTBEAT, Ms, Namespace, World};
use crate::rng::Rng;

const NAMESPACE: &str = "default";
/// What hosts and kubelets need time for elsewhere, by the label of the draw.
const PACES: &[(&str, (Ms, Ms))] =
    &[("boot", (0, 0)), ("unit-start", (0, 0)), ("unit-active", (0, 0)), ("pod-end", (100, 300)), ("finds", (300, 800))];
/// A pod runs this long after its kubelet has seen it.
const START: (Ms, Ms) = (100, 900);

#[derive(Debug, Clone)]
pub struct Lab {
    pub nodes: Vec<NodeName>,
    pub workloads: Vec<LabWorkload>,
    /// At which moment of every ten seconds the kubelets renew and post.
    pub beat: Ms,
    /// At which moment of every five seconds the node lifecycle controller looks.
    pub look: Ms,
}

/// A workload all of whose pods run. A StatefulSet's are given in their order.
#[derive(Debug, Clone)]
pub struct LabWorkload {
    pub kind: Kind,
    pub name: String,
    /// `minAvailable` of its PodDisruptionBudget.
    pub budget: Option<u32>,
    /// A Service of its name leads to its pods.
    pub service: bool,
    /// Names, and the nodes they are on.
    pub pods: Vec<(String, NodeName)>,
}

impl World {
    /// Everything runs.
    ///
    /// # Errors
    /// If a pod is on a node that is not in the lab.
    pub fn lab(lab: &Lab, seed: u64) -> Result<Self, String> {
        let mut world = empty(Rng::new(seed));
        world.lifecycle.since = lab.look - 10_000 * PERIOD;
        world.rhythm = Some(lab.beat);
        world.paces = PACES.iter().copied().collect();
        for name in &lab.nodes {
            // None is a server: whatever happens to them, the API stays.
            add_host(&mut world, name.clone(), false);
        }
        for node in world.nodes.iter_mut() {
            node.alive_since = Some(lab.beat - 10_000 * HEARTBEAT);
        }
        let uid = world.uid("namespace", 0);
        world.namespaces.push(Namespace { name: NAMESPACE.into(), uid, rv: world.revision, created: CREATED });
        for workload in &lab.workloads {
            world.add_lab_workload(workload)?;
        }
        Ok(world)
    }

    fn add_lab_workload(&mut self, of: &LabWorkload) -> Result<(), String> {
        let row = add_workload(self, of.kind, NAMESPACE, &of.name);
        let budget = of.budget.map(|min_available| budget(self, row, min_available));
        let workload = &mut self.workloads[row];
        (workload.start, workload.budget, workload.service) = (START, budget, of.service);
        if workload.is_daemon() {
            self.daemons.push(row);
        } else {
            workload.replicas = u32::try_from(of.pods.len()).unwrap_or(u32::MAX);
        }
        for (ordinal, (name, node)) in of.pods.iter().enumerate() {
            let node = self.node_row(node).ok_or_else(|| format!("{name} is on {node}, which is not in the lab"))?;
            add_running(self, (row, name), u32::try_from(ordinal).unwrap_or(u32::MAX), node);
        }
        Ok(())
    }
}
