//! Flux's GitRepositories and Kustomizations.

use std::sync::Arc;

use ananke_core::name::{Kind, Moment, ObjectRef};
use ananke_core::observation::{KustomizationState, Reconcile, SourceState, Tri};
use serde::Deserialize;

use super::meta::{Condition, Meta, condition, null_is_default, set};

#[derive(Debug, Deserialize)]
pub(crate) struct GitRepository {
    metadata: Meta,
    #[serde(default)]
    spec: SourceSpec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SourceSpec {
    url: Arc<str>,
    #[serde(rename = "ref")]
    reference: Option<GitReference>,
    suspend: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GitReference {
    branch: Option<Arc<str>>,
    tag: Option<Arc<str>>,
    semver: Option<Arc<str>>,
    name: Option<Arc<str>>,
    commit: Option<Arc<str>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Kustomization {
    metadata: Meta,
    #[serde(default)]
    spec: KustomizationSpec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct KustomizationSpec {
    source_ref: ObjectReference,
    #[serde(deserialize_with = "null_is_default")]
    depends_on: Vec<ObjectReference>,
    suspend: bool,
}

/// Another object; without a namespace it is in the referring one's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ObjectReference {
    kind: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
    observed_generation: i64,
    last_handled_reconcile_at: Option<Arc<str>>,
    last_applied_revision: Option<Arc<str>>,
    artifact: Option<Artifact>,
    inventory: Option<Inventory>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Inventory {
    #[serde(deserialize_with = "null_is_default")]
    entries: Vec<Entry>,
}

/// `id` is `<namespace>_<name>_<group>_<kind>`; no part but the name can have an underscore in it, and names have none.
#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Artifact {
    revision: Option<Arc<str>>,
    last_update_time: Option<String>,
}

pub(crate) fn source(source: GitRepository) -> Result<Option<SourceState>, String> {
    let GitRepository { metadata, spec, mut status } = source;
    let version = metadata.version()?;
    let reference = spec.reference.unwrap_or_default();
    let artifact = status.artifact.take().unwrap_or_default();
    let updated = artifact.last_update_time.as_deref().map(Moment::parse).transpose();
    Ok(Some(SourceState {
        object: metadata.object(Kind::GitRepository),
        version,
        url: spec.url,
        pinned: reference.pinned(),
        branch: set(reference.branch),
        artifact_updated: updated.map_err(|error| format!("{}: {error}", metadata.name))?,
        revision: set(artifact.revision),
        reconcile: reconcile(metadata, spec.suspend, status),
    }))
}

pub(crate) fn kustomization(kustomization: Kustomization) -> Result<Option<KustomizationState>, String> {
    let Kustomization { mut metadata, spec, mut status } = kustomization;
    let namespace = metadata.namespace.clone();
    Ok(Some(KustomizationState {
        object: metadata.object(Kind::Kustomization),
        version: metadata.version()?,
        source: source_of(&spec.source_ref, &namespace),
        depends_on: spec.depends_on.iter().map(|other| other.object(Kind::Kustomization, &namespace)).collect(),
        applied_revision: set(status.last_applied_revision.take()),
        suspend_stamp: set(metadata.annotations.suspended.take()),
        workloads: status.inventory.take().unwrap_or_default().entries.iter().filter_map(Entry::workload).collect(),
        reconcile: reconcile(metadata, spec.suspend, status),
    }))
}

/// The core knows GitRepositories only. Another kind of source keeps its kind in the name, which no GitRepository can
/// have for the slash in it, so it is never taken for one.
fn source_of(source: &ObjectReference, namespace: &str) -> ObjectRef {
    let mut object = source.object(Kind::GitRepository, namespace);
    if source.kind != "GitRepository" {
        object.name = format!("{}/{}", source.kind, source.name).into();
    }
    object
}

fn reconcile(metadata: Meta, suspended: bool, status: Status) -> Reconcile {
    let ready = condition(&status.conditions, "Ready");
    Reconcile {
        suspended,
        generation: metadata.generation,
        observed_generation: status.observed_generation,
        ready: ready.map_or(Tri::Unknown, Condition::tri),
        reason: ready.map_or("", |condition| &condition.reason).into(),
        message: ananke_core::port::clean(ready.map_or("", |condition| &condition.message), 300).into(),
        requested_at: set(metadata.annotations.requested),
        handled_at: set(status.last_handled_reconcile_at),
    }
}

impl GitReference {
    /// What outranks the branch, the highest first, as source-controller ranks them.
    fn pinned(&self) -> Option<Arc<str>> {
        let ranked = [("commit", &self.commit), ("name", &self.name), ("semver", &self.semver), ("tag", &self.tag)];
        ranked.into_iter().find_map(|(field, value)| {
            let value = value.as_deref().filter(|value| !value.is_empty())?;
            Some(format!("{field}={value}").into())
        })
    }
}

impl Entry {
    fn workload(&self) -> Option<ObjectRef> {
        let mut parts = self.id.split('_');
        let (namespace, name, group, kind) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let kind = match (group, kind) {
            ("apps", "Deployment") => Kind::Deployment,
            ("apps", "StatefulSet") => Kind::StatefulSet,
            ("apps", "DaemonSet") => Kind::DaemonSet,
            _ => return None,
        };
        Some(ObjectRef::new(kind, namespace, name))
    }
}

impl ObjectReference {
    fn object(&self, kind: Kind, namespace: &str) -> ObjectRef {
        ObjectRef::new(kind, if self.namespace.is_empty() { namespace } else { &self.namespace }, &self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_source(text: &str) -> SourceState {
        source(serde_json::from_str(text).unwrap()).unwrap().unwrap()
    }

    fn check_kustomization(text: &str) -> KustomizationState {
        kustomization(serde_json::from_str(text).unwrap()).unwrap().unwrap()
    }

    #[test]
    fn a_ready_source_has_branch_revision_and_the_time_of_its_artifact() {
        let state = check_source(
            r#"{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"creationTimestamp":"2026-11-22T17:15:43Z","generation":2,"name":"titan-iac","namespace":"apps","resourceVersion":"267","uid":"c3eccd1e"},"spec":{"interval":"1m","ref":{"branch":"main"},"timeout":"60s","url":"ssh://git@scm.example.dev/ops/titan-iac.git"},"status":{"artifact":{"digest":"sha256:0","lastUpdateTime":"2026-01-01T00:00:00Z","path":"gitrepository/apps/titan-iac/0.tar.gz","revision":"main@sha1:0000","url":"http://x/0.tar.gz"},"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"stored artifact","observedGeneration":2,"reason":"Succeeded","status":"True","type":"Ready"}],"observedGeneration":2}}"#,
        );
        assert_eq!(state.object.to_string(), "GitRepository apps/titan-iac");
        assert_eq!((state.branch.as_deref(), state.pinned), (Some("main"), None));
        assert_eq!(state.revision.as_deref(), Some("main@sha1:0000"));
        assert_eq!(state.artifact_updated.unwrap().to_string(), "2026-01-01T00:00:00.000Z");
        assert_eq!((state.reconcile.ready, state.reconcile.observed_generation), (Tri::True, 2));
    }

    #[test]
    fn what_outranks_the_branch_is_told_in_flux_order() {
        let with = |reference: &str| {
            check_source(&format!(
                r#"{{"metadata":{{"name":"a","namespace":"b","resourceVersion":"1"}},"spec":{{"url":"u","ref":{reference}}}}}"#
            ))
        };
        assert_eq!(with(r#"{"branch":"main","tag":"v1","semver":"1.x"}"#).pinned.as_deref(), Some("semver=1.x"));
        assert_eq!(with(r#"{"branch":"main","name":"refs/heads/x","commit":"abc"}"#).pinned.as_deref(), Some("commit=abc"));
        assert_eq!(with(r#"{"branch":"main","tag":""}"#).pinned, None);
    }

    #[test]
    fn a_kustomization_that_never_ran_is_unknown_and_its_references_are_complete() {
        let state = check_kustomization(
            r#"{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"2026-01-01T00:00:00Z","ananke.dev/suspended":"shutdown-1 2026-01-01T00:00:00Z"},"generation":3,"name":"core","namespace":"apps","resourceVersion":"270","uid":"542ba481"},"spec":{"dependsOn":[{"name":"crds"},{"name":"other","namespace":"infra"}],"force":false,"interval":"10m","path":"./core","prune":true,"sourceRef":{"kind":"GitRepository","name":"titan-iac"},"suspend":true},"status":{"observedGeneration":-1}}"#,
        );
        assert_eq!(state.source, ObjectRef::new(Kind::GitRepository, "apps", "titan-iac"));
        let depends: Vec<_> = state.depends_on.iter().map(ToString::to_string).collect();
        assert_eq!(depends, ["Kustomization apps/crds", "Kustomization infra/other"]);
        assert!(state.reconcile.suspended && state.reconcile.observed_generation == -1);
        assert_eq!(state.reconcile.ready, Tri::Unknown);
        assert_eq!(state.suspend_stamp.as_deref(), Some("shutdown-1 2026-01-01T00:00:00Z"));
        assert_eq!((state.reconcile.requested_at.as_deref(), state.applied_revision), (Some("2026-01-01T00:00:00Z"), None));
    }

    #[test]
    fn the_inventory_names_the_workloads() {
        let state = check_kustomization(
            r#"{"metadata":{"name":"a","namespace":"b","resourceVersion":"1"},"spec":{},"status":{"inventory":{"entries":[{"id":"home_home-assistant_apps_StatefulSet","v":"v1"},{"id":"home_web__Service","v":"v1"},{"id":"_home__Namespace","v":"v1"},{"id":"torn","v":"v1"}]}}}"#,
        );
        assert_eq!(state.workloads, [ObjectRef::new(Kind::StatefulSet, "home", "home-assistant")]);
    }

    #[test]
    fn another_kind_of_source_is_never_taken_for_a_git_repository() {
        let state = check_kustomization(
            r#"{"metadata":{"name":"a","namespace":"b","resourceVersion":"1"},"spec":{"sourceRef":{"kind":"OCIRepository","name":"titan-iac"}}}"#,
        );
        assert_eq!(state.source.name.as_ref(), "OCIRepository/titan-iac");
    }
}
