//! What a gate or a remedy may look at: the observation, the expectations, the time, and what was done before.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::basis::{Inputs, Looks};
use super::history::History;
use super::walk::{GateRun, Sightings};
use crate::baseline::Baseline;
use crate::fact::{Fact, Gap};
use crate::intent::Intent;
use crate::lease::LeaseRecord;
use crate::name::{Moment, NodeName, ObjectRef, RunId, Subject};
use crate::observation::{
    ApiHealth, Confirmation, CoordinationSeen, CoordinationState, EndpointsState, EventState, ExtensionsState, FluxState,
    Heartbeat, HostState, IngressState, JobState, LeaderState, NodeState, Observation, PodIndex, PodState, ProbeAnswer,
    SnapshotState, StorageState, UpsReading, VaultState, WorkloadState,
};
use crate::port::clock::Uptime;
use crate::port::{PortError, ProbeRequest};
use crate::proof;
use crate::report::EarlierRun;
use crate::spec::Spec;
use crate::verdict::{GateId, Trap};

/// kubelets renew their Lease every 10 s: two missed renewals and a look, and the node counts as silent.
pub const HEARTBEAT_TTL: Duration = Duration::from_secs(25);

/// A kubelet's Lease is good for 40 s (`spec.leaseDurationSeconds`): older than that, not even the API believes it.
const STATED_HEARTBEAT_TTL: Duration = Duration::from_secs(40);

/// How much proof a verdict asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// What Ananke itself saw change while it looked: runs that act.
    Proven,
    /// What the API states, if it is young: a single look cannot see a change.
    Stated,
}

/// Each part of the observation is read through a method that knows how old is too old; what is, is a [`Gap`]. Whatever can
/// change in a run is read through a method that takes down that it was read.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(crate) behind: Behind<'a>,
    pub spec: &'a Spec,
    pub now: Moment,
    pub started: Moment,
    /// The same, moved with the wall clock where that was set since: what is waited for is waited for since then.
    pub began: Moment,
    pub trust: Trust,
    pub run: &'a RunId,
    /// Power asked for this run, and not a person.
    pub by_power: bool,
    /// Runs before this one that died on the same job.
    pub earlier: &'a [EarlierRun],
    /// How long this machine has run, and in which boot: leases of this boot age by it.
    pub uptime: Option<&'a Uptime>,
    /// When the nodes that were seen last were asked for: what was done since does not show in them.
    pub nodes_asked: Moment,
}

/// What a view's methods read, and take down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behind<'a> {
    pub(crate) obs: &'a Observation,
    pub(crate) gates: &'a BTreeMap<GateId, GateRun>,
    pub(crate) history: &'a History,
    pub(crate) leases: &'a [LeaseRecord],
    pub(crate) sightings: &'a Sightings,
    pub(crate) floor: Moment,
    pub(crate) looks: Option<&'a Looks>,
}

impl<'a> View<'a> {
    fn looks_at(&self, inputs: Inputs) {
        if let Some(looks) = self.behind.looks {
            looks.at(inputs);
        }
    }

    /// Whether `span` has passed since `since`; the answer is looked for again when it has.
    pub fn has_passed(&self, span: Duration, since: Moment) -> bool {
        let passed = self.now.since(since) >= span;
        if let Some(looks) = self.behind.looks.filter(|_| !passed) {
            looks.waits_for(since.plus(span));
        }
        passed
    }

    /// Proof of reconciliation counts from here: the cluster's start, as far as Ananke can tell.
    pub fn floor(&self) -> Moment {
        self.looks_at(Inputs::FLOOR);
        self.behind.floor
    }

