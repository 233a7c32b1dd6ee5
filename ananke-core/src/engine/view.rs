//! What a gate or a remedy may look at: the observation, the expectations, the time, and what was done before.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::history::History;
use super::walk::{GateRun, Sightings};
use crate::baseline::Baseline;
use crate::fact::{Fact, Gap};
use crate::intent::Intent;
use crate::lease::LeaseRecord;
use crate::name::{Moment, NodeName, RunId, Subject};
use crate::observation::{
    ApiHealth, Confirmation, CoordinationState, EndpointsState, EventState, ExtensionsState, FluxState, HostState, IngressState,
    JobState, LeaderState, NodeState, Observation, PodIndex, PodState, ProbeAnswer, SnapshotState, StorageState, UpsReading,
    VaultState, WorkloadState,
};
use crate::port::ProbeRequest;
use crate::port::clock::Uptime;
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

/// Each part of the observation is read through a method that knows how old is too old; what is, is a [`Gap`].
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub obs: &'a Observation,
    pub spec: &'a Spec,
    pub now: Moment,
    pub started: Moment,
    /// The same, moved with the wall clock where that was set since: what is waited for is waited for since then.
    pub began: Moment,
    pub trust: Trust,
    /// Proof of reconciliation counts from here: the cluster's start, as far as Ananke can tell.
    pub floor: Moment,
    pub run: &'a RunId,
    /// Power asked for this run, and not a person.
    pub by_power: bool,
    pub gates: &'a BTreeMap<GateId, GateRun>,
    pub history: &'a History,
    pub leases: &'a [LeaseRecord],
    /// Runs before this one that died on the same job.
    pub earlier: &'a [EarlierRun],
    /// How long this machine has run, and in which boot: leases of this boot age by it.
    pub uptime: Option<&'a Uptime>,
    /// When the nodes that were seen last were asked for: what was done since does not show in them.
    pub nodes_asked: Moment,
    pub sightings: &'a Sightings,
}

