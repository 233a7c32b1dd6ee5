//! Drills of power: mains, batteries and upsds do what a story says, and the daemon does what it must.

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

use super::{Drill, LIMIT, spec, stamp, told};
use crate::daemon::{Disk, Host, Onlooker};
use crate::executor::{Sim, SimClock, Stalled};
use crate::ports::SimPorts;
use crate::scenario::Scenario;
use crate::world::{Cut, Ms, Quirk, World};

/// What power does while everything runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerStory {
    /// Blips of eight seconds, a self-test and a calibration: nobody has to do anything.
    Flaps,
    /// Both upsds fall silent with mains, which is an alarm, and again on battery, which is a shutdown in time.
    FallsSilent,
    /// Both say `LB` in the second in which mains fail, with full batteries, and mains are back before that is believed.
    SaysLow,
    /// Mains fail again while the cluster is started.
    StrikesTwice,
    /// An outage that no battery outlasts: the cluster is drained and stopped, then every host goes dark.
    Outlasts,
    /// The same, and mains are there for eight seconds while the cluster is drained, and away for eight while it is started.
    OutlastsAndFlaps,
    /// The same, and both upsds fall silent on battery, and again while the cluster is started.
    OutlastsInSilence,
    /// Blips that are each too short to count, and come to minutes for whoever does not count each anew.
    BlipsAddUp,
    /// Blips and a self-test at one UPS, while the upsd of the other is silent.
    FlapsBesideSilence,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Mains(bool),
    Every(Quirk, bool),
    One(usize, Quirk, bool),
    /// Full batteries that carry their racks for so many minutes.
    Batteries(Ms),
    /// What the scenario has come with the power.
    Trouble,
}

/// What happens so many seconds after the beginning, and the runs that it asks for.
type Plot = (&'static [(u64, Act)], &'static [(Command, Outcome)]);

impl PowerStory {
    fn plot(self) -> Plot {
        use Act::{Batteries, Every, Mains, One, Trouble};
        use Command::{Shutdown, Startup};
        use Outcome::{Done, Yielded};
        match self {
            Self::Flaps => (
                &[
                    (10, Mains(false)),
                    (18, Mains(true)),
                    (60, Mains(false)),
                    (68, Mains(true)),
                    (120, Every(Quirk::Tests, true)),
                    (132, Every(Quirk::Tests, false)),
                    (180, Every(Quirk::Calibrates, true)),
                    (480, Every(Quirk::Calibrates, false)),
                ],
                &[],
            ),
            Self::FallsSilent => (
                &[
                    (10, Every(Quirk::Silent, true)),
                    (190, Every(Quirk::Silent, false)),
                    (400, Mains(false)),
                    (420, Every(Quirk::Silent, true)),
                    (1000, Mains(true)),
                    (1010, Every(Quirk::Silent, false)),
                ],
                &[(Shutdown, Done), (Startup, Done)],
            ),
            Self::SaysLow => (
                &[
                    (0, Batteries(60)),
                    (10, Every(Quirk::Low, true)),
                    (10, Mains(false)),
                    (32, Mains(true)),
                    (40, Every(Quirk::Low, false)),
                ],
                &[],
            ),
            Self::StrikesTwice => (
                &[(10, Mains(false)), (400, Mains(true)), (560, Mains(false)), (800, Mains(true))],
                &[(Shutdown, Done), (Startup, Yielded), (Shutdown, Done), (Startup, Done)],
            ),
            Self::Outlasts => (
                &[(0, Batteries(12)), (10, Mains(false)), (900, Trouble), (900, Mains(true))],
                &[(Shutdown, Done), (Startup, Done)],
            ),
            Self::OutlastsAndFlaps => (
                &[
                    (0, Batteries(12)),
                    (10, Mains(false)),
                    (330, Mains(true)),
                    (338, Mains(false)),
                    (900, Trouble),
                    (900, Mains(true)),
                    (1300, Mains(false)),
                    (1308, Mains(true)),
                    (1330, Every(Quirk::Tests, true)),
                    (1342, Every(Quirk::Tests, false)),
                ],
                // Hosts that were off may have booted in the seconds with mains, so the cluster is stopped once more.
                &[(Shutdown, Done), (Shutdown, Done), (Startup, Done)],
            ),
            Self::OutlastsInSilence => (
                &[
                    (0, Batteries(12)),
                    (10, Mains(false)),
                    (40, Every(Quirk::Silent, true)),
                    (900, Trouble),
                    (900, Mains(true)),
                    (930, Every(Quirk::Silent, false)),
                    (1300, Every(Quirk::Silent, true)),
                    (1420, Every(Quirk::Silent, false)),
                ],
                &[(Shutdown, Done), (Startup, Done)],
            ),
            Self::BlipsAddUp => (
                &[
                    (0, Batteries(60)),
                    (10, Mains(false)),
                    (22, Mains(true)),
                    (60, Mains(false)),
                    (72, Mains(true)),
                    (110, Mains(false)),
                    (122, Mains(true)),
                    (160, Mains(false)),
                    (172, Mains(true)),
                    (210, Mains(false)),
                    (222, Mains(true)),
                ],
                &[],
            ),
            Self::FlapsBesideSilence => (
                &[
                    (5, One(1, Quirk::Silent, true)),
                    (10, Mains(false)),
                    (18, Mains(true)),
                    (60, Mains(false)),
                    (68, Mains(true)),
                    (120, One(0, Quirk::Tests, true)),
                    (132, One(0, Quirk::Tests, false)),
                    (300, One(1, Quirk::Silent, false)),
                ],
                &[],
            ),
        }
    }
}

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
            Demand::Nothing | Demand::HoldDown { .. } | Demand::Look { .. } => {}
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
        None => sim.run(host.start_up("nothing had to be run".to_owned()), 2 * LIMIT)?,
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
