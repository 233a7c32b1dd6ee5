//! From when on what Flux proved counts: the newest end of a life of the cluster, as far as Ananke can tell.

use super::walk::{Walk, boot_of};
use crate::fact::Fact;
use crate::name::{Moment, NodeName};
use crate::observation::{FluxState, UnitState};

/// From when on a reconciliation proves anything, beside the hosts' boots.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floor {
    /// As was known when the run began: a finished shutdown, what the runs before it saw.
    pub since: Option<Moment>,
    api_asked: bool,
    /// The API was away at the first look: it ended its life before this run.
    began_away: bool,
    /// When the API was last away with too few units of etcd that run: whatever was proved before, another API answers now.
    pub without_quorum: Option<Moment>,
}

impl Floor {
    /// What runs before this one proved that died on the same job counts whether or not the API is away.
    pub(super) fn first_look(&mut self, away: bool, goes_on: bool) {
        let first = !std::mem::replace(&mut self.api_asked, true);
        self.began_away |= first && away && !goes_on;
    }

    /// Nothing has ended later than now, whatever the clock said then.
    pub(super) fn is_not_after(&mut self, now: Moment) {
        for at in [&mut self.since, &mut self.without_quorum] {
            *at = at.map(|at| at.min(now));
        }
    }

    /// What a shutdown suspended ran until then, whoever asked for that shutdown. Where the clock of then was ahead of `now`, it
    /// was before this run began. When that shutdown ended a life of the cluster, only who carried it out knows: sources are
    /// fetched on until then, so that another run, which is to `prove` what it resumes, believes what comes after its own begin.
    pub(super) fn suspended(&mut self, flux: &FluxState, began: Moment, now: Moment, prove: bool) {
        let kustomizations = flux.kustomizations.iter().filter_map(|found| found.suspend_stamp.as_deref());
        let releases = flux.helm_releases.iter().filter_map(|found| found.suspend_stamp.as_deref());
        let stamps = kustomizations.chain(releases).filter_map(stamped_at);
        let newest = stamps.map(|at| if at > now { began } else { at }).max();
        if let Some(at) = newest.filter(|at| self.since.is_none_or(|known| known < *at)) {
            self.since = Some(if prove { at.max(began) } else { at });
        }
    }

    fn from(&self, began: Moment) -> Option<Moment> {
        self.since.max(self.began_away.then_some(began)).max(self.without_quorum)
    }
}

/// The time in a stamp such as `shutdown-20260314T020600000 2026-03-14T02:07:10.000Z`.
fn stamped_at(stamp: &str) -> Option<Moment> {
    Moment::parse(stamp.split_once(' ')?.1).ok()
}

impl Walk {
    /// What was reconciled before it says nothing of this life of the cluster.
    pub(super) fn floor_moment(&self) -> Moment {
        self.booted().into_iter().chain(self.proofs_from()).max().unwrap_or(Moment::from_millis(0))
    }

    /// The moment a quorum of servers had booted.
    pub(super) fn booted(&self) -> Option<Moment> {
        let mut boots: Vec<Moment> =
            self.servers.iter().filter_map(|node| self.obs.hosts.get(node)).filter_map(boot_of).collect();
        boots.sort_unstable();
        boots.get(self.servers.len() / 2).or(boots.last()).copied()
    }

    /// The same without the boots.
    pub(super) fn proofs_from(&self) -> Option<Moment> {
        self.floor.from(self.began)
    }

