//! Layers: what a Kustomization applied and its HelmReleases installed, and objects that are made again from it.

use std::collections::BTreeSet;
use std::sync::Arc;

use ananke_core::bootstrap::{KINDS, Manifest};
use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::Tri;
use ananke_core::port::{ErrorKind, PortError};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::inventory::Inventory;
use super::meta::{Condition, Meta, condition, null_is_default, set};
use super::order::{JSON, Write, is_name};

/// A Kustomization or a HelmRelease.
#[derive(Debug, Deserialize)]
pub(crate) struct Applier {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    /// Of another cluster, where its objects are then.
    kube_config: Option<Value>,
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
    /// Of a HelmRelease, the newest first. A Kustomization's tells of other things, and nothing of it is kept.
    #[serde(deserialize_with = "null_is_default")]
    history: Vec<Release>,
}

/// A release as Helm knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Release {
    name: String,
    namespace: String,
}

/// What there is to be read of a layer, or of a release in it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Contents {
    pub(crate) objects: Vec<ObjectRef>,
    pub(crate) releases: Vec<ObjectRef>,
    pub(crate) left_out: BTreeSet<Arc<str>>,
}

/// The revision of a Kustomization that is Ready, and what it applied.
pub(crate) fn applied(kustomization: Applier) -> Result<(Arc<str>, Contents), String> {
    let Applier { metadata, mut status, .. } = kustomization;
    is_settled(&metadata, &status)?;
    let Some(revision) = set(status.last_applied_revision.take()) else {
        return Err("it has applied no revision".to_owned());
    };
    Ok((revision, contents(&status.inventory)))
}

/// What a HelmRelease that is Ready installed; none where it does not say so, as before Flux 2.8, or where that is in another
/// cluster.
pub(crate) fn installed(release: Applier) -> Result<Option<(Release, Contents)>, String> {
    let Applier { metadata, spec, mut status } = release;
    is_settled(&metadata, &status)?;
    let mut contents = contents(&status.inventory);
    // Charts with releases of their own are Flux' affair.
    contents.left_out.extend(contents.releases.drain(..).map(|release| release.to_string().into()));
    let named = status.history.first().is_some_and(|release| !(release.name.is_empty() || release.namespace.is_empty()));
    let told = spec.kube_config.is_none() && contents != Contents::default() && named;
    Ok(told.then(|| (status.history.swap_remove(0), contents)))
}

/// Ready with what it should apply now: on any other day its objects may be half of it.
fn is_settled(metadata: &Meta, status: &Status) -> Result<(), String> {
    let ready = condition(&status.conditions, "Ready");
    if ready.map_or(Tri::Unknown, Condition::tri) != Tri::True {
        let why = ready.map_or("nothing is said of it", |condition| &condition.message);
        return Err(format!("it is not Ready: {why}"));
    }
    if status.observed_generation != metadata.generation {
        return Err(format!("its controller has seen generation {} of {}", status.observed_generation, metadata.generation));
    }
    Ok(())
}

fn contents(inventory: &Inventory) -> Contents {
    let mut contents = Contents::default();
    for applied in inventory.applied() {
        match applied.object() {
            Some(object) if KINDS.contains(&object.kind) => contents.objects.push(object),
            Some(object) if object.kind == Kind::HelmRelease => contents.releases.push(object),
            Some(_) | None => drop(contents.left_out.insert(applied.to_string().into())),
        }
    }
    contents
}

const RELEASE_NAME: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";

impl Release {
    /// Helm adopts an object that is there already only if it says that it is this release's.
    pub(crate) fn owns(&self, object: &Value) -> bool {
        let text = |part: &str, key: &str| object.get("metadata")?.get(part)?.get(key)?.as_str();
        text("labels", "app.kubernetes.io/managed-by") == Some("Helm")
            && text("annotations", RELEASE_NAME) == Some(&self.name)
            && text("annotations", RELEASE_NAMESPACE) == Some(&self.namespace)
    }
}

