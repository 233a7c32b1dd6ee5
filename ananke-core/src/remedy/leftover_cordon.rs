//! Gives back cordons whose run is gone or whose repair is over (trap `node-left-cordoned`), and marks those that need a person.
//! What people did to a node is not touched.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Action;
use super::restart_agent::{self, Need};
use crate::engine::view::View;
use crate::lease::expiry::{Finding, Sweep, sweep};
use crate::lease::{Lease, Purpose, taint_lease};
use crate::name::{LeaseId, Moment, NodeName};
use crate::observation::{NodeState, Tri};
use crate::order::{ClusterOrder, Order};
use crate::phase::cordons_released;
use crate::verdict::GateId;

/// Between two tries on the same node: the next list of nodes must have come.
const PAUSE: Duration = Duration::from_secs(5);
/// A kubelet that lives renews its Lease within 10 s, and its host answers within as much again: who watched for this long
/// has seen what there is to see.
const WATCHED: Duration = Duration::from_secs(40);

pub(crate) fn plan(view: &View<'_>) -> Vec<Action> {
    plan_for(view, &Needs::of(view))
}

/// What is to be sent, with the leases that are still needed left alone.
pub(crate) fn plan_for(view: &View<'_>, needs: &Needs) -> Vec<Action> {
    let Ok(nodes) = view.nodes() else { return Vec::new() };
    found(view, needs)
        .iter()
        .filter_map(|finding| action(view, nodes, finding))
        // What is owed is owed until it is done: a pause, and no budget.
        .filter(|action| view.history().allows(action.order.verb(), &action.order.subject(), view.now, u32::MAX, PAUSE))
        .collect()
}

/// The order that a finding asks for; none where only the record moves.
pub(crate) fn action(view: &View<'_>, nodes: &[NodeState], finding: &Finding) -> Option<Action> {
    let seen = |name: &NodeName| view.listed(nodes, name).map(|node| node.version.clone());
    let lease = |id: &LeaseId| view.leases().iter().map(|record| &record.lease).find(|lease| lease.id == *id);
    let (order, why) = match finding.clone() {
        Finding::Release { node, lease: id } => {
            let why = lease(&id).map_or_else(String::new, |lease| why_released(view, lease));
            (ClusterOrder::Uncordon { seen: seen(&node)?, node, lease: id }, why)
        }
        Finding::Mark { node, lease: id, sentence } => {
            let expired = lease(&id).is_some_and(|lease| lease.expired(view.now, view.uptime));
            let when = if expired { "its lease is over" } else { "its repair was given up" };
            let order = ClusterOrder::MarkManual { seen: seen(&node)?, node, lease: id, sentence, at: view.now };
            (order, format!("{when}, and the node is not proved"))
        }
        Finding::ClearMark { node, .. } => {
            (ClusterOrder::ClearMark { seen: seen(&node)?, node }, "a person lifted the cordon that it goes with".to_owned())
        }
        Finding::Settle { .. } | Finding::Adopt(_) | Finding::Foreign { .. } => return None,
    };
    Some(Action { order: Order::Cluster(order), why })
}

fn why_released(view: &View<'_>, lease: &Lease) -> String {
    let of_this_run = cordons_released::own(view).contains(&lease.id);
    match (lease.purpose, of_this_run) {
        (Purpose::Repair, true) => "what it was repaired under is not needed any more".to_owned(),
        (Purpose::Drain, true) => "the drain is over".to_owned(),
        (Purpose::Repair | Purpose::Drain, false) => format!("the run that placed lease {} is over", lease.id),
        (Purpose::Unknown, _) => "its lease is lost and the node is proved".to_owned(),
    }
}

/// Which leases are still wanted, and which are not.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) in_use: BTreeSet<LeaseId>,
    pub(crate) done_with: BTreeSet<LeaseId>,
    pub(crate) given_up: BTreeSet<LeaseId>,
    /// No cordon may outlive this shutdown, whoever placed it.
    pub(crate) closing: bool,
}

