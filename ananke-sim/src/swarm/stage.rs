//! A story on the simulated world: the engine's own start-up again and again, its lease keeper beside it, and all that the
//! story says has befallen them.

mod hands;
mod look;
mod power;
mod tell;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ananke_core::audit;
use ananke_core::engine::keeper::Keeper;
use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::intent::Intent;
use ananke_core::name::{Moment, NodeName, ObjectRef};
use ananke_core::port::Clock;
use ananke_core::report::{Command, Outcome, Report};
use ananke_core::spec::Spec;
use ananke_core::verdict::{Trap, Verdict};
use futures::future::{Either, join, join_all, join3, select};

use super::actor::{Actor, Deaf, Scenery};
use super::canary::Canary;
use super::gear::Gear;
use super::story::{Act, Story};
use crate::check::{Ended, Record, Truth, What};
use crate::drill;
use crate::executor::{Sim, lock};
use crate::fault::Fault;
use crate::ports::{MemoryState, SimPorts};
use crate::world::Ms;

/// Once it is calm, a start-up is tried so often.
const TRIES: u32 = 3;
/// A machine of Ananke's that was dead for so long has booted since; before that only Ananke had died.
const BOOT: Ms = 45_000;
/// Somebody looks why it failed, and starts it again.
const AGAIN: Duration = Duration::from_secs(120);
/// Each try may take as long as the deadlines of all gates.
const PATIENCE: Ms = 13 * 3_600_000;
/// What is older than this has been looked at by whoever reports now.
const QUIET: Ms = 180_000;
/// Whoever waits for something looks for it so often.
const SOON: Ms = 5_000;
/// Leases are looked at so often at least, whatever a clock says.
const SWEEP: Duration = Duration::from_secs(60);
/// Traps that gates name are looked for so often.
const NAMED: Duration = Duration::from_secs(10);

struct Stage<'a> {
    story: &'a Story,
    scenery: &'a Scenery,
    spec: Spec,
    own: Actor<'a>,
    peer: Actor<'a>,
    wishes: Mutex<tell::Wishes>,
    power: power::Power,
    /// What has struck and nobody has mended.
    struck: Mutex<Vec<(Fault, Option<NodeName>)>>,
}

pub(super) fn play(story: &Story, canary: Option<Canary>) -> Result<Record, String> {
    let sim = Sim::new(story.world()?);
    let scenery = Scenery::new(sim.clone(), canary, story.has(Gear::ForcesBranch));
    let mut spec = drill::spec(&sim.world());
    story.gear.iter().for_each(|gear| gear.expects(&mut spec));
    if let Some(canary) = canary {
        canary.expects(&mut spec);
    }
    let own = Actor::new(&scenery, "titan-db");
    let peer = Actor::new(&scenery, "tethys");
    let (wishes, power, struck) = (Mutex::default(), power::Power::default(), Mutex::default());
    let stage = Stage { story, scenery: &scenery, own, peer, spec, wishes, power, struck };
    for actor in [&stage.own, &stage.peer] {
        actor.state.kept().baseline = Some(drill::baseline(&sim.world()));
    }
    let whole = async {
        let others = pin!(join(
            join3(stage.tell(), stage.watch(), stage.shutdowns()),
            join3(stage.peers(), stage.lookers(), stage.daemon())
        ));
        select(pin!(stage.bring_back()), others).await;
    };
    let ended = sim.run(whole, at(story.calm) + PATIENCE);
    if let Err(stalled) = ended {
        scenery.note(What::Stuck(stalled.to_string()));
    }
    let harm = sim.world().harm().to_vec();
    harm.into_iter().for_each(|how| scenery.note(What::Harmed(how)));
    drop(stage);
    Ok(std::mem::take(&mut *lock(&scenery.record)))
}

/// A story's seconds as virtual time.
fn at(seconds: u64) -> Ms {
    i64::try_from(seconds).unwrap_or(i64::MAX / 2000) * 1000
}

impl<'a> Stage<'a> {
    fn now(&self) -> Ms {
        self.scenery.sim.world().now()
    }

    async fn sleep_until(&self, until: Ms) {
        let span = (until - self.now()).max(0);
        self.scenery.sim.delay(span).await;
    }

