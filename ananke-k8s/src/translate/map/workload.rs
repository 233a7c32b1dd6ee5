//! Pod templates: what their pods need before they start.

use std::collections::BTreeSet;
use std::sync::Arc;

use ananke_core::doctor::map::{PodImage, Pull, Words, Workload};
use ananke_core::name::Kind;
use ananke_core::port::clean;
use serde::Deserialize;

use super::super::meta::{Meta, count, null_is_default};
use super::environment::{ConfigRef, Mentions};
use super::{applied_by, words};
use crate::collection::Collection;

/// The longest name of an image that is told; the format allows no more.
const IMAGE: usize = 512;

/// A workload whose names are words that may name something, and the ConfigMaps that have more of them.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) workload: Workload,
    pub(crate) configs: BTreeSet<ConfigRef>,
    pub(crate) mentions: Mentions,
}

pub(crate) static DEPLOYMENTS: Collection<Object, Found> =
    Collection::new("list deployments", "/apis/apps/v1/deployments", |of| workload(Kind::Deployment, of));
pub(crate) static STATEFUL_SETS: Collection<Object, Found> =
    Collection::new("list statefulsets", "/apis/apps/v1/statefulsets", |of| workload(Kind::StatefulSet, of));
pub(crate) static DAEMON_SETS: Collection<Object, Found> =
    Collection::new("list daemonsets", "/apis/apps/v1/daemonsets", |of| workload(Kind::DaemonSet, of));

