//! What the daemon knows: told by its keepers, read by whoever asks, and the source of every notice.
//!
//! It decides nothing about the cluster. Ages count by our own clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ananke_core::engine::keeper::Tick;
use ananke_core::name::{Moment, human};
use ananke_core::notice::{Notice, Told, Urgency};
use ananke_core::observation::UpsReading;
use ananke_core::port::{Clock as _, PortError};
use ananke_core::power::{Pause, PowerSpec, PowerWatch, Supply, UpsState};
use ananke_core::report::{Command, Outcome};
use tokio::sync::mpsc;

use super::news;
use super::power::Came;
use crate::clock::SteadyClock;
use crate::config::Loaded;
use crate::notify;
use crate::wire::Failure;

/// Notices that wait to be sent; a sender that is this far behind tells enough.
const WAITING: usize = 64;
/// A keeper that has not come round for so long is stuck, and systemd restarts the daemon, whatever it is at: sweeps are a minute
/// apart, begin something for a minute and may wait for three answers after that; looks at the batteries are a second apart.
const SWEEPS: Duration = Duration::from_secs(360);
const LOOKS: Duration = Duration::from_secs(30);

pub(super) struct Board {
    pub(super) clock: SteadyClock,
    pub(super) began: Moment,
    /// What people heard from the daemon before this one.
    pub(super) told_before: Told,
    watches_power: bool,
    known: Mutex<Known>,
    outbox: Mutex<Option<mpsc::Sender<Notice>>>,
}

/// A copy of it is what is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The last sweep, and when it ended.
    pub(super) swept: Option<(Moment, Tick)>,
    pub(super) power: Option<Power>,
    /// Runs of this daemon: since when, and why.
    pub(super) runs: BTreeMap<Command, (Moment, String)>,
    /// Runs that did not get through and are tried again, which is no news.
    pub(super) again: BTreeMap<Command, Moment>,
    /// Notices that went out and that did not, by channel.
    pub(super) sent: BTreeMap<String, (u64, u64)>,
}

#[derive(Debug, Clone)]
pub(super) struct Power {
    pub(super) at: Moment,
    pub(super) upses: Vec<Ups>,
    /// Runtime that must be left.
    pub(super) reserve: Duration,
    pub(super) outages: usize,
    /// Why the cluster stays down, and what a person must do.
    pub(super) holding: Option<String>,
    pub(super) paused: Option<Pause>,
}

/// One UPS with its last known values.
#[derive(Debug, Clone)]
pub(super) struct Ups {
    pub(super) name: Arc<str>,
    pub(super) state: UpsState,
    pub(super) reading: Option<UpsReading>,
    /// When it was last heard.
    pub(super) heard: Option<Moment>,
    pub(super) is_lost: bool,
    /// Its primary waits for nobody here.
    pub(super) is_refused: bool,
    /// How bad the worst news of this outage was.
    pub(super) told: news::Rank,
}

impl Ups {
    /// Its last word did not tell where its power comes from.
    pub(super) fn is_vague(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.supply() == Supply::Unclear)
    }

    /// `charge 43 %, runtime 12m00s, 12 s ago`.
    pub(super) fn values(&self, now: Moment) -> String {
        let Some(reading) = &self.reading else { return "never heard".to_owned() };
        let charge = reading.charge_percent.map(|charge| format!("charge {charge} %"));
        let runtime = reading.runtime.map(|runtime| format!("runtime {}", human(runtime)));
        let age = self.heard.map(|heard| format!("{} s ago", now.since(heard).as_secs()));
        [charge, runtime, age].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// What the power keeper saw at one look.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) watch: &'a PowerWatch,
    pub(super) spec: &'a PowerSpec,
    pub(super) reserve: Duration,
    /// Logins that upsd refuses, by the UPS.
    pub(super) refused: &'a BTreeMap<String, PortError>,
    pub(super) holding: Option<&'a String>,
    pub(super) paused: Option<&'a Pause>,
}

impl Board {
    /// The other end is where notices come out, if anybody is to be told.
    pub(super) fn new(loaded: &Loaded, told_before: Told) -> (Self, mpsc::Receiver<Notice>) {
        let clock = SteadyClock::start();
        let (sender, receiver) = mpsc::channel(WAITING);
        let outbox = Mutex::new((!loaded.notify.channels.is_empty()).then_some(sender));
        let watches_power = !(loaded.spec.power.upses.is_empty() && loaded.spec.peers.is_empty());
        // From the first sample on, for whoever counts from one to the next.
        let sent = loaded.notify.channels.iter().map(|channel| (notify::name(channel), (0, 0))).collect();
        let known = Mutex::new(Known { sent, ..Known::default() });
        (Self { clock, began: clock.now(), told_before, watches_power, known, outbox }, receiver)
    }

    pub(super) fn known(&self) -> Known {
        self.lock().clone()
    }

    pub(super) fn swept(&self, tick: &Tick) {
        let mut known = self.lock();
        let before = known.swept.replace((self.clock.now(), tick.clone()));
        drop(known);
        news::of_leases(before.as_ref().map(|(_, tick)| tick), tick).into_iter().for_each(|notice| self.tell(notice));
    }

