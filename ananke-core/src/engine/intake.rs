//! What comes in: one read of one part, and how its answer becomes part of the observation.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, FutureExt, select};

use super::basis::Inputs;
use super::driver::Reads;
use super::schedule::Part;
use super::view::Trust;
use super::walk::Walk;
use crate::baseline::Baseline;
use crate::fact::Fact;
use crate::intent::Intent;
use crate::name::{Moment, NodeName};
use crate::observation::{
    ApiHealth, Confirmation, CoordinationState, EndpointsState, EventState, ExtensionsState, FluxState, HostState, IngressState,
    JobState, LeaderState, NodeState, Observation, PodState, ProbeAnswer, SnapshotState, StorageState, UpsReading, VaultState,
    WorkloadState,
};
use crate::port::{ErrorKind, PortError};
use crate::spec::Spec;
use crate::verdict::Reason;

/// What a port answered.
pub(super) enum Reading {
    Intent(Result<Option<Intent>, PortError>),
    Api(Result<ApiHealth, PortError>),
    /// With the time of asking.
    Nodes(Moment, Result<Arc<Vec<NodeState>>, PortError>),
    Flux(Result<Arc<Option<FluxState>>, PortError>),
    Workloads(Result<Arc<Vec<WorkloadState>>, PortError>),
    Pods(Result<Arc<Vec<PodState>>, PortError>),
    Ingresses(Result<Arc<Vec<IngressState>>, PortError>),
    Namespaces(Result<Arc<Vec<Arc<str>>>, PortError>),
    Storage(Result<Arc<StorageState>, PortError>),
    Endpoints(Result<Arc<Vec<EndpointsState>>, PortError>),
    Jobs(Result<Arc<Vec<JobState>>, PortError>),
    Extensions(Result<Arc<ExtensionsState>, PortError>),
    Events(Result<Arc<Vec<EventState>>, PortError>),
    Ended(Result<Arc<Vec<PodState>>, PortError>),
    Leaders(Result<Arc<Vec<LeaderState>>, PortError>),
    Coordination(Result<Option<CoordinationState>, PortError>),
    Vault(Result<VaultState, PortError>),
    OwnClock(Result<Option<bool>, PortError>),
    Confirmations(Result<Vec<Confirmation>, PortError>),
    Baseline(Result<Option<Baseline>, PortError>),
    Peer(Arc<str>, Result<Option<Intent>, PortError>),
    Snapshots(NodeName, Result<Vec<SnapshotState>, PortError>),
    Ups(Arc<str>, Result<UpsReading, PortError>),
    Host(NodeName, Result<HostState, PortError>),
    /// By the key of its request.
    Probe(Arc<str>, Result<ProbeAnswer, PortError>),
}

impl Reading {
    /// How long the API server asked not to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Api(Err(error))
        | Self::Nodes(_, Err(error))
        | Self::Flux(Err(error))
        | Self::Workloads(Err(error))
        | Self::Pods(Err(error))
        | Self::Ingresses(Err(error))
        | Self::Namespaces(Err(error))
        | Self::Storage(Err(error))
        | Self::Endpoints(Err(error))
        | Self::Jobs(Err(error))
        | Self::Extensions(Err(error))
        | Self::Events(Err(error))
        | Self::Ended(Err(error))
        | Self::Leaders(Err(error))
        | Self::Coordination(Err(error)) = self
        {
            return error.retry_after;
        }
        None
    }
}

