//! Brakes: what may be cordoned and restarted at all, whatever is wrong with it. One pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::name::NodeName;
use crate::verdict::Reason;

/// The cluster as far as a brake asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fleet {
    /// Servers of the config, and whether each is proved to work.
    pub servers: BTreeMap<NodeName, bool>,
    /// Servers that are left out on purpose: members of etcd of which nothing is known.
    pub ignored_servers: usize,
    /// All nodes of the config.
    pub nodes: usize,
    /// Nodes whose host runs and which have been silent or not Ready for too long.
    pub sick: BTreeSet<NodeName>,
    /// Nodes under a repair lease, whoever holds it.
    pub under_repair: BTreeSet<NodeName>,
    pub max_cordons: usize,
}

/// Why nothing is done to a node now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brake {
    /// Without this server etcd would lose its quorum.
    NoQuorum { others: usize, needed: usize },
    /// It would do so whatever the others do, for there are so few.
    NoSpare { servers: usize },
    /// What makes so many sick at once is not in the nodes.
    TooManySick { sick: usize, nodes: usize },
    /// As many repairs as are allowed are under way.
    TooManyCordons { allowed: usize },
}

/// Whether `node` may be cordoned for a repair, or, if it is, restarted.
pub fn check(fleet: &Fleet, node: &NodeName) -> Result<(), Brake> {
    if fleet.servers.contains_key(node) {
        let members = fleet.servers.len().saturating_add(fleet.ignored_servers);
        let needed = members / 2 + 1;
        let others = fleet.servers.iter().filter(|(name, works)| **works && *name != node).count();
        if members <= needed {
            return Err(Brake::NoSpare { servers: members });
        }
        if others < needed {
            return Err(Brake::NoQuorum { others, needed });
        }
    }
    let sick = fleet.sick.len();
    if sick > fleet.max_cordons || sick > 1 && sick.saturating_mul(3) > fleet.nodes {
        return Err(Brake::TooManySick { sick, nodes: fleet.nodes });
    }
    let others = fleet.under_repair.iter().filter(|name| *name != node).count();
    if others >= fleet.max_cordons {
        return Err(Brake::TooManyCordons { allowed: fleet.max_cordons });
    }
    Ok(())
}

impl Brake {
    pub fn reason(self) -> Reason {
        match self {
            Self::NoQuorum { .. } | Self::NoSpare { .. } => Reason::NoQuorum,
            Self::TooManySick { .. } => Reason::TooManySick,
            Self::TooManyCordons { .. } => Reason::CordonOutstanding,
        }
    }
}

