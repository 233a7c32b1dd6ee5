//! The shortest time in which a world can be whole again, from the world alone: no run may beat it.
//!
//! Machines, pods and what these wait for take the time that they take, whoever looks on: the world is left alone, but for
//! hosts that are off and units that are stopped, which are started at the first moment. What hangs on who asks for it and
//! when, as Flux does, counts with the least that it can take. Faults are left out: no repair is quicker than none.

use ananke_core::name::NodeName;
use ananke_core::observation::Tri;
use serde::Serialize;

use crate::scenario::{Foundation, Scenario};
use crate::world::{LEAST_APPLY, LEAST_FETCH, Ms, Power, World};

/// The world is looked at this often, and what is found counts from the look before.
const LOOK: Ms = 250;
/// A world that is not whole by then needs more than time.
const LIMIT: Ms = 3_600_000;

/// When a world can be whole at the earliest, and what that hangs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shortest {
    /// Virtual milliseconds since mains are back.
    pub at: Ms,
    /// The critical path, the first step first.
    pub path: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub at: Ms,
    pub what: String,
}

/// None where the world does not become whole without repairs that are more than starting what is off.
pub fn shortest(scenario: &Scenario, seed: u64) -> Option<Shortest> {
    let mut world = World::new(&without_trouble(scenario), seed);
    if world.truly_healthy().is_ok() {
        return Some(Shortest { at: 0, path: Vec::new() });
    }
    start_all(&mut world);
    let mut seen = Seen::new(&world);
    let mut from = world.now();
    while !seen.look(&world, from) {
        from = world.now();
        if from >= LIMIT {
            return None;
        }
        world.advance_to(from + LOOK);
    }
    Some(seen.last(&world))
}

fn without_trouble(scenario: &Scenario) -> Scenario {
    let foundation = match scenario.foundation {
        Foundation::Pruned(_) | Foundation::Inside => Foundation::Inside,
        Foundation::Outside => Foundation::Outside,
    };
    Scenario { foundation, faults: Vec::new(), ..scenario.clone() }
}

fn start_all(world: &mut World) {
    let hosts: Vec<(NodeName, Power)> = world.hosts().iter().map(|host| (host.name.clone(), host.power)).collect();
    for (name, power) in hosts {
        if power == Power::Off {
            world.switch_on(&name);
        }
        if power == Power::Up && world.unit_start(&name).is_err() {
            world.switch_on(&name);
        }
    }
}

/// When each was first there, by row.
struct Seen {
    nodes: Vec<Option<Ms>>,
    /// Workloads with a pod that serves, and with all of them.
    served: Vec<Option<Ms>>,
    whole: Vec<Option<Ms>>,
}

impl Seen {
    fn new(world: &World) -> Self {
        let (nodes, workloads) = (world.nodes().len(), world.workloads().len());
        Self { nodes: vec![None; nodes], served: vec![None; workloads], whole: vec![None; workloads] }
    }

    /// Whether nothing is missing any more.
    fn look(&mut self, world: &World, from: Ms) -> bool {
        let missing = |seen: &mut Vec<Option<Ms>>, is_there: fn(&World, usize) -> bool| {
            for (row, at) in seen.iter_mut().enumerate().filter(|(_, at)| at.is_none()) {
                *at = is_there(world, row).then_some(from);
            }
            seen.contains(&None)
        };
        let nodes = missing(&mut self.nodes, is_back);
        missing(&mut self.served, |world, row| world.workloads()[row].endpoints > 0);
        !(missing(&mut self.whole, is_whole) || nodes)
    }

    /// The last of all.
    fn last(&self, world: &World) -> Shortest {
        let node = last_of(&self.nodes).map(|(row, at)| Shortest { at, path: node_path(world, row, at) });
        let workload = last_of(&self.whole).map(|(row, at)| {
            let mut path = self.before(world, row, true);
            path.push(Step { at, what: format!("{} is whole", world.workloads()[row].object) });
            Shortest { at, path }
        });
        let flux = self.flux(world);
        [node, flux, workload].into_iter().flatten().max_by_key(|it| it.at).unwrap_or(Shortest { at: 0, path: Vec::new() })
    }

    /// The source is fetched once its controller and what serves it are there, and applied after that.
    fn flux(&self, world: &World) -> Option<Shortest> {
        let known = &world.known;
        let parts = [known.source_controller, known.dns, known.ingress, known.git];
        let parts = parts.into_iter().filter_map(|row| Some((row, at(&self.served, row)?)));
        let (row, served) = parts.max_by_key(|(_, at)| *at)?;
        let fetched = served.max(at(&self.served, known.source_controller)? + LEAST_FETCH);
        let mut path = self.before(world, row, false);
        path.push(Step { at: served, what: format!("{} serves", world.workloads()[row].object) });
        path.push(Step { at: fetched, what: "the Flux source is fetched".to_owned() });
        path.push(Step { at: fetched + LEAST_APPLY, what: "the last Kustomization is applied".to_owned() });
        Some(Shortest { at: fetched + LEAST_APPLY, path })
    }

