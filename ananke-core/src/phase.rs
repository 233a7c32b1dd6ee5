//! Phases of a shutdown: one file each, walked in order. Like a gate, a phase judges what is seen; what it then does is
//! its own remedy, eligible from when the phase before it has settled.
//!
//! A phase that cannot finish in time is reported and the next one goes on: a shutdown is never stuck half way.

pub mod cordoned;
pub mod cordons_released;
pub(crate) mod deadline;
pub mod drained;
pub mod etcd_snapshot;
pub mod flux_suspended;
pub mod intent_recorded;
pub mod pods_stopped;
pub mod powered_off;
pub mod stopped;
pub mod volumes_detached;

use crate::coordination;
use crate::engine::view::{Trust, View};
use crate::fact::Gap;
use crate::gate::{Need, Overdue, Row};
use crate::name::{NodeName, Subject};
use crate::observation::UnitState;
use crate::remedy::Remedy;
use crate::verdict::{GateId as G, Reason, Verdict};

use Need::Whole;
use Overdue::{Fatal, Person};

/// The walk of a shutdown.
#[rustfmt::skip]
pub const SHUTDOWN: &[Row] = &[
    Row { id: G::IntentRecorded,   needs: &[],                          overdue: Fatal,  evaluate: intent_recorded::evaluate },
    Row { id: G::FluxSuspended,    needs: &[Whole(G::IntentRecorded)],  overdue: Person, evaluate: flux_suspended::evaluate },
    Row { id: G::EtcdSnapshot,     needs: &[Whole(G::FluxSuspended)],   overdue: Person, evaluate: etcd_snapshot::evaluate },
    Row { id: G::Cordoned,         needs: &[Whole(G::EtcdSnapshot)],    overdue: Person, evaluate: cordoned::evaluate },
    Row { id: G::Drained,          needs: &[Whole(G::Cordoned)],        overdue: Person, evaluate: drained::evaluate },
    Row { id: G::VolumesDetached,  needs: &[Whole(G::Drained)],         overdue: Person, evaluate: volumes_detached::evaluate },
    Row { id: G::WorkersStopped,   needs: &[Whole(G::VolumesDetached)], overdue: Person, evaluate: stopped::workers },
    Row { id: G::PodsStopped,      needs: &[Whole(G::WorkersStopped)],  overdue: Person, evaluate: pods_stopped::evaluate },
    Row { id: G::CordonsReleased,  needs: &[Whole(G::PodsStopped)],     overdue: Person, evaluate: cordons_released::evaluate },
    Row { id: G::ServersStopped,   needs: &[Whole(G::CordonsReleased)], overdue: Person, evaluate: stopped::servers },
    Row { id: G::PoweredOff,       needs: &[Whole(G::ServersStopped)],  overdue: Person, evaluate: powered_off::evaluate },
];

pub const REMEDIES: &[Remedy] = &[
    Remedy::Duty(flux_suspended::plan),
    Remedy::Duty(etcd_snapshot::plan),
    Remedy::Duty(coordination::plan),
    Remedy::Duty(cordoned::plan),
    Remedy::Duty(drained::plan),
    Remedy::Duty(stopped::plan),
    Remedy::Duty(pods_stopped::plan),
    Remedy::Duty(cordons_released::plan),
    Remedy::Duty(powered_off::plan),
];

/// Whether this phase is the one at work. A single look plans them all, each as if those before it had passed.
fn at_work(view: &View<'_>, phase: G) -> bool {
    view.trust == Trust::Stated || view.gate(phase).is_some_and(|gate| gate.opened.is_some() && gate.settled.is_none())
}

/// Whether all servers say that their unit is stopped, or are off: then no API will answer any more, and nothing waits for it.
fn api_is_stopped(view: &View<'_>) -> bool {
    let stopped = |name| view.host(name).is_ok_and(|host| matches!(host.unit, UnitState::Inactive | UnitState::Failed));
    let mut servers = view.spec.servers().filter(|(_, node)| node.is_managed()).map(|(name, _)| name).peekable();
    let known = servers.peek().is_some();
    view.api().is_err() && known && servers.all(|name| stopped(name) || powered_off::silent(view, name).is_some())
}

const STOPPED: &str = "the servers are stopped already";

/// Whether `phase` settled without this node: its instruction stands there, and no later phase waits for it again.
fn left_behind(view: &View<'_>, phase: G, node: &NodeName) -> bool {
    let Some(gate) = view.gate(phase).filter(|gate| gate.settled.is_some()) else { return false };
    gate.judgement.subjects.get(&Subject::Node(node.clone())).is_some_and(|verdict| !verdict.is_pass())
}

/// What a phase says that needs the API and does not have it. The first such phase waits for it; those after it do not wait
/// again, for a shutdown of a cluster that is broken anyway must not take the sum of all deadlines.
fn without_api(view: &View<'_>, gap: Gap, if_it_lasts: &str) -> Verdict {
    let first = view.gate(G::FluxSuspended).filter(|gate| gate.settled.is_some());
    let waited = first.is_some_and(|gate| gate.judgement.subjects.get(&Subject::Cluster).is_some_and(|found| !found.is_pass()));
    if waited && view.api().is_err() {
        return Verdict::follows(Reason::ApiNotAnswering, Subject::Cluster, gap.text);
    }
    Verdict::unknown(gap, if_it_lasts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::{Bench, node};
    use crate::port::{ErrorKind, PortError};

    #[test]
    fn every_phase_requires_only_phases_before_it() {
        for (index, row) in SHUTDOWN.iter().enumerate() {
            for need in row.needs {
                assert!(SHUTDOWN[..index].iter().any(|earlier| earlier.id == need.gate()), "{} requires {}", row.id, need.gate());
            }
        }
    }

    #[test]
    fn a_phase_is_at_work_from_when_it_opens_until_it_settles() {
        let mut bench = Bench::new(1);
        assert!(!at_work(&bench.view(), G::Cordoned));
        bench.open(G::Cordoned);
        assert!(at_work(&bench.view(), G::Cordoned));
        bench.settles(G::Cordoned);
        assert!(!at_work(&bench.view(), G::Cordoned));
    }

    #[test]
    fn an_api_that_is_away_is_waited_for_once() {
        let mut bench = Bench::new(2);
        for n in 1..=2 {
            bench.host_up(n);
        }
        bench.check(drained::evaluate, "the cluster: unknown");
        bench.settle(G::FluxSuspended, flux_suspended::evaluate);
        for evaluate in [cordoned::evaluate, drained::evaluate, volumes_detached::evaluate] {
            bench.check(evaluate, "the cluster: hold api-not-answering follows the cluster");
        }
    }

    #[test]
    fn nothing_waits_for_an_api_whose_servers_are_stopped_or_were_ordered_off() {
        let mut bench = Bench::new(3);
        bench.servers(2);
        for n in 1..=3 {
            bench.host_up(n);
        }
        bench.host(1, |host| host.unit = UnitState::Inactive);
        bench.check(drained::evaluate, "the cluster: unknown");
        let off = crate::order::Order::Host { node: node(2), order: crate::order::HostOrder::PowerOff };
        bench.done(&off);
        bench.now = bench.now.plus(std::time::Duration::from_secs(20));
        let mut dark = Fact::default();
        dark.fold(Err(PortError::new(ErrorKind::Transient, "ssh", node(2), "no answer within 5 s")), bench.now);
        bench.obs.hosts.insert(node(2), dark);
        bench.check(drained::evaluate, &format!("not applicable: {STOPPED}"));
    }
}
