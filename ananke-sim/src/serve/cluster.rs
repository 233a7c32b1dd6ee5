//! The one world that all servers share, advanced in real time.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ananke_core::name::{Moment, ObjectRef, Uid};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::api::kinds::Kind;
use super::api::store::{Change, DeleteOptions, Face, Key, ObjectStore, State, StoreError, Tick};
use super::api::trouble::Trouble;
use super::mirror::Mirror;
use super::own;
use super::project::kept;
use super::write_back;
use crate::world::{ApiFault, Ms, World};

/// To look through a world of this cost for what changed is worth it only now and then: what happens by itself shows so
/// many times that cost later. What clients do always shows at once.
const COSTLY: Duration = Duration::from_millis(5);
const REST: u32 = 10;

/// The world, its objects, and the clock that drives it.
#[derive(Debug)]
pub struct Cluster {
    inner: Mutex<Inner>,
    ticks: watch::Sender<Tick>,
    log: Mutex<File>,
    began: Instant,
    speed: u32,
    face: Face,
}

#[derive(Debug)]
struct Inner {
    world: World,
    mirror: Mirror,
    /// Virtual time when the clock began.
    from: Ms,
    /// What lists show while the API server's cache is stale.
    stale: Option<Mirror>,
    /// The objects are new enough until then, unless a client does something.
    rests_until: Option<Instant>,
}

impl Cluster {
    /// Takes over a world whose wall clock is set. Requests are appended to `log`.
    pub fn new(world: World, speed: u32, log: File, face: Face) -> Arc<Self> {
        let from = world.now();
        let inner = Mutex::new(Inner { world, mirror: Mirror::new(face.compacted), from, stale: None, rests_until: None });
        let cluster = Self {
            inner,
            ticks: watch::Sender::new(Tick::default()),
            log: Mutex::new(log),
            began: Instant::now(),
            speed: speed.max(1),
            face,
        };
        cluster.catch_up();
        Arc::new(cluster)
    }

