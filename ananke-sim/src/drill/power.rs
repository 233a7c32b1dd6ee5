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
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Mains(bool),
    Every(Quirk, bool),
    /// Full batteries that carry their racks for so many minutes.
    Batteries(Ms),
}

/// What happens so many seconds after the beginning, and the runs that it asks for.
type Plot = (&'static [(u64, Act)], &'static [(Command, Outcome)]);

impl PowerStory {
    fn plot(self) -> Plot {
        use Act::{Batteries, Every, Mains};
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
        }
    }
}

const UPSES: usize = 2;
const MINUTE: Ms = 60_000;
const FILLS: Ms = 180 * MINUTE;
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
    sim.run(select(daemon, pin!(tell(&sim, acts, &chronicle, &disk))), LIMIT)?;
    let reports = chronicle.reports.take();
    let violations = differs(&sim.world(), &reports, expected);
    let report = match reports.last() {
        Some(report) => report.clone(),
        // A start-up finds all that should be there.
        None => sim.run(host.start_up("nothing had to be run".to_owned()), 2 * LIMIT)?,
    };
    Ok(told(scenario, seed, (spec.nodes.len(), spec.soak), chronicle.lines.take(), (report, violations)))
}

/// Lets it all happen, and waits until the cluster is there again.
async fn tell(sim: &Sim, acts: &[(u64, Act)], chronicle: &Chronicle, disk: &Disk) {
    let (clock, began) = (sim.clock(), chronicle.began);
    for (at, act) in acts {
        clock.sleep_until(began.plus(Duration::from_secs(*at))).await;
        match act {
            Act::Mains(true) => sim.world().power_restore(),
            Act::Mains(false) => sim.world().power_cut(),
            Act::Every(quirk, on) => (0..UPSES).for_each(|ups| sim.world().set_quirk(ups, *quirk, *on)),
            Act::Batteries(minutes) => (0..UPSES).for_each(|ups| sim.world().set_battery(ups, minutes * MINUTE, FILLS, 1000)),
        }
        chronicle.note(&match act {
            Act::Mains(on) => format!("mains {}", if *on { "on" } else { "off" }),
            Act::Every(quirk, on) => format!("every UPS {quirk:?}: {on}"),
            Act::Batteries(minutes) => format!("every UPS has a battery for {minutes} minutes"),
        });
    }
    let quiet = clock.now().plus(QUIET);
    clock.sleep_until(quiet).await;
    while clock.now().since(quiet) < PATIENCE {
        let settled = disk.last_intent().is_none_or(|intent| intent.state == IntentState::Normal);
        if settled && sim.world().truly_healthy().is_ok() {
            return;
        }
        clock.sleep_until(clock.now().plus(LOOK)).await;
    }
}

/// What is wrong with how it ended, and with what was done.
fn differs(world: &World, reports: &[Report], expected: &[(Command, Outcome)]) -> Vec<String> {
    let ran: Vec<(Command, Outcome)> = reports.iter().map(|report| (report.command, report.outcome)).collect();
    let mut found = Vec::new();
    if ran != expected {
        found.push(format!("{expected:?} were to be run, it ran {ran:?}"));
    }
    let told = |cut: &Cut| world.hosts().get(cut.host).map(|host| format!("{} lost its power while it wrote", host.name));
    found.extend(world.cuts().iter().filter_map(told));
    found.extend(world.truly_healthy().err().into_iter().flatten());
    found
}
