//! This machine's clock as a port.

use std::time::SystemTime;

use ananke_core::name::Moment;
use ananke_core::port::Clock;
use ananke_core::port::clock::Uptime;
use async_trait::async_trait;

#[derive(Debug, Clone, Copy)]
pub struct WallClock;

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Moment {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Moment::from_millis(i64::try_from(since.as_millis()).unwrap())
    }

    fn uptime(&self) -> Option<Uptime> {
        None
    }

    async fn sleep_until(&self, until: Moment) {
        tokio::time::sleep(until.since(self.now())).await;
    }
}
