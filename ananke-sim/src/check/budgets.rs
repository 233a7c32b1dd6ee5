//! What takes something away from a node or a pod is not repeated until it helps. A run that came to its end has spent its
//! budgets; one that died has left them to the next.

use std::collections::BTreeMap;

use ananke_core::lease::Lease;
use ananke_core::order::{ClusterOrder, Order};

use super::{Record, What};
use crate::world::Ms;

const HOUR: Ms = 3_600_000;
/// How often within an hour at one subject, whatever it is for. Conflicts are judged again, so those have more; a host that was
/// dark meanwhile has begun another life.
const MOST: &[(&str, usize)] = &[
    ("restart-unit", 1),
    ("reboot", 2),
    ("cordon", 10),
    ("delete-job", 3),
    ("delete-pod", 3),
    ("force-delete-pod", 3),
    ("scale", 4),
    ("reset-release", 2),
    ("force-release", 2),
];

/// One lease an hour, whoever asks.
const OF_LEASES: &str = "restart-unit";

pub(super) fn check(record: &Record) -> Vec<String> {
    /// When something was sent, and under which lease of its node.
    type Times<'a> = Vec<(Ms, Option<&'a Lease>)>;
    let mut times: BTreeMap<(&str, &str, String), Times<'_>> = BTreeMap::new();
    let mut leases: BTreeMap<(&str, String), &Lease> = BTreeMap::new();
    let mut found = Vec::new();
    for event in &record.events {
        let (at, sent) = match &event.what {
            What::Sent(sent) => (event.at, sent),
            What::Ended(ended) => {
                times.retain(|(by, verb, _), _| *by != ended.by || *verb == OF_LEASES);
                continue;
            }
            _ => continue,
        };
        let (verb, subject) = (sent.order.verb(), sent.order.subject().to_string());
        if let Order::Cluster(ClusterOrder::Cordon { lease, .. }) = &sent.order {
            leases.insert((sent.by, subject.clone()), lease);
        }
        let Some((_, most)) = MOST.iter().find(|(of, _)| *of == verb) else { continue };
        let lease = leases.get(&(sent.by, subject.clone())).copied().filter(|_| verb == OF_LEASES);
        let times = times.entry((sent.by, verb, subject)).or_default();
        // The hour of a lease begins with its cordon, which goes out some seconds before.
        let hour = if verb == OF_LEASES { HOUR - 60_000 } else { HOUR };
        times.retain(|(time, under)| passed_by_wall(*under, lease).unwrap_or(at - time) < hour);
        times.push((at, lease));
        if times.len() == most + 1 {
            found.push(format!("{} was sent {} times within an hour", sent.order, times.len()));
        }
    }
    found
}

/// A machine that has booted between two leases knows of the time between them what the clock on its wall says.
fn passed_by_wall(before: Option<&Lease>, lease: Option<&Lease>) -> Option<Ms> {
    let (before, lease) = (before?, lease?);
    let boot = |lease: &Lease| lease.clock.as_ref().map(|clock| clock.boot.clone());
    (boot(before) != boot(lease)).then(|| lease.acquired.as_millis() - before.acquired.as_millis())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ananke_core::name::{BootId, Moment, UnitName};
    use ananke_core::order::HostOrder;
    use ananke_core::port::clock::Uptime;

    use super::super::testing::{cordon, ended, node, reboot, sent};
    use super::super::{Outcome, Sent};
    use super::*;

    #[test]
    fn a_third_reboot_is_one_too_many() {
        assert_eq!(check(&sent([reboot(1), reboot(1), reboot(2)])), Vec::<String>::new());
        assert_eq!(check(&sent([reboot(1), reboot(1), reboot(1)])), ["reboot titan-01 was sent 3 times within an hour"]);
    }

    #[test]
    fn an_hour_between_boots_is_that_of_the_wall() {
        let restarts = |boots: [&str; 2], hours: [i64; 2]| {
            let mut orders: Vec<Sent> = Vec::new();
            for (boot, hour) in boots.into_iter().zip(hours) {
                let mut order = cordon(1);
                if let Order::Cluster(ClusterOrder::Cordon { lease, .. }) = &mut order.order {
                    lease.acquired = Moment::from_millis(hour * HOUR);
                    lease.clock = Some(Uptime { boot: BootId::parse(boot).unwrap(), since_boot: Duration::ZERO });
                }
                let unit = UnitName::parse("k3s-agent").unwrap();
                orders.extend([
                    order.clone(),
                    Sent { order: Order::Host { node: node(1), order: HostOrder::Restart(unit) }, ..order },
                ]);
            }
            check(&sent::<4>(orders.try_into().unwrap())).len()
        };
        assert_eq!(restarts(["a", "a"], [0, 1]), 1, "the clock was set, and no time has passed");
        assert_eq!(restarts(["a", "b"], [0, 1]), 0);
        assert_eq!(restarts(["a", "b"], [0, 0]), 1);
    }

    #[test]
    fn the_next_run_has_budgets_of_its_own() {
        let mut record = sent([reboot(1), reboot(1)]);
        record.note(0, What::Ended(Box::new(ended(Outcome::Manual))));
        record.events.extend(sent([reboot(1)]).events);
        assert_eq!(check(&record), Vec::<String>::new());
    }
}