/// One read, given up at `deadline` whatever the adapter's own deadline is.
pub(super) fn read<'a>(reads: Reads<'a>, part: &Part, spec: &Spec, deadline: Moment) -> BoxFuture<'a, Reading> {
    let Reads { cluster, hosts, probes, ups, state, machine, peers, vault, .. } = reads;
    match part {
        Part::Intent => within(reads, deadline, "read the intent", state.intent(), Reading::Intent),
        Part::Api => within(reads, deadline, "ask the API server", cluster.health(), Reading::Api),
        Part::Nodes => {
            let asked = reads.clock.now();
            async move { Reading::Nodes(asked, bounded(reads, deadline, "list nodes", None, cluster.nodes()).await) }.boxed()
        }
        Part::Flux => within(reads, deadline, "list Flux objects", cluster.flux(), Reading::Flux),
        Part::Workloads => within(reads, deadline, "list workloads", cluster.workloads(), Reading::Workloads),
        Part::Pods => within(reads, deadline, "list pods", cluster.pods(), Reading::Pods),
        Part::Ingresses => within(reads, deadline, "list ingresses", cluster.ingresses(), Reading::Ingresses),
        Part::Namespaces => within(reads, deadline, "list namespaces", cluster.namespaces(), Reading::Namespaces),
        Part::Storage => within(reads, deadline, "list volumes", cluster.storage(), Reading::Storage),
        Part::Endpoints => within(reads, deadline, "list endpoints", cluster.endpoints(), Reading::Endpoints),
        Part::Jobs => within(reads, deadline, "list jobs", cluster.jobs(), Reading::Jobs),
        Part::Extensions => within(reads, deadline, "list webhooks and APIServices", cluster.extensions(), Reading::Extensions),
        Part::Events => within(reads, deadline, "list events", cluster.events(), Reading::Events),
        Part::Ended => within(reads, deadline, "list ended pods", cluster.ended(), Reading::Ended),
        Part::Leaders => within(reads, deadline, "list leases", cluster.leaders(), Reading::Leaders),
        Part::Coordination => {
            within(reads, deadline, "read the coordination Lease", cluster.coordination(), Reading::Coordination)
        }
        Part::Vault => within(reads, deadline, "ask Vault", vault.seal_status(), Reading::Vault),
        Part::OwnClock => within(reads, deadline, "look at our own clock", machine.clock_synced(), Reading::OwnClock),
        Part::Confirmations => within(reads, deadline, "read the confirmations", state.confirmations(), Reading::Confirmations),
        Part::Baseline => within(reads, deadline, "read the baseline", state.baseline(), Reading::Baseline),
        Part::Peer(name) => {
            let name = name.clone();
            async move { Reading::Peer(name.clone(), bounded(reads, deadline, "ask the peer", None, peers.intent(&name)).await) }
                .boxed()
        }
        Part::Snapshots(node) => {
            let node = node.clone();
            async move {
                Reading::Snapshots(
                    node.clone(),
                    bounded(reads, deadline, "list etcd snapshots", UNASKED, hosts.snapshots(&node)).await,
                )
            }
            .boxed()
        }
        Part::Ups(name) => {
            let name = name.clone();
            async move { Reading::Ups(name.clone(), bounded(reads, deadline, "read the UPS", None, ups.read(&name)).await) }
                .boxed()
        }
        Part::Probe(check) => {
            let request = check.request.clone();
            async move { Reading::Probe(request.key(), bounded(reads, deadline, "ask", None, probes.ask(&request)).await) }
                .boxed()
        }
        Part::Host(node) => {
            let (node, unit) = (node.clone(), spec.nodes.get(node).map(|node| (node.unit.clone(), node.needs.clone())));
            async move {
                let read = match &unit {
                    Some((unit, needs)) => {
                        bounded(reads, deadline, "inspect the host", UNASKED, hosts.inspect(&node, unit, needs)).await
                    }
                    None => Err(PortError::new(ErrorKind::Missing, "inspect the host", &node, "it is not in the config")),
                };
                Reading::Host(node, read)
            }
            .boxed()
        }
    }
}

fn within<'a, T: Send + 'a>(
    reads: Reads<'a>,
    deadline: Moment,
    tried: &'static str,
    call: BoxFuture<'a, Result<T, PortError>>,
    made: fn(Result<T, PortError>) -> Reading,
) -> BoxFuture<'a, Reading> {
    async move { made(bounded(reads, deadline, tried, None, call).await) }.boxed()
}

/// A port of hosts has shorter deadlines of its own: what does not come in time was never asked.
const UNASKED: Option<Reason> = Some(Reason::HostNotAsked);

/// `late`: what it means that nothing comes in time.
async fn bounded<T>(
    reads: Reads<'_>,
    deadline: Moment,
    tried: &str,
    late: Option<Reason>,
    call: BoxFuture<'_, Result<T, PortError>>,
) -> Result<T, PortError> {
    match select(call, reads.clock.sleep_until(deadline)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), _)) => {
            let error = PortError::new(ErrorKind::Transient, tried, "its port", format!("no answer until {deadline}"));
            Err(PortError { reason: late, ..error })
        }
    }
}

