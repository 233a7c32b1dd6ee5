//! When a lease ends, and who sweeps it: whoever looks, from what stands on disk and on the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Lease, LeaseEvent, LeaseRecord, LeaseState, Purpose, SCHEMA, read_note, remove_with, taint_lease};
use crate::name::{LeaseId, Moment, NodeName, Uid};
use crate::observation::NodeState;
use crate::port::clean;
use crate::port::clock::Uptime;

/// What a sweep finds to be done about one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Only the record moves: the world already is as it should be.
    Settle { lease: LeaseId, event: LeaseEvent },
    /// What stands of the taint and the annotation is to be taken from the node.
    Release { node: NodeName, lease: LeaseId },
    /// It needs a person: the window passed and the node is not proved, or the repair was given up.
    Mark { node: NodeName, lease: LeaseId, sentence: String },
    /// The mark is left over from a lease that a person ended.
    ClearMark { node: NodeName, lease: LeaseId },
    /// The node carries a lease of this cluster that the disk does not know: it is taken over as it stands.
    Adopt(Box<LeaseRecord>),
    /// Another cluster's, or nothing that can be read: never touched, and reported.
    Foreign { node: NodeName, text: String },
}

/// What the sweep must know beside leases and nodes.
#[derive(Debug, Clone, Copy)]
pub struct Sweep<'a> {
    pub now: Moment,
    /// This machine's own clock: the age of a lease of this boot goes by it.
    pub uptime: Option<&'a Uptime>,
    /// Nothing is done while it is not known which cluster this is.
    pub cluster: Option<&'a Uid>,
    /// Host name of this Ananke: another's lease is left to it until it expired, and [`GRACE`] more.
    pub holder: &'a str,
    /// When the nodes were asked for: a lease that moved after that is not judged by them.
    pub asked: Moment,
    /// Leases whose run is alive and still needs them.
    pub in_use: &'a BTreeSet<LeaseId>,
    /// Leases that their own run gives back, whatever became of the node.
    pub done_with: &'a BTreeSet<LeaseId>,
    /// Leases whose repair was given up.
    pub given_up: &'a BTreeSet<LeaseId>,
    /// Nodes that are proved: their kubelet is alive in the boot that the host is in.
    pub proved: &'a BTreeSet<NodeName>,
    /// Nodes that were watched for long enough to be proved, and are not.
    pub unproved: &'a BTreeSet<NodeName>,
    /// A shutdown is about to stop the servers: no cordon may outlive it, whoever placed it.
    pub closing: bool,
}

/// How long another Ananke has after the expiry to settle its own lease.
pub const GRACE: Duration = Duration::from_secs(30);
/// Nodes are asked for this often at least: a record that moved later than that after the asking carries a wrong time.
const JUST_MOVED: Duration = Duration::from_secs(120);
/// How long a settled lease is kept: an etcd that is restored from a backup may bring its taint back.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Holder of a lease of which only the taint was found.
const UNKNOWN_HOLDER: &str = "unknown";

/// Judges every lease against the nodes as they are. A node gets one write at most: the next one is judged by what the
/// first one made of it.
pub fn sweep(records: &[LeaseRecord], nodes: &[NodeState], with: &Sweep<'_>) -> Vec<Finding> {
    let Some(cluster) = with.cluster else { return Vec::new() };
    let by_name: BTreeMap<&NodeName, &NodeState> = nodes.iter().map(|node| (&node.name, node)).collect();
    let ids: BTreeSet<&str> = records.iter().map(|record| record.lease.id.as_str()).collect();
    let node_of = |record: &LeaseRecord| by_name.get(&record.lease.node).copied();
    let known = records.iter().filter_map(|record| known(record, node_of(record), cluster, with));
    let unknown = nodes.iter().filter_map(|node| unknown(node, &ids, cluster, with));
    let mut written: BTreeSet<NodeName> = BTreeSet::new();
    let mut findings: Vec<Finding> = known.chain(unknown).collect();
    findings.retain(|finding| match finding {
        Finding::Release { node, .. } | Finding::Mark { node, .. } | Finding::ClearMark { node, .. } => {
            written.insert(node.clone())
        }
        Finding::Settle { .. } | Finding::Adopt(_) | Finding::Foreign { .. } => true,
    });
    findings
}