    /// What a workload had to wait for: the last of what it needs and of its nodes; for one pod, the first of these.
    fn before(&self, world: &World, row: usize, whole: bool) -> Vec<Step> {
        let workload = &world.workloads()[row];
        let nodes = workload.pods.iter().filter_map(|pod| world.pods[*pod].node);
        let nodes = nodes.filter_map(|node| Some((at(&self.nodes, node)?, node)));
        let node = if whole { nodes.max() } else { nodes.min() };
        let need = workload.needs.iter().filter_map(|need| Some((at(&self.served, *need)?, *need))).max();
        match (node, need) {
            (node, Some((at, need))) if node.is_none_or(|(node, _)| node < at) => {
                let mut path = self.before(world, need, false);
                path.push(Step { at, what: format!("{} serves", world.workloads()[need].object) });
                path
            }
            (Some((at, node)), _) => node_path(world, node, at),
            (None, _) => Vec::new(),
        }
    }
}

fn at(seen: &[Option<Ms>], row: usize) -> Option<Ms> {
    seen.get(row).copied().flatten()
}

fn last_of(seen: &[Option<Ms>]) -> Option<(usize, Ms)> {
    seen.iter().enumerate().filter_map(|(row, at)| Some((row, (*at)?))).max_by_key(|(_, at)| *at)
}

fn node_path(world: &World, row: usize, at: Ms) -> Vec<Step> {
    let host = &world.hosts()[row];
    let booted = Step { at: host.booted_at.max(0), what: format!("{} is up", host.name) };
    let up = (world.api_since() > booted.at).then(|| Step { at: world.api_since(), what: "the API answers".to_owned() });
    [Some(booted), up, Some(Step { at, what: format!("{} is Ready in this boot", host.name) })].into_iter().flatten().collect()
}

/// Ready in this boot, by a kubelet that lives.
fn is_back(world: &World, row: usize) -> bool {
    let (host, node) = (&world.hosts()[row], &world.nodes()[row]);
    host.power == Power::Up
        && node.alive_since.is_some()
        && node.ready == Tri::True
        && node.boot_id.as_ref() == Some(&host.boot_id)
}

/// All its pods serve, and its status says so.
fn is_whole(world: &World, row: usize) -> bool {
    let workload = &world.workloads()[row];
    let wanted = if workload.is_daemon() { world.daemons_wanted(row) } else { workload.replicas };
    workload.endpoints >= wanted && workload.converged()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::{self, Ending};
    use crate::fault::Fault;

    #[test]
    fn no_run_beats_it_and_none_without_faults_takes_much_longer() {
        for seed in 0..20 {
            let scenario = Scenario::default().with_nodes(8);
            let shortest = shortest(&scenario, seed).unwrap();
            let drill = drill::run(&scenario, seed).unwrap();
            let took = i64::try_from(drill.recovery_seconds).unwrap() * 1000 + 999;
            assert!(shortest.at <= took, "seed {seed}: {took} ms, {shortest:#?}");
            assert!(took <= shortest.at * 3 / 2, "seed {seed}: {took} ms, {shortest:#?}");
        }
    }

    #[test]
    fn a_path_ends_at_the_bound_and_goes_forward_in_time() {
        for seed in 0..20 {
            let shortest = shortest(&Scenario::default(), seed).unwrap();
            assert!(shortest.path.is_sorted_by_key(|step| step.at), "{shortest:#?}");
            assert_eq!(shortest.path.last().map(|step| step.at), Some(shortest.at));
            assert!(shortest.path.len() >= 2, "{shortest:#?}");
        }
    }

    #[test]
    fn what_is_off_is_started_at_the_first_moment_and_trouble_is_left_out() {
        let named = |name| Scenario::named(name).unwrap().with_nodes(5);
        assert_eq!(shortest(&named("healthy"), 1).unwrap().at, 0);
        let (loss, stopped) = (shortest(&named("power-loss"), 1).unwrap().at, shortest(&named("after-shutdown"), 1).unwrap().at);
        assert!(0 < stopped && stopped < loss, "{stopped} {loss}");
        let dark = named("power-loss").with_fault(Fault::NeverBoots, None);
        assert_eq!(shortest(&dark, 1).unwrap().at, loss);
        assert_eq!(drill::run(&dark, 1).unwrap().outcome, Ending::Manual);
    }
}