impl Walk {
    /// Makes an answer part of the observation, and says whether it says anything that is worth a judgement of its own.
    pub(super) fn take(&mut self, reading: Reading, now: Moment) -> bool {
        self.reread.took(&reading, now);
        let part = Inputs::of(&reading);
        let awaited = self.plan.latching || is_awaited(&reading, &self.obs, &self.spec);
        let (stops, of_flux) = (self.plan.latching, matches!(reading, Reading::Flux(_)));
        let obs = &mut self.obs;
        let changed = match reading {
            Reading::Intent(read) => fold(&mut obs.intent, read, now),
            Reading::Api(read) => {
                self.floor.first_look(read.is_err(), !self.earlier.is_empty());
                let changed = fold(&mut obs.api, read, now);
                self.counts_servers(now);
                changed
            }
            Reading::Nodes(asked, read) => {
                if read.is_ok() {
                    self.nodes_asked = asked;
                }
                obs.fold_nodes(read, now)
            }
            Reading::Flux(read) => {
                if let Ok(Some(flux)) = read.as_deref() {
                    self.floor.suspended(flux, self.began, now, self.trust == Trust::Proven);
                }
                fold_shared(&mut obs.flux, read, now)
            }
            Reading::Workloads(read) => {
                if let Ok(list) = &read {
                    obs.note_lowered(list);
                }
                fold_shared(&mut obs.workloads, read, now)
            }
            Reading::Pods(read) => {
                if let Ok(list) = &read {
                    obs.index_pods(list);
                }
                fold_shared(&mut obs.pods, read, now)
            }
            Reading::Ingresses(read) => fold_shared(&mut obs.ingresses, read, now),
            Reading::Namespaces(read) => fold_shared(&mut obs.namespaces, read, now),
            Reading::Storage(read) => fold_shared(&mut obs.storage, read, now),
            Reading::Endpoints(read) => fold_shared(&mut obs.endpoints, read, now),
            Reading::Jobs(read) => fold_shared(&mut obs.jobs, read, now),
            Reading::Extensions(read) => fold_shared(&mut obs.extensions, read, now),
            Reading::Events(read) => fold_shared(&mut obs.events, read, now),
            Reading::Ended(read) => fold_shared(&mut obs.ended, read, now),
            Reading::Leaders(read) => fold_shared(&mut obs.leaders, read, now),
            Reading::Coordination(read) => {
                let same = matches!((&read, obs.coordination.last(), obs.coordination.newest_failure()), (Ok(new), Some(old), None) if new == old);
                obs.fold_coordination(read, now);
                !same
            }
            Reading::Vault(read) => fold(&mut obs.vault, read, now),
            Reading::OwnClock(read) => fold(&mut obs.own_clock, read, now),
            Reading::Confirmations(read) => fold(&mut obs.confirmations, read, now),
            Reading::Baseline(read) => fold(&mut obs.baseline, read, now),
            Reading::Peer(name, read) => fold(obs.peers.entry(name).or_default(), read, now),
            Reading::Snapshots(node, read) => fold(obs.snapshots.entry(node).or_default(), read, now),
            Reading::Ups(name, read) => fold(obs.ups.entry(name).or_default(), read, now),
            Reading::Host(node, read) => {
                if let Ok(host) = &read {
                    obs.note_stopped(&node, host);
                }
                fold_host(obs.hosts.entry(node).or_default(), read, now, stops)
            }
            Reading::Probe(key, read) => fold(obs.probes.entry(key).or_default(), read, now),
        };
        if changed {
            self.news |= part;
        }
        if changed && awaited {
            self.touch();
        }
        // Each Kustomization that is ready lets the next ones be asked for.
        if changed && of_flux {
            self.press();
        }
        changed && awaited
    }
}

/// Whether anything of a start-up may wait for what is new in an answer. Details are judged with what comes next: by how much a
/// battery is charged, who renewed a Lease, how a host does not answer.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not known better is waited for")]
fn is_awaited(reading: &Reading, obs: &Observation, spec: &Spec) -> bool {
    let is_low = |ups: &UpsReading| ups.charge_percent.map(|charge| charge < spec.minimum_charge_percent);
    let same = |new: &UpsReading, old: &UpsReading| new.status == old.status && is_low(new) == is_low(old);
    match reading {
        Reading::Leaders(Ok(_)) => well(&obs.leaders).is_none(),
        Reading::Ups(name, Ok(new)) => obs.ups.get(name).and_then(well).is_none_or(|old| !same(new, old)),
        Reading::Host(node, Err(_)) => obs.hosts.get(node).and_then(Fact::newest_failure).is_none(),
        _ => true,
    }
}

/// The value, if the newest attempt brought it.
fn well<T>(fact: &Fact<T>) -> Option<&T> {
    fact.last().filter(|_| fact.newest_failure().is_none())
}

fn fold<T: PartialEq>(fact: &mut Fact<T>, read: Result<T, PortError>, now: Moment) -> bool {
    let changed = match (&read, fact.last(), fact.newest_failure()) {
        (Ok(new), Some(old), None) => new != old,
        (Err(new), _, Some(old)) => new != old,
        _ => true,
    };
    fact.fold(read, now);
    changed
}

/// Lists come shared, and as the very same list where nothing changed.
fn fold_shared<T: PartialEq>(fact: &mut Fact<Arc<T>>, read: Result<Arc<T>, PortError>, now: Moment) -> bool {
    if let (Ok(new), Some(old), None) = (&read, fact.last(), fact.newest_failure())
        && Arc::ptr_eq(new, old)
    {
        fact.fold(read, now);
        return false;
    }
    fold(fact, read, now)
}

