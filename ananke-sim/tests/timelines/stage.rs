//! The recorded cluster in the simulator, and what was done to it.

use std::collections::BTreeMap;

use ananke_core::name::{Kind, NodeName};
use ananke_core::observation::Taint;
use ananke_sim::serve::project;
use ananke_sim::world::{Lab, LabWorkload, NodePatch, Refusal};
use ananke_sim::{Ms, World};

use super::recording::{Histories, Id, Recording, Seen};
use super::shown::{self, State};

/// When the recorded controller looked at its nodes, of every five seconds.
const LOOK: Ms = 600;
const NAMESPACE: &str = "default";
const WORKLOADS: &[(Kind, &str, Option<u32>)] =
    &[(Kind::DaemonSet, "agent", None), (Kind::StatefulSet, "db", Some(2)), (Kind::Deployment, "web", None)];

/// Does what the recording did at its times, and tells what a client of the API sees.
pub(crate) fn play(recording: &Recording, beat: Ms, seed: u64) -> Histories {
    let mut stage = Stage::new(recording, beat, seed);
    for (at, what) in &recording.dos {
        stage.world.advance_to(*at);
        stage.act(what);
        stage.watch();
    }
    stage.histories
}

struct Stage {
    world: World,
    seen: BTreeMap<Id, State>,
    histories: Histories,
}

impl Stage {
    fn new(recording: &Recording, beat: Ms, seed: u64) -> Self {
        let named = |kind: &str| {
            let kind = kind.to_owned();
            recording.start().filter(move |event| event.id.0 == kind)
        };
        let pods = |of: &str| {
            let of = format!("{of}-");
            let mine = named("Pod").filter(move |event| event.id.1.starts_with(&of));
            mine.map(|event| (event.id.1.clone(), node(event.state["node"].as_str().unwrap()))).collect()
        };
        let lab = Lab {
            nodes: named("Node").map(|event| node(&event.id.1)).collect(),
            workloads: (WORKLOADS.iter())
                .map(|(kind, name, budget)| LabWorkload {
                    kind: *kind,
                    name: (*name).to_owned(),
                    budget: *budget,
                    service: *name == "web",
                    pods: pods(name),
                })
                .collect(),
            beat,
            look: LOOK,
        };
        let mut world = World::lab(&lab, seed).unwrap();
        world.keep_frames();
        let seen = states(&world);
        let first = |(id, state): (&Id, &State)| (id.clone(), vec![Seen { at: 0, by_then: true, state: Some(state.clone()) }]);
        let histories = seen.iter().map(first).collect();
        Self { world, seen, histories }
    }

    fn act(&mut self, what: &str) {
        let world = &mut self.world;
        let words: Vec<&str> = what.split_whitespace().collect();
        match words.as_slice() {
            ["start"] | ["end"] => {}
            ["all", "four", "nodes", "lose", "power"] => world.power_lost(),
            ["all", "four", "nodes", "boot,", ..] => world.power_restore(),
            [name, "loses", "power"] => world.pull_plug(&node(name)),
            [name, "boots,", ..] => world.switch_on(&node(name)),
            ["taint", name, taint] => patch_taints(world, name, vec![parse_taint(taint)]),
            // The one of before.
            ["remove", "the", "taint"] => patch_taints(world, "worker-2", Vec::new()),
            ["set", "spec.unschedulable", "on", name] | ["cordon", name, ..] => world.person_cordon(&node(name)).unwrap(),
            ["clear", "spec.unschedulable"] => world.person_uncordon(&node("worker-2")).unwrap(),
            ["uncordon", name] => world.person_uncordon(&node(name)).unwrap(),
            ["delete", "the", "DaemonSet", "pod", "of", name] => {
                let pod = daemon_pod(world, name);
                world.delete_pod(NAMESPACE, &pod, None).unwrap();
            }
            ["evict", pod, answer, ..] => {
                let evicted = world.evict(NAMESPACE, pod.trim_end_matches(':'), None);
                match *answer {
                    "201" => assert_eq!(evicted, Ok(()), "{what}"),
                    "429" => assert!(matches!(evicted, Err(Refusal::Blocked { .. })), "{what}: {evicted:?}"),
                    other => panic!("an answer {other} in the recording"),
                }
            }
            _ => panic!("the recording did something unknown: {what}"),
        }
    }

    /// Takes over what changed since the last time.
    fn watch(&mut self) {
        for frame in self.world.take_frames() {
            let now = states(&frame);
            let gone: Vec<Id> = self.seen.keys().filter(|id| !now.contains_key(*id)).cloned().collect();
            for id in gone {
                self.see(&frame, id, None);
            }
            for (id, state) in &now {
                if self.seen.get(id) != Some(state) {
                    self.see(&frame, id.clone(), Some(state.clone()));
                }
            }
            self.seen = now;
        }
    }

    fn see(&mut self, frame: &World, id: Id, state: Option<State>) {
        self.histories.entry(id).or_default().push(Seen { at: frame.now(), by_then: false, state });
    }
}

/// All that is compared, as the API shows it.
fn states(world: &World) -> BTreeMap<Id, State> {
    let longhorns = |it: &project::Projected<'_>| it.key.kind.group.contains("longhorn");
    let all = project::all(world).into_iter().filter(|it| shown::is_compared(it.key.kind.kind) && !longhorns(it));
    let each = all.map(|it| {
        let kind = it.key.kind.kind;
        ((kind.to_owned(), it.key.name.clone()), shown::projected(kind, &(it.make)()))
    });
    each.collect()
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

fn daemon_pod(world: &World, name: &str) -> String {
    let row = world.node_row(&node(name));
    let found = world.pods().find(|pod| pod.node == row && world.workloads()[pod.workload].is_daemon());
    found.unwrap().object.name.to_string()
}

fn patch_taints(world: &mut World, name: &str, taints: Vec<Taint>) {
    world.patch_node(&node(name), None, NodePatch { taints: Some(taints), ..NodePatch::default() }).unwrap();
}

/// `key=value:effect`.
fn parse_taint(text: &str) -> Taint {
    let (rest, effect) = text.rsplit_once(':').unwrap();
    let (key, value) = rest.split_once('=').unwrap();
    Taint { key: key.into(), value: value.into(), effect: effect.into() }
}
