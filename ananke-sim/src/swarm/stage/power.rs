//! Shutdowns of a story: those that people ask for, and those of a daemon that watches the batteries.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ananke_core::engine::{self};
use ananke_core::intent::IntentState;
use ananke_core::observation::UpsReading;
use ananke_core::port::{Clock, UpsReads};
use ananke_core::power::{Demand, Duty, Known, UpsState, Word, hosts_found};
use ananke_core::report::{Command, Report};
use ananke_core::verdict::Trap;
use futures::future::{Either, join, join_all, select};
use std::pin::pin;

use super::{AGAIN, SOON, Stage, TRIES, at};
use crate::executor::lock;
use crate::swarm::Act;
use crate::swarm::gear::Gear;
use crate::world::Ms;

const SECOND: Ms = 1_000;

/// What the parts of one machine know of each other's runs.
#[derive(Debug, Default)]
pub(super) struct Power {
    starting: AtomicU32,
    stopping: AtomicU32,
    asks: Mutex<Asks>,
}

#[derive(Debug, Default)]
struct Asks {
    /// Why the daemon wants a shutdown, and within what time.
    stop: Option<(String, Duration)>,
    /// It wants the cluster to be started.
    start: bool,
    ended: Vec<(Command, bool)>,
}

/// Counts a run as under way for as long as it lives.
pub(super) struct UnderWay<'a>(&'a AtomicU32);

