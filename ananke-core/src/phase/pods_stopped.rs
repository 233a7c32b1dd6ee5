//! Phase `pods-stopped`: no container runs and no volume is mounted on a worker whose unit is stopped.
//!
//! k3s stops with `KillMode=process`, and containerd outlives the kubelet: containers live on and write. They are ended only where the unit is stopped, for
//! a kubelet would start them again. The same is judged of the servers by `servers-stopped`, after which nothing comes that
//! needs them; here the servers still carry the API.

use std::time::Duration;

use super::stopped::is_off;
use super::{at_work, left_behind, powered_off};
use crate::engine::view::{Trust, View};
use crate::name::{NodeName, Subject};
use crate::observation::{HostState, UnitState};
use crate::order::{HostOrder, Order};
use crate::remedy::Action;
use crate::spec::NodeRole;
use crate::verdict::{GateId, Judgement, Reason, Verdict};

const BUDGET: u32 = 3;
/// Unmounting takes its time where a server of files is away.
const PAUSE: Duration = Duration::from_secs(30);

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    for (name, _) in view.spec.workers().filter(|(_, node)| node.is_managed()) {
        judgement.set(Subject::Node(name.clone()), judge(view, name));
    }
    if judgement.subjects.is_empty() {
        return Judgement::not_applicable("there are no workers with SSH");
    }
    judgement
}

fn judge(view: &View<'_>, name: &NodeName) -> Verdict {
    let follows = |text: String| Verdict::follows(Reason::PodsRunning, Subject::Node(name.clone()), text);
    let (agent, end) = (view.spec.distribution.agent(), view.spec.distribution.end_containers());
    if powered_off::silent(view, name).is_some() {
        return Verdict::pass("the host was ordered off and does not answer");
    }
    match view.host(name) {
        Err(_) if is_off(view, name) => Verdict::pass("the machine is off, as a person confirmed"),
        Err(_) if left_behind(view, GateId::WorkersStopped, name) => follows(format!("{name} does not answer SSH")),
        Err(gap) => Verdict::unknown(gap, format!("on {name}: {end}, once {agent} is stopped there")),
        Ok(host) if stopped(host.unit) => after_the_unit(view, name, host),
        Ok(_) => follows(format!("{agent} runs on {name}, and its containers with it")),
    }
}

/// What a host says whose unit is stopped.
pub(super) fn after_the_unit(view: &View<'_>, name: &NodeName, host: &HostState) -> Verdict {
    let (left, distribution) = (host.leftovers, view.spec.distribution);
    if (left.shims, left.mounts) == (0, 0) {
        return Verdict::pass("stopped; no container and no volume is left");
    }
    Verdict::waiting(
        Reason::PodsRunning,
        format!(
            "{} is stopped on {name}, and has left {} containers and {} mounted volumes",
            distribution.agent(),
            left.shims,
            left.mounts
        ),
        format!("on {name}: {}; what it cannot unmount, `findmnt` shows", distribution.end_containers()),
    )
}

pub(super) fn stopped(unit: UnitState) -> bool {
    match unit {
        UnitState::Inactive | UnitState::Failed | UnitState::NotFound => true,
        UnitState::Active | UnitState::Activating | UnitState::Deactivating => false,
    }
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    if at_work(view, GateId::PodsStopped) { kills(view, NodeRole::Worker) } else { Vec::new() }
}

