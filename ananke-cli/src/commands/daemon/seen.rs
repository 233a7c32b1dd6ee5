//! Everything that is shown, as it is at one moment: what the keepers told, and what stands in the state directory.
//!
//! The directory is opened for reading only, so that a look at the page sets nothing aside and tells no run of a loss.

use std::path::Path;
use std::time::Duration;

use ananke_core::intent::Intent;
use ananke_core::lease::LeaseRecord;
use ananke_core::name::{Moment, human};
use ananke_core::port::{Clock as _, PortError, StateReads as _};
use ananke_core::power::{UNLATCH, UpsState};
use ananke_core::report::{Command, Outcome, PastRun, Progress, Report};

use super::board::{Board, Known};
use crate::clock::SystemClock;
use crate::notify::run_name;
use crate::state::StateDir;

/// A run writes its progress at least every 30 s: one that did not for this long is dead.
const ALIVE: Duration = Duration::from_secs(90);

#[derive(Debug)]
pub(super) struct Seen {
    /// Of the daemon's own clock, as all in `known` is.
    pub(super) now: Moment,
    /// Of the wall clock, as all in files is.
    pub(super) wall: Moment,
    pub(super) began: Moment,
    pub(super) known: Known,
    pub(super) ages: Vec<(&'static str, Duration, Duration)>,
    pub(super) stuck: Vec<String>,
    pub(super) intent: Option<Intent>,
    pub(super) leases: Vec<LeaseRecord>,
    /// Runs that are alive, whoever began them.
    pub(super) running: Vec<Progress>,
    /// Runs that ended without a word.
    pub(super) died: Vec<Progress>,
    /// The newest first.
    pub(super) reports: Vec<Report>,
    /// The newest first.
    pub(super) past: Vec<PastRun>,
    /// When the cluster was last seen to be well.
    pub(super) well: Option<Moment>,
    /// What could not be read.
    pub(super) unread: Vec<String>,
}

/// Something that a person must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Todo {
    pub(super) about: String,
    pub(super) instruction: String,
}

impl Seen {
    pub(super) async fn take(board: &Board, root: &Path) -> Self {
        let mut seen = Self {
            now: board.clock.now(),
            wall: SystemClock::start().now(),
            began: board.began,
            known: board.known(),
            ages: board.ages(),
            stuck: board.stuck(),
            intent: None,
            leases: Vec::new(),
            running: Vec::new(),
            died: Vec::new(),
            reports: Vec::new(),
            past: Vec::new(),
            well: None,
            unread: Vec::new(),
        };
        match StateDir::open_read_only(root) {
            Ok(state) => seen.read(&state).await,
            Err(error) => seen.unread.push(error.to_string()),
        }
        seen
    }

    async fn read(&mut self, state: &StateDir) {
        self.intent = self.readable(state.intent().await);
        self.leases = self.readable(state.leases().await);
        self.past = self.readable(state.runs().await);
        self.past.reverse();
        self.well = self.readable(state.baseline().await).map(|baseline| baseline.at);
        let progress = [self.readable(state.progress().await), self.readable(state.shutdown_progress())];
        let open = progress.into_iter().flatten().filter(|run| run.outcome.is_none() && !run.dry_run);
        // One that is dated ahead wrote before the clock was set back.
        let silent = |run: &Progress| self.wall.since(run.updated).max(run.updated.since(self.wall));
        (self.running, self.died) = open.partition(|run| silent(run) <= ALIVE);
        let reports = [Command::Startup, Command::Shutdown].map(|command| self.readable(state.last_report(command)));
        self.reports = reports.into_iter().flatten().collect();
        self.reports.sort_by_key(|report| std::cmp::Reverse(report.ended));
        // A run that went on from a dead one has told more.
        let newest = self.reports.first().map(|report| report.ended);
        self.died.retain(|run| newest.is_none_or(|newest| run.updated > newest));
        self.unread.extend(state.take_notices());
    }

    fn readable<T: Default>(&mut self, read: Result<T, PortError>) -> T {
        read.unwrap_or_else(|error| {
            let remedy = error.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
            self.unread.push(format!("{error}{remedy}"));
            T::default()
        })
    }

