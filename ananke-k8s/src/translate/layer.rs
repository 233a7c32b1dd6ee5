//! Layers: what a Kustomization applied, and objects that are made again from it.

use std::collections::BTreeSet;
use std::sync::Arc;

use ananke_core::bootstrap::{KINDS, Manifest};
use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::Tri;
use ananke_core::port::{ErrorKind, PortError};
use http::Method;
use serde::Deserialize;

use super::inventory::Inventory;
use super::meta::{Condition, Meta, condition, null_is_default, set};
use super::order::{JSON, Write, is_name};

/// Under which name the server books the fields: Flux's kustomize-controller takes over what was written under its own
/// (docs/decisions/bootstrap-layers.md).
const FLUX: &str = "fieldManager=kustomize-controller";

#[derive(Debug, Deserialize)]
pub(crate) struct Kustomization {
    metadata: Meta,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
    observed_generation: i64,
    last_applied_revision: Option<Arc<str>>,
    #[serde(deserialize_with = "null_is_default")]
    inventory: Inventory,
}

/// What there is to be read of a layer.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    pub(crate) revision: Arc<str>,
    pub(crate) objects: Vec<ObjectRef>,
    pub(crate) left_out: BTreeSet<Arc<str>>,
}

/// Of a Kustomization that is Ready with what it should apply now: on any other day its objects may be half of it.
pub(crate) fn contents(kustomization: Kustomization) -> Result<Contents, String> {
    let Kustomization { metadata, mut status } = kustomization;
    let ready = condition(&status.conditions, "Ready");
    if ready.map_or(Tri::Unknown, Condition::tri) != Tri::True {
        let why = ready.map_or("nothing is said of it", |condition| &condition.message);
        return Err(format!("it is not Ready: {why}"));
    }
    if status.observed_generation != metadata.generation {
        return Err(format!("its controller has seen generation {} of {}", status.observed_generation, metadata.generation));
    }
    let Some(revision) = set(status.last_applied_revision.take()) else {
        return Err("it has applied no revision".to_owned());
    };
    let mut contents = Contents { revision, objects: Vec::new(), left_out: BTreeSet::new() };
    for applied in status.inventory.applied() {
        match applied.object().filter(|object| KINDS.contains(&object.kind)) {
            Some(object) => contents.objects.push(object),
            None => drop(contents.left_out.insert(applied.to_string().into())),
        }
    }
    Ok(contents)
}

/// Where objects of its kind and namespace are.
pub(crate) fn collection(tried: &'static str, object: &ObjectRef) -> Result<String, PortError> {
    let wrong = |found: &str| PortError::new(ErrorKind::Invalid, tried, object, found);
    let (version, plural) = match object.kind {
        Kind::Namespace if object.namespace.is_empty() => return Ok("/api/v1/namespaces".to_owned()),
        Kind::ServiceAccount => ("api/v1", "serviceaccounts"),
        Kind::ConfigMap => ("api/v1", "configmaps"),
        Kind::Service => ("api/v1", "services"),
        Kind::Deployment => ("apis/apps/v1", "deployments"),
        Kind::StatefulSet => ("apis/apps/v1", "statefulsets"),
        Kind::DaemonSet => ("apis/apps/v1", "daemonsets"),
        Kind::Ingress => ("apis/networking.k8s.io/v1", "ingresses"),
        Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::GitRepository
        | Kind::Kustomization
        | Kind::OCIRepository
        | Kind::Bucket
        | Kind::HelmRelease
        | Kind::Job
        | Kind::PersistentVolumeClaim
        | Kind::VolumeAttachment => return Err(wrong("objects of this kind are not kept")),
    };
    if !is_name(&object.namespace) {
        return Err(wrong("this is not the namespace of an object"));
    }
    Ok(format!("/{version}/namespaces/{}/{plural}", object.namespace))
}

pub(crate) fn path(tried: &'static str, object: &ObjectRef) -> Result<String, PortError> {
    if !is_name(&object.name) {
        return Err(PortError::new(ErrorKind::Invalid, tried, object, "this is not the name of an object"));
    }
    Ok(format!("{}/{}", collection(tried, object)?, object.name))
}

