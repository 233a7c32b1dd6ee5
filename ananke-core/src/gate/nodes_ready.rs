//! Gate `nodes-ready`: a node counts when it is Ready, its kubelet's Lease was seen to advance, and its boot ID is that of
//! the host over SSH. Readiness alone is stale for about a minute after an outage (recordings: `all-nodes-lost`).

use std::collections::BTreeMap;

use crate::engine::view::{View, joined};
use crate::gate::node_ssh::go_and_look;
use crate::lease::{LeaseState, taint_lease};
use crate::name::{NodeName, Subject};
use crate::observation::{HostState, NodeState, Tri};
use crate::port::clean;
use crate::remedy::restart_agent::{Stance, Ward};
use crate::remedy::start_units;
use crate::spec::NodeSpec;
use crate::verdict::{Judgement, Reason, Trap, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let nodes = match view.nodes() {
        Ok(nodes) => nodes,
        Err(gap) => {
            return Judgement::of(Subject::Cluster, Verdict::unknown(gap, "look at the API server: it does not list nodes"));
        }
    };
    let by_name: BTreeMap<&NodeName, &NodeState> = nodes.iter().map(|node| (&node.name, node)).collect();
    let ward = Ward::default();
    let mut judgement: Judgement = (joined(view.with_hosts(view.spec.nodes.iter()), by_name.into_iter()))
        .map(|(name, ((expected, host), found))| (Subject::Node(name.clone()), judge(view, name, expected, (host, found), &ward)))
        .collect();
    let cordoned = nodes.iter().filter(|node| node.unschedulable);
    judgement
        .notes
        .extend(cordoned.map(|node| format!("{} is cordoned by someone else (spec.unschedulable); left as it is", node.name)));
    judgement.notes.extend(unknown(view, nodes));
    judgement
}

fn judge(
    view: &View<'_>,
    name: &NodeName,
    expected: &NodeSpec,
    (host, found): (Option<&HostState>, Option<&NodeState>),
    ward: &Ward,
) -> Verdict {
    let silent = |reason, text: String| match &host {
        None if !expected.is_managed() => {
            Verdict::waiting(reason, text, format!("look at {name} by the tools of its system: Ananke has no SSH there"))
        }
        None => Verdict::follows(reason, Subject::Node(name.clone()), format!("{text}, and its host does not answer SSH")),
        Some(_) => ailing(view, (name, expected), found, ward, reason, text),
    };
    let Some(node) = found else {
        return silent(Reason::NodeAbsent, format!("{name} is not registered"));
    };
    if let Some(sentence) = marked(view, node) {
        return Verdict::person(Reason::ManualActionMarked, format!("{name} is marked for manual action"), clean(&sentence, 400));
    }
    match node.ready {
        Tri::True => {}
        Tri::False | Tri::Unknown => {
            return silent(Reason::NodeNotReady, format!("{name} is not Ready ({})", clean(&node.reason, 80)));
        }
    }
    if !view.kubelet_alive(name) {
        return silent(Reason::HeartbeatNotSeen, format!("{name} says Ready, but its kubelet was not seen to renew its Lease"));
    }
    if let Some(lease) = taint_lease(node) {
        let text = format!("{name} carries a cordon of Ananke (lease {})", clean(lease, 63));
        return Verdict::repairable(
            Reason::CordonOutstanding,
            Trap::NodeLeftCordoned,
            text,
            format!("run `ananke lease release {name}`"),
        );
    }
    match host {
        None if !expected.is_managed() => Verdict::pass("Ready, Lease advances; no SSH, so its boot is not compared"),
        // The API vouches for the kubelet; that it is the host we mean, only the host can.
        None => Verdict::follows(
            Reason::HostUnreachable,
            Subject::Node(name.clone()),
            format!("{name} is Ready and renews its Lease, but its boot ID cannot be compared: its host does not answer SSH"),
        ),
        Some(host) if node.boot_id.as_ref() == Some(&host.boot_id) => {
            Verdict::pass(format!("Ready, Lease advances, boot {}", host.boot_id))
        }
        Some(host) if node.runs_on(host) == Some(false) => Verdict::person(
            Reason::MachineDiffers,
            format!(
                "the host that answers as {name} is another machine than the node {name}: its machine ID is {}",
                host.machine_id
            ),
            format!(
                "find out which box has the address of {name}, and correct its DHCP reservation or its entry in ssh_node_hosts; \
                 `kubectl get node {name} -o jsonpath={{.status.nodeInfo.machineID}}` must be what /etc/machine-id has there"
            ),
        ),
        Some(_) => Verdict::waiting(
            Reason::BootIdDiffers,
            format!("{name} reports another boot ID than its host: its status is from before this boot"),
            format!(
                "compare `kubectl get node {name} -o jsonpath={{.status.nodeInfo.bootID}}` with the host; {}",
                go_and_look(name, expected)
            ),
        ),
    }
}

