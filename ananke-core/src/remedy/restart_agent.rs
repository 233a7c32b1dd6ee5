//! Restarts the agent of a node whose host runs and whose kubelet does not (trap `kubelet-wedged`): wait, cordon under a lease,
//! restart once, and then either the node is proved and the cordon given back, or it is marked for a person.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::leftover_cordon::{back_after, proved};
use super::{Action, Budget};
use crate::coordination;
use crate::engine::history::REPAIR_REMEMBERED;
use crate::engine::view::View;
use crate::fact::Fact;
use crate::lease::brakes::{self, Brake, Fleet};
use crate::lease::{Age, Lease, LeaseRecord, LeaseState, Purpose, Terms, id_for, read_note, taint_lease};
use crate::name::{Moment, NodeName, Subject};
use crate::observation::{HostState, NodeState, Tri, UnitState};
use crate::order::{ClusterOrder, HostOrder, Order};
use crate::phase::cordons_released;
use crate::port::clean;
use crate::verdict::{GateId, Trap};

/// Conflicts are judged again, with the next list of nodes.
const CORDON: Budget = Budget { trap: Trap::KubeletWedged, times: 10, pause: Duration::from_secs(2) };
/// One restart under one lease: what did not help at once does not help twice.
const RESTART: Budget = Budget { trap: Trap::KubeletWedged, times: 1, pause: Duration::ZERO };
/// While a repair is under way, servers are looked at on every poll.
const JUST_NOW: Duration = Duration::from_secs(10);

/// What this remedy makes of a node that is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stance<'a> {
    /// Not its business, or not yet: it may come by itself.
    Waits,
    /// Its turn comes, or it is under repair.
    Repairs,
    Braked(Brake),
    /// Another Ananke cordons.
    CoordinationHeld(&'a str),
    /// It was repaired, or is marked, within the last hour.
    Spent,
}

/// Whether an own repair lease is still needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    InUse,
    DoneWith,
    GivenUp,
}

pub(super) fn plan(view: &View<'_>) -> Vec<Action> {
    let Ok(nodes) = view.nodes() else { return Vec::new() };
    let repairs = own_repairs(view);
    let held = nodes.iter().filter_map(|node| repairs.get(&node.name).map(|record| (node, *record)));
    let mut actions: Vec<Action> = held.filter_map(|(node, record)| restart(view, nodes, node, record)).collect();
    if coordination::may_cordon(view) {
        actions.extend(wanted(view).into_iter().filter_map(|node| cordon(view, node)));
    }
    actions
}

/// Whether a cordon is wanted: then the coordination Lease is.
pub(crate) fn wants(view: &View<'_>) -> bool {
    !wanted(view).is_empty()
}

/// What this remedy knows of all nodes at one moment, worked out once where a node asks.
#[derive(Debug, Default)]
pub(crate) struct Ward(OnceCell<Fleet>);

impl Ward {
    pub(crate) fn stance<'a>(&self, view: &View<'a>, node: &NodeState) -> Stance<'a> {
        let Ok(nodes) = view.nodes() else { return Stance::Waits };
        if taint_lease(node).is_some() && own_repairs(view).get(&node.name).is_some_and(|record| record.state.outstanding()) {
            return Stance::Repairs;
        }
        if trouble(view, node).is_none() {
            return Stance::Waits;
        }
        if is_spent(view, &node.name) {
            return Stance::Spent;
        }
        if let Err(brake) = brakes::check(self.0.get_or_init(|| fleet(view, nodes)), &node.name) {
            return Stance::Braked(brake);
        }
        coordination::held_by(view).map_or(Stance::Repairs, Stance::CoordinationHeld)
    }
}

/// What becomes of an outstanding repair lease of this run.
pub(crate) fn need(view: &View<'_>, record: &LeaseRecord) -> Need {
    let (Ok(nodes), name) = (view.nodes(), &record.lease.node) else { return Need::InUse };
    let Some(node) = nodes.iter().find(|node| node.name == *name) else { return Need::InUse };
    let restarted = restarted(view, name);
    if back_after(view, node, restarted) {
        return Need::DoneWith;
    }
    let gate = view.gate(GateId::NodesReady);
    let overdue = gate.is_some_and(|gate| gate.overdue.contains(&Subject::Node(name.clone())));
    match restarted {
        Some(at) if overdue && view.has_passed(view.spec.repair_after, at) => Need::GivenUp,
        Some(_) => Need::InUse,
        // Nothing will be done under it: it is given back as it was taken.
        None if trouble(view, node).is_some() && brakes::check(&fleet(view, nodes), name).is_err() => Need::DoneWith,
        None if overdue && trouble(view, node).is_none() && !boots(view, name) => Need::GivenUp,
        None => Need::InUse,
    }
}

