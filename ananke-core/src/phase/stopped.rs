//! Phases `workers-stopped` and `servers-stopped`: k3s or the kubelet does not run on the hosts of that role.
//!
//! On the servers, what it leaves running must be gone too (for the workers that is `pods-stopped`): after this phase
//! nothing of the cluster writes anywhere.

use std::time::Duration;

use super::pods_stopped::{after_the_unit, kills, stopped};
use super::{at_work, powered_off};
use crate::engine::view::{Trust, View};
use crate::name::{NodeName, Subject};
use crate::observation::UnitState;
use crate::order::{HostOrder, Order};
use crate::proof;
use crate::remedy::Action;
use crate::spec::{NodeRole, NodeSpec};
use crate::verdict::{GateId, Judgement, Reason, Verdict};

const BUDGET: u32 = 3;
/// k3s needs up to `TimeoutStopSec` to stop: sooner, a second stop helps nothing.
const PAUSE: Duration = Duration::from_secs(60);

pub(super) fn workers(view: &View<'_>) -> Judgement {
    evaluate(view, NodeRole::Worker)
}

pub(super) fn servers(view: &View<'_>) -> Judgement {
    evaluate(view, NodeRole::Server)
}

fn evaluate(view: &View<'_>, role: NodeRole) -> Judgement {
    let mut judgement = Judgement::default();
    for (name, node) in view.spec.nodes.iter().filter(|(_, node)| node.role == role) {
        if node.is_managed() {
            judgement.set(Subject::Node(name.clone()), judge(view, name, node));
        } else {
            judgement.notes.push(format!("{name} has no SSH, as configured: it runs on, and stopping it is left to a person"));
        }
    }
    if judgement.subjects.is_empty() {
        let why = if judgement.notes.is_empty() { "there are none" } else { "none has SSH, as configured" };
        judgement.not_applicable = Some(why.to_owned());
    }
    judgement
}

fn judge(view: &View<'_>, name: &NodeName, node: &NodeSpec) -> Verdict {
    let command = format!("on {name}: `systemctl stop {}`", node.unit);
    if powered_off::silent(view, name).is_some() {
        return Verdict::pass("the host was ordered off and does not answer");
    }
    match view.host(name) {
        Err(_) if is_off(view, name) => Verdict::pass("the machine is off, as a person confirmed"),
        Err(gap) => Verdict::unknown(gap, command),
        Ok(host) if !stopped(host.unit) => {
            Verdict::waiting(Reason::UnitRunning, format!("{} runs on {name}", node.unit), command)
        }
        Ok(host) => match node.role {
            NodeRole::Worker => Verdict::pass(format!("{} is stopped", node.unit)),
            NodeRole::Server => after_the_unit(view, name, host),
        },
    }
}

/// By what was last seen of its node: the API may be gone by then.
pub(super) fn is_off(view: &View<'_>, name: &NodeName) -> bool {
    let nodes = view.nodes_fact().last().map(|nodes| nodes.as_slice()).unwrap_or_default();
    nodes.iter().find(|node| node.name == *name).is_some_and(|node| proof::of(view, node).is_some())
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    if at_work(view, GateId::WorkersStopped) {
        actions.extend(stops(view, NodeRole::Worker));
    }
    if at_work(view, GateId::ServersStopped) {
        actions.extend(stops(view, NodeRole::Server));
        actions.extend(kills(view, NodeRole::Server));
    }
    actions
}

fn stops(view: &View<'_>, role: NodeRole) -> Vec<Action> {
    let mut actions = Vec::new();
    let room = view.spec.shutdown.concurrency.saturating_sub(view.history().in_flight("stop-unit"));
    for (name, node) in view.spec.nodes.iter().filter(|(_, node)| node.role == role) {
        let runs = view.host(name).is_ok_and(|host| matches!(host.unit, UnitState::Active | UnitState::Activating));
        let order = Order::Host { node: name.clone(), order: HostOrder::Stop(node.unit.clone()) };
        if runs && view.history().allows(order.verb(), &order.subject(), view.now, BUDGET, PAUSE) {
            actions.push(Action { order, why: "shutdown".to_owned() });
        }
    }
    if view.trust == Trust::Proven {
        actions.truncate(room);
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::{Bench, node};
    use crate::observation::{Confirmation, Leftovers};

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    #[test]
    fn servers_are_stopped_when_nothing_of_them_is_left_and_workers_when_their_unit_is() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.check(workers, "n2: hold unit-running waiting");
        bench.check(servers, "n1: hold unit-running waiting");
        for n in 1..=2 {
            bench.host(n, |host| (host.unit, host.leftovers) = (UnitState::Inactive, Leftovers { shims: 2, mounts: 0 }));
        }
        bench.check(workers, "n2: pass");
        bench.check(servers, "n1: hold pods-running waiting");
        bench.open(GateId::ServersStopped);
        assert_eq!(texts(&bench), ["end the containers that k3s left running on n1"]);
    }

    #[test]
    fn a_node_without_ssh_is_left_to_a_person() {
        let mut bench = Bench::new(3);
        bench.all_up();
        bench.unmanage(2);
        let told = "n2 has no SSH, as configured: it runs on, and stopping it is left to a person";
        bench.check(workers, &format!("n3: hold unit-running waiting\nnote: {told}"));
        bench.open(GateId::WorkersStopped);
        assert_eq!(texts(&bench), ["stop unit k3s-agent on n3"]);
        bench.unmanage(3);
        assert_eq!(workers(&bench.view()).not_applicable.as_deref(), Some("none has SSH, as configured"));
    }

    #[test]
    fn a_machine_that_a_person_saw_off_needs_no_stop() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.host(1, |host| host.unit = UnitState::Inactive);
        bench.node_dies(2);
        bench.check(workers, "n2: unknown");
        let at = bench.now;
        let off = Confirmation { node: node(2), at, boot_id: None };
        bench.obs.confirmations = Fact::known(vec![off], at);
        bench.now = at.plus(Duration::from_secs(60));
        bench.check(workers, "n2: pass");
    }

    #[test]
    fn no_more_hosts_are_stopped_at_once_than_is_allowed() {
        let mut bench = Bench::new(4);
        bench.all_up();
        bench.spec.shutdown.concurrency = 2;
        bench.open(GateId::WorkersStopped);
        assert_eq!(texts(&bench), ["stop unit k3s-agent on n2", "stop unit k3s-agent on n3"]);
        bench.history.sent(&plan(&bench.view())[0].order, bench.now);
        assert_eq!(texts(&bench), ["stop unit k3s-agent on n3"]);
    }
}
