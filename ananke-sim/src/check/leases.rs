//! A cordon has a lease on disk before it is sent, is placed only by whoever holds the coordination Lease, ends in its window
//! or asks for a person, and is never one of many.

use std::collections::BTreeSet;
use std::time::Duration;

use ananke_core::lease::Purpose;
use ananke_core::name::{Moment, NodeName, Subject};
use ananke_core::order::{ClusterOrder, Order};
use ananke_core::verdict::Reason;

use super::{Ended, Look, Record, Sent, What};

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
    for event in &record.events {
        match &event.what {
            What::Sent(sent) => found.extend(placed(sent)),
            What::Looked(look) => {
                reachable = if look.api { reachable.or(look.wall) } else { None };
                let late = late(look, reachable).into_iter().filter(|node| overdue.insert(node.clone()));
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
fn late(look: &Look, reachable: Option<Moment>) -> Vec<NodeName> {
    let (Some(now), Some(since)) = (look.wall, reachable) else { return Vec::new() };
    let over = |expires: Moment| now.since(expires.max(since)) > GRACE;
    let late = look.cordons.iter().filter(|(_, (expires, marked))| !marked && expires.is_some_and(over));
    late.map(|(node, _)| node.clone()).collect()
}

/// A cordon stays only where a mark says why.
fn left(ended: &Ended) -> Vec<String> {
    let report = &ended.report;
    let marked = |node: &NodeName| {
        report
            .manual
            .iter()
            .any(|action| action.reason == Some(Reason::ManualActionMarked) && action.subject == Subject::Node(node.clone()))
    };
    let through = report.got_through();
    report
        .cordons
        .iter()
        .filter(|node| through && !marked(node))
        .map(|node| format!("a cordon of Ananke is left on {node}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use std::collections::BTreeMap;

    use super::super::testing::{cordon, ended, node, record, sent};
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
    }

    #[test]
    fn no_cordon_is_left_without_a_mark() {
        let mut end = ended(Outcome::Manual);
        end.report.cordons = vec![node(7)];
        assert_eq!(check(&record(end.clone())), ["a cordon of Ananke is left on titan-07"]);
        end.report.outcome = Outcome::Refused;
        assert_eq!(check(&record(end)), Vec::<String>::new(), "it is still under way");
    }
}
