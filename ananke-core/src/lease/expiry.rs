//! When a lease ends, and who sweeps it: whoever looks, from what stands on disk and on the nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{ANNOTATION, LeaseEvent, LeaseRecord, LeaseState, read_note, taint_lease};
use crate::name::{LeaseId, Moment, NodeName, Subject, Uid};
use crate::observation::NodeState;

/// What a sweep finds to be done about one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Only the record moves: the world already is as it should be.
    Settle { lease: LeaseId, event: LeaseEvent },
    /// The taint and the annotation are to be taken from the node.
    Release { node: NodeName, lease: LeaseId },
    /// The window passed and the node is not proved: it needs a person.
    Mark { node: NodeName, lease: LeaseId, sentence: String },
    /// The node carries a lease of this cluster that the disk does not know: it is taken over as it stands.
    Adopt(Box<LeaseRecord>),
}

/// What the sweep must know beside leases and nodes.
#[derive(Debug, Clone, Copy)]
pub struct Sweep<'a> {
    pub now: Moment,
    pub cluster: Option<&'a Uid>,
    /// Host name of this Ananke: another's lease is left to it until it expired, and [`GRACE`] more.
    pub holder: &'a str,
    /// When the nodes were asked for: a lease that moved after that is not judged by them.
    pub asked: Moment,
    /// Leases whose run is alive and still needs them.
    pub in_use: &'a BTreeSet<LeaseId>,
    /// Leases that their own run gives back now, whatever became of the node.
    pub done_with: &'a BTreeSet<LeaseId>,
    /// Nodes that are proved: Ready, kubelet alive, boot ID equal.
    pub proved: &'a BTreeSet<NodeName>,
    /// Nodes that will not be proved without a person.
    pub given_up: &'a BTreeSet<NodeName>,
}

/// How long another Ananke has after the expiry to settle its own lease.
pub const GRACE: Duration = Duration::from_secs(300);

/// Judges every lease against the nodes as they are.
pub fn sweep(records: &[LeaseRecord], nodes: &[NodeState], with: &Sweep<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = records.iter().filter_map(|record| one(record, nodes, with)).collect();
    for node in nodes {
        let known = |id: &str| records.iter().any(|record| record.lease.id.as_str() == id);
        let Some(id) = taint_lease(node).filter(|id| !known(id)) else { continue };
        let Some(lease) = node.lease_note.as_deref().and_then(read_note) else { continue };
        let ours = with.cluster == Some(&lease.cluster_uid) && lease.node_uid == node.uid && lease.id.as_str() == id;
        if ours {
            let since = lease.acquired;
            findings.push(Finding::Adopt(Box::new(LeaseRecord { lease, state: LeaseState::Held, since })));
        }
    }
    findings
}

fn one(record: &LeaseRecord, nodes: &[NodeState], with: &Sweep<'_>) -> Option<Finding> {
    let lease = &record.lease;
    if record.since >= with.asked || with.in_use.contains(&lease.id) && !record.state.outstanding() {
        return None;
    }
    let foreign = lease.holder != with.holder && with.now < lease.expires.plus(GRACE);
    let standing = nodes.iter().find(|node| lease.stands_on(node));
    match (record.state, standing) {
        (LeaseState::Intended | LeaseState::Held, None) => {
            if with.in_use.contains(&lease.id) && record.state == LeaseState::Intended {
                return None;
            }
            // An intended lease may have been refused, or may still be on its way: it is closed either way, and taken
            // back should it turn up.
            let event = if record.state == LeaseState::Intended { LeaseEvent::NeverPlaced } else { LeaseEvent::FoundGone };
            Some(Finding::Settle { lease: lease.id.clone(), event })
        }
        (LeaseState::Released | LeaseState::TakenAway, Some(node)) => {
            Some(Finding::Release { node: node.name.clone(), lease: lease.id.clone() })
        }
        (LeaseState::Intended | LeaseState::Held, Some(node)) => {
            if with.in_use.contains(&lease.id) && !lease.expired(with.now) {
                return None;
            }
            if foreign {
                return None;
            }
            let proved = with.proved.contains(&node.name) || with.done_with.contains(&lease.id);
            if proved || !lease.expired(with.now) {
                return Some(Finding::Release { node: node.name.clone(), lease: lease.id.clone() });
            }
            with.given_up.contains(&node.name).then(|| Finding::Mark {
                node: node.name.clone(),
                lease: lease.id.clone(),
                sentence: sentence(record),
            })
        }
        (LeaseState::Manual, None) => Some(Finding::Settle { lease: lease.id.clone(), event: LeaseEvent::FoundGone }),
        (LeaseState::Manual, Some(_)) | (LeaseState::Released | LeaseState::TakenAway, None) => None,
    }
}

