//! What a Kustomization has applied and a release installed, and of it what the world has no notion of.

use ananke_core::bootstrap::KINDS;
use ananke_core::name::{Kind, ObjectRef};
use serde_json::{Map, Value, json};

use super::super::api::store::Key;
use super::{Projected, flux, implied_uid, key, metadata, object};
use crate::world::{Release, World};

/// ConfigMaps and ServiceAccounts.
pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    let applied =
        (0..world.kustomizations().len()).flat_map(|row| world.applied_by(row).into_iter().map(move |of| (Some(row), of)));
    let installed = world.releases().iter().flat_map(|release| world.installed_by(release)).map(|of| (None, of));
    for (row, of) in applied.chain(installed).filter(|(_, of)| world.has(of)) {
        let config = if of.kind == Kind::ConfigMap {
            json!({"data": {"settings.yaml": format!("name: {}\n", of.name)}})
        } else if of.kind == Kind::ServiceAccount {
            json!({})
        } else {
            continue;
        };
        let Some(key) = api_key(&of) else { continue };
        let at = key.clone();
        let make = move || made(world, (row, &of), &at, config.clone());
        out.push(Projected { key, stamp: 1, make: Box::new(make) });
    }
}

/// `row`: the Kustomization that applied it; none where a chart has it.
fn made(world: &World, (row, of): (Option<usize>, &ObjectRef), key: &Key, config: Value) -> Value {
    let created = world.kustomizations().get(row.unwrap_or(0)).map_or(0, |by| by.meta.created);
    let mut metadata = metadata(world, key, &implied_uid(key), created);
    match row {
        Some(row) => flux::applied_by(world, row, &mut metadata),
        None => flux::marked(world, of, &mut metadata),
    }
    let mut object = object(key, metadata, Value::Null, None);
    if let (Some(object), Value::Object(config)) = (object.as_object_mut(), config) {
        object.extend::<Map<String, Value>>(config);
    }
    object
}

/// Everything in `status.inventory` of the Kustomization in that row.
pub(crate) fn inventory(world: &World, row: usize) -> Vec<Key> {
    let Some(by) = world.kustomizations().get(row) else { return Vec::new() };
    let workloads = || by.workloads.iter().filter_map(|at| world.workloads().get(*at));
    let namespace = workloads().next().and_then(|first| key("Namespace", "", &first.object.namespace));
    let secrets = workloads().filter(|workload| workload.secret);
    let secrets = secrets.filter_map(|of| key("ExternalSecret", &of.object.namespace, &of.object.name));
    let objects = world.applied_by(row).into_iter().chain(world.applied(by));
    namespace.into_iter().chain(objects.filter_map(|of| api_key(&of))).chain(secrets).collect()
}

/// Everything in `status.inventory` of a HelmRelease.
pub(crate) fn installed(world: &World, release: &Release) -> Vec<Key> {
    world.installed_by(release).iter().filter_map(api_key).collect()
}

/// As Flux writes it; no name here has a colon.
pub(super) fn entry(key: &Key) -> Value {
    json!({"id": format!("{}_{}_{}_{}", key.namespace, key.name, key.kind.group, key.kind.kind), "v": key.kind.version})
}

fn api_key(of: &ObjectRef) -> Option<Key> {
    key(&of.kind.to_string(), &of.namespace, &of.name)
}

/// The object in the core's words, if its kind is one that layers have.
pub(crate) fn kept(key: &Key) -> Option<ObjectRef> {
    let kind = KINDS.iter().find(|kind| kind.to_string() == key.kind.kind && !key.kind.is_custom())?;
    Some(ObjectRef::new(*kind, &key.namespace, &key.name))
}
