//! Orders that take something away from what is well: a mistake of whoever sends them, however quickly all is there again.

use ananke_core::name::NodeName;
use ananke_core::observation::Tri;
use ananke_core::order::HostOrder;

use super::{Ms, World};

/// What has not been so for this long, nobody can know yet.
const KNOWN_AFTER: Ms = 60_000;

impl World {
    /// An order of Ananke to a host is about to be carried out.
    pub(crate) fn is_told(&mut self, node: &NodeName, order: &HostOrder) {
        let Some(row) = self.node_row(node) else { return };
        let needless = match order {
            HostOrder::Reboot => {
                let host = &self.hosts[row];
                !host.health.root_read_only && self.now - host.booted_at > KNOWN_AFTER
            }
            HostOrder::Restart(_) => self.is_well(row),
            HostOrder::Start(_)
            | HostOrder::Stop(_)
            | HostOrder::KillPods(_)
            | HostOrder::SaveSnapshot(_)
            | HostOrder::LoadImages(_)
            | HostOrder::PowerOff
            | HostOrder::PowerOffNow => false,
        };
        if needless {
            self.harmed(format!("{node} was told to {}, and nothing was wrong with it", verb(order)));
        }
    }

    /// Its kubelet lives and says that the node is Ready, and has for a while.
    fn is_well(&self, row: usize) -> bool {
        let (host, node) = (&self.hosts[row], &self.nodes[row]);
        let long = |since: Ms| self.now - since > KNOWN_AFTER;
        let ready = node.ready == Tri::True && long(node.ready_since) && node.boot_id.as_ref() == Some(&host.boot_id);
        ready && !node.wedged && node.alive_since.is_some_and(long)
    }
}

fn verb(order: &HostOrder) -> &'static str {
    if matches!(order, HostOrder::Reboot) { "reboot" } else { "restart its unit" }
}
