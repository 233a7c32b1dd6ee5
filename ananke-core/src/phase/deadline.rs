//! How long a phase may wait when the whole shutdown must be over by a given time, as on a battery.
//!
//! What is lost without a phase decides what it is worth:
//!
//! - The intent, stopping workers and servers with what k3s leaves writing, giving the cordons back and powering off are
//!   never cut: without them the cluster is started against the shutdown, volumes and etcd are written to when the power ends,
//!   or nothing can be scheduled when it is back. They have their least time even after the end has passed. What has not
//!   answered by then is left behind, so that one dark worker does not keep the servers running.
//! - `flux-suspended` and `etcd-snapshot` take seconds and are worth nothing by half: they need not leave time for the drain.
//! - `cordoned` and `drained` let programs end by themselves. What they do not reach is ended hard, which a database
//!   survives by its log: the drain is worth what time the others leave it.
//! - `volumes-detached` only waits for what follows the drain by itself, and `pods-stopped` unmounts what is left: it is cut
//!   first.

use std::time::Duration;

use super::SHUTDOWN;
use crate::engine::view::View;
use crate::name::Moment;
use crate::power;
use crate::spec::{ShutdownMode, Spec};
use crate::verdict::GateId as G;

/// By less than this, nothing is made shorter.
const SOONER: Duration = Duration::from_secs(5);

/// How long a phase may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Since it began to wait; after that, what it misses is a person's job.
    pub(crate) patience: Duration,
    /// From then on it is cut short for what comes after it.
    pub(crate) cut: Option<Moment>,
}

/// The limit of a phase that began to wait at `waiting`, in a shutdown that began at `started`.
pub(crate) fn limit(spec: &Spec, phase: G, started: Moment, waiting: Moment) -> Limit {
    let own = spec.deadline(phase);
    let Some(within) = spec.shutdown.within else { return Limit { patience: own, cut: None } };
    let cut = started.plus(within).minus(reserve(spec, phase));
    match worth(phase).0 {
        Worth::Kept => Limit { patience: own.min(cut.since(waiting).max(least(spec, phase))), cut: None },
        Worth::Cut(_) => Limit { patience: own, cut: Some(cut) },
    }
}

/// How long the shutdown may take in all, where its UPSes say by now that power ends sooner than it was given for: a battery that
/// falls faster than it said, `FSD`, or an outage in the middle of a person's shutdown. What a battery counts down by itself
/// makes it no shorter, and power that comes back gives nothing back.
pub(crate) fn sooner(view: &View<'_>) -> Option<Duration> {
    let upses = || view.spec.power.upses.iter().map(|ups| &ups.name);
    // Of a host with two supplies, one reading says nothing.
    if !upses().all(|ups| view.ups_fact(ups).is_some()) {
        return None;
    }
    let readings = upses().filter_map(|ups| Some((ups, view.ups(ups).ok()?, view.ups_fact(ups)?.seen_at()?)));
    let within = view.now.since(view.began).saturating_add(power::left(view.spec, readings, view.now)?);
    view.spec.shutdown.within.is_none_or(|given| within.saturating_add(SOONER) <= given).then_some(within)
}

/// The least that the phases after this one need, as far as they are worth more than to wait for longer here. One that is
/// never cut has had its own least time by then.
fn reserve(spec: &Spec, phase: G) -> Duration {
    let after = SHUTDOWN.iter().map(|row| row.id).skip_while(|id| *id != phase).skip(1);
    let own = worth(phase).0;
    after.filter(|later| own == Worth::Kept || worth(*later).0 > own).map(|later| least(spec, later)).sum()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Cut in this order.
    Cut(u8),
    Kept,
}

/// Whose number makes a phase longer.
#[derive(Debug, Clone, Copy)]
enum Hosts {
    Workers,
    Servers,
    All,
}

