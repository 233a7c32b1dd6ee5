//! Flux's sources, Kustomizations and HelmReleases.

use std::sync::Arc;

use ananke_core::name::{Kind, Moment, ObjectRef};
use ananke_core::observation::{HelmReleaseState, KustomizationState, Reconcile, SourceState, Tri};
use ananke_core::port::{clean, without_password};
use serde::Deserialize;

use super::inventory::{Applied, Inventory};
use super::meta::{Condition, Meta, condition, named, null_is_default, set};

named!(Source, Kustomization, HelmRelease);

/// A GitRepository, OCIRepository or Bucket.
#[derive(Debug, Deserialize)]
pub(crate) struct Source {
    metadata: Meta,
    #[serde(default)]
    spec: SourceSpec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SourceSpec {
    url: Arc<str>,
    #[serde(rename = "ref")]
    reference: Option<Reference>,
    /// Of a Bucket, which has no URL.
    endpoint: String,
    bucket_name: String,
    suspend: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reference {
    branch: Option<Arc<str>>,
    tag: Option<Arc<str>>,
    semver: Option<Arc<str>>,
    name: Option<Arc<str>>,
    commit: Option<Arc<str>>,
    digest: Option<Arc<str>>,
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

#[derive(Debug, Deserialize)]
pub(crate) struct HelmRelease {
    metadata: Meta,
    #[serde(default)]
    spec: HelmReleaseSpec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HelmReleaseSpec {
    #[serde(deserialize_with = "null_is_default")]
    depends_on: Vec<ObjectReference>,
    suspend: bool,
    #[serde(deserialize_with = "null_is_default")]
    upgrade: Upgrade,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Upgrade {
    #[serde(deserialize_with = "null_is_default")]
    remediation: Remediation,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Remediation {
    strategy: Option<String>,
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
    #[serde(deserialize_with = "null_is_default")]
    history: Vec<Attempt>,
}

/// Of a Kustomization's history: what came of one set of manifests when it was last reconciled.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Attempt {
    last_reconciled: String,
    last_reconciled_status: String,
}

/// When the last attempt of all came to an end, if it succeeded. Times of one controller, to the second in UTC, sort as text.
fn succeeded_at(history: &[Attempt]) -> Option<Moment> {
    let last = history.iter().max_by(|one, other| one.last_reconciled.cmp(&other.last_reconciled))?;
    (last.last_reconciled_status == "ReconciliationSucceeded").then(|| Moment::parse(&last.last_reconciled).ok())?
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Artifact {
    revision: Option<Arc<str>>,
    last_update_time: Option<String>,
}

pub(crate) fn git_repository(of: Source) -> Result<Option<SourceState>, String> {
    source(Kind::GitRepository, of)
}

pub(crate) fn oci_repository(of: Source) -> Result<Option<SourceState>, String> {
    source(Kind::OCIRepository, of)
}

pub(crate) fn bucket(of: Source) -> Result<Option<SourceState>, String> {
    source(Kind::Bucket, of)
}

fn source(kind: Kind, source: Source) -> Result<Option<SourceState>, String> {
    let Source { mut metadata, spec, mut status } = source;
    let version = metadata.version()?;
    let reference = spec.reference.unwrap_or_default();
    let artifact = status.artifact.take().unwrap_or_default();
    let updated = artifact.last_update_time.as_deref().map(Moment::parse).transpose();
    let url = if kind == Kind::Bucket { format!("{}/{}", spec.endpoint, spec.bucket_name).into() } else { spec.url };
    Ok(Some(SourceState {
        object: metadata.object(kind),
        version,
        url,
        pinned: reference.pinned(),
        branch: set(reference.branch),
        url_from: set(metadata.annotations.url_from.take()),
        artifact_updated: updated.map_err(|error| format!("{}: {error}", metadata.name))?,
        revision: set(artifact.revision),
        reconcile: reconcile(metadata, spec.suspend, status),
    }))
}

pub(crate) fn kustomization(kustomization: Kustomization) -> Result<Option<KustomizationState>, String> {
    let Kustomization { mut metadata, spec, mut status } = kustomization;
    let namespace = metadata.namespace.clone();
    let inventory = status.inventory.take().unwrap_or_default();
    // The rest is nobody's business here.
    let (workloads, applies) = inventory
        .applied()
        .filter_map(Applied::object)
        .filter(|object| is_workload(object) || is_flux(object))
        .partition(is_workload);
    Ok(Some(KustomizationState {
        object: metadata.object(Kind::Kustomization),
        version: metadata.version()?,
        source: source_of(&spec.source_ref, &namespace),
        depends_on: spec.depends_on.iter().map(|other| other.object(Kind::Kustomization, &namespace)).collect(),
        applied_revision: set(status.last_applied_revision.take()),
        succeeded_at: succeeded_at(&status.history),
        suspend_stamp: set(metadata.annotations.suspended.take()),
        workloads,
        applies,
        reconcile: reconcile(metadata, spec.suspend, status),
    }))
}

fn is_workload(object: &ObjectRef) -> bool {
    matches!(object.kind, Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet)
}

fn is_flux(object: &ObjectRef) -> bool {
    matches!(object.kind, Kind::GitRepository | Kind::OCIRepository | Kind::Bucket | Kind::HelmRelease)
}

pub(crate) fn helm_release(release: HelmRelease) -> Result<Option<HelmReleaseState>, String> {
    let HelmRelease { mut metadata, spec, status } = release;
    let namespace = metadata.namespace.clone();
    let stalled = condition(&status.conditions, "Stalled").filter(|condition| condition.tri() == Tri::True);
    Ok(Some(HelmReleaseState {
        object: metadata.object(Kind::HelmRelease),
        version: metadata.version()?,
        depends_on: spec.depends_on.iter().map(|other| other.object(Kind::HelmRelease, &namespace)).collect(),
        suspend_stamp: set(metadata.annotations.suspended.take()),
        uninstalls: spec.upgrade.remediation.strategy.as_deref() == Some("uninstall"),
        stalled: stalled.map(|condition| format!("{}: {}", condition.reason, told(&condition.message)).into()),
        reconcile: reconcile(metadata, spec.suspend, status),
    }))
}

/// A kind of source that the core has no word for keeps its kind in the name, which no GitRepository can have for the
/// slash in it, so it is never taken for one.
fn source_of(source: &ObjectReference, namespace: &str) -> ObjectRef {
    match source.kind.as_str() {
        "GitRepository" => source.object(Kind::GitRepository, namespace),
        "OCIRepository" => source.object(Kind::OCIRepository, namespace),
        "Bucket" => source.object(Kind::Bucket, namespace),
        other => {
            let mut object = source.object(Kind::GitRepository, namespace);
            object.name = format!("{other}/{}", source.name).into();
            object
        }
    }
}

fn reconcile(metadata: Meta, suspended: bool, status: Status) -> Reconcile {
    let ready = condition(&status.conditions, "Ready");
    Reconcile {
        suspended,
        generation: metadata.generation,
        observed_generation: status.observed_generation,
        ready: ready.map_or(Tri::Unknown, Condition::tri),
        reason: ready.map_or("", |condition| &condition.reason).into(),
        message: told(ready.map_or("", |condition| &condition.message)).into(),
        requested_at: set(metadata.annotations.requested),
        handled_at: set(status.last_handled_reconcile_at),
    }
}

/// Characters of a message that are kept from its beginning and from its end.
const KEPT: (usize, usize) = (220, 80);

/// A rejected object's message has all of its template in the middle, and says at its end why it was rejected.
fn told(message: &str) -> String {
    let (first, last) = KEPT;
    // Before it is cut, as `clean` does it.
    let message = without_password(message.trim_end());
    let Some((cut, _)) = message.char_indices().rev().nth(last) else { return clean(&message, first) };
    if message.chars().count() <= first + last {
        return clean(&message, first + last);
    }
    format!("{} {}", clean(&message, first), clean(message.get(cut..).unwrap_or_default(), last + 1))
}

impl Reference {
    /// What outranks the branch, the highest first, as source-controller ranks them.
    fn pinned(&self) -> Option<Arc<str>> {
        let ranked = [
            ("digest", &self.digest),
            ("commit", &self.commit),
            ("name", &self.name),
            ("semver", &self.semver),
            ("tag", &self.tag),
        ];
        ranked.into_iter().find_map(|(field, value)| {
            let value = value.as_deref().filter(|value| !value.is_empty())?;
            Some(format!("{field}={value}").into())
        })
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
        git_repository(serde_json::from_str(text).unwrap()).unwrap().unwrap()
    }

    fn check_kustomization(text: &str) -> KustomizationState {
        kustomization(serde_json::from_str(text).unwrap()).unwrap().unwrap()
    }

    #[test]
    fn a_ready_source_has_branch_revision_and_the_time_of_its_artifact() {
        let state = check_source(
            r#"{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"annotations":{"ananke.dev/url-from":"ssh://git@scm"},"creationTimestamp":"2026-11-22T17:15:43Z","generation":2,"name":"titan-iac","namespace":"apps","resourceVersion":"267","uid":"c3eccd1e"},"spec":{"interval":"1m","ref":{"branch":"main"},"timeout":"60s","url":"ssh://git@scm.example.dev/ops/titan-iac.git"},"status":{"artifact":{"digest":"sha256:0","lastUpdateTime":"2026-01-01T00:00:00Z","path":"gitrepository/apps/titan-iac/0.tar.gz","revision":"main@sha1:0000","url":"http://x/0.tar.gz"},"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"stored artifact","observedGeneration":2,"reason":"Succeeded","status":"True","type":"Ready"}],"observedGeneration":2}}"#,
        );
        assert_eq!(state.object.to_string(), "GitRepository apps/titan-iac");
        assert_eq!((state.branch.as_deref(), state.pinned), (Some("main"), None));
        assert_eq!(state.revision.as_deref(), Some("main@sha1:0000"));
        assert_eq!(state.url_from.as_deref(), Some("ssh://git@scm"));
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
    fn the_attempt_that_ended_last_tells_whether_it_succeeded() {
        let after = |history: &str| {
            check_kustomization(&format!(
                r#"{{"metadata":{{"name":"a","namespace":"b","resourceVersion":"1"}},"spec":{{}},"status":{{"history":{history}}}}}"#
            ))
            .succeeded_at
        };
        let attempt = |at: &str, status: &str| format!(r#"{{"lastReconciled":"{at}","lastReconciledStatus":"{status}"}}"#);
        let good = attempt("2026-01-01T00:10:00Z", "ReconciliationSucceeded");
        let then = Moment::parse("2026-01-01T00:10:00Z").ok();
        assert_eq!(after(&format!("[{good},{}]", attempt("2026-01-01T00:00:00Z", "HealthCheckFailed"))), then);
        assert_eq!(after(&format!("[{good},{}]", attempt("2026-01-01T00:20:00Z", "ReconciliationFailed"))), None);
        assert_eq!((after("[]"), after("null")), (None, None));
    }

    #[test]
    fn the_inventory_names_the_workloads_and_fluxs_own_objects() {
        let state = check_kustomization(
            r#"{"metadata":{"name":"a","namespace":"b","resourceVersion":"1"},"spec":{},"status":{"inventory":{"entries":[{"id":"home_home-assistant_apps_StatefulSet","v":"v1"},{"id":"home_web__Service","v":"v1"},{"id":"_home__Namespace","v":"v1"},{"id":"torn","v":"v1"},{"id":"flux-system_flux-system_source.toolkit.fluxcd.io_GitRepository","v":"v1"},{"id":"home_zigbee_helm.toolkit.fluxcd.io_HelmRelease","v":"v2"}]}}}"#,
        );
        assert_eq!(state.workloads, [ObjectRef::new(Kind::StatefulSet, "home", "home-assistant")]);
        let applies: Vec<String> = state.applies.iter().map(ToString::to_string).collect();
        assert_eq!(applies, ["GitRepository flux-system/flux-system", "HelmRelease home/zigbee"]);
    }

    #[test]
    fn other_kinds_of_sources_keep_their_kind() {
        let of = |kind: &str| {
            let text = format!(
                r#"{{"metadata":{{"name":"a","namespace":"b","resourceVersion":"1"}},"spec":{{"sourceRef":{{"kind":"{kind}","name":"titan-iac"}}}}}}"#
            );
            check_kustomization(&text).source
        };
        assert_eq!(of("OCIRepository"), ObjectRef::new(Kind::OCIRepository, "b", "titan-iac"));
        assert_eq!(of("Bucket"), ObjectRef::new(Kind::Bucket, "b", "titan-iac"));
        assert_eq!(of("ExternalArtifact").name.as_ref(), "ExternalArtifact/titan-iac");
    }

    #[test]
    fn an_oci_repository_and_a_bucket_are_sources_without_a_branch() {
        let oci = oci_repository(
            serde_json::from_str(
                r#"{"metadata":{"name":"apps","namespace":"flux-system","resourceVersion":"9","generation":1},"spec":{"interval":"5m0s","url":"oci://harbor.example/apps","ref":{"tag":"latest","digest":"sha256:ab"}},"status":{"artifact":{"revision":"latest@sha256:ab","lastUpdateTime":"2026-01-01T00:00:00Z"},"conditions":[{"type":"Ready","status":"True","reason":"Succeeded","message":"stored"}],"observedGeneration":1}}"#,
            )
            .unwrap(),
        );
        let oci = oci.unwrap().unwrap();
        assert_eq!((oci.object.kind, oci.branch, oci.pinned.as_deref()), (Kind::OCIRepository, None, Some("digest=sha256:ab")));
        assert_eq!(oci.revision.as_deref(), Some("latest@sha256:ab"));
        let bucket = bucket(
            serde_json::from_str(
                r#"{"metadata":{"name":"b","namespace":"f","resourceVersion":"9"},"spec":{"endpoint":"minio.example:9000","bucketName":"iac","suspend":true}}"#,
            )
            .unwrap(),
        );
        let bucket = bucket.unwrap().unwrap();
        assert_eq!((bucket.url.as_ref(), bucket.reconcile.suspended), ("minio.example:9000/iac", true));
    }

    #[test]
    fn a_helm_release_that_gave_up_says_so_beside_its_ready_condition() {
        let of = |conditions: &str| {
            let text = format!(
                r#"{{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{{"annotations":{{"ananke.dev/suspended":"shutdown-1 2026-01-01T00:00:00Z"}},"generation":4,"name":"zigbee","namespace":"home","resourceVersion":"12"}},"spec":{{"chart":{{"spec":{{"chart":"zigbee2mqtt"}}}},"dependsOn":[{{"name":"mosquitto"}}],"interval":"1h0m0s"}},"status":{{"conditions":{conditions},"failures":3,"observedGeneration":4,"lastHandledReconcileAt":"2026-01-01T00:00:00Z"}}}}"#
            );
            helm_release(serde_json::from_str(&text).unwrap()).unwrap().unwrap()
        };
        let stuck = of(
            r#"[{"type":"Stalled","status":"True","reason":"RetriesExceeded","message":"Failed to upgrade after 3 attempt(s)"},{"type":"Ready","status":"False","reason":"UpgradeFailed","message":"Helm upgrade failed for release home/zigbee with chart zigbee2mqtt@1.2.3: timed out"}]"#,
        );
        assert_eq!(stuck.stalled.as_deref(), Some("RetriesExceeded: Failed to upgrade after 3 attempt(s)"));
        assert_eq!((stuck.reconcile.ready, stuck.reconcile.reason.as_ref()), (Tri::False, "UpgradeFailed"));
        assert_eq!(stuck.depends_on, [ObjectRef::new(Kind::HelmRelease, "home", "mosquitto")]);
        assert_eq!(stuck.suspend_stamp.as_deref(), Some("shutdown-1 2026-01-01T00:00:00Z"));
        assert!(!stuck.uninstalls, "a release is rolled back unless it says otherwise");
        let takes_all = r#"{"metadata":{"name":"a","namespace":"b","resourceVersion":"1"},"spec":{"upgrade":{"remediation":{"retries":3,"strategy":"uninstall"}}}}"#;
        assert!(helm_release(serde_json::from_str(takes_all).unwrap()).unwrap().unwrap().uninstalls);
        let well = of(r#"[{"type":"Ready","status":"True","reason":"UpgradeSucceeded","message":"Helm upgrade succeeded"}]"#);
        assert_eq!((well.stalled, well.reconcile.handled_at.as_deref()), (None, Some("2026-01-01T00:00:00Z")));
    }

    #[test]
    fn a_long_message_keeps_its_end() {
        let template = "x".repeat(9000);
        let text = format!(
            "Job/harbor/migrate dry-run failed (Invalid): Job.batch \"migrate\" is invalid: spec.template: Invalid value: {{{template}}}: field is immutable\n"
        );
        let told = told(&text);
        assert!(
            told.starts_with("Job/harbor/migrate dry-run failed (Invalid): Job.batch \"migrate\" is invalid: spec.template:")
        );
        assert!(told.ends_with("field is immutable") && told.chars().count() < 310, "{told}");
        assert_eq!(super::told("short\n"), "short");
        let url = "https://bot:hunter2@git.example";
        for long in [0, 140, 150, 160, 200, 900] {
            let told = super::told(&format!("{}list remote for '{url}/iac.git': {}", "x".repeat(long), "y".repeat(200)));
            assert!(!told.contains("hunter2") && !told.contains("bot:h"), "{told}");
        }
    }
}
