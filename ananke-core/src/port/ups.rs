//! UPS readings.

use async_trait::async_trait;

use super::PortError;
use crate::observation::UpsReading;

/// Reads from upsd, or from whatever else knows the batteries.
#[async_trait]
pub trait UpsReads: Send + Sync {
    /// `ups` is a target as NUT writes it: `name@host`.
    async fn read(&self, ups: &str) -> Result<UpsReading, PortError>;
}
