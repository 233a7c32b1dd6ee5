//! Lets a story's steps come at their time, and ends what no program ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use ananke_core::lease::TAINT_KEY;
use ananke_core::name::{Kind, Moment, NodeName, ObjectRef};
use ananke_core::observation::Confirmation;

use super::{Stage, at, path};
use crate::check::{What, Wish};
use crate::executor::lock;
use crate::swarm::Act;
use crate::swarm::gear::Gear;
use crate::world::{Ms, NodePatch, Power, Quirk, World};

/// What comes at its time.
#[derive(Debug, Clone, Copy)]
enum Cue<'a> {
    Act(&'a Act),
    MainsBack,
    DiskFree,
    UpsIsItself(Quirk),
    Calm,
}

/// What people did, and how it was before.
#[derive(Default)]
pub(super) struct Wishes {
    cordoned: BTreeSet<NodeName>,
    suspended: BTreeSet<ObjectRef>,
    pub(super) scaled: BTreeMap<ObjectRef, u32>,
}

impl Stage<'_> {
    /// Lets everything come at its time.
    pub(super) async fn tell(&self) {
        let mut cues: Vec<(Ms, Cue<'_>)> = Vec::new();
        for step in &self.story.steps {
            cues.push((at(step.at), Cue::Act(&step.act)));
            let over = at(step.at.saturating_add(step.act.lasts()));
            match step.act {
                Act::Outage(_) | Act::Blip(_) => cues.push((over, Cue::MainsBack)),
                Act::DiskFull(_) => cues.push((over, Cue::DiskFree)),
                Act::Ups(quirk, _) => cues.push((over, Cue::UpsIsItself(quirk))),
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
                Cue::UpsIsItself(quirk) => self.upses_do(quirk, false),
                Cue::Calm => self.calms(),
            }
        }
    }

    fn mains_back(&self) {
        self.scenery.sim.world().power_restore();
        *lock(&self.scenery.dark_since) = None;
    }

    fn upses_do(&self, quirk: Quirk, on: bool) {
        let mut world = self.scenery.sim.world();
        (0..world.upses().len()).for_each(|ups| world.set_quirk(ups, quirk, on));
    }

    fn befalls(&self, act: &Act) {
        let mut world = self.scenery.sim.world();
        let named = |world: &World, node: usize| world.hosts().get(node.checked_sub(1)?).map(|host| host.name.clone());
        let (mut wish, mut struck) = (None, None);
        let right = world.wall(world.now());
        match act {
            Act::Fault { fault, node, lasts } => match (fault.of_the_api(), lasts) {
                (Some(of_the_api), Some(lasts)) => {
                    world.inject_api_fault(of_the_api, at(*lasts));
                    struck = Some((*fault, None));
                }
                (Some(_), None) | (None, _) => {
                    let node = node.and_then(|node| named(&world, node));
                    if fault.needs_node() == node.is_some() && world.inject(*fault, node.as_ref()).is_ok() {
                        struck = Some((*fault, node));
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
            Act::Ups(quirk, _) => (0..world.upses().len()).for_each(|ups| world.set_quirk(ups, *quirk, true)),
            Act::ConfirmOff(node) => {
                let off = |name: &NodeName| world.hosts().iter().any(|host| host.name == *name && host.power == Power::Off);
                if let Some(name) = named(&world, *node).filter(off) {
                    self.confirm_off(&world, name, right);
                }
            }
            Act::Kill(_) | Act::Peer | Act::Look | Act::Shutdown(_) => {}
            Act::Cordon(_)
            | Act::Uncordon(_)
            | Act::Lift(_)
            | Act::Suspend(_)
            | Act::Resume(_)
            | Act::Scale(..)
            | Act::DeletePod(_) => {
                if world.api_up() && world.fault().is_none() {
                    let node = |node: &usize| named(&world, *node);
                    let node = if let Act::Cordon(n) | Act::Uncordon(n) | Act::Lift(n) = act { node(n) } else { None };
                    wish = self.person(&mut world, act, node);
                }
            }
        }
        drop(world);
        lock(&self.struck).extend(struck.clone());
        struck.into_iter().for_each(|(fault, _)| self.scenery.note(What::Struck(fault)));
        wish.into_iter().for_each(|wish| self.scenery.note(What::Wished(wish)));
    }

    /// `ananke confirm-off`, by somebody who has seen the machine.
    fn confirm_off(&self, world: &World, node: NodeName, at: Moment) {
        let boot_id = world.nodes().iter().find(|row| row.name == node).and_then(|row| row.boot_id.clone());
        self.own.state.kept().confirmations.push(Confirmation { node, at, boot_id });
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
            Act::Lift(_) => {
                let name = node?;
                let taints = &world.nodes().iter().find(|row| row.name == name)?.taints;
                let taints = Some(taints.iter().filter(|taint| &*taint.key != TAINT_KEY).cloned().collect());
                world.patch_node(&name, None, NodePatch { taints, ..NodePatch::default() }).ok();
                None
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
                world.person_deletes_pod(&object.namespace, &object.name).ok();
                None
            }
            _ => None,
        }
    }

    /// Where nobody else can, people go and switch on what is off.
    pub(super) fn presses_buttons(&self) {
        if self.story.has(Gear::NoWake) {
            let mut world = self.scenery.sim.world();
            let off = world.hosts().iter().filter(|host| host.power == Power::Off);
            let off: Vec<NodeName> = off.map(|host| host.name.clone()).collect();
            off.iter().for_each(|node| world.switch_on(node));
        }
    }

    /// What no program ends: mains, a full disk, a clock that is wrong, and what people did.
    fn calms(&self) {
        self.mains_back();
        self.own.full.store(false, Ordering::Relaxed);
        self.own.clock.ahead.store(0, Ordering::Relaxed);
        [Quirk::Silent, Quirk::Low, Quirk::Tests, Quirk::Calibrates].into_iter().for_each(|quirk| self.upses_do(quirk, false));
        self.presses_buttons();
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
