//! Which part of the world is to be looked at next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::walk::Walk;
use crate::gate::http_check::{self, Check};
use crate::lease::Purpose;
use crate::name::{Moment, NodeName};
use crate::observation::{IngressState, UnitState};
use crate::port::ClusterPart;
use crate::trap;
use crate::verdict::GateId;

/// A start-up yields to a shutdown within 10 s, however seldom it looks at the cluster.
const HEEDED_WITHIN: Duration = Duration::from_secs(2);

/// An API server that asks for more than this is asked again after this: a cluster is waited for.
const LONGEST_QUIET: Duration = Duration::from_secs(60);
/// A part that a watch says changed is read again this long after the read before, and not sooner: a large cluster changes
/// all the time, and what comes together is read together. The pause between two judgements comes on top.
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
    Probe(Arc<Check>),
}

/// When each part was last asked, and whether an answer is still out.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    asked: BTreeMap<Part, Asked>,
    /// In the order in which what is due together is asked.
    wanted: Vec<Part>,
    /// Places in `wanted`, each by when it may be due: never later than it is, so that it costs nothing to look at the rest.
    queue: BTreeSet<(Moment, usize)>,
    /// What is wanted follows from what was seen: looked at again when that changed, and worked out again when this did.
    settled: bool,
    shape: Option<Shape>,
    /// The API server asked not to be asked before then.
    quiet: Option<Moment>,
}

/// What decides which parts are wanted, beside what stays the same for a run.
#[derive(Debug)]
struct Shape {
    /// The API answers.
    api: bool,
    /// etcd's snapshots are still to be taken.
    snapshots: bool,
    /// Something is still to be drained.
    drain: bool,
    events: bool,
    /// What the probes are made from, as long as it is believed.
    ingresses: Option<Arc<Vec<IngressState>>>,
}

