//! The one world that all servers share, advanced in real time.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ananke_core::name::{Moment, ObjectRef, Uid};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::api::kinds::{Kind, named};
use super::api::store::{Change, DeleteOptions, Key, ObjectStore, State, StoreError, Tick};
use super::mirror::Mirror;
use super::write_back;
use crate::world::{ApiFault, Ms, World};

/// The world, its objects, and the clock that drives it.
#[derive(Debug)]
pub struct Cluster {
    inner: Mutex<Inner>,
    ticks: watch::Sender<Tick>,
    log: Mutex<File>,
    began: Instant,
    speed: u32,
}

#[derive(Debug)]
struct Inner {
    world: World,
    mirror: Mirror,
    /// Virtual time when the clock began.
    from: Ms,
}

impl Cluster {
    /// Takes over a world whose wall clock is set. Requests are appended to `log`.
    pub fn new(world: World, speed: u32, log: File) -> Arc<Self> {
        let from = world.now();
        let inner = Mutex::new(Inner { world, mirror: Mirror::default(), from });
        let cluster = Self {
            inner,
            ticks: watch::Sender::new(Tick::default()),
            log: Mutex::new(log),
            began: Instant::now(),
            speed: speed.max(1),
        };
        cluster.act(|_| ());
        Arc::new(cluster)
    }

    /// Does something to the world at the present moment, and lets every client see what came of it.
    pub fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut inner = self.lock();
        let done = act(&mut inner.world);
        self.publish(&mut inner);
        done
    }

    /// Lets the world catch up with the clock.
    pub fn catch_up(&self) {
        self.act(|_| ());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let until = inner.from.saturating_add(passed.saturating_mul(i64::from(self.speed)));
        inner.world.advance_to(until);
        inner
    }

    fn publish(&self, inner: &mut Inner) {
        let Inner { world, mirror, .. } = inner;
        mirror.sync(world);
        let tick = Tick { version: mirror.version(), state: state(world) };
        self.ticks.send_if_modified(|now| {
            let changed = *now != tick;
            *now = tick;
            changed
        });
    }

    /// Appends to the request log. A full disk must not stop the servers.
    pub fn note(&self, line: &str) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.write_all(format!("{line}\n").as_bytes()).ok();
    }
}

/// What clients of the API meet.
fn state(world: &World) -> State {
    match (world.api_up(), world.fault()) {
        (false, _) | (true, Some(ApiFault::Refused)) => State::Refused,
        (true, Some(ApiFault::Answers500)) => State::Error500,
        (true, Some(ApiFault::StoreHangs)) => State::StoreHang,
        (true, None) => State::Answering,
    }
}

impl ObjectStore for Cluster {
    fn ticks(&self) -> watch::Receiver<Tick> {
        self.ticks.subscribe()
    }

    fn list(&self, kind: &'static Kind, namespace: &str) -> (Vec<Arc<Value>>, u64) {
        let mut inner = self.lock();
        self.publish(&mut inner);
        (inner.mirror.list(kind, namespace), inner.mirror.version())
    }

    fn get(&self, key: &Key) -> Option<Arc<Value>> {
        let mut inner = self.lock();
        self.publish(&mut inner);
        inner.mirror.get(key)
    }

