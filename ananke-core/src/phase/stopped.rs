//! Phases `workers-stopped` and `servers-stopped`: k3s does not run on the hosts of that role.

use std::time::Duration;

use super::at_work;
use crate::engine::view::View;
use crate::name::Subject;
use crate::observation::UnitState;
use crate::order::{HostOrder, Order};
use crate::remedy::Action;
use crate::spec::NodeRole;
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
        let command = format!("on {name}: `systemctl stop {}`", node.unit);
        let verdict = match view.host(name) {
            Err(gap) => Verdict::unknown(gap, command),
            Ok(host) => match host.unit {
                UnitState::Inactive | UnitState::Failed | UnitState::NotFound => {
                    Verdict::pass(format!("{} is stopped", node.unit))
                }
                UnitState::Active | UnitState::Activating | UnitState::Deactivating => {
                    Verdict::waiting(Reason::UnitRunning, format!("{} runs on {name}", node.unit), command)
                }
            },
        };
        judgement.set(Subject::Node(name.clone()), verdict);
    }
    if judgement.subjects.is_empty() {
        return Judgement::not_applicable("there are none");
    }
    judgement
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    for (phase, role) in [(GateId::WorkersStopped, NodeRole::Worker), (GateId::ServersStopped, NodeRole::Server)] {
        if at_work(view, phase) {
            actions.extend(stops(view, role));
        }
    }
    actions
}

fn stops(view: &View<'_>, role: NodeRole) -> Vec<Action> {
    let mut actions = Vec::new();
    for (name, node) in view.spec.nodes.iter().filter(|(_, node)| node.role == role) {
        let runs = view.host(name).is_ok_and(|host| matches!(host.unit, UnitState::Active | UnitState::Activating));
        let order = Order::Host { node: name.clone(), order: HostOrder::Stop(node.unit.clone()) };
        if runs && view.history.allows(order.verb(), &order.subject(), view.now, BUDGET, PAUSE) {
            actions.push(Action { order, why: "shutdown".to_owned() });
        }
    }
    actions
}
