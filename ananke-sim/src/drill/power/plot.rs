//! What happens in each story of power, and which runs it asks for.

use ananke_core::report::{Command, Outcome};

use crate::world::{Ms, Quirk};

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
pub(super) enum Act {
    Mains(bool),
    Every(Quirk, bool),
    One(usize, Quirk, bool),
    /// Full batteries that carry their racks for so many minutes.
    Batteries(Ms),
    /// What the scenario has come with the power.
    Trouble,
}

/// What happens so many seconds after the beginning, and the runs that it asks for.
pub(super) type Plot = (&'static [(u64, Act)], &'static [(Command, Outcome)]);

use Act::{Batteries, Every, Mains, One, Trouble};

const FLAPS: &[(u64, Act)] = &[
    (10, Mains(false)),
    (18, Mains(true)),
    (60, Mains(false)),
    (68, Mains(true)),
    (120, Every(Quirk::Tests, true)),
    (132, Every(Quirk::Tests, false)),
    (180, Every(Quirk::Calibrates, true)),
    (480, Every(Quirk::Calibrates, false)),
];

const FALLS_SILENT: &[(u64, Act)] = &[
    (10, Every(Quirk::Silent, true)),
    (190, Every(Quirk::Silent, false)),
    (400, Mains(false)),
    (420, Every(Quirk::Silent, true)),
    (1000, Mains(true)),
    (1010, Every(Quirk::Silent, false)),
];

const SAYS_LOW: &[(u64, Act)] =
    &[(0, Batteries(60)), (10, Every(Quirk::Low, true)), (10, Mains(false)), (32, Mains(true)), (40, Every(Quirk::Low, false))];

const STRIKES_TWICE: &[(u64, Act)] = &[(10, Mains(false)), (400, Mains(true)), (560, Mains(false)), (800, Mains(true))];

const OUTLASTS: &[(u64, Act)] = &[(0, Batteries(12)), (10, Mains(false)), (900, Trouble), (900, Mains(true))];

const OUTLASTS_AND_FLAPS: &[(u64, Act)] = &[
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
];

const OUTLASTS_IN_SILENCE: &[(u64, Act)] = &[
    (0, Batteries(12)),
    (10, Mains(false)),
    (40, Every(Quirk::Silent, true)),
    (900, Trouble),
    (900, Mains(true)),
    (930, Every(Quirk::Silent, false)),
    (1300, Every(Quirk::Silent, true)),
    (1420, Every(Quirk::Silent, false)),
];

const BLIPS_ADD_UP: &[(u64, Act)] = &[
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
];

const FLAPS_BESIDE_SILENCE: &[(u64, Act)] = &[
    (5, One(1, Quirk::Silent, true)),
    (10, Mains(false)),
    (18, Mains(true)),
    (60, Mains(false)),
    (68, Mains(true)),
    (120, One(0, Quirk::Tests, true)),
    (132, One(0, Quirk::Tests, false)),
    (300, One(1, Quirk::Silent, false)),
];

impl PowerStory {
    pub(super) fn plot(self) -> Plot {
        use Command::{Shutdown, Startup};
        use Outcome::{Done, Yielded};
        match self {
            Self::Flaps => (FLAPS, &[]),
            Self::FallsSilent => (FALLS_SILENT, &[(Shutdown, Done), (Startup, Done)]),
            Self::SaysLow => (SAYS_LOW, &[]),
            Self::StrikesTwice => (STRIKES_TWICE, &[(Shutdown, Done), (Startup, Yielded), (Shutdown, Done), (Startup, Done)]),
            Self::Outlasts => (OUTLASTS, &[(Shutdown, Done), (Startup, Done)]),
            // Hosts that were off may have booted in the seconds with mains, so the cluster is stopped once more.
            Self::OutlastsAndFlaps => (OUTLASTS_AND_FLAPS, &[(Shutdown, Done), (Shutdown, Done), (Startup, Done)]),
            Self::OutlastsInSilence => (OUTLASTS_IN_SILENCE, &[(Shutdown, Done), (Startup, Done)]),
            Self::BlipsAddUp => (BLIPS_ADD_UP, &[]),
            Self::FlapsBesideSilence => (FLAPS_BESIDE_SILENCE, &[]),
        }
    }
}
