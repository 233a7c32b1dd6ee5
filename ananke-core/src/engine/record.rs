//! What was read, as the journal keeps it: each answer compared with the one before, so that a replay can put the
//! observation together again, with the age of each of its facts.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::delta::{Delta, Misfit};
use super::intake::Reading;
use crate::fact::Fact;
use crate::name::{Moment, NodeName};
use crate::observation::Observation;
use crate::port::PortError;

/// Where an answer belongs in the observation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    Intent,
    Api,
    Nodes,
    Flux,
    Workloads,
    Pods,
    Ingresses,
    Namespaces,
    Storage,
    Endpoints,
    Jobs,
    Extensions,
    Events,
    Ended,
    Leaders,
    Coordination,
    Vault,
    OwnClock,
    Confirmations,
    Baseline,
    Peer(Arc<str>),
    Snapshots(NodeName),
    Ups(Arc<str>),
    Host(NodeName),
    /// By the key of its request.
    Probe(Arc<str>),
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub of: Place,
    /// When the answer came.
    pub at: Moment,
    /// When it was asked for, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Moment>,
    pub told: Told,
}

/// An answer, against the answers before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// The value that was seen last: it is young again.
    Same,
    Changed(Delta),
    Failed(PortError),
    /// The very error of the attempt before.
    FailedAgain,
}

/// Notes an answer before the observation takes it in.
pub(super) fn seen(reading: &Reading, obs: &Observation, at: Moment) -> Seen {
    let mut asked = None;
    let (of, told) = match reading {
        Reading::Intent(read) => (Place::Intent, tell(Some(&obs.intent), read)),
        Reading::Api(read) => (Place::Api, tell(Some(&obs.api), read)),
        Reading::Nodes(when, read) => {
            asked = Some(*when);
            (Place::Nodes, tell_list(&obs.nodes, read, |node| &node.name))
        }
        Reading::Flux(read) => (Place::Flux, tell(Some(&obs.flux), read)),
        Reading::Workloads(read) => (Place::Workloads, tell_list(&obs.workloads, read, |workload| &workload.object)),
        Reading::Pods(read) => (Place::Pods, tell_list(&obs.pods, read, |pod| &pod.object)),
        Reading::Ingresses(read) => (Place::Ingresses, tell_list(&obs.ingresses, read, |ingress| &ingress.object)),
        Reading::Namespaces(read) => (Place::Namespaces, tell_list(&obs.namespaces, read, |name| name)),
        Reading::Storage(read) => (Place::Storage, tell(Some(&obs.storage), read)),
        Reading::Endpoints(read) => (Place::Endpoints, tell_list(&obs.endpoints, read, |endpoints| &endpoints.service)),
        Reading::Jobs(read) => (Place::Jobs, tell_list(&obs.jobs, read, |job| &job.object)),
        Reading::Extensions(read) => (Place::Extensions, tell(Some(&obs.extensions), read)),
        Reading::Events(read) => (Place::Events, tell(Some(&obs.events), read)),
        Reading::Ended(read) => (Place::Ended, tell_list(&obs.ended, read, |pod| &pod.object)),
        Reading::Leaders(read) => (Place::Leaders, tell(Some(&obs.leaders), read)),
        Reading::Coordination(read) => (Place::Coordination, tell(Some(&obs.coordination), read)),
        Reading::Vault(read) => (Place::Vault, tell(Some(&obs.vault), read)),
        Reading::OwnClock(read) => (Place::OwnClock, tell(Some(&obs.own_clock), read)),
        Reading::Confirmations(read) => (Place::Confirmations, tell(Some(&obs.confirmations), read)),
        Reading::Baseline(read) => (Place::Baseline, tell(Some(&obs.baseline), read)),
        Reading::Peer(name, read) => (Place::Peer(name.clone()), tell(obs.peers.get(name), read)),
        Reading::Snapshots(node, read) => (Place::Snapshots(node.clone()), tell(obs.snapshots.get(node), read)),
        Reading::Ups(name, read) => (Place::Ups(name.clone()), tell(obs.ups.get(name), read)),
        Reading::Host(node, read) => (Place::Host(node.clone()), tell(obs.hosts.get(node), read)),
        Reading::Probe(key, read) => (Place::Probe(key.clone()), tell(obs.probes.get(key), read)),
    };
    Seen { of, at, asked, told }
}