/// A host's uptime, its skew and the log of its unit change with every look, and mean nothing new; nor does how much its unit
/// would leave behind, where nobody `stops` it.
fn fold_host(fact: &mut Fact<HostState>, read: Result<HostState, PortError>, now: Moment, stops: bool) -> bool {
    let leaves = |new: &HostState, old: &HostState| match stops {
        true => new.leftovers == old.leftovers,
        false => (new.leftovers.shims > 0) == (old.leftovers.shims > 0),
    };
    let same = matches!((&read, fact.last(), fact.newest_failure()), (Ok(new), Some(old), None)
        if new.boot_id == old.boot_id && new.unit == old.unit && new.machine_id == old.machine_id
            && new.health == old.health && leaves(new, old)
            && new.words.is_empty() == old.words.is_empty());
    if same {
        fact.fold(read, now);
        return false;
    }
    fold(fact, read, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{shutdown, startup, startup_plan};
    use crate::gate::testing::{Bench, node};
    use crate::observation::UnitState;

    /// Whether an answer is judged at once, and whether it is judged at all.
    type Judged = (bool, bool);
    const AT_ONCE: Judged = (true, true);
    const LATER: Judged = (false, true);
    const NEVER: Judged = (false, false);

    /// What becomes of an answer in a start-up, and in a shutdown: n1 runs some containers, n2 refuses, a battery is charged.
    #[track_caller]
    fn check(answer: impl Fn(&Bench) -> Reading, in_start: Judged, in_stop: Judged) {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.host(1, |host| host.leftovers.shims = 3);
        let refused = PortError::new(ErrorKind::Transient, "ssh", "n2", "connection refused");
        bench.obs.hosts.entry(node(2)).or_default().fold(Err(refused), bench.now);
        bench.obs.ups.insert("rack".into(), Fact::known(charged("OL CHRG", 20), bench.now));
        bench.obs.leaders = Fact::known(Arc::default(), bench.now);
        let judged = |mut walk: Walk| {
            walk.obs = bench.obs.clone();
            (walk.news, walk.outcome) = (Inputs::NONE, None);
            let reading = answer(&bench);
            let part = Inputs::of(&reading);
            let awaited = walk.take(reading, bench.now);
            assert_eq!(walk.presses(), part == Inputs::FLUX);
            (awaited, walk.news == part)
        };
        let start = startup(startup_plan(), bench.spec.clone(), bench.now, None, None);
        let stop = shutdown(bench.spec.clone(), bench.now, "test", None, None);
        assert_eq!((judged(start), judged(stop)), (in_start, in_stop));
    }

    fn host(bench: &Bench, change: impl FnOnce(&mut HostState)) -> Reading {
        let mut host = bench.obs.hosts[&node(1)].last().unwrap().clone();
        change(&mut host);
        Reading::Host(node(1), Ok(host))
    }

    fn charged(words: &str, percent: u8) -> UpsReading {
        let status = words.split(' ').map(Into::into).collect();
        UpsReading { status, charge_percent: Some(percent), runtime: None }
    }

    fn rack(words: &str, percent: u8) -> Reading {
        Reading::Ups("rack".into(), Ok(charged(words, percent)))
    }

    fn fails(n: usize, how: &str) -> Reading {
        Reading::Host(node(n), Err(PortError::new(ErrorKind::Transient, "ssh", node(n), how)))
    }

    #[test]
    fn what_nobody_waits_for_makes_no_judgement_of_its_own() {
        check(|_| rack("OL CHRG", 21), LATER, AT_ONCE);
        check(|_| rack("OL CHRG", 30), AT_ONCE, AT_ONCE);
        check(|_| rack("OL", 20), AT_ONCE, AT_ONCE);
        check(|bench| host(bench, |host| host.leftovers.shims = 5), NEVER, AT_ONCE);
        check(|bench| host(bench, |host| host.leftovers.shims = 0), AT_ONCE, AT_ONCE);
        check(|bench| host(bench, |host| host.unit = UnitState::Failed), AT_ONCE, AT_ONCE);
        check(|_| fails(1, "no answer within 5 s"), AT_ONCE, AT_ONCE);
        check(|_| fails(2, "no answer within 5 s"), LATER, AT_ONCE);
        let lease = LeaderState {
            namespace: "kube-system".into(),
            name: "plndr-svcs-lock".into(),
            holder: "n1".into(),
            renewed: None,
            lasts: Duration::from_secs(15),
        };
        check(|_| Reading::Leaders(Ok(Arc::new(vec![lease.clone()]))), LATER, AT_ONCE);
        check(|_| Reading::Flux(Ok(Arc::default())), AT_ONCE, AT_ONCE);
        check(|_| Reading::Pods(Err(PortError::new(ErrorKind::Transient, "list", "pods", "refused"))), AT_ONCE, AT_ONCE);
    }
}