/// A field that the server knows no more, since it is another version now, does not keep the object away.
pub(crate) fn create(manifest: &Manifest) -> Result<Write, PortError> {
    const TRIED: &str = "make";
    let path = format!("{}?{FLUX}&fieldValidation=Ignore", collection(TRIED, &manifest.object)?);
    let (on, body) = (manifest.object.to_string(), manifest.body.clone());
    Ok(Write { tried: TRIED, on, method: Method::POST, path, content_type: JSON, body })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use super::*;

    fn check(change: (&str, Value), expected: Expect) {
        let mut found = json!({
            "metadata": {"name": "git", "namespace": "flux-system", "generation": 3},
            "status": {"observedGeneration": 3, "lastAppliedRevision": "main@sha1:0",
                "conditions": [{"type": "Ready", "status": "True", "message": "Applied revision: main@sha1:0"}],
                "inventory": {"entries": [{"id": "git_gitea_apps_Deployment", "v": "v1"}, {"id": "git_key__Secret", "v": "v1"},
                    {"id": "git_data__PersistentVolumeClaim", "v": "v1"}, {"id": "_git__Namespace", "v": "v1"},
                    {"id": "_git__reader_rbac.authorization.k8s.io_ClusterRole", "v": "v1"},
                    {"id": "git_chart_helm.toolkit.fluxcd.io_HelmRelease", "v": "v2"}]}},
        });
        let (at, value) = change;
        *found.pointer_mut(at).unwrap() = value;
        let told = match contents(serde_json::from_value(found).unwrap()) {
            Ok(Contents { revision, objects, left_out }) => {
                let objects: Vec<String> = objects.iter().map(ToString::to_string).collect();
                let left_out: Vec<&str> = left_out.iter().map(AsRef::as_ref).collect();
                format!("{revision}: {}; not {}", objects.join(", "), left_out.join(", "))
            }
            Err(why) => why,
        };
        expected.assert_eq(&told);
    }

    #[test]
    fn what_holds_data_or_rights_is_named_and_left_out() {
        check(
            ("/metadata/name", json!("git")),
            expect![
                "main@sha1:0: Deployment git/gitea, Namespace git; not ClusterRole git:reader, HelmRelease git/chart, PersistentVolumeClaim git/data, Secret git/key"
            ],
        );
        check(("/status/inventory", Value::Null), expect!["main@sha1:0: ; not "]);
    }

    #[test]
    fn a_sick_day_is_no_day_to_read_a_layer() {
        check(("/metadata/generation", json!(4)), expect!["its controller has seen generation 3 of 4"]);
        check(("/status/lastAppliedRevision", json!("")), expect!["it has applied no revision"]);
        check(("/status/conditions", Value::Null), expect!["it is not Ready: nothing is said of it"]);
        let waits = json!([{"type": "Ready", "status": "False", "message": "dependency 'flux-system/core' is not ready"}]);
        check(("/status/conditions", waits), expect!["it is not Ready: dependency 'flux-system/core' is not ready"]);
    }

    #[test]
    fn every_kind_that_is_kept_has_its_place() {
        let at = |kind: &Kind| {
            let namespace = if *kind == Kind::Namespace { "" } else { "git" };
            path("make", &ObjectRef::new(*kind, namespace, "gitea")).unwrap()
        };
        let paths: Vec<String> = KINDS.iter().map(at).collect();
        expect![[r#"
            /api/v1/namespaces/gitea
            /api/v1/namespaces/git/serviceaccounts/gitea
            /api/v1/namespaces/git/configmaps/gitea
            /api/v1/namespaces/git/services/gitea
            /apis/apps/v1/namespaces/git/deployments/gitea
            /apis/apps/v1/namespaces/git/statefulsets/gitea
            /apis/apps/v1/namespaces/git/daemonsets/gitea
            /apis/networking.k8s.io/v1/namespaces/git/ingresses/gitea"#]]
        .assert_eq(&paths.join("\n"));
        for (kind, namespace, name) in
            [(Kind::Pod, "git", "gitea"), (Kind::Service, "", "gitea"), (Kind::ConfigMap, "git", "../secrets/key")]
        {
            let error = path("make", &ObjectRef::new(kind, namespace, name)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        }
    }

    #[test]
    fn an_object_is_made_in_fluxs_name() {
        let body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "gitea"}, "spec": {"replicas": 1}});
        let manifest = Manifest { object: ObjectRef::new(Kind::Deployment, "git", "gitea"), body: body.clone() };
        let write = create(&manifest).unwrap();
        assert_eq!(
            (write.method, write.path.as_str(), write.body),
            (
                Method::POST,
                "/apis/apps/v1/namespaces/git/deployments?fieldManager=kustomize-controller&fieldValidation=Ignore",
                body
            )
        );
    }
}
