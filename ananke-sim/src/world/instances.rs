//! Pods that no workload owns: the instances of a CloudNativePG cluster, whose operator makes them itself. They stand as they
//! are, and nothing else in the world needs them.

use ananke_core::name::{Kind, ObjectRef, Uid};

use super::build::CREATED;
use super::{Ms, Warning, World, parsed};

/// Namespace and name of their Cluster.
pub const CLUSTER: (&str, &str) = ("office", "paperless-db");
/// As the kubelet tells it of an instance that does not follow its primary.
const WORDS: &str = "Readiness probe failed: HTTP probe failed with statuscode: 500";

#[derive(Debug, Clone)]
pub struct Instance {
    pub object: ObjectRef,
    pub uid: Uid,
    /// What their operator calls it.
    pub role: &'static str,
    pub node: usize,
    pub created: Ms,
    pub ready: bool,
}

/// A primary, and a replica that does not follow it.
pub(super) fn add(world: &mut World) {
    let last = world.nodes.len().saturating_sub(1);
    let (namespace, name) = CLUSTER;
    let instance = |(nth, role): (u64, &'static str)| Instance {
        object: ObjectRef::new(Kind::Pod, namespace, &format!("{name}-{nth}")),
        uid: parsed(Uid::parse, &world.rng.uuid("instance", nth, 0)),
        role,
        node: last.saturating_sub(usize::from(role == "primary")),
        created: CREATED,
        ready: role == "primary",
    };
    world.instances = [(1, "primary"), (2, "replica")].map(instance).to_vec();
}

impl World {
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// What kubelets that are alive say of them.
    pub(super) fn instance_warnings(&self) -> impl Iterator<Item = Warning> + '_ {
        let told = self.instances.iter().filter(|one| !one.ready && self.nodes[one.node].alive_since.is_some());
        told.map(|one| Warning { about: one.object.clone(), reason: "Unhealthy", message: WORDS })
    }
}
