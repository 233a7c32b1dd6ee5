//! What must be read again before an order is given again: after a conflict, what it was judged on was old; after an answer
//! that got lost, it may or may not have been done.

use std::collections::BTreeMap;

use super::driver::touched;
use super::intake::Reading;
use super::schedule::Part;
use crate::name::{Moment, Subject};
use crate::order::Order;
use crate::port::{ErrorKind, PortError};

/// When what was last read well, and which orders wait for that.
#[derive(Debug, Default)]
pub(super) struct Reread {
    /// The two newest answers of each part. One read of a part is under way at most, so that the second answer after a moment
    /// was certainly asked for after it; the first may have been on its way.
    read: BTreeMap<Part, [Moment; 2]>,
    /// When the newest try was answered so that nobody knows what it did, or what it was decided on.
    doubtful: BTreeMap<(&'static str, Subject), Moment>,
}

impl Reread {
    pub(super) fn took(&mut self, reading: &Reading, now: Moment) {
        if let Some(part) = read_well(reading) {
            let [_, newest] = self.read.get(&part).copied().unwrap_or([Moment::from_millis(0); 2]);
            self.read.insert(part, [newest, now]);
        }
    }

    pub(super) fn answered(&mut self, order: &Order, error: Option<&PortError>, now: Moment) {
        let key = (order.verb(), order.subject());
        match error.map(|error| error.kind) {
            Some(ErrorKind::Transient | ErrorKind::Conflict) => {
                self.doubtful.insert(key, now);
            }
            // It was done, or refused for what another read does not change.
            None
            | Some(ErrorKind::Denied | ErrorKind::Untrusted | ErrorKind::Missing | ErrorKind::Blocked | ErrorKind::Invalid) => {
                self.doubtful.remove(&key);
            }
        }
    }

    /// Whether everything that the order touches was asked for, and answered, since its last try was.
    pub(super) fn allows(&self, order: &Order) -> bool {
        let Some(since) = self.doubtful.get(&(order.verb(), order.subject())) else { return true };
        touched(order).iter().all(|part| self.read.get(part).is_some_and(|[before, _]| before > since))
    }
}

/// The part that was read, if an order can touch it and the read did not fail.
fn read_well(reading: &Reading) -> Option<Part> {
    match reading {
        Reading::Nodes(_, Ok(_)) => Some(Part::Nodes),
        Reading::Flux(Ok(_)) => Some(Part::Flux),
        Reading::Workloads(Ok(_)) => Some(Part::Workloads),
        Reading::Pods(Ok(_)) => Some(Part::Pods),
        Reading::Jobs(Ok(_)) => Some(Part::Jobs),
        Reading::Coordination(Ok(_)) => Some(Part::Coordination),
        Reading::Vault(Ok(_)) => Some(Part::Vault),
        Reading::Snapshots(node, Ok(_)) => Some(Part::Snapshots(node.clone())),
        Reading::Host(node, Ok(_)) => Some(Part::Host(node.clone())),
        Reading::Nodes(_, Err(_))
        | Reading::Flux(Err(_))
        | Reading::Workloads(Err(_))
        | Reading::Pods(Err(_))
        | Reading::Jobs(Err(_))
        | Reading::Coordination(Err(_))
        | Reading::Vault(Err(_))
        | Reading::Snapshots(_, Err(_))
        | Reading::Host(_, Err(_))
        | Reading::Intent(_)
        | Reading::Api(_)
        | Reading::Ingresses(_)
        | Reading::Namespaces(_)
        | Reading::Storage(_)
        | Reading::Endpoints(_)
        | Reading::Extensions(_)
        | Reading::Events(_)
        | Reading::Ended(_)
        | Reading::Leaders(_)
        | Reading::OwnClock(_)
        | Reading::Confirmations(_)
        | Reading::Baseline(_)
        | Reading::Peer(..)
        | Reading::Ups(..)
        | Reading::Probe(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::name::{Kind, ObjectRef};
    use crate::order::ClusterOrder;

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    /// An order that was answered with `kind` at 10 s, and pods that were read at these moments.
    #[track_caller]
    fn check(kind: ErrorKind, reads: &[i64], allowed: bool) {
        let object = ObjectRef::new(Kind::Kustomization, "flux-system", "apps");
        let order = Order::Cluster(ClusterOrder::Reconcile { object, token: at(9), push: crate::order::Push::None });
        let mut reread = Reread::default();
        assert!(reread.allows(&order), "nothing was tried yet");
        reread.answered(&order, Some(&PortError::new(kind, "annotate", "apps", "it went wrong")), at(10));
        for read in reads {
            reread.took(&Reading::Flux(Ok(Arc::default())), at(*read));
            reread.took(&Reading::Pods(Ok(Arc::default())), at(*read));
        }
        assert_eq!(reread.allows(&order), allowed, "{kind:?}, read at {reads:?}");
        reread.answered(&order, None, at(60));
        assert!(reread.allows(&order), "what was done is in no doubt");
    }

    #[test]
    fn a_lost_answer_waits_for_a_read_that_was_asked_for_after_it() {
        check(ErrorKind::Transient, &[], false);
        check(ErrorKind::Transient, &[8, 10], false);
        check(ErrorKind::Transient, &[8, 11], false);
        check(ErrorKind::Transient, &[11, 12], true);
    }

    #[test]
    fn a_conflict_does_too_and_a_clear_no_does_not() {
        check(ErrorKind::Conflict, &[8, 11], false);
        check(ErrorKind::Conflict, &[11, 12], true);
        check(ErrorKind::Denied, &[], true);
    }
}
