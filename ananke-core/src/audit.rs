//! A second opinion on what a start-up is about to send: rules that no order may break whatever remedy planned it, restated
//! here on purpose. It holds nothing back: whoever watches a run logs what it says.

use std::fmt;

use crate::coordination;
use crate::engine::view::View;
use crate::engine::walk::Walk;
use crate::lease::Lease;
use crate::name::{Moment, NodeName, ObjectRef, Subject};
use crate::observation::UnitState;
use crate::order::{ClusterOrder, HostOrder, Order};
use crate::proof;
use crate::report::Command;

/// How often one run, and those that died on the same job before it, does this to one subject.
const MOST: &[(&str, u32)] =
    &[("restart-unit", 1), ("reboot", 1), ("force-delete-pod", 2), ("delete-job", 2), ("scale", 4), ("cordon", 10)];

/// A rule that an order breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    order: String,
    why: String,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.order, self.why)
    }
}

/// What is wrong with an order that `walk` has just recorded as sent; empty for every command but a start-up.
pub fn objections(walk: &Walk, now: Moment, order: &Order) -> Vec<Objection> {
    if walk.plan.command != Command::Startup {
        return Vec::new();
    }
    of(&walk.view(now), order)
}

fn of(view: &View<'_>, order: &Order) -> Vec<Objection> {
    let found = match order {
        Order::Cluster(ClusterOrder::ForceDelete { pod, .. }) => unproved(view, pod),
        Order::Cluster(ClusterOrder::Cordon { lease, .. }) => unleased(view, lease),
        Order::Host { node, order } => costs_quorum(view, node, order),
        Order::Cluster(_) | Order::Unseal | Order::Wake { .. } => None,
    };
    let whys = found.into_iter().chain(too_often(view, order));
    whys.map(|why| Objection { order: order.to_string(), why }).collect()
}

fn unproved(view: &View<'_>, pod: &ObjectRef) -> Option<String> {
    let found = view.pods().ok().and_then(|pods| pods.iter().find(|found| found.object == *pod));
    let node = found.and_then(|found| found.node.as_ref());
    let node = node.and_then(|name| view.nodes().ok()?.iter().find(|node| node.name == *name));
    let proved = node.is_some_and(|node| proof::of(view, node).is_some_and(|proof| proof.is_off()));
    (!proved).then(|| "nothing proves that its machine is off".to_owned())
}

fn unleased(view: &View<'_>, lease: &Lease) -> Option<String> {
    let kept = view.leases().iter().any(|record| record.lease == *lease && record.state.outstanding());
    match (kept, coordination::may_cordon(view)) {
        (true, true) => None,
        (false, _) => Some(format!("lease {} is not among those that are kept", lease.id)),
        (true, false) => Some("another Ananke may cordon".to_owned()),
    }
}

/// Whether etcd loses its majority by it: servers that are being stopped too count as gone.
fn costs_quorum(view: &View<'_>, node: &NodeName, order: &HostOrder) -> Option<String> {
    let stops = match order {
        HostOrder::Stop(_) | HostOrder::Restart(_) | HostOrder::Reboot | HostOrder::PowerOff | HostOrder::PowerOffNow => true,
        HostOrder::Start(_) | HostOrder::KillPods(_) | HostOrder::SaveSnapshot(_) | HostOrder::LoadImages(_) => false,
    };
    let runs = |name: &NodeName| view.host(name).is_ok_and(|host| host.unit == UnitState::Active);
    let stopping = |name: &NodeName| {
        let subject = Subject::Node(name.clone());
        ["stop-unit", "restart-unit", "reboot", "power-off", "power-off-now"]
            .iter()
            .any(|verb| view.history().tries(verb, &subject).in_flight)
    };
    if !stops || !view.spec.servers().any(|(name, _)| name == node) || !runs(node) {
        return None;
    }
    let others = view.spec.servers().filter(|(name, _)| *name != node && runs(name) && !stopping(name)).count();
    let needed = view.spec.quorum();
    (others < needed).then(|| format!("{others} other servers run, and etcd needs {needed}"))
}

