//! What the operator wants of the cluster, durable, so that a power cut does not forget it.

use std::sync::Arc;
use std::time::Duration;

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
    /// The host of another Ananke whose shutdown this is: it was seen in the cluster, and counts here as one of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Arc<str>>,
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

impl Intent {
    /// A shutdown that power asked for, as a start-up for power finds it that began at `started`: whoever acts for power begins
    /// none beside a shutdown of its own, so that one has died.
    pub fn died_before(&self, started: Moment) -> bool {
        self.by_power && self.of.is_none() && self.state == IntentState::ShuttingDown && self.at < started
    }

    /// Power stopped the cluster, or asked for the start-up that follows: until that got through, a start-up may be owed.
    pub fn owes_a_start_up(&self) -> bool {
        self.by_power && self.state != IntentState::Normal
    }

    /// A person wants the cluster to be down; a shutdown that did not get to its end counts for `max_age`.
    pub fn is_a_persons_stop(&self, max_age: Duration, now: Moment) -> bool {
        !self.by_power
            && match self.state {
                IntentState::ShutdownComplete => true,
                IntentState::ShuttingDown => now.since(self.at) <= max_age,
                IntentState::Normal | IntentState::StartupInProgress => false,
            }
    }
}
