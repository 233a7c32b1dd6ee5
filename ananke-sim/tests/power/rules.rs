//! What must be true of every story. The world says what happened, never the policy that is judged.

use std::collections::BTreeMap;
use std::time::Duration;

use ananke_core::power::Demand;
use ananke_core::report::{Command, Report};
use ananke_core::spec::{ShutdownMode, Spec};
use ananke_sim::world::Quirk;
use ananke_sim::{Ms, Sim, World};

/// Looks are a second apart and take some milliseconds: what is nearer to a limit than this may fall on either side of it.
const NEAR: Ms = 3_000;
/// A shutdown of these worlds takes no longer where nothing is wrong: the longest of those that were measured, and some air.
const SHUTDOWN_TAKES: Ms = 180_000;

/// A span of virtual time; without an end while it lasts.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Ms,
    to: Option<Ms>,
}

impl Span {
    fn meets(&self, from: Ms, to: Ms) -> bool {
        self.from <= to && self.to.is_none_or(|end| end >= from)
    }
}

/// What hides the truth from Ananke, or holds it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hindrance {
    /// Its daemon does not run.
    Dead,
    Paused,
    /// A upsd tells nothing.
    Silent,
    /// A UPS was told to switch off.
    Forced,
    /// A UPS says `LB` without reason.
    Low,
}

const LONGEST: &str = "longest";

/// What the stories came to: a rule that never had to hold proves nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(pub(crate) BTreeMap<String, u64>);

impl Tally {
    pub(crate) fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn longest(&mut self, what: &str, seconds: u64) {
        let longest = self.0.entry(format!("{LONGEST} {what}, s")).or_default();
        *longest = (*longest).max(seconds);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            let sum = self.0.entry(what.clone()).or_default();
            *sum = if what.starts_with(LONGEST) { (*sum).max(*count) } else { *sum + count };
        }
    }

    pub(crate) fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

/// Looks over Ananke's shoulder, with the truth in its other hand.
pub(crate) struct Rules {
    sim: Sim,
    spec: Spec,
    /// When mains were away.
    away: Vec<Span>,
    hindrances: BTreeMap<Hindrance, Vec<Span>>,
    cuts_seen: usize,
    holding: bool,
    under_way: Vec<Command>,
    pub(crate) broken: Vec<String>,
    pub(crate) tally: Tally,
}

fn ms(span: Duration) -> Ms {
    Ms::try_from(span.as_millis()).unwrap()
}

