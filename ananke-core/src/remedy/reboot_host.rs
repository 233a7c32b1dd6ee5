//! Reboots a worker whose root file system went read-only, once, so that its journal is replayed (trap
//! `root-filesystem-read-only`).
//!
//! No cordon is needed: nothing is scheduled to a node that is not Ready. Servers are left to a person, for each may hold
//! what etcd needs; so is a root that is read-only again, and one of many, whose cause is not its own disk.

use std::time::Duration;

use super::{Action, Budget};
use crate::engine::history::REBOOT;
use crate::engine::view::View;
use crate::engine::walk::boot_of;
use crate::name::{Moment, NodeName, Subject};
use crate::observation::{HostState, Tri};
use crate::order::{HostOrder, Order};
use crate::port::ErrorKind;
use crate::spec::NodeRole;
use crate::verdict::Trap;

/// What one reboot does not bring back, a second does not either.
const BUDGET: Budget = Budget { trap: Trap::RootReadOnly, times: 1, pause: Duration::ZERO };
/// A host that checks its disks boots for six to nine minutes.
const BOOTS_WITHIN: Duration = Duration::from_secs(600);

/// What becomes of a host whose root is read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stance {
    /// It is rebooted as soon as that takes nothing away, or is on its way.
    Repairs,
    /// So many hosts have a read-only root.
    Braked(usize),
    /// It was rebooted, and that did not help.
    Spent,
    /// It is a server, or cannot be rebooted from here.
    Person,
}

/// How far the one reboot of a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reboot {
    ToCome,
    UnderWay,
    Over,
    /// It was refused, or nothing came of it.
    Failed,
}

/// One host at a time: that the first comes back is seen before the next goes.
pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    if view.api().is_err() || view.spec.nodes.keys().any(|name| reboot(view, name) == Reboot::UnderWay) {
        return Vec::new();
    }
    let mut nodes = view.with_hosts(view.spec.nodes.iter());
    nodes.find_map(|(name, (_, host))| due(view, name, host?)).into_iter().collect()
}

pub(crate) fn stance(view: &View<'_>, name: &NodeName) -> Stance {
    let hosts = view.with_hosts(view.spec.nodes.iter());
    let count = hosts.filter(|(_, (_, host))| host.is_some_and(|host| host.health.root_read_only)).count();
    let worker = view.spec.nodes.get(name).is_some_and(|node| node.role == NodeRole::Worker);
    // Containers outlive their kubelet: one may hold the last replica of a volume.
    let holds_some = view.known_host(name).is_some_and(|host| host.leftovers.shims > 0);
    match reboot(view, name) {
        Reboot::Over => Stance::Spent,
        Reboot::Failed => Stance::Person,
        Reboot::UnderWay => Stance::Repairs,
        Reboot::ToCome if !worker || holds_some => Stance::Person,
        Reboot::ToCome if count > view.spec.max_cordons => Stance::Braked(count),
        Reboot::ToCome => Stance::Repairs,
    }
}

fn due(view: &View<'_>, name: &NodeName, host: &HostState) -> Option<Action> {
    let old_enough = host.health.root_read_only && host.uptime >= view.spec.unit_grace;
    if !old_enough {
        return None;
    }
    let order = Order::Host { node: name.clone(), order: HostOrder::Reboot };
    let allowed = stance(view, name) == Stance::Repairs && BUDGET.allows(view, &order);
    (allowed && idle(view, name, host)).then(|| {
        let why = format!("the root file system of {name} is read-only and nothing runs there; its journal is replayed at boot");
        Action { order, why }
    })
}

/// Whether the API shows that a reboot takes nothing away: its node is not Ready, or its kubelet was watched and is silent.
/// A host that is not the node's machine, or whose node waits for a person, is not touched.
fn idle(view: &View<'_>, name: &NodeName, host: &HostState) -> bool {
    let Ok(Some(node)) = view.node(name) else { return false };
    let silent = view.heartbeat(name).is_some() && view.kubelet_silent(name);
    (node.ready != Tri::True || silent) && node.runs_on(host) != Some(false) && node.manual_note.is_none()
}

