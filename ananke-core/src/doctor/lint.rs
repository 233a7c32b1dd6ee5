//! Settings that make an outage worse: one file a lint.

mod always_pull;
mod clock_not_synced;
mod ingress_unchecked;
mod moving_mount;
mod node_dns_in_cluster;
mod orchestrator_inside;
mod single_replica;
mod unknown_node;
mod webhook_fail_closed;

use std::fmt;

use serde::Serialize;

use super::map::ClusterMap;
use crate::spec::Spec;

/// Names that leave the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lint {
    WebhookFailClosed,
    AlwaysPull,
    NodeDnsInCluster,
    SingleReplica,
    ClockNotSynced,
    MovingMount,
    UnknownNode,
    IngressUnchecked,
    OrchestratorInside,
}

impl Lint {
    /// The worst first.
    pub const ALL: [Self; 9] = [
        Self::WebhookFailClosed,
        Self::NodeDnsInCluster,
        Self::OrchestratorInside,
        Self::AlwaysPull,
        Self::SingleReplica,
        Self::ClockNotSynced,
        Self::MovingMount,
        Self::UnknownNode,
        Self::IngressUnchecked,
    ];

    pub const fn id(self) -> &'static str {
        match self {
            Self::WebhookFailClosed => "webhook-fail-closed",
            Self::AlwaysPull => "always-pull",
            Self::NodeDnsInCluster => "node-dns-in-cluster",
            Self::SingleReplica => "single-replica",
            Self::ClockNotSynced => "clock-not-synced",
            Self::MovingMount => "moving-mount",
            Self::UnknownNode => "unknown-node",
            Self::IngressUnchecked => "ingress-unchecked",
            Self::OrchestratorInside => "orchestrator-inside",
        }
    }

    fn look(self) -> Look {
        match self {
            Self::WebhookFailClosed => Look::Map(webhook_fail_closed::look),
            Self::AlwaysPull => Look::Map(always_pull::look),
            Self::NodeDnsInCluster => Look::Hosts(node_dns_in_cluster::look),
            Self::SingleReplica => Look::Map(single_replica::look),
            Self::ClockNotSynced => Look::Hosts(clock_not_synced::look),
            Self::MovingMount => Look::Hosts(moving_mount::look),
            Self::UnknownNode => Look::Config(unknown_node::look),
            Self::IngressUnchecked => Look::Config(ingress_unchecked::look),
            Self::OrchestratorInside => Look::Config(orchestrator_inside::look),
        }
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

/// What a lint needs to look at.
enum Look {
    Map(fn(&ClusterMap) -> Vec<Finding>),
    /// The map, with what its hosts said.
    Hosts(fn(&ClusterMap) -> Vec<Finding>),
    Config(fn(&ClusterMap, &Spec) -> Vec<Finding>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub lint: Lint,
    /// What it is about: an object, a node, a host name.
    pub subject: String,
    pub what: String,
    pub to_do: String,
}

impl Finding {
    fn new(lint: Lint, subject: impl ToString, what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { lint, subject: subject.to_string(), what: what.into(), to_do: to_do.into() }
    }
}

/// What was found, and which lints lacked what to look at.
pub fn lint(map: &ClusterMap, spec: Option<&Spec>) -> (Vec<Finding>, Vec<String>) {
    let (mut findings, mut skipped) = (Vec::new(), Vec::new());
    for lint in Lint::ALL {
        match (lint.look(), spec) {
            (Look::Map(look), _) => findings.extend(look(map)),
            (Look::Hosts(look), _) if !map.hosts.is_empty() => findings.extend(look(map)),
            (Look::Hosts(_), _) => skipped.push(format!("{lint}: no host was asked")),
            (Look::Config(look), Some(spec)) => findings.extend(look(map, spec)),
            (Look::Config(_), None) => skipped.push(format!("{lint}: no config was given")),
        }
    }
    (findings, skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lint_is_looked_for_under_a_name_of_its_own() {
        let ids: std::collections::BTreeSet<&str> = Lint::ALL.iter().map(|lint| lint.id()).collect();
        assert_eq!(ids.len(), Lint::ALL.len());
        for lint in Lint::ALL {
            assert_eq!(serde_json::to_value(lint).unwrap(), lint.id());
        }
    }

    #[test]
    fn what_could_not_be_looked_at_is_said() {
        let (findings, skipped) = lint(&ClusterMap::default(), None);
        assert_eq!(findings, []);
        assert_eq!(
            skipped,
            [
                "node-dns-in-cluster: no host was asked",
                "orchestrator-inside: no config was given",
                "clock-not-synced: no host was asked",
                "moving-mount: no host was asked",
                "unknown-node: no config was given",
                "ingress-unchecked: no config was given",
            ]
        );
    }
}
