//! Which part of the world is to be looked at next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::walk::Walk;
use crate::gate::http_check::{self, Check};
use crate::name::{Moment, NodeName};
use crate::observation::UnitState;
use crate::port::ClusterPart;
use crate::verdict::GateId;

/// A start-up yields to a shutdown within 10 s, however seldom it looks at the cluster.
const HEEDED_WITHIN: Duration = Duration::from_secs(2);

/// A part that a watch says changed is read again this long after the read before, and not sooner: a large cluster changes
/// all the time, and what comes together is read together. With the pause between two judgements it is less than a second.
const HEARD_EVERY: Duration = Duration::from_millis(500);

/// One part of the world, read by one call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
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
    Coordination,
    Vault,
    OwnClock,
    Confirmations,
    Baseline,
    Peer(Arc<str>),
    Snapshots(NodeName),
    Ups(Arc<str>),
    Host(NodeName),
    Probe(Arc<Check>),
}

/// When each part was last asked, and whether an answer is still out.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    asked: BTreeMap<Part, Asked>,
    wanted: Vec<Part>,
    /// When the next part that is wanted is due; none while all answers are out.
    next: Option<Moment>,
    /// What is wanted follows from what was seen; it is worked out again only when that changed.
    settled: bool,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    out: bool,
    /// When it was asked last.
    at: Moment,
    /// Something happened since it was asked: the answer that comes may be from before it, and it is due again then.
    again: Option<Moment>,
    /// When it is due again.
    next: Moment,
}

impl From<ClusterPart> for Part {
    fn from(part: ClusterPart) -> Self {
        match part {
            ClusterPart::Nodes => Self::Nodes,
            ClusterPart::Flux => Self::Flux,
            ClusterPart::Workloads => Self::Workloads,
            ClusterPart::Pods => Self::Pods,
            ClusterPart::Ingresses => Self::Ingresses,
            ClusterPart::Namespaces => Self::Namespaces,
            ClusterPart::Storage => Self::Storage,
            ClusterPart::Endpoints => Self::Endpoints,
            ClusterPart::Jobs => Self::Jobs,
        }
    }
}

impl Schedule {
    /// What was seen or judged changed: other parts may be wanted.
    pub(super) fn unsettle(&mut self) {
        self.settled = false;
    }

    /// The parts that are due, marked as asked.
    pub(super) fn take_due(&mut self, walk: &Walk, now: Moment, once: bool) -> Vec<Part> {
        if self.settled && self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        if !self.settled {
            self.wanted = wanted(walk, now);
            self.settled = true;
        }
        let mut due = Vec::new();
        self.next = None;
        for part in &self.wanted {
            match self.asked.get(part) {
                Some(asked) if asked.out || once => {}
                Some(asked) if asked.next > now => self.next = Some(self.next.map_or(asked.next, |next| next.min(asked.next))),
                Some(_) | None => due.push(part.clone()),
            }
        }
        for part in &due {
            self.asked.insert(part.clone(), Asked { out: true, at: now, again: None, next: now });
        }
        due
    }

    /// Notes that an answer came, and when the part is due again.
    pub(super) fn answered(&mut self, part: &Part, walk: &Walk, now: Moment) {
        if let Some(asked) = self.asked.get_mut(part) {
            let due = asked.again.map_or_else(|| now.plus(pause(part, walk, now)), |again| again.max(now));
            *asked = Asked { out: false, again: None, next: due, ..*asked };
            self.next = Some(self.next.map_or(due, |next| next.min(due)));
        }
    }