/// Nodes to be cordoned now, as far as brakes and budgets let them.
fn wanted<'a>(view: &View<'a>) -> Vec<&'a NodeState> {
    let Ok(nodes) = view.nodes() else { return Vec::new() };
    let open = |node: &&NodeState| taint_lease(node).is_none() && trouble(view, node).is_some() && !is_spent(view, &node.name);
    let mut wanted: Vec<&NodeState> = nodes.iter().filter(open).collect();
    if wanted.is_empty() {
        return wanted;
    }
    let mut fleet = fleet(view, nodes);
    wanted.retain(|node| {
        let free = brakes::check(&fleet, &node.name).is_ok();
        if free {
            fleet.under_repair.insert(node.name.clone());
            if let Some(works) = fleet.servers.get_mut(&node.name) {
                *works = false;
            }
        }
        free
    });
    wanted
}

fn cordon(view: &View<'_>, node: &NodeState) -> Option<Action> {
    let (api, why) = (view.api().ok()?, trouble(view, node)?);
    let place = view.spec.nodes.keys().position(|name| *name == node.name)?;
    let terms = Terms {
        holder: &view.spec.holder,
        purpose: Purpose::Repair,
        reason: &why,
        now: view.now,
        uptime: view.uptime,
        window: view.spec.cordon_window,
    };
    let lease = Lease::new(id_for(view.run, Purpose::Repair, place)?, node, &api.cluster_uid, &terms);
    let lease = lease.of_first_try(view.leases(), view.now, view.uptime);
    let order = ClusterOrder::Cordon { node: node.name.clone(), seen: node.version.clone(), lease: Box::new(lease) };
    let order = Order::Cluster(order);
    CORDON.allows(view, &order).then_some(Action { order, why })
}

/// The one restart under a lease that stands.
fn restart(view: &View<'_>, nodes: &[NodeState], node: &NodeState, record: &LeaseRecord) -> Option<Action> {
    let held = record.state == LeaseState::Held && record.lease.stands_on(node) && !record.lease.expired(view.now, view.uptime);
    let unit = view.spec.nodes.get(&node.name)?.unit.clone();
    let order = Order::Host { node: node.name.clone(), order: HostOrder::Restart(unit) };
    let mut fleet = fleet(view, nodes);
    for (server, works) in &mut fleet.servers {
        *works &= heard_just_now(view, server);
    }
    if !held || !RESTART.allows(view, &order) || brakes::check(&fleet, &node.name).is_err() {
        return None;
    }
    trouble(view, node).map(|why| Action { order, why })
}

/// What has been wrong with the node for too long, in words that stay true: a host that answers, a unit that runs, and a
/// kubelet that does not.
fn trouble(view: &View<'_>, node: &NodeState) -> Option<String> {
    let (patience, now, name) = (view.spec.repair_after, view.now, &node.name);
    let long_ago = |since: Moment| now.since(since) >= patience;
    // While the API is away no kubelet can report, and just after it came back none has.
    if !view.gate(GateId::ControlPlane)?.settled.is_some_and(long_ago) || node.manual_note.is_some() {
        return None;
    }
    let beat = view.heartbeat(name);
    let silent = view.kubelet_silent(name) && beat.is_none_or(|beat| long_ago(beat.advanced_at.unwrap_or(beat.watched_since)));
    let unready = node.ready != Tri::True && view.unready_since(name).is_some_and(long_ago);
    if !silent && !unready {
        return None;
    }
    let (unit, host) = (&view.spec.nodes.get(name)?.unit, view.known_host(name)?);
    let started = view.history().tries("start-unit", &Subject::Node(name.clone())).last;
    // A kubelet that begins anew would write into the directory where another disk belongs.
    let disks = !host.health.root_read_only && host.health.missing_mounts.is_empty();
    if host.unit != UnitState::Active || !disks || host.uptime < patience || !started.is_none_or(long_ago) {
        return None;
    }
    Some(if silent {
        format!("its kubelet is silent although its host and {unit} run")
    } else {
        format!("it is not Ready ({}) although its host and {unit} run", clean(&node.reason, 80))
    })
}