/// The one sentence that annotation, report and exit say alike.
fn sentence(record: &LeaseRecord) -> String {
    let lease = &record.lease;
    format!(
        "{} was cordoned by Ananke ({}) until {} and did not come back: repair it, then remove {ANNOTATION} with `{}`",
        Subject::Node(lease.node.clone()),
        lease.reason,
        lease.expires,
        lease.remove_with
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};

    struct Case {
        bench: Bench,
        proved: BTreeSet<NodeName>,
        given_up: BTreeSet<NodeName>,
        in_use: BTreeSet<LeaseId>,
    }

    impl Case {
        fn new() -> Self {
            let mut bench = Bench::new(1);
            bench.all_up();
            bench.cordon(1);
            Self { bench, proved: BTreeSet::new(), given_up: BTreeSet::new(), in_use: BTreeSet::new() }
        }

        fn check(&self, expected: &str) {
            let cluster = Uid::parse("cluster-1").unwrap();
            let with = Sweep {
                now: self.bench.now,
                holder: "titan-db",
                asked: self.bench.now.plus(Duration::from_secs(1)),
                done_with: &BTreeSet::new(),
                cluster: Some(&cluster),
                in_use: &self.in_use,
                proved: &self.proved,
                given_up: &self.given_up,
            };
            let nodes = self.bench.obs.nodes.last().unwrap();
            let found: Vec<String> = sweep(&self.bench.leases, nodes, &with)
                .iter()
                .map(|finding| match finding {
                    Finding::Settle { lease, event } => format!("settle {lease} {event:?}"),
                    Finding::Release { node, lease } => format!("release {node} {lease}"),
                    Finding::Mark { node, lease, .. } => format!("mark {node} {lease}"),
                    Finding::Adopt(record) => format!("adopt {}", record.lease.id),
                })
                .collect();
            assert_eq!(found.join("\n"), expected);
        }
    }

    #[test]
    fn an_orphan_is_released_and_one_in_use_is_left() {
        let mut case = Case::new();
        case.check("release n1 lease-1");
        case.in_use.insert(case.bench.leases[0].lease.id.clone());
        case.check("");
    }

    #[test]
    fn an_expired_lease_is_released_if_the_node_is_proved_and_marked_if_it_is_given_up() {
        let mut case = Case::new();
        case.bench.now = case.bench.now.plus(Duration::from_secs(3600));
        case.check("");
        case.given_up.insert(node(1));
        case.check("mark n1 lease-1");
        case.proved.insert(node(1));
        case.check("release n1 lease-1");
    }

    #[test]
    fn nodes_asked_for_before_a_lease_moved_say_nothing_of_it() {
        let mut case = Case::new();
        case.bench.change_node(1, |node| node.taints.clear());
        case.bench.leases[0].since = case.bench.now.plus(Duration::from_secs(2));
        case.check("");
    }

    #[test]
    fn another_anankes_lease_is_left_to_it_until_after_its_expiry() {
        let mut case = Case::new();
        case.bench.leases[0].lease.holder = "tethys".to_owned();
        case.proved.insert(node(1));
        case.check("");
        case.bench.now = case.bench.now.plus(Duration::from_secs(3600)).plus(GRACE);
        case.check("release n1 lease-1");
    }

    #[test]
    fn what_a_person_took_away_is_closed_and_what_comes_back_is_released_again() {
        let mut case = Case::new();
        case.bench.change_node(1, |node| node.taints.clear());
        case.check("settle lease-1 FoundGone");
        let mut case = Case::new();
        case.bench.leases[0].state = LeaseState::Released;
        case.check("release n1 lease-1");
    }

    #[test]
    fn another_node_under_the_same_name_is_not_ours() {
        let mut case = Case::new();
        case.bench.change_node(1, |node| node.uid = Uid::parse("recreated").unwrap());
        case.check("settle lease-1 FoundGone");
    }

    #[test]
    fn a_lease_that_the_disk_lost_is_adopted_from_the_node_unless_it_is_of_another_cluster() {
        let mut case = Case::new();
        case.bench.leases.clear();
        case.check("adopt lease-1");
        case.bench.change_node(1, |node| {
            let mut lease = read_note(node.lease_note.as_deref().unwrap()).unwrap();
            lease.cluster_uid = Uid::parse("elsewhere").unwrap();
            node.lease_note = Some(serde_json::to_string(&lease).unwrap().into());
        });
        case.check("");
    }
}