#[derive(Debug, Deserialize)]
pub(crate) struct Object {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    replicas: Option<i64>,
    template: Template,
    #[serde(deserialize_with = "null_is_default")]
    volume_claim_templates: Vec<ClaimTemplate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    desired_number_scheduled: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: Meta,
    spec: PodSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimTemplate {
    metadata: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    #[serde(deserialize_with = "null_is_default")]
    init_containers: Vec<Container>,
    #[serde(deserialize_with = "null_is_default")]
    containers: Vec<Container>,
    #[serde(deserialize_with = "null_is_default")]
    volumes: Vec<Volume>,
    #[serde(deserialize_with = "null_is_default")]
    node_selector: Words,
    host_network: bool,
    dns_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    image: Arc<str>,
    image_pull_policy: String,
    #[serde(deserialize_with = "null_is_default")]
    command: Vec<Mentions>,
    #[serde(deserialize_with = "null_is_default")]
    args: Vec<Mentions>,
    #[serde(deserialize_with = "null_is_default")]
    env: Vec<Variable>,
    #[serde(deserialize_with = "null_is_default")]
    env_from: Vec<Variables>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Variable {
    value: Mentions,
    value_from: Option<ValueFrom>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ValueFrom {
    secret_key_ref: Option<SecretRef>,
    config_map_key_ref: Option<ConfigRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Variables {
    secret_ref: Option<SecretRef>,
    config_map_ref: Option<ConfigRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SecretRef {
    /// A volume says `secretName`.
    #[serde(alias = "secretName")]
    name: Arc<str>,
    optional: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Volume {
    persistent_volume_claim: Option<ClaimRef>,
    secret: Option<SecretRef>,
    projected: Option<Projected>,
    host_path: Option<HostPath>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimRef {
    claim_name: Arc<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Projected {
    #[serde(deserialize_with = "null_is_default")]
    sources: Vec<ProjectedSource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProjectedSource {
    secret: Option<SecretRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HostPath {
    path: Arc<str>,
}

fn workload(kind: Kind, of: Object) -> Result<Option<Found>, String> {
    let Object { metadata, spec, status } = of;
    let replicas = count(status.desired_number_scheduled.or(spec.replicas).unwrap_or(1));
    let pod = &spec.template.spec;
    let of_template = |template: &ClaimTemplate| {
        let (claim, name) = (template.metadata.name.clone(), metadata.name.clone());
        (0..replicas).map(move |ordinal| Arc::from(format!("{claim}-{name}-{ordinal}")))
    };
    let named = pod.volumes.iter().filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone()));
    let cluster_dns = match pod.dns_policy.as_deref() {
        None | Some("ClusterFirst") => !pod.host_network,
        Some(other) => other == "ClusterFirstWithHostNet",
    };
    let workload = Workload {
        object: metadata.object(kind),
        replicas,
        labels: words(&spec.template.metadata.labels),
        images: pod.images(),
        claims: named.chain(spec.volume_claim_templates.iter().flat_map(of_template)).collect(),
        secrets: pod.secrets(),
        names: Vec::new(),
        provisions: Vec::new(),
        host_paths: pod.volumes.iter().filter_map(|volume| Some(volume.host_path.as_ref()?.path.clone())).collect(),
        cluster_dns,
        node_selector: pod.node_selector.clone(),
        applied_by: applied_by(&metadata.labels),
    };
    Ok(Some(Found { workload, configs: pod.configs(), mentions: pod.mentions() }))
}

impl PodSpec {
    fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers)
    }

    fn configs(&self) -> BTreeSet<ConfigRef> {
        let of_container = |of: &'_ Container| {
            let single = of.env.iter().filter_map(|variable| variable.value_from.as_ref()?.config_map_key_ref.clone());
            let whole = of.env_from.iter().filter_map(|from| from.config_map_ref.clone());
            single.chain(whole).collect::<Vec<_>>()
        };
        self.all_containers().flat_map(of_container).collect()
    }

    fn mentions(&self) -> Mentions {
        let mut all = Mentions::default();
        for of in self.all_containers() {
            let said = of.env.iter().map(|variable| &variable.value).chain(&of.command).chain(&of.args);
            said.for_each(|mentions| all.add(mentions));
        }
        all
    }

    /// Each once.
    fn images(&self) -> Vec<PodImage> {
        let image = |of: &Container| {
            let pull = match of.image_pull_policy.as_str() {
                "Always" => Pull::Always,
                "Never" => Pull::Never,
                _ => Pull::IfNotPresent,
            };
            PodImage { image: clean(&of.image, IMAGE).into(), pull }
        };
        let images: BTreeSet<PodImage> = self.all_containers().filter(|of| !of.image.is_empty()).map(image).collect();
        images.into_iter().collect()
    }

    /// Those without which the pods do not start, each once.
    fn secrets(&self) -> Vec<Arc<str>> {
        let of_volumes = self.volumes.iter().flat_map(|volume| {
            let projected = volume.projected.iter().flat_map(|projected| &projected.sources);
            volume.secret.iter().chain(projected.filter_map(|source| source.secret.as_ref()))
        });
        let of_containers = self.all_containers().flat_map(|of| {
            let single = of.env.iter().filter_map(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref());
            single.chain(of.env_from.iter().filter_map(|from| from.secret_ref.as_ref()))
        });
        let needed = of_volumes.chain(of_containers).filter(|of| !of.optional && !of.name.is_empty());
        let names: BTreeSet<Arc<str>> = needed.map(|of| of.name.clone()).collect();
        names.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: Kind, text: &str) -> Found {
        workload(kind, serde_json::from_str(text).unwrap()).unwrap().unwrap()
    }

    fn read(kind: Kind, text: &str) -> Workload {
        found(kind, text).workload
    }

    #[test]
    fn what_containers_are_told_is_looked_through_for_names() {
        let found = found(
            Kind::Deployment,
            r#"{"metadata":{"name":"web","namespace":"apps"},"spec":{"template":{"spec":{"containers":[{"image":"web","args":["--cache","cache.apps:6379"],
                "env":[{"name":"DB","value":"postgres://app:hunter2@db.apps.svc/app"},{"name":"MODE","valueFrom":{"configMapKeyRef":{"name":"web","key":"mode"}}},
                  {"name":"POD","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}],
                "envFrom":[{"configMapRef":{"name":"all","optional":true}},{"secretRef":{"name":"key"}}]}]}}}}"#,
        );
        let services: Vec<String> = found.mentions.services.iter().map(ToString::to_string).collect();
        assert_eq!(services, ["Service apps/cache", "Service apps/db"]);
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        let config: super::super::environment::Config =
            serde_json::from_str(r#"{"data":{"mode":"fast.apps","other":"slow.apps"},"binaryData":{"x":"AA=="}}"#).unwrap();
        let of_key: Vec<usize> = found.configs.iter().map(|of| config.mentions(of).count()).collect();
        assert_eq!(of_key, [2, 1], "all, and one key");
    }

    #[test]
    fn a_template_tells_what_its_pods_need_and_no_values() {
        let found = read(
            Kind::StatefulSet,
            r#"{"metadata":{"name":"db","namespace":"apps","labels":{"kustomize.toolkit.fluxcd.io/name":"apps","kustomize.toolkit.fluxcd.io/namespace":"flux-system"}},
            "spec":{"replicas":2,"volumeClaimTemplates":[{"metadata":{"name":"data"}}],"template":{"metadata":{"labels":{"app":"db"}},"spec":{
              "nodeSelector":{"disk":"ssd"},
              "initContainers":[{"image":"busybox","imagePullPolicy":"Always"}],
              "containers":[{"image":"db:1","imagePullPolicy":"IfNotPresent",
                "env":[{"name":"PASSWORD","value":"hunter2"},{"name":"KEY","valueFrom":{"secretKeyRef":{"name":"key","key":"k"}}},
                  {"name":"EXTRA","valueFrom":{"secretKeyRef":{"name":"extra","key":"k","optional":true}}}],
                "envFrom":[{"secretRef":{"name":"env"}},{"configMapRef":{"name":"plain"}}]}],
              "volumes":[{"name":"tls","secret":{"secretName":"tls"}},{"name":"all","projected":{"sources":[{"secret":{"name":"part"}},{"serviceAccountToken":{"path":"t"}}]}},
                {"name":"shared","persistentVolumeClaim":{"claimName":"shared"}},{"name":"plugins","hostPath":{"path":"/var/lib/kubelet/plugins/x"}}]}}}}"#,
        );
        assert_eq!(found.object.to_string(), "StatefulSet apps/db");
        assert_eq!(found.claims, ["shared".into(), "data-db-0".into(), "data-db-1".into()]);
        assert_eq!(found.secrets, ["env".into(), "key".into(), "part".into(), "tls".into()]);
        assert_eq!(found.host_paths, ["/var/lib/kubelet/plugins/x".into()]);
        assert_eq!(
            found.images.iter().map(|of| (&*of.image, of.pull)).collect::<Vec<_>>(),
            [("busybox", Pull::Always), ("db:1", Pull::IfNotPresent)]
        );
        assert_eq!(found.applied_by.map(|by| by.to_string()).as_deref(), Some("Kustomization flux-system/apps"));
        assert!(found.cluster_dns && found.node_selector.contains_key("disk"));
    }

    #[test]
    fn who_asks_the_host_for_names_needs_no_cluster_dns() {
        for (policy, host_network, expected) in [
            ("ClusterFirst", false, true),
            ("ClusterFirst", true, false),
            ("ClusterFirstWithHostNet", true, true),
            ("Default", false, false),
        ] {
            let text = serde_json::json!({"metadata": {"name": "x"}, "spec": {"template": {"spec": {"dnsPolicy": policy, "hostNetwork": host_network}}}});
            assert_eq!(read(Kind::DaemonSet, &text.to_string()).cluster_dns, expected, "{policy} {host_network}");
        }
    }
}
