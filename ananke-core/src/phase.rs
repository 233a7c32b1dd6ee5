//! Phases of a shutdown: one file each, walked in order. Like a gate, a phase judges what is seen; what it then does is
//! its own remedy, eligible from when the phase before it has settled.
//!
//! A phase that cannot finish in time is reported and the next one goes on: a shutdown is never stuck half way.

pub mod cordoned;
pub mod cordons_released;
pub mod drained;
pub mod flux_suspended;
pub mod intent_recorded;
pub mod stopped;

use crate::engine::view::{Trust, View};
use crate::gate::{Need, Overdue, Row};
use crate::observation::UnitState;
use crate::remedy::Remedy;
use crate::verdict::GateId as G;

use Need::Whole;
use Overdue::{Fatal, Person};

/// The walk of a shutdown.
#[rustfmt::skip]
pub const SHUTDOWN: &[Row] = &[
    Row { id: G::IntentRecorded,   needs: &[],                          overdue: Fatal,  evaluate: intent_recorded::evaluate },
    Row { id: G::FluxSuspended,    needs: &[Whole(G::IntentRecorded)],  overdue: Person, evaluate: flux_suspended::evaluate },
    Row { id: G::Cordoned,         needs: &[Whole(G::FluxSuspended)],   overdue: Person, evaluate: cordoned::evaluate },
    Row { id: G::Drained,          needs: &[Whole(G::Cordoned)],        overdue: Person, evaluate: drained::evaluate },
    Row { id: G::WorkersStopped,   needs: &[Whole(G::Drained)],         overdue: Person, evaluate: stopped::workers },
    Row { id: G::CordonsReleased,  needs: &[Whole(G::WorkersStopped)],  overdue: Person, evaluate: cordons_released::evaluate },
    Row { id: G::ServersStopped,   needs: &[Whole(G::CordonsReleased)], overdue: Person, evaluate: stopped::servers },
];

pub const REMEDIES: &[Remedy] = &[
    Remedy { trap: None, plan: flux_suspended::plan },
    Remedy { trap: None, plan: cordoned::plan },
    Remedy { trap: None, plan: drained::plan },
    Remedy { trap: None, plan: stopped::plan },
    Remedy { trap: None, plan: cordons_released::plan },
];

/// Whether this phase is the one at work. A single look plans them all, each as if those before it had passed.
fn at_work(view: &View<'_>, phase: G) -> bool {
    view.trust == Trust::Stated || view.gates.get(&phase).is_some_and(|gate| gate.opened.is_some() && gate.settled.is_none())
}

/// Whether all servers say that their unit is stopped: then no API will answer any more, and nothing waits for it.
fn api_is_stopped(view: &View<'_>) -> bool {
    view.api().is_err()
        && view
            .spec
            .servers()
            .all(|(name, _)| view.host(name).is_ok_and(|host| matches!(host.unit, UnitState::Inactive | UnitState::Failed)))
}

const STOPPED: &str = "the servers are stopped already";