/// Where a run died between the order and its answer, the order counts from that run's last sign of life.
fn reboot(view: &View<'_>, name: &NodeName) -> Reboot {
    let tries = view.history().tries(REBOOT, &Subject::Node(name.clone()));
    let Some(at) = tries.last.or(tries.first) else { return Reboot::ToCome };
    // A connection that breaks may be the reboot itself.
    let refused = tries.error.as_ref().is_some_and(|error| error.kind != ErrorKind::Transient);
    let came_back = |boot: Moment| boot >= at;
    match view.host_fact(name).and_then(boot_of).is_some_and(came_back) {
        true => Reboot::Over,
        false if refused => Reboot::Failed,
        false if tries.in_flight || !view.has_passed(BOOTS_WITHIN, at) => Reboot::UnderWay,
        false => Reboot::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};

    /// A server and five workers; `n2` has a read-only root and is not Ready.
    fn bench() -> Bench {
        let mut bench = Bench::new(6);
        bench.servers(1);
        bench.all_up();
        read_only(&mut bench, 2);
        bench
    }

    fn read_only(bench: &mut Bench, n: usize) {
        bench.host(n, |host| host.health.root_read_only = true);
        bench.change_node(n, |node| node.ready = Tri::Unknown);
    }

    #[track_caller]
    fn check(bench: &Bench, expected: &[&str]) {
        let texts: Vec<String> = plan(&bench.view()).iter().map(|action| action.order.to_string()).collect();
        assert_eq!(texts, expected);
    }

    #[track_caller]
    fn is_left_alone(change: impl FnOnce(&mut Bench)) {
        let mut bench = bench();
        change(&mut bench);
        check(&bench, &[]);
    }

    /// Time passes; hosts run on.
    fn pass(bench: &mut Bench, secs: u64) {
        bench.now = bench.now.plus(Duration::from_secs(secs));
        for n in 1..=6 {
            bench.host(n, |host| host.uptime += Duration::from_secs(secs));
        }
        bench.fresh_lists();
        bench.refresh_api();
    }

    fn rebooted(bench: &mut Bench, n: usize) {
        bench.carried_out(&Order::Host { node: node(n), order: HostOrder::Reboot }, Trap::RootReadOnly);
    }

    #[test]
    fn a_worker_that_is_not_ready_is_rebooted() {
        check(&bench(), &["reboot n2"]);
    }

    #[test]
    fn what_runs_is_a_server_or_is_not_known_is_left_alone() {
        is_left_alone(|bench| bench.change_node(2, |node| node.ready = Tri::True));
        is_left_alone(|bench| bench.host(2, |host| host.health.root_read_only = false));
        is_left_alone(|bench| bench.host(2, |host| host.uptime = Duration::from_secs(59)));
        is_left_alone(|bench| bench.host(2, |host| host.machine_id = "another".to_owned()));
        is_left_alone(|bench| bench.change_node(2, |node| node.manual_note = Some("look".into())));
        is_left_alone(|bench| bench.servers(2));
        is_left_alone(|bench| bench.host(2, |host| host.leftovers.shims = 1));
        is_left_alone(|bench| bench.obs.api = crate::fact::Fact::default());
        is_left_alone(|bench| drop(bench.obs.hosts.remove(&node(2))));
        is_left_alone(|bench| (3..=5).for_each(|n| read_only(bench, n)));
    }

    #[test]
    fn one_goes_at_a_time_and_each_once() {
        let mut bench = bench();
        read_only(&mut bench, 3);
        check(&bench, &["reboot n2"]);
        rebooted(&mut bench, 2);
        pass(&mut bench, 30);
        check(&bench, &[]);
        assert_eq!(stance(&bench.view(), &node(2)), Stance::Repairs);
        bench.host(2, |host| host.uptime = Duration::from_secs(5));
        check(&bench, &["reboot n3"]);
        assert_eq!(stance(&bench.view(), &node(2)), Stance::Spent);
    }

    #[test]
    fn a_host_that_does_not_reboot_keeps_the_others_for_ten_minutes_and_a_refusal_does_not() {
        let mut bench = bench();
        read_only(&mut bench, 3);
        rebooted(&mut bench, 2);
        pass(&mut bench, 599);
        check(&bench, &[]);
        pass(&mut bench, 1);
        check(&bench, &["reboot n3"]);
        let order = Order::Host { node: node(3), order: HostOrder::Reboot };
        bench.refuse(&order, ErrorKind::Denied);
        assert_eq!([2, 3].map(|n| stance(&bench.view(), &node(n))), [Stance::Person; 2]);
    }
}
