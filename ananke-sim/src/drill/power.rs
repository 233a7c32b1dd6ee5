//! Drills of power: mains, batteries and upsds do what a story says, and the daemon does what it must.

mod plot;

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use ananke_core::intent::IntentState;
use ananke_core::name::Moment;
use ananke_core::port::Clock;
use ananke_core::power::Demand;
use ananke_core::report::{Command, Outcome, Report};
use futures::future::select;
use plot::Act;
pub use plot::PowerStory;

use super::{Drill, LIMIT, spec, stamp, told};
use crate::daemon::{Disk, Host, Onlooker};
use crate::executor::{Sim, SimClock, Stalled};
use crate::ports::SimPorts;
use crate::scenario::Scenario;
use crate::world::{Cut, Ms, World};

const UPSES: usize = 2;
const MINUTE: Ms = 60_000;
/// Charged enough for a start six minutes after they were empty.
const FILLS: Ms = 20 * MINUTE;
/// After the last act it is quiet for so long before anybody asks how it ended.
const QUIET: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_secs(10);
/// Batteries that were run down are charged enough for a start by then.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// Writes down what is told, with the time.
struct Chronicle {
    clock: SimClock,
    began: Moment,
    lines: RefCell<Vec<String>>,
    reports: RefCell<Vec<Report>>,
}

impl Chronicle {
    fn note(&self, what: &str) {
        let at = self.clock.now().since(self.began).as_secs();
        self.lines.borrow_mut().push(format!("{}  {what}", stamp(at)));
    }
}

impl Onlooker for Chronicle {
    fn demands(&self, demand: &Demand) {
        match demand {
            Demand::ShutDown { why, .. } => self.note(&format!("shutdown: {why}")),
            Demand::StartUp { why } => self.note(&format!("start-up: {why}")),
            Demand::Nothing | Demand::Wait { .. } | Demand::HoldDown { .. } | Demand::Look { .. } => {}
        }
    }
    fn ended(&self, report: &Report) {
        self.note(&format!("  {}", report.summary));
        let deleted = report.actions.iter().filter(|action| action.verb == "delete-pod").count();
        if report.command == Command::Shutdown && deleted > 0 {
            self.note(&format!("  {deleted} pods deleted with their grace period, for their budgets did not let them go"));
        }
        self.reports.borrow_mut().push(report.clone());
    }
    fn looked(&self, _: bool) {}
}

pub(super) fn run(story: PowerStory, scenario: &Scenario, seed: u64) -> Result<Drill, Stalled> {
    let sim = Sim::new(World::new(scenario, seed));
    let spec = spec(&sim.world());
    let (clock, disk, ports) = (sim.clock(), Rc::<Disk>::default(), Rc::new(SimPorts::new(&sim)));
    let chronicle = Rc::new(Chronicle {
        began: clock.now(),
        clock: clock.clone(),
        lines: RefCell::new(super::opening(&sim.world())),
        reports: RefCell::default(),
    });
    let host = Host { ports, clock, disk: disk.clone(), spec: spec.clone(), onlooker: chronicle.clone() };
    let (acts, expected) = story.plot();
    let daemon = pin!(host.clone().serve());
    sim.run(select(daemon, pin!(tell(&sim, acts, scenario, &chronicle, &disk))), LIMIT)?;
    let reports = chronicle.reports.take();
    let violations = match reports.last() {
        Some(last) if scenario.has_trouble() => troubled(&sim.world(), &reports, last, expected),
        Some(_) | None => differs(&sim.world(), &reports, expected),
    };
    let report = match reports.last() {
        Some(report) => report.clone(),
        // A start-up finds all that should be there.
        None => sim.run(host.start_up(host.spec.clone(), "nothing had to be run".to_owned()), 2 * LIMIT)?,
    };
    Ok(told(scenario, seed, (spec.nodes.len(), spec.soak), chronicle.lines.take(), (report, violations)))
}

/// Lets it all happen, and waits until the cluster is there again.
async fn tell(sim: &Sim, acts: &[(u64, Act)], scenario: &Scenario, chronicle: &Chronicle, disk: &Disk) {
    let (clock, began) = (sim.clock(), chronicle.began);
    for (at, act) in acts {
        clock.sleep_until(began.plus(Duration::from_secs(*at))).await;
        match act {
            Act::Mains(true) => sim.world().power_restore(),
            Act::Mains(false) => sim.world().power_cut(),
            Act::Every(quirk, on) => (0..UPSES).for_each(|ups| sim.world().set_quirk(ups, *quirk, *on)),
            Act::One(ups, quirk, on) => sim.world().set_quirk(*ups, *quirk, *on),
            Act::Batteries(minutes) => (0..UPSES).for_each(|ups| sim.world().set_battery(ups, minutes * MINUTE, FILLS, 1000)),
            Act::Trouble => scenario.later.iter().for_each(|(fault, node)| sim.world().strike(*fault, node.as_ref())),
        }
        chronicle.note(&match act {
            Act::Mains(on) => format!("mains {}", if *on { "on" } else { "off" }),
            Act::Every(quirk, on) => format!("every UPS {quirk:?}: {on}"),
            Act::One(ups, quirk, on) => format!("UPS {ups} {quirk:?}: {on}"),
            Act::Batteries(minutes) => format!("every UPS has a battery for {minutes} minutes"),
            Act::Trouble => format!("{} faults", scenario.later.len()),
        });
    }
    let quiet = clock.now().plus(QUIET);
    clock.sleep_until(quiet).await;
    while clock.now().since(quiet) < PATIENCE {
        let told_a_person = scenario.has_trouble() && chronicle.reports.borrow().last().is_some_and(leaves_the_rest);
        let settled = disk.last_intent().is_none_or(|intent| intent.state == IntentState::Normal);
        if told_a_person || settled && sim.world().truly_healthy().is_ok() {
            return;
        }
        clock.sleep_until(clock.now().plus(LOOK)).await;
    }
}

/// A start-up that came to its end leaves the rest to a person.
fn leaves_the_rest(report: &Report) -> bool {
    report.command == Command::Startup && matches!(report.outcome, Outcome::Manual | Outcome::Failed)
}

/// What is wrong with how it ended in a world that has trouble of its own: the same runs, and a last report that is true.
fn troubled(world: &World, reports: &[Report], last: &Report, expected: &[(Command, Outcome)]) -> Vec<String> {
    let asked = expected.iter().map(|(command, _)| *command);
    let mut found = Vec::new();
    if !reports.iter().map(|report| report.command).eq(asked) {
        let ran: Vec<_> = reports.iter().map(|report| (report.command, report.outcome)).collect();
        found.push(format!("{expected:?} were to be run, it ran {ran:?}"));
    }
    found.extend(cut_off(world));
    found.extend(super::violations(world, last));
    found
}

/// Hosts that lost their power while something wrote there.
fn cut_off(world: &World) -> Vec<String> {
    let told = |cut: &Cut| world.hosts().get(cut.host).map(|host| format!("{} lost its power while it wrote", host.name));
    world.cuts().iter().filter_map(told).collect()
}

/// What is wrong with how it ended, and with what was done.
fn differs(world: &World, reports: &[Report], expected: &[(Command, Outcome)]) -> Vec<String> {
    let ran: Vec<(Command, Outcome)> = reports.iter().map(|report| (report.command, report.outcome)).collect();
    let mut found = Vec::new();
    if ran != expected {
        found.push(format!("{expected:?} were to be run, it ran {ran:?}"));
    }
    found.extend(cut_off(world));
    found.extend(world.truly_healthy().err().into_iter().flatten());
    found
}
