//! One sweep of the keeper: what it looks at, what it does, and when the next one is due.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{Either, join_all, select};

use super::{CALL_DEADLINE, EVERY, LONGEST, Tick};
use crate::coordination::{self, Standing};
use crate::engine::Permit;
use crate::engine::driver::{Hands, Reads};
use crate::engine::intake;
use crate::engine::journal::{Entry, What};
use crate::engine::schedule::Part;
use crate::engine::walk::Walk;
use crate::intent::IntentState;
use crate::lease::expiry::{Finding, GRACE, overdue, prune};
use crate::lease::{Age, Lease, LeaseRecord, LeaseState, Purpose, merged, read_note, taint_lease};
use crate::name::{Moment, NodeName, RunId};
use crate::order::{ClusterOrder, Order};
use crate::port::{ErrorKind, PortError};
use crate::remedy::Action;
use crate::remedy::leftover_cordon::{self, Needs};

/// A sweep where something is left to do or to be seen.
const SOON: Duration = Duration::from_secs(10);
/// A host that says nothing for this long is not waited for: the other hosts' answers must still be young when it is over.
const HOST_DEADLINE: Duration = Duration::from_secs(20);
/// Nodes that were listed longer ago than this are listed again: an old list proves nothing of a kubelet.
const LISTED: Duration = Duration::from_secs(3);
/// A run writes its progress at least every 30 s: one that did not for this long is dead.
const ALIVE: Duration = Duration::from_secs(90);

/// Runs of this host that are alive: their leases are theirs until some time after their expiry.
#[derive(Debug, Default)]
pub(super) struct Live {
    runs: Vec<RunId>,
    /// A shutdown is wanted: its drain stands, whichever run of it placed it.
    draining: bool,
}

impl Live {
    pub(super) async fn of(reads: Reads<'_>, now: Moment, max_age: Duration) -> Self {
        let mut live = Self::default();
        if let Ok(Some(progress)) = reads.state.progress().await {
            let recent = now.since(progress.updated) <= ALIVE && progress.updated.since(now) <= ALIVE;
            if progress.outcome.is_none() && !progress.dry_run && recent {
                live.runs.push(progress.run);
                live.runs.extend(progress.earlier.into_iter().map(|earlier| earlier.run));
            }
        }
        if let Ok(Some(intent)) = reads.state.intent().await {
            live.draining = intent.state == IntentState::ShuttingDown && now.since(intent.at) <= max_age;
        }
        live
    }

    fn needs(&self, record: &LeaseRecord) -> bool {
        let drain = self.draining && record.lease.purpose == Purpose::Drain;
        drain || self.runs.iter().any(|run| record.lease.is_of(run))
    }
}

/// One sweep under way.
pub(super) struct Sweeper<'a> {
    pub(super) walk: &'a mut Walk,
    pub(super) seq: &'a mut u64,
    pub(super) reads: Reads<'a>,
    pub(super) hands: Hands<'a>,
    pub(super) live: Live,
    pub(super) tick: Tick,
    /// The coordination Lease was taken for this sweep.
    pub(super) coordinated: bool,
}

