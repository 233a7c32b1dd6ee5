//! One collection, listed once and watched from there on. A task of its own keeps it; it begins with the first read and ends
//! when this is dropped.
//!
//! What it answers is as true as a list: while the watch stands it is what the watch has told, never older than our own
//! writes, and where the watch broke nothing is answered until a new list has come. So whatever goes wrong has one remedy,
//! the list, and an error is that of the newest try.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ananke_core::port::{ClusterPart, ErrorKind, PortError};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::backoff;
use super::changes::Changes;
use super::quiet;
use super::store::{Filling, Key, Store, key};
use super::stream::{Broken, Change, Lines, change};
use crate::collection::Collection;
use crate::connect::KubeCluster;
use crate::error;
use crate::servers::Server;
use crate::translate::meta::Named;
use crate::written::IN_DOUBT;

/// The server ends a watch when it was told to, give or take this; one that is still there so long after it hangs.
const GRACE: Duration = Duration::from_secs(5);
/// A server that ends every watch at once is asked once in a second all the same.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
/// A round that lasted so long was a good one: what comes after it is the first failure.
const LASTED: Duration = Duration::from_secs(10);
/// A watch that is not allowed is tried again after this long: a server that has just started may not know its rules yet.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// A watch shows a write within milliseconds; one that has not by then is not waited for, and a list is asked for.
const WRITE_SHOWN: Duration = Duration::from_secs(2);

/// What is kept of an object while several threads may look at it.
pub(super) trait Kept: Clone + PartialEq + Send + Sync + 'static {}
impl<T: Clone + PartialEq + Send + Sync + 'static> Kept for T {}

/// What is read of an object.
pub(super) trait Object: DeserializeOwned + Named + Send + 'static {}
impl<I: DeserializeOwned + Named + Send + 'static> Object for I {}

/// What was asked for, and a number that changes whenever it does.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) items: Arc<Vec<T>>,
    pub(super) revision: u64,
}

pub(super) struct Reflector<I, T> {
    inner: Arc<Inner<I, T>>,
    task: OnceLock<JoinHandle<()>>,
}

struct Inner<I, T> {
    cluster: KubeCluster,
    from: Collection<I, T>,
    part: ClusterPart,
    changes: Arc<Changes>,
    state: watch::Sender<State<T>>,
    /// Somebody asks: the pause before the next try is over.
    asked: Notify,
    /// A write failed and may have been done all the same: what the watch shows is not enough.
    doubted: Notify,
}

struct State<T> {
    store: Store<T>,
    /// Whose list that is.
    of: Option<Arc<Server>>,
    /// The newest version that the store shows; none where versions are no numbers.
    version: Option<u64>,
    revision: u64,
    standing: Standing,
    /// Tries that failed, ever.
    failures: u64,
}

enum Standing {
    /// The first list has not come yet.
    Begun,
    /// The store shows what is there.
    Live,
    /// The newest try failed.
    Broken(PortError),
    /// A watch is not allowed, so that every read is a list.
    Refused,
}

/// Why a watch did not end as it should.
enum End {
    Failed(PortError),
    Refused(PortError),
    /// What it showed is not enough: it is listed anew.
    Doubted,
}

impl<I: Object, T: Kept> Reflector<I, T> {
    pub(super) fn new(cluster: &KubeCluster, from: &Collection<I, T>, part: ClusterPart, changes: &Arc<Changes>) -> Self {
        let state =
            State { store: Store::default(), of: None, version: None, revision: 0, standing: Standing::Begun, failures: 0 };
        let inner = Inner {
            cluster: cluster.clone(),
            from: from.clone(),
            part,
            changes: Arc::clone(changes),
            state: watch::Sender::new(state),
            asked: Notify::new(),
            doubted: Notify::new(),
        };
        Self { inner: Arc::new(inner), task: OnceLock::new() }
    }

    /// All objects, as they are now.
    ///
    /// # Errors
    /// That of the list, tried after this was asked.
    pub(super) async fn read(&self) -> Result<Answer<T>, PortError> {
        self.task.get_or_init(|| tokio::spawn(Arc::clone(&self.inner).keep()));
        self.inner.read().await
    }
}

impl<I, T> Drop for Reflector<I, T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl<T: Kept> State<T> {
    fn answer(&self) -> Answer<T> {
        Answer { items: self.store.items(), revision: self.revision }
    }

    /// Whether there is something to say to who asked when `failures` tries had failed.
    fn knows(&self, failures: u64) -> bool {
        match self.standing {
            Standing::Begun => false,
            Standing::Live | Standing::Refused => true,
            Standing::Broken(_) => self.failures > failures,
        }
    }

