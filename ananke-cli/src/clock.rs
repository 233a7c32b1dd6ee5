//! The machine's clock, behind the port.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ananke_core::name::Moment;
use ananke_core::port::Clock;
use async_trait::async_trait;

/// Wall time as it was when the command began, carried on by the monotonic clock: a step of the wall clock, which is common
/// just after an outage, neither stops a run nor lets its deadlines pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock {
    wall: Moment,
    began: Instant,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { wall: Moment::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)), began: Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Moment {
        self.wall.plus(self.began.elapsed())
    }

    async fn sleep_until(&self, until: Moment) {
        tokio::time::sleep(until.since(self.now())).await;
    }
}
