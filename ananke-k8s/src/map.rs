//! The port [`MapReads`] on a real API server: plain lists, one after the other, since nobody waits for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ananke_core::doctor::ClusterMap;
use ananke_core::doctor::map::{Applier, Source, Workload};
use ananke_core::name::{Kind, ObjectRef};
use ananke_core::port::{ErrorKind, MapReads, PortError};
use async_trait::async_trait;
use serde::de::DeserializeOwned;

use crate::collection::Collection;
use crate::connect::KubeCluster;
use crate::flux_api::Served;
use crate::translate::layer;
use crate::translate::map::environment::Config;
use crate::translate::map::workload::Found;
use crate::translate::map::{cluster, flux, jobs, network, secrets, storage, webhooks, workload};

const FLUX_SOURCES: (&str, &[&str]) =
    ("source.toolkit.fluxcd.io", &["gitrepositories", "ocirepositories", "helmrepositories", "buckets"]);
const KUSTOMIZATIONS: (&str, &[&str]) = ("kustomize.toolkit.fluxcd.io", &["kustomizations"]);
const HELM_RELEASES: (&str, &[&str]) = ("helm.toolkit.fluxcd.io", &["helmreleases"]);
const SECRETS: (&str, &[&str]) = ("external-secrets.io", &["externalsecrets", "secretstores", "clustersecretstores"]);

#[async_trait]
impl MapReads for KubeCluster {
    async fn map(&self) -> Result<ClusterMap, PortError> {
        let mut unseen = Vec::new();
        // Whoever may not read these may read nothing, and an empty map would pass for a cluster without circles.
        let mut map = ClusterMap { nodes: self.list(&cluster::NODES).await?, ..ClusterMap::default() };
        let found = self.all_workloads().await?;
        map.workloads = self.with_configs(found, &mut unseen).await?;
        map.namespaces = seen(self.list(&cluster::NAMESPACES).await, &mut unseen)?.into_iter().collect();
        map.services = seen(self.list(&network::SERVICES).await, &mut unseen)?;
        map.ingresses = seen(self.list(&network::INGRESSES).await, &mut unseen)?;
        map.ingress_classes = seen(self.list(&network::INGRESS_CLASSES).await, &mut unseen)?;
        map.claims = seen(self.list(&storage::CLAIMS).await, &mut unseen)?;
        map.volumes = seen(self.list(&storage::VOLUMES).await, &mut unseen)?;
        map.storage_classes = seen(self.list(&storage::CLASSES).await, &mut unseen)?;
        map.jobs = seen(self.list(&jobs::JOBS).await, &mut unseen)?;
        map.budgets = seen(self.list(&jobs::BUDGETS).await, &mut unseen)?;
        let replicas = seen(self.longhorn_replicas().await, &mut unseen)?;
        for volume in &mut map.volumes {
            volume.replicas = replicas.get(&volume.name).copied().or(volume.replicas);
        }
        let validating = seen(self.list(&webhooks::VALIDATING).await, &mut unseen)?;
        let mutating = seen(self.list(&webhooks::MUTATING).await, &mut unseen)?;
        map.webhooks = validating.into_iter().chain(mutating).flatten().collect();
        self.read_secrets(&mut map, &mut unseen).await?;
        map.sources = self.all_sources(&mut unseen).await?;
        map.appliers = self.all_appliers(&mut unseen).await?;
        map.keep_known_names();
        map.unseen = unseen;
        Ok(map)
    }
}

impl KubeCluster {
    async fn all_workloads(&self) -> Result<Vec<Found>, PortError> {
        let mut all = self.list(&workload::DEPLOYMENTS).await?;
        all.extend(self.list(&workload::STATEFUL_SETS).await?);
        all.extend(self.list(&workload::DAEMON_SETS).await?);
        Ok(all)
    }

    /// With the names in the ConfigMaps that their environment is taken from; each is read once.
    async fn with_configs(&self, found: Vec<Found>, unseen: &mut Vec<String>) -> Result<Vec<Workload>, PortError> {
        let (mut configs, mut all) = (BTreeMap::<ObjectRef, Config>::new(), Vec::new());
        for Found { mut workload, configs: wanted, mut mentions } in found {
            for of in &wanted {
                let object = ObjectRef::new(Kind::ConfigMap, &workload.object.namespace, &of.name);
                if !configs.contains_key(&object) {
                    let read = self.config(&object, unseen).await?;
                    configs.insert(object.clone(), read);
                }
                let said = configs.get(&object).into_iter().flat_map(|config| config.mentions(of));
                said.for_each(|more| mentions.add(more));
            }
            (workload.names, workload.provisions) =
                (mentions.services.into_iter().collect(), mentions.provisioners.into_iter().collect());
            all.push(workload);
        }
        Ok(all)
    }

