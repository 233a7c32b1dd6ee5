//! The journal: every decision is written before it is acted on, and with it all that it was made from, so that the run
//! can be replayed ([`crate::engine::replay`]).

use serde::{Deserialize, Serialize};

pub use super::delta::{Delta, ListDelta, Put};
pub use super::record::{Place, Seen, Told};
use crate::lease::LeaseRecord;
use crate::name::{Moment, RunId};
use crate::order::Order;
use crate::port::PortError;
use crate::port::clock::Uptime;
use crate::report::{ActionReport, Command, EarlierRun, GateStatus, Outcome};
use crate::spec::Spec;
use crate::verdict::GateId;

/// One line of `journal/<run>.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub run: RunId,
    /// Counts from 1 within the run. A gap is a line that could not be written.
    pub seq: u64,
    /// The time of the decision: what was judged, sent or answered counts from here.
    pub at: Moment,
    #[serde(flatten)]
    pub what: What,
}

impl Entry {
    /// Whether it is worth the room that is kept on a full disk: what ends a lease, and the line of a shutdown's order. Without
    /// it that order may not be sent, and what the batteries cannot wait for would not be done.
    pub fn is_worth_the_reserve(&self) -> bool {
        let of_shutdown = self.run.is_of("shutdown");
        match &self.what {
            What::Acting { order, .. } => of_shutdown || order.ends_a_lease(),
            // Where the whole of it has no room, it is begun without what it is replayed from.
            What::RunStarted { start, .. } => of_shutdown && start.is_none(),
            What::Judged { .. }
            | What::Gate { .. }
            | What::Withheld { .. }
            | What::Acted { .. }
            | What::Interrupted
            | What::RunEnded { .. } => false,
        }
    }
}

/// What happened. The order of entries is the order in which it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// The first entry.
    RunStarted {
        command: Command,
        resumes: Option<RunId>,
        /// Everything that the run begins with; none where the state keeps no records.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<Box<Start>>,
    },
    /// Every gate was judged, and before that these answers had come since the judgement before. Written with
    /// [`crate::port::StateWrites::record`].
    Judged {
        seen: Vec<Seen>,
        /// This machine's own clock: leases age by it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uptime: Option<Uptime>,
    },
    /// A gate changed its status.
    Gate { gate: GateId, status: GateStatus, text: String },
    /// What the judgement would have led to was not sent.
    Withheld { why: String },
    /// Written ahead: the order may or may not have reached the world.
    Acting { order: Order, why: String },
    /// The answer to an order.
    Acted {
        /// The number of the order's own entry.
        order_seq: u64,
        error: Option<PortError>,
    },
    /// The operator wants it to end: a shutdown gives its cordons back, and nothing else is done.
    Interrupted,
    /// The last entry, unless the run died.
    RunEnded { outcome: Outcome },
}

/// What a run begins with: all that its first judgement rests on, beside what it sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub spec: Spec,
    pub reason: String,
    #[serde(default)]
    pub by_power: bool,
    pub started: Moment,
    /// The gates that are walked.
    pub gates: Vec<GateId>,
    /// They are part of the graph only.
    pub partial: bool,
    /// From when on a reconciliation proves anything, as far as that was known.
    pub floor: Option<Moment>,
    pub leases: Vec<LeaseRecord>,
    pub earlier: Vec<EarlierRun>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reboots: Vec<ActionReport>,
}