/// What a phase is worth, and the seconds that it takes where nothing is wrong, with some air. Those that are cut for no
/// other phase need none to be kept for them.
fn worth(phase: G) -> (Worth, u64, Option<Hosts>) {
    match phase {
        G::VolumesDetached => (Worth::Cut(1), 0, None),
        G::Cordoned | G::Drained => (Worth::Cut(2), 0, None),
        G::EtcdSnapshot => (Worth::Cut(3), 0, None),
        G::FluxSuspended => (Worth::Cut(4), 0, None),
        G::IntentRecorded => (Worth::Kept, 10, None),
        G::WorkersStopped => (Worth::Kept, 30, Some(Hosts::Workers)),
        G::PodsStopped => (Worth::Kept, 20, Some(Hosts::Workers)),
        G::CordonsReleased => (Worth::Kept, 15, None),
        G::ServersStopped => (Worth::Kept, 45, Some(Hosts::Servers)),
        G::PoweredOff => (Worth::Kept, 60, Some(Hosts::All)),
        // Gates of a start-up.
        G::Guards
        | G::Inventory
        | G::NodeSsh
        | G::HostHealth
        | G::ControlPlane
        | G::NodesReady
        | G::DnsCni
        | G::Storage
        | G::Secrets
        | G::Foundation
        | G::FluxSource
        | G::Kustomizations
        | G::Workloads
        | G::Ingress
        | G::Services
        | G::Endpoints
        | G::Soak => (Worth::Kept, 0, None),
    }
}