impl Needs {
    /// Of the leases of this run: a drain's until the cordons are released, a repair's until the node is back or given up.
    pub(crate) fn of(view: &View<'_>) -> Self {
        let closing = view.gate(GateId::CordonsReleased).is_some_and(|gate| gate.opened.is_some());
        let mut needs = Self { closing, ..Self::default() };
        let own = cordons_released::own(view);
        for record in view.leases().iter().filter(|record| own.contains(&record.lease.id)) {
            let need = match record.lease.purpose {
                Purpose::Repair => restart_agent::need(view, record),
                Purpose::Drain | Purpose::Unknown if closing => Need::DoneWith,
                Purpose::Drain | Purpose::Unknown => Need::InUse,
            };
            let set = match need {
                Need::InUse => &mut needs.in_use,
                Need::DoneWith => &mut needs.done_with,
                Need::GivenUp => &mut needs.given_up,
            };
            set.insert(record.lease.id.clone());
        }
        needs
    }

    /// Nothing is wanted any more, as when a run is interrupted.
    pub(crate) fn giving_back(view: &View<'_>) -> Self {
        Self { done_with: cordons_released::own(view), ..Self::default() }
    }
}

/// What a sweep finds of what is seen, with `needs`.
pub(crate) fn found(view: &View<'_>, needs: &Needs) -> Vec<Finding> {
    let Ok(nodes) = view.nodes() else { return Vec::new() };
    let (mut good, mut bad) = (BTreeSet::new(), BTreeSet::new());
    for node in nodes.iter().filter(|node| taint_lease(node).is_some()) {
        if proved(view, node) {
            good.insert(node.name.clone());
        } else if watched(view, &node.name) {
            bad.insert(node.name.clone());
        }
    }
    let with = Sweep {
        now: view.now,
        uptime: view.uptime,
        cluster: view.api().ok().map(|api| &api.cluster_uid),
        holder: &view.spec.holder,
        asked: view.nodes_asked,
        in_use: &needs.in_use,
        done_with: &needs.done_with,
        given_up: &needs.given_up,
        proved: &good,
        unproved: &bad,
        closing: needs.closing,
    };
    sweep(view.leases(), nodes, &with)
}

/// Whether the node itself is proved: its kubelet was seen to renew its Lease, its boot is the host's, and nothing is wrong
/// with it but that the network plugin is not there. That one comes as a DaemonSet, which our own taint keeps away.
pub(crate) fn proved(view: &View<'_>, node: &NodeState) -> bool {
    let same_boot = view.spec.is_unmanaged(&node.name)
        || view.known_host(&node.name).is_some_and(|host| node.boot_id.as_ref() == Some(&host.boot_id));
    same_boot && view.kubelet_alive(&node.name) && (node.ready == Tri::True || lacks_network_only(node))
}

/// Whether a node under repair is back. Before its agent was restarted only Ready says so; after it, what was seen since.
pub(super) fn back_after(view: &View<'_>, node: &NodeState, restarted: Option<Moment>) -> bool {
    let beat = view.heartbeat(&node.name).and_then(|beat| beat.advanced_at);
    let since = match restarted {
        Some(at) => beat.is_some_and(|beat| beat > at),
        None => node.ready == Tri::True,
    };
    since && proved(view, node)
}

/// The kubelet puts several reasons in brackets: a text that begins with this one has no other.
fn lacks_network_only(node: &NodeState) -> bool {
    node.ready == Tri::False && node.message.starts_with("container runtime network not ready")
}

