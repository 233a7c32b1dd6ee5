//! A story on the simulated world: the engine's own start-up again and again, its lease keeper beside it, and all that the
//! story says has befallen them.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ananke_core::audit;
use ananke_core::engine::keeper::Keeper;
use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::intent::Intent;
use ananke_core::lease::{ANNOTATION, MANUAL_ANNOTATION, TAINT_KEY, read_note};
use ananke_core::name::{Kind, Moment, NodeName, ObjectRef};
use ananke_core::port::Clock;
use ananke_core::report::{Outcome, Report};
use ananke_core::spec::Spec;
use futures::future::{Either, join_all, join3, select};

use super::actor::{Actor, Scenery};
use super::canary::Canary;
use super::story::{Act, Story};
use crate::check::{Ended, Look, Record, Truth, What, Wish};
use crate::drill;
use crate::executor::{Sim, lock};
use crate::ports::{MemoryState, SimPorts};
use crate::world::{Ms, World};

/// Once it is calm, a start-up is tried so often.
const TRIES: u32 = 3;
/// Somebody looks why it failed, and starts it again.
const AGAIN: Duration = Duration::from_secs(120);
/// Each try may take as long as the deadlines of all gates.
const PATIENCE: Ms = 13 * 3_600_000;
/// What is older than this has been looked at by whoever reports now.
const QUIET: Ms = 180_000;
const LOOK: Duration = Duration::from_secs(10);

/// What comes at its time.
#[derive(Debug, Clone, Copy)]
enum Cue<'a> {
    Act(&'a Act),
    MainsBack,
    DiskFree,
    Calm,
}

struct Stage<'a> {
    story: &'a Story,
    scenery: &'a Scenery,
    spec: Spec,
    own: Actor<'a>,
    peer: Actor<'a>,
    /// What people did, and how it was before.
    wishes: Mutex<Wishes>,
}

#[derive(Default)]
struct Wishes {
    cordoned: BTreeSet<NodeName>,
    suspended: BTreeSet<ObjectRef>,
    scaled: BTreeMap<ObjectRef, u32>,
}

