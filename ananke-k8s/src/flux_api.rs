//! Which version of an API the cluster serves, found by discovery; of Flux's it is remembered while it holds.

use std::collections::BTreeMap;

use ananke_core::name::Kind;
use ananke_core::port::{ErrorKind, PortError};
use serde::Deserialize;

use crate::connect::KubeCluster;
use crate::error;

const SOURCES: (&str, &[&str]) = ("source.toolkit.fluxcd.io", &["gitrepositories", "ocirepositories", "buckets"]);
const KUSTOMIZATIONS: (&str, &[&str]) = ("kustomize.toolkit.fluxcd.io", &["kustomizations"]);
const HELM: (&str, &[&str]) = ("helm.toolkit.fluxcd.io", &["helmreleases"]);
const TRIED: &str = "discover Flux";

/// Where the kinds are: each the group and version under which it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FluxApi {
    pub(crate) sources: String,
    pub(crate) kustomizations: String,
    /// None where source-controller does not serve them.
    pub(crate) oci_repositories: Option<String>,
    pub(crate) buckets: Option<String>,
    /// None where no helm-controller is installed.
    pub(crate) helm_releases: Option<String>,
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
    fn is_whole(&self) -> bool {
        self.oci_repositories.is_some() && self.buckets.is_some() && self.helm_releases.is_some()
    }

    /// The path under which all objects of a kind are listed; none for kinds that are not Flux's.
    pub(crate) fn collection(&self, kind: Kind) -> Option<(&str, &'static str)> {
        match kind {
            Kind::GitRepository => Some((self.sources.as_str(), "gitrepositories")),
            Kind::Kustomization => Some((&self.kustomizations, "kustomizations")),
            Kind::OCIRepository => Some((self.oci_repositories.as_ref()?, "ocirepositories")),
            Kind::Bucket => Some((self.buckets.as_ref()?, "buckets")),
            Kind::HelmRelease => Some((self.helm_releases.as_ref()?, "helmreleases")),
            Kind::Node
            | Kind::Namespace
            | Kind::Pod
            | Kind::Deployment
            | Kind::StatefulSet
            | Kind::DaemonSet
            | Kind::Ingress
            | Kind::Job
            | Kind::Service
            | Kind::PersistentVolumeClaim
            | Kind::VolumeAttachment
            | Kind::ConfigMap
            | Kind::ServiceAccount
            | Kind::CephCluster
            | Kind::CronJob => None,
        }
    }
}

impl KubeCluster {
    /// `None` where neither kind is served. An absence is never remembered, neither of Flux nor of a part of it: it may be
    /// installed the next minute, and an API server that has just come up knows its CRDs one after the other.
    pub(crate) async fn flux_api(&self) -> Result<Option<FluxApi>, PortError> {
        if let Some(known) = self.remembered().clone() {
            return Ok(Some(known));
        }
        let (sources, kustomizations, helm) = tokio::try_join!(
            self.versions_of(TRIED, SOURCES),
            self.versions_of(TRIED, KUSTOMIZATIONS),
            self.versions_of(TRIED, HELM)
        )?;
        let found = put_together(&sources, &kustomizations, &helm).map_err(|half| {
            PortError::new(ErrorKind::Missing, TRIED, self.server(), half)
                .with_remedy("install Flux's CRDs completely (flux install, or the bootstrap manifests)")
        })?;
        if found.as_ref().is_some_and(FluxApi::is_whole) {
            self.remembered().clone_from(&found);
        }
        Ok(found)
    }

    /// After a 404 on a kind that was there: its CRD may have gone or changed version.
    pub(crate) fn forget_flux_api(&self) {
        *self.remembered() = None;
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Option<FluxApi>> {
        self.flux_api.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Under which version each of the resources is served, as far as it is.
    pub(crate) async fn versions_of(
        &self,
        tried: &str,
        (group, resources): (&str, &[&'static str]),
    ) -> Result<Served, PortError> {
        let mut served = Served::new();
        let Some(found) = absent_is_none(self.get::<Group>(tried, &format!("/apis/{group}")).await)? else {
            return Ok(served);
        };
        for version in in_order(found) {
            if !is_path(&version) {
                return Err(error::nonsense(tried, &self.server(), format!("{version:?} is no group and version")));
            }
            let list = absent_is_none(self.get::<Resources>(tried, &format!("/apis/{version}")).await)?;
            for resource in list.into_iter().flat_map(|list| list.resources) {
                if let Some(name) = resources.iter().find(|name| **name == resource.name) {
                    served.entry(name).or_insert_with(|| version.clone());
                }
            }
            if served.len() == resources.len() {
                break;
            }
        }
        Ok(served)
    }
}

/// Resource and version.
pub(crate) type Served = BTreeMap<&'static str, String>;

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

/// Half of Flux is neither Flux nor its absence: an empty list of Kustomizations would pass for a finished job. What a
/// cluster may do without is left out.
fn put_together(sources: &Served, kustomizations: &Served, helm: &Served) -> Result<Option<FluxApi>, String> {
    match (sources.get("gitrepositories"), kustomizations.get("kustomizations")) {
        (Some(git), Some(kustomizations)) => Ok(Some(FluxApi {
            sources: git.clone(),
            kustomizations: kustomizations.clone(),
            oci_repositories: sources.get("ocirepositories").cloned(),
            buckets: sources.get("buckets").cloned(),
            helm_releases: helm.get("helmreleases").cloned(),
        })),
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
        let none = Served::new();
        let git = Served::from([("gitrepositories", "source.toolkit.fluxcd.io/v1".to_owned())]);
        let kustomizations = Served::from([("kustomizations", "kustomize.toolkit.fluxcd.io/v1".to_owned())]);
        assert_eq!(put_together(&none, &none, &none), Ok(None));
        assert!(put_together(&git, &none, &none).is_err() && put_together(&none, &kustomizations, &none).is_err());
        let api = put_together(&git, &kustomizations, &none).unwrap().unwrap();
        assert_eq!(api.collection(Kind::HelmRelease), None, "a cluster may do without helm-controller");
        assert_eq!(api.collection(Kind::GitRepository), Some(("source.toolkit.fluxcd.io/v1", "gitrepositories")));
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