fn watched(view: &View<'_>, node: &NodeName) -> bool {
    let long_ago = |since: Moment| view.now.since(since) >= WATCHED;
    long_ago(view.began) && view.heartbeat(node).is_none_or(|beat| long_ago(beat.watched_since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;

    #[test]
    fn an_orphaned_cordon_is_given_back_on_the_version_that_was_seen() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon(2);
        let actions = plan(&bench.view());
        let texts: Vec<String> = actions.iter().map(|action| action.order.to_string()).collect();
        assert_eq!(texts, ["give back the cordon of n2 (lease lease-2)"]);
        bench.change_node(2, |node| (node.taints, node.lease_note) = (Vec::new(), None));
        assert!(plan(&bench.view()).is_empty(), "a person took the cordon away: nothing is sent");
    }

    #[test]
    fn a_good_node_whose_lease_ended_while_the_api_was_away_is_given_back_and_not_marked() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon(2);
        bench.leases[0].lease.purpose = Purpose::Repair;
        let later = |bench: &mut Bench, secs| bench.now = bench.now.plus(Duration::from_secs(secs));
        later(&mut bench, 3590);
        bench.renew(2);
        later(&mut bench, 5);
        let away = crate::port::PortError::new(crate::port::ErrorKind::Transient, "list nodes", "the API server", "refused");
        bench.obs.fold_nodes(Err(away), bench.now);
        later(&mut bench, 60);
        bench.change_node(2, |_| {});
        bench.refresh_api();
        bench.host_up(2);
        let texts = |bench: &Bench| plan(&bench.view()).iter().map(|it| it.order.to_string()).collect::<Vec<_>>();
        assert!(texts(&bench).is_empty(), "no kubelet could renew its Lease, and none has had the time to: {:?}", texts(&bench));
        later(&mut bench, 5);
        bench.renew(2);
        assert_eq!(texts(&bench), ["give back the cordon of n2 (lease lease-2)"]);
    }

    #[test]
    fn a_node_is_proved_by_its_kubelet_and_boot_and_may_lack_only_its_network() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let is_proved = |bench: &Bench| proved(&bench.view(), &bench.obs.nodes.last().unwrap()[0]);
        assert!(is_proved(&bench));
        let network = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized";
        for (ready, message, expected) in [
            (Tri::False, network.to_owned(), true),
            (Tri::False, format!("[container runtime is down, {network}]"), false),
            (Tri::False, String::new(), false),
            (Tri::Unknown, network.to_owned(), false),
        ] {
            bench.change_node(1, |node| (node.ready, node.message) = (ready, message.as_str().into()));
            assert_eq!(is_proved(&bench), expected, "{ready:?} {message}");
        }
        bench.change_node(1, |node| node.ready = Tri::True);
        bench.host(1, |host| host.boot_id = crate::name::BootId::parse("other").unwrap());
        assert!(!is_proved(&bench), "another boot");
    }

    #[test]
    fn each_order_names_the_version_of_its_node_and_the_run_that_is_over() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon(1);
        bench.cordon(2);
        bench.change_node(2, |node| node.version = crate::name::ResourceVersion::parse("7").unwrap());
        let told: Vec<String> = plan(&bench.view())
            .iter()
            .map(|it| {
                let Order::Cluster(ClusterOrder::Uncordon { node, seen, .. }) = &it.order else { panic!("{}", it.order) };
                format!("{node} at {}: {}", seen.as_str(), it.why)
            })
            .collect();
        assert_eq!(
            told,
            ["n1 at 1: the run that placed lease lease-1 is over", "n2 at 7: the run that placed lease lease-2 is over"]
        );
    }

    #[test]
    fn a_drain_of_this_run_is_needed_until_the_cordons_are_to_be_released() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon(1);
        bench.cordon(2);
        let own = LeaseId::parse("startup-test-2").unwrap();
        bench.leases[1].lease.id = own.clone();
        let only = BTreeSet::from([own]);
        let needs = Needs::of(&bench.view());
        assert_eq!((&needs.in_use, needs.done_with.is_empty(), needs.closing), (&only, true, false));
        bench.open(GateId::CordonsReleased);
        let needs = Needs::of(&bench.view());
        assert_eq!((&needs.done_with, needs.in_use.is_empty(), needs.closing), (&only, true, true));
        assert_eq!(Needs::giving_back(&bench.view()).done_with, only);
    }

    #[test]
    fn a_node_that_was_watched_for_long_and_is_not_proved_is_marked_when_its_lease_ends() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon(2);
        bench.leases[0].lease.purpose = Purpose::Repair;
        bench.obs.hosts.remove(&crate::gate::testing::node(2));
        bench.now = bench.now.plus(Duration::from_secs(3601));
        bench.fresh_lists();
        bench.refresh_api();
        let actions = plan(&bench.view());
        let orders: Vec<(&str, &str)> = actions.iter().map(|it| (it.order.verb(), it.why.as_str())).collect();
        assert_eq!(orders, [("mark-manual", "its lease is over, and the node is not proved")]);
    }
}
