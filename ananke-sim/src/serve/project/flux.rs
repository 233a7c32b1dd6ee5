//! Flux's sources, Kustomizations and HelmReleases, in the shape of their CRDs.

use ananke_core::name::ObjectRef;
use ananke_core::observation::Tri;
use serde_json::{Map, Value, json};

use super::super::api::store::Key;
use super::{Projected, implied_uid, inventory, key, metadata, object, time, words};
use crate::world::{CHARTS, FluxObject, Kustomization, Release, Source, World};

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    let source = world.source();
    // A bare control plane has no Flux.
    if world.namespaces().iter().any(|namespace| namespace.name == source.meta.object.namespace)
        && let Some(key) = key("GitRepository", &source.meta.object.namespace, &source.meta.object.name)
    {
        let at = key.clone();
        out.push(Projected { key, stamp: source.meta.rv, make: Box::new(move || git_repository(world, source, &at)) });
    }
    for (place, row) in world.kustomizations().iter().enumerate() {
        if let Some(key) = key("Kustomization", &row.meta.object.namespace, &row.meta.object.name) {
            let at = key.clone();
            out.push(Projected { key, stamp: row.meta.rv, make: Box::new(move || kustomization(world, (place, row), &at)) });
        }
    }
    for row in world.releases().iter().filter(|row| world.has(&row.meta.object)) {
        if let Some(key) = key("HelmRelease", &row.meta.object.namespace, &row.meta.object.name) {
            let at = key.clone();
            out.push(Projected { key, stamp: row.meta.rv, make: Box::new(move || helm_release(world, row, &at)) });
        }
        if let Some(key) = key("HelmRepository", &row.meta.object.namespace, &row.chart) {
            let at = key.clone();
            let make = move || {
                let metadata = metadata(world, &at, &implied_uid(&at), row.meta.created);
                object(&at, metadata, json!({"interval": "1h0m0s", "url": CHARTS}), None)
            };
            out.push(Projected { key, stamp: 1, make: Box::new(make) });
        }
    }
}

fn helm_release(world: &World, row: &Release, key: &Key) -> Value {
    let mut spec = json!({"interval": "1h0m0s", "timeout": "5m0s", "chart": {"spec": {"chart": row.chart, "version": "1.x",
        "reconcileStrategy": "ChartVersion", "sourceRef": {"kind": "HelmRepository", "name": row.chart}}}});
    let parents = row.depends_on.iter().filter_map(|at| world.releases().get(*at));
    let depends: Vec<Value> =
        parents.map(|other| json!({"name": other.meta.object.name, "namespace": other.meta.object.namespace})).collect();
    if let (Some(map), false) = (spec.as_object_mut(), depends.is_empty()) {
        map.insert("dependsOn".to_owned(), json!(depends));
    }
    // What it finds is its own by Helm's marks alone.
    if let (Some(map), false) = (spec.as_object_mut(), row.installs.is_empty()) {
        map.insert("install".to_owned(), json!({"disableTakeOwnership": true}));
    }
    suspended(&mut spec, &row.meta);
    let mut status = status(world, &row.meta);
    if row.installed {
        status.insert("history".to_owned(), json!([recorded(world, row, key)]));
        let entries: Vec<Value> = inventory::installed(world, row).iter().map(inventory::entry).collect();
        status.insert("inventory".to_owned(), json!({"entries": entries}));
    }
    if let (Some((reason, message)), Some(Value::Array(conditions))) = (world.stalled(row), status.get_mut("conditions")) {
        conditions.insert(
            0,
            json!({"type": "Stalled", "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": time(world, row.meta.ready_since), "observedGeneration": row.meta.observed_generation}),
        );
    }
    status.insert("storageNamespace".to_owned(), json!(key.namespace));
    status.insert("lastAttemptedReleaseAction".to_owned(), json!("upgrade"));
    let mut metadata = head(world, &row.meta, key);
    applied_by(world, row.kustomization, &mut metadata);
    object(key, metadata, spec, Some(Value::Object(status)))
}

/// What helm-controller keeps of Helm's own record.
fn recorded(world: &World, row: &Release, key: &Key) -> Value {
    let at = time(world, row.meta.created);
    json!({"name": key.name, "namespace": key.namespace, "version": 1, "status": "deployed", "chartName": row.chart,
        "chartVersion": "1.4.2", "digest": format!("sha256:{:0<64}", "5e1f"), "configDigest": format!("sha256:{:0<64}", "c0f1"),
        "firstDeployed": at, "lastDeployed": at})
}

/// Labels and annotations of Helm, where a chart has the object.
pub(super) fn marked(world: &World, object: &ObjectRef, metadata: &mut Map<String, Value>) {
    let Some((labels, annotations)) = world.marks(object) else { return };
    for (field, marks) in [("labels", labels), ("annotations", annotations)] {
        let words = metadata.entry(field).or_insert_with(|| json!({}));
        if let (Some(words), Value::Object(marks)) = (words.as_object_mut(), marks) {
            words.extend(marks);
        }
    }
}