    fn create(&self, key: &Key, mut object: Value, dry_run: bool) -> Result<Arc<Value>, StoreError> {
        let mut inner = self.lock();
        self.publish(&mut inner);
        if !matches!(key.kind.kind, "Event" | "Lease" | "ConfigMap") {
            return Err(StoreError::MethodNotAllowed("create"));
        }
        let namespace = named("Namespace").map(|kind| Key { kind, namespace: String::new(), name: key.namespace.clone() });
        if namespace.is_none_or(|namespace| inner.mirror.get(&namespace).is_none()) {
            return Err(StoreError::NoNamespace(key.namespace.clone()));
        }
        if inner.mirror.get(key).is_some() {
            return Err(StoreError::Exists);
        }
        let now = inner.world.wall(inner.world.now());
        let uid = super::project::fresh_uid(key, inner.mirror.version());
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("uid".to_owned(), json!(uid));
            metadata.insert("creationTimestamp".to_owned(), json!(whole_seconds(now)));
            metadata.remove("resourceVersion");
        }
        if dry_run {
            return Ok(Arc::new(object));
        }
        let made = inner.mirror.put_own(key.clone(), object);
        self.publish(&mut inner);
        Ok(made)
    }

    fn replace(&self, key: &Key, object: Value, dry_run: bool) -> Result<Arc<Value>, StoreError> {
        let mut inner = self.lock();
        self.publish(&mut inner);
        let current = inner.mirror.get(key).ok_or(StoreError::NotFound)?;
        if current.pointer("/metadata/resourceVersion") != object.pointer("/metadata/resourceVersion") {
            return Err(StoreError::Conflict);
        }
        let own = inner.mirror.is_own(key);
        let plan = if own { write_back::Plan::default() } else { write_back::plan(key, &current, &object)? };
        if dry_run {
            return Ok(Arc::new(object));
        }
        if own {
            inner.mirror.put_own(key.clone(), object);
        } else {
            let overlaid = plan.overlaid.clone();
            write_back::apply(&mut inner.world, key, plan)?;
            self.publish(&mut inner);
            if !overlaid.is_empty() {
                inner.mirror.overlay(key, &object, &overlaid);
            }
        }
        self.publish(&mut inner);
        inner.mirror.get(key).ok_or(StoreError::NotFound)
    }

    fn delete(&self, key: &Key, options: &DeleteOptions) -> Result<Arc<Value>, StoreError> {
        let mut inner = self.lock();
        self.publish(&mut inner);
        let current = inner.mirror.get(key).ok_or(StoreError::NotFound)?;
        check_preconditions(&current, options)?;
        if options.dry_run {
            return Ok(current);
        }
        if inner.mirror.is_own(key) {
            inner.mirror.remove(key);
        } else if key.kind.kind == "Pod" {
            if options.grace_secs == Some(0) {
                inner.world.force_delete_pod(&key.namespace, &key.name, None).map_err(write_back::refused)?;
            } else {
                inner.world.delete_pod(&key.namespace, &key.name, None).map_err(write_back::refused)?;
            }
        } else if key.kind.kind == "Job" {
            let job = ObjectRef::new(ananke_core::name::Kind::Job, &key.namespace, &key.name);
            inner.world.delete_job(&job, None).map_err(write_back::refused)?;
        } else {
            return Err(StoreError::MethodNotAllowed("delete"));
        }
        self.publish(&mut inner);
        Ok(inner.mirror.get(key).unwrap_or(current))
    }

    fn evict(&self, key: &Key, options: &DeleteOptions) -> Result<(), StoreError> {
        let mut inner = self.lock();
        self.publish(&mut inner);
        let current = inner.mirror.get(key).ok_or(StoreError::NotFound)?;
        check_preconditions(&current, options)?;
        let budget = budget_of(&inner.world, key);
        let uid = current.pointer("/metadata/uid").and_then(Value::as_str).and_then(|uid| Uid::parse(uid).ok());
        let outcome = if options.dry_run {
            inner.world.clone().evict(&key.namespace, &key.name, uid.as_ref())
        } else {
            inner.world.evict(&key.namespace, &key.name, uid.as_ref())
        };
        self.publish(&mut inner);
        outcome.map_err(|refusal| match (write_back::refused(refusal), budget) {
            (StoreError::Blocked { budget, .. }, Some((needs, has))) => StoreError::Blocked { budget, needs, has },
            (error, _) => error,
        })
    }

    fn changes(&self, since: u64) -> Option<Vec<Change>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).mirror.changes(since)
    }

    fn now_millis(&self) -> i64 {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.world.wall(inner.world.now()).as_millis()
    }

    fn log(&self, line: &str) {
        self.note(line);
    }
}

fn check_preconditions(current: &Value, options: &DeleteOptions) -> Result<(), StoreError> {
    let found = |at: &str| current.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    if options.uid.as_ref().is_some_and(|uid| *uid != found("/metadata/uid")) {
        return Err(StoreError::OtherUid { found: found("/metadata/uid") });
    }
    if options.version.as_ref().is_some_and(|version| *version != found("/metadata/resourceVersion")) {
        return Err(StoreError::Conflict);
    }
    Ok(())
}

/// How many healthy pods the pod's budget needs, and how many there are.
fn budget_of(world: &World, key: &Key) -> Option<(u32, u32)> {
    let pod = world.pod_row(world.find_pod(&key.namespace, &key.name)?)?;
    let workload = world.workloads().get(pod.workload)?;
    let budget = workload.budget.as_ref()?;
    Some((budget.min_available, budget.status.healthy))
}

fn whole_seconds(at: Moment) -> String {
    let stamp = jiff::Timestamp::from_second(at.as_millis().div_euclid(1000));
    stamp.map_or_else(|_| at.to_string(), |stamp| stamp.to_string())
}