/// A server that answered a while ago may have gone since, and etcd would lose two at once.
fn heard_just_now(view: &View<'_>, server: &NodeName) -> bool {
    let answers = |fact: &Fact<HostState>| {
        fact.newest_failure().is_none() && fact.seen_at().is_some_and(|at| view.now.since(at) <= JUST_NOW.max(view.spec.poll * 3))
    };
    view.spec.is_unmanaged(server) || view.host_fact(server).is_some_and(answers)
}

/// Whether the host has booted so lately that its kubelet may yet report by itself.
fn boots(view: &View<'_>, node: &NodeName) -> bool {
    view.known_host(node).is_some_and(|host| host.uptime < view.spec.repair_after)
}

/// A node whose host runs and which is not well now, for however short: those that are still coming up count too, so that a
/// storm is not repaired node by node as patience runs out.
fn unwell(view: &View<'_>, node: &NodeState) -> bool {
    let well = node.ready == Tri::True && view.kubelet_alive(&node.name);
    !well && node.manual_note.is_none() && view.spec.nodes.contains_key(&node.name) && view.known_host(&node.name).is_some()
}

fn fleet(view: &View<'_>, nodes: &[NodeState]) -> Fleet {
    let find = |name: &NodeName| view.listed(nodes, name);
    let works = |name: &NodeName| {
        let unit_runs = view.spec.is_unmanaged(name) || view.known_host(name).is_some_and(|host| host.unit == UnitState::Active);
        unit_runs && find(name).is_some_and(|node| node.ready == Tri::True && proved(view, node))
    };
    let repairs = |purpose: Purpose| matches!(purpose, Purpose::Repair | Purpose::Unknown);
    let out = view.leases().iter().filter(|record| record.state.outstanding() && repairs(record.lease.purpose));
    let standing = nodes.iter().filter(|node| purpose_of(view, node).is_some_and(repairs));
    Fleet {
        servers: view.spec.servers().map(|(name, _)| (name.clone(), works(name))).collect(),
        ignored_servers: view.spec.ignored_servers,
        nodes: view.spec.nodes.len(),
        sick: nodes.iter().filter(|node| unwell(view, node)).map(|node| node.name.clone()).collect(),
        under_repair: out.map(|record| record.lease.node.clone()).chain(standing.map(|node| node.name.clone())).collect(),
        max_cordons: view.spec.max_cordons,
    }
}

/// What the cordon that stands on a node is for.
fn purpose_of(view: &View<'_>, node: &NodeState) -> Option<Purpose> {
    let id = taint_lease(node)?;
    let record = view.leases().iter().find(|record| record.lease.id.as_str() == id).map(|record| record.lease.purpose);
    let noted = || node.lease_note.as_deref().and_then(read_note).map(|lease| lease.purpose);
    record.or_else(noted).or(Some(Purpose::Unknown))
}

/// The repair leases of this run, or of one before it that died on the same job; the newest of each node.
fn own_repairs<'a>(view: &View<'a>) -> BTreeMap<&'a NodeName, &'a LeaseRecord> {
    let own = cordons_released::own(view);
    let repairs = view.leases().iter().filter(|record| record.lease.purpose == Purpose::Repair && own.contains(&record.lease.id));
    let mut by_age: Vec<&LeaseRecord> = repairs.collect();
    by_age.sort_by_key(|record| record.lease.acquired);
    // Of several of a node the last one stays.
    by_age.into_iter().map(|record| (&record.lease.node, record)).collect()
}

/// Whether the node had its repair: one lease an hour, whoever placed it. One that is not known to stand may be tried again.
fn is_spent(view: &View<'_>, node: &NodeName) -> bool {
    let own = cordons_released::own(view);
    let mut repairs = view.leases().iter().filter(|record| record.lease.purpose == Purpose::Repair && record.lease.node == *node);
    repairs.any(|record| {
        let retried = record.state == LeaseState::Intended && own.contains(&record.lease.id);
        let recent = matches!(record.lease.age(view.now, view.uptime), Age::Known(age) if age < REPAIR_REMEMBERED);
        recent && !retried
    })
}

/// When the agent was restarted in this recovery; a restart by a run that died counts from that run's last sign of life.
fn restarted(view: &View<'_>, node: &NodeName) -> Option<Moment> {
    let tries = view.history().tries("restart-unit", &Subject::Node(node.clone()));
    tries.last.or(tries.first)
}

#[cfg(test)]
mod tests;