    fn shows(&self, written: Option<u64>) -> bool {
        written.is_none_or(|written| self.version.is_none_or(|version| version >= written))
    }
}

impl<I: Object, T: Kept> Inner<I, T> {
    async fn read(&self) -> Result<Answer<T>, PortError> {
        let mut written = self.cluster.written.newest_of(&self.from.path);
        // What another server shows may be older, or stand still with that server.
        let of_another = self.state.borrow().of.as_ref().is_some_and(|of| !Arc::ptr_eq(of, &self.cluster.asked()));
        if written == Some(IN_DOUBT) || of_another {
            self.doubt();
        }
        let failures = {
            let state = self.state.borrow();
            if matches!(state.standing, Standing::Broken(_)) {
                self.asked.notify_one();
            }
            state.failures
        };
        let mut seen = self.state.subscribe();
        let limit = self.cluster.deadlines.list;
        match timeout(limit, seen.wait_for(|state| state.knows(failures))).await {
            Ok(Ok(state)) => {
                // A list that came meanwhile, and was begun after our write, has settled it.
                written = self.cluster.written.newest_of(&self.from.path);
                match &state.standing {
                    Standing::Live if state.shows(written) => return Ok(state.answer()),
                    Standing::Broken(error) => return Err(error.clone()),
                    Standing::Begun | Standing::Live | Standing::Refused => {}
                }
            }
            Ok(Err(_)) | Err(_) => return Err(error::deadline(self.from.tried, &self.cluster.server(), limit)),
        }
        let shown = |state: &State<T>| !matches!(state.standing, Standing::Live) || state.shows(written);
        if written != Some(IN_DOUBT)
            && let Ok(Ok(state)) = timeout(WRITE_SHOWN, seen.wait_for(shown)).await
            && matches!(state.standing, Standing::Live)
        {
            return Ok(state.answer());
        }
        self.list_for_once().await
    }

    /// Nothing is believed before a list that begins now.
    fn doubt(&self) {
        self.state.send_if_modified(|state| {
            if matches!(state.standing, Standing::Live) {
                state.standing = Standing::Begun;
                self.doubted.notify_one();
            }
            false
        });
    }

    /// A list beside the watch.
    async fn list_for_once(&self) -> Result<Answer<T>, PortError> {
        let items = Arc::new(self.cluster.list(&self.from).await?);
        let mut revision = 0;
        self.state.send_modify(|state| {
            state.revision = state.revision.wrapping_add(1);
            revision = state.revision;
        });
        Ok(Answer { items, revision })
    }

