//! Starts k3s where it does not run: after a cluster-only shutdown, or where a unit did not come up with its host
//! (traps 23 and 27). Servers are started together, without waiting: they need each other for quorum.

use std::time::Duration;

use super::Action;
use crate::engine::view::View;
use crate::name::{NodeName, Subject};
use crate::observation::UnitState;
use crate::order::{HostOrder, Order};
use crate::port::ErrorKind;

/// The verb of `HostOrder::Start`.
const START: &str = "start-unit";
/// Times a unit is started in one recovery before a person must look.
const BUDGET: u32 = 3;
/// k3s gives up on its own start after 90 s or so (`TimeoutStartSec`): sooner, a second start helps nothing.
const PAUSE: Duration = Duration::from_secs(90);

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    for (name, (node, host)) in view.with_hosts(view.spec.nodes.iter()) {
        let Some(host) = host else { continue };
        let stopped = match host.unit {
            // It would fail again on a disk that it cannot write, and write into the directory where another disk belongs.
            UnitState::Inactive | UnitState::Failed => {
                let disks = !host.health.root_read_only && host.health.missing_mounts.is_empty();
                host.uptime >= view.spec.unit_grace && disks
            }
            UnitState::Active | UnitState::Activating | UnitState::Deactivating | UnitState::NotFound => false,
        };
        if !stopped {
            continue;
        }
        let order = Order::Host { node: name.clone(), order: HostOrder::Start(node.unit.clone()) };
        if view.history().allows(order.verb(), &Subject::Node(name.clone()), view.now, BUDGET, PAUSE) {
            actions.push(Action { order, why: format!("{} does not run on {name}", node.unit) });
        }
    }
    // Servers first: an agent that starts before them only waits.
    actions.sort_by_key(|action| match &action.order {
        Order::Host { node, .. } => view.spec.nodes.get(node).map(|node| node.role),
        Order::Cluster(_) | Order::Unseal | Order::Wake { .. } => None,
    });
    actions
}

/// What the host said to the newest start of its unit, which still does not run, and what a person does about it: none
/// unless it was refused for good, with the way out.
pub(crate) fn refused(view: &View<'_>, name: &NodeName) -> Option<(String, String)> {
    view.known_host(name).filter(|host| matches!(host.unit, UnitState::Inactive | UnitState::Failed))?;
    let error = view.history().tries(START, &Subject::Node(name.clone())).error.as_ref()?;
    let for_good = matches!(error.kind, ErrorKind::Denied | ErrorKind::Missing);
    Some((error.to_string(), error.remedy.clone().filter(|_| for_good)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    #[test]
    fn stopped_units_are_started_servers_first_and_early_ones_are_waited_for() {
        let mut bench = Bench::new(3);
        for n in 1..=3 {
            bench.host_up(n);
            bench.host(n, |host| host.unit = UnitState::Inactive);
        }
        bench.servers(3);
        bench.spec.nodes.get_mut(&crate::gate::testing::node(1)).unwrap().role = crate::spec::NodeRole::Worker;
        bench.host(3, |host| host.uptime = Duration::from_secs(20));
        let texts: Vec<String> = plan(&bench.view()).iter().map(|action| action.order.to_string()).collect();
        assert_eq!(texts, ["start unit k3s-agent on n2", "start unit k3s on n1"]);
        bench.host(2, |host| host.health.root_read_only = true);
        let texts: Vec<String> = plan(&bench.view()).iter().map(|action| action.order.to_string()).collect();
        assert_eq!(texts, ["start unit k3s on n1"]);
        let disk = crate::name::HostPath::parse("/var/lib/longhorn").unwrap();
        bench.host(1, |host| host.health.missing_mounts = vec![disk]);
        assert!(plan(&bench.view()).is_empty());
    }
}