    /// Does something to the world at the present moment, and lets every client see what came of it.
    pub fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut inner = self.lock();
        let told = |world: &World| (world.revision(), state(world));
        let before = told(&inner.world);
        let done = act(&mut inner.world);
        if told(&inner.world) == before {
            self.refresh(&mut inner)
        } else {
            self.publish(&mut inner)
        }
        done
    }

    /// Looks at the world at the present moment.
    pub fn look<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.lock().world)
    }

    /// Lets the world catch up with the clock.
    pub fn catch_up(&self) {
        self.refresh(&mut self.lock());
    }

    /// Shows what has happened by itself.
    fn refresh(&self, inner: &mut Inner) {
        if inner.rests_until.is_none_or(|until| Instant::now() >= until) {
            self.publish(inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let until = inner.from.saturating_add(passed.saturating_mul(i64::from(self.speed)));
        inner.world.advance_to(until);
        inner
    }

    fn publish(&self, inner: &mut Inner) {
        let Inner { world, mirror, stale, rests_until, .. } = inner;
        let state = state(world);
        if state == State::Half(Trouble::StaleCache) {
            stale.get_or_insert_with(|| mirror.clone());
        } else {
            *stale = None;
        }
        let begun = Instant::now();
        mirror.sync(world);
        let cost = begun.elapsed();
        *rests_until = (cost >= COSTLY).then(|| Instant::now() + cost * REST);
        let tick = Tick { version: mirror.version(), state };
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
    let Some(fault) = world.fault().filter(|_| world.api_up()) else {
        return if world.api_up() { State::Answering } else { State::Refused };
    };
    match fault {
        ApiFault::Refused => State::Refused,
        ApiFault::Answers500 => State::Error500,
        ApiFault::StoreHangs => State::StoreHang,
        ApiFault::TlsFails => State::Half(Trouble::TlsFails),
        ApiFault::WrongCertificate => State::Half(Trouble::WrongCertificate),
        ApiFault::Unauthorized => State::Half(Trouble::Unauthorized),
        ApiFault::ForbidsLeases => State::Half(Trouble::Forbids { verb: "create", resource: "leases.coordination.k8s.io" }),
        ApiFault::ForbidsNodes => State::Half(Trouble::Forbids { verb: "list", resource: "nodes" }),
        ApiFault::Throttles => State::Half(Trouble::Throttles),
        ApiFault::InternalError => State::Half(Trouble::InternalError),
        ApiFault::Unavailable => State::Half(Trouble::Unavailable),
        ApiFault::TimesOut => State::Half(Trouble::TimesOut),
        ApiFault::Hangs => State::Half(Trouble::Hangs),
        ApiFault::Closes => State::Half(Trouble::Closes),
        ApiFault::StaleCache => State::Half(Trouble::StaleCache),
    }
}

impl ObjectStore for Cluster {
    fn ticks(&self) -> watch::Receiver<Tick> {
        self.ticks.subscribe()
    }

    fn face(&self) -> Face {
        self.face
    }

    fn new_uid(&self, key: &Key) -> String {
        super::project::fresh_uid(key, self.inner.lock().unwrap_or_else(PoisonError::into_inner).mirror.version())
    }

    fn list(&self, kind: &'static Kind, namespace: &str) -> (Vec<Arc<Value>>, u64) {
        let mut inner = self.lock();
        self.refresh(&mut inner);
        let shown = inner.stale.as_ref().unwrap_or(&inner.mirror);
        (shown.list(kind, namespace), shown.version())
    }

    fn get(&self, key: &Key) -> Option<Arc<Value>> {
        let mut inner = self.lock();
        self.refresh(&mut inner);
        inner.mirror.get(key)
    }

    fn create(&self, key: &Key, object: Value, dry_run: bool) -> Result<Arc<Value>, StoreError> {
        let mut inner = self.lock();
        self.publish(&mut inner);
        own::admit(&inner.mirror, key)?;
        if dry_run {
            return Ok(Arc::new(object));
        }
        // What the world knows of is the world's again.
        if let Some(absent) = kept(key).filter(|of| !inner.world.has(of)) {
            inner.world.create(&absent, &object).map_err(write_back::refused)?;
            self.publish(&mut inner);
            inner.mirror.overlay(key, &object, &["labels", "annotations", "managedFields"]);
            return inner.mirror.get(key).ok_or(StoreError::NotFound);
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
        if inner.mirror.is_own(key) {
            if dry_run {
                return Ok(Arc::new(object));
            }
            let left = own::replace(&mut inner.mirror, key, object);
            self.publish(&mut inner);
            return Ok(left);
        }
        let plan = write_back::plan(key, &current, &object)?;
        if dry_run {
            return Ok(Arc::new(object));
        }
        let overlaid = plan.overlaid.clone();
        write_back::apply(&mut inner.world, key, plan)?;
        self.publish(&mut inner);
        if !overlaid.is_empty() {
            inner.mirror.overlay(key, &object, &overlaid);
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
            let now = whole_seconds(inner.world.wall(inner.world.now()));
            let left = own::delete(&mut inner.mirror, key, options, now)?;
            self.publish(&mut inner);
            return Ok(left);
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
            let refused = StoreError::MethodNotAllowed("delete");
            let applied = kept(key).ok_or(refused.clone())?;
            inner.world.delete(&applied).map_err(|_| refused)?;
        }
        self.publish(&mut inner);
        Ok(inner.mirror.get(key).unwrap_or(current))
    }

    fn evict(&self, key: &Key, options: &DeleteOptions) -> Result<(), StoreError> {
        let mut inner = self.lock();
        self.publish(&mut inner);
        let current = inner.mirror.get(key).ok_or(StoreError::NotFound)?;
        check_preconditions(&current, options)?;
        if let Some(blocked) = own::blocking_budget(&inner.mirror, &current) {
            return Err(blocked);
        }
        if inner.mirror.is_own(key) {
            if !options.dry_run {
                let now = whole_seconds(inner.world.wall(inner.world.now()));
                own::evict(&mut inner.mirror, key, options, now)?;
                self.publish(&mut inner);
            }
            return Ok(());
        }
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

    fn changes(&self, kind: &'static Kind, since: u64) -> Option<(Vec<Change>, u64)> {
        let mirror = &self.inner.lock().unwrap_or_else(PoisonError::into_inner).mirror;
        Some((mirror.changes(kind, since)?, mirror.version()))
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

fn whole_seconds(at: Moment) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.as_millis().div_euclid(1000)).unwrap_or_default()
}