    pub(crate) fn intent_fact(&self) -> &'a Fact<Option<Intent>> {
        self.looks_at(Inputs::INTENT);
        &self.behind.obs.intent
    }

    pub(crate) fn api_fact(&self) -> &'a Fact<ApiHealth> {
        self.looks_at(Inputs::API);
        &self.behind.obs.api
    }

    pub(crate) fn host_fact(&self, node: &NodeName) -> Option<&'a Fact<HostState>> {
        self.looks_at(Inputs::HOSTS);
        self.behind.obs.hosts.get(node)
    }

    pub(crate) fn nodes_fact(&self) -> &'a Fact<Arc<Vec<NodeState>>> {
        self.looks_at(Inputs::NODES);
        &self.behind.obs.nodes
    }

    pub(crate) fn heartbeat(&self, node: &NodeName) -> Option<&'a Heartbeat> {
        self.looks_at(Inputs::NODES);
        self.behind.obs.heartbeats.get(node)
    }

    /// Since when the node has not been Ready, by our own looks.
    pub(crate) fn unready_since(&self, node: &NodeName) -> Option<Moment> {
        self.looks_at(Inputs::NODES);
        self.behind.obs.unready.get(node).copied()
    }

    /// The node of that name among `nodes`, which are those of this view.
    pub(crate) fn listed<'n>(&self, nodes: &'n [NodeState], name: &NodeName) -> Option<&'n NodeState> {
        self.behind.obs.listed(nodes, name)
    }

    pub(crate) fn coordination_seen(&self) -> Option<&'a CoordinationSeen> {
        self.looks_at(Inputs::COORDINATION);
        self.behind.obs.coordination_seen.as_ref()
    }

    pub(crate) fn snapshots_fact(&self, node: &NodeName) -> Option<&'a Fact<Vec<SnapshotState>>> {
        self.looks_at(Inputs::SNAPSHOTS);
        self.behind.obs.snapshots.get(node)
    }

    pub(crate) fn probe_fact(&self, request: &ProbeRequest) -> Option<&'a Fact<ProbeAnswer>> {
        self.looks_at(Inputs::PROBES);
        self.behind.obs.probes.get(&request.key())
    }

    pub(crate) fn peer_fact(&self, name: &Arc<str>) -> Option<&'a Fact<Option<Intent>>> {
        self.looks_at(Inputs::PEERS);
        self.behind.obs.peers.get(name)
    }

    pub(crate) fn ups_fact(&self, name: &Arc<str>) -> Option<&'a Fact<UpsReading>> {
        self.looks_at(Inputs::UPSES);
        self.behind.obs.ups.get(name)
    }

    pub(crate) fn own_clock_fact(&self) -> &'a Fact<Option<bool>> {
        self.looks_at(Inputs::OWN_CLOCK);
        &self.behind.obs.own_clock
    }

    pub fn gate(&self, id: GateId) -> Option<&'a GateRun> {
        self.looks_at(Inputs::gate(id));
        self.behind.gates.get(&id)
    }

    /// All of them.
    pub fn gates(&self) -> &'a BTreeMap<GateId, GateRun> {
        self.looks_at(Inputs::GATES);
        self.behind.gates
    }

    pub fn history(&self) -> &'a History {
        self.looks_at(Inputs::HISTORY);
        self.behind.history
    }

    pub(crate) fn sightings(&self) -> &'a Sightings {
        self.looks_at(Inputs::SIGHTINGS);
        self.behind.sightings
    }

    pub fn leases(&self) -> &'a [LeaseRecord] {
        self.looks_at(Inputs::LEASES);
        self.behind.leases
    }

    pub fn host(&self, node: &NodeName) -> Result<&'a HostState, Gap> {
        self.looks_at(Inputs::HOSTS);
        self.keyed(&self.behind.obs.hosts, node, self.far_limit())
    }

    /// The same for whoever does not ask why a host is not known: there may be thousands.
    pub fn known_host(&self, node: &NodeName) -> Option<&'a HostState> {
        self.looks_at(Inputs::HOSTS);
        self.behind.obs.hosts.get(node)?.if_fresh(self.now, self.far_limit())
    }

    /// `rows`, which come in the order of their names, each with what is known of its host.
    pub(crate) fn with_hosts<'r, T>(
        &self,
        rows: impl Iterator<Item = (&'r NodeName, T)>,
    ) -> impl Iterator<Item = (&'r NodeName, (T, Option<&'a HostState>))> {
        self.looks_at(Inputs::HOSTS);
        let (now, limit) = (self.now, self.far_limit());
        let known = move |(name, fact): (&'a NodeName, &'a Fact<HostState>)| Some((name, fact.if_fresh(now, limit)?));
        joined(rows, self.behind.obs.hosts.iter().filter_map(known))
    }

    pub fn api(&self) -> Result<&'a ApiHealth, Gap> {
        self.looks_at(Inputs::API);
        self.behind.obs.api.fresh(self.now, self.near_limit())
    }

    pub fn nodes(&self) -> Result<&'a [NodeState], Gap> {
        self.looks_at(Inputs::NODES);
        self.behind.obs.nodes.fresh(self.now, self.near_limit()).map(|nodes| nodes.as_slice())
    }

    pub fn flux(&self) -> Result<&'a Option<FluxState>, Gap> {
        self.looks_at(Inputs::FLUX);
        self.behind.obs.flux.fresh(self.now, self.near_limit()).map(AsRef::as_ref)
    }

    pub fn workloads(&self) -> Result<&'a [WorkloadState], Gap> {
        self.looks_at(Inputs::WORKLOADS);
        self.behind.obs.workloads.fresh(self.now, self.near_limit()).map(|list| list.as_slice())
    }

    /// Whether somebody stopped its unit while Ananke looked, and Ananke did not.
    pub(crate) fn was_stopped(&self, node: &NodeName) -> bool {
        self.looks_at(Inputs::HOSTS);
        let restarted = self.history().tries("restart-unit", &Subject::Node(node.clone())).last.is_some();
        self.behind.obs.stopped.contains(node) && !restarted
    }

    /// Whether somebody scaled it to zero while Ananke looked.
    pub(crate) fn was_lowered(&self, workload: &ObjectRef) -> bool {
        self.looks_at(Inputs::WORKLOADS);
        self.behind.obs.lowered.contains(workload)
    }

    pub fn pods(&self) -> Result<&'a [PodState], Gap> {
        self.looks_at(Inputs::PODS);
        self.behind.obs.pods.fresh(self.now, self.near_limit()).map(|list| list.as_slice())
    }

    /// The pods by name and by owner.
    pub(crate) fn pod_index(&self) -> Result<Cow<'a, PodIndex>, Gap> {
        self.looks_at(Inputs::PODS);
        let list = self.behind.obs.pods.fresh(self.now, self.near_limit())?;
        let kept = Some(&self.behind.obs.pod_index).filter(|index| index.is_of(list));
        Ok(kept.map_or_else(|| Cow::Owned(PodIndex::of(list)), Cow::Borrowed))
    }

    pub fn ingresses(&self) -> Result<&'a [IngressState], Gap> {
        self.looks_at(Inputs::INGRESSES);
        self.behind.obs.ingresses.fresh(self.now, self.far_limit()).map(|list| list.as_slice())
    }

    pub fn namespaces(&self) -> Result<&'a [Arc<str>], Gap> {
        self.looks_at(Inputs::NAMESPACES);
        self.behind.obs.namespaces.fresh(self.now, self.far_limit()).map(|list| list.as_slice())
    }

    pub fn storage(&self) -> Result<&'a StorageState, Gap> {
        self.looks_at(Inputs::STORAGE);
        self.behind.obs.storage.fresh(self.now, self.far_limit()).map(AsRef::as_ref)
    }

    pub fn endpoints(&self) -> Result<&'a [EndpointsState], Gap> {
        self.looks_at(Inputs::ENDPOINTS);
        self.behind.obs.endpoints.fresh(self.now, self.near_limit()).map(|list| list.as_slice())
    }

    pub fn jobs(&self) -> Result<&'a [JobState], Gap> {
        self.looks_at(Inputs::JOBS);
        self.behind.obs.jobs.fresh(self.now, self.far_limit()).map(|list| list.as_slice())
    }

    pub fn extensions(&self) -> Result<&'a ExtensionsState, Gap> {
        self.looks_at(Inputs::EXTENSIONS);
        self.behind.obs.extensions.fresh(self.now, self.far_limit()).map(AsRef::as_ref)
    }

    /// Warnings, as far as they were read: that there are none proves nothing.
    pub fn events(&self) -> &'a [EventState] {
        self.looks_at(Inputs::EVENTS);
        self.behind.obs.events.fresh(self.now, self.far_limit()).map_or(&[], |list| list.as_slice())
    }

    /// Pods of workloads that have ended, as far as they were read.
    pub fn ended(&self) -> &'a [PodState] {
        self.looks_at(Inputs::ENDED);
        self.behind.obs.ended.fresh(self.now, self.far_limit()).map_or(&[], |list| list.as_slice())
    }

    /// Who leads the controllers of the cluster, as far as that was read.
    pub fn leaders(&self) -> &'a [LeaderState] {
        self.looks_at(Inputs::LEADERS);
        self.behind.obs.leaders.fresh(self.now, self.far_limit()).map_or(&[], |list| list.as_slice())
    }

    pub fn coordination(&self) -> Result<Option<&'a CoordinationState>, Gap> {
        self.looks_at(Inputs::COORDINATION);
        self.behind.obs.coordination.fresh(self.now, self.near_limit()).map(Option::as_ref)
    }

    pub fn peer(&self, name: &Arc<str>) -> Result<Option<&'a Intent>, Gap> {
        self.looks_at(Inputs::PEERS);
        self.keyed(&self.behind.obs.peers, name, self.far_limit()).map(Option::as_ref)
    }

    /// etcd's snapshots on a server.
    pub fn snapshots(&self, node: &NodeName) -> Result<&'a [SnapshotState], Gap> {
        self.looks_at(Inputs::SNAPSHOTS);
        self.keyed(&self.behind.obs.snapshots, node, self.far_limit()).map(Vec::as_slice)
    }

    pub fn vault(&self) -> Result<&'a VaultState, Gap> {
        self.looks_at(Inputs::VAULT);
        self.behind.obs.vault.fresh(self.now, self.far_limit())
    }

    pub fn own_clock(&self) -> Result<Option<bool>, Gap> {
        self.looks_at(Inputs::OWN_CLOCK);
        self.behind.obs.own_clock.fresh(self.now, self.far_limit()).copied()
    }

    /// What persons confirmed; it does not age by itself.
    pub fn confirmations(&self) -> &'a [Confirmation] {
        self.looks_at(Inputs::CONFIRMATIONS);
        self.behind.obs.confirmations.last().map(Vec::as_slice).unwrap_or_default()
    }

    /// Since when a gate has held `subject` for `trap`.
    pub fn first_seen(&self, trap: Trap, subject: &Subject) -> Option<Moment> {
        self.sightings().get(&trap)?.get(subject).map(|sighting| sighting.first)
    }

    /// What was well on the last healthy day.
    pub fn baseline(&self) -> Option<&'a Baseline> {
        self.looks_at(Inputs::BASELINE);
        self.behind.obs.baseline.last().and_then(Option::as_ref)
    }

    pub fn probe(&self, request: &ProbeRequest) -> Result<&'a ProbeAnswer, Gap> {
        self.looks_at(Inputs::PROBES);
        self.keyed(&self.behind.obs.probes, &request.key(), self.far_limit())
    }

    pub fn ups(&self, name: &Arc<str>) -> Result<&'a UpsReading, Gap> {
        self.looks_at(Inputs::UPSES);
        self.keyed(&self.behind.obs.ups, name, self.far_limit())
    }

    pub fn node(&self, name: &NodeName) -> Result<Option<&'a NodeState>, Gap> {
        self.nodes().map(|nodes| self.behind.obs.listed(nodes, name))
    }

    /// Whether the node's kubelet is alive: its Lease advanced while we looked, or, where a look is all there is, is young.
    pub fn kubelet_alive(&self, node: &NodeName) -> bool {
        self.looks_at(Inputs::NODES);
        let Some(beat) = self.behind.obs.heartbeats.get(node) else { return false };
        let (at, limit) = match self.trust {
            Trust::Proven => (beat.advanced_at, self.heartbeat_ttl()),
            Trust::Stated => (Some(beat.renewed), STATED_HEARTBEAT_TTL),
        };
        at.is_some_and(|at| self.now.since(at) <= limit)
    }

    /// Whether the node's kubelet is known to be silent: it was watched for long enough to have been heard.
    pub fn kubelet_silent(&self, node: &NodeName) -> bool {
        let long_enough = |since: Moment| self.now.since(since) > self.heartbeat_ttl();
        !self.kubelet_alive(node) && self.behind.obs.heartbeats.get(node).is_none_or(|beat| long_enough(beat.watched_since))
    }

    /// Whether a machine was asked and nothing of it answers. A kubelet that renews proves a kernel that runs, too.
    pub(crate) fn is_dark(&self, node: &NodeName) -> bool {
        self.fails(node, proof::is_silence)
    }

    /// The same of a machine that could not even be asked: it may be off.
    pub(crate) fn may_be_dark(&self, node: &NodeName) -> bool {
        self.fails(node, |error| !proof::shows_life(error))
    }

    fn fails(&self, node: &NodeName, how: impl FnOnce(&PortError) -> bool) -> bool {
        self.host_fact(node).and_then(Fact::newest_failure).is_some_and(how) && !self.kubelet_alive(node)
    }

    /// A renewal is seen at the next look after it.
    fn heartbeat_ttl(&self) -> Duration {
        HEARTBEAT_TTL.max(Duration::from_secs(10) + self.spec.poll * 3)
    }

    /// What is asked on every poll counts for a few polls. A single look asks once, and believes what it saw.
    fn near_limit(&self) -> Duration {
        if self.trust == Trust::Stated {
            return Duration::MAX;
        }
        (self.spec.poll * 5).max(Duration::from_secs(10))
    }

    /// What is asked less often once it is well, or answers slowly when it is not.
    fn far_limit(&self) -> Duration {
        if self.trust == Trust::Stated {
            return Duration::MAX;
        }
        (self.spec.poll * 15).max(Duration::from_secs(45))
    }

    fn keyed<K: Ord, T>(&self, map: &'a BTreeMap<K, Fact<T>>, key: &K, limit: Duration) -> Result<&'a T, Gap> {
        map.get(key).map_or_else(|| Err(Gap::not_asked()), |fact| fact.fresh(self.now, limit))
    }
}

/// `rows`, each with what `found` has under its name. Both come in the order of their names: a step for each, and no search,
/// where there may be thousands.
pub(crate) fn joined<'r, 'f, T, V>(
    rows: impl Iterator<Item = (&'r NodeName, T)>,
    found: impl Iterator<Item = (&'f NodeName, V)>,
) -> impl Iterator<Item = (&'r NodeName, (T, Option<V>))> {
    let mut found = found.peekable();
    rows.map(move |(name, row)| {
        while found.next_if(|(other, _)| *other < name).is_some() {}
        let here = found.next_if(|(other, _)| *other == name);
        (name, (row, here.map(|(_, found)| found)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::node;

    #[test]
    fn rows_meet_what_has_their_name_and_nothing_else() {
        let names = [1, 2, 3, 4, 5].map(node);
        let of = |places: &'static [usize]| places.iter().map(|place| (&names[*place], *place));
        let met: Vec<_> = joined(of(&[0, 2, 3]), of(&[1, 2, 4])).map(|(_, row)| row).collect();
        assert_eq!(met, [(0, None), (2, Some(2)), (3, None)]);
        assert_eq!(joined(of(&[]), of(&[1])).count(), 0);
    }
}