impl Shape {
    fn of(walk: &Walk, now: Moment) -> Self {
        let view = walk.view(now);
        let is_open = |id, unless| walk.gates.get(&id).map_or(unless, |gate| gate.settled.is_none());
        Self {
            api: view.api().is_ok() && walk.obs.api.newest_failure().is_none(),
            snapshots: walk.plan.latching && walk.spec.shutdown.etcd_snapshot && is_open(GateId::EtcdSnapshot, false),
            drain: walk.plan.latching && !walk.spec.drain.skip && is_open(GateId::VolumesDetached, false),
            events: !walk.plan.latching && trap::wants_events(&view),
            ingresses: walk.obs.ingresses.last().filter(|_| view.ingresses().is_ok()).cloned(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        let flags = |of: &Self| (of.api, of.snapshots, of.drain, of.events);
        let list = |of: &Self| of.ingresses.as_ref().map(Arc::as_ptr);
        flags(self) == flags(other) && list(self) == list(other)
    }

    /// What can be asked now: lists only where the API answers, probes only where the hosts to ask are known.
    fn parts(&self, walk: &Walk, now: Moment) -> Vec<Part> {
        let mut parts = vec![Part::Intent, Part::Api, Part::OwnClock, Part::Confirmations, Part::Baseline];
        if !walk.plan.latching {
            parts.extend(walk.spec.peers.iter().cloned().map(Part::Peer));
        }
        if self.snapshots {
            let servers = walk.spec.servers().filter(|(_, node)| node.target.is_some());
            parts.extend(servers.map(|(name, _)| Part::Snapshots(name.clone())));
        }
        parts.extend(walk.spec.power.upses.iter().map(|ups| Part::Ups(ups.name.clone())));
        parts.extend(walk.spec.nodes.iter().filter(|(_, node)| node.target.is_some()).map(|(name, _)| Part::Host(name.clone())));
        if !self.api {
            return parts;
        }
        parts.extend([Part::Nodes, Part::Flux, Part::Workloads, Part::Pods, Part::Ingresses, Part::Storage, Part::Coordination]);
        if !walk.spec.required_namespaces.is_empty() {
            parts.push(Part::Namespaces);
        }
        if walk.plan.latching {
            // What a drain must leave alone.
            if self.drain {
                parts.extend([Part::Endpoints, Part::Extensions]);
            }
            return parts;
        }
        parts.extend([Part::Endpoints, Part::Jobs, Part::Extensions]);
        if self.events {
            parts.extend([Part::Events, Part::Ended, Part::Leaders]);
        }
        if walk.spec.vault.is_some() {
            parts.push(Part::Vault);
        }
        parts.extend(http_check::all(&walk.view(now)).into_iter().map(|check| Part::Probe(Arc::new(check))));
        parts
    }
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
    /// Its place in what is wanted.
    place: Option<usize>,
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
            ClusterPart::Extensions => Self::Extensions,
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
        if !self.settled {
            let shape = Shape::of(walk, now);
            if !self.shape.as_ref().is_some_and(|known| known.is(&shape)) {
                self.want(shape.parts(walk, now));
                self.shape = Some(shape);
            }
            self.settled = true;
        }
        let quiet = self.quiet.filter(|_| !once);
        let mut places = BTreeSet::new();
        while let Some((_, place)) = self.queue.first().copied().filter(|(at, _)| *at <= now) {
            self.queue.pop_first();
            let Some(part) = self.wanted.get(place) else { continue };
            let asked = self.asked.get(part);
            if asked.is_some_and(|asked| asked.out || once) {
                continue;
            }
            match asked.map(|asked| asked.next).max(quiet.filter(|_| part.is_the_apis())).filter(|at| *at > now) {
                Some(later) => self.queue.extend([(later, place)]),
                None => places.extend([place]),
            }
        }
        let due = places.into_iter().filter_map(|place| Some((place, self.wanted.get(place)?.clone())));
        let mark = |(place, part): (usize, Part)| {
            self.asked.insert(part.clone(), Asked { out: true, at: now, again: None, next: now, place: Some(place) });
            part
        };
        due.map(mark).collect()
    }

    /// Puts all that is wanted into the queue, save what is being asked: that comes with its answer.
    fn want(&mut self, wanted: Vec<Part>) {
        if self.wanted == wanted {
            return;
        }
        self.wanted = wanted;
        self.queue.clear();
        self.asked.values_mut().for_each(|asked| asked.place = None);
        for (place, part) in self.wanted.iter().enumerate() {
            match self.asked.get_mut(part) {
                Some(asked) => {
                    asked.place = Some(place);
                    if !asked.out {
                        self.queue.insert((asked.next, place));
                    }
                }
                None => self.queue.extend([(Moment::from_millis(0), place)]),
            }
        }
    }

    /// Notes that an answer came, and when the part is due again.
    pub(super) fn answered(&mut self, part: &Part, walk: &Walk, now: Moment) {
        if let Some(asked) = self.asked.get_mut(part) {
            let due = asked.again.map_or_else(|| now.plus(pause(part, walk, now)), |again| again.max(now));
            *asked = Asked { out: false, again: None, next: due, ..*asked };
            self.queue.extend(asked.place.map(|place| (due, place)));
        }
    }

    /// The API server asked for a pause: nothing more is read of it until then, whatever part it was.
    pub(super) fn hold_back(&mut self, wait: Option<Duration>, now: Moment) {
        let until = wait.map(|wait| now.plus(wait.min(LONGEST_QUIET)));
        self.quiet = self.quiet.max(until);
    }

    /// The clock was set back to `now`: nothing is put off for longer than that by what it said before.
    pub(super) fn set_back(&mut self, now: Moment) {
        for asked in self.asked.values_mut() {
            (asked.at, asked.next) = (asked.at.min(now), asked.next.min(now));
            asked.again = asked.again.map(|again| again.min(now));
        }
        self.quiet = self.quiet.map(|until| until.min(now));
        self.queue = std::mem::take(&mut self.queue).into_iter().map(|(at, place)| (at.min(now), place)).collect();
    }

    /// When the next part that is wanted is due.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.queue.first().map(|(at, _)| *at)
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
        self.queue.extend(asked.place.map(|place| (at, place)));
    }
}

impl Part {
    /// Whether the API server is asked for it.
    fn is_the_apis(&self) -> bool {
        match self {
            Self::Api
            | Self::Nodes
            | Self::Flux
            | Self::Workloads
            | Self::Pods
            | Self::Ingresses
            | Self::Namespaces
            | Self::Storage
            | Self::Endpoints
            | Self::Jobs
            | Self::Extensions
            | Self::Events
            | Self::Ended
            | Self::Leaders
            | Self::Coordination => true,
            Self::Intent
            | Self::Vault
            | Self::OwnClock
            | Self::Confirmations
            | Self::Baseline
            | Self::Peer(_)
            | Self::Snapshots(_)
            | Self::Ups(_)
            | Self::Host(_)
            | Self::Probe(_) => false,
        }
    }
}

