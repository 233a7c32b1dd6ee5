//! One object, as it is made again: without what only the API server and controllers write.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::name::{Kind, ObjectRef};

/// Kinds that are kept, in the order in which they are made. What holds data or rights is not among them: an absent claim
/// would come back empty, a Secret would lie about in plain text, and who may give rights is a person's decision.
pub const KINDS: &[Kind] = &[
    Kind::Namespace,
    Kind::ServiceAccount,
    Kind::ConfigMap,
    Kind::Service,
    Kind::Deployment,
    Kind::StatefulSet,
    Kind::DaemonSet,
    Kind::Ingress,
];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub object: ObjectRef,
    /// What is sent.
    pub body: Value,
}

impl Manifest {
    /// From an object as the API has it; none where its kind is not kept. `body` must have `apiVersion` and `kind`.
    pub fn of(object: ObjectRef, mut body: Value) -> Option<Self> {
        if !KINDS.contains(&object.kind) {
            return None;
        }
        let fields = body.as_object_mut()?;
        fields.remove("status");
        clean_metadata(fields.get_mut("metadata")?.as_object_mut()?);
        if object.kind == Kind::Service
            && let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut)
        {
            clean_service(spec);
        }
        Some(Self { object, body })
    }

    /// Where it stands among the others of its layer.
    pub fn rank(&self) -> usize {
        KINDS.iter().position(|kind| *kind == self.object.kind).unwrap_or(KINDS.len())
    }

    pub fn is_workload(&self) -> bool {
        matches!(self.object.kind, Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet)
    }

    /// Names of the claims that its pods mount. Those of a StatefulSet's own templates are counted out by ordinal.
    pub fn claims(&self) -> BTreeSet<Arc<str>> {
        let text = |value: &Value, at: &str| value.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let list = |at: &str| self.body.pointer(at).and_then(Value::as_array).into_iter().flatten();
        let volumes = list("/spec/template/spec/volumes");
        let named = volumes.filter_map(|volume| text(volume, "/persistentVolumeClaim/claimName"));
        let mut claims: BTreeSet<Arc<str>> = named.map(Arc::from).collect();
        let replicas = self.body.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        for name in list("/spec/volumeClaimTemplates").filter_map(|template| text(template, "/metadata/name")) {
            claims.extend((0..replicas).map(|ordinal| format!("{name}-{}-{ordinal}", self.object.name).into()));
        }
        claims
    }
}

/// Annotations of controllers, which say something of an object that is gone.
const STALE: &[&str] = &["deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"];

/// Name, namespace, labels and annotations are the object's own.
fn clean_metadata(metadata: &mut Map<String, Value>) {
    metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "labels" | "annotations"));
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|key, _| !STALE.contains(&key.as_str()) && !key.starts_with("ananke.dev/"));
    }
}

/// Its addresses are given anew, unless it has none on purpose.
fn clean_service(spec: &mut Map<String, Value>) {
    let headless = spec.get("clusterIP").and_then(Value::as_str) == Some("None");
    if !headless {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    spec.remove("healthCheckNodePort");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(kind: Kind, body: Value) -> Option<Value> {
        Manifest::of(ObjectRef::new(kind, "git", "gitea"), body).map(|manifest| manifest.body)
    }

    #[test]
    fn what_the_cluster_wrote_is_left_out_and_all_else_is_kept() {
        let found = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "gitea", "namespace": "git", "uid": "u", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}], "ownerReferences": [{}], "finalizers": ["x"],
                "labels": {"app": "gitea"},
                "annotations": {"deployment.kubernetes.io/revision": "4", "ananke.dev/scaled-from": "1", "team": "ops"},
            },
            "spec": {"replicas": 1}, "status": {"replicas": 1},
        });
        let kept = kept(Kind::Deployment, found).unwrap();
        let metadata = json!({"name": "gitea", "namespace": "git", "labels": {"app": "gitea"}, "annotations": {"team": "ops"}});
        assert_eq!(kept, json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 1}}));
    }

    #[test]
    fn a_service_gets_new_addresses_unless_it_is_headless() {
        let service = |ip: &str| json!({"metadata": {}, "spec": {"clusterIP": ip, "clusterIPs": [ip], "healthCheckNodePort": 1}});
        assert_eq!(kept(Kind::Service, service("10.43.0.9")).unwrap()["spec"], json!({}));
        assert_eq!(kept(Kind::Service, service("None")).unwrap()["spec"], json!({"clusterIP": "None", "clusterIPs": ["None"]}));
    }

    #[test]
    fn what_holds_data_is_not_kept() {
        assert_eq!(kept(Kind::PersistentVolumeClaim, json!({"metadata": {}})), None);
        assert_eq!(kept(Kind::Pod, json!({"metadata": {}})), None);
    }

    #[test]
    fn claims_are_those_of_volumes_and_of_templates() {
        let claims = |spec: Value| {
            let object = ObjectRef::new(Kind::StatefulSet, "git", "gitea");
            let claims = Manifest { object, body: json!({"spec": spec}) }.claims();
            claims.into_iter().collect::<Vec<_>>().join(" ")
        };
        let volumes = json!([{"persistentVolumeClaim": {"claimName": "shared"}}, {"emptyDir": {}}]);
        assert_eq!(claims(json!({"template": {"spec": {"volumes": volumes}}})), "shared");
        let templates = json!([{"metadata": {"name": "data"}}]);
        assert_eq!(claims(json!({"replicas": 2, "volumeClaimTemplates": templates})), "data-gitea-0 data-gitea-1");
        assert_eq!(claims(json!({})), "");
    }
}
