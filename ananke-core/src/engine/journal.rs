//! The journal: every decision is written before it is acted on.

use serde::{Deserialize, Serialize};

use crate::name::{Moment, RunId};
use crate::order::Order;
use crate::port::PortError;
use crate::report::{Command, GateStatus, Outcome};
use crate::verdict::GateId;

/// One line of `journal/<run>.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub run: RunId,
    /// Counts from 1 within the run, without gaps.
    pub seq: u64,
    pub at: Moment,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    RunStarted {
        command: Command,
        resumes: Option<RunId>,
    },
    Gate {
        gate: GateId,
        status: GateStatus,
        text: String,
    },
    /// Written ahead: the order may or may not have reached the world.
    Acting {
        order: Order,
        why: String,
    },
    Acted {
        order_seq: u64,
        error: Option<PortError>,
    },
    RunEnded {
        outcome: Outcome,
    },
}
