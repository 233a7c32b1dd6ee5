//! Observe, judge, act: the walk through a graph of gates.

pub mod driver;
pub mod history;
mod intake;
pub mod journal;
mod schedule;
mod summary;
pub mod view;
pub mod walk;

use crate::intent::{Intent, IntentState};
use crate::name::{Moment, RunId};
use crate::report::{Command, Progress};
use crate::spec::Spec;
use crate::verdict::GateId;
use crate::{gate, phase, remedy};
use history::History;
use view::Trust;
use walk::{Plan, Walk};

pub use driver::{Hands, News, Observer, Reads, execute, look};

/// The walk of a start-up.
pub fn startup_plan() -> Plan {
    Plan { command: Command::Startup, rows: gate::STARTUP.to_vec(), remedies: remedy::STARTUP, latching: false }
}

/// A start-up that goes on where `left` stopped, if that run died.
pub fn startup(plan: Plan, spec: Spec, now: Moment, left: Option<Progress>, intent: Option<&Intent>) -> Walk {
    let mut walk = Walk::new(plan, spec, run_id("startup", now), now, Trust::Proven);
    walk.reason = "start-up".to_owned();
    walk.resume(left.filter(|progress| progress.command == Command::Startup && progress.outcome.is_none()));
    walk.raise_floor(intent);
    walk
}

/// One look with the gates of a start-up.
pub fn status(spec: Spec, now: Moment, intent: Option<&Intent>) -> Walk {
    let mut plan = Plan { command: Command::Status, remedies: &[], ..startup_plan() };
    // A single look cannot see that something holds.
    plan.rows.retain(|row| row.id != GateId::Soak);
    let mut walk = Walk::new(plan, spec, run_id("status", now), now, Trust::Stated);
    walk.raise_floor(intent);
    walk
}

pub fn shutdown(spec: Spec, now: Moment, reason: &str, left: Option<Progress>) -> Walk {
    let plan = Plan { command: Command::Shutdown, rows: phase::SHUTDOWN.to_vec(), remedies: phase::REMEDIES, latching: true };
    let mut walk = Walk::new(plan, spec, run_id("shutdown", now), now, Trust::Proven);
    walk.reason = reason.to_owned();
    walk.resume(left.filter(|progress| progress.command == Command::Shutdown && progress.outcome.is_none()));
    walk
}

/// `startup-20260314t020611z`: short enough for a lease ID, which is a taint's value.
fn run_id(command: &str, now: Moment) -> RunId {
    let stamp: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).take(18).collect();
    RunId::of(command, &stamp)
}

/// Proof that the engine decided an order and journaled it. Nothing else can make one, so no adapter and no command can
/// act on an idea of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    run: RunId,
    seq: u64,
}

impl Permit {
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Number of the journal entry that holds the order.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

impl Walk {
    fn resume(&mut self, left: Option<Progress>) {
        let Some(left) = left else { return };
        self.earlier = left.into_earlier();
        self.history = History::from_actions(self.earlier.iter().flat_map(|run| &run.actions));
        // What the runs before this one proved still counts; what was true before them does not.
        self.floor.since = self.earlier.first().map(|run| run.started);
    }

    /// A finished shutdown ended the life of the cluster that came before it.
    fn raise_floor(&mut self, intent: Option<&Intent>) {
        let stopped = intent.filter(|intent| intent.state == IntentState::ShutdownComplete).map(|intent| intent.at);
        self.floor.since = self.floor.since.max(stopped);
    }
}