impl Brake {
    /// What a person does about it first.
    pub fn advice(self) -> &'static str {
        match self {
            Self::NoQuorum { .. } => "bring the other servers up first",
            Self::NoSpare { .. } => "restart its unit yourself, once the API may be away for a minute",
            Self::TooManySick { .. } => "find what the sick nodes have in common: network, clock, container runtime, an update",
            Self::TooManyCordons { .. } => "see to the nodes under repair (`ananke lease list`)",
        }
    }
}

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQuorum { others, needed } => {
                write!(f, "it is a server, {others} others are proved to work and etcd needs {needed} without it")
            }
            Self::NoSpare { servers: 1 } => f.write_str("it is the only server, and the API would go with it"),
            Self::NoSpare { servers } => write!(f, "it is one of {servers} servers, of which etcd can spare none"),
            Self::TooManySick { sick, nodes } => {
                write!(f, "{sick} of {nodes} nodes are sick at once: the cause is hardly in the nodes")
            }
            Self::TooManyCordons { allowed } => write!(f, "{allowed} nodes are under repair, and no more are allowed at once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::node;

    fn nodes(range: impl IntoIterator<Item = usize>) -> BTreeSet<NodeName> {
        range.into_iter().map(node).collect()
    }

    fn fleet() -> Fleet {
        Fleet {
            servers: (1..=3).map(|n| (node(n), true)).collect(),
            ignored_servers: 0,
            nodes: 10,
            sick: nodes([5]),
            under_repair: nodes([]),
            max_cordons: 3,
        }
    }

    fn check_text(fleet: &Fleet, n: usize) -> String {
        check(fleet, &node(n)).map_or_else(|brake| brake.reason().to_string(), |()| "free".to_owned())
    }

    #[test]
    fn a_server_is_touched_only_if_a_quorum_survives_without_it() {
        let mut fleet = fleet();
        fleet.servers.insert(node(1), false);
        assert_eq!(check_text(&fleet, 1), "free");
        assert_eq!(check_text(&fleet, 2), "no-quorum", "with 1 gone already");
        assert_eq!(check_text(&fleet, 5), "free", "a worker is no member");
        fleet.ignored_servers = 1;
        assert_eq!(check_text(&fleet, 1), "no-quorum", "a fourth member of which nothing is known");
        let alone = Fleet { servers: BTreeMap::from([(node(1), true)]), ..fleet };
        assert_eq!(check_text(&alone, 1), "no-quorum", "the only server");
    }

    #[test]
    fn servers_too_few_to_spare_one_are_not_waited_for() {
        let brake = |servers: usize| {
            let fleet = Fleet { servers: (1..=servers).map(|n| (node(n), n > 1)).collect(), sick: nodes([1]), ..fleet() };
            check(&fleet, &node(1)).err()
        };
        assert_eq!(brake(1), Some(Brake::NoSpare { servers: 1 }));
        assert_eq!(brake(2), Some(Brake::NoSpare { servers: 2 }), "though the other is well");
        assert_eq!(brake(3), None);
    }

    #[test]
    fn many_sick_nodes_at_once_stop_everything() {
        let with = |sick: usize, all: usize| Fleet { sick: nodes(1..=sick), nodes: all, servers: BTreeMap::new(), ..fleet() };
        assert_eq!(check_text(&with(3, 9), 1), "free");
        assert_eq!(check_text(&with(4, 30), 1), "too-many-sick", "more than max_cordons");
        assert_eq!(check_text(&with(2, 5), 1), "too-many-sick", "more than a third");
        assert_eq!(check_text(&with(1, 2), 1), "free", "one alone is never many");
    }

    #[test]
    fn repairs_at_once_are_bounded_and_a_node_does_not_block_itself() {
        let mut fleet = Fleet { under_repair: nodes([6, 7, 8]), ..fleet() };
        assert_eq!(check_text(&fleet, 5), "cordon-outstanding");
        assert_eq!(check_text(&fleet, 6), "free");
        fleet.max_cordons = 0;
        assert_eq!(check_text(&fleet, 6), "too-many-sick", "no cordons allowed at all");
    }

    #[test]
    fn each_brake_says_what_holds_and_what_to_do_first() {
        for (brake, text, advice) in [
            (
                Brake::NoQuorum { others: 1, needed: 2 },
                "it is a server, 1 others are proved to work and etcd needs 2 without it",
                "bring the other servers up first",
            ),
            (
                Brake::NoSpare { servers: 1 },
                "it is the only server, and the API would go with it",
                "restart its unit yourself, once the API may be away for a minute",
            ),
            (
                Brake::NoSpare { servers: 2 },
                "it is one of 2 servers, of which etcd can spare none",
                "restart its unit yourself, once the API may be away for a minute",
            ),
            (
                Brake::TooManySick { sick: 4, nodes: 10 },
                "4 of 10 nodes are sick at once: the cause is hardly in the nodes",
                "find what the sick nodes have in common: network, clock, container runtime, an update",
            ),
            (
                Brake::TooManyCordons { allowed: 3 },
                "3 nodes are under repair, and no more are allowed at once",
                "see to the nodes under repair (`ananke lease list`)",
            ),
        ] {
            assert_eq!((brake.to_string().as_str(), brake.advice()), (text, advice));
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_done_a_quorum_and_the_bound_survive(
            works in proptest::collection::vec(proptest::bool::ANY, 0..7),
            ignored in 0_usize..3,
            sick in proptest::collection::btree_set(1_usize..20, 0..8),
            max in 0_usize..5,
        ) {
            let mut fleet = Fleet {
                servers: works.iter().enumerate().map(|(n, works)| (node(n + 1), *works)).collect(),
                ignored_servers: ignored,
                nodes: 20,
                sick: nodes(sick.clone()),
                under_repair: BTreeSet::new(),
                max_cordons: max,
            };
            // Every node that may be touched is, and breaks.
            for n in 1..=20 {
                if check(&fleet, &node(n)).is_ok() {
                    fleet.under_repair.insert(node(n));
                    if let Some(works) = fleet.servers.get_mut(&node(n)) {
                        *works = false;
                        let left = fleet.servers.values().filter(|works| **works).count();
                        proptest::prop_assert!(left > (fleet.servers.len() + ignored) / 2);
                    }
                }
            }
            proptest::prop_assert!(fleet.under_repair.len() <= max);
            proptest::prop_assert!(fleet.under_repair.is_empty() || sick.len() <= max);
        }
    }
}
