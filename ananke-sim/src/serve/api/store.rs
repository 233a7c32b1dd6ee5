//! What the API server needs of the cluster behind it. The API translates HTTP; this trait holds the objects.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::kinds::Kind;
use super::trouble::Trouble;

/// How the API server as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    #[default]
    Answering,
    /// Every request gets a 500: the process runs, its store has no leader.
    Error500,
    /// The store does not answer: health checks and cached lists do, everything else hangs.
    StoreHang,
    /// No server process listens.
    Refused,
    /// It is half alive in another way.
    Half(Trouble),
}

/// What clients of the change log wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tick {
    pub version: u64,
    pub state: State,
}

/// What kind of cluster the server stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Face {
    /// As `/version` tells it.
    pub version: &'static str,
    /// Kinds that the recorded server does not have are served too.
    pub extras: bool,
    /// It has run for so long that its first changes cannot be watched any more.
    pub compacted: bool,
}

/// Where an object is. Cluster-scoped objects have an empty namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: &'static Kind,
    pub namespace: String,
    pub name: String,
}

/// One change of one object, in the order of `version`.
#[derive(Debug, Clone)]
pub struct Change {
    pub version: u64,
    pub key: Key,
    /// None: it was created.
    pub before: Option<Arc<Value>>,
    /// None: it was deleted.
    pub after: Option<Arc<Value>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    pub uid: Option<String>,
    pub version: Option<String>,
    pub grace_secs: Option<u64>,
    pub dry_run: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("not found")]
    NotFound,
    #[error("already exists")]
    Exists,
    #[error("namespace {0} not found")]
    NoNamespace(String),
    #[error("namespace {0} is being terminated")]
    Terminating(String),
    #[error("the object has been modified")]
    Conflict,
    #[error("the UID in the precondition does not match the UID in record ({found})")]
    OtherUid { found: String },
    #[error("disruption budget {budget} needs {needs} healthy pods and has {has}")]
    Blocked { budget: String, needs: u32, has: u32 },
    #[error("{field}: {found}")]
    Invalid { field: String, found: String },
    #[error("{0} is not supported")]
    MethodNotAllowed(&'static str),
}

/// The objects of a cluster. All calls return at once; [`State`] is the API's to act out.
pub trait ObjectStore: Send + Sync + 'static {
    fn ticks(&self) -> watch::Receiver<Tick>;

    fn face(&self) -> Face;

    /// Another one for each object.
    fn new_uid(&self, key: &Key) -> String;

    /// Objects in order of namespace and name, with the version of the whole list.
    fn list(&self, kind: &'static Kind, namespace: &str) -> (Vec<Arc<Value>>, u64);

    fn get(&self, key: &Key) -> Option<Arc<Value>>;

    /// Keeps a new object that is complete but for its version.
    fn create(&self, key: &Key, object: Value, dry_run: bool) -> Result<Arc<Value>, StoreError>;

    /// Puts `object`, which was made from the object at `object.metadata.resourceVersion`, if that is still the newest.
    fn replace(&self, key: &Key, object: Value, dry_run: bool) -> Result<Arc<Value>, StoreError>;

    /// The object as it was left: gone, or terminating.
    fn delete(&self, key: &Key, options: &DeleteOptions) -> Result<Arc<Value>, StoreError>;

    fn evict(&self, key: &Key, options: &DeleteOptions) -> Result<(), StoreError>;

    /// Changes of a kind after `since`, and the version up to which they go; none if the log does not reach back so far.
    fn changes(&self, kind: &'static Kind, since: u64) -> Option<(Vec<Change>, u64)>;

    /// Wall time of the cluster, in milliseconds since the epoch, for ages.
    fn now_millis(&self) -> i64;

    /// A request was answered, for the request log.
    fn log(&self, line: &str);
}