/// Under which name the server books the fields: Flux's controllers take over what was written under their own
/// (docs/decisions/bootstrap-layers.md).
fn manager(manifest: &Manifest) -> &'static str {
    let annotations = manifest.body.pointer("/metadata/annotations");
    let of_helm = annotations.is_some_and(|annotations| annotations.get(RELEASE_NAME).is_some());
    if of_helm { "helm-controller" } else { "kustomize-controller" }
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
        | Kind::VolumeAttachment
        | Kind::CephCluster
        | Kind::CronJob => return Err(wrong("objects of this kind are not kept")),
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
    let path = collection(TRIED, &manifest.object)?;
    let path = format!("{path}?fieldManager={}&fieldValidation=Ignore", manager(manifest));
    let (on, body) = (manifest.object.to_string(), manifest.body.clone());
    Ok(Write { tried: TRIED, on, method: Method::POST, path, content_type: JSON, body })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn told(contents: &Contents) -> String {
        let Contents { objects, releases, left_out } = contents;
        let names = |list: &[ObjectRef]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let left_out: Vec<&str> = left_out.iter().map(AsRef::as_ref).collect();
        format!("{}; of {}; not {}", names(objects), names(releases), left_out.join(", "))
    }

    fn check(change: (&str, Value), expected: Expect) {
        let mut found = json!({
            "metadata": {"name": "git", "namespace": "flux-system", "generation": 3},
            "status": {"observedGeneration": 3, "lastAppliedRevision": "main@sha1:0",
                "conditions": [{"type": "Ready", "status": "True", "message": "Applied revision: main@sha1:0"}],
                "history": [{"digest": "sha256:a9", "lastReconciledStatus": "ReconciliationSucceeded"}],
                "inventory": {"entries": [{"id": "git_gitea_apps_Deployment", "v": "v1"}, {"id": "git_key__Secret", "v": "v1"},
                    {"id": "git_data__PersistentVolumeClaim", "v": "v1"}, {"id": "_git__Namespace", "v": "v1"},
                    {"id": "_git__reader_rbac.authorization.k8s.io_ClusterRole", "v": "v1"},
                    {"id": "git_chart_helm.toolkit.fluxcd.io_HelmRelease", "v": "v2"}]}},
        });
        let (at, value) = change;
        *found.pointer_mut(at).unwrap() = value;
        let read = applied(serde_json::from_value(found).unwrap());
        expected.assert_eq(&read.map_or_else(|why| why, |(revision, contents)| format!("{revision}: {}", told(&contents))));
    }

    #[test]
    fn what_holds_data_or_rights_is_named_and_left_out() {
        check(
            ("/metadata/name", json!("git")),
            expect![
                "main@sha1:0: Deployment git/gitea, Namespace git; of HelmRelease git/chart; not ClusterRole git:reader, PersistentVolumeClaim git/data, Secret git/key"
            ],
        );
        check(("/status/inventory", Value::Null), expect!["main@sha1:0: ; of ; not "]);
    }

    #[test]
    fn a_sick_day_is_no_day_to_read_a_layer() {
        check(("/metadata/generation", json!(4)), expect!["its controller has seen generation 3 of 4"]);
        check(("/status/lastAppliedRevision", json!("")), expect!["it has applied no revision"]);
        check(("/status/conditions", Value::Null), expect!["it is not Ready: nothing is said of it"]);
        let waits = json!([{"type": "Ready", "status": "False", "message": "dependency 'flux-system/core' is not ready"}]);
        check(("/status/conditions", waits), expect!["it is not Ready: dependency 'flux-system/core' is not ready"]);
    }

    fn installed_with(at: &str, value: Value) -> String {
        let mut found = json!({
            "metadata": {"name": "chart", "namespace": "git", "generation": 3},
            "spec": {"kubeConfig": null},
            "status": {"observedGeneration": 3, "conditions": [{"type": "Ready", "status": "True"}],
                "history": [{"name": "gitea", "namespace": "git", "version": 7}, {"name": "gitea", "namespace": "git", "version": 6}],
                "inventory": {"entries": [{"id": "git_gitea_apps_Deployment", "v": "v1"}, {"id": "git_gitea-init__Secret", "v": "v1"},
                    {"id": "git_cache_helm.toolkit.fluxcd.io_HelmRelease", "v": "v2"}]}},
        });
        *found.pointer_mut(at).unwrap() = value;
        match installed(serde_json::from_value(found).unwrap()) {
            Ok(Some((release, contents))) => format!("{}/{}: {}", release.namespace, release.name, told(&contents)),
            Ok(None) => "it does not say".to_owned(),
            Err(why) => why,
        }
    }

    #[test]
    fn a_release_says_what_it_installed_since_flux_2_8() {
        let all = "git/gitea: Deployment git/gitea; of ; not HelmRelease git/cache, Secret git/gitea-init";
        assert_eq!(installed_with("/metadata/name", json!("chart")), all);
        assert_eq!(installed_with("/status/inventory", Value::Null), "it does not say");
        assert_eq!(installed_with("/status/history", Value::Null), "it does not say");
        assert_eq!(installed_with("/status/history/0", json!({"digest": "sha256:a9"})), "it does not say");
        let elsewhere = json!({"secretRef": {"name": "other-cluster"}});
        assert_eq!(installed_with("/spec/kubeConfig", elsewhere), "it does not say");
        assert_eq!(installed_with("/status/observedGeneration", json!(2)), "its controller has seen generation 2 of 3");
    }

    #[test]
    fn an_object_is_a_releases_if_helm_would_adopt_it() {
        let release = Release { name: "gitea".to_owned(), namespace: "git".to_owned() };
        let owns = |label: &str, name: &str, namespace: &str| {
            let annotations = json!({RELEASE_NAME: name, RELEASE_NAMESPACE: namespace});
            release.owns(&json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": label}, "annotations": annotations}}))
        };
        assert!(owns("Helm", "gitea", "git"));
        assert!(!owns("kustomize", "gitea", "git"));
        assert!(!owns("Helm", "forgejo", "git"));
        assert!(!owns("Helm", "gitea", "forge"));
        assert!(!release.owns(&json!({"metadata": {"labels": null}})));
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
    fn an_object_is_made_in_the_name_of_the_controller_that_made_it_before() {
        let annotations = |of: Value| json!({"apiVersion": "apps/v1", "metadata": {"name": "gitea", "annotations": of}});
        for (body, manager) in [
            (annotations(Value::Null), "kustomize-controller"),
            (annotations(json!({"team": "ops"})), "kustomize-controller"),
            (annotations(json!({RELEASE_NAME: "gitea"})), "helm-controller"),
        ] {
            let write =
                create(&Manifest { object: ObjectRef::new(Kind::Deployment, "git", "gitea"), body: body.clone() }).unwrap();
            let path = format!("/apis/apps/v1/namespaces/git/deployments?fieldManager={manager}&fieldValidation=Ignore");
            assert_eq!((write.method, write.path, write.body), (Method::POST, path, body));
        }
    }
}
