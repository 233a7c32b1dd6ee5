//! Other Anankes of the same cluster, asked without the API.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::intent::Intent;

/// Reads from other Anankes. An error is normal just after an outage and is waited for a while only.
#[async_trait]
pub trait PeerReads: Send + Sync {
    /// What the operator last wanted of the cluster, told to that Ananke; `peer` is its name in the config.
    async fn intent(&self, peer: &str) -> Result<Option<Intent>, PortError>;
}

/// What one Ananke may ask of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRequest {
    /// The power of what it watches ends; `within`: what the batteries still give, in whole seconds.
    Shutdown { within: Option<Duration> },
    /// That power is back: the cluster may start.
    Startup,
}

/// What the other one made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAnswer {
    /// Its daemon has it now; otherwise `text` says why it does not want it.
    pub taken: bool,
    pub text: String,
}

/// Requests to other Anankes. An error says that the other one did not decide: it is away, or no daemon runs there.
#[async_trait]
pub trait PeerActions: Send + Sync {
    /// `peer` is its name in the config.
    async fn ask(&self, peer: &str, request: PeerRequest) -> Result<PeerAnswer, PortError>;
}