/// The labels that Flux puts on all that it applies.
pub(super) fn applied_by(world: &World, row: usize, metadata: &mut Map<String, Value>) {
    if let Some(by) = world.kustomizations().get(row).map(|by| &by.meta.object) {
        let labels = json!({"kustomize.toolkit.fluxcd.io/name": by.name, "kustomize.toolkit.fluxcd.io/namespace": by.namespace});
        metadata.insert("labels".to_owned(), labels);
    }
}

fn head(world: &World, meta: &FluxObject, key: &Key) -> Map<String, Value> {
    let mut metadata = metadata(world, key, meta.uid.as_str(), meta.created);
    metadata.insert("generation".to_owned(), json!(meta.generation));
    metadata.insert("finalizers".to_owned(), json!(["finalizers.fluxcd.io"]));
    words(&mut metadata, "annotations", &meta.annotations);
    metadata
}

fn status(world: &World, meta: &FluxObject) -> Map<String, Value> {
    let mut status = Map::new();
    status.insert("observedGeneration".to_owned(), json!(meta.observed_generation));
    if let Some(handled) = &meta.handled_at {
        status.insert("lastHandledReconcileAt".to_owned(), json!(handled));
    }
    let at = time(world, meta.ready_since);
    let condition = |kind: &str, truth: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": truth, "reason": reason, "message": message,
            "lastTransitionTime": at, "observedGeneration": meta.observed_generation})
    };
    let ready = match meta.ready {
        Tri::True => "True",
        Tri::False => "False",
        Tri::Unknown => "Unknown",
    };
    let mut conditions = vec![condition("Ready", ready, meta.reason, &meta.message)];
    if meta.ready == Tri::Unknown {
        conditions.insert(0, condition("Reconciling", "True", "Progressing", &meta.message));
    }
    status.insert("conditions".to_owned(), json!(conditions));
    status
}

fn suspended(spec: &mut Value, meta: &FluxObject) {
    if let (Some(map), true) = (spec.as_object_mut(), meta.suspended) {
        map.insert("suspend".to_owned(), json!(true));
    }
}

fn git_repository(world: &World, source: &Source, key: &Key) -> Value {
    let mut spec = json!({"interval": "1m0s", "timeout": "60s", "url": source.url, "ref": {"branch": source.branch},
        "secretRef": {"name": key.name}});
    suspended(&mut spec, &source.meta);
    let mut status = status(world, &source.meta);
    if let Some(revision) = &source.revision {
        let commit = revision.rsplit(':').next().unwrap_or_default();
        let path = format!("gitrepository/{}/{}/{commit}.tar.gz", key.namespace, key.name);
        let updated = source.artifact_updated.map(|at| time(world, at));
        status.insert(
            "artifact".to_owned(),
            json!({"revision": revision, "path": path, "digest": format!("sha256:{commit:0<64}"), "size": 48_213, "lastUpdateTime": updated,
                "url": format!("http://source-controller.{}.svc.cluster.local./{path}", key.namespace)}),
        );
    }
    object(key, head(world, &source.meta, key), spec, Some(Value::Object(status)))
}

fn kustomization(world: &World, (place, row): (usize, &Kustomization), key: &Key) -> Value {
    let source = &world.source().meta.object;
    let mut spec = json!({"interval": "10m0s", "path": row.path, "prune": true, "wait": true, "timeout": "5m0s", "force": false,
        "sourceRef": {"kind": "GitRepository", "name": source.name}});
    let depends: Vec<Value> = (row.depends_on.iter())
        .filter_map(|at| world.kustomizations().get(*at))
        .map(|other| json!({"name": other.meta.object.name}))
        .collect();
    if let (Some(map), false) = (spec.as_object_mut(), depends.is_empty()) {
        map.insert("dependsOn".to_owned(), json!(depends));
    }
    suspended(&mut spec, &row.meta);
    let mut status = status(world, &row.meta);
    if let Some(applied) = &row.applied_revision {
        status.insert("lastAppliedRevision".to_owned(), json!(applied));
    }
    if let Some(attempted) = &world.source().revision {
        status.insert("lastAttemptedRevision".to_owned(), json!(attempted));
    }
    if let (Some(at), Some(applied)) = (row.reconciled_at, &row.applied_revision) {
        let at = time(world, at);
        status.insert(
            "history".to_owned(),
            json!([{"digest": format!("sha256:{:0<64}", "a991"), "firstReconciled": at, "lastReconciled": at,
                "lastReconciledDuration": "9.5s", "lastReconciledStatus": row.ended, "totalReconciliations": row.runs + 1,
                "metadata": {"revision": applied}}]),
        );
    }
    let entries: Vec<Value> = inventory::inventory(world, place).iter().map(inventory::entry).collect();
    status.insert("inventory".to_owned(), json!({"entries": entries}));
    let mut metadata = head(world, &row.meta, key);
    applied_by(world, 0, &mut metadata);
    object(key, metadata, spec, Some(Value::Object(status)))
}
