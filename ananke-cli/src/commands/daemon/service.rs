//! What the service manager is told: ready, reloading, alive, stopping. Where none asked for it, nothing is told.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

use ananke_core::name::{Moment, human};
use ananke_core::port::Clock;
use sd_notify::NotifyState;

use super::say;
use crate::clock::SystemClock;

/// A sweep of the lease keeper takes half a minute at most, and one comes every minute.
const SWEEP: Duration = Duration::from_secs(300);
/// Batteries are looked at every second, and a upsd that hangs is given up after some.
const LOOK: Duration = Duration::from_secs(60);

pub(super) fn ready(state: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(state)]);
}

pub(super) fn reloading() {
    // Without the time of the monotonic clock systemd takes no notice.
    let since = NotifyState::monotonic_usec_now().ok();
    tell(&[NotifyState::Reloading].into_iter().chain(since).collect::<Vec<_>>());
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A service manager that does not listen is no reason to stop.
fn tell(states: &[NotifyState<'_>]) {
    sd_notify::notify(states).unwrap_or_default();
}

/// When each keeper last came round.
#[derive(Debug)]
pub(super) struct Pulse {
    clock: SystemClock,
    leases: Cell<Moment>,
    power: Cell<Option<Moment>>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let clock = SystemClock::start();
        Self { leases: Cell::new(clock.now()), power: Cell::new(None), clock }
    }

    pub(super) fn leases_are_kept(&self) {
        self.leases.set(self.clock.now());
    }

    pub(super) fn power_is_watched(&self) {
        self.power.set(Some(self.clock.now()));
    }

    /// What does not come round any more.
    pub(super) fn stalled(&self) -> Option<String> {
        let now = self.clock.now();
        let late = |what: &str, last: Moment, limit| {
            let silent = now.since(last);
            (silent > limit).then(|| format!("{what} for {}", human(silent)))
        };
        let leases = late("no lease was looked at", self.leases.get(), SWEEP);
        leases.or_else(|| late("no UPS was looked at", self.power.get()?, LOOK))
    }

    /// Tells the service manager that the daemon lives, for as long as it does: one that hangs is restarted by it.
    pub(super) async fn beat(&self) -> Infallible {
        let Some(every) = sd_notify::watchdog_enabled().map(|within| within / 3) else { return std::future::pending().await };
        let mut told = None;
        loop {
            let stalled = self.stalled();
            match &stalled {
                None => tell(&[NotifyState::Watchdog]),
                Some(what) if told.is_none() => say(self.clock.now(), "failed", &format!("{what}: systemd restarts the daemon")),
                Some(_) => {}
            }
            told = stalled;
            self.clock.sleep_until(self.clock.now().plus(every)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_that_does_not_come_round_is_named() {
        let pulse = Pulse::new();
        assert_eq!(pulse.stalled(), None, "no UPS is watched, and none need be");
        pulse.power_is_watched();
        assert_eq!(pulse.stalled(), None);
        let ago = |secs| pulse.clock.now().since(Moment::from_millis(0)).checked_sub(Duration::from_secs(secs)).unwrap();
        let before = |secs| Moment::from_millis(0).plus(ago(secs));
        pulse.power.set(Some(before(90)));
        assert_eq!(pulse.stalled().as_deref(), Some("no UPS was looked at for 1m30s"));
        pulse.leases.set(before(400));
        assert_eq!(pulse.stalled().as_deref(), Some("no lease was looked at for 6m40s"));
    }
}
