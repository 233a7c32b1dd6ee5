//! Starts k3s where it does not run: after a cluster-only shutdown, or where a unit did not come up with its host (traps
//! `host-service-not-enabled`, `control-plane-waits-for-first-server`). Servers are started together, without waiting: they need
//! each other for quorum. A unit that somebody stops meanwhile is not started: a copy of etcd, a disk that is exchanged or a reset
//! of the cluster needs it to stay stopped.

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
        if !stopped || view.was_stopped(name) {
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

/// Why its unit is not started, or what the host said to the newest start of it, and what a person does about it: none
/// unless it was refused for good, with the way out.
pub(crate) fn refused(view: &View<'_>, name: &NodeName) -> Option<(String, String)> {
    let host = view.known_host(name)?;
    if view.was_stopped(name) && matches!(host.unit, UnitState::Inactive | UnitState::Deactivating) {
        let unit = &view.spec.nodes.get(name)?.unit;
        let text = format!("somebody stopped {unit} on {name} in the middle of this run, so it is left alone");
        return Some((text, format!("when the work on {name} is done: `systemctl start {unit}` there")));
    }
    matches!(host.unit, UnitState::Inactive | UnitState::Failed).then_some(())?;
    let error = view.history().tries(START, &Subject::Node(name.clone())).error.as_ref()?;
    let for_good = matches!(error.kind, ErrorKind::Denied | ErrorKind::Missing);
    Some((error.to_string(), error.remedy.clone().filter(|_| for_good)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::{Bench, node};
    use crate::name::BootId;
    use crate::observation::HostState;

    #[test]
    fn what_somebody_stops_meanwhile_is_left_alone_until_it_runs_or_boots_again() {
        use UnitState::{Activating, Active, Deactivating, Failed, Inactive};
        for (seen, started) in [
            (&[(1, Inactive)][..], true),
            (&[(1, Deactivating), (1, Inactive)], true),
            (&[(1, Active), (1, Inactive)], false),
            (&[(1, Activating), (1, Deactivating), (1, Inactive)], false),
            (&[(1, Active), (1, Inactive), (1, Active), (1, Failed)], true),
            (&[(1, Active), (2, Inactive)], true),
            (&[(1, Active), (1, Inactive), (2, Inactive)], true),
        ] {
            let mut bench = Bench::new(1);
            bench.host_up(1);
            let up = bench.obs.hosts.remove(&node(1)).unwrap();
            for (boot, unit) in seen {
                let boot_id = BootId::parse(&format!("boot-{boot}")).unwrap();
                let host = HostState { unit: *unit, boot_id, ..up.last().unwrap().clone() };
                bench.obs.note_stopped(&node(1), &host);
                bench.obs.hosts.insert(node(1), Fact::known(host, bench.now));
            }
            assert_eq!(!plan(&bench.view()).is_empty(), started, "{seen:?}");
            let told = refused(&bench.view(), &node(1)).map(|(_, look)| look);
            let look = "when the work on n1 is done: `systemctl start k3s` there".to_owned();
            assert_eq!(told, (!started).then_some(look), "{seen:?}");
        }
    }

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
