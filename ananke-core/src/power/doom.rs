//! Which nodes are about to lose their power, by which UPS, and how much time that leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{PowerSpec, PowerWatch, UpsSpec, UpsState};
use crate::name::{Moment, NodeName};
use crate::observation::UpsReading;
use crate::spec::Spec;

/// Why nodes are about to lose their power, and how much is left for them: that of the node that loses its own first.
pub(super) fn shutdown<'n>(
    spec: &PowerSpec,
    states: &BTreeMap<Arc<str>, UpsState>,
    nodes: impl Iterator<Item = &'n NodeName>,
    now: Moment,
) -> Option<(String, Duration)> {
    let dooms = nodes.filter_map(|node| Some((node, doom(spec, states, node, now)?)));
    let (node, (name, why, left)) = dooms.min_by_key(|(_, (_, _, left))| *left)?;
    Some((format!("{name}: {why}; {node} and whatever else it feeds would lose its power"), spec.within(left)))
}

/// How long a shutdown that is under way may still take by the newest of these readings, each with when it was read; none: for
/// as long as it was given. The caller knows for how long that has been so, and no outage has to prove here that it is one.
pub(crate) fn left<'r>(
    spec: &Spec,
    readings: impl Iterator<Item = (&'r Arc<str>, &'r UpsReading, Moment)>,
    now: Moment,
) -> Option<Duration> {
    let power = PowerSpec { debounce: Duration::ZERO, ..spec.power.clone() };
    let mut watch = PowerWatch::default();
    for (ups, reading, at) in readings {
        watch.take(ups, Some(reading.clone()), &power, at);
    }
    watch.believes_low();
    let states = watch.states(&power, power.reserve(None), now);
    shutdown(&power, &states, spec.nodes.keys(), now).map(|(_, within)| within)
}

/// The UPS by which a node loses its power, why, and when: the first of those that it needs, the last of those that it runs on.
/// One of which nothing is heard asks for nothing, and is nothing to rely on while another one of the node ends.
fn doom<'s>(
    spec: &'s PowerSpec,
    states: &'s BTreeMap<Arc<str>, UpsState>,
    node: &NodeName,
    now: Moment,
) -> Option<(&'s Arc<str>, &'s String, Duration)> {
    let feeding = || spec.upses.iter().filter(|ups| ups.feeds.is_empty() || ups.feeds.contains(node));
    let dying = || feeding().filter_map(|ups| critical(&ups.name, states.get(&ups.name)?));
    if spec.needs_all.contains(node) {
        return dying().min_by_key(|(_, _, left)| *left);
    }
    let holds = |ups: &UpsSpec| {
        let state = states.get(&ups.name);
        !state.is_none_or(|state| critical(&ups.name, state).is_some() || is_mute(state, spec, now))
    };
    if feeding().any(holds) { None } else { dying().max_by_key(|(_, _, left)| *left) }
}

/// Nothing tells whether it gives power: one look without an answer is no sign, and what was never heard is none of power.
fn is_mute(state: &UpsState, spec: &PowerSpec, now: Moment) -> bool {
    match state {
        UpsState::Lost { since } => now.since(*since) >= spec.debounce,
        UpsState::Unknown => true,
        UpsState::Line { .. }
        | UpsState::Wavers { .. }
        | UpsState::Battery { .. }
        | UpsState::Calibrates { .. }
        | UpsState::Critical { .. }
        | UpsState::Latched => false,
    }
}

fn critical<'s>(name: &'s Arc<str>, state: &'s UpsState) -> Option<(&'s Arc<str>, &'s String, Duration)> {
    match state {
        UpsState::Critical { why, left } => Some((name, why, *left)),
        UpsState::Line { .. }
        | UpsState::Wavers { .. }
        | UpsState::Battery { .. }
        | UpsState::Calibrates { .. }
        | UpsState::Lost { .. }
        | UpsState::Latched
        | UpsState::Unknown => None,
    }
}