/// Whether a repair is under way.
fn repairs(walk: &Walk) -> bool {
    walk.leases.iter().any(|record| record.state.outstanding() && record.lease.purpose == Purpose::Repair)
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
        Part::Ups(_)
        | Part::Storage
        | Part::Jobs
        | Part::Extensions
        | Part::Peer(_)
        | Part::Confirmations
        | Part::Snapshots(_) => poll * 2,
        Part::Ingresses | Part::Events | Part::Ended | Part::Leaders | Part::Namespaces | Part::OwnClock | Part::Baseline => {
            poll * 5
        }
        Part::Host(node) => match view.host(node) {
            // Before a server is taken from etcd, the others are to be heard.
            Ok(_) if walk.servers.contains(node) && repairs(walk) => poll,
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
    use crate::engine::view::Trust;
    use crate::gate::testing::Bench;
    use crate::name::RunId;

    #[track_caller]
    fn due(schedule: &mut Schedule, walk: &Walk, at: Moment) -> Vec<Part> {
        schedule.unsettle();
        let due = schedule.take_due(walk, at, false);
        for part in &due {
            schedule.answered(part, walk, at);
        }
        due
    }

    #[test]
    fn what_is_asked_less_often_is_believed_until_its_answer_comes() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.now = bench.now.plus(Duration::from_secs(14));
        assert!(bench.view().ingresses().is_ok(), "they are asked again after ten seconds");
        assert!(bench.view().pods().is_err(), "they are asked again after two");
    }

    #[test]
    fn a_server_that_asks_for_a_pause_is_left_alone_and_everybody_else_is_not() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let run = RunId::parse("startup-1").unwrap();
        let mut walk = Walk::new(engine::startup_plan(), bench.spec.clone(), run, bench.now, Trust::Proven);
        walk.obs = bench.obs.clone();
        let mut schedule = Schedule::default();
        let t0 = bench.now;
        assert!(due(&mut schedule, &walk, t0).contains(&Part::Nodes));
        schedule.hold_back(Some(Duration::from_secs(7)), t0);
        let meanwhile = due(&mut schedule, &walk, t0.plus(Duration::from_secs(6)));
        assert!(meanwhile.contains(&Part::Intent) && !meanwhile.iter().any(Part::is_the_apis), "{meanwhile:?}");
        assert!(schedule.next_due().is_some_and(|next| next <= t0.plus(Duration::from_secs(8))));
        let after = due(&mut schedule, &walk, t0.plus(Duration::from_secs(7)));
        assert!(after.contains(&Part::Api) && after.contains(&Part::Nodes), "{after:?}");
    }

    #[test]
    fn nothing_waits_for_the_time_that_a_clock_told_before_it_was_set_back() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let mut walk = engine::startup(engine::startup_plan(), bench.spec.clone(), bench.now, None, None);
        walk.obs = bench.obs.clone();
        let (mut schedule, year) = (Schedule::default(), Duration::from_secs(365 * 86_400));
        let asked = due(&mut schedule, &walk, bench.now);
        let earlier = bench.now.minus(year);
        schedule.set_back(earlier);
        assert_eq!(schedule.next_due(), Some(earlier));
        assert_eq!(schedule.take_due(&walk, earlier, false).len(), asked.len());
    }

    #[test]
    fn a_server_that_asks_for_an_hour_is_asked_again_after_a_minute() {
        let bench = Bench::new(1);
        let run = RunId::parse("startup-1").unwrap();
        let walk = Walk::new(engine::startup_plan(), bench.spec.clone(), run, bench.now, Trust::Proven);
        let mut schedule = Schedule::default();
        schedule.hold_back(Some(Duration::from_secs(3600)), bench.now);
        assert!(!due(&mut schedule, &walk, bench.now).contains(&Part::Api));
        assert!(due(&mut schedule, &walk, bench.now.plus(LONGEST_QUIET)).contains(&Part::Api));
    }

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
