//! Time as a port: the core never asks a clock of its own.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::name::{BootId, Moment};

/// A point in the life of one boot: it only grows, whatever is done to the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uptime {
    pub boot: BootId,
    #[serde(rename = "millis", with = "millis")]
    pub since_boot: Duration,
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Wall time, and waiting for it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Wall time, as reports and leases name it. It may jump; [`Clock::uptime`] may not.
    fn now(&self) -> Moment;

    /// How long this machine has run, suspended time included (`CLOCK_BOOTTIME`), and in which boot; `None` where that is
    /// not known: then only wall time counts.
    fn uptime(&self) -> Option<Uptime>;

    /// Returns at or after `until`; at once if that has passed.
    async fn sleep_until(&self, until: Moment);
}
