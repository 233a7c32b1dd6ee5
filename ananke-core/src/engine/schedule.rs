//! Which part of the world is to be looked at next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::walk::Walk;
use crate::gate::ingress;
use crate::name::{Moment, NodeName};
use crate::observation::UnitState;

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
    Ups(Arc<str>),
    Host(NodeName),
    Probe(Arc<str>),
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
    /// An action was answered since it was asked: the answer that comes may be from before it.
    again: bool,
    /// When it is due again.
    next: Moment,
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
            self.asked.insert(part.clone(), Asked { out: true, again: false, next: now });
        }
        due
    }

    /// Notes that an answer came, and when the part is due again.
    pub(super) fn answered(&mut self, part: &Part, walk: &Walk, now: Moment) {
        if let Some(asked) = self.asked.get_mut(part) {
            let due = if asked.again { now } else { now.plus(pause(part, walk, now)) };
            *asked = Asked { out: false, again: false, next: due };
            self.next = Some(self.next.map_or(due, |next| next.min(due)));
        }
    }

    /// When the next part that is wanted is due.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.next
    }

    /// An action may have changed what stands here: look again soon.
    pub(super) fn hurry(&mut self, part: &Part, at: Moment) {
        if let Some(asked) = self.asked.get_mut(part) {
            asked.next = asked.next.min(at);
            asked.again = asked.out;
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }
}

/// What can be asked now: lists only where the API answers, probes only where the hosts to ask are known.
fn wanted(walk: &Walk, now: Moment) -> Vec<Part> {
    let view = walk.view(now);
    let mut parts = vec![Part::Intent, Part::Api];
    parts.extend(walk.spec.ups.iter().cloned().map(Part::Ups));
    parts.extend(walk.spec.nodes.iter().filter(|(_, node)| node.target.is_some()).map(|(name, _)| Part::Host(name.clone())));
    if view.api().is_err() || walk.obs.api.newest_failure().is_some() {
        return parts;
    }
    parts.extend([Part::Nodes, Part::Flux, Part::Workloads, Part::Pods, Part::Ingresses]);
    if !walk.spec.required_namespaces.is_empty() {
        parts.push(Part::Namespaces);
    }
    if walk.plan.latching {
        return parts;
    }
    if let Ok(ingresses) = view.ingresses() {
        parts.extend(ingress::urls(ingresses, &walk.spec.ingress).into_keys().map(Part::Probe));
    }
    for check in &walk.spec.services {
        let part = Part::Probe(check.url.clone());
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts
}

/// What is well is asked less often than what is waited for.
fn pause(part: &Part, walk: &Walk, now: Moment) -> Duration {
    let (poll, view) = (walk.spec.poll, walk.view(now));
    match part {
        Part::Intent | Part::Api | Part::Nodes | Part::Flux | Part::Workloads | Part::Pods => poll,
        Part::Ups(_) => poll * 2,
        Part::Ingresses | Part::Namespaces => poll * 5,
        Part::Host(node) => match view.host(node) {
            Ok(host) if host.unit == UnitState::Active && !walk.plan.latching => poll * 5,
            Ok(_) | Err(_) => poll,
        },
        Part::Probe(url) => match view.probe(url) {
            Ok(answer) if answer.status < 400 => poll * 5,
            Ok(_) | Err(_) => poll,
        },
    }
}
