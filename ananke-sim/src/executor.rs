//! A single thread of virtual time: a future waits, and the world goes on until the first sleeper is due.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use ananke_core::name::{BootId, Moment};
use ananke_core::port::Clock;
use ananke_core::port::clock::Uptime;
use async_trait::async_trait;

use crate::world::{Ms, Seconds, World};

/// How long Ananke's machine had run when the world began.
const MACHINE_UP: Ms = 86_400_000;

/// A world and those who sleep in it. Clones share both.
#[derive(Debug, Clone)]
pub struct Sim {
    world: Arc<Mutex<World>>,
    timers: Arc<Mutex<Timers>>,
}

#[derive(Debug, Default)]
struct Timers {
    seq: u64,
    sleepers: BTreeMap<(Ms, u64), Waker>,
}

/// The future did not end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stalled {
    #[error("not finished at {} s of virtual time, which was the limit", Seconds(*.0))]
    Limit(Ms),
    #[error("it waits at {} s of virtual time for something that no timer will bring", Seconds(*.0))]
    NothingDue(Ms),
}

impl Sim {
    pub fn new(world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)), timers: Arc::default() }
    }

    /// The world, locked: never hold it over an await.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub fn shared(&self) -> Arc<Mutex<World>> {
        self.world.clone()
    }

    pub fn clock(&self) -> SimClock {
        SimClock { sim: self.clone() }
    }

    /// Drives `future` to its end, or virtual time to `limit`.
    pub fn run<F: Future>(&self, future: F, limit: Ms) -> Result<F::Output, Stalled> {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            while flag.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return Ok(output);
                }
            }
            let Some(due) = lock(&self.timers).sleepers.keys().next().map(|(at, _)| *at) else {
                return Err(Stalled::NothingDue(self.world().now()));
            };
            if due > limit {
                self.world().advance_to(limit);
                return Err(Stalled::Limit(limit));
            }
            self.world().advance_to(due);
            self.wake(due);
        }
    }

    /// Sleeps for a virtual span.
    pub(crate) fn delay(&self, span: Ms) -> Sleep {
        let until = self.world().now() + span;
        self.sleep(until)
    }

    fn sleep(&self, until: Ms) -> Sleep {
        Sleep { sim: self.clone(), until, key: None }
    }

    /// Wakes all that are due, in the order in which they went to sleep.
    fn wake(&self, now: Ms) {
        let next = || lock(&self.timers).sleepers.first_entry().filter(|first| first.key().0 <= now).map(|first| first.remove());
        while let Some(waker) = next() {
            waker.wake();
        }
    }
}

/// Wall time as the world presents it.
#[derive(Debug, Clone)]
pub struct SimClock {
    sim: Sim,
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Moment {
        let world = self.sim.world();
        world.wall(world.now())
    }

    /// Ananke's own machine runs through in one boot.
    fn uptime(&self) -> Option<Uptime> {
        let world = self.sim.world();
        let since_boot = world.wall_span(world.now().saturating_add(MACHINE_UP));
        BootId::parse("ananke-boot-1").ok().map(|boot| Uptime { boot, since_boot })
    }

    async fn sleep_until(&self, until: Moment) {
        let until = self.sim.world().virtual_at(until);
        self.sim.sleep(until).await;
    }
}

#[derive(Debug)]
pub(crate) struct Sleep {
    sim: Sim,
    until: Ms,
    key: Option<(Ms, u64)>,
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.sim.world().now() >= self.until {
            return Poll::Ready(());
        }
        let timers = self.sim.timers.clone();
        let mut timers = lock(&timers);
        let key = self.key.unwrap_or_else(|| {
            timers.seq += 1;
            (self.until, timers.seq)
        });
        timers.sleepers.insert(key, context.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            lock(&self.sim.timers).sleepers.remove(&key);
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn sleepers_wake_at_their_time_and_in_their_order() {
        let sim = Sim::new(World::new(&Scenario::named("healthy").unwrap(), 1));
        let seen = Mutex::new(Vec::new());
        let nap = |name: &'static str, span: Ms| {
            let (sim, seen) = (&sim, &seen);
            async move {
                sim.delay(span).await;
                let now = sim.world().now();
                lock(seen).push((name, now));
            }
        };
        let all = futures::future::join4(nap("a", 30), nap("b", 10), nap("c", 30), nap("d", 0));
        sim.run(all, 1_000).unwrap();
        assert_eq!(*lock(&seen), [("d", 0), ("b", 10), ("a", 30), ("c", 30)]);
    }

    #[test]
    fn a_future_that_nothing_will_wake_is_reported() {
        let sim = Sim::new(World::new(&Scenario::named("healthy").unwrap(), 1));
        assert_eq!(sim.run(std::future::pending::<()>(), 1_000), Err(Stalled::NothingDue(0)));
        assert_eq!(sim.run(sim.delay(2_000), 1_000), Err(Stalled::Limit(1_000)));
    }
}