/// The answer again, as the observation before it makes it.
pub(super) fn reading(seen: Seen, obs: &Observation) -> Result<Reading, Misfit> {
    let Seen { of, at, asked, told } = seen;
    Ok(match of {
        Place::Intent => Reading::Intent(hear(Some(&obs.intent), told)?),
        Place::Api => Reading::Api(hear(Some(&obs.api), told)?),
        Place::Nodes => Reading::Nodes(asked.unwrap_or(at), hear_list(&obs.nodes, told)?),
        Place::Flux => Reading::Flux(hear(Some(&obs.flux), told)?),
        Place::Workloads => Reading::Workloads(hear_list(&obs.workloads, told)?),
        Place::Pods => Reading::Pods(hear_list(&obs.pods, told)?),
        Place::Ingresses => Reading::Ingresses(hear_list(&obs.ingresses, told)?),
        Place::Namespaces => Reading::Namespaces(hear_list(&obs.namespaces, told)?),
        Place::Storage => Reading::Storage(hear(Some(&obs.storage), told)?),
        Place::Endpoints => Reading::Endpoints(hear_list(&obs.endpoints, told)?),
        Place::Jobs => Reading::Jobs(hear_list(&obs.jobs, told)?),
        Place::Extensions => Reading::Extensions(hear(Some(&obs.extensions), told)?),
        Place::Events => Reading::Events(hear(Some(&obs.events), told)?),
        Place::Ended => Reading::Ended(hear_list(&obs.ended, told)?),
        Place::Leaders => Reading::Leaders(hear(Some(&obs.leaders), told)?),
        Place::Coordination => Reading::Coordination(hear(Some(&obs.coordination), told)?),
        Place::Vault => Reading::Vault(hear(Some(&obs.vault), told)?),
        Place::OwnClock => Reading::OwnClock(hear(Some(&obs.own_clock), told)?),
        Place::Confirmations => Reading::Confirmations(hear(Some(&obs.confirmations), told)?),
        Place::Baseline => Reading::Baseline(hear(Some(&obs.baseline), told)?),
        Place::Peer(name) => Reading::Peer(name.clone(), hear(obs.peers.get(&name), told)?),
        Place::Snapshots(node) => Reading::Snapshots(node.clone(), hear(obs.snapshots.get(&node), told)?),
        Place::Ups(name) => Reading::Ups(name.clone(), hear(obs.ups.get(&name), told)?),
        Place::Host(node) => Reading::Host(node.clone(), hear(obs.hosts.get(&node), told)?),
        Place::Probe(key) => Reading::Probe(key.clone(), hear(obs.probes.get(&key), told)?),
    })
}

fn tell<T: Serialize + PartialEq>(fact: Option<&Fact<T>>, read: &Result<T, PortError>) -> Told {
    told(fact, read, |old, new| Delta::between(old, new))
}

fn tell_list<'a, T: Serialize + PartialEq, K: Ord>(
    fact: &'a Fact<Arc<Vec<T>>>,
    read: &'a Result<Arc<Vec<T>>, PortError>,
    name: impl Fn(&'a T) -> K,
) -> Told {
    if let (Ok(new), Some(old)) = (read, fact.last())
        && Arc::ptr_eq(new, old)
    {
        return Told::Same;
    }
    told(Some(fact), read, |old, new| Delta::between_lists(old, new, name))
}

fn told<'a, T: Serialize + PartialEq>(
    fact: Option<&'a Fact<T>>,
    read: &'a Result<T, PortError>,
    between: impl FnOnce(&'a T, &'a T) -> Delta,
) -> Told {
    match (read, fact.and_then(Fact::last)) {
        (Ok(new), Some(old)) if new == old => Told::Same,
        (Ok(new), Some(old)) => Told::Changed(between(old, new)),
        (Ok(new), None) => Told::Changed(Delta::whole(new)),
        (Err(error), _) if fact.and_then(Fact::newest_failure) == Some(error) => Told::FailedAgain,
        (Err(error), _) => Told::Failed(error.clone()),
    }
}

fn hear<T>(fact: Option<&Fact<T>>, told: Told) -> Result<Result<T, PortError>, Misfit>
where
    T: Serialize + DeserializeOwned + Clone,
{
    heard(fact, told, |old, delta| delta.apply(old))
}

/// An answer that is the same comes as the very same list.
fn hear_list<T>(fact: &Fact<Arc<Vec<T>>>, told: Told) -> Result<Result<Arc<Vec<T>>, PortError>, Misfit>
where
    T: Serialize + DeserializeOwned + Clone,
{
    heard(Some(fact), told, |old, delta| delta.apply_list(old.map(|list| list.as_slice())).map(Arc::new))
}

fn heard<T: Clone>(
    fact: Option<&Fact<T>>,
    told: Told,
    apply: impl FnOnce(Option<&T>, Delta) -> Result<T, Misfit>,
) -> Result<Result<T, PortError>, Misfit> {
    let last = fact.and_then(Fact::last);
    match told {
        Told::Same => last.cloned().map(Ok).ok_or_else(|| Misfit::nothing("value")),
        Told::Changed(delta) => apply(last, delta).map(Ok),
        Told::Failed(error) => Ok(Err(error)),
        Told::FailedAgain => {
            let error = fact.and_then(Fact::newest_failure).cloned();
            error.map(Err).ok_or_else(|| Misfit::nothing("error"))
        }
    }
}

impl Misfit {
    fn nothing(what: &str) -> Self {
        Self::new(format!("it repeats the {what} before it, and there is none"))
    }
}
