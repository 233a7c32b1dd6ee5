//! The objects as the API has them, with their versions and the log that watches read: what a real server keeps as its cache.
//!
//! Most objects are the world's and are made anew when their stamp changes. Events, Leases and ConfigMaps that clients
//! create live only here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::api::kinds::Kind;
use super::api::store::{Change, Key};
use super::project::{self, Projected};
use crate::world::World;

/// Changes of a kind that a watch can go back; further back it is "410 Gone".
const LOG_LIMIT: usize = 20_000;

/// A server that has run for a while does not begin at 1.
const FIRST_VERSION: u64 = 4000;

#[derive(Debug, Clone)]
pub struct Mirror {
    objects: BTreeMap<Key, Entry>,
    version: u64,
    logs: BTreeMap<&'static Kind, Log>,
    /// Labels and annotations that clients set on objects whose model has none.
    overlays: BTreeMap<Key, Map<String, Value>>,
    /// What was before it cannot be watched, whatever the kind.
    first: u64,
    seen_revision: Option<u64>,
    round: u64,
}

/// What watches of one kind read: kubelets renew their Leases so often that a common log would soon hold nothing else.
#[derive(Debug, Clone, Default)]
struct Log {
    changes: VecDeque<Change>,
    /// The newest change that is no longer in it.
    lost: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    object: Arc<Value>,
    /// None: a client's own object.
    stamp: Option<u64>,
    round: u64,
}

impl Mirror {
    /// `compacted`: what was before the first change of this process cannot be watched any more.
    pub fn new(compacted: bool) -> Self {
        Self {
            objects: BTreeMap::new(),
            version: FIRST_VERSION,
            logs: BTreeMap::new(),
            overlays: BTreeMap::new(),
            first: if compacted { FIRST_VERSION } else { 0 },
            seen_revision: None,
            round: 0,
        }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).map(|entry| entry.object.clone())
    }

    /// Whether the object is a client's own, so that clients may change all of it.
    pub fn is_own(&self, key: &Key) -> bool {
        self.objects.get(key).is_some_and(|entry| entry.stamp.is_none())
    }

    pub fn list(&self, kind: &'static Kind, namespace: &str) -> Vec<Arc<Value>> {
        let from = Key { kind, namespace: namespace.to_owned(), name: String::new() };
        let here = self.objects.range(from..).take_while(|(key, _)| key.kind == kind);
        here.take_while(|(key, _)| namespace.is_empty() || key.namespace == namespace)
            .map(|(_, entry)| entry.object.clone())
            .collect()
    }

    /// Changes of a kind after `since`; none if the log does not reach back so far.
    pub fn changes(&self, kind: &'static Kind, since: u64) -> Option<Vec<Change>> {
        if since < self.first {
            return None;
        }
        let Some(log) = self.logs.get(kind) else { return Some(Vec::new()) };
        let from = log.changes.partition_point(|change| change.version <= since);
        (since >= log.lost).then(|| log.changes.range(from..).cloned().collect())
    }

    /// Takes over what changed in the world.
    pub fn sync(&mut self, world: &World) {
        if self.seen_revision == Some(world.revision()) {
            for projected in project::heartbeats(world) {
                self.take(projected);
            }
            return;
        }
        self.seen_revision = Some(world.revision());
        self.round += 1;
        for projected in project::all(world) {
            self.take(projected);
        }
        let round = self.round;
        let gone = self.objects.iter().filter(|(_, entry)| entry.stamp.is_some() && entry.round != round);
        let gone: Vec<Key> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.remove(&key);
        }
    }

    fn take(&mut self, projected: Projected<'_>) {
        let round = self.round;
        if let Some(entry) = self.objects.get_mut(&projected.key)
            && entry.stamp == Some(projected.stamp)
        {
            entry.round = round;
            return;
        }
        let mut object = (projected.make)();
        self.lay_over(&projected.key, &mut object);
        self.put(projected.key, object, Some(projected.stamp));
    }

    fn lay_over(&self, key: &Key, object: &mut Value) {
        if let (Some(overlay), Some(metadata)) =
            (self.overlays.get(key), object.get_mut("metadata").and_then(Value::as_object_mut))
        {
            for (field, value) in overlay {
                if value.is_null() {
                    metadata.remove(field);
                } else {
                    metadata.insert(field.clone(), value.clone());
                }
            }
        }
    }

    /// Keeps `fields` of `metadata` as a client left them, over whatever the world says later.
    pub fn overlay(&mut self, key: &Key, wanted: &Value, fields: &[&str]) {
        let kept = fields.iter().map(|field| {
            let value = wanted.get("metadata").and_then(|metadata| metadata.get(field)).cloned();
            ((*field).to_owned(), value.unwrap_or_default())
        });
        self.overlays.entry(key.clone()).or_default().extend(kept);
        if let Some(entry) = self.objects.get(key) {
            let (mut object, stamp) = (entry.object.as_ref().clone(), entry.stamp);
            self.lay_over(key, &mut object);
            if object != *entry.object {
                self.put(key.clone(), object, stamp);
            }
        }
    }

    /// A client's own object, new or changed.
    pub fn put_own(&mut self, key: Key, object: Value) -> Arc<Value> {
        self.put(key, object, None)
    }

    fn put(&mut self, key: Key, mut object: Value, stamp: Option<u64>) -> Arc<Value> {
        self.version += 1;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), json!(self.version.to_string()));
        }
        let object = Arc::new(object);
        let entry = Entry { object: object.clone(), stamp, round: self.round };
        let before = self.objects.insert(key.clone(), entry).map(|entry| entry.object);
        self.note(Change { version: self.version, key, before, after: Some(object.clone()) });
        object
    }

    pub fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let entry = self.objects.remove(key)?;
        self.overlays.remove(key);
        self.version += 1;
        self.note(Change { version: self.version, key: key.clone(), before: Some(entry.object.clone()), after: None });
        Some(entry.object)
    }

    fn note(&mut self, change: Change) {
        let log = self.logs.entry(change.key.kind).or_default();
        if log.changes.len() >= LOG_LIMIT
            && let Some(oldest) = log.changes.pop_front()
        {
            log.lost = oldest.version;
        }
        log.changes.push_back(change);
    }
}