/// Leases whose window is over and that nobody could settle yet.
pub fn overdue<'a>(
    records: &'a [LeaseRecord],
    now: Moment,
    uptime: Option<&'a Uptime>,
) -> impl Iterator<Item = (&'a Lease, Duration)> {
    let outstanding = records.iter().filter(|record| record.state.outstanding()).map(|record| &record.lease);
    outstanding.filter_map(move |lease| lease.past(now, uptime).filter(|past| *past >= GRACE).map(|past| (lease, past)))
}

/// Forgets leases that were settled long ago.
pub fn prune(records: &mut Vec<LeaseRecord>, now: Moment) {
    records.retain(|record| match record.state {
        LeaseState::Intended | LeaseState::Held | LeaseState::Manual => true,
        LeaseState::Released | LeaseState::TakenAway => now.since(record.since) < KEPT,
    });
}

fn known(record: &LeaseRecord, node: Option<&NodeState>, cluster: &Uid, with: &Sweep<'_>) -> Option<Finding> {
    let lease = &record.lease;
    let just_moved = record.since >= with.asked && record.since.since(with.asked) < JUST_MOVED;
    // A state directory that was carried to another cluster: what it says of its own cluster stays true.
    if lease.cluster_uid != *cluster || just_moved {
        return None;
    }
    let standing = node.filter(|node| lease.stands_on(node));
    match (record.state, standing) {
        (LeaseState::Intended | LeaseState::Held, None) => gone(record, with),
        (LeaseState::Intended | LeaseState::Held, Some(node)) => stands(record, node, with),
        (LeaseState::Manual, None) => Some(Finding::Settle { lease: lease.id.clone(), event: LeaseEvent::FoundGone }),
        // The taint stays until a person lifts it; without its mark it would block without a word.
        (LeaseState::Manual, Some(node)) => node.manual_note.is_none().then(|| mark(lease)),
        (LeaseState::Released | LeaseState::TakenAway, _) => leftover(record, node?, with),
    }
}

/// An outstanding lease without its taint.
fn gone(record: &LeaseRecord, with: &Sweep<'_>) -> Option<Finding> {
    let lease = &record.lease;
    let event = match record.state {
        // It may have been refused, or may still be on its way: it is closed once nobody waits for it, and taken back
        // should it turn up.
        LeaseState::Intended if with.in_use.contains(&lease.id) && !lease.expired(with.now, with.uptime) => return None,
        LeaseState::Intended => LeaseEvent::NeverPlaced,
        LeaseState::Held | LeaseState::Released | LeaseState::TakenAway | LeaseState::Manual => LeaseEvent::FoundGone,
    };
    Some(Finding::Settle { lease: lease.id.clone(), event })
}

/// An outstanding lease whose taint stands.
fn stands(record: &LeaseRecord, node: &NodeState, with: &Sweep<'_>) -> Option<Finding> {
    let lease = &record.lease;
    let past = lease.past(with.now, with.uptime);
    let in_use = with.in_use.contains(&lease.id) && past.is_none();
    if record.state == LeaseState::Intended && in_use {
        // The answer got lost; the node tells.
        return Some(Finding::Settle { lease: lease.id.clone(), event: LeaseEvent::Placed });
    }
    let release = || Finding::Release { node: node.name.clone(), lease: lease.id.clone() };
    if with.closing || with.done_with.contains(&lease.id) {
        return Some(release());
    }
    if with.given_up.contains(&lease.id) {
        return Some(mark(lease));
    }
    if in_use || lease.holder != with.holder && past.is_none_or(|past| past < GRACE) {
        return None;
    }
    match past {
        // Nobody repairs under it any more.
        None => Some(release()),
        // That a node was drained says nothing of the node: what is wrong with it has its own repair.
        Some(_) if lease.purpose == Purpose::Drain || with.proved.contains(&node.name) => Some(release()),
        Some(_) => with.unproved.contains(&node.name).then(|| mark(lease)),
    }
}

