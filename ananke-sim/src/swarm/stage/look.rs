//! What somebody sees of the cluster who has done nothing to it, again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use ananke_core::lease::{MANUAL_ANNOTATION, TAINT_KEY};
use ananke_core::name::ObjectRef;

use super::{Stage, path};
use crate::check::{Look, What};
use crate::executor::lock;

const LOOK: Duration = Duration::from_secs(10);

impl Stage<'_> {
    /// Writes down how the cluster looks, for ever.
    pub(super) async fn watch(&self) {
        loop {
            let look = self.look();
            self.scenery.note(What::Looked(look));
            self.scenery.sim.delay(i64::try_from(LOOK.as_millis()).unwrap_or(10_000)).await;
        }
    }

    fn look(&self) -> Look {
        let world = self.scenery.sim.world();
        let mut cordons = BTreeMap::new();
        for node in world.nodes() {
            if node.taints.iter().any(|taint| &*taint.key == TAINT_KEY) {
                let expires = node.lease().map(|lease| lease.expires);
                cordons.insert(node.name.clone(), (expires, node.annotations.contains_key(MANUAL_ANNOTATION)));
            }
        }
        let scaled = lock(&self.wishes).scaled.keys().cloned().collect::<Vec<_>>();
        let replicas = |object: &ObjectRef| {
            let row = world.find_workload(object)?;
            Some((path(object), world.workloads().get(row)?.replicas))
        };
        Look {
            wall: Some(world.wall(world.now())),
            api: world.api_up() && world.fault().is_none(),
            unschedulable: world.nodes().iter().filter(|node| node.unschedulable).map(|node| node.name.clone()).collect(),
            suspended: (world.kustomizations().iter().filter(|it| it.meta.suspended))
                .map(|it| it.meta.object.name.to_string())
                .collect(),
            replicas: scaled.iter().filter_map(replicas).collect(),
            cordons,
        }
    }
}
