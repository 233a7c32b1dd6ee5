//! The machine's clock, behind the port.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ananke_core::name::{BootId, Moment};
use ananke_core::port::Clock;
use ananke_core::port::clock::Uptime;
use async_trait::async_trait;

/// By less, the two clocks differ where nobody set anything; the engine goes by the same bound.
const SET: Duration = Duration::from_secs(2);

/// Wall time. Where somebody sets it, which is common just after an outage, a run that began before goes by the new time: what it
/// compares with other clocks, and what others read of it, would be wrong to its end otherwise. What is slept for is not
/// slept for longer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock(SteadyClock);

/// Wall time as it was when the clock was started, carried on by the monotonic clock: for what only spans count of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SteadyClock {
    wall: Moment,
    began: Instant,
}

impl SystemClock {
    pub(crate) fn start() -> Self {
        Self(SteadyClock::start())
    }

    /// The same, which nobody sets.
    pub(crate) fn steady(&self) -> SteadyClock {
        self.0
    }
}

impl SteadyClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for how long it has run")]
    pub(crate) fn start() -> Self {
        Self { wall: wall(), began: Instant::now() }
    }

    /// By how many milliseconds the wall clock was set since this one was started.
    pub(crate) fn set_by(&self) -> i64 {
        let millis = wall().as_millis().saturating_sub(self.now().as_millis());
        if Duration::from_millis(millis.unsigned_abs()) > SET { millis } else { 0 }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
fn wall() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Moment::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

pub(crate) fn moved(at: Moment, millis: i64) -> Moment {
    Moment::from_millis(at.as_millis().saturating_add(millis))
}

fn uptime() -> Option<Uptime> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    Some(Uptime { boot: BootId::parse(boot.trim()).ok()?, since_boot: since_boot(&uptime)? })
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Moment {
        moved(self.0.now(), self.0.set_by())
    }

    /// `/proc/uptime` is `CLOCK_BOOTTIME`.
    fn uptime(&self) -> Option<Uptime> {
        uptime()
    }

    async fn sleep_until(&self, until: Moment) {
        tokio::time::sleep(until.since(self.now())).await;
    }
}

#[async_trait]
impl Clock for SteadyClock {
    fn now(&self) -> Moment {
        self.wall.plus(self.began.elapsed())
    }

    fn uptime(&self) -> Option<Uptime> {
        uptime()
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

    #[test]
    fn a_wall_clock_that_was_set_since_is_followed_and_the_steady_one_is_not_set() {
        for (ahead, set) in [(6 * 3_600_000, true), (-6 * 3_600_000, true), (1_500, false), (0, false)] {
            let clock = SystemClock(SteadyClock { wall: moved(wall(), ahead), ..SteadyClock::start() });
            let off = |at: Moment| at.as_millis() - wall().as_millis();
            assert!((off(clock.steady().now()) - ahead).abs() < 400, "{ahead}");
            let expected = if set { 0 } else { ahead };
            assert!((off(clock.now()) - expected).abs() < 400, "{ahead}: {}", off(clock.now()));
            assert_eq!(clock.steady().set_by() != 0, set, "{ahead}");
        }
    }
}