impl<'a> View<'a> {
    pub fn host(&self, node: &NodeName) -> Result<&'a HostState, Gap> {
        self.keyed(&self.obs.hosts, node, self.far_limit())
    }

    /// The same for whoever does not ask why a host is not known: there may be thousands.
    pub fn known_host(&self, node: &NodeName) -> Option<&'a HostState> {
        self.obs.hosts.get(node)?.if_fresh(self.now, self.far_limit())
    }

    pub fn api(&self) -> Result<&'a ApiHealth, Gap> {
        self.obs.api.fresh(self.now, self.near_limit())
    }

    pub fn nodes(&self) -> Result<&'a [NodeState], Gap> {
        self.obs.nodes.fresh(self.now, self.near_limit()).map(|nodes| nodes.as_slice())
    }

    pub fn flux(&self) -> Result<&'a Option<FluxState>, Gap> {
        self.obs.flux.fresh(self.now, self.near_limit()).map(AsRef::as_ref)
    }

    pub fn workloads(&self) -> Result<&'a [WorkloadState], Gap> {
        self.obs.workloads.fresh(self.now, self.near_limit()).map(|list| list.as_slice())
    }

    pub fn pods(&self) -> Result<&'a [PodState], Gap> {
        self.obs.pods.fresh(self.now, self.near_limit()).map(|list| list.as_slice())
    }

    /// The pods by name and by owner.
    pub(crate) fn pod_index(&self) -> Result<Cow<'a, PodIndex>, Gap> {
        let list = self.obs.pods.fresh(self.now, self.near_limit())?;
        let kept = Some(&self.obs.pod_index).filter(|index| index.is_of(list));
        Ok(kept.map_or_else(|| Cow::Owned(PodIndex::of(list)), Cow::Borrowed))
    }

    pub fn ingresses(&self) -> Result<&'a [IngressState], Gap> {
        self.obs.ingresses.fresh(self.now, self.far_limit()).map(|list| list.as_slice())
    }

    pub fn namespaces(&self) -> Result<&'a [Arc<str>], Gap> {
        self.obs.namespaces.fresh(self.now, self.far_limit()).map(|list| list.as_slice())
    }

    pub fn storage(&self) -> Result<&'a StorageState, Gap> {
        self.obs.storage.fresh(self.now, self.far_limit()).map(AsRef::as_ref)
    }

    pub fn endpoints(&self) -> Result<&'a [EndpointsState], Gap> {
        self.obs.endpoints.fresh(self.now, self.near_limit()).map(|list| list.as_slice())
    }

    pub fn jobs(&self) -> Result<&'a [JobState], Gap> {
        self.obs.jobs.fresh(self.now, self.far_limit()).map(|list| list.as_slice())
    }

    pub fn extensions(&self) -> Result<&'a ExtensionsState, Gap> {
        self.obs.extensions.fresh(self.now, self.far_limit()).map(AsRef::as_ref)
    }

    /// Warnings, as far as they were read: that there are none proves nothing.
    pub fn events(&self) -> &'a [EventState] {
        self.obs.events.fresh(self.now, self.far_limit()).map_or(&[], |list| list.as_slice())
    }

    /// Pods of workloads that have ended, as far as they were read.
    pub fn ended(&self) -> &'a [PodState] {
        self.obs.ended.fresh(self.now, self.far_limit()).map_or(&[], |list| list.as_slice())
    }

    /// Who leads the controllers of the cluster, as far as that was read.
    pub fn leaders(&self) -> &'a [LeaderState] {
        self.obs.leaders.fresh(self.now, self.far_limit()).map_or(&[], |list| list.as_slice())
    }

    pub fn coordination(&self) -> Result<Option<&'a CoordinationState>, Gap> {
        self.obs.coordination.fresh(self.now, self.near_limit()).map(Option::as_ref)
    }

    pub fn peer(&self, name: &Arc<str>) -> Result<Option<&'a Intent>, Gap> {
        self.keyed(&self.obs.peers, name, self.far_limit()).map(Option::as_ref)
    }

    /// etcd's snapshots on a server.
    pub fn snapshots(&self, node: &NodeName) -> Result<&'a [SnapshotState], Gap> {
        self.keyed(&self.obs.snapshots, node, self.far_limit()).map(Vec::as_slice)
    }

    pub fn vault(&self) -> Result<&'a VaultState, Gap> {
        self.obs.vault.fresh(self.now, self.far_limit())
    }

    pub fn own_clock(&self) -> Result<Option<bool>, Gap> {
        self.obs.own_clock.fresh(self.now, self.far_limit()).copied()
    }

    /// What persons confirmed; it does not age by itself.
    pub fn confirmations(&self) -> &'a [Confirmation] {
        self.obs.confirmations.last().map(Vec::as_slice).unwrap_or_default()
    }

    /// Since when a gate has held `subject` for `trap`.
    pub fn first_seen(&self, trap: Trap, subject: &Subject) -> Option<Moment> {
        self.sightings.get(&trap)?.get(subject).map(|sighting| sighting.first)
    }

    /// What was well on the last healthy day.
    pub fn baseline(&self) -> Option<&'a Baseline> {
        self.obs.baseline.last().and_then(Option::as_ref)
    }

    pub fn probe(&self, request: &ProbeRequest) -> Result<&'a ProbeAnswer, Gap> {
        self.keyed(&self.obs.probes, &request.key(), self.far_limit())
    }

    pub fn ups(&self, name: &Arc<str>) -> Result<&'a UpsReading, Gap> {
        self.keyed(&self.obs.ups, name, self.far_limit())
    }

    pub fn node(&self, name: &NodeName) -> Result<Option<&'a NodeState>, Gap> {
        self.nodes().map(|nodes| self.obs.listed(nodes, name))
    }

    /// Whether the node's kubelet is alive: its Lease advanced while we looked, or, where a look is all there is, is young.
    pub fn kubelet_alive(&self, node: &NodeName) -> bool {
        let Some(beat) = self.obs.heartbeats.get(node) else { return false };
        let (at, limit) = match self.trust {
            Trust::Proven => (beat.advanced_at, self.heartbeat_ttl()),
            Trust::Stated => (Some(beat.renewed), STATED_HEARTBEAT_TTL),
        };
        at.is_some_and(|at| self.now.since(at) <= limit)
    }

    /// Whether the node's kubelet is known to be silent: it was watched for long enough to have been heard.
    pub fn kubelet_silent(&self, node: &NodeName) -> bool {
        let long_enough = |since: Moment| self.now.since(since) > self.heartbeat_ttl();
        !self.kubelet_alive(node) && self.obs.heartbeats.get(node).is_none_or(|beat| long_enough(beat.watched_since))
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
