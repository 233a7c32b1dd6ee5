//! Every lease that the disk or a node knows of, joined.

use super::{CALL_DEADLINE, Listed, Listing};
use crate::engine::driver::Reads;
use crate::lease::{Lease, LeaseRecord, LeaseState, Purpose, read_note, remove_with, taint_lease};
use crate::name::{LeaseId, Moment};
use crate::observation::NodeState;
use crate::port::clock::Uptime;
use crate::port::{ErrorKind, PortError, clean};
use crate::spec::Spec;
use futures::future::{Either, select};

/// Every lease that the disk or a node knows of. Reads only: it works in a dry run, and, from the disk alone, while the
/// API is away.
pub async fn list(spec: &Spec, reads: Reads<'_>) -> Listing {
    let (now, uptime) = (reads.clock.now(), reads.clock.uptime());
    let mut notes = Vec::new();
    let records = reads.state.leases().await.unwrap_or_else(|error| {
        notes.push(format!("the leases on disk cannot be read: {error}"));
        Vec::new()
    });
    let nodes = match select(reads.cluster.nodes(), reads.clock.sleep_until(now.plus(CALL_DEADLINE))).await {
        Either::Left((nodes, _)) => nodes,
        Either::Right(((), _)) => Err(PortError::new(ErrorKind::Transient, "list nodes", "the API server", "no answer in time")),
    };
    let nodes = nodes.inspect_err(|error| notes.push(format!("from the disk alone: {error}"))).ok();
    let found = nodes.as_ref().map(|nodes| nodes.as_slice());
    let mut leases: Vec<Listed> = records.iter().map(|record| of_record(record, found, now, uptime.as_ref())).collect();
    for node in found.unwrap_or_default() {
        let known = |id: &str| records.iter().any(|record| record.lease.id.as_str() == id);
        if let Some(id) = taint_lease(node).filter(|id| !known(id)) {
            leases.push(of_node(node, id, now, uptime.as_ref()));
        }
    }
    for node in found.unwrap_or_default().iter().filter(|node| node.unschedulable && spec.nodes.contains_key(&node.name)) {
        notes.push(format!("{} is cordoned by someone else (spec.unschedulable)", node.name));
    }
    let settled =
        |lease: &Listed| matches!(lease.state, Some(LeaseState::Released | LeaseState::TakenAway)) && lease.on_node != Some(true);
    leases.sort_by(|a, b| settled(a).cmp(&settled(b)).then(b.acquired.cmp(&a.acquired)).then(a.node.cmp(&b.node)));
    Listing { leases, notes }
}

fn of_record(record: &LeaseRecord, nodes: Option<&[NodeState]>, now: Moment, uptime: Option<&Uptime>) -> Listed {
    let node = nodes.map(|nodes| nodes.iter().find(|node| node.name == record.lease.node));
    let on_node = node.map(|node| node.is_some_and(|node| taint_lease(node) == Some(record.lease.id.as_str())));
    let manual = node.flatten().and_then(|node| node.manual_note.as_deref()).map(|note| clean(note, 400));
    let manual = manual.filter(|_| on_node == Some(true) || record.state == LeaseState::Manual);
    Listed { state: Some(record.state), on_node, manual, ..listed(&record.lease, now, uptime) }
}

/// A cordon that only the node knows of, its lease as far as the annotation tells.
fn of_node(node: &NodeState, id: &str, now: Moment, uptime: Option<&Uptime>) -> Listed {
    let manual = node.manual_note.as_deref().map(|note| clean(note, 400));
    match node.lease_note.as_deref().and_then(read_note).filter(|lease| lease.id.as_str() == id) {
        Some(lease) => Listed { state: None, on_node: Some(true), manual, ..listed(&lease, now, uptime) },
        None => Listed {
            node: node.name.clone(),
            lease: LeaseId::parse(id).ok(),
            state: None,
            purpose: Purpose::Unknown,
            holder: "unknown".to_owned(),
            reason: "its lease is lost".to_owned(),
            acquired: None,
            expires: None,
            expired: true,
            on_node: Some(true),
            manual,
            remove_with: remove_with(&node.name),
        },
    }
}

fn listed(lease: &Lease, now: Moment, uptime: Option<&Uptime>) -> Listed {
    Listed {
        node: lease.node.clone(),
        lease: Some(lease.id.clone()),
        state: None,
        purpose: lease.purpose,
        holder: clean(&lease.holder, 253),
        reason: clean(&lease.reason, 200),
        acquired: Some(lease.acquired),
        expires: Some(lease.expires),
        expired: lease.expired(now, uptime),
        on_node: None,
        manual: None,
        remove_with: remove_with(&lease.node),
    }
}
