//! A start-up does not take a server from etcd that it needs.

use ananke_core::name::NodeName;
use ananke_core::order::{HostOrder, Order};

use super::Record;

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut found = Vec::new();
    for (_, sent) in record.sent().filter(|(_, sent)| sent.run.as_str().starts_with("startup")) {
        let Some(node) = stops(&sent.order) else { continue };
        let (all, up) = (&sent.scene.servers, &sent.scene.servers_up);
        let needed = all.len() / 2 + 1;
        if up.contains(node) && up.len() >= needed && up.len() - 1 < needed {
            found.push(format!(
                "{} was sent while {} of {} servers ran, and etcd needs {needed}",
                sent.order,
                up.len(),
                all.len()
            ));
        }
    }
    found
}

/// The node whose agent it stops for a while.
fn stops(order: &Order) -> Option<&NodeName> {
    match order {
        Order::Host { node, order } => match order {
            HostOrder::Stop(_) | HostOrder::Restart(_) | HostOrder::Reboot | HostOrder::PowerOff | HostOrder::PowerOffNow => {
                Some(node)
            }
            HostOrder::Start(_) | HostOrder::KillPods(_) | HostOrder::SaveSnapshot(_) | HostOrder::LoadImages(_) => None,
        },
        Order::Cluster(_) | Order::Unseal | Order::Wake { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{node, reboot, sent};
    use super::*;

    #[test]
    fn the_last_server_that_etcd_can_spare_is_not_stopped() {
        let with = |n: usize, up: &[usize]| {
            let mut order = reboot(n);
            order.scene.servers = (1..=3).map(node).collect();
            order.scene.servers_up = up.iter().copied().map(node).collect();
            check(&sent([order]))
        };
        assert_eq!(with(1, &[1, 2, 3]), Vec::<String>::new());
        assert_eq!(with(1, &[1, 2]), ["reboot titan-01 was sent while 2 of 3 servers ran, and etcd needs 2"]);
        assert_eq!(with(1, &[2, 3]), Vec::<String>::new(), "it does not run");
        assert_eq!(with(1, &[1]), Vec::<String>::new(), "there is no quorum to give away");
        assert_eq!(with(4, &[1, 2]), Vec::<String>::new(), "a worker");
    }
}