/// A node whose host runs: whether its agent is restarted, and if not, why not.
fn ailing(
    view: &View<'_>,
    (name, expected): (&NodeName, &NodeSpec),
    found: Option<&NodeState>,
    ward: &Ward,
    reason: Reason,
    text: String,
) -> Verdict {
    let unit = &expected.unit;
    let (text, look) = match start_units::refused(view, name) {
        Some((error, remedy)) => (format!("{text}: {error}"), remedy),
        None => (text, format!("look at `journalctl -u {unit}` there: the host runs and its kubelet does not report")),
    };
    let Some(node) = found else { return Verdict::waiting(reason, text, look) };
    match ward.stance(view, node) {
        Stance::Waits => Verdict::waiting(reason, text, look),
        Stance::Repairs => {
            Verdict::repairable(reason, Trap::KubeletWedged, format!("{text}; {unit} is restarted under a lease"), look)
        }
        Stance::Spent => Verdict::waiting(reason, format!("{text}; it had its repair within the last hour"), look),
        Stance::Braked(brake) => {
            let text = format!("{text}; {unit} is not restarted: {brake}");
            Verdict::waiting(brake.reason(), text, format!("{}, and {look}", brake.advice()))
        }
        Stance::CoordinationHeld(by) => {
            let text = format!("{text}; {unit} is not restarted while the Ananke on {by} holds the coordination Lease");
            Verdict::waiting(Reason::CoordinationHeld, text, look)
        }
    }
}

/// The sentence of a mark for manual action: the node's, or, where someone removed that, the lease's own.
fn marked(view: &View<'_>, node: &NodeState) -> Option<String> {
    let of_lease = || {
        let standing = view.leases().iter().find(|record| record.state == LeaseState::Manual && record.lease.stands_on(node));
        standing.map(|record| record.lease.sentence())
    };
    node.manual_note.as_deref().map(str::to_owned).or_else(of_lease)
}