impl Rules {
    pub(crate) fn new(sim: &Sim, spec: &Spec) -> Self {
        Self {
            sim: sim.clone(),
            spec: spec.clone(),
            away: Vec::new(),
            hindrances: BTreeMap::new(),
            cuts_seen: 0,
            holding: false,
            under_way: Vec::new(),
            broken: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn now(&self) -> Ms {
        self.sim.world().now()
    }

    /// The rule that was broken first.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.first().and_then(|broken| broken.split_once(':')).map(|(rule, _)| rule)
    }

    fn breaks(&mut self, rule: &str, how: String) {
        let at = self.now() / 1000;
        self.broken.push(format!("{rule}: at {at} s: {how}"));
    }

    pub(crate) fn mains(&mut self, on: bool) {
        let now = self.now();
        match self.away.last_mut().filter(|span| span.to.is_none()) {
            Some(span) if on => span.to = Some(now),
            None if !on => self.away.push(Span { from: now, to: None }),
            Some(_) | None => {}
        }
    }

    pub(crate) fn is_under_way(&self, command: Command) -> bool {
        self.under_way.contains(&command)
    }

    /// The daemon died, and its runs with it.
    pub(crate) fn died(&mut self) {
        self.under_way.clear();
        self.hindered(Hindrance::Dead, true);
    }

    pub(crate) fn hindered(&mut self, by: Hindrance, on: bool) {
        let now = self.now();
        let spans = self.hindrances.entry(by).or_default();
        match spans.last_mut().filter(|span| span.to.is_none()) {
            Some(span) if !on => span.to = Some(now),
            None if on => spans.push(Span { from: now, to: None }),
            Some(_) | None => {}
        }
    }

    fn was(&self, by: Hindrance, from: Ms, to: Ms) -> bool {
        self.hindrances.get(&by).is_some_and(|spans| spans.iter().any(|span| span.meets(from, to)))
    }

    /// Outages as they are meant: on mains for less than `rest` does not end one.
    fn outages(&self, rest: Ms) -> Vec<Span> {
        let mut outages: Vec<Span> = Vec::new();
        for span in &self.away {
            match outages.last_mut().filter(|last| last.to.is_some_and(|to| span.from - to < rest)) {
                Some(last) => last.to = span.to,
                None => outages.push(*span),
            }
        }
        outages
    }

    /// Ananke decides.
    pub(crate) fn see(&mut self, demand: &Demand) {
        match demand {
            Demand::Nothing | Demand::Look { .. } => {}
            Demand::Wait { .. } => self.tally.count("seconds that a start-up waited"),
            Demand::ShutDown { .. } => {
                self.tally.count("shutdowns");
                if self.spec.power.shutdown_mode == ShutdownMode::Poweroff {
                    self.tally.count("shutdowns of hosts too");
                }
                self.under_way.push(Command::Shutdown);
                self.no_shutdown_for_a_blip();
            }
            Demand::StartUp { .. } => {
                self.tally.count("start-ups");
                self.under_way.push(Command::Startup);
                self.no_start_without_charge();
                self.many_outages_hold_down();
            }
            Demand::HoldDown { .. } => {
                if !std::mem::replace(&mut self.holding, true) {
                    self.tally.count("holds");
                    self.few_outages_do_not_hold_down();
                }
            }
        }
        if !matches!(demand, Demand::HoldDown { .. }) {
            self.holding = false;
        }
    }

    pub(crate) fn looked(&mut self, losses: bool) {
        self.tally.count(if losses { "looks that found hosts cut off" } else { "looks that found nothing" });
    }

    pub(crate) fn ended(&mut self, report: &Report) {
        let what = match report.command {
            Command::Shutdown => "shutdown",
            Command::Startup | Command::Status => "start-up",
        };
        self.tally.count(format!("{what} ended {:?}", report.outcome));
        self.under_way.retain(|command| *command != report.command);
        self.tally.longest(what, report.took.as_secs());
    }

    /// The world after a step.
    pub(crate) fn look(&mut self) {
        let world = self.sim.world();
        let new: Vec<_> = world.cuts().iter().skip(self.cuts_seen).copied().collect();
        drop(world);
        self.cuts_seen += new.len();
        for cut in new {
            self.tally.count("hosts cut while they wrote");
            self.nothing_writes_when_batteries_end(cut.at, cut.host);
        }
    }

    /// Mains that were away for less than the debounce stop nothing, as long as they were heard.
    fn no_shutdown_for_a_blip(&mut self) {
        let (now, debounce) = (self.now(), ms(self.spec.power.debounce));
        let calibrating = self.sim.world().upses().iter().any(|ups| ups.has(Quirk::Calibrates));
        let excused = self.was(Hindrance::Forced, now, now)
            || self.was(Hindrance::Silent, now - debounce - NEAR, now)
            || calibrating && self.was(Hindrance::Low, now, now);
        let outage = self.outages(debounce + NEAR).last().copied().filter(|outage| outage.meets(now - NEAR, now));
        let lasted = outage.map(|outage| now - outage.from);
        if !excused && lasted.is_none_or(|lasted| lasted < debounce) {
            self.breaks("no-shutdown-for-a-blip", format!("mains were away for {lasted:?} ms"));
        }
    }

    /// What was asked for in time is done in time: the battery lasted for the debounce and for what a shutdown takes, from when
    /// the host ran.
    fn nothing_writes_when_batteries_end(&mut self, at: Ms, host: usize) {
        let Some(outage) = self.away.iter().rev().find(|span| span.meets(at, at)) else { return };
        let (from, debounce) = (outage.from, ms(self.spec.power.debounce));
        let ran = from.max(self.sim.world().hosts()[host].booted_at);
        let enough = at - ran >= debounce + NEAR + SHUTDOWN_TAKES;
        // Who falls silent on battery after a word of its runtime is counted down by it.
        let liar = self.sim.world().upses().iter().any(|ups| ups.claims > 1000);
        let unheard = self.was(Hindrance::Silent, from - NEAR, from + NEAR) || liar && self.was(Hindrance::Silent, from, at);
        let excused = self.was(Hindrance::Dead, from, at) || self.was(Hindrance::Paused, from, at) || unheard;
        if enough && !excused {
            let name = self.sim.world().hosts()[host].name.clone();
            let lasted = (at - from) / 1000;
            self.breaks("nothing-writes-when-batteries-end", format!("{name} still wrote, {lasted} s after mains had failed"));
        }
    }

    /// Mains are back for the hold-off, and every battery has its least charge, which is not waited for for ever.
    fn no_start_without_charge(&mut self) {
        let (now, hold_off) = (self.now(), ms(self.spec.power.hold_off));
        let world = self.sim.world();
        let least = i64::from(self.spec.minimum_charge_percent) * 10;
        let charges: Vec<i64> = world.upses().iter().map(|ups| world.charge(ups)).collect();
        drop(world);
        let back = |long: Ms| self.away.last().is_none_or(|span| span.to.is_some_and(|to| now - to >= long));
        let waited = back(hold_off + ms(self.spec.guard_wait));
        if !back(hold_off) || !waited && charges.iter().any(|charge| *charge < least) {
            let away = self.away.last().copied();
            self.breaks("no-start-without-charge", format!("charges {charges:?}, mains last away {away:?}"));
        }
    }

    /// Outages of the last window that Ananke could see, counted short.
    fn many_outages_hold_down(&mut self) {
        let (now, power) = (self.now(), self.spec.power.clone());
        let (debounce, window) = (ms(power.debounce), ms(power.outage_window));
        let seen = |outage: &&Span| {
            let to = outage.to.unwrap_or(now);
            // While `FSD` stands, all is one outage.
            let unseen = [Hindrance::Silent, Hindrance::Dead, Hindrance::Forced]
                .iter()
                .any(|by| self.was(*by, outage.from - debounce, to + debounce));
            to - outage.from >= debounce + NEAR && outage.from + debounce >= now - window + NEAR && !unseen
        };
        let outages = self.outages(debounce + NEAR);
        let count = outages.iter().filter(seen).count();
        if count >= power.outages {
            self.breaks("many-outages-hold-down", format!("started after {count} outages"));
        }
    }

    /// Outages, as many as there can have been: where mains were back for about the debounce, nobody knows whether one had
    /// ended, and it counts as ended as soon as it is an outage.
    fn most_outages(&self, now: Ms) -> Vec<Span> {
        let debounce = ms(self.spec.power.debounce);
        let long = |span: &Span| span.to.unwrap_or(now) - span.from >= debounce - NEAR;
        let mut outages: Vec<Span> = Vec::new();
        for span in &self.away {
            let goes_on = |last: &Span| {
                let rest = span.from - last.to.unwrap_or(now);
                rest < debounce - NEAR || rest < debounce + NEAR && !long(last)
            };
            match outages.last_mut().filter(|last| goes_on(last)) {
                Some(last) => last.to = span.to,
                None => outages.push(*span),
            }
        }
        outages.retain(long);
        outages
    }

    /// Outages of the last window, counted long.
    fn few_outages_do_not_hold_down(&mut self) {
        let (now, power) = (self.now(), self.spec.power.clone());
        let (debounce, window) = (ms(power.debounce), ms(power.outage_window));
        let recent = |at: Ms| at + debounce >= now - window - NEAR;
        let outages = self.most_outages(now);
        let spans = [Hindrance::Forced, Hindrance::Silent].map(|by| self.hindrances.get(&by).cloned().unwrap_or_default());
        let told = spans.iter().flatten().filter(|span| recent(span.to.unwrap_or(now))).count();
        let count = outages.iter().filter(|outage| recent(outage.from)).count() + told;
        if count < power.outages {
            self.breaks("few-outages-do-not-hold-down", format!("held down after {count} outages"));
        }
    }
}

/// The cluster is as it was, but for what its people left.
pub(crate) fn what_was_lost(world: &World, suspended: &[String]) -> Vec<String> {
    let mut lost = world.truly_healthy().err().unwrap_or_default();
    lost.retain(|wrong| !suspended.iter().any(|name| wrong.contains(name.as_str())));
    let found: Vec<String> = suspensions(world);
    if found != suspended {
        lost.push(format!("suspended are {found:?}, and were {suspended:?}"));
    }
    lost
}

pub(crate) fn suspensions(world: &World) -> Vec<String> {
    world.kustomizations().iter().filter(|it| it.meta.suspended).map(|it| it.meta.object.name.to_string()).collect()
}
