//! Wakes hosts that stay dark though there is power (traps `ups-power-race-hosts-stay-off`, `host-dark-no-ac-recovery`): the
//! firmware of some stays off when mains return, and a host that was told to power off before mains were back never lost them.
//!
//! A packet wakes what is off and does nothing to what runs, so silence is reason enough; the guards have found mains to be
//! there. A machine that a person confirmed to be off is never woken: somebody may have their hands in it.

use std::time::Duration;

use super::{Action, Budget};
use crate::engine::view::{Trust, View};
use crate::name::{Moment, NodeName, Subject, human};
use crate::order::Order;
use crate::spec::{NodeRole, NodeSpec};
use crate::verdict::Trap;

/// The first packet may meet a switch that is still starting.
const TIMES: u32 = 2;

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let budget = Budget { trap: Trap::HostDark, times: TIMES, pause: view.spec.wake_after * 2 };
    let mut actions = Vec::new();
    for role in [NodeRole::Server, NodeRole::Worker] {
        for (name, (node, host)) in view.with_hosts(view.spec.managed().filter(|(_, node)| node.role == role)) {
            let (Some(mac), None) = (&node.wake, host) else { continue };
            let Some(dark) = dark_for(view, name) else { continue };
            let order = Order::Wake { node: name.clone(), mac: mac.clone() };
            let due = dark >= view.spec.wake_after || view.trust == Trust::Stated;
            if due && !confirmed_off(view, name) && budget.allows(view, &order) {
                actions.push(Action { order, why: format!("{name} has been dark for {}", human(dark)) });
            }
        }
    }
    actions
}

/// For how long nothing of a machine that does not answer has been heard in this run; none while something may be.
fn dark_for(view: &View<'_>, name: &NodeName) -> Option<Duration> {
    let heard = last_heard(view, name).unwrap_or(view.began);
    // A packet too many harms nobody, and names may be unknown for as long as the cluster that knows them is down.
    view.may_be_dark(name).then(|| view.now.since(heard.max(view.began)))
}

fn last_heard(view: &View<'_>, name: &NodeName) -> Option<Moment> {
    view.host_fact(name).and_then(|fact| fact.seen_at())
}

/// A person said so since it was last heard.
fn confirmed_off(view: &View<'_>, name: &NodeName) -> bool {
    let since = last_heard(view, name);
    view.confirmations()
        .iter()
        .any(|confirmation| confirmation.node == *name && since.is_none_or(|heard| confirmation.at > heard))
}

/// What came of it, for the evidence of a host that answers.
pub(crate) fn came_up(view: &View<'_>, name: &NodeName, up: Duration) -> Option<String> {
    let woken = view.history().tries("wake", &Subject::Node(name.clone())).last?;
    // It may have come up by itself before.
    (view.now.since(woken) >= up).then(|| format!("woken at {woken}"))
}

/// The same for the person who goes to one that does not.
pub(crate) fn stayed_dark(view: &View<'_>, name: &NodeName, node: &NodeSpec) -> Option<String> {
    if confirmed_off(view, name) && node.wake.is_some() {
        return Some(format!("{name} was confirmed to be off by a person, so it is not woken"));
    }
    let tries = view.history().tries("wake", &Subject::Node(name.clone()));
    let last = tries.last?;
    Some(match &tries.error {
        Some(error) => format!("{name} could not be woken ({error})"),
        None => format!("{name} stays dark though it was sent what wakes it at {last}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::{Bench, node};
    use crate::name::MacAddress;
    use crate::observation::Confirmation;
    use crate::port::{ErrorKind, PortError};
    use crate::verdict::Reason;

    /// Three nodes, of which the second, a worker, and the third, a server, are dark and can be woken.
    fn bench() -> Bench {
        let mut bench = Bench::new(3);
        bench.host_up(1);
        for n in 2..=3 {
            bench.spec.nodes.get_mut(&node(n)).unwrap().wake = Some(mac(n));
            fails(&mut bench, n, None);
        }
        bench.spec.nodes.get_mut(&node(3)).unwrap().role = NodeRole::Server;
        bench.now = bench.now.plus(bench.spec.wake_after);
        bench
    }

    fn mac(n: usize) -> MacAddress {
        MacAddress::parse(&format!("52:54:00:00:00:0{n}")).unwrap()
    }

    fn fails(bench: &mut Bench, n: usize, reason: Option<Reason>) {
        let mut error = PortError::new(ErrorKind::Transient, "connect", "n", "no answer within 5.0 s");
        error.reason = reason;
        let now = bench.now;
        bench.obs.hosts.entry(node(n)).or_default().fold(Err(error), now);
    }

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| action.order.to_string()).collect()
    }

    const THIRD: &str = "wake n3 by its network card 52:54:00:00:00:03";
    const SECOND: &str = "wake n2 by its network card 52:54:00:00:00:02";

    #[test]
    fn what_stays_dark_for_long_enough_is_woken_servers_first() {
        let mut bench = bench();
        assert_eq!(texts(&bench), [THIRD, SECOND]);
        bench.now = bench.now.minus(Duration::from_secs(1));
        assert!(texts(&bench).is_empty());
        let look = plan(&View { trust: Trust::Stated, ..bench.view() });
        assert_eq!(look.len(), 2, "a look cannot wait, and plans what a run would come to");
    }

    #[test]
    fn a_second_packet_follows_after_a_pause_and_no_third() {
        let mut bench = bench();
        for _ in 0..2 {
            let orders = plan(&bench.view());
            assert_eq!(orders.len(), 2);
            orders.iter().for_each(|action| bench.carried_out(&action.order, Trap::HostDark));
            assert!(texts(&bench).is_empty());
            bench.now = bench.now.plus(bench.spec.wake_after * 2);
        }
        assert!(texts(&bench).is_empty());
    }

    #[test]
    fn whatever_shows_a_kernel_that_runs_is_left_alone() {
        let mut bench = bench();
        fails(&mut bench, 2, Some(Reason::SshRefused));
        assert_eq!(texts(&bench), [THIRD]);
        fails(&mut bench, 2, Some(Reason::HostNotAsked));
        assert_eq!(texts(&bench), [THIRD, SECOND], "its name may be unknown because the cluster is down");
        bench.all_up();
        fails(&mut bench, 3, None);
        assert!(texts(&bench).is_empty());
    }

    #[test]
    fn a_machine_that_a_person_confirmed_to_be_off_is_not_woken() {
        let mut bench = bench();
        let at = bench.now;
        bench.obs.confirmations = Fact::known(vec![Confirmation { node: node(3), at, boot_id: None }], at);
        assert_eq!(texts(&bench), [SECOND]);
        let told = stayed_dark(&bench.view(), &node(3), &bench.spec.nodes[&node(3)]);
        assert_eq!(told.unwrap(), "n3 was confirmed to be off by a person, so it is not woken");
    }
}