/// Nodes of the cluster that the config does not speak of, in one line: there may be thousands.
fn unknown(view: &View<'_>, nodes: &[NodeState]) -> Option<String> {
    let known = |name: &NodeName| view.spec.nodes.contains_key(name) || view.spec.ignored.contains(name);
    let mut unknown = nodes.iter().map(|node| &node.name).filter(|name| !known(name));
    let first = unknown.next()?;
    Some(match unknown.count() {
        0 => format!("{first} is in the cluster and not in the config"),
        more => format!("{first} and {more} more are in the cluster and not in the config"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};
    use crate::observation::UnitState;
    use crate::order::{HostOrder, Order};
    use crate::port::{ErrorKind, PortError};

    #[test]
    fn ready_is_believed_only_with_an_advancing_lease_and_this_boots_id() {
        let mut bench = Bench::new(1);
        bench.check(evaluate, "the cluster: unknown");
        bench.api_up();
        bench.check(evaluate, "n1: hold node-absent follows n1");
        bench.host_up(1);
        bench.node_stale_ready(1);
        bench.check(evaluate, "n1: hold heartbeat-not-seen waiting");
        bench.renew(1);
        bench.check(evaluate, "n1: pass");
        bench.host(1, |host| host.boot_id = crate::name::BootId::parse("other").unwrap());
        bench.check(evaluate, "n1: hold boot-id-differs waiting");
        bench.host(1, |host| host.machine_id = "machine-9".to_owned());
        bench.check(evaluate, "n1: hold machine-differs person");
        bench.obs.hosts.clear();
        bench.check(evaluate, "n1: hold host-unreachable follows n1");
    }

    #[test]
    fn whose_unit_nobody_may_start_is_told_what_is_missing_and_not_to_read_a_journal() {
        let mut bench = Bench::new(1);
        bench.api_up();
        bench.host_up(1);
        let told = |bench: &Bench| match evaluate(&bench.view()).subjects.remove(&Subject::Node(node(1))) {
            Some(Verdict::Hold(blocker)) => (blocker.text, blocker.if_it_lasts),
            other => panic!("{other:?}"),
        };
        let start = Order::Host { node: node(1), order: HostOrder::Start(bench.spec.nodes[&node(1)].unit.clone()) };
        bench.host(1, |host| host.unit = UnitState::Inactive);
        let journal = "look at `journalctl -u k3s` there: the host runs and its kubelet does not report";
        assert_eq!(told(&bench), ("n1 is not registered".to_owned(), journal.to_owned()));
        let missing = "add to /etc/sudoers.d/ananke on n1: ops ALL=(root) NOPASSWD: /usr/bin/systemctl start --no-block k3s";
        let error = PortError::new(ErrorKind::Denied, "start k3s", "n1", "sudo: a password is required").with_remedy(missing);
        bench.history.sent(&start, bench.now);
        bench.history.answered(&start, Some(error));
        let text = "n1 is not registered: start k3s on n1: sudo: a password is required";
        assert_eq!(told(&bench), (text.to_owned(), missing.to_owned()));
        bench.host(1, |host| host.unit = UnitState::Active);
        assert_eq!(told(&bench).1, journal, "somebody has started it");
    }

    #[test]
    fn a_node_without_ssh_is_judged_by_the_api_alone() {
        let mut bench = Bench::new(1);
        bench.unmanage(1);
        bench.api_up();
        bench.check(evaluate, "n1: hold node-absent waiting");
        bench.node_stale_ready(1);
        bench.check(evaluate, "n1: hold heartbeat-not-seen waiting");
        bench.renew(1);
        bench.check(evaluate, "n1: pass");
        bench.change_node(1, |node| node.ready = Tri::False);
        bench.check(evaluate, "n1: hold node-not-ready waiting");
    }

    #[test]
    fn a_persons_cordon_is_noted_and_does_not_hold() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.change_node(1, |node| node.unschedulable = true);
        bench.check(evaluate, "n1: pass\nnote: n1 is cordoned by someone else (spec.unschedulable); left as it is");
    }

    #[test]
    fn a_cordon_of_ours_and_a_manual_mark_hold() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.cordon(1);
        bench.check(evaluate, "n1: hold cordon-outstanding repairable");
        bench.change_node(1, |node| node.manual_note = Some("replace the disk of n1".into()));
        bench.check(evaluate, "n1: hold manual-action-marked person");
    }

    #[test]
    fn a_node_that_the_config_does_not_know_is_noted_unless_it_is_ignored() {
        let mut bench = Bench::new(2);
        bench.all_up();
        let node = node(2);
        bench.spec.nodes.remove(&node);
        bench.check(evaluate, "n1: pass\nnote: n2 is in the cluster and not in the config");
        bench.spec.ignored.push(node);
        bench.check(evaluate, "n1: pass");
        let mut bench = Bench::new(4);
        bench.all_up();
        for n in 2..=4 {
            bench.spec.nodes.remove(&crate::gate::testing::node(n));
        }
        bench.check(evaluate, "n1: pass\nnote: n2 and 2 more are in the cluster and not in the config");
    }
}
