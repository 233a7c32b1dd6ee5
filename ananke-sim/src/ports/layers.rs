//! What Kustomizations of the world applied, with the objects as the served API shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ananke_core::bootstrap::{Layer, Manifest};
use ananke_core::name::{Moment, ObjectRef};
use ananke_core::observation::Tri;
use ananke_core::port::{ErrorKind, LayerReads, PortError};
use async_trait::async_trait;

use super::SimPorts;
use super::half_alive::Needs;
use crate::serve::project::{all, installed, inventory, kept};

#[async_trait]
impl LayerReads for SimPorts {
    async fn layer(&self, kustomization: &ObjectRef, at: Moment) -> Result<Layer, PortError> {
        const TRIED: &str = "read the layer";
        let missing = |found: &str| PortError::new(ErrorKind::Missing, TRIED, kustomization, found);
        self.call(TRIED, Needs::Quorum).await?;
        let world = self.sim.world();
        let mut rows = world.kustomizations().iter().enumerate();
        let (row, of) = rows.find(|(_, of)| of.meta.object == *kustomization).ok_or_else(|| missing("there is none"))?;
        if of.meta.ready != Tri::True || of.meta.observed_generation != of.meta.generation {
            return Err(missing("it is not Ready"));
        }
        let revision = of.applied_revision.clone().ok_or_else(|| missing("it has applied no revision"))?;
        let shown: BTreeMap<_, _> = all(&world).into_iter().map(|one| (one.key, one.make)).collect();
        let (mut objects, mut left_out) = (Vec::new(), BTreeSet::new());
        let mut keys = inventory(&world, row);
        for release in world.releases().iter().filter(|release| release.kustomization == row && world.has(&release.meta.object)) {
            let of = &release.meta;
            if of.ready != Tri::True || of.observed_generation != of.generation {
                return Err(missing(&format!("{} is not Ready", of.object)));
            }
            // What it has installed is kept, and not itself.
            keys.retain(|key| {
                (key.kind.kind, &*key.namespace, &*key.name) != ("HelmRelease", &of.object.namespace, &of.object.name)
            });
            keys.extend(installed(&world, release));
        }
        for key in keys {
            let manifest = kept(&key).zip(shown.get(&key)).and_then(|(object, make)| Manifest::of(object, make()));
            match manifest {
                Some(manifest) => objects.push(manifest),
                None => drop(left_out.insert(Arc::from(format!("{} {}/{}", key.kind.kind, key.namespace, key.name)))),
            }
        }
        Ok(Layer::of(kustomization.clone(), (revision, at), objects, left_out))
    }
}