fn too_often(view: &View<'_>, order: &Order) -> Option<String> {
    let verb = order.verb();
    let (_, most) = MOST.iter().find(|(of, _)| *of == verb)?;
    let count = view.history().tries(verb, &order.subject()).count;
    (count > *most).then(|| format!("it is try {count}, and {most} are allowed"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::{Bench, node};
    use crate::name::{ResourceVersion, UnitName};
    use crate::observation::Confirmation;

    /// Three servers and three workers, all up.
    fn bench() -> Bench {
        let mut bench = Bench::new(6);
        bench.servers(3);
        bench.all_up();
        (1..=6).for_each(|n| bench.host_up(n));
        bench
    }

    fn told(bench: &Bench, order: &Order) -> Vec<String> {
        of(&bench.view(), order).iter().map(|objection| objection.why.clone()).collect()
    }

    fn restart(n: usize) -> Order {
        Order::Host { node: node(n), order: HostOrder::Restart(UnitName::parse("k3s").unwrap()) }
    }

    #[test]
    fn etcd_keeps_its_majority() {
        let mut bench = bench();
        assert_eq!(told(&bench, &restart(1)), Vec::<String>::new());
        bench.history.sent(&restart(2), bench.now);
        assert_eq!(told(&bench, &restart(1)), ["1 other servers run, and etcd needs 2"]);
        assert_eq!(told(&bench, &restart(5)), Vec::<String>::new(), "a worker");
        bench.host(1, |host| host.unit = UnitState::Failed);
        assert_eq!(told(&bench, &restart(1)), Vec::<String>::new(), "it is no member now");
    }

    #[test]
    fn nothing_is_repeated_beyond_its_budget() {
        let mut bench = bench();
        bench.history.sent(&restart(5), bench.now);
        assert_eq!(told(&bench, &restart(5)), Vec::<String>::new());
        bench.history.sent(&restart(5), bench.now);
        assert_eq!(told(&bench, &restart(5)), ["it is try 2, and 1 are allowed"]);
    }

    #[test]
    fn a_cordon_has_a_lease_that_is_kept() {
        let mut bench = bench();
        let record = bench.cordon(5);
        let cordon = |lease: &Lease| {
            let seen = ResourceVersion::parse("1").unwrap();
            Order::Cluster(ClusterOrder::Cordon { node: node(5), seen, lease: Box::new(lease.clone()) })
        };
        let told_of = |bench: &Bench| told(bench, &cordon(&record.lease)).join("; ");
        let unheld = told_of(&bench);
        assert!(!unheld.contains("is not among those that are kept"), "{unheld}");
        bench.leases.clear();
        assert!(told_of(&bench).contains("is not among those that are kept"));
    }

    #[test]
    fn a_pod_is_forced_only_off_a_machine_that_is_proved_to_be_off() {
        let mut bench = bench();
        bench.node_dies(5);
        let at = bench.now.minus(Duration::from_secs(60));
        bench.obs.confirmations = Fact::known(vec![Confirmation { node: node(5), at, boot_id: None }], bench.now);
        bench.change_node(5, |node| node.renewed = Some(at.minus(Duration::from_secs(60))));
        bench.obs.heartbeats.get_mut(&node(5)).unwrap().watched_since = at;
        bench.workload(crate::name::Kind::StatefulSet, "db", &[(5, true)]);
        let (pod, proof) = {
            let view = bench.view();
            let dead = view.nodes().unwrap().iter().find(|found| found.name == node(5)).unwrap();
            (view.pods().unwrap().first().unwrap().clone(), proof::of(&view, dead).unwrap())
        };
        let force = Order::Cluster(ClusterOrder::ForceDelete { pod: pod.object.clone(), uid: pod.uid.clone(), proof });
        assert_eq!(told(&bench, &force), Vec::<String>::new());
        bench.obs.confirmations = Fact::known(Vec::new(), bench.now);
        assert_eq!(told(&bench, &force), ["nothing proves that its machine is off"]);
    }
}
