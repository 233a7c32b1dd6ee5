//! Which version of Flux's APIs the cluster serves, found by discovery and remembered while it holds.

use ananke_core::name::Kind;
use ananke_core::port::{ErrorKind, PortError};
use serde::Deserialize;

use crate::connect::KubeCluster;
use crate::error;

const SOURCES: (&str, &str) = ("source.toolkit.fluxcd.io", "gitrepositories");
const KUSTOMIZATIONS: (&str, &str) = ("kustomize.toolkit.fluxcd.io", "kustomizations");
const TRIED: &str = "discover Flux";

/// Where the two kinds are: `source.toolkit.fluxcd.io/v1`, `kustomize.toolkit.fluxcd.io/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FluxApi {
    pub(crate) sources: String,
    pub(crate) kustomizations: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    versions: Vec<GroupVersion>,
    #[serde(default)]
    preferred_version: Option<GroupVersion>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: String,
}

#[derive(Debug, Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    name: String,
}

impl FluxApi {
    /// The path under which all objects of a kind are listed; none for kinds that are not Flux's.
    pub(crate) fn collection(&self, kind: Kind) -> Option<(&str, &'static str)> {
        match kind {
            Kind::GitRepository => Some((&self.sources, SOURCES.1)),
            Kind::Kustomization => Some((&self.kustomizations, KUSTOMIZATIONS.1)),
            Kind::Node | Kind::Namespace | Kind::Pod | Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::Ingress => {
                None
            }
        }
    }
}

impl KubeCluster {
    /// `None` where neither kind is served. An absence is never remembered: Flux may be installed the next minute.
    pub(crate) async fn flux_api(&self) -> Result<Option<FluxApi>, PortError> {
        if let Some(known) = self.remembered().clone() {
            return Ok(Some(known));
        }
        let (sources, kustomizations) = tokio::try_join!(self.version_of(SOURCES), self.version_of(KUSTOMIZATIONS))?;
        let found = both_or_none(sources, kustomizations).map_err(|half| {
            PortError::new(ErrorKind::Missing, TRIED, &self.server, half)
                .with_remedy("install Flux's CRDs completely (flux install, or the bootstrap manifests)")
        })?;
        self.remembered().clone_from(&found);
        Ok(found)
    }

    /// After a 404 on a kind that was there: its CRD may have gone or changed version.
    pub(crate) fn forget_flux_api(&self) {
        *self.remembered() = None;
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Option<FluxApi>> {
        self.flux_api.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn version_of(&self, (group, resource): (&str, &str)) -> Result<Option<String>, PortError> {
        let Some(found) = absent_is_none(self.get::<Group>(TRIED, &format!("/apis/{group}")).await)? else {
            return Ok(None);
        };
        for version in in_order(found) {
            if !is_path(&version) {
                return Err(error::nonsense(TRIED, &self.server, format!("{version:?} is no group and version")));
            }
            let served = absent_is_none(self.get::<Resources>(TRIED, &format!("/apis/{version}")).await)?;
            if served.is_some_and(|list| list.resources.iter().any(|served| served.name == resource)) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }
}

/// The preferred version first. Nobody serves more than a handful of them.
fn in_order(group: Group) -> Vec<String> {
    let mut versions: Vec<String> = group.preferred_version.into_iter().map(|v| v.group_version).collect();
    for version in group.versions.into_iter().take(8) {
        if !versions.contains(&version.group_version) {
            versions.push(version.group_version);
        }
    }
    versions
}

fn is_path(version: &str) -> bool {
    version.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"./-".contains(&b))
}

fn absent_is_none<T>(read: Result<T, PortError>) -> Result<Option<T>, PortError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == ErrorKind::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// Half of Flux is neither Flux nor its absence: an empty list of Kustomizations would pass for a finished job.
fn both_or_none(sources: Option<String>, kustomizations: Option<String>) -> Result<Option<FluxApi>, String> {
    match (sources, kustomizations) {
        (Some(sources), Some(kustomizations)) => Ok(Some(FluxApi { sources, kustomizations })),
        (None, None) => Ok(None),
        (Some(_), None) => Err("the cluster serves gitrepositories but no kustomizations".to_owned()),
        (None, Some(_)) => Err("the cluster serves kustomizations but no gitrepositories".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_flux_is_an_error_and_no_flux_is_not() {
        assert_eq!(both_or_none(None, None), Ok(None));
        assert!(both_or_none(Some("source.toolkit.fluxcd.io/v1".to_owned()), None).is_err());
    }

    #[test]
    fn the_preferred_version_is_asked_first() {
        let group: Group = serde_json::from_str(
            r#"{"kind":"APIGroup","name":"kustomize.toolkit.fluxcd.io",
                "versions":[{"groupVersion":"kustomize.toolkit.fluxcd.io/v1beta2","version":"v1beta2"},{"groupVersion":"kustomize.toolkit.fluxcd.io/v1","version":"v1"}],
                "preferredVersion":{"groupVersion":"kustomize.toolkit.fluxcd.io/v1","version":"v1"}}"#,
        )
        .unwrap();
        assert_eq!(in_order(group), ["kustomize.toolkit.fluxcd.io/v1", "kustomize.toolkit.fluxcd.io/v1beta2"]);
    }
}