pub(super) fn play(story: &Story, canary: Option<Canary>) -> Result<Record, String> {
    let sim = Sim::new(story.world()?);
    let scenery = Scenery::new(sim.clone(), canary);
    let mut spec = drill::spec(&sim.world());
    if let Some(canary) = canary {
        canary.expects(&mut spec);
    }
    let own = Actor::new(&scenery, "titan-db");
    let stage = Stage { story, scenery: &scenery, own, peer: Actor::new(&scenery, "tethys"), spec, wishes: Mutex::default() };
    for actor in [&stage.own, &stage.peer] {
        actor.state.kept().baseline = Some(drill::baseline(&sim.world()));
    }
    let whole = async {
        let others =
            pin!(join3(stage.tell(), stage.watch(), join3(stage.peers(), stage.lookers(), std::future::pending::<()>())));
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
        let mut tries = 0;
        loop {
            let calm = self.now() >= at(self.story.calm);
            tries += u32::from(calm);
            match self.live().await {
                Ok(report) => {
                    let through = matches!(report.outcome, Outcome::Done | Outcome::Manual);
                    let last = calm && (through || tries >= TRIES);
                    self.ended(report, last);
                    if last {
                        return;
                    }
                    self.own.clock.sleep_until(self.own.clock.now().plus(AGAIN)).await;
                }
                Err(dead_for) => self.scenery.sim.delay(dead_for).await,
            }
        }
    }

    fn ended(&self, mut report: Report, last: bool) {
        if let Some(canary) = self.scenery.canary {
            canary.reports(&mut report);
        }
        let truth = Truth::of(&self.scenery.sim.world());
        self.scenery.note(What::Ended(Box::new(Ended { by: self.own.name, report, truth, quiet: self.is_quiet(), last })));
    }

    /// Whether nothing befell the world for a while.
    fn is_quiet(&self) -> bool {
        let now = self.now();
        let over = |step: &super::Step| at(step.at.saturating_add(step.act.lasts()));
        let disturbed = self.story.steps.iter().filter(|step| at(step.at) <= now).map(over).max();
        let calm = at(self.story.calm);
        // Whoever began in the calm has seen what people took back; whoever ends early in it has not.
        let taken_back = now < calm || now - calm >= QUIET;
        taken_back && disturbed.is_none_or(|at| now - at >= QUIET)
    }

    /// A start-up and the lease keeper, until the start-up is over; `Err`: it died, and is dead for so long.
    async fn live(&self) -> Result<Report, Ms> {
        let now = self.now();
        let kill = self.story.steps.iter().find_map(|step| match &step.act {
            Act::Kill(span) if at(step.at) > now => Some((at(step.at), at(*span))),
            _ => None,
        });
        let run = pin!(self.start_up(&self.own, self.spec.clone()));
        let keeper = pin!(self.keep_leases());
        let run = select(run, keeper);
        let death = pin!(async {
            match kill {
                Some((when, span)) => {
                    self.sleep_until(when).await;
                    span
                }
                None => std::future::pending().await,
            }
        });
        match select(run, death).await {
            Either::Left((Either::Left((report, _)), _)) => Ok(report),
            Either::Left((Either::Right(((), _)), _)) => Err(0),
            Either::Right((dead_for, _)) => Err(dead_for),
        }
    }

    async fn start_up(&self, actor: &Actor<'a>, spec: Spec) -> Report {
        let scenery = self.scenery;
        scenery.note(What::Began { by: actor.name });
        let (progress, intent) = {
            let kept = actor.state.kept();
            (kept.progress.clone(), kept.intent.clone())
        };
        let walk = engine::startup(engine::startup_plan(), spec, actor.clock.now(), progress, intent.as_ref());
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
            News::Acted { .. } | News::Tick => {}
        };
        let never = Box::pin(std::future::pending());
        engine::execute(walk, actor.reads(), actor.hands(), never, &mut observer).await.0
    }

    async fn keep_leases(&self) {
        let mut keeper = Keeper::new(self.spec.clone());
        loop {
            let tick = keeper.tick(self.own.reads(), self.own.hands()).await;
            let next = self.own.clock.now().plus(Duration::from_secs(1)).max(tick.next);
            self.own.clock.sleep_until(next).await;
        }
    }

    /// Other Anankes that start the cluster too, each once.
    async fn peers(&self) {
        let steps = self.story.steps.iter().filter(|step| step.act == Act::Peer);
        join_all(steps.map(|step| async {
            self.sleep_until(at(step.at)).await;
            let spec = Spec { holder: self.peer.name.to_owned(), ..self.spec.clone() };
            self.start_up(&self.peer, spec).await;
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

    /// Writes down how the cluster looks, for ever.
    async fn watch(&self) {
        loop {
            let look = self.look();
            self.scenery.note(What::Looked(look));
            self.scenery.sim.delay(i64::try_from(LOOK.as_millis()).unwrap_or(10_000)).await;
        }
    }

    fn look(&self) -> Look {
        let world = self.scenery.sim.world();
        let mut cordons = BTreeMap::new();
        for node in world.nodes() {
            if node.taints.iter().any(|taint| &*taint.key == TAINT_KEY) {
                let expires = node.annotations.get(ANNOTATION).and_then(|note| read_note(note)).map(|lease| lease.expires);
                cordons.insert(node.name.clone(), (expires, node.annotations.contains_key(MANUAL_ANNOTATION)));
            }
        }
        let scaled = lock(&self.wishes).scaled.keys().cloned().collect::<Vec<_>>();
        let replicas = |object: &ObjectRef| {
            let row = world.find_workload(object)?;
            Some((path(object), world.workloads().get(row)?.replicas))
        };
        Look {
            wall: Some(world.wall(world.now())),
            api: world.api_up() && world.fault().is_none(),
            unschedulable: world.nodes().iter().filter(|node| node.unschedulable).map(|node| node.name.clone()).collect(),
            suspended: (world.kustomizations().iter().filter(|it| it.meta.suspended))
                .map(|it| it.meta.object.name.to_string())
                .collect(),
            replicas: scaled.iter().filter_map(replicas).collect(),
            cordons,
        }
    }

    /// Lets everything come at its time.
    async fn tell(&self) {
        let mut cues: Vec<(Ms, Cue<'_>)> = Vec::new();
        for step in &self.story.steps {
            cues.push((at(step.at), Cue::Act(&step.act)));
            let over = at(step.at.saturating_add(step.act.lasts()));
            match step.act {
                Act::Outage(_) | Act::Blip(_) => cues.push((over, Cue::MainsBack)),
                Act::DiskFull(_) => cues.push((over, Cue::DiskFree)),
                _ => {}
            }
        }
        cues.push((at(self.story.calm), Cue::Calm));
        cues.sort_by_key(|(at, _)| *at);
        for (when, cue) in cues {
            self.sleep_until(when).await;
            match cue {
                Cue::Act(act) => self.befalls(act),
                Cue::MainsBack => self.mains_back(),
                Cue::DiskFree => self.own.full.store(false, Ordering::Relaxed),
                Cue::Calm => self.calms(),
            }
        }
    }

    fn mains_back(&self) {
        self.scenery.sim.world().power_restore();
        *lock(&self.scenery.dark_since) = None;
    }

    fn befalls(&self, act: &Act) {
        let mut world = self.scenery.sim.world();
        let named = |world: &World, node: usize| world.hosts().get(node.checked_sub(1)?).map(|host| host.name.clone());
        let mut wish = None;
        match act {
            Act::Fault { fault, node, lasts } => match (fault.of_the_api(), lasts) {
                (Some(fault), Some(lasts)) => world.inject_api_fault(fault, at(*lasts)),
                (Some(_), None) | (None, _) => {
                    let node = node.and_then(|node| named(&world, node));
                    if fault.needs_node() == node.is_some() {
                        world.inject(*fault, node.as_ref()).ok();
                    }
                }
            },
            Act::Outage(_) => {
                world.power_lost();
                lock(&self.scenery.dark_since).get_or_insert(world.now());
            }
            Act::Blip(_) => {
                world.power_cut();
                lock(&self.scenery.dark_since).get_or_insert(world.now());
            }
            Act::DiskFull(_) => self.own.full.store(true, Ordering::Relaxed),
            Act::Clock(by) => drop(self.own.clock.ahead.fetch_add(by * 1000, Ordering::Relaxed)),
            Act::Reboot(node) => {
                if let Some(name) = named(&world, *node) {
                    world.reboot(&name).ok();
                }
            }
            Act::Kill(_) | Act::Peer | Act::Look => {}
            Act::Cordon(_) | Act::Uncordon(_) | Act::Suspend(_) | Act::Resume(_) | Act::Scale(..) | Act::DeletePod(_) => {
                if world.api_up() && world.fault().is_none() {
                    let node = |node: &usize| named(&world, *node);
                    let node = if let Act::Cordon(n) | Act::Uncordon(n) = act { node(n) } else { None };
                    wish = self.person(&mut world, act, node);
                }
            }
        }
        drop(world);
        wish.into_iter().for_each(|wish| self.scenery.note(What::Wished(wish)));
    }

    /// Somebody with kubectl, and what they want from then on.
    fn person(&self, world: &mut World, act: &Act, node: Option<NodeName>) -> Option<Wish> {
        let mut wishes = lock(&self.wishes);
        match act {
            Act::Cordon(_) => {
                let node = node?;
                world.person_cordon(&node).ok()?;
                wishes.cordoned.insert(node.clone());
                Some(Wish::Cordoned(node, true))
            }
            Act::Uncordon(_) => {
                let node = node?;
                world.person_uncordon(&node).ok()?;
                wishes.cordoned.remove(&node);
                Some(Wish::Cordoned(node, false))
            }
            Act::Suspend(name) => {
                let found = world.kustomizations().iter().find(|it| *it.meta.object.name == **name && !it.meta.suspended)?;
                let object = found.meta.object.clone();
                world.suspend_flux(&object, None, true).ok()?;
                wishes.suspended.insert(object);
                Some(Wish::Suspended(name.clone(), true))
            }
            Act::Resume(name) => {
                let object = wishes.suspended.iter().find(|object| *object.name == **name)?.clone();
                world.suspend_flux(&object, None, false).ok()?;
                wishes.suspended.remove(&object);
                Some(Wish::Suspended(name.clone(), false))
            }
            Act::Scale(of, replicas) => {
                let found = world.workloads().iter().find(|it| it.object.kind == Kind::Deployment && path(&it.object) == *of)?;
                let (object, was) = (found.object.clone(), found.replicas);
                if was == 0 || found.forgotten > 0 {
                    return None;
                }
                world.scale(&object, None, *replicas).ok()?;
                wishes.scaled.entry(object).or_insert(was);
                Some(Wish::Scaled(of.clone(), *replicas))
            }
            Act::DeletePod(of) => {
                let pod =
                    world.pods().find(|pod| world.workloads().get(pod.workload).is_some_and(|it| path(&it.object) == *of))?;
                let object = pod.object.clone();
                world.delete_pod(&object.namespace, &object.name, None).ok();
                None
            }
            _ => None,
        }
    }

    /// What no program ends: mains, a full disk, a clock that is wrong, and what people did.
    fn calms(&self) {
        self.mains_back();
        self.own.full.store(false, Ordering::Relaxed);
        self.own.clock.ahead.store(0, Ordering::Relaxed);
        {
            let mut world = self.scenery.sim.world();
            let wishes = std::mem::take(&mut *lock(&self.wishes));
            wishes.cordoned.iter().for_each(|node| drop(world.person_uncordon(node)));
            wishes.suspended.iter().for_each(|object| drop(world.suspend_flux(object, None, false)));
            wishes.scaled.iter().for_each(|(object, was)| drop(world.scale(object, None, *was)));
        }
        self.scenery.note(What::Wished(Wish::Nothing));
    }
}

fn path(object: &ObjectRef) -> String {
    format!("{}/{}", object.namespace, object.name)
}