/// What a settled lease left on the node, or what came back: a taint without its lease, an annotation without its taint, a
/// mark whose taint a person lifted. It is looked for by ID, whatever UID the node has.
fn leftover(record: &LeaseRecord, node: &NodeState, with: &Sweep<'_>) -> Option<Finding> {
    let lease = &record.lease;
    let tainted = taint_lease(node) == Some(lease.id.as_str());
    if tainted && with.in_use.contains(&lease.id) && record.state == LeaseState::Released {
        // A refusal that was none: the run that still wants the cordon has it.
        return None;
    }
    let noted = note(node).is_some_and(|note| note.id == lease.id.as_str() && note.cluster_uid == lease.cluster_uid.as_str());
    if tainted || noted {
        return Some(Finding::Release { node: node.name.clone(), lease: lease.id.clone() });
    }
    // A later lease of the node may say the same: while one stands, the mark is its own.
    let marked = taint_lease(node).is_none() && node.manual_note.as_deref() == Some(lease.sentence().as_str());
    marked.then(|| Finding::ClearMark { node: node.name.clone(), lease: lease.id.clone() })
}

/// What a node carries of Ananke that no record knows.
fn unknown(node: &NodeState, known: &BTreeSet<&str>, cluster: &Uid, with: &Sweep<'_>) -> Option<Finding> {
    let note = note(node);
    let id = taint_lease(node).or(note.as_ref().map(|note| note.id.as_str())).filter(|id| !known.contains(id))?;
    let foreign = |text: String| Some(Finding::Foreign { node: node.name.clone(), text });
    if let Some(note) = note.as_ref().filter(|note| note.id == id) {
        if note.cluster_uid != cluster.as_str() {
            let text = format!("{} carries the cordon {} of another cluster; left as it is", node.name, clean(&note.id, 63));
            return foreign(text);
        }
        if note.schema != SCHEMA {
            let text =
                format!("{} carries a cordon under a lease of schema {}, not {SCHEMA}; left as it is", node.name, note.schema);
            return foreign(text);
        }
    }
    let whole = node.lease_note.as_deref().and_then(read_note).filter(|lease| lease.id.as_str() == id);
    match (whole, taint_lease(node)) {
        (Some(lease), None) => adopt(lease, node, with),
        (Some(lease), Some(_)) if lease.node_uid == node.uid && lease.node == node.name => adopt(lease, node, with),
        (Some(_) | None, Some(taint)) => match LeaseId::parse(taint) {
            Ok(id) => Some(Finding::Adopt(Box::new(lost(id, node, cluster, with.now)))),
            Err(_) => foreign(format!(
                "{} carries the taint of Ananke with {:?}, which is no lease; a person removes it with `{}`",
                node.name,
                clean(taint, 63),
                remove_with(&node.name)
            )),
        },
        (None, None) => None,
    }
}

fn adopt(lease: Lease, node: &NodeState, with: &Sweep<'_>) -> Option<Finding> {
    let past = lease.past(with.now, with.uptime);
    // Another Ananke knows of its own leases: they are taken over when it should have settled them.
    if !with.closing && lease.holder != with.holder && past.is_none_or(|past| past < GRACE) {
        return None;
    }
    let state = match (taint_lease(node), &node.manual_note) {
        (None, _) => LeaseState::TakenAway,
        (Some(_), Some(_)) => LeaseState::Manual,
        (Some(_), None) => LeaseState::Held,
    };
    let since = lease.acquired;
    Some(Finding::Adopt(Box::new(LeaseRecord { lease, state, since })))
}

/// A taint whose lease is lost on both sides: nobody knows whose it is or how old, so that its time is over.
fn lost(id: LeaseId, node: &NodeState, cluster: &Uid, now: Moment) -> LeaseRecord {
    let lease = Lease {
        schema: SCHEMA,
        id,
        holder: UNKNOWN_HOLDER.to_owned(),
        node: node.name.clone(),
        node_uid: node.uid.clone(),
        cluster_uid: cluster.clone(),
        purpose: Purpose::Unknown,
        reason: "it carries a cordon of Ananke whose lease is lost".to_owned(),
        acquired: now,
        expires: now,
        clock: None,
        remove_with: remove_with(&node.name),
    };
    LeaseRecord { lease, state: LeaseState::Held, since: now }
}

fn mark(lease: &Lease) -> Finding {
    Finding::Mark { node: lease.node.clone(), lease: lease.id.clone(), sentence: lease.sentence() }
}

/// An annotation of any schema: enough to know whose it is.
#[derive(serde::Deserialize)]
struct Note {
    id: String,
    #[serde(default)]
    cluster_uid: String,
    #[serde(default)]
    schema: u32,
}

fn note(node: &NodeState) -> Option<Note> {
    node.lease_note.as_deref().and_then(|note| serde_json::from_str(note).ok())
}

#[cfg(test)]
mod tests;