/// In as many rounds as the bound on hosts at once makes.
fn least(spec: &Spec, phase: G) -> Duration {
    if phase == G::PoweredOff && spec.shutdown.mode == ShutdownMode::ClusterOnly {
        return Duration::ZERO;
    }
    let (_, seconds, hosts) = worth(phase);
    let count = match hosts {
        None => 1,
        Some(Hosts::Workers) => spec.workers().count(),
        Some(Hosts::Servers) => spec.servers().count(),
        Some(Hosts::All) => spec.nodes.len(),
    };
    let rounds = u64::try_from(count.div_ceil(spec.shutdown.concurrency.max(1))).unwrap_or(u64::MAX);
    Duration::from_secs(seconds.saturating_mul(rounds))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::observation::UpsReading;
    use crate::power::UpsSpec;

    /// `phase: patience, cut at`, in seconds since the start, for a phase that begins to wait at `waiting`.
    fn table(spec: &Spec, waiting: u64) -> String {
        let t0 = Moment::from_millis(0);
        let line = |phase: G| {
            let limit = limit(spec, phase, t0, t0.plus(Duration::from_secs(waiting)));
            let cut = limit.cut.map_or_else(|| "kept".to_owned(), |cut| format!("cut at {}", cut.as_millis() / 1000));
            format!("{phase}: {} {cut}", limit.patience.as_secs())
        };
        SHUTDOWN.iter().map(|row| line(row.id)).collect::<Vec<_>>().join("\n")
    }

    fn spec(within: Option<u64>, mode: ShutdownMode) -> Spec {
        let mut bench = Bench::new(4);
        bench.spec.shutdown.within = within.map(Duration::from_secs);
        bench.spec.shutdown.mode = mode;
        bench.spec
    }

    #[test]
    fn power_that_ends_sooner_makes_it_shorter_and_its_own_countdown_does_not() {
        for (given, words, runtime, within) in [
            (Some(300), "OB DISCHRG", 540, None),
            (Some(300), "OB DISCHRG", 200, Some(160)),
            (Some(164), "OB DISCHRG", 200, None),
            (Some(300), "FSD OB DISCHRG LB", 540, Some(60)),
            (Some(300), "OL CHRG", 20, None),
            (None, "OB DISCHRG", 900, None),
            (None, "OB DISCHRG", 500, Some(310)),
        ] {
            let mut bench = Bench::new(2);
            bench.spec.shutdown.within = given.map(Duration::from_secs);
            let (rack, attic): (Arc<str>, Arc<str>) = ("rack@h".into(), "attic@h".into());
            bench.spec.power.upses = vec![UpsSpec::feeding_all(rack.clone())];
            bench.now = bench.now.plus(Duration::from_secs(60));
            bench.ups(&rack, words, runtime);
            assert_eq!(sooner(&bench.view()), within.map(Duration::from_secs), "{given:?} {words} {runtime}");
            bench.spec.power.upses.push(UpsSpec::feeding_all(attic.clone()));
            assert_eq!(sooner(&bench.view()), None, "the other one was not heard yet");
            bench.ups(&attic, "OL", 900);
            assert_eq!(sooner(&bench.view()), None, "the other one carries them");
        }
    }

    /// Its only word, and one that its charge contradicts.
    #[test]
    fn a_low_battery_that_tells_nothing_else_hastens_a_shutdown() {
        for (words, charge, within) in
            [("OB LB", None, Some(360)), ("OB", None, None), ("OB LB", Some(95), None), ("OB LB", Some(30), Some(360))]
        {
            let mut bench = Bench::new(2);
            let rack: Arc<str> = "rack@h".into();
            bench.spec.power.upses = vec![UpsSpec::feeding_all(rack.clone())];
            bench.now = bench.now.plus(Duration::from_secs(60));
            let status = words.split(' ').map(Into::into).collect();
            let reading = UpsReading { status, charge_percent: charge, runtime: None };
            bench.obs.ups.insert(rack, Fact::known(reading, bench.now));
            assert_eq!(sooner(&bench.view()), within.map(Duration::from_secs), "{words} {charge:?}");
        }
    }

    #[test]
    fn without_an_end_every_phase_has_its_own_patience() {
        let spec = spec(None, ShutdownMode::Poweroff);
        for row in SHUTDOWN {
            let t0 = Moment::from_millis(0);
            assert_eq!(limit(&spec, row.id, t0, t0), Limit { patience: spec.deadline(row.id), cut: None }, "{}", row.id);
        }
    }

    #[test]
    fn what_can_be_cut_leaves_time_for_what_cannot() {
        let spec = spec(Some(600), ShutdownMode::ClusterOnly);
        assert_eq!(
            table(&spec, 0),
            "intent-recorded: 60 kept\n\
             flux-suspended: 120 cut at 490\n\
             etcd-snapshot: 120 cut at 490\n\
             cordoned: 120 cut at 490\n\
             drained: 600 cut at 490\n\
             volumes-detached: 120 cut at 490\n\
             workers-stopped: 300 kept\n\
             pods-stopped: 300 kept\n\
             cordons-released: 120 kept\n\
             servers-stopped: 300 kept\n\
             powered-off: 300 kept"
        );
    }

    #[test]
    fn an_end_that_has_passed_leaves_the_least_time_to_what_is_never_cut() {
        let spec = spec(Some(60), ShutdownMode::Poweroff);
        assert_eq!(
            table(&spec, 300),
            "intent-recorded: 10 kept\n\
             flux-suspended: 120 cut at -110\n\
             etcd-snapshot: 120 cut at -110\n\
             cordoned: 120 cut at -110\n\
             drained: 600 cut at -110\n\
             volumes-detached: 120 cut at -110\n\
             workers-stopped: 30 kept\n\
             pods-stopped: 20 kept\n\
             cordons-released: 15 kept\n\
             servers-stopped: 45 kept\n\
             powered-off: 60 kept"
        );
    }

    #[test]
    fn what_does_not_answer_is_waited_for_only_while_the_rest_still_has_its_least_time() {
        let spec = spec(Some(180), ShutdownMode::ClusterOnly);
        let at = |seconds| Moment::from_millis(0).plus(Duration::from_secs(seconds));
        let patience = |phase, waiting| limit(&spec, phase, at(0), at(waiting)).patience.as_secs();
        assert_eq!(patience(G::WorkersStopped, 48), 180 - 20 - 15 - 45 - 48);
        assert_eq!(patience(G::WorkersStopped, 90), 30);
        assert_eq!(patience(G::ServersStopped, 120), 60);
    }

    #[test]
    fn more_rounds_need_more_time() {
        let mut spec = spec(Some(600), ShutdownMode::ClusterOnly);
        spec.shutdown.concurrency = 1;
        // Three workers, one at a time: stopped in 90 s, their pods in 60 s.
        let t0 = Moment::from_millis(0);
        assert_eq!(limit(&spec, G::Drained, t0, t0).cut, Some(t0.plus(Duration::from_secs(600 - 90 - 60 - 15 - 45))));
    }
}
