//! The layers that the config names: kept while all is well, and told of by `config check`.

use ananke_core::bootstrap::Cache;
use ananke_core::name::{Moment, ObjectRef, human};
use ananke_core::port::{LayerReads, PortError};

use crate::state::StateDir;

/// Reads each of the cluster and writes it down, and says what came of it. One that cannot be read stays as it was.
pub(super) async fn keep(
    wanted: &[ObjectRef],
    cluster: &dyn LayerReads,
    state: &StateDir,
    now: Moment,
) -> Vec<Result<String, PortError>> {
    let mut told = Vec::new();
    for kustomization in wanted {
        let kept = cluster.layer(kustomization, now).await.and_then(|layer| {
            state.keep_layer(&layer)?;
            Ok(format!("{} objects of {kustomization} are kept", layer.objects.len()))
        });
        told.push(kept);
    }
    told
}

/// `flux-system/gitea 3h00m old, flux-system/harbor is not kept yet`.
pub(super) fn ages(wanted: &[ObjectRef], kept: &Cache, now: Moment) -> String {
    let one = |wanted: &ObjectRef| {
        let name = format!("{}/{}", wanted.namespace, wanted.name);
        match kept.layers.iter().find(|layer| layer.kustomization == *wanted) {
            Some(layer) => format!("{name} {} old", human(now.since(layer.taken))),
            None => format!("{name} is not kept yet"),
        }
    };
    wanted.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ananke_core::bootstrap::Layer;
    use ananke_core::name::Kind;
    use ananke_core::port::ErrorKind;
    use async_trait::async_trait;

    use super::*;

    const NOW: Moment = Moment::from_millis(1_773_453_971_250);

    /// Has the layers of these names.
    struct Has(&'static [&'static str]);

    #[async_trait]
    impl LayerReads for Has {
        async fn layer(&self, kustomization: &ObjectRef, at: Moment) -> Result<Layer, PortError> {
            if !self.0.contains(&kustomization.name.as_ref()) {
                return Err(PortError::new(ErrorKind::Missing, "read the layer", kustomization, "there is none"));
            }
            let (kustomization, revision) = (kustomization.clone(), "main@sha1:00".into());
            Ok(Layer { kustomization, revision, taken: at, objects: Vec::new(), left_out: [].into() })
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_stays_as_it_was_and_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let wanted = ["gitea", "harbor", "new"].map(|name| ObjectRef::new(Kind::Kustomization, "flux-system", name));
        let first = keep(&wanted, &Has(&["gitea", "harbor"]), &state, NOW).await;
        assert!(first[0].is_ok() && first[1].is_ok() && first[2].is_err());
        let later = NOW.plus(Duration::from_secs(3600));
        let second = keep(&wanted, &Has(&["harbor"]), &state, later).await;
        assert_eq!(second[1].as_deref().ok(), Some("0 objects of Kustomization flux-system/harbor are kept"));
        assert_eq!(
            ages(&wanted, &state.layers(&wanted), later.plus(Duration::from_secs(60))),
            "flux-system/gitea 1h01m old, flux-system/harbor 1m00s old, flux-system/new is not kept yet"
        );
    }
}
