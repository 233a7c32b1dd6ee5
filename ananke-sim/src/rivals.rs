//! Others who bring the same world back, to compare Ananke with: one who powers on and waits for Flux, and one who goes by a
//! runbook, as a careful operator's shell script would, one step after the other.

use std::sync::Arc;

use ananke_core::name::{NodeName, ObjectRef};
use ananke_core::observation::{Tri, UnitState};
use ananke_core::order::REQUESTED_ANNOTATION;

use crate::scenario::Scenario;
use crate::world::{FluxObject, Ms, Workload, World};

/// Who is not done by then does not get there.
const LIMIT: Ms = 4 * 3_600_000;
/// The world counts as whole only if it stays so for this long, as Ananke's soak demands.
const SOAK: Ms = 60_000;
const SECOND: Ms = 1_000;
/// A loop of the runbook asks again after this long.
const POLL: Ms = 5 * SECOND;
/// What one command over SSH or to the API takes.
const COMMAND: Ms = SECOND;
const MINUTE: Ms = 60 * SECOND;

/// Mains are back, and nobody does anything. Virtual milliseconds until the world is whole, or none.
pub fn power_on_and_wait(scenario: &Scenario, seed: u64) -> Option<Ms> {
    let mut world = World::new(scenario, seed);
    whole_since(&mut world, LIMIT)
}

/// The script, again and again until the world is whole. Virtual milliseconds, or none.
pub fn runbook(scenario: &Scenario, seed: u64) -> Option<Ms> {
    let mut script = Runbook { world: World::new(scenario, seed), asked: 0 };
    while script.world.now() < LIMIT {
        script.hosts();
        script.nodes();
        script.rollouts();
        script.flux();
        script.sites();
        let until = script.world.now() + SOAK + SECOND;
        if let Some(at) = whole_since(&mut script.world, until) {
            return Some(at);
        }
    }
    None
}

/// Lets the world go on until it has been whole for a soak; the beginning of that.
fn whole_since(world: &mut World, limit: Ms) -> Option<Ms> {
    let mut since = None;
    loop {
        let now = world.now();
        since = if world.truly_healthy().is_ok() { since.or(Some(now)) } else { None };
        if since.is_some_and(|since| now - since >= SOAK) {
            return since;
        }
        if now >= limit {
            return None;
        }
        world.advance_to(now + SECOND);
    }
}

struct Runbook {
    world: World,
    asked: u32,
}

impl Runbook {
    fn pass(&mut self, span: Ms) {
        let until = self.world.now() + span;
        self.world.advance_to(until);
    }

    /// `until …; do sleep 5; done`, and on after `patience` whatever came of it.
    fn wait(&mut self, patience: Ms, done: impl Fn(&World) -> bool) -> bool {
        let until = (self.world.now() + patience).min(LIMIT);
        self.pass(COMMAND);
        while !done(&self.world) {
            if self.world.now() >= until {
                return false;
            }
            self.pass(POLL);
        }
        true
    }

    /// Each host until it answers, and its unit started where it does not run.
    fn hosts(&mut self) {
        for row in 0..self.world.hosts().len() {
            if self.wait(10 * MINUTE, |world| world.hosts().get(row).is_some_and(|host| host.sshd)) {
                let host = self.world.hosts().get(row);
                let stopped = host.filter(|host| matches!(host.unit_state, UnitState::Inactive | UnitState::Failed));
                if let Some(name) = stopped.map(|host| host.name.clone()) {
                    self.pass(COMMAND);
                    // A host that went away meanwhile is met again in the next round.
                    let _gone = self.world.unit_start(&name);
                }
            }
        }
    }

    /// The API, then each node until it says Ready; cordons are lifted.
    fn nodes(&mut self) {
        self.wait(15 * MINUTE, answers);
        for row in 0..self.world.nodes().len() {
            self.wait(5 * MINUTE, |world| world.nodes().get(row).is_some_and(|node| node.ready == Tri::True));
        }
        let cordoned: Vec<NodeName> =
            self.world.nodes().iter().filter(|node| node.unschedulable).map(|node| node.name.clone()).collect();
        for name in cordoned {
            self.pass(COMMAND);
            let _conflict = self.world.person_uncordon(&name);
        }
    }

    /// `kubectl rollout status` of everything.
    fn rollouts(&mut self) {
        for row in 0..self.world.workloads().len() {
            self.wait(5 * MINUTE, |world| world.workloads().get(row).is_some_and(Workload::converged));
        }
    }

    /// `flux resume`, the source, then each Kustomization with what it waits for before it, then the HelmReleases.
    fn flux(&mut self) {
        let objects: Vec<ObjectRef> = flux_objects(&self.world).map(|meta| meta.object.clone()).collect();
        for object in &objects {
            self.pass(COMMAND);
            let _conflict = self.world.suspend_flux(object, None, false);
        }
        for object in &objects {
            self.reconcile(object);
        }
    }

    /// `flux reconcile`, three times at most.
    fn reconcile(&mut self, object: &ObjectRef) {
        for _ in 0..3 {
            self.asked += 1;
            let token: Arc<str> = format!("runbook-{}", self.asked).into();
            let _conflict = self.world.annotate_flux(object, None, vec![(REQUESTED_ANNOTATION.into(), Some(token.clone()))]);
            let asked = object.clone();
            let handled = move |world: &World| {
                let meta = flux_objects(world).find(|meta| meta.object == asked);
                meta.is_some_and(|meta| meta.handled_at.as_ref() == Some(&token) && meta.ready == Tri::True)
            };
            if self.wait(5 * MINUTE, handled) {
                return;
            }
        }
    }

    /// `curl` until it answers.
    fn sites(&mut self) {
        for row in 0..self.world.ingresses().len() {
            self.wait(5 * MINUTE, |world| world.ingresses().get(row).is_some_and(|site| world.site_works(&site.host)));
        }
    }
}

fn answers(world: &World) -> bool {
    world.api_up() && world.fault().is_none()
}

fn flux_objects(world: &World) -> impl Iterator<Item = &FluxObject> {
    let source = std::iter::once(&world.source().meta);
    let kustomizations = world.kustomizations().iter().map(|kust| &kust.meta);
    source.chain(kustomizations).chain(world.releases().iter().map(|release| &release.meta))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill;
    use crate::fault::Fault;

    #[test]
    fn each_gets_there_after_a_plain_power_loss_and_ananke_is_the_first() {
        for seed in 0..5 {
            let scenario = Scenario::default().with_nodes(8);
            let waited = power_on_and_wait(&scenario, seed).unwrap() / SECOND;
            let walked = runbook(&scenario, seed).unwrap() / SECOND;
            let ours = i64::try_from(drill::run(&scenario, seed).unwrap().recovery_seconds).unwrap();
            assert!(ours <= waited && ours <= walked, "seed {seed}: {ours} s, waited {waited} s, runbook {walked} s");
        }
    }

    #[test]
    fn who_only_waits_never_starts_what_was_stopped() {
        let stopped = Scenario::named("after-shutdown").unwrap().with_nodes(5);
        assert_eq!(power_on_and_wait(&stopped, 1), None);
        assert!(runbook(&stopped, 1).is_some());
        let disabled = Scenario::default().with_nodes(5).with_fault(Fault::UnitDisabled, None);
        assert_eq!(power_on_and_wait(&disabled, 1), None);
        assert!(runbook(&disabled, 1).is_some());
    }
}
