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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures::FutureExt;

    use super::*;
    use crate::gate::testing::{Bench, node};
    use crate::name::UnitName;
    use crate::observation::HostState;
    use crate::port::PortError;
    use crate::port::clock::Uptime;

    const START: Moment = Moment::from_millis(1_773_453_971_000);

    /// How a host meets a look.
    #[derive(Clone, Copy)]
    enum Met {
        /// It has run for so many seconds.
        Up(u64),
        Fails(ErrorKind),
        Hangs,
    }

    /// The nth is node n. Time stands still, and whoever waits for it has waited.
    struct Hosts<'a>(&'a [Met]);

    #[async_trait]
    impl HostReads for Hosts<'_> {
        async fn inspect(&self, name: &NodeName, _: &UnitName, _: &HostNeeds) -> Result<HostState, PortError> {
            let nth = (1..).zip(self.0).find(|(n, _)| node(*n) == *name);
            match *nth.unwrap().1 {
                Met::Up(seconds) => {
                    let mut bench = Bench::new(1);
                    bench.host_up(1);
                    let host = bench.obs.hosts[&node(1)].last().unwrap().clone();
                    Ok(HostState { uptime: Duration::from_secs(seconds), ..host })
                }
                Met::Fails(kind) => Err(PortError::new(kind, "ssh", name, "found")),
                Met::Hangs => std::future::pending().await,
            }
        }
    }

    #[async_trait]
    impl Clock for Hosts<'_> {
        fn now(&self) -> Moment {
            START
        }
        fn uptime(&self) -> Option<Uptime> {
            None
        }
        async fn sleep_until(&self, _: Moment) {}
    }

    /// Who has booted, and who is silent, of these, where mains failed so many seconds ago; less than none: our clock was
    /// set back since.
    fn found(hosts: &[Met], failed: i64, change: impl FnOnce(&mut Bench)) -> [String; 2] {
        let mut bench = Bench::new(hosts.len());
        change(&mut bench);
        let since = Moment::from_millis(START.as_millis() - failed * 1000);
        let found = hosts_found(&Hosts(hosts), &Hosts(hosts), &bench.spec, since).now_or_never().unwrap();
        let named = |names: Vec<NodeName>| names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ");
        [named(found.booted), named(found.silent)]
    }

    #[test]
    fn whoever_ran_for_less_than_mains_are_away_has_booted_and_whoever_does_not_answer_is_silent() {
        let hosts = [
            Met::Up(600),
            Met::Up(60),
            Met::Up(59),
            Met::Fails(ErrorKind::Transient),
            Met::Hangs,
            // Somebody is there, and lets nobody in: a person's job as it was before.
            Met::Fails(ErrorKind::Untrusted),
            Met::Fails(ErrorKind::Denied),
        ];
        assert_eq!(found(&hosts, 60, |_| {}), ["n3", "n4 n5"]);
        assert_eq!(found(&hosts, 601, |_| {}), ["n1 n2 n3", "n4 n5"]);
        assert_eq!(found(&hosts, -1, |_| {}), ["n1 n2 n3", "n4 n5"], "where our clock was set back, the worse is believed");
    }

    #[test]
    fn a_node_without_ssh_is_neither() {
        assert_eq!(found(&[Met::Up(1), Met::Hangs], 60, |bench| (1..=2).for_each(|n| bench.unmanage(n))), ["", ""]);
    }

    #[test]
    fn a_few_are_named_and_the_others_counted() {
        let names: Vec<NodeName> = (1..=5).map(node).collect();
        assert_eq!(few(&[]), None);
        assert_eq!(few(&names[..3]).unwrap(), "n1, n2, n3");
        assert_eq!(few(&names).unwrap(), "n1, n2, n3 and 2 more");
    }
}
