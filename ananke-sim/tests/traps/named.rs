//! What passes by itself is named while it lasts: whoever looks at a run that only waits is told what for.

use std::collections::BTreeSet;

use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::name::Moment;
use ananke_core::port::Clock;
use ananke_core::verdict::{Trap, Verdict};
use ananke_sim::{MemoryState, Ms, Sim, SimPorts, World, drill};

const LIMIT: Ms = 4 * 3_600_000;

/// Every trap that a gate names in the course of a start-up.
fn named(trap: Trap, seed: u64) -> BTreeSet<Trap> {
    let scenario = ananke_sim::trap::scenario(trap).unwrap().with_nodes(8);
    let sim = Sim::new(World::new(&scenario, seed));
    let (ports, state, clock) = (SimPorts::new(&sim), MemoryState::default(), sim.clock());
    state.kept().baseline = Some(drill::baseline(&sim.world()));
    let spec = drill::spec(&sim.world());
    let walk = engine::startup(engine::startup_plan(), spec, clock.now(), None, None);
    let mut named = BTreeSet::new();
    let mut observer = |walk: &Walk, _: Moment, _: &News<'_>| {
        let verdicts = walk.gates.values().flat_map(|gate| gate.judgement.subjects.values());
        named.extend(verdicts.filter_map(Verdict::trap));
    };
    let never = Box::pin(std::future::pending());
    sim.run(engine::execute(walk, ports.reads(&clock, &state), ports.hands(&state), never, &mut observer), LIMIT).unwrap();
    named
}

#[test]
fn what_passes_by_itself_is_named_meanwhile() {
    for trap in
        [Trap::PodUnexpectedAdmissionError, Trap::ThunderingHerd, Trap::LonghornRebuildStorm, Trap::OtherAutomationFightsRecovery]
    {
        let named = named(trap, 1);
        assert!(named.contains(&trap), "{trap}: {named:?}");
    }
}
