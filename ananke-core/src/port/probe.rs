//! HTTP checks from outside the cluster, as a user's browser would make them.

use async_trait::async_trait;

use super::PortError;
use crate::observation::ProbeAnswer;

#[async_trait]
pub trait Probes: Send + Sync {
    /// One GET without following redirects. Any answer is `Ok`, whatever its status.
    async fn get(&self, url: &str) -> Result<ProbeAnswer, PortError>;
}