    /// Looks whether the API is away with the units of etcd, and not for another reason.
    pub(super) fn counts_servers(&mut self, now: Moment) {
        if self.obs.api.newest_failure().is_none() {
            return;
        }
        let told = |name: &&NodeName| self.obs.hosts.get(*name).filter(|host| host.newest_failure().is_none());
        let runs = |name: &&NodeName| told(name).and_then(Fact::last).is_some_and(|host| host.unit == UnitState::Active);
        if self.servers.iter().filter(runs).count() < self.spec.quorum() {
            self.floor.without_quorum = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::intake::Reading;
    use crate::engine::view::Trust;
    use crate::engine::{startup, startup_plan};
    use crate::gate::testing::{Bench, node};
    use crate::port::{ErrorKind, PortError};
    use crate::spec::NodeRole;

    /// A start-up of three servers, whose API is away at the second look; so many units run then.
    fn away_while(running: usize) -> Option<Moment> {
        let mut bench = Bench::new(3);
        bench.spec.nodes.values_mut().for_each(|node| node.role = NodeRole::Server);
        bench.all_up();
        let mut walk = startup(startup_plan(), bench.spec.clone(), bench.now, None, None);
        walk.take(Reading::Api(Ok(bench.obs.api.last().unwrap().clone())), bench.now);
        let later = bench.now.plus(Duration::from_secs(60));
        for n in 1..=3 {
            let mut host = bench.obs.hosts[&node(n)].last().unwrap().clone();
            host.unit = if n <= running { UnitState::Active } else { UnitState::Inactive };
            walk.take(Reading::Host(node(n), Ok(host)), later);
        }
        let away = PortError::new(ErrorKind::Transient, "read", "the API server", "connection refused");
        walk.take(Reading::Api(Err(away)), later);
        walk.proofs_from().map(|from| Moment::from_millis(from.as_millis() - bench.now.as_millis()))
    }

    #[test]
    fn an_api_that_is_away_with_its_units_ends_its_life_and_one_that_only_does_not_answer_does_not() {
        assert_eq!(away_while(1), Some(Moment::from_millis(60_000)));
        assert_eq!(away_while(2), None);
    }

    #[test]
    fn nothing_has_ended_later_than_now_whatever_the_clock_said() {
        let at = Moment::from_millis;
        let mut floor = Floor { since: Some(at(9_000)), without_quorum: Some(at(3_000)), ..Floor::default() };
        floor.is_not_after(at(5_000));
        assert_eq!((floor.since, floor.without_quorum), (Some(at(5_000)), Some(at(3_000))));
    }

    #[test]
    fn what_a_shutdown_suspended_was_proved_before_it() {
        let at = |text: &str| Moment::parse(text).ok();
        let floor_of = |trust: Trust, stamps: [Option<&str>; 2]| {
            let mut bench = Bench::new(1);
            bench.all_up();
            for (name, stamp) in ["core", "apps"].iter().zip(stamps) {
                bench.change_kustomization(name, |found| found.suspend_stamp = stamp.map(Into::into));
            }
            let began = at("2026-03-14T02:00:00Z").unwrap();
            let mut walk = startup(startup_plan(), bench.spec, began, None, None);
            walk.trust = trust;
            for seconds in [5, 65] {
                let now = began.plus(Duration::from_secs(seconds));
                walk.take(Reading::Flux(Ok(bench.obs.flux.last().unwrap().clone())), now);
            }
            walk.proofs_from()
        };
        let stamps = [Some("shutdown-1 2026-03-14T01:00:00Z"), Some("shutdown-1 2026-03-14T01:00:04Z")];
        assert_eq!(floor_of(Trust::Stated, stamps), at("2026-03-14T01:00:04Z"));
        assert_eq!(floor_of(Trust::Proven, stamps), at("2026-03-14T02:00:00Z"), "nobody here knows when that shutdown ended");
        let meanwhile = [Some("shutdown-1 2026-03-14T02:00:03Z"), None];
        assert_eq!(floor_of(Trust::Proven, meanwhile), at("2026-03-14T02:00:03Z"));
        assert_eq!(floor_of(Trust::Proven, [Some("by hand"), None]), None);
        let ahead = [Some("shutdown-1 2026-03-14T05:00:00Z"), None];
        assert_eq!(floor_of(Trust::Stated, ahead), at("2026-03-14T02:00:00Z"), "its clock was ahead");
    }

    #[test]
    fn a_run_that_goes_on_keeps_what_the_one_before_it_proved() {
        let mut floor = Floor::default();
        floor.first_look(true, true);
        assert_eq!(floor.from(Moment::from_millis(7)), None);
        let mut floor = Floor::default();
        floor.first_look(true, false);
        assert_eq!(floor.from(Moment::from_millis(7)), Some(Moment::from_millis(7)));
    }
}