impl Sweeper<'_> {
    /// Asks for the nodes and what else counts; false where there is nothing to judge by.
    pub(super) async fn look(&mut self) -> bool {
        if !self.take_lists().await {
            return false;
        }
        let hosts: Vec<Part> = self.interesting().into_iter().map(Part::Host).collect();
        self.take_within(&hosts, HOST_DEADLINE).await;
        let listed = self.reads.clock.now().since(self.walk.nodes_asked) <= LISTED;
        listed || self.take_lists().await
    }

    async fn take_lists(&mut self) -> bool {
        self.take(&[Part::Api, Part::Nodes, Part::Coordination]).await;
        if let Some(error) = self.walk.obs.nodes.newest_failure().or(self.walk.obs.api.newest_failure()) {
            let text = format!("the cluster cannot be looked at: {error}");
            self.failed(text);
            return false;
        }
        true
    }

    /// Nodes that carry a cordon: only they are asked over SSH.
    fn interesting(&self) -> BTreeSet<NodeName> {
        let nodes = self.walk.obs.nodes.last().map(|nodes| nodes.as_slice()).unwrap_or_default();
        let cordoned = nodes.iter().filter(|node| taint_lease(node).is_some()).map(|node| node.name.clone());
        cordoned.filter(|name| self.walk.spec.nodes.get(name).is_some_and(|node| node.target.is_some())).collect()
    }

    pub(super) async fn take(&mut self, parts: &[Part]) {
        self.take_within(parts, CALL_DEADLINE).await;
    }

    async fn take_within(&mut self, parts: &[Part], within: Duration) {
        let deadline = self.reads.clock.now().plus(within);
        let clock = self.reads.clock;
        let readings = parts.iter().map(|part| {
            let read = intake::read(self.reads, part, &self.walk.spec, deadline);
            // An answer is as old as it is, however long the others take.
            async move { (read.await, clock.now()) }
        });
        for (reading, at) in join_all(readings).await {
            self.walk.take(reading, at);
        }
        self.walk.uptime = self.reads.clock.uptime();
    }

    /// Does what the look asks for; true where another look is worth it.
    pub(super) async fn act(&mut self) -> bool {
        let now = self.reads.clock.now();
        let findings = leftover_cordon::found(&self.walk.view(now), &self.needs(now));
        let mut moved = Vec::new();
        let mut writes = Vec::new();
        for finding in findings {
            match finding {
                Finding::Settle { lease, event } => {
                    if self.walk.move_lease(&lease, event, now) {
                        self.tick.done.push(format!("lease {lease} is closed: {event:?}"));
                        moved.push(lease);
                    }
                }
                Finding::Adopt(record) => {
                    let (lease, node) = (&record.lease.id, &record.lease.node);
                    self.tick.done.push(format!("lease {lease} on {node} was not on disk; taken over"));
                    moved.push(lease.clone());
                    self.walk.leases.push(*record);
                }
                Finding::Foreign { text, .. } => self.note(text),
                Finding::Release { .. } | Finding::Mark { .. } | Finding::ClearMark { .. } => writes.push(finding),
            }
        }
        if !moved.is_empty() {
            self.save().await;
        }
        let mut acted = !moved.is_empty();
        let began = self.reads.clock.now();
        for finding in writes {
            // Where one is not answered, the others of this sweep would wait as long.
            if !self.has_time(began) {
                break;
            }
            acted |= self.write(&finding).await;
        }
        acted
    }

    pub(super) fn has_time(&self, since: Moment) -> bool {
        self.reads.clock.now().since(since) < LONGEST
    }

    /// Leases of live runs are left to them until the grace after their expiry is over too.
    fn needs(&self, now: Moment) -> Needs {
        let left = |record: &&LeaseRecord| {
            let past = record.lease.past(now, self.walk.uptime.as_ref());
            self.live.needs(record) && past.is_none_or(|past| past < GRACE)
        };
        let in_use = self.walk.leases.iter().filter(left).map(|record| record.lease.id.clone()).collect();
        Needs { in_use, ..Needs::default() }
    }

    async fn write(&mut self, finding: &Finding) -> bool {
        let now = self.reads.clock.now();
        let action = {
            let view = self.walk.view(now);
            view.nodes().ok().and_then(|nodes| leftover_cordon::action(&view, nodes, finding))
        };
        let Some(action) = action else { return false };
        let (Finding::Release { lease, .. } | Finding::Mark { lease, .. } | Finding::ClearMark { lease, .. }) = finding else {
            return false;
        };
        let holder = self.walk.leases.iter().find(|record| record.lease.id == *lease).map(|record| &record.lease.holder);
        if holder != Some(&self.walk.spec.holder) && !self.coordinate().await {
            return false;
        }
        // Who came first has changed the node: it is looked at again at once, since the lease is over.
        self.send(action).await.map_or_else(|error| error.kind == ErrorKind::Conflict, |()| true)
    }

    /// Another's lease is settled under the coordination Lease only, so that two Anankes do not settle it at once.
    async fn coordinate(&mut self) -> bool {
        for _ in 0..3 {
            let now = self.reads.clock.now();
            let view = self.walk.view(now);
            let take = match coordination::seen(&view) {
                Some(standing) if standing.may_cordon() => return true,
                Some(Standing::Held { by }) => {
                    let text = format!("leases of other Anankes are left while the Ananke on {by} holds the coordination Lease");
                    self.note(text);
                    return false;
                }
                None => return false,
                Some(_) => coordination::take(view.coordination().ok().flatten(), &view.spec.holder, now),
            };
            let why = "to settle leases of other Anankes".to_owned();
            let result = self.send(Action { order: Order::Cluster(take), why }).await;
            if result.is_err_and(|error| error.kind != ErrorKind::Conflict) {
                return false;
            }
            self.coordinated = true;
            self.take(&[Part::Coordination]).await;
        }
        false
    }

    pub(super) async fn give_back_coordination(&mut self) {
        if !std::mem::take(&mut self.coordinated) {
            return;
        }
        let now = self.reads.clock.now();
        let view = self.walk.view(now);
        let ours = matches!(coordination::seen(&view), Some(Standing::Ours { .. }));
        if let (true, Ok(Some(found))) = (ours, view.coordination()) {
            let order = Order::Cluster(ClusterOrder::Uncoordinate { seen: found.version.clone() });
            // It ends by itself where this fails.
            self.send(Action { order, why: "the sweep is over".to_owned() }).await.ok();
        }
    }

    /// Journal first; but a lease must not go on for want of a line, and all that a keeper sends is for ending leases: the
    /// coordination Lease, too, without which another's may not be touched.
    pub(super) async fn send(&mut self, action: Action) -> Result<(), PortError> {
        let now = self.reads.clock.now();
        let Action { order, why } = action;
        *self.seq = self.seq.saturating_add(1);
        let seq = *self.seq;
        self.append(seq, What::Acting { order: order.clone(), why: why.clone() }, now).await.ok();
        let index = self.walk.record_sent(&order, &why, now);
        let permit = Permit { run: self.walk.run.clone(), seq };
        let result = match &order {
            Order::Cluster(cluster) => {
                let late = self.reads.clock.sleep_until(now.plus(CALL_DEADLINE));
                match select(self.hands.cluster.perform(cluster, &permit), late).await {
                    Either::Left((result, _)) => result,
                    Either::Right(((), _)) => {
                        Err(PortError::new(ErrorKind::Transient, order.verb(), order.subject(), "no answer in time"))
                    }
                }
            }
            Order::Host { .. } | Order::Unseal | Order::Wake { .. } => Err(PortError::new(
                ErrorKind::Invalid,
                order.verb(),
                order.subject(),
                "a keeper sends orders to the cluster only",
            )),
        };
        let now = self.reads.clock.now();
        if self.walk.answered(index, &order, result.as_ref().err(), now) {
            self.save().await;
        }
        *self.seq = self.seq.saturating_add(1);
        let answer = What::Acted { order_seq: seq, error: result.as_ref().err().cloned() };
        self.append(*self.seq, answer, now).await.ok();
        match &result {
            Ok(()) if order.ends_a_lease() => self.tick.done.push(format!("{order}: {why}")),
            Ok(()) => {}
            Err(error) => self.failed(error.to_string()),
        }
        result
    }

    async fn append(&mut self, seq: u64, what: What, at: Moment) -> Result<(), PortError> {
        let entry = Entry { run: self.walk.run.clone(), seq, at, what };
        let written = self.hands.state.append(&entry).await;
        if let Err(error) = &written {
            let text = format!("the journal cannot be written: {error}");
            self.failed(text);
        }
        written
    }

    /// A run may have written meanwhile: what it added stays.
    pub(super) async fn save(&mut self) {
        prune(&mut self.walk.leases, self.tick.at);
        let disk = self.reads.state.leases().await.unwrap_or_default();
        let records = merged(self.walk.leases.clone(), disk);
        if let Err(error) = self.hands.state.save_leases(&records).await {
            let text = format!("the leases cannot be written: {error}");
            self.failed(text);
        }
        self.walk.leases = records;
    }

    fn failed(&mut self, text: String) {
        if !self.tick.failed.contains(&text) {
            self.tick.failed.push(text);
        }
    }

    fn note(&mut self, text: String) {
        if !self.tick.notes.contains(&text) {
            self.tick.notes.push(text);
        }
    }

    pub(super) fn finish(self) -> Tick {
        let Self { walk, mut tick, reads, .. } = self;
        let (now, up) = (reads.clock.now(), walk.uptime.as_ref());
        tick.overdue.extend(overdue(&walk.leases, now, up).map(|(lease, past)| {
            // The same words at every sweep: who logs them tells them once.
            let since = if past == Duration::MAX { "its age cannot be".to_owned() } else { format!("since {}", lease.expires) };
            format!(
                "lease {} on {} is overdue ({since}): {}; a person removes it with `{}`",
                lease.id, lease.node, lease.reason, lease.remove_with
            )
        }));
        let manual = walk.leases.iter().filter(|record| record.state == LeaseState::Manual);
        tick.manual.extend(manual.map(|record| record.lease.sentence()));
        let out = || walk.leases.iter().filter(|record| record.state.outstanding());
        let due = out().filter_map(|record| match record.lease.age(now, up) {
            Age::Known(age) => record.lease.window().checked_sub(age),
            Age::Impossible => None,
        });
        // What is expired and not settled waits for its node to be watched, for its grace, or for the API.
        let open = out().any(|record| record.lease.expired(now, up)) || !tick.failed.is_empty() || !tick.notes.is_empty();
        let ends = due.chain(others_end(walk, now)).min().map(|left| now.plus(left.saturating_add(Duration::from_secs(1))));
        let soonest = if open { now.plus(SOON) } else { now.plus(EVERY) };
        tick.next = ends.map_or(soonest, |ends| ends.min(soonest));
        tick
    }
}

/// When the leases of other Anankes that stand on nodes are to be taken over.
fn others_end(walk: &Walk, now: Moment) -> impl Iterator<Item = Duration> {
    let nodes = walk.obs.nodes.last().map(|nodes| nodes.as_slice()).unwrap_or_default();
    let known = |lease: &Lease| walk.leases.iter().any(|record| record.lease.id == lease.id);
    let notes = nodes.iter().filter_map(|node| node.lease_note.as_deref().and_then(read_note));
    notes.filter(move |lease| !known(lease)).filter_map(move |lease| match lease.age(now, walk.uptime.as_ref()) {
        Age::Known(age) => lease.window().saturating_add(GRACE).checked_sub(age),
        Age::Impossible => None,
    })
}
