//! What a judgement rests on. It stands for as long as none of that changes and no time comes that it waits for: most of
//! what comes in says nothing to most gates.

use std::ops::{BitOr, BitOrAssign};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::intake::Reading;
use crate::name::Moment;
use crate::verdict::GateId;

/// What was seen grows old without a change, and so do words like «for 40s»: no judgement is kept for longer.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// A set of what gates look at: a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Inputs(u64);

impl Inputs {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);
    pub(crate) const INTENT: Self = Self(1);
    pub(crate) const API: Self = Self(1 << 1);
    /// With the heartbeats.
    pub(crate) const NODES: Self = Self(1 << 2);
    pub(crate) const FLUX: Self = Self(1 << 3);
    pub(crate) const WORKLOADS: Self = Self(1 << 4);
    pub(crate) const PODS: Self = Self(1 << 5);
    pub(crate) const INGRESSES: Self = Self(1 << 6);
    pub(crate) const NAMESPACES: Self = Self(1 << 7);
    pub(crate) const STORAGE: Self = Self(1 << 8);
    pub(crate) const ENDPOINTS: Self = Self(1 << 9);
    pub(crate) const JOBS: Self = Self(1 << 10);
    pub(crate) const EXTENSIONS: Self = Self(1 << 11);
    pub(crate) const EVENTS: Self = Self(1 << 12);
    pub(crate) const ENDED: Self = Self(1 << 13);
    pub(crate) const LEADERS: Self = Self(1 << 14);
    pub(crate) const COORDINATION: Self = Self(1 << 15);
    pub(crate) const VAULT: Self = Self(1 << 16);
    pub(crate) const OWN_CLOCK: Self = Self(1 << 17);
    pub(crate) const CONFIRMATIONS: Self = Self(1 << 18);
    pub(crate) const BASELINE: Self = Self(1 << 19);
    pub(crate) const PEERS: Self = Self(1 << 20);
    pub(crate) const SNAPSHOTS: Self = Self(1 << 21);
    pub(crate) const UPSES: Self = Self(1 << 22);
    pub(crate) const HOSTS: Self = Self(1 << 23);
    pub(crate) const PROBES: Self = Self(1 << 24);
    /// Orders and their answers.
    pub(crate) const HISTORY: Self = Self(1 << 25);
    pub(crate) const LEASES: Self = Self(1 << 26);
    pub(crate) const SIGHTINGS: Self = Self(1 << 27);
    /// From when on what Flux proved counts.
    pub(crate) const FLOOR: Self = Self(1 << 28);
    /// All gates: one bit each.
    pub(crate) const GATES: Self = Self(u64::MAX << FIRST_GATE);

    /// One gate: where it stands, and what it was judged to be.
    pub(crate) const fn gate(id: GateId) -> Self {
        Self(1 << (FIRST_GATE + id as u32))
    }

    pub(super) const fn of(reading: &Reading) -> Self {
        match reading {
            Reading::Intent(_) => Self::INTENT,
            Reading::Api(_) => Self::API,
            Reading::Nodes(..) => Self::NODES,
            Reading::Flux(_) => Self::FLUX,
            Reading::Workloads(_) => Self::WORKLOADS,
            Reading::Pods(_) => Self::PODS,
            Reading::Ingresses(_) => Self::INGRESSES,
            Reading::Namespaces(_) => Self::NAMESPACES,
            Reading::Storage(_) => Self::STORAGE,
            Reading::Endpoints(_) => Self::ENDPOINTS,
            Reading::Jobs(_) => Self::JOBS,
            Reading::Extensions(_) => Self::EXTENSIONS,
            Reading::Events(_) => Self::EVENTS,
            Reading::Ended(_) => Self::ENDED,
            Reading::Leaders(_) => Self::LEADERS,
            Reading::Coordination(_) => Self::COORDINATION,
            Reading::Vault(_) => Self::VAULT,
            Reading::OwnClock(_) => Self::OWN_CLOCK,
            Reading::Confirmations(_) => Self::CONFIRMATIONS,
            Reading::Baseline(_) => Self::BASELINE,
            Reading::Peer(..) => Self::PEERS,
            Reading::Snapshots(..) => Self::SNAPSHOTS,
            Reading::Ups(..) => Self::UPSES,
            Reading::Host(..) => Self::HOSTS,
            Reading::Probe(..) => Self::PROBES,
        }
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

const FIRST_GATE: u32 = 32;
const _: () = assert!(GateId::ALL.len() <= 32, "a gate has no bit of its own");

impl BitOr for Inputs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Inputs {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// Takes down what is looked at while a gate judges.
#[derive(Debug)]
pub(crate) struct Looks {
    inputs: AtomicU64,
    due: AtomicI64,
}

impl Looks {
    pub(super) fn new() -> Self {
        Self { inputs: AtomicU64::new(0), due: AtomicI64::new(i64::MAX) }
    }

    pub(super) fn at(&self, inputs: Inputs) {
        // One gate judges at a time: nothing is lost between the two.
        self.inputs.store(self.inputs.load(Ordering::Relaxed) | inputs.0, Ordering::Relaxed);
    }

    /// The judgement may be another one from `moment` on.
    pub(super) fn waits_for(&self, moment: Moment) {
        self.due.fetch_min(moment.as_millis(), Ordering::Relaxed);
    }

    pub(super) fn basis(self, now: Moment) -> Basis {
        let due = Some(self.due.into_inner()).filter(|due| *due != i64::MAX).map(Moment::from_millis);
        Basis { inputs: Inputs(self.inputs.into_inner()), at: now, due }
    }
}

/// What one judgement rests on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Basis {
    inputs: Inputs,
    at: Moment,
    /// When the first span is over that it waits for; none where it waits for none.
    due: Option<Moment>,
}

impl Basis {
    /// Whether the judgement still is what it would be if it were made anew.
    pub(super) fn holds(&self, news: Inputs, now: Moment) -> bool {
        // What looks at the config alone does not change in a run.
        let young = self.inputs == Inputs::NONE || now.since(self.at) < KEPT_FOR;
        !self.inputs.meets(news) && now >= self.at && self.due.is_none_or(|due| now < due) && young
    }

    pub(super) fn due(self) -> Option<Moment> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::engine::view::View;
    use crate::engine::walk::{GateRun, Walk};
    use crate::engine::{startup, startup_plan};
    use crate::gate::Row;
    use crate::gate::testing::Bench;
    use crate::name::Subject;
    use crate::verdict::{Judgement, Reason, Verdict};

    thread_local! {
        static JUDGED: Cell<u32> = const { Cell::new(0) };
    }

    /// Waits for our own clock, then until three seconds have passed since the run began.
    fn evaluate(view: &View<'_>) -> Judgement {
        JUDGED.set(JUDGED.get() + 1);
        let passed = view.own_clock().is_ok() && view.has_passed(Duration::from_secs(3), view.began);
        let verdict = if passed { Verdict::pass("") } else { Verdict::waiting(Reason::NotHeldLongEnough, "", "") };
        Judgement::of(Subject::Cluster, verdict)
    }

    /// A start-up of one gate, and how often that was judged when it is judged so many milliseconds after its begin.
    fn walk() -> (Walk, impl Fn(&mut Walk, u64) -> u32) {
        let bench = Bench::new(1);
        let mut plan = startup_plan();
        plan.rows = vec![Row { evaluate, ..plan.rows[0] }];
        let began = bench.now;
        JUDGED.set(0);
        let judged = move |walk: &mut Walk, millis: u64| {
            walk.judge(began.plus(Duration::from_millis(millis)));
            JUDGED.get()
        };
        (startup(plan, bench.spec, began, None, None), judged)
    }

    #[test]
    fn what_a_gate_does_not_look_at_makes_no_new_judgement() {
        let (mut walk, judged) = walk();
        let at = walk.began;
        assert_eq!((judged(&mut walk, 0), judged(&mut walk, 200)), (1, 1));
        walk.take(Reading::Confirmations(Ok(Vec::new())), at);
        assert_eq!(judged(&mut walk, 400), 1);
        walk.take(Reading::OwnClock(Ok(None)), at);
        assert_eq!((judged(&mut walk, 600), judged(&mut walk, 800)), (2, 2));
        // The same answer once more is no news.
        walk.take(Reading::OwnClock(Ok(None)), at);
        assert_eq!(judged(&mut walk, 1000), 2);
    }

    #[test]
    fn a_gate_that_moves_is_looked_at_anew_once_by_those_before_it_and_by_those_after_it() {
        thread_local! {
            static LOOKED: Cell<u32> = const { Cell::new(0) };
        }
        fn watcher(view: &View<'_>) -> Judgement {
            LOOKED.set(LOOKED.get() + 1);
            let passes = view.gate(GateId::Inventory).is_some_and(|gate| gate.judgement.passes());
            Judgement::of(Subject::Cluster, if passes { Verdict::pass("") } else { Verdict::waiting(Reason::NodeAbsent, "", "") })
        }
        for places in [[GateId::Guards, GateId::Inventory], [GateId::Inventory, GateId::NodeSsh]] {
            let (mut walk, _) = walk();
            let row = |id| Row {
                id,
                needs: &[],
                evaluate: if id == GateId::Inventory { evaluate } else { watcher },
                ..walk.plan.rows[0]
            };
            walk.plan.rows = places.map(row).to_vec();
            walk.gates = places.map(|id| (id, GateRun::new())).into();
            let at = |millis| walk.began.plus(Duration::from_millis(millis));
            let moments = [0, 4_000, 4_200, 4_400].map(at);
            walk.take(Reading::OwnClock(Ok(None)), moments[0]);
            LOOKED.set(0);
            let looked = moments.map(|at| {
                walk.judge(at);
                LOOKED.get()
            });
            let after = places[0] == GateId::Inventory;
            assert_eq!(looked, if after { [1, 2, 2, 2] } else { [1, 2, 3, 3] }, "{places:?}");
        }
    }

    #[test]
    fn a_floor_that_moves_says_something_to_those_that_look_at_it() {
        thread_local! {
            static LOOKED: Cell<u32> = const { Cell::new(0) };
        }
        fn proves(view: &View<'_>) -> Judgement {
            LOOKED.set(LOOKED.get() + 1);
            Judgement::of(Subject::Cluster, Verdict::pass(view.floor().to_string()))
        }
        let (mut walk, judged) = walk();
        walk.plan.rows.push(Row { id: GateId::Inventory, needs: &[], evaluate: proves, ..walk.plan.rows[0] });
        walk.gates.insert(GateId::Inventory, GateRun::new());
        let mut looked = |millis, since: Option<Moment>| {
            walk.floor.since = since;
            (judged(&mut walk, millis), LOOKED.get())
        };
        let at = |millis| Some(Moment::from_millis(millis));
        assert_eq!([looked(0, None), looked(200, None)], [(1, 1), (1, 1)]);
        assert_eq!(looked(400, at(900)), (1, 1), "a clock that is read anew moves it by little");
        assert_eq!([looked(600, at(9_000)), looked(800, at(9_000))], [(1, 2), (1, 2)]);
    }

    #[test]
    fn a_judgement_stands_until_the_time_that_it_waits_for_and_not_for_long() {
        let (mut walk, judged) = walk();
        let at = walk.began;
        walk.take(Reading::OwnClock(Ok(None)), at);
        assert_eq!((judged(&mut walk, 0), judged(&mut walk, 2_999)), (1, 1));
        assert_eq!(walk.due, Some(at.plus(Duration::from_secs(3))));
        assert_eq!((judged(&mut walk, 3_000), walk.due), (2, None));
        assert!(walk.gates.values().all(|gate| gate.judgement.passes()));
        assert_eq!((judged(&mut walk, 7_999), judged(&mut walk, 8_000)), (2, 3), "what was seen grows old");
        assert_eq!(judged(&mut walk, 7_000), 4, "the clock was set back");
    }

    #[test]
    fn a_phase_that_stays_passed_keeps_what_was_judged() {
        let (mut walk, judged) = walk();
        walk.plan.latching = true;
        walk.take(Reading::OwnClock(Ok(None)), walk.began);
        for millis in [0, 3_000, 3_200, 9_000] {
            judged(&mut walk, millis);
        }
        assert_eq!(JUDGED.get(), 2);
        assert!(walk.gates.values().all(|gate| gate.judgement.counts() == (1, 1)));
    }
}
