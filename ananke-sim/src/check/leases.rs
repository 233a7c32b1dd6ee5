//! A cordon has a lease on disk before it is sent, is placed only by whoever holds the coordination Lease, ends in its window
//! or asks for a person, and is never one of many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ananke_core::lease::Purpose;
use ananke_core::name::{Moment, NodeName, Subject};
use ananke_core::order::{ClusterOrder, Order};
use ananke_core::report::ManualAction;
use ananke_core::verdict::{GateId, Reason};

use super::{Command, Ended, Look, Record, Sent, What};

/// As the worlds' spec has them.
const WINDOW: Duration = Duration::from_secs(3600);
const MOST: usize = 3;
/// Whoever is alive has settled a lease so long after its time: sweeps come every minute, a peer waits some minutes, and
/// Ananke may have been dead for a while.
const GRACE: Duration = Duration::from_secs(900);

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut found = Vec::new();
    let mut reachable: Option<Moment> = None;
    let mut overdue = BTreeSet::new();
    let mut seen: BTreeMap<NodeName, (Option<Moment>, Moment)> = BTreeMap::new();
    for event in &record.events {
        match &event.what {
            What::Sent(sent) => found.extend(placed(sent)),
            What::Looked(look) => {
                reachable = if look.api { reachable.or(look.wall) } else { None };
                first_seen(&mut seen, look);
                let late = late(look, reachable, &seen).into_iter().filter(|node| overdue.insert(node.clone()));
                found.extend(late.map(|node| format!("the cordon of Ananke on {node} outlived its lease, and nobody was asked")));
            }
            What::Ended(ended) if ended.quiet => found.extend(left(ended)),
            _ => {}
        }
    }
    found
}

fn placed(sent: &Sent) -> Vec<String> {
    let Order::Cluster(ClusterOrder::Cordon { node, lease, .. }) = &sent.order else { return Vec::new() };
    let scene = &sent.scene;
    let holds = scene.coordinator.as_deref() == Some(sent.by);
    let many = lease.purpose == Purpose::Repair && scene.cordons >= MOST;
    let broken = [
        (!scene.lease_on_disk, "before its lease was on disk".to_owned()),
        (!holds, "without the coordination Lease".to_owned()),
        (lease.expires.since(lease.acquired) > WINDOW, "for longer than its window".to_owned()),
        (many, format!("while {} nodes were cordoned", scene.cordons)),
    ];
    broken.into_iter().filter(|(broken, _)| *broken).map(|(_, how)| format!("{node} was cordoned {how}")).collect()
}

/// Nodes whose lease ended long ago, as did the last time at which nobody could reach them.
fn late(look: &Look, reachable: Option<Moment>, seen: &BTreeMap<NodeName, (Option<Moment>, Moment)>) -> Vec<NodeName> {
    let (Some(now), Some(since)) = (look.wall, reachable) else { return Vec::new() };
    let over = |node: &NodeName, expires: Moment| {
        let first = seen.get(node).map_or(now, |(_, first)| *first);
        // Whoever wrote another time had another clock.
        let by_the_clock = (first..=first.plus(WINDOW).plus(GRACE)).contains(&expires);
        let expires = if by_the_clock { expires } else { first.plus(WINDOW) };
        now.since(expires.max(since)) > GRACE
    };
    let late = look.cordons.iter().filter(|(node, (expires, marked))| !marked && expires.is_some_and(|at| over(node, at)));
    late.map(|(node, _)| node.clone()).collect()
}

/// Since when each cordon has been there, by the clock on the wall.
fn first_seen(seen: &mut BTreeMap<NodeName, (Option<Moment>, Moment)>, look: &Look) {
    seen.retain(|node, (expires, _)| look.cordons.get(node).is_some_and(|(of, _)| of == expires));
    for (node, (expires, _)) in &look.cordons {
        if let Some(now) = look.wall {
            seen.entry(node.clone()).or_insert((*expires, now));
        }
    }
}