    /// Nothing where it is gone.
    async fn config(&self, object: &ObjectRef, unseen: &mut Vec<String>) -> Result<Config, PortError> {
        const TRIED: &str = "read the environment";
        let path = layer::path(TRIED, object)?;
        match self.get(TRIED, &path).await.map_err(|error| PortError { on: object.to_string(), ..error }) {
            Err(error) if error.kind == ErrorKind::Missing => Ok(Config::default()),
            read => seen(read, unseen),
        }
    }

    async fn longhorn_replicas(&self) -> Result<BTreeMap<Arc<str>, u32>, PortError> {
        let served = self.versions_of("discover Longhorn", ("longhorn.io", &["volumes"])).await?;
        let volumes = self.served(&served, "list Longhorn's volumes", "volumes", storage::longhorn_replicas).await?;
        Ok(volumes.into_iter().collect())
    }

    async fn read_secrets(&self, map: &mut ClusterMap, unseen: &mut Vec<String>) -> Result<(), PortError> {
        let served = self.versions_of("discover External Secrets", SECRETS).await?;
        let list = self.served(&served, "list externalsecrets", "externalsecrets", secrets::external_secret).await;
        map.external_secrets = seen(list, unseen)?;
        let stores = self.served(&served, "list secretstores", "secretstores", secrets::store).await;
        map.secret_stores = seen(stores, unseen)?;
        let stores = self.served(&served, "list clustersecretstores", "clustersecretstores", secrets::cluster_store).await;
        map.secret_stores.extend(seen(stores, unseen)?);
        Ok(())
    }

    async fn all_sources(&self, unseen: &mut Vec<String>) -> Result<Vec<Source>, PortError> {
        let served = self.versions_of("discover Flux", FLUX_SOURCES).await?;
        let mut all = seen(self.served(&served, "list gitrepositories", "gitrepositories", flux::git).await, unseen)?;
        all.extend(seen(self.served(&served, "list ocirepositories", "ocirepositories", flux::oci).await, unseen)?);
        all.extend(seen(self.served(&served, "list helmrepositories", "helmrepositories", flux::helm).await, unseen)?);
        all.extend(seen(self.served(&served, "list buckets", "buckets", flux::bucket).await, unseen)?);
        Ok(all)
    }

    async fn all_appliers(&self, unseen: &mut Vec<String>) -> Result<Vec<Applier>, PortError> {
        let served = self.versions_of("discover Flux", KUSTOMIZATIONS).await?;
        let list = self.served(&served, "list kustomizations", "kustomizations", flux::kustomization).await;
        let mut all = seen(list, unseen)?;
        let served = self.versions_of("discover Flux", HELM_RELEASES).await?;
        let list = self.served(&served, "list helmreleases", "helmreleases", flux::helm_release).await;
        all.extend(seen(list, unseen)?);
        Ok(all)
    }

    /// Nothing where the kind is not served.
    async fn served<I: DeserializeOwned, T>(
        &self,
        served: &Served,
        tried: &'static str,
        plural: &str,
        take: fn(I) -> Result<Option<T>, String>,
    ) -> Result<Vec<T>, PortError> {
        match served.get(plural) {
            Some(version) => self.list(&Collection::at(tried, format!("/apis/{version}/{plural}"), take)).await,
            None => Ok(Vec::new()),
        }
    }
}

/// Nothing, with a note, where a right is missing.
fn seen<T: Default>(read: Result<T, PortError>, unseen: &mut Vec<String>) -> Result<T, PortError> {
    match read {
        Err(error) if error.kind == ErrorKind::Denied => {
            unseen.push(error.to_string());
            Ok(T::default())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_noted_and_other_errors_are_not_hidden() {
        let error = |kind| Err::<Vec<u8>, _>(PortError::new(kind, "list services", "titan", "forbidden"));
        let mut unseen = Vec::new();
        assert_eq!(seen(error(ErrorKind::Denied), &mut unseen), Ok(Vec::new()));
        assert_eq!(unseen, ["list services on titan: forbidden"]);
        assert!(seen(error(ErrorKind::Transient), &mut unseen).is_err());
    }
}
