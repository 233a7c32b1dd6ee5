//! The world as API objects: full and believable JSON, made from what the API may show, never from what is merely true.
//!
//! Versions are not made here: the [`super::mirror`] stamps them.

mod event;
mod extensions;
mod flux;
mod inventory;
mod jobs;
mod network;
mod node;
mod pod;
mod secrets;
mod storage;
mod workload;

pub(crate) use inventory::{installed, inventory, kept};
use serde_json::{Map, Value, json};

use super::api::kinds::{Kind, named};
use super::api::store::Key;
use crate::world::{Ms, Words, World};

/// One object, and a number that differs whenever the object does.
pub struct Projected<'a> {
    pub key: Key,
    pub stamp: u64,
    pub make: Box<dyn Fn() -> Value + 'a>,
}

impl std::fmt::Debug for Projected<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projected").field("key", &self.key).field("stamp", &self.stamp).finish_non_exhaustive()
    }
}

/// Everything that the API shows of `world`.
pub fn all(world: &World) -> Vec<Projected<'_>> {
    let mut out = namespaces(world);
    node::project(world, &mut out);
    pod::project(world, &mut out);
    pod::instances(world, &mut out);
    workload::project(world, &mut out);
    network::project(world, &mut out);
    storage::project(world, &mut out);
    flux::project(world, &mut out);
    jobs::project(world, &mut out);
    extensions::project(world, &mut out);
    event::project(world, &mut out);
    secrets::project(world, &mut out);
    inventory::project(world, &mut out);
    out
}

/// Only what changes with time alone: the kubelets' Leases.
pub fn heartbeats(world: &World) -> Vec<Projected<'_>> {
    let mut out = Vec::new();
    node::leases(world, &mut out);
    out
}

fn namespaces(world: &World) -> Vec<Projected<'_>> {
    let each = world.namespaces().iter().filter_map(|namespace| {
        let key = key("Namespace", "", &namespace.name)?;
        Some(Projected {
            stamp: namespace.rv,
            make: Box::new({
                let key = key.clone();
                move || {
                    let mut metadata = metadata(world, &key, namespace.uid.as_str(), namespace.created);
                    metadata.insert("labels".to_owned(), json!({"kubernetes.io/metadata.name": namespace.name}));
                    object(&key, metadata, json!({"finalizers": ["kubernetes"]}), Some(json!({"phase": "Active"})))
                }
            }),
            key,
        })
    });
    each.collect()
}

fn key(kind: &str, namespace: &str, name: &str) -> Option<Key> {
    let kind: &'static Kind = named(kind)?;
    Some(Key { kind, namespace: namespace.to_owned(), name: name.to_owned() })
}

fn metadata(world: &World, key: &Key, uid: &str, created: Ms) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(key.name));
    if !key.namespace.is_empty() {
        metadata.insert("namespace".to_owned(), json!(key.namespace));
    }
    metadata.insert("uid".to_owned(), json!(uid));
    metadata.insert("creationTimestamp".to_owned(), json!(time(world, created)));
    metadata
}

fn words(metadata: &mut Map<String, Value>, field: &str, words: &Words) {
    if !words.is_empty() {
        metadata.insert(field.to_owned(), json!(words));
    }
}

fn object(key: &Key, metadata: Map<String, Value>, spec: Value, status: Option<Value>) -> Value {
    let mut object = json!({"kind": key.kind.kind, "apiVersion": key.kind.api_version(), "metadata": metadata});
    if let Some(map) = object.as_object_mut() {
        if !spec.is_null() {
            map.insert("spec".to_owned(), spec);
        }
        if let Some(status) = status {
            map.insert("status".to_owned(), status);
        }
    }
    object
}

/// `metav1.Time`: whole seconds.
fn time(world: &World, at: Ms) -> String {
    let secs = world.wall(at).as_millis().div_euclid(1000);
    jiff::Timestamp::from_second(secs).map_or_else(|_| "1970-01-01T00:00:00Z".to_owned(), |stamp| stamp.to_string())
}

/// `metav1.MicroTime`.
fn micro_time(world: &World, at: Ms) -> String {
    let stamp = jiff::Timestamp::from_millisecond(world.wall(at).as_millis());
    stamp.map_or_else(|_| "1970-01-01T00:00:00.000000Z".to_owned(), |stamp| format!("{stamp:.6}"))
}

/// A UID for an object that the world implies without having it.
fn implied_uid(key: &Key) -> String {
    let name = format!("{}/{}/{}", key.kind.plural, key.namespace, key.name);
    let (high, low) = (fnv(&name, 0xcbf2_9ce4_8422_2325), fnv(&name, 0x8422_2325_cbf2_9ce4));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

fn fnv(text: &str, seed: u64) -> u64 {
    text.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn owner(kind: &str, api_version: &str, name: &str, uid: &str) -> Value {
    json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true}])
}

/// An address in the pod network, by row: stable as long as the pod lives.
fn pod_ip(row: usize) -> String {
    format!("10.42.{}.{}", (row / 250) % 250, row % 250 + 2)
}

fn node_ip(row: usize) -> String {
    format!("192.168.{}.{}", 22 + row / 240, 10 + row % 240)
}

/// A UID for what a client creates: another one each time.
pub fn fresh_uid(key: &Key, version: u64) -> String {
    implied_uid(&Key { kind: key.kind, namespace: key.namespace.clone(), name: format!("{}@{version}", key.name) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;
    use crate::scenario::Scenario;
    use crate::world::ClusterTrouble;

    fn shown(world: &World, kind: &str, name: &str) -> Option<Value> {
        let of = |one: &Projected<'_>| one.key.kind.kind == kind && one.key.name == name;
        all(world).into_iter().find(of).map(|one| (one.make)())
    }

    #[test]
    fn what_the_traps_of_cron_jobs_and_databases_read_is_served() {
        let late = Scenario::default().with_nodes(4).with_fault(Fault::Cluster(ClusterTrouble::MissedStarts), None);
        let cron_job = shown(&World::new(&late, 1), "CronJob", "probe-targets").unwrap();
        assert!(cron_job["status"]["lastScheduleTime"].is_string(), "{cron_job}");
        assert_eq!(shown(&World::new(&Scenario::default(), 1), "CronJob", "probe-targets"), None);

        let world = World::new(&Scenario::named("cloudnative-pg").unwrap().with_nodes(4), 1);
        let replica = shown(&world, "Pod", "paperless-db-2").unwrap();
        assert_eq!(replica["metadata"]["labels"]["cnpg.io/instanceRole"], "replica");
        assert_eq!(replica["metadata"]["ownerReferences"][0]["kind"], "Cluster");
    }
}
