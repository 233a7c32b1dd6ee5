//! What this process wrote itself: a watch is a moment behind, and what it shows must not be older than our own writes.
//!
//! Versions of one collection are numbers of one counter, in etcd and in kine; one that is no number is not waited for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::collection::collection_of;

/// Newer than every version that a watch can show.
pub(crate) const IN_DOUBT: u64 = u64::MAX;

/// The newest version that was written, by the path of the collection: as many entries as there are kinds.
#[derive(Debug, Default)]
pub(crate) struct Written(Mutex<BTreeMap<String, u64>>);

/// What every written object comes back with; the answer to an eviction or a deletion may be another kind, without a version.
#[derive(Deserialize)]
struct Answer {
    metadata: AnswerMeta,
}

#[derive(Deserialize)]
struct AnswerMeta {
    #[serde(rename = "resourceVersion")]
    version: String,
}

impl Written {
    /// Takes the answer to a write. One that was not to last has left nothing to wait for.
    pub(crate) fn note(&self, path: &str, answer: &[u8]) {
        if path.contains("dryRun=") {
            return;
        }
        let Some(collection) = collection_of(path) else { return };
        let Ok(answer) = serde_json::from_slice::<Answer>(answer) else { return };
        let Ok(version) = answer.metadata.version.parse::<u64>() else { return };
        let mut newest = self.newest();
        let known = newest.entry(collection).or_default();
        *known = version.max(*known);
    }

    /// Takes a write that failed and may have been carried out all the same, so that nothing but a list begun after it is
    /// new enough.
    pub(crate) fn doubt(&self, path: &str) {
        if let Some(collection) = collection_of(path) {
            self.newest().insert(collection, IN_DOUBT);
        }
    }

    /// The newest version that was written to the collection and that no list has shown yet.
    pub(crate) fn newest_of(&self, collection: &str) -> Option<u64> {
        self.newest().get(collection).copied()
    }

    /// A list that was begun when `newest` was the newest write shows all writes up to it, whatever its own version is: an
    /// etcd that was restored counts from further back.
    pub(crate) fn shown(&self, collection: &str, newest: Option<u64>) {
        let mut known = self.newest();
        if newest.is_some() && known.get(collection).copied() == newest {
            known.remove(collection);
        }
    }

    fn newest(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "/api/v1/nodes";

    #[test]
    fn the_newest_write_is_remembered_until_a_list_that_began_after_it() {
        let written = Written::default();
        written.note("/api/v1/nodes/a?fieldManager=ananke", br#"{"kind":"Node","metadata":{"resourceVersion":"12"}}"#);
        written.note("/api/v1/nodes/b?fieldManager=ananke", br#"{"kind":"Node","metadata":{"resourceVersion":"9"}}"#);
        assert_eq!(written.newest_of(NODES), Some(12));
        written.shown(NODES, None);
        written.shown(NODES, Some(9));
        assert_eq!(written.newest_of(NODES), Some(12));
        written.shown(NODES, Some(12));
        assert_eq!(written.newest_of(NODES), None);
    }

    #[test]
    fn after_a_write_that_failed_only_a_list_will_do() {
        let written = Written::default();
        written.doubt("/api/v1/nodes/a?fieldManager=ananke");
        written.note("/api/v1/nodes/a", br#"{"metadata":{"resourceVersion":"12"}}"#);
        assert_eq!(written.newest_of(NODES), Some(IN_DOUBT));
        written.shown(NODES, Some(IN_DOUBT));
        assert_eq!(written.newest_of(NODES), None);
    }

    #[test]
    fn what_has_no_version_or_does_not_last_is_not_waited_for() {
        let written = Written::default();
        written.note("/api/v1/nodes/a?dryRun=All", br#"{"metadata":{"resourceVersion":"12"}}"#);
        written.note("/api/v1/nodes/a", br#"{"kind":"Status","metadata":{}}"#);
        written.note("/api/v1/nodes/a", b"");
        assert_eq!(written.newest_of(NODES), None);
    }
}
