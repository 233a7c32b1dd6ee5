//! Which parts changed since somebody last asked: at most one word a part, however much happens.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use ananke_core::port::ClusterPart;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Changes {
    parts: Mutex<BTreeSet<ClusterPart>>,
    more: Notify,
}

impl Changes {
    pub(super) fn note(&self, part: ClusterPart) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(part);
        self.more.notify_one();
    }

    /// Waits for at least one. Nothing is lost if the wait is given up.
    pub(super) async fn next(&self) -> Vec<ClusterPart> {
        loop {
            let parts = std::mem::take(&mut *self.parts.lock().unwrap_or_else(PoisonError::into_inner));
            if !parts.is_empty() {
                return parts.into_iter().collect();
            }
            self.more.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_is_named_once_and_a_wait_that_was_given_up_loses_nothing() {
        let changes = Changes::default();
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(1), changes.next());
        assert!(waiting.await.is_err());
        changes.note(ClusterPart::Pods);
        changes.note(ClusterPart::Nodes);
        changes.note(ClusterPart::Pods);
        assert_eq!(changes.next().await, [ClusterPart::Nodes, ClusterPart::Pods]);
    }
}