/// Ends what is left on hosts of that role, on no more at once than is allowed.
pub(super) fn kills(view: &View<'_>, role: NodeRole) -> Vec<Action> {
    let mut actions = Vec::new();
    let room = view.spec.shutdown.concurrency.saturating_sub(view.history().in_flight("kill-pods"));
    for (name, node) in view.spec.nodes.iter().filter(|(_, node)| node.role == role) {
        let left = |host: &HostState| stopped(host.unit) && !after_the_unit(view, name, host).is_pass();
        // A look cannot know what a stopped unit will leave.
        let due = view.host(name).is_ok_and(|host| left(host) || view.trust == Trust::Stated);
        let order = Order::Host { node: name.clone(), order: HostOrder::KillPods(node.unit.clone()) };
        if due && view.history().allows(order.verb(), &order.subject(), view.now, BUDGET, PAUSE) {
            actions.push(Action { order, why: "they would go on writing".to_owned() });
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
    use crate::gate::testing::Bench;
    use crate::observation::Leftovers;
    use crate::spec::Distribution;

    const LEFT: Leftovers = Leftovers { shims: 3, mounts: 1 };

    fn bench() -> Bench {
        let mut bench = Bench::new(4);
        bench.all_up();
        for n in 2..=4 {
            bench.host(n, |host| (host.unit, host.leftovers) = (UnitState::Inactive, LEFT));
        }
        bench.open(GateId::PodsStopped);
        bench
    }

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    #[test]
    fn what_is_left_is_ended_on_so_many_hosts_at_once() {
        let mut bench = bench();
        bench.spec.shutdown.concurrency = 2;
        bench.host(4, |host| host.leftovers = Leftovers { shims: 0, mounts: 0 });
        bench.check(evaluate, "n2: hold pods-running waiting\nn3: hold pods-running waiting\nn4: pass");
        assert_eq!(
            texts(&bench),
            ["end the containers that k3s-agent left running on n2", "end the containers that k3s-agent left running on n3"]
        );
        bench.history.sent(&plan(&bench.view())[0].order, bench.now);
        assert_eq!(texts(&bench), ["end the containers that k3s-agent left running on n3"]);
    }

    #[test]
    fn a_person_is_told_what_fits_the_distribution() {
        let mut bench = bench();
        let told = |bench: &Bench| match &evaluate(&bench.view()).subjects[&Subject::Node(crate::gate::testing::node(2))] {
            Verdict::Hold(blocker) => format!("{} -> {}", blocker.text, blocker.if_it_lasts),
            verdict @ (Verdict::Pass(_) | Verdict::Unknown(_)) => panic!("{verdict:?}"),
        };
        let told_k3s = "k3s is stopped on n2, and has left 3 containers and 1 mounted volumes -> on n2: `k3s-killall.sh`; what";
        assert!(told(&bench).starts_with(told_k3s), "{}", told(&bench));
        bench.spec.distribution = Distribution::Kubeadm;
        let told_kubeadm = "the kubelet is stopped on n2, and has left 3 containers and 1 mounted volumes -> on n2: `crictl rmp --all --force`, then";
        assert!(told(&bench).starts_with(told_kubeadm), "{}", told(&bench));
    }

    #[test]
    fn nothing_is_ended_while_the_unit_runs_or_after_the_phase() {
        let mut bench = bench();
        for unit in [UnitState::Active, UnitState::Activating, UnitState::Deactivating] {
            (2..=4).for_each(|n| bench.host(n, |host| host.unit = unit));
            assert!(texts(&bench).is_empty(), "{unit:?}");
        }
        bench.check(
            evaluate,
            "n2: hold pods-running follows n2\nn3: hold pods-running follows n3\nn4: hold pods-running follows n4",
        );
    }

    #[test]
    fn a_worker_that_was_left_behind_is_not_waited_for_again() {
        let mut bench = bench();
        bench.host(3, |host| host.leftovers = Leftovers::default());
        bench.host(4, |host| host.leftovers = Leftovers::default());
        bench.obs.hosts.remove(&crate::gate::testing::node(2));
        bench.check(evaluate, "n2: unknown\nn3: pass\nn4: pass");
        bench.settle(GateId::WorkersStopped, super::super::stopped::workers);
        bench.check(evaluate, "n2: hold pods-running follows n2\nn3: pass\nn4: pass");
    }

    #[test]
    fn a_look_names_every_worker_whatever_is_allowed_at_once() {
        let mut bench = bench();
        bench.spec.shutdown.concurrency = 2;
        let (run, look) = (plan(&bench.view()), plan(&View { trust: Trust::Stated, ..bench.view() }));
        assert_eq!((run.len(), look.len()), (2, 3));
    }

    #[test]
    fn nothing_runs_on_a_machine_that_a_person_confirmed_to_be_off() {
        let mut bench = bench();
        let node = crate::gate::testing::node(2);
        bench.node_dies(2);
        bench.change_node(2, |node| node.renewed = None);
        bench.obs.heartbeats.remove(&node);
        let confirmed = crate::observation::Confirmation { node, at: bench.now, boot_id: None };
        bench.obs.confirmations = crate::fact::Fact::known(vec![confirmed], bench.now);
        bench.check(evaluate, "n2: pass\nn3: hold pods-running waiting\nn4: hold pods-running waiting");
    }
}
