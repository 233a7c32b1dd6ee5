//! Planted records for the tests of the rules.

use std::time::Duration;

use ananke_core::lease::{Lease, Purpose, SCHEMA, remove_with};
use ananke_core::name::{LeaseId, Moment, NodeName, ResourceVersion, RunId, Subject, Uid};
use ananke_core::order::{ClusterOrder, HostOrder, Order};
use ananke_core::report::{Command, ManualAction, Outcome, Report};
use ananke_core::verdict::GateId;

use super::{Ended, Record, Scene, Sent, Truth, What};

pub(super) const BY: &str = "titan-db";

pub(super) fn node(n: usize) -> NodeName {
    NodeName::parse(&format!("titan-{n:02}")).unwrap()
}

fn order(n: usize, order: Order) -> Sent {
    Sent {
        by: BY,
        run: RunId::parse("startup-1").unwrap(),
        seq: u64::try_from(n).unwrap(),
        order,
        scene: Scene {
            journaled: true,
            disk_full: false,
            lease_on_disk: true,
            coordinator: Some(BY.to_owned()),
            cordons: 0,
            servers: (1..=3).map(node).collect(),
            servers_up: (1..=3).map(node).collect(),
            on_battery: None,
            charge: 100,
            fetched: true,
            forces_branch: false,
        },
    }
}

pub(super) fn reboot(n: usize) -> Sent {
    order(n, Order::Host { node: node(n), order: HostOrder::Reboot })
}

pub(super) fn uncordon(n: usize) -> Sent {
    let (seen, lease) = (ResourceVersion::parse("1").unwrap(), LeaseId::parse("lease-1").unwrap());
    order(n, Order::Cluster(ClusterOrder::Uncordon { node: node(n), seen, lease }))
}

pub(super) fn cordon(n: usize) -> Sent {
    let (id, acquired) = (LeaseId::parse("lease-1").unwrap(), Moment::from_millis(0));
    let lease = Lease {
        schema: SCHEMA,
        holder: BY.to_owned(),
        node: node(n),
        node_uid: Uid::parse("uid").unwrap(),
        cluster_uid: Uid::parse("uid").unwrap(),
        purpose: Purpose::Repair,
        reason: "silent".to_owned(),
        acquired,
        expires: acquired.plus(Duration::from_secs(3600)),
        clock: None,
        remove_with: remove_with(&node(n)),
        id,
    };
    let seen = ResourceVersion::parse("1").unwrap();
    order(n, Order::Cluster(ClusterOrder::Cordon { node: node(n), seen, lease: Box::new(lease) }))
}

pub(super) fn sent<const N: usize>(orders: [Sent; N]) -> Record {
    let mut record = Record::default();
    orders.into_iter().enumerate().for_each(|(nth, order)| {
        // A number of its own, unless the test wants it otherwise.
        let seq = if order.seq == 0 { u64::try_from(nth).unwrap() } else { order.seq };
        record.note(0, What::Sent(Box::new(Sent { seq, ..order })));
    });
    record
}

pub(super) fn ended(outcome: Outcome) -> Ended {
    let report = Report {
        schema: 1,
        run: RunId::parse("startup-1").unwrap(),
        command: Command::Startup,
        dry_run: false,
        reason: String::new(),
        started: Moment::from_millis(0),
        ended: Moment::from_millis(0),
        took: Duration::ZERO,
        normal: None,
        outcome,
        summary: "summary".to_owned(),
        gates: Vec::new(),
        actions: Vec::new(),
        manual: Vec::new(),
        notes: Vec::new(),
        earlier: Vec::new(),
        cordons: Vec::new(),
    };
    Ended { by: BY, report, truth: Truth::default(), quiet: true, last: true }
}

/// The report asks for that node.
pub(super) fn asks(ended: &mut Ended, n: usize) {
    ended.report.manual = vec![ManualAction {
        subject: Subject::Node(node(n)),
        gate: GateId::NodeSsh,
        reason: None,
        trap: None,
        found: format!("{} stays dark", node(n)),
        instruction: "press its button".to_owned(),
        holds_back: Vec::new(),
    }];
}

pub(super) fn record(ended: Ended) -> Record {
    let mut record = Record::default();
    record.note(0, What::Ended(Box::new(ended)));
    record
}
