//! Time as a port: the core never asks a clock of its own.

use async_trait::async_trait;

use crate::name::Moment;

/// Wall time, and waiting for it.
#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Moment;

    /// Returns at or after `until`; at once if that has passed.
    async fn sleep_until(&self, until: Moment);
}