    /// When the next part that is wanted is due.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.next
    }

    /// An action may have changed what stands here: look again at once.
    pub(super) fn hurry(&mut self, part: &Part, now: Moment) {
        self.again(part, |_| now);
    }

    /// A watch says that something changed here: look again soon.
    pub(super) fn heard(&mut self, part: &Part, now: Moment) {
        self.again(part, |asked| now.max(asked.plus(HEARD_EVERY)));
    }

    fn again(&mut self, part: &Part, when: impl FnOnce(Moment) -> Moment) {
        let Some(asked) = self.asked.get_mut(part) else { return };
        let at = when(asked.at);
        asked.next = asked.next.min(at);
        if asked.out {
            asked.again = Some(asked.again.map_or(at, |again| again.min(at)));
        }
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

/// What can be asked now: lists only where the API answers, probes only where the hosts to ask are known.
fn wanted(walk: &Walk, now: Moment) -> Vec<Part> {
    let view = walk.view(now);
    let mut parts = vec![Part::Intent, Part::Api, Part::OwnClock, Part::Confirmations, Part::Baseline];
    if !walk.plan.latching {
        parts.extend(walk.spec.peers.iter().cloned().map(Part::Peer));
    }
    let saved = walk.gates.get(&GateId::EtcdSnapshot).is_none_or(|gate| gate.settled.is_some());
    if walk.plan.latching && walk.spec.shutdown.etcd_snapshot && !saved {
        parts.extend(walk.spec.servers().map(|(name, _)| Part::Snapshots(name.clone())));
    }
    parts.extend(walk.spec.ups.iter().cloned().map(Part::Ups));
    parts.extend(walk.spec.nodes.iter().filter(|(_, node)| node.target.is_some()).map(|(name, _)| Part::Host(name.clone())));
    if view.api().is_err() || walk.obs.api.newest_failure().is_some() {
        return parts;
    }
    parts.extend([Part::Nodes, Part::Flux, Part::Workloads, Part::Pods, Part::Ingresses, Part::Storage, Part::Coordination]);
    if !walk.spec.required_namespaces.is_empty() {
        parts.push(Part::Namespaces);
    }
    if walk.plan.latching {
        return parts;
    }
    parts.extend([Part::Endpoints, Part::Jobs]);
    if walk.spec.vault.is_some() {
        parts.push(Part::Vault);
    }
    parts.extend(http_check::all(&view).into_iter().map(|check| Part::Probe(Arc::new(check))));
    parts
}

/// What is well is asked less often than what is waited for.
fn pause(part: &Part, walk: &Walk, now: Moment) -> Duration {
    let (poll, view) = (walk.spec.poll, walk.view(now));
    match part {
        Part::Intent => poll.min(HEEDED_WITHIN),
        Part::Api
        | Part::Nodes
        | Part::Flux
        | Part::Workloads
        | Part::Pods
        | Part::Endpoints
        | Part::Coordination
        | Part::Vault => poll,
        Part::Ups(_) | Part::Storage | Part::Jobs | Part::Peer(_) | Part::Confirmations | Part::Snapshots(_) => poll * 2,
        Part::Ingresses | Part::Namespaces | Part::OwnClock | Part::Baseline => poll * 5,
        Part::Host(node) => match view.host(node) {
            Ok(host) if host.unit == UnitState::Active && !walk.plan.latching => poll * 5,
            Ok(_) | Err(_) => poll,
        },
        Part::Probe(check) if check.fulfilled(&view) => poll * 5,
        Part::Probe(_) => poll,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine;
    use crate::gate::testing::Bench;

    /// Milliseconds since the nodes were first asked for, which polls ask for once a minute, at which they are asked for
    /// again; `heard` is when the watch spoke, `answered` when the first answer came.
    fn check(answered: u64, heard: &[u64]) -> u64 {
        let mut bench = Bench::new(1);
        bench.spec.poll = Duration::from_secs(60);
        bench.all_up();
        let mut walk = engine::startup(engine::startup_plan(), bench.spec.clone(), bench.now, None, None);
        walk.obs = bench.obs.clone();
        let at = |ms: u64| bench.now.plus(Duration::from_millis(ms));
        let mut schedule = Schedule::default();
        assert!(schedule.take_due(&walk, at(0), false).contains(&Part::Nodes));
        for ms in (0..120_000).step_by(50) {
            if ms == answered {
                schedule.answered(&Part::Nodes, &walk, at(ms));
            }
            if heard.contains(&ms) {
                schedule.heard(&Part::Nodes, at(ms));
            }
            if schedule.take_due(&walk, at(ms), false).contains(&Part::Nodes) {
                return ms;
            }
        }
        panic!("it was never asked again");
    }

    #[test]
    fn what_a_watch_says_is_read_at_once_but_not_more_often_than_the_pace() {
        assert_eq!(check(100, &[]), 60_100);
        assert_eq!(check(100, &[3000]), 3000);
        assert_eq!(check(100, &[150, 200, 250]), 500);
    }

    #[test]
    fn what_a_watch_says_while_an_answer_is_out_is_not_lost() {
        assert_eq!(check(100, &[50]), 500);
        assert_eq!(check(2000, &[50]), 2000);
    }
}