    /// The most pressing first.
    pub(super) fn todo(&self) -> Vec<Todo> {
        let todo = |about: &str, instruction: &str| Todo { about: about.to_owned(), instruction: instruction.to_owned() };
        let mut list = Vec::new();
        list.extend(self.stuck.iter().map(|text| todo("ananke daemon", &format!("{text}: restart it"))));
        let power = self.known.power.as_ref();
        list.extend(power.and_then(|power| power.holding.as_deref()).map(|why| todo("the cluster stays down", why)));
        for ups in power.iter().flat_map(|power| &power.upses) {
            let instruction = match ups.state {
                UpsState::Latched => Some(format!("mains are there, and FSD still stands: {UNLATCH}")),
                UpsState::Lost { .. } if ups.is_vague() => Some(
                    "it does not tell where its power comes from, and nobody waits for it for ever: look at it, and at its driver"
                        .to_owned(),
                ),
                UpsState::Lost { .. } => Some("nothing is heard of it: look at upsd and at its cable".to_owned()),
                UpsState::Line { .. }
                | UpsState::Wavers { .. }
                | UpsState::Calibrates { .. }
                | UpsState::Battery { .. }
                | UpsState::Critical { .. }
                | UpsState::Unknown => None,
            };
            let refused = ups.is_refused.then(|| {
                "its upsd refuses our login, so that nobody waits for the shutdown: `ananke config check` says why".to_owned()
            });
            let about = format!("UPS {}", ups.name);
            list.extend(instruction.into_iter().chain(refused).map(|instruction| todo(&about, &instruction)));
        }
        if let Some((_, tick)) = &self.known.swept {
            list.extend(tick.overdue.iter().map(|text| todo("a lease is overdue", text)));
            list.extend(tick.manual.iter().map(|text| todo("a node waits for you", text)));
        }
        list.extend(self.of_dead_runs());
        list.extend(self.of_last_run());
        list.extend(self.unread.iter().map(|text| todo("a file of the state directory", text)));
        list
    }

    /// What died is a person's, unless another run is at it, or a shutdown was not a person's: what power asks for goes on without.
    fn of_dead_runs(&self) -> impl Iterator<Item = Todo> {
        let persons = |run: &&Progress| {
            let stands = self.intent.as_ref().filter(|intent| intent.run == run.run);
            run.command != Command::Shutdown || stands.is_some_and(|intent| !intent.by_power)
        };
        self.died.iter().filter(|_| self.running.is_empty()).filter(persons).map(|run| {
            let goes_on = match run.command {
                Command::Shutdown => {
                    "`ananke shutdown --execute` goes on from where it was; `ananke intent clear`, then `ananke startup --execute`, \
                     brings the cluster back"
                }
                Command::Startup | Command::Status => "`ananke startup --execute` goes on from where it was",
            };
            let ago = human(self.wall.since(run.updated));
            Todo { about: run.run.to_string(), instruction: format!("it died {ago} ago: {goes_on}") }
        })
    }

    /// What the newest run left, unless another one is at it, or the cluster was seen to be well since.
    fn of_last_run(&self) -> Vec<Todo> {
        let is_open = |report: &&Report| self.well.is_none_or(|well| well < report.ended) && !report.dry_run;
        let Some(report) = self.reports.first().filter(is_open).filter(|_| self.running.is_empty()) else { return Vec::new() };
        let what = run_name(report.command);
        let of = format!("as of the {what} that ended {} ago", human(self.wall.since(report.ended)));
        let manual = report.manual.iter().map(|action| {
            let about = if action.found.is_empty() { of.clone() } else { format!("{}; {of}", action.found) };
            Todo { about: format!("{}: {about}", action.subject), instruction: action.instruction.clone() }
        });
        let failed = (report.outcome == Outcome::Failed).then(|| Todo {
            about: format!("the last {what} did not get through"),
            instruction: format!("{}; `ananke explain` says why", report.summary),
        });
        manual.chain(failed).collect()
    }
}

#[cfg(test)]
mod tests {
    use ananke_core::observation::UpsReading;

    use super::super::board::{Power, Ups};
    use super::super::testing::{NOW, idle, ups};
    use super::*;

    #[test]
    fn a_ups_that_is_as_good_as_silent_is_a_persons_and_says_why() {
        for (status, instruction) in [("OL", "nothing is heard of it"), ("OFF", "it does not tell where its power comes from")] {
            let mut seen = idle();
            let reading = UpsReading { status: vec![status.into()], charge_percent: None, runtime: None };
            let ups = Ups { reading: Some(reading), ..ups("rack", UpsState::Lost { since: NOW }, true) };
            let (upses, reserve) = (vec![ups], Duration::ZERO);
            seen.known.power = Some(Power { at: NOW, upses, reserve, outages: 0, holding: None, paused: None });
            let todo = seen.todo();
            assert!(todo[0].about == "UPS rack" && todo[0].instruction.starts_with(instruction), "{todo:?}");
        }
    }
}
