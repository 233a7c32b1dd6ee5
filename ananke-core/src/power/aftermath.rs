//! What an outage leaves behind where nobody stopped the cluster: hosts that were cut off with it.
//!
//! Such a cluster boots by itself, and gets as far as it gets; a start-up is owed to it as well. The proof is the hosts' own:
//! one that booted since mains failed has lost its power, and one that does not answer waits for somebody.

use std::time::Duration;

use futures::future::{Either, join_all, select};

use super::{PowerSpec, PowerWatch};
use crate::intent::Intent;
use crate::name::{Moment, NodeName};
use crate::port::{Clock, ErrorKind, HostReads};
use crate::spec::{HostNeeds, NodeSpec, Spec};

/// A host that says nothing for this long does not answer.
const ANSWERS: Duration = Duration::from_secs(60);
/// So many are named; of the others, how many they are.
const NAMED: usize = 3;

/// What is not settled of the outages that are over.
#[derive(Debug, Clone, Default)]
pub(super) struct Aftermath {
    /// Since when hosts may have lost their power.
    pub(super) since: Option<Moment>,
    /// Why a start-up is owed to them, after a look.
    pub(super) losses: Option<String>,
}

/// What a look at the hosts found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostsFound {
    /// They have booted since mains failed.
    pub booted: Vec<NodeName>,
    /// They are not there.
    pub silent: Vec<NodeName>,
}

impl PowerWatch {
    /// Since when hosts may have lost their power, until somebody has looked, or something was begun for them.
    pub fn unsettled(&self) -> Option<Moment> {
        self.aftermath.since
    }

    /// Hosts were found that a start-up is owed to.
    pub(super) fn has_losses(&self) -> bool {
        self.aftermath.losses.is_some()
    }

    /// A look at the hosts that began at `began` is over: which of them a start-up is owed to, in words. What mains did
    /// meanwhile needs another look.
    pub(super) fn looked(&mut self, spec: &PowerSpec, began: Moment, found: &HostsFound) -> Option<&str> {
        // Whoever boots behind a shutdown has yet to be stopped.
        self.rests = self.rests.filter(|_| found.booted.is_empty());
        let (since, back) = (self.aftermath.since?, self.back(spec)?);
        // After a blip, whoever is silent was silent before.
        let outage = self.outages.last().is_some_and(|at| *at >= since);
        let booted = few(&found.booted).map(|names| format!("{names} booted since mains failed"));
        let silent = few(&found.silent).filter(|_| outage).map(|names| format!("{names} not to be reached"));
        let losses: Vec<String> = booted.into_iter().chain(silent).collect();
        if !losses.is_empty() {
            self.aftermath.losses = Some(losses.join("; "));
        } else if back <= began {
            self.aftermath = Aftermath::default();
        }
        self.aftermath.losses.as_deref()
    }

    /// What was begun since mains are back has the hosts in hand, and what a person stopped is the person's.
    pub(super) fn heed(&mut self, spec: &Spec, intent: Option<&Intent>, now: Moment) {
        let begun = |intent: &Intent| self.back(&spec.power).is_some_and(|back| intent.at >= back);
        if intent.is_some_and(|intent| begun(intent) || intent.is_a_persons_stop(spec.intent_max_age, now)) {
            self.aftermath = Aftermath::default();
        }
    }
}

fn few(names: &[NodeName]) -> Option<String> {
    let named = names.iter().take(NAMED).map(NodeName::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => (!names.is_empty()).then_some(named),
        more => Some(format!("{named} and {more} more")),
    }
}

/// Looks which hosts have booted since `since`, and which do not answer.
pub async fn hosts_found(hosts: &dyn HostReads, clock: &dyn Clock, spec: &Spec, since: Moment) -> HostsFound {
    let managed = spec.nodes.iter().filter(|(_, node)| node.is_managed());
    let looks = managed.map(|(name, node)| async move { (name, ran_on(hosts, clock, name, node, since).await) });
    let mut found = HostsFound::default();
    for (name, ran_on) in join_all(looks).await {
        match ran_on {
            Some(true) => {}
            Some(false) => found.booted.push(name.clone()),
            None => found.silent.push(name.clone()),
        }
    }
    found
}

/// Whether a host has run since before `since`; none: it does not answer. One that answers and lets nobody in is left to a
/// person, as it was before.
async fn ran_on(hosts: &dyn HostReads, clock: &dyn Clock, name: &NodeName, node: &NodeSpec, since: Moment) -> Option<bool> {
    let deadline = clock.sleep_until(clock.now().plus(ANSWERS));
    let needs = HostNeeds::default();
    match select(hosts.inspect(name, &node.unit, &needs), deadline).await {
        Either::Left((Ok(host), _)) => {
            let now = clock.now();
            // Where the clock was set back since, nothing is known, and the worse is believed.
            Some(since <= now && host.uptime >= now.since(since))
        }
        Either::Left((Err(error), _)) => (error.kind != ErrorKind::Transient).then_some(true),
        Either::Right(((), _)) => None,
    }
}
