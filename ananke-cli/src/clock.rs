//! The machine's clock, behind the port.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ananke_core::name::{BootId, Moment};
use ananke_core::port::Clock;
use ananke_core::port::clock::Uptime;
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

    /// `/proc/uptime` is `CLOCK_BOOTTIME`.
    fn uptime(&self) -> Option<Uptime> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        Some(Uptime { boot: BootId::parse(boot.trim()).ok()?, since_boot: since_boot(&uptime)? })
    }

    async fn sleep_until(&self, until: Moment) {
        tokio::time::sleep(until.since(self.now())).await;
    }
}

/// The first word of `/proc/uptime`: seconds with two decimals.
fn since_boot(text: &str) -> Option<Duration> {
    let (secs, rest) = text.split_whitespace().next()?.split_once('.')?;
    let hundredths: u64 = rest.get(..2)?.parse().ok()?;
    Some(Duration::from_secs(secs.parse().ok()?) + Duration::from_millis(hundredths * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_uptime_is_read_to_the_hundredth() {
        assert_eq!(since_boot("350735.47 234388.90\n"), Some(Duration::from_millis(350_735_470)));
        for torn in ["", "12", "x.10 1", "12.3"] {
            assert_eq!(since_boot(torn), None, "{torn}");
        }
    }
}