    async fn keep(self: Arc<Self>) {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let end = self.round(failures > 0).await;
            failures = if begun.elapsed() >= LASTED { 0 } else { failures };
            match end {
                End::Failed(error) => {
                    tracing::debug!(path = %self.from.path, %error, "a watch broke");
                    let pause = backoff::pause(failures, fastrand::u64(..));
                    let least = backoff::least(pause, error.retry_after);
                    self.broke(error);
                    self.pause(pause, least).await;
                    failures = failures.saturating_add(1);
                }
                End::Refused(error) => {
                    tracing::warn!(path = %self.from.path, %error, "it cannot be watched and is listed at every look");
                    self.state.send_modify(|state| {
                        state.standing = Standing::Refused;
                        state.store = Store::default();
                    });
                    sleep(REFUSED_FOR).await;
                }
                End::Doubted => {}
            }
        }
    }

    /// A part that was believed is not any more: whoever stands on it looks again.
    fn broke(&self, error: PortError) {
        let mut lost = false;
        self.state.send_modify(|state| {
            lost = match state.standing {
                Standing::Live => true,
                // Believed until this list began.
                Standing::Begun => state.revision > 0,
                Standing::Broken(_) | Standing::Refused => false,
            };
            state.standing = Standing::Broken(error);
            state.failures = state.failures.wrapping_add(1);
        });
        if lost {
            self.changes.note(self.part);
        }
    }

    /// Who asks cuts it short to `least`.
    async fn pause(&self, pause: Duration, least: Duration) {
        sleep(least).await;
        // Over, or asked for: both end it.
        timeout(pause.saturating_sub(least), self.asked.notified()).await.ok();
    }

    /// A list, and watches from there on, each from where the one before ended well, while they show that anything happens.
    /// `again`: the round before failed.
    async fn round(&self, again: bool) -> End {
        let mut version = match self.list(again).await {
            Ok(version) => version,
            Err(error) => return End::Failed(error),
        };
        let mut heard = Instant::now();
        loop {
            let next = Instant::now() + SHORTEST_WATCH;
            let before = version.clone();
            if let Err(end) = self.watch(&mut version).await {
                return end;
            }
            sleep_until(next).await;
            if version != before {
                heard = Instant::now();
            } else if heard.elapsed().saturating_add(GRACE) >= self.believed() {
                return End::Doubted;
            }
        }
    }

    /// How long nothing need be heard. It is counted in time: a door in front of the server may end watches early.
    fn believed(&self) -> Duration {
        let objects = self.state.borrow().store.items().len();
        self.cluster.deadlines.watch.saturating_mul(quiet::believed(self.part, objects))
    }

    /// Fills the store anew. The old one goes first: nobody may read it, and two would be twice the memory. A long list is not
    /// given up while its pages come: who could not wait for it finds it at the next look.
    async fn list(&self, again: bool) -> Result<String, PortError> {
        let written = self.cluster.written.newest_of(&self.from.path);
        self.state.send_if_modified(|state| {
            state.store = Store::default();
            if matches!(state.standing, Standing::Live) {
                state.standing = Standing::Begun;
            }
            false
        });
        let mut filling = Filling::default();
        let cluster = if again { self.cluster.apart() } else { self.cluster.clone() };
        let of = cluster.asked();
        let version = cluster
            .pages(&self.from, None, |object: I| {
                let key = key(object.metadata());
                if let Some(item) = self.from.fact(object, &self.cluster.texts)? {
                    filling.push(key, item);
                }
                Ok(())
            })
            .await?;
        self.cluster.written.shown(&self.from.path, written);
        self.state.send_modify(|state| {
            state.store = filling.done();
            state.of = Some(of);
            state.version = version.parse().ok();
            state.revision = state.revision.wrapping_add(1);
            state.standing = Standing::Live;
        });
        self.changes.note(self.part);
        Ok(version)
    }

    /// One watch, to the end that the server was told.
    async fn watch(&self, version: &mut String) -> Result<(), End> {
        let limit = self.cluster.deadlines.watch;
        let followed = tokio::select! {
            biased;
            () = self.doubted.notified() => return Err(End::Doubted),
            followed = timeout_at(Instant::now() + limit + GRACE, self.follow(version, limit)) => followed,
        };
        match followed {
            Ok(end) => end,
            Err(_) => Err(self.failed(format!("the watch has not ended {GRACE:?} after its {limit:?}"))),
        }
    }

    async fn follow(&self, version: &mut String, limit: Duration) -> Result<(), End> {
        let opened = self.cluster.open_watch(&self.from, version, limit.as_secs().max(1)).await;
        let mut body = opened.map_err(|error| match error.kind {
            ErrorKind::Denied | ErrorKind::Invalid => End::Refused(error),
            ErrorKind::Transient | ErrorKind::Conflict | ErrorKind::Untrusted | ErrorKind::Missing | ErrorKind::Blocked => {
                End::Failed(error)
            }
        })?;
        let mut lines = Lines::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|why| End::Failed(error::from_transport(self.from.tried, &self.cluster.server(), &why)))?;
            let Ok(data) = frame.into_data() else { continue };
            let mut news = Vec::new();
            let taken = lines.push(&data, |line| {
                news.push(self.turned(change(line)?, version)?);
                Ok(())
            });
            self.show(news, version);
            taken.map_err(|broken| match broken {
                Broken::Status(code, text) => {
                    End::Failed(error::from_answer(self.from.tried, &self.cluster.server(), code, None, text.as_bytes()))
                }
                Broken::Nonsense(why) => End::Failed(error::nonsense(self.from.tried, &self.cluster.server(), why)),
            })?;
        }
        if lines.torn() { Err(self.failed("the watch ended in the middle of an event".to_owned())) } else { Ok(()) }
    }

    /// A change as the store takes it; none where only the version moved.
    fn turned(&self, change: Change<I>, version: &mut String) -> Result<Option<(Key, Option<T>)>, Broken> {
        change.version().clone_into(version);
        Ok(match change {
            Change::Is(object) => {
                let key = key(object.metadata());
                Some((key, self.from.fact(object, &self.cluster.texts).map_err(Broken::Nonsense)?))
            }
            Change::Gone(object) => Some((key(object.metadata()), None)),
            Change::Bookmark(_) => None,
        })
    }

    fn show(&self, news: Vec<Option<(Key, Option<T>)>>, version: &str) {
        if news.is_empty() {
            return;
        }
        let mut different = false;
        self.state.send_modify(|state| {
            for (key, item) in news.into_iter().flatten() {
                different |= state.store.put(key, item);
            }
            state.version = version.parse().ok();
            if different {
                state.revision = state.revision.wrapping_add(1);
            }
        });
        if different {
            self.changes.note(self.part);
        }
    }

    fn failed(&self, found: String) -> End {
        End::Failed(PortError::new(ErrorKind::Transient, self.from.tried, self.cluster.server(), found))
    }
}