    pub(super) fn looked(&self, look: Look<'_>) {
        let now = self.clock.now();
        let mut known = self.lock();
        let before = known.power.take();
        let (power, notices) = seen(look, before.as_ref(), &self.told_before, now);
        known.power = Some(power);
        drop(known);
        notices.into_iter().for_each(|notice| self.tell(notice));
    }

    pub(super) fn begins(&self, command: Command, why: &str) {
        let now = self.clock.now();
        let mut known = self.lock();
        known.runs.insert(command, (now, why.to_owned()));
        let again = known.again.get(&command).is_some_and(|failed| now.since(*failed) < news::SAME);
        let upses = known.power.as_ref().map(|power| news::values(&power.upses, now)).unwrap_or_default();
        drop(known);
        if !again {
            self.tell(news::of_begin(command, why, upses));
        }
    }

    /// What is owed does not begin yet.
    pub(super) fn waits(&self, command: Command, what: &str) {
        self.tell(news::of_other(command, Urgency::Warning, &format!("it waits: {what}")));
    }

    pub(super) fn ended(&self, command: Command, ended: &Result<Came, Failure>) {
        let mut known = self.lock();
        known.runs.remove(&command);
        let in_peace = matches!(ended, Ok(Came::Ran(report)) if report.got_through() || report.outcome == Outcome::Yielded);
        if in_peace {
            known.again.remove(&command);
        } else {
            known.again.insert(command, self.clock.now());
        }
        drop(known);
        self.tell(match ended {
            // It is told when something follows from it.
            Ok(Came::Looked(..)) => return,
            Ok(Came::Ran(report)) => notify::ended(report),
            Ok(Came::Elsewhere(text)) => news::of_other(command, Urgency::Information, text),
            Ok(Came::NotYet(text)) => news::of_other(command, Urgency::Warning, text),
            Err(failure) => notify::could_not_begin(command, failure),
        });
    }

    pub(super) fn count(&self, channel: &str, is_sent: bool) {
        let mut known = self.lock();
        let (sent, failed) = known.sent.entry(channel.to_owned()).or_default();
        let counter = if is_sent { sent } else { failed };
        *counter = counter.saturating_add(1);
    }

    /// No notice comes after this.
    pub(super) fn close(&self) {
        *self.outbox.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long ago each keeper came round, and how long it may take.
    pub(super) fn ages(&self) -> Vec<(&'static str, Duration, Duration)> {
        let (now, known) = (self.clock.now(), self.lock());
        let age = |at: Option<Moment>| now.since(at.unwrap_or(self.began));
        let leases = ("leases", age(known.swept.as_ref().map(|(at, _)| *at)), SWEEPS);
        let power = ("power", age(known.power.as_ref().map(|power| power.at)), LOOKS);
        std::iter::once(leases).chain(self.watches_power.then_some(power)).collect()
    }

    /// Which keepers are stuck, in sentences; empty: none.
    pub(super) fn stuck(&self) -> Vec<String> {
        let late = self.ages().into_iter().filter(|(_, age, limit)| age > limit);
        late.map(|(keeper, age, limit)| {
            format!("the keeper of {keeper} has not come round for {}; {} is usual at most", human(age), human(limit))
        })
        .collect()
    }

    fn tell(&self, notice: Notice) {
        let outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outbox) = outbox.as_ref() {
            // One that does not fit is in the log all the same.
            outbox.try_send(notice).unwrap_or_default();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seen(look: Look<'_>, before: Option<&Power>, told_before: &Told, now: Moment) -> (Power, Vec<Notice>) {
    let mut notices = Vec::new();
    let mut upses = Vec::new();
    for (name, state) in look.watch.states(look.spec, look.reserve, now) {
        let watch = look.watch.ups(&name);
        let was = before.and_then(|power| power.upses.iter().find(|ups| ups.name == name));
        let is_lost = watch.is_none_or(|watch| watch.lost_since().is_some());
        let reading = watch.and_then(|watch| watch.newest()).cloned();
        let heard = if is_lost { was.and_then(|was| was.heard) } else { Some(now) };
        let told = was.map_or_else(|| news::rank_told(&name, told_before), |was| was.told);
        let refused = look.refused.get(&*name);
        if let Some(why) = refused.filter(|_| was.is_none_or(|was| !was.is_refused)) {
            notices.push(news::of_login(&name, why));
        }
        let mut ups = Ups { name, state, reading, heard, is_lost, is_refused: refused.is_some(), told };
        notices.extend(news::of_ups(&mut ups, now));
        upses.push(ups);
    }
    let (holding, paused) = (look.holding.cloned(), look.paused.cloned());
    if let Some(why) = holding.as_deref().filter(|_| before.is_none_or(|power| power.holding.is_none())) {
        notices.push(news::of_holding(why));
    }
    let outages = look.watch.outages().iter().filter(|at| now.since(**at) <= look.spec.outage_window).count();
    (Power { at: now, upses, reserve: look.reserve, outages, holding, paused }, notices)
}

#[cfg(test)]
mod tests;
