//! Power policy: when the batteries ask for a shutdown, and when mains allow a start-up. Pure functions of readings and time.
//!
//! Staleness is a state and not an error. Every time is our own: what a UPS says of how long it has been on battery may be of
//! an outage before this one (trap `ups-stale-on-battery-counter`).

mod aftermath;
mod doom;
mod duty;
mod policy;
mod status;
mod watch;

pub use aftermath::{HostsFound, hosts_found};
pub(crate) use doom::left;
pub use duty::{Duty, Known, is_start_owed};
pub use policy::{Demand, PowerWatch};
pub use status::{Supply, Word};
pub use watch::{UpsState, UpsWatch};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{Moment, NodeName};
use crate::spec::ShutdownMode;

/// What a person does about `FSD` that stands: upsd keeps what its primary has told it; some drivers say it by themselves.
pub const UNLATCH: &str =
    "restart upsd on its host, which keeps the word until then (`systemctl restart nut-server`); where it stays, its driver too";

/// What the policy goes by; [`PowerSpec::default`] has the defaults of the config, and no UPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerSpec {
    pub upses: Vec<UpsSpec>,
    /// Nodes with several supplies that need all of them; the others run on any one.
    pub needs_all: BTreeSet<NodeName>,
    /// A shutdown takes so long, unless runs before it took longer.
    pub default_budget: Duration,
    /// A shutdown begins when the runtime that is left is less than this many thousandths of its budget.
    pub safety_factor_thousandths: u32,
    /// Percent of charge at or below which a shutdown begins, whatever the runtime.
    pub charge_floor: u8,
    /// On battery for less is a blip; on line for less does not end an outage.
    pub debounce: Duration,
    /// Mains have been back for this long before a start-up begins.
    pub hold_off: Duration,
    /// So many outages within the window, and a person decides when the cluster starts again.
    pub outages: usize,
    pub outage_window: Duration,
    /// How far a shutdown for power goes.
    #[serde(default)]
    pub shutdown_mode: ShutdownMode,
}

/// One UPS, and the nodes that it feeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpsSpec {
    /// As NUT writes it: `name@host`.
    pub name: Arc<str>,
    /// Empty: all.
    pub feeds: BTreeSet<NodeName>,
}

/// How far a clock is behind, at most, that went on from the time that was saved last.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// A person holds the daemon back: it watches and tells, and begins nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub at: Moment,
    pub until: Moment,
    pub reason: String,
}

impl Pause {
    /// One that lies ahead holds, too: after a boot the clock may be behind, and somebody may have his hands in the machines.
    /// One from a far future was made by a clock that was wrong, and holds nothing.
    pub fn holds(&self, now: Moment) -> bool {
        self.at.since(now) <= AHEAD && now < self.until
    }
}

impl Default for PowerSpec {
    fn default() -> Self {
        Self {
            upses: Vec::new(),
            needs_all: BTreeSet::new(),
            default_budget: Duration::from_secs(300),
            safety_factor_thousandths: 2_000,
            charge_floor: 20,
            debounce: Duration::from_secs(15),
            hold_off: Duration::from_secs(120),
            outages: 3,
            outage_window: Duration::from_secs(3600),
            shutdown_mode: ShutdownMode::ClusterOnly,
        }
    }
}

impl UpsSpec {
    pub fn feeding_all(name: Arc<str>) -> Self {
        Self { name, feeds: BTreeSet::new() }
    }
}

impl PowerSpec {
    /// Runtime that must be left, where shutdowns before took `learned`. What is learned never makes it less: those may have
    /// had next to nothing to drain, and the next one may have all of it.
    pub fn reserve(&self, learned: Option<Duration>) -> Duration {
        let budget = learned.unwrap_or_default().max(self.default_budget);
        budget.saturating_mul(self.safety_factor_thousandths) / 1000
    }

    /// How long a shutdown may take where the batteries say that they last for `left`: their word is trusted no further here
    /// than where it is waited for.
    pub fn within(&self, left: Duration) -> Duration {
        left.saturating_mul(1000) / self.safety_factor_thousandths.max(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_holds_where_the_clock_is_behind_after_a_boot_and_not_for_years() {
        let hours = |hours: i64| Moment::from_millis(1_773_453_971_000 + hours * 3_600_000);
        let pause = Pause { at: hours(0), until: hours(2), reason: "a new battery".to_owned() };
        for (now, holds) in [(0, true), (1, true), (2, false), (-1, true), (-24, true), (-25, false), (-90_000, false)] {
            assert_eq!(pause.holds(hours(now)), holds, "{now} hours after it was made");
        }
    }

    #[test]
    fn a_shutdown_that_was_quick_makes_no_reserve_smaller() {
        let spec = PowerSpec::default();
        for (learned, reserve) in [(None, 600), (Some(20), 600), (Some(300), 600), (Some(700), 1400)] {
            assert_eq!(spec.reserve(learned.map(Duration::from_secs)).as_secs(), reserve, "{learned:?}");
        }
    }
}