/// A cordon stays only where a mark says why.
fn left(ended: &Ended) -> Vec<String> {
    let report = &ended.report;
    let marked = |node: &NodeName| {
        let lift = format!("ananke lease release {node}");
        let says =
            |action: &ManualAction| action.reason == Some(Reason::ManualActionMarked) || action.instruction.contains(&lift);
        report.manual.iter().any(|action| action.subject == Subject::Node(node.clone()) && says(action))
    };
    // A shutdown that could not reach the API any more says so, and the next start gives them back.
    let no_api = |action: &ManualAction| {
        let told = action.gate == GateId::CordonsReleased || action.instruction.contains("gives the cordons back");
        told || action.reason == Some(Reason::ApiNotAnswering)
    };
    let told = report.command == Command::Shutdown && report.manual.iter().any(no_api);
    // Another Ananke is at work on it, or has asked for a person.
    let holder = |node: &NodeName| ended.truth.holders.get(node).is_some_and(|holder| holder != ended.by);
    let of_another = |node: &NodeName| holder(node) || report.command == Command::Shutdown && ended.truth.marked.contains(node);
    let through = report.got_through();
    ended
        .truth
        .tainted
        .iter()
        .filter(|node| through && !told && !marked(node) && !of_another(node))
        .map(|node| format!("a cordon of Ananke is left on {node}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::testing::{BY, cordon, ended, node, record, sent};
    use super::*;

    #[test]
    fn a_cordon_is_placed_with_care() {
        type Change = fn(&mut Sent);
        let with = |change: Change| {
            let mut order = cordon(7);
            change(&mut order);
            check(&sent([order]))
        };
        assert_eq!(with(|_| {}), Vec::<String>::new());
        let broken: [(Change, &str); 3] = [
            (|it| it.scene.lease_on_disk = false, "titan-07 was cordoned before its lease was on disk"),
            (|it| it.scene.coordinator = Some("tethys".to_owned()), "titan-07 was cordoned without the coordination Lease"),
            (|it| it.scene.cordons = 3, "titan-07 was cordoned while 3 nodes were cordoned"),
        ];
        for (change, told) in broken {
            assert_eq!(with(change), [told]);
        }
    }

    #[test]
    fn a_cordon_ends_in_its_window_or_asks_for_a_person() {
        let at = |secs: u64| Moment::from_millis(0).plus(Duration::from_secs(secs));
        let look = |wall, api, marked| Look {
            wall: Some(at(wall)),
            api,
            cordons: BTreeMap::from([(node(7), (Some(at(3600)), marked))]),
            ..Look::default()
        };
        let with = |looks: &[Look]| {
            let mut record = Record::default();
            looks.iter().for_each(|look| record.note(0, What::Looked(look.clone())));
            check(&record)
        };
        assert_eq!(with(&[look(0, true, false), look(4500, true, false)]), Vec::<String>::new());
        let told = ["the cordon of Ananke on titan-07 outlived its lease, and nobody was asked"];
        assert_eq!(with(&[look(0, true, false), look(4501, true, false), look(4600, true, false)]), told);
        assert_eq!(with(&[look(0, true, false), look(4501, true, true)]), Vec::<String>::new(), "marked");
        assert_eq!(with(&[look(4000, false, false), look(4100, true, false), look(4501, true, false)]), Vec::<String>::new());
        let other = |wall| Look { wall: Some(at(wall)), ..look(0, true, false) };
        assert_eq!(with(&[other(9000), other(9000 + 4500)]), Vec::<String>::new(), "who wrote it has another clock");
        assert_eq!(with(&[other(9000), other(9000 + 4501)]), told, "and no more time than others");
    }

    #[test]
    fn no_cordon_is_left_without_a_mark() {
        let mut end = ended(Outcome::Manual);
        end.truth.tainted = vec![node(7)];
        let left = ["a cordon of Ananke is left on titan-07"];
        for (holder, expected) in [(None, left.as_slice()), (Some(BY), &left), (Some("tethys"), &[])] {
            end.truth.holders = holder.map(|holder| (node(7), holder.to_owned())).into_iter().collect();
            assert_eq!(check(&record(end.clone())), expected, "{holder:?}");
        }
        end.truth.holders.clear();
        end.report.outcome = Outcome::Refused;
        assert_eq!(check(&record(end)), Vec::<String>::new(), "it is still under way");
    }
}
