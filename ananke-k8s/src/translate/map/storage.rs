//! Claims, volumes and their classes: where data is, and who serves it.

use std::sync::Arc;

use ananke_core::doctor::map::{Claim, StorageClass, Volume};
use ananke_core::name::Kind;
use serde::Deserialize;

use super::super::meta::{Meta, count, null_is_default, set};
use crate::collection::Collection;

pub(crate) static CLAIMS: Collection<RawClaim, Claim> =
    Collection::new("list persistentvolumeclaims", "/api/v1/persistentvolumeclaims", claim);
pub(crate) static VOLUMES: Collection<RawVolume, Volume> =
    Collection::new("list persistentvolumes", "/api/v1/persistentvolumes", volume);
pub(crate) static CLASSES: Collection<RawClass, StorageClass> =
    Collection::new("list storageclasses", "/apis/storage.k8s.io/v1/storageclasses", class);

const HOSTNAME: &str = "kubernetes.io/hostname";

#[derive(Debug, Deserialize)]
pub(crate) struct RawClaim {
    metadata: Meta,
    #[serde(default)]
    spec: ClaimSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSpec {
    volume_name: Option<Arc<str>>,
    storage_class_name: Option<Arc<str>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawClass {
    metadata: Meta,
    #[serde(default)]
    provisioner: Arc<str>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawVolume {
    metadata: Meta,
    #[serde(default)]
    spec: VolumeSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VolumeSpec {
    storage_class_name: Option<Arc<str>>,
    csi: Option<Csi>,
    nfs: Option<Nfs>,
    #[serde(deserialize_with = "null_is_default")]
    node_affinity: NodeAffinity,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Csi {
    driver: Arc<str>,
    #[serde(deserialize_with = "null_is_default")]
    volume_attributes: Attributes,
}

/// Drivers keep much in there: only what is read is named.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Attributes {
    number_of_replicas: Option<String>,
    server: Option<Arc<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Nfs {
    server: Arc<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAffinity {
    #[serde(deserialize_with = "null_is_default")]
    required: Required,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Required {
    #[serde(deserialize_with = "null_is_default")]
    node_selector_terms: Vec<Term>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Term {
    #[serde(deserialize_with = "null_is_default")]
    match_expressions: Vec<Expression>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Expression {
    key: String,
    operator: String,
    #[serde(deserialize_with = "null_is_default")]
    values: Vec<Arc<str>>,
}

/// `longhorn.io` Volume.
#[derive(Debug, Deserialize)]
pub(crate) struct LonghornVolume {
    metadata: Meta,
    #[serde(default)]
    spec: LonghornSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LonghornSpec {
    number_of_replicas: i64,
}

fn claim(of: RawClaim) -> Result<Option<Claim>, String> {
    let (volume, class) = (set(of.spec.volume_name), set(of.spec.storage_class_name));
    Ok(Some(Claim { object: of.metadata.object(Kind::PersistentVolumeClaim), volume, class }))
}

fn class(of: RawClass) -> Result<Option<StorageClass>, String> {
    Ok(Some(StorageClass { name: of.metadata.name.into(), provisioner: of.provisioner }))
}

fn volume(of: RawVolume) -> Result<Option<Volume>, String> {
    let VolumeSpec { storage_class_name, csi, nfs, node_affinity } = of.spec;
    let expressions = node_affinity.required.node_selector_terms.into_iter().flat_map(|term| term.match_expressions);
    let nodes = expressions.filter(|of| of.key == HOSTNAME && of.operator == "In").flat_map(|of| of.values).collect();
    let replicas = csi.as_ref().and_then(|csi| csi.volume_attributes.number_of_replicas.as_deref()?.parse().ok());
    let (driver, attributes) = csi.map_or_else(Default::default, |csi| (Some(csi.driver), csi.volume_attributes));
    Ok(Some(Volume {
        name: of.metadata.name.into(),
        class: set(storage_class_name),
        driver,
        server: nfs.map(|nfs| nfs.server).or(attributes.server),
        nodes,
        replicas,
    }))
}

/// A Longhorn volume has the name of its PersistentVolume.
pub(crate) fn longhorn_replicas(of: LonghornVolume) -> Result<Option<(Arc<str>, u32)>, String> {
    Ok(Some((of.metadata.name.into(), count(of.spec.number_of_replicas))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: &str, expected: &str) {
        let text = format!(r#"{{"metadata":{{"name":"pv"}},"spec":{spec}}}"#);
        let of = volume(serde_json::from_str(&text).unwrap()).unwrap().unwrap();
        let told = format!("{:?} {:?} {:?} {:?}", of.driver, of.server, of.nodes, of.replicas);
        assert_eq!(told, expected, "{spec}");
    }

    #[test]
    fn a_volume_names_whoever_serves_it() {
        check(
            r#"{"csi":{"driver":"driver.longhorn.io","volumeHandle":"pv","volumeAttributes":{"numberOfReplicas":"1","secret":"x"}}}"#,
            r#"Some("driver.longhorn.io") None [] Some(1)"#,
        );
        check(
            r#"{"csi":{"driver":"nfs.csi.k8s.io","volumeAttributes":{"server":"nas.example","share":"/"}}}"#,
            r#"Some("nfs.csi.k8s.io") Some("nas.example") [] None"#,
        );
        check(r#"{"nfs":{"server":"nas.example","path":"/"}}"#, r#"None Some("nas.example") [] None"#);
        check(
            r#"{"hostPath":{"path":"/x"},"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In","values":["titan-01"]}]}]}}}"#,
            r#"None None ["titan-01"] None"#,
        );
    }
}