    /// Start-ups, one after the other, until one that began in the calm gets through.
    async fn bring_back(&self) {
        let (mut tries, mut asked) = (0, 0);
        loop {
            self.is_wanted_up().await;
            let calm = self.is_calm();
            tries += u32::from(calm);
            if calm {
                // A shutdown may have ended after they were there.
                self.presses_buttons();
            }
            let began = self.now();
            match self.live().await {
                Ok(report) => {
                    let through = matches!(report.outcome, Outcome::Done | Outcome::Manual);
                    let last = calm && (through || tries >= TRIES);
                    let manual = report.clone();
                    self.power.ended(report.command, report.got_through());
                    self.ended(self.own.name, report, began, last);
                    if last && !self.is_done_what_is_asked(&manual, &mut asked) {
                        return;
                    }
                    if last {
                        tries = 0;
                    }
                    self.own.clock.sleep_until(self.own.clock.now().plus(AGAIN)).await;
                }
                Err(dead_for) => self.scenery.sim.delay(dead_for).await,
            }
        }
    }

    fn ended(&self, by: &'static str, mut report: Report, began: Ms, last: bool) {
        if let Some(canary) = self.scenery.canary {
            canary.reports(&self.scenery.sim.world(), &mut report);
        }
        let truth = Truth::of(&self.scenery.sim.world());
        let quiet = self.is_quiet(report.command, began);
        self.scenery.note(What::Ended(Box::new(Ended { by, report, truth, quiet, last })));
    }

    /// Whether nothing befell the world for a while, or since a run began.
    fn is_quiet(&self, command: Command, began: Ms) -> bool {
        let now = self.now();
        let over = |step: &super::Step| at(step.at.saturating_add(step.act.lasts()));
        // A shutdown is not disturbed by what it is asked for with.
        let asks = |step: &&super::Step| match step.act {
            Act::Shutdown(_) => command == Command::Shutdown,
            Act::Blip(_) => command == Command::Shutdown && over(step) > now,
            _ => false,
        };
        let disturbed = self.story.steps.iter().filter(|step| at(step.at) <= now && !asks(step)).map(over).max();
        let calm = at(self.story.calm);
        // Whoever began in the calm has seen what people took back; whoever only ends in it may not have.
        let taken_back = now < calm || began >= calm || now - calm >= QUIET;
        taken_back && disturbed.is_none_or(|over| now - over >= QUIET || began >= over.max(calm))
    }

    /// A start-up and the lease keeper, until the start-up is over; `Err`: it died, and is dead for so long.
    async fn live(&self) -> Result<Report, Ms> {
        let _starting = self.power.starting();
        let run = pin!(self.start_up(&self.own, self.spec.clone(), self.power.has_asked()));
        let keeper = pin!(self.keep_leases());
        match select(pin!(select(run, keeper)), pin!(self.death())).await {
            Either::Left((Either::Left((report, _)), _)) => Ok(report),
            Either::Left((Either::Right(((), _)), _)) => Err(0),
            Either::Right((dead_for, _)) => Err(dead_for),
        }
    }

    /// Ananke's machine dies the next time; for how long.
    async fn death(&self) -> Ms {
        let now = self.now();
        let kill = self.story.steps.iter().find_map(|step| match &step.act {
            Act::Kill(span) if at(step.at) > now => Some((at(step.at), at(*span))),
            _ => None,
        });
        match kill {
            Some((when, span)) => {
                self.sleep_until(when).await;
                self.scenery.note(What::Died { by: self.own.name });
                if span >= BOOT {
                    self.own.clock.boots.fetch_add(1, Ordering::Relaxed);
                }
                span
            }
            None => std::future::pending().await,
        }
    }

    fn is_calm(&self) -> bool {
        self.now() >= at(self.story.calm)
    }

    /// Until nobody wants the cluster to be down, or stops it.
    async fn is_wanted_up(&self) {
        let stops = |step: &super::Step| {
            let (from, to) = (at(step.at), at(step.at.saturating_add(step.act.lasts())));
            matches!(step.act, Act::Shutdown(_)) && (from..to).contains(&self.now())
        };
        while self.power.is_stopping() || !self.is_calm() && (self.story.steps.iter().any(stops) || self.is_held_down()) {
            self.scenery.sim.delay(SOON).await;
        }
    }