impl<'a> UnderWay<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Power {
    pub(super) fn starting(&self) -> UnderWay<'_> {
        UnderWay::new(&self.starting)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed) > 0
    }

    /// Whether power asks for the start-up that begins.
    pub(super) fn has_asked(&self) -> bool {
        std::mem::take(&mut self.asks().start)
    }

    pub(super) fn ended(&self, command: Command, got_through: bool) {
        self.asks().ended.push((command, got_through));
    }

    fn asks(&self) -> std::sync::MutexGuard<'_, Asks> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage<'_> {
    /// Those that people ask for.
    pub(super) async fn shutdowns(&self) {
        let steps = self.story.steps.iter().filter(|step| matches!(step.act, Act::Shutdown(_)));
        join_all(steps.map(|step| async {
            self.sleep_until(at(step.at)).await;
            self.shut_down("maintenance", None).await;
        }))
        .await;
    }

    /// Stops the cluster, for power within a time; who dies with it goes on with it.
    async fn shut_down(&self, why: &str, for_power: Option<Duration>) {
        let by_power = for_power.is_some();
        if self.power.is_stopping() {
            return;
        }
        let _stopping = UnderWay::new(&self.power.stopping);
        if by_power && self.power.starting.load(Ordering::Relaxed) > 0 {
            self.scenery.meets(Trap::SecondOutageMidRecovery);
        }
        for _ in 0..TRIES {
            let began = self.now();
            let run = pin!(self.stop(why, for_power));
            match select(run, pin!(self.death())).await {
                Either::Left((report, _)) => {
                    let through = report.got_through();
                    self.power.ended(Command::Shutdown, through);
                    self.ended(self.own.name, report, began, false);
                    if through || by_power {
                        return;
                    }
                    self.own.clock.sleep_until(self.own.clock.now().plus(AGAIN)).await;
                }
                Either::Right((dead_for, _)) => self.scenery.sim.delay(dead_for).await,
            }
        }
    }

    async fn stop(&self, why: &str, for_power: Option<Duration>) -> Report {
        let actor = &self.own;
        self.scenery.note(crate::check::What::Began { by: actor.name, command: Command::Shutdown });
        let spec = for_power.map_or_else(|| self.spec.clone(), |within| self.spec.for_power(within));
        let left = lock(&actor.shutdown).clone();
        let intent = actor.state.kept().intent.clone();
        let mut walk = engine::shutdown(spec, actor.clock.now(), why, left, intent.as_ref());
        walk.by_power = for_power.is_some();
        self.execute(actor, walk).await
    }

    /// The daemon has stopped the cluster for power, and does not want it to be started yet.
    pub(super) fn is_held_down(&self) -> bool {
        let stopped = |state| matches!(state, IntentState::ShuttingDown | IntentState::ShutdownComplete);
        let down = self.own.state.kept().intent.as_ref().is_some_and(|intent| intent.by_power && stopped(intent.state));
        self.story.has(Gear::Daemon) && down && !self.power.asks().start
    }

    /// For ever, where there is one.
    pub(super) async fn daemon(&self) {
        if !self.story.has(Gear::Daemon) {
            return;
        }
        let live = async {
            loop {
                match select(pin!(self.watch_power()), pin!(self.death())).await {
                    Either::Left(((), _)) => return,
                    Either::Right((dead_for, _)) => self.scenery.sim.delay(dead_for).await,
                }
            }
        };
        join(live, self.obey()).await;
    }

    async fn obey(&self) {
        loop {
            let asked = self.power.asks().stop.take();
            if let Some((why, within)) = asked {
                self.shut_down(&why, Some(within)).await;
            }
            self.scenery.sim.delay(SECOND).await;
        }
    }

    async fn watch_power(&self) {
        let (spec, clock) = (&self.spec, &self.own.clock);
        let mut duty = Duty::default();
        duty.learn(&self.own.state.kept().runs);
        let mut wavers = 0;
        loop {
            let reads =
                spec.power.upses.iter().map(|ups| async { (ups.name.clone(), self.own.ports.read(&ups.name).await.ok()) });
            let looks: Vec<(_, Option<UpsReading>)> = join_all(reads).await;
            let now = clock.now();
            for (command, got_through) in std::mem::take(&mut self.power.asks().ended) {
                duty.ended(command, got_through, now);
            }
            let low = looks.iter().any(|(_, reading)| reading.as_ref().is_some_and(|it| it.has(Word::LowBattery)));
            for (ups, reading) in looks {
                duty.take(&ups, reading, &spec.power, now);
            }
            duty.count(spec, now);
            self.meets(&duty, low, &mut wavers);
            let (intent, progress) = {
                let kept = self.own.state.kept();
                (kept.intent.clone(), kept.progress.clone())
            };
            let begun = intent.as_ref().is_some_and(|intent| intent.state == IntentState::StartupInProgress);
            let known = Known { intent: intent.as_ref(), progress: progress.as_ref().filter(|_| begun), paused: false };
            match duty.owed(spec, known, now) {
                Demand::Nothing | Demand::Wait { .. } | Demand::HoldDown { .. } => {}
                Demand::Look { since } => {
                    let found = hosts_found(&self.own.ports, clock, spec, since).await;
                    duty.looked(&spec.power, now, &found);
                }
                Demand::ShutDown { why, within } => self.power.asks().stop = Some((why, within)),
                Demand::StartUp { .. } => self.power.asks().start = true,
            }
            self.scenery.sim.delay(SECOND.min(SOON)).await;
        }
    }

    /// Which traps of batteries the daemon meets now.
    fn meets(&self, duty: &Duty, low: bool, wavers: &mut u32) {
        let (spec, now) = (&self.spec.power, self.own.clock.now());
        let states = duty.states(spec, now);
        let any = |is: fn(&UpsState) -> bool| states.values().any(is);
        if any(|state| matches!(state, UpsState::Wavers { .. } | UpsState::Calibrates { .. })) {
            self.scenery.meets(Trap::UpsFlapOrSelftest);
            *wavers += 1;
            // So many seconds on battery that never were an outage.
            if *wavers >= 30 {
                self.scenery.meets(Trap::UpsStaleOnBatteryCounter);
            }
        }
        if any(|state| matches!(state, UpsState::Lost { .. })) {
            self.scenery.meets(Trap::UpsCommsLostDataStale);
        }
        if any(|state| matches!(state, UpsState::Latched)) {
            self.scenery.meets(Trap::UpsFsdLatched);
        }
        if low && !any(|state| matches!(state, UpsState::Critical { .. })) {
            self.scenery.meets(Trap::UpsLowBatteryFlagLies);
        }
    }
}
