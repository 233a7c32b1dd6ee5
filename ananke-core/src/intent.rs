//! What the operator wants of the cluster, durable, so that a power cut does not forget it.

use serde::{Deserialize, Serialize};

use crate::name::{Moment, RunId};

/// `intent.json`: it outlives every run, and every run reads it before it acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub state: IntentState,
    pub run: RunId,
    pub at: Moment,
    /// Why, in the words of whoever asked.
    pub reason: String,
    /// A shutdown that power asked for: when mains are back, the cluster may start without a person.
    #[serde(default)]
    pub by_power: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// The cluster is to run, and does.
    Normal,
    StartupInProgress,
    /// A shutdown is wanted, and did not get to its end yet: no start-up may begin.
    ShuttingDown,
    ShutdownComplete,
}
