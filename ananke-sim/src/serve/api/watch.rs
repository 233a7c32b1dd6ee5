//! Watches: the change log as a stream of JSON lines.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{Stream, unfold};
use http_body_util::BodyExt;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::accept::Form;
use super::kinds::Kind;
use super::render;
use super::select::Selector;
use super::status;
use super::store::{Change, ObjectStore, Tick};

/// The real server sends one about every minute.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// What a client asked to watch.
#[derive(Debug)]
pub struct WatchRequest {
    pub kind: &'static Kind,
    /// Empty: all namespaces.
    pub namespace: String,
    pub selector: Selector,
    pub form: Form,
    /// The version to go on from; none or 0: begin with what there is.
    pub since: Option<u64>,
    pub timeout: Duration,
    pub bookmarks: bool,
    /// The client wants a bookmark after the first objects (a streaming list).
    pub initial_bookmark: bool,
}

struct Watcher {
    store: Arc<dyn ObjectStore>,
    request: WatchRequest,
    ticks: watch::Receiver<Tick>,
    seen: u64,
    pending: VecDeque<Value>,
    ends: Instant,
    next_bookmark: Instant,
    over: bool,
}

/// The body of the answer: it ends at the request's timeout, or when the server stops answering.
pub fn body(store: Arc<dyn ObjectStore>, request: WatchRequest) -> super::Body {
    http_body_util::StreamBody::new(stream(store, request)).boxed_unsync()
}

fn stream(store: Arc<dyn ObjectStore>, request: WatchRequest) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    let ticks = store.ticks();
    let now = Instant::now();
    let mut watcher = Watcher {
        ticks,
        seen: 0,
        pending: VecDeque::new(),
        ends: now + request.timeout,
        next_bookmark: now + BOOKMARK_EVERY,
        over: false,
        store,
        request,
    };
    watcher.begin();
    unfold(watcher, |mut watcher| async move { watcher.next().await.map(|line| (Ok(Frame::data(line)), watcher)) })
}

impl Watcher {
    fn begin(&mut self) {
        match self.request.since {
            Some(since) if since > 0 => self.seen = since,
            Some(_) | None => {
                let (objects, version) = self.store.list(self.request.kind, &self.request.namespace);
                self.seen = version;
                for object in objects.iter().filter(|object| self.request.selector.takes(object)) {
                    let event = self.event("ADDED", object);
                    self.pending.push_back(event);
                }
                if self.request.initial_bookmark {
                    let event = self.bookmark(true);
                    self.pending.push_back(event);
                }
            }
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                let mut line = serde_json::to_vec(&event).unwrap_or_default();
                line.push(b'\n');
                return Some(line.into());
            }
            let Tick { version, state } = *self.ticks.borrow_and_update();
            if self.over || state.ends_watches() {
                return None;
            }
            if version > self.seen && !state.starves_watches() {
                self.collect();
                continue;
            }
            tokio::select! {
                biased;
                changed = self.ticks.changed() => if changed.is_err() { return None },
                () = tokio::time::sleep_until(self.ends) => return None,
                () = tokio::time::sleep_until(self.next_bookmark) => {
                    self.next_bookmark += BOOKMARK_EVERY;
                    if self.request.bookmarks {
                        let event = self.bookmark(false);
                        self.pending.push_back(event);
                    }
                }
            }
        }
    }

    fn collect(&mut self) {
        let Some((changes, version)) = self.store.changes(self.request.kind, self.seen) else {
            let gone = status::gone(format!("too old resource version: {}", self.seen));
            self.pending.push_back(json!({"type": "ERROR", "object": gone.body}));
            self.over = true;
            return;
        };
        self.seen = version;
        let events = changes.iter().filter_map(|change| self.of_change(change)).collect::<Vec<_>>();
        self.pending.extend(events);
    }

    /// What the change is to this watcher: an object that enters or leaves the selection is added or deleted.
    fn of_change(&self, change: &Change) -> Option<Value> {
        let request = &self.request;
        if !request.namespace.is_empty() && change.key.namespace != request.namespace {
            return None;
        }
        let before = change.before.as_ref().filter(|object| request.selector.takes(object));
        let after = change.after.as_ref().filter(|object| request.selector.takes(object));
        match (before, after) {
            (None, Some(object)) => Some(self.event("ADDED", object)),
            (Some(_), Some(object)) => Some(self.event("MODIFIED", object)),
            (Some(object), None) => {
                let mut last = object.as_ref().clone();
                if let Some(version) = last.pointer_mut("/metadata/resourceVersion") {
                    *version = json!(change.version.to_string());
                }
                Some(self.event("DELETED", &Arc::new(last)))
            }
            (None, None) => None,
        }
    }

    fn event(&self, kind: &str, object: &Arc<Value>) -> Value {
        json!({"type": kind, "object": render::one(self.request.kind, object, self.request.form, self.store.now_millis())})
    }

    fn bookmark(&self, first: bool) -> Value {
        let mut metadata = json!({"resourceVersion": self.seen.to_string(), "creationTimestamp": null});
        if let (Some(map), true) = (metadata.as_object_mut(), first) {
            map.insert("annotations".to_owned(), json!({"k8s.io/initial-events-end": "true"}));
        }
        let kind = self.request.kind;
        json!({"type": "BOOKMARK", "object": {"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata}})
    }
}