    async fn start_up(&self, actor: &Actor<'a>, spec: Spec, by_power: bool) -> Report {
        let scenery = self.scenery;
        scenery.note(What::Began { by: actor.name, command: Command::Startup });
        let (progress, intent) = {
            let kept = actor.state.kept();
            (kept.progress.clone(), kept.intent.clone())
        };
        let mut walk = engine::startup(engine::startup_plan(), spec, actor.clock.now(), progress, intent.as_ref());
        walk.by_power = by_power;
        self.execute(actor, walk).await
    }

    async fn execute(&self, actor: &Actor<'a>, walk: Walk) -> Report {
        let scenery = self.scenery;
        let mut named_at = walk.started;
        let mut observer = |walk: &Walk, now: Moment, news: &News<'_>| match news {
            News::Gate(change) => {
                let mut change = (*change).clone();
                if let Some(canary) = scenery.canary {
                    canary.changes(&mut change);
                }
                scenery.note(What::Gate { gate: change.gate, status: change.status, text: change.text });
            }
            News::Acting(action) => {
                for objection in audit::objections(walk, now, &action.order) {
                    scenery.note(What::Objected(objection.to_string()));
                }
            }
            News::Acted { .. } | News::Tick => {
                if now.since(named_at) >= NAMED {
                    named_at = now;
                    named(walk).into_iter().for_each(|trap| scenery.meets(trap));
                }
            }
        };
        let never = Box::pin(std::future::pending());
        let (deaf, mut reads) = (Deaf(&actor.state), actor.reads());
        if walk.plan.command == Command::Startup && actor.has(Canary::DeafToShutdown) {
            reads.state = &deaf;
        }
        engine::execute(walk, reads, actor.hands(), never, &mut observer).await.0
    }

    async fn keep_leases(&self) {
        let mut keeper = Keeper::new(self.spec.clone());
        loop {
            let tick = keeper.tick(self.own.reads(), self.own.hands()).await;
            let now = self.own.clock.now();
            let next = now.plus(tick.next.since(now).clamp(Duration::from_secs(1), SWEEP));
            self.own.clock.sleep_until(next).await;
        }
    }

    /// Other Anankes that start the cluster too, each once.
    async fn peers(&self) {
        let steps = self.story.steps.iter().filter(|step| step.act == Act::Peer);
        join_all(steps.map(|step| async {
            self.sleep_until(at(step.at)).await;
            let spec = Spec { holder: self.peer.name.to_owned(), ..self.spec.clone() };
            let began = self.now();
            let report = self.start_up(&self.peer, spec, false).await;
            self.ended(self.peer.name, report, began, false);
        }))
        .await;
    }

    /// Those who have a dry run look, on what is on disk then.
    async fn lookers(&self) {
        let steps = self.story.steps.iter().filter(|step| step.act == Act::Look);
        join_all(steps.map(|step| async {
            self.sleep_until(at(step.at)).await;
            let (ports, state, clock) = (SimPorts::new(&self.scenery.sim), MemoryState::default(), &self.own.clock);
            *state.kept() = self.own.state.kept().clone();
            let before = state.kept().clone();
            let walk = engine::startup(engine::startup_plan(), self.spec.clone(), clock.now(), None, before.intent.as_ref());
            let intent = Intent {
                state: ananke_core::intent::IntentState::Normal,
                run: walk.run.clone(),
                at: clock.now(),
                reason: "look".to_owned(),
                by_power: false,
                of: None,
            };
            let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
            engine::look(walk, ports.reads(clock, &state), &mut silent).await;
            if let Some(canary) = self.scenery.canary {
                canary.looks(&state, intent);
            }
            let after = state.kept().clone();
            let changed = [
                ("the intent", before.intent != after.intent),
                ("the leases", before.leases != after.leases),
                ("the progress", before.progress != after.progress),
                ("the report", before.report != after.report),
                ("the journal", before.journal != after.journal),
            ];
            let changed = changed.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what.to_owned()).collect();
            self.scenery.note(What::DryRun { changed });
        }))
        .await;
    }
}

/// Traps that a gate says it waits for, or leaves to a person.
fn named(walk: &Walk) -> BTreeSet<Trap> {
    let verdicts = walk.gates.values().flat_map(|gate| gate.judgement.subjects.values());
    verdicts.filter_map(|verdict| if let Verdict::Hold(blocker) = verdict { blocker.trap } else { None }).collect()
}

fn path(object: &ObjectRef) -> String {
    format!("{}/{}", object.namespace, object.name)
}
