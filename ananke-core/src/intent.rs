//! What the operator wants of the cluster, durable, so that a power cut does not forget it.

use serde::{Deserialize, Serialize};

use crate::name::{Moment, RunId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub state: IntentState,
    pub run: RunId,
    pub at: Moment,
    /// Why, in the words of whoever asked.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    Normal,
    StartupInProgress,
    ShuttingDown,
    ShutdownComplete,
}
