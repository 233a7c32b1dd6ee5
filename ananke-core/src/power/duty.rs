//! What the daemon owes now: which run is to begin, and what it learns when one has ended.
//!
//! It looks at nothing and runs nothing: readings, what the state directory says and the time go in, and what comes out is
//! to be begun at once. It reckons a run as under way from then until it is told of the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Demand, HostsFound, PowerSpec, PowerWatch, UpsState};
use crate::eta;
use crate::intent::{Intent, IntentState};
use crate::name::Moment;
use crate::observation::UpsReading;
use crate::report::{Command, Outcome, PastRun, Progress};
use crate::spec::Spec;

/// What could not be begun, or failed while it is still asked for, is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// What is known beside the batteries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// What was last wanted of the cluster; none too where it cannot be read.
    pub intent: Option<&'a Intent>,
    /// How far the newest start-up came; looked at while the intent says that one was begun.
    pub progress: Option<&'a Progress>,
    /// A person holds the daemon back.
    pub paused: bool,
}

/// The batteries, and the runs that were begun for them.
#[derive(Debug, Clone, Default)]
pub struct Duty {
    watch: PowerWatch,
    /// What a shutdown takes, as the runs before say.
    learned: Option<Duration>,
    under_way: BTreeSet<Command>,
    /// When either run may be begun next.
    again: BTreeMap<Command, Moment>,
}

impl Duty {
    /// Goes on with the outages that were counted before, and with what was not settled of them.
    pub fn with_outages(outages: Vec<Moment>, unsettled: Option<Moment>) -> Self {
        Self { watch: PowerWatch::with_outages(outages, unsettled), ..Self::default() }
    }

    /// Takes one look at one UPS; none: nothing was heard.
    pub fn take(&mut self, ups: &Arc<str>, reading: Option<UpsReading>, spec: &PowerSpec, now: Moment) {
        self.watch.take(ups, reading, spec, now);
    }

    /// Counts the outage that has just become one; says whether it did.
    pub fn count(&mut self, spec: &Spec, now: Moment) -> bool {
        let reserve = self.reserve(&spec.power);
        self.watch.count(spec, reserve, now)
    }

    /// What was seen of the batteries.
    pub fn watch(&self) -> &PowerWatch {
        &self.watch
    }

    /// What each UPS comes to.
    pub fn states(&self, spec: &PowerSpec, now: Moment) -> BTreeMap<Arc<str>, UpsState> {
        self.watch.states(spec, self.reserve(spec), now)
    }

    /// What a shutdown is given where no battery tells how long it lasts.
    pub fn budget(&self, spec: &PowerSpec) -> Duration {
        spec.within(self.reserve(spec))
    }

    /// Runtime that must be left.
    pub fn reserve(&self, spec: &PowerSpec) -> Duration {
        spec.reserve(self.learned)
    }

    /// What is to be done now: a run is named once, when it is to begin. That a person is needed, is said even while paused.
    pub fn owed(&mut self, spec: &Spec, known: Known<'_>, now: Moment) -> Demand {
        self.watch.heed(spec, known.intent, now);
        let is_down = known.intent.is_some_and(|intent| intent.state == IntentState::ShutdownComplete);
        self.watch.obeyed(is_down, spec.power.hold_off, now);
        let demand = self.watch.demand(spec, self.reserve(&spec.power), known.intent, now);
        let begins = match &demand {
            Demand::Nothing | Demand::HoldDown { .. } => true,
            Demand::Look { .. } => self.may_look(known, now),
            Demand::ShutDown { .. } => !known.paused && self.may_begin(Command::Shutdown, now),
            Demand::Wait { .. } => self.may_start(known),
            Demand::StartUp { .. } => self.may_start(known) && self.may_begin(Command::Startup, now),
        };
        if begins && demand != Demand::Nothing { demand } else { self.look_owed(&spec.power, known, now) }
    }

    fn may_start(&self, known: Known<'_>) -> bool {
        let stopping = self.under_way.contains(&Command::Shutdown);
        !known.paused && !stopping && (self.watch.has_losses() || is_start_owed(known))
    }

    /// What a start-up that is owed goes by: see [`PowerWatch::for_start`].
    pub fn for_start(&self, spec: &Spec) -> Spec {
        self.watch.for_start(spec)
    }

    /// A look at the hosts after an outage: not where a start-up is owed whatever it would find.
    fn look_owed(&mut self, spec: &PowerSpec, known: Known<'_>, now: Moment) -> Demand {
        let down = known.intent.is_some_and(|intent| intent.by_power && intent.state != IntentState::Normal);
        match self.watch.look_due(spec, now).filter(|_| !(down && is_start_owed(known))) {
            Some(since) if self.may_look(known, now) => Demand::Look { since },
            Some(_) | None => Demand::Nothing,
        }
    }

    fn may_look(&mut self, known: Known<'_>, now: Moment) -> bool {
        !known.paused && self.under_way.is_empty() && self.may_begin(Command::Status, now)
    }

    /// The look is over that began at `began`: which hosts a start-up is owed to, in words.
    pub fn looked(&mut self, spec: &PowerSpec, began: Moment, found: &HostsFound) -> Option<&str> {
        self.under_way.remove(&Command::Status);
        self.again.insert(Command::Status, began.plus(AGAIN));
        self.watch.looked(spec, began, found)
    }

    /// Another Ananke asks for it: whether it is to begin, for it may be under way.
    pub fn asked(&mut self, command: Command, now: Moment) -> bool {
        let begins = self.under_way.insert(command);
        match command {
            Command::Shutdown if begins => self.watch.stops(Some(now)),
            // It wakes hosts, or somebody switches them on for it, before it says in its intent that it has begun.
            Command::Startup if begins => self.watch.stops(None),
            Command::Shutdown | Command::Startup | Command::Status => {}
        }
        begins
    }

    fn may_begin(&mut self, command: Command, now: Moment) -> bool {
        let due = self.again.get(&command).is_none_or(|at| now >= *at);
        due && self.asked(command, now)
    }

    /// A run is over, or could not begin.
    pub fn ended(&mut self, command: Command, got_through: bool, now: Moment) {
        self.under_way.remove(&command);
        // What got through is begun again at once if it is asked for anew: a second outage does not wait.
        if !got_through {
            self.again.insert(command, now.plus(AGAIN));
            if command == Command::Shutdown {
                self.watch.stops(None);
            }
        }
    }

    /// Goes by what the runs before took.
    pub fn learn(&mut self, runs: &[PastRun]) {
        self.learned = eta::budget(runs, Command::Shutdown);
    }
}

/// Whether the daemon begins a start-up where power asked for the last one, when mains are back. A start-up that came to its
/// end has told a person what it needs; one that died, or met an outage, is gone on with.
pub fn is_start_owed(known: Known<'_>) -> bool {
    if !known.intent.is_some_and(|intent| intent.state == IntentState::StartupInProgress) {
        return true;
    }
    known.progress.is_some_and(|progress| match progress.outcome {
        None | Some(Outcome::Refused | Outcome::Yielded | Outcome::Interrupted) => progress.command == Command::Startup,
        Some(Outcome::Done | Outcome::Manual | Outcome::Failed) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{NodeName, RunId, UnitName};
    use crate::power::UpsSpec;
    use crate::report::SCHEMA;
    use crate::spec::{NodeRole, NodeSpec};

    const UPS: &str = "rack@h";

    /// One node on one UPS.
    struct Site {
        spec: Spec,
        duty: Duty,
        now: Moment,
        intent: Option<Intent>,
        outcome: Option<Outcome>,
        paused: bool,
    }

    fn run() -> RunId {
        RunId::parse("run-1").unwrap()
    }

    impl Site {
        fn new() -> Self {
            let node = NodeSpec::new(NodeRole::Worker, UnitName::parse("k3s").unwrap(), "h");
            let mut spec = Spec::new("titan-db", [(NodeName::parse("n1").unwrap(), node)].into());
            spec.power.upses = vec![UpsSpec::feeding_all(UPS.into())];
            let now = Moment::from_millis(1_773_453_971_000);
            Self { spec, duty: Duty::default(), now, intent: None, outcome: None, paused: false }
        }

        /// The UPS says this for so many seconds; what was owed on the way, and when.
        fn lives(&mut self, status: &str, charge: u8, seconds: u64) -> String {
            let mut owed = Vec::new();
            for second in 1..=seconds {
                self.now = self.now.plus(Duration::from_secs(1));
                let words = status.split(' ').map(Into::into).collect();
                let reading = UpsReading { status: words, charge_percent: Some(charge), runtime: None };
                self.duty.take(&UPS.into(), Some(reading), &self.spec.power, self.now);
                self.duty.count(&self.spec, self.now);
                match self.owed() {
                    Demand::Nothing => {}
                    // Nothing booted behind the shutdown.
                    Demand::Look { .. } if status != "OL" => {
                        self.duty.looked(&self.spec.power, self.now, &HostsFound::default());
                    }
                    Demand::Look { .. } => owed.push(format!("{second} look")),
                    Demand::ShutDown { .. } => owed.push(format!("{second} shut down")),
                    Demand::Wait { .. } if owed.last().is_some_and(|last: &String| last.ends_with("wait")) => {}
                    Demand::Wait { .. } => owed.push(format!("{second} wait")),
                    Demand::StartUp { .. } => owed.push(format!("{second} start up")),
                    Demand::HoldDown { .. } => owed.push(format!("{second} hold down")),
                }
            }
            owed.join("; ")
        }

        fn owed(&mut self) -> Demand {
            let progress = Progress {
                schema: SCHEMA,
                run: run(),
                command: Command::Startup,
                dry_run: false,
                started: self.now,
                updated: self.now,
                outcome: self.outcome,
                remaining: None,
                gates: Vec::new(),
                actions: Vec::new(),
                earlier: Vec::new(),
                reboots: Vec::new(),
                proofs_from: None,
            };
            let known = Known { intent: self.intent.as_ref(), progress: Some(&progress), paused: self.paused };
            self.duty.owed(&self.spec, known, self.now)
        }

        fn wants(&mut self, state: IntentState) {
            self.intent =
                Some(Intent { state, run: run(), at: self.now, reason: "battery".to_owned(), by_power: true, of: None });
        }
    }

    #[test]
    fn a_run_is_owed_once_and_again_when_it_failed_or_is_asked_for_anew() {
        let mut site = Site::new();
        assert_eq!(site.lives("OL", 100, 60), "");
        assert_eq!(site.lives("OB", 15, 60), "16 shut down");
        site.duty.ended(Command::Shutdown, false, site.now);
        assert_eq!(site.lives("OB", 15, 60), "30 shut down", "not at once");
        site.duty.ended(Command::Shutdown, true, site.now);
        assert_eq!(site.lives("OB", 15, 60), "1 shut down", "it got through, and is asked for anew");
        site.wants(IntentState::ShutdownComplete);
        site.duty.ended(Command::Shutdown, true, site.now);
        assert_eq!(site.lives("OB", 15, 60), "");
        assert_eq!(site.lives("OL", 90, 200), "121 start up");
        site.wants(IntentState::StartupInProgress);
        assert_eq!(site.lives("OB", 15, 60), "16 shut down", "it does not wait for the start-up");
    }

    #[test]
    fn no_start_up_begins_beside_a_shutdown() {
        let mut site = Site::new();
        assert_eq!(site.lives("OB", 15, 60), "16 shut down");
        site.wants(IntentState::ShuttingDown);
        assert_eq!(site.lives("OL", 90, 200), "");
        site.duty.ended(Command::Shutdown, false, site.now);
        assert_eq!(site.lives("OL", 90, 1), "1 start up", "it came to nothing, and mains are back");
    }

    #[test]
    fn a_cluster_that_is_down_and_had_mains_since_is_stopped_again() {
        let mut site = Site::new();
        assert_eq!(site.lives("OB", 15, 20), "16 shut down");
        site.wants(IntentState::ShutdownComplete);
        site.duty.ended(Command::Shutdown, true, site.now);
        assert_eq!(site.lives("OB", 10, 60), "");
        assert_eq!(site.lives("OL", 15, 60), "");
        assert_eq!(site.lives("OB", 15, 60), "16 shut down", "hosts may have booted by themselves");
    }

    #[test]
    fn mains_that_come_back_while_the_cluster_is_stopped_may_boot_hosts_after_it() {
        let mut site = Site::new();
        assert_eq!(site.lives("OB", 15, 20), "16 shut down");
        site.wants(IntentState::ShuttingDown);
        assert_eq!(site.lives("OL", 15, 20), "");
        site.wants(IntentState::ShutdownComplete);
        site.duty.ended(Command::Shutdown, true, site.now);
        assert_eq!(site.lives("OB", 15, 60), "16 shut down");
    }

    #[test]
    fn hosts_that_boot_behind_a_shutdown_are_stopped_too() {
        let mut site = Site::new();
        assert_eq!(site.lives("OB", 15, 20), "16 shut down");
        site.wants(IntentState::ShutdownComplete);
        site.duty.ended(Command::Shutdown, true, site.now);
        assert_eq!(site.lives("OB", 15, 60), "");
        site.duty.looked(&site.spec.power, site.now, &found(true, false));
        assert_eq!(site.lives("OB", 15, 60), "1 shut down");
    }

    /// Its guards hold it, and the intent says what the shutdown left; but somebody may have switched hosts on for it.
    #[test]
    fn a_start_up_that_has_not_begun_its_work_hides_nobody_who_boots() {
        let mut site = Site::new();
        site.lives("OL", 90, 30);
        assert_eq!(site.lives("FSD OL", 90, 30), "1 shut down");
        site.wants(IntentState::ShutdownComplete);
        site.duty.ended(Command::Shutdown, true, site.now);
        assert_eq!(site.lives("OL", 90, 100), "61 start up");
        assert_eq!(site.lives("OB", 15, 60), "16 shut down");
    }

    #[test]
    fn a_word_that_stands_stops_the_cluster_once() {
        let mut site = Site::new();
        site.lives("OL", 90, 30);
        assert_eq!(site.lives("FSD OL", 90, 30), "1 shut down");
        site.wants(IntentState::ShutdownComplete);
        site.duty.ended(Command::Shutdown, true, site.now);
        assert_eq!(site.lives("FSD OL", 90, 300), "121 wait", "for a person");
    }

    #[test]
    fn a_word_that_stands_on_mains_stops_nothing_any_more_and_waits_for_a_person() {
        let mut site = Site::new();
        site.lives("OL", 90, 30);
        assert_eq!(site.lives("FSD OL", 90, 30), "1 shut down");
        site.wants(IntentState::ShutdownComplete);
        site.duty.ended(Command::Shutdown, true, site.now);
        let boots = |site: &mut Site| {
            site.duty.looked(&site.spec.power, site.now, &found(true, false));
            site.lives("FSD OL", 90, 40)
        };
        assert_eq!(boots(&mut site), "1 shut down", "its power may still be cut");
        site.duty.ended(Command::Shutdown, true, site.now);
        assert_eq!(site.lives("FSD OL", 90, 80), "");
        assert_eq!(boots(&mut site), "1 wait", "mains are back for good");
        assert_eq!(site.duty.states(&site.spec.power, site.now).get(UPS), Some(&UpsState::Latched));
        assert_eq!(site.lives("OL", 90, 1), "1 start up", "upsd was restarted");
    }

    #[test]
    fn a_start_up_that_died_or_met_an_outage_is_owed_and_one_that_told_a_person_is_not() {
        for (outcome, owed) in [
            (None, "121 start up"),
            (Some(Outcome::Refused), "121 start up"),
            (Some(Outcome::Yielded), "121 start up"),
            (Some(Outcome::Interrupted), "121 start up"),
            (Some(Outcome::Done), ""),
            (Some(Outcome::Manual), ""),
            (Some(Outcome::Failed), ""),
        ] {
            let mut site = Site::new();
            site.wants(IntentState::StartupInProgress);
            site.outcome = outcome;
            assert_eq!(site.lives("OL", 90, 200), owed, "{outcome:?}");
        }
    }

    #[test]
    fn a_pause_holds_both_back_and_hides_nothing() {
        let mut site = Site::new();
        site.paused = true;
        assert_eq!(site.lives("OB", 15, 60), "");
        site.wants(IntentState::ShutdownComplete);
        assert_eq!(site.lives("OL", 90, 200), "");
        site.spec.power.outages = 1;
        assert!(matches!(site.owed(), Demand::HoldDown { .. }));
        (site.spec.power.outages, site.paused) = (3, false);
        assert_eq!(site.lives("OL", 90, 1), "1 start up");
    }

    /// After this outage the hosts are looked at; then it goes on for so long.
    fn after_a_look(outage: u64, found: &HostsFound, seconds: u64) -> String {
        let mut site = Site::new();
        site.lives("OL", 100, 30);
        site.lives("OB", 100, outage);
        assert_eq!(site.lives("OL", 100, 130), "121 look");
        site.duty.looked(&site.spec.power, site.now, found);
        site.lives("OL", 100, seconds)
    }

    fn found(booted: bool, silent: bool) -> HostsFound {
        let host = |there: bool| there.then(|| NodeName::parse("n1").unwrap()).into_iter().collect();
        HostsFound { booted: host(booted), silent: host(silent) }
    }

    #[test]
    fn a_start_up_is_owed_to_hosts_that_lost_their_power_though_nobody_stopped_the_cluster() {
        assert_eq!(after_a_look(60, &found(false, false), 300), "");
        assert_eq!(after_a_look(60, &found(true, false), 300), "1 start up");
        assert_eq!(after_a_look(60, &found(false, true), 300), "1 start up");
        assert_eq!(after_a_look(5, &found(true, false), 300), "1 start up", "the battery was dead");
        assert_eq!(after_a_look(5, &found(false, true), 300), "", "it was silent before the blip");
    }

    #[test]
    fn what_was_found_is_owed_after_a_pause_and_until_something_begins_for_it() {
        let mut site = Site::new();
        site.paused = true;
        site.lives("OB", 15, 60);
        assert_eq!(site.lives("OL", 100, 300), "", "a person holds it back");
        site.paused = false;
        assert_eq!(site.lives("OL", 100, 10), "1 look");
        site.duty.looked(&site.spec.power, site.now, &found(true, false));
        site.paused = true;
        assert_eq!(site.lives("OL", 100, 10), "");
        site.paused = false;
        assert_eq!(site.lives("OL", 10, 10), "1 wait", "not charged");
        assert_eq!(site.lives("OL", 100, 10), "1 start up");
        site.duty.ended(Command::Startup, false, site.now);
        assert_eq!(site.lives("OL", 100, 60), "30 start up", "it could not begin");
        site.wants(IntentState::StartupInProgress);
        site.outcome = Some(Outcome::Failed);
        site.duty.ended(Command::Startup, false, site.now);
        assert_eq!(site.lives("OL", 100, 300), "", "it has told a person");
        assert_eq!(site.duty.watch().unsettled(), None);
    }

    #[test]
    fn hosts_are_left_alone_where_a_person_stopped_the_cluster_or_a_start_up_has_begun_since() {
        let mut site = Site::new();
        site.wants(IntentState::Normal);
        site.lives("OB", 100, 60);
        site.lives("OL", 100, 10);
        site.wants(IntentState::StartupInProgress);
        site.outcome = Some(Outcome::Failed);
        assert_eq!(site.lives("OL", 100, 300), "");
        site.lives("OB", 100, 60);
        site.wants(IntentState::ShutdownComplete);
        site.intent.as_mut().unwrap().by_power = false;
        assert_eq!(site.lives("OL", 100, 300), "");
    }

    #[test]
    fn a_daemon_that_died_looks_when_it_is_back_and_what_mains_do_meanwhile_needs_another_look() {
        let mut site = Site::new();
        site.lives("OB", 100, 60);
        site.duty = Duty::with_outages(site.duty.watch().outages().to_vec(), site.duty.watch().unsettled());
        assert_eq!(site.lives("OL", 100, 150), "121 look");
        let began = site.now;
        site.lives("OB", 100, 5);
        site.lives("OL", 100, 5);
        site.duty.looked(&site.spec.power, began, &found(false, false));
        assert_eq!(site.lives("OL", 100, 150), "116 look");
    }

    #[test]
    fn what_must_be_left_is_learned_from_the_shutdowns_before() {
        let mut site = Site::new();
        let reserve = |site: &Site| site.duty.reserve(&site.spec.power).as_secs();
        assert_eq!(reserve(&site), 600);
        let (started, gates) = (site.now, BTreeMap::new());
        let outcome = Outcome::Done;
        let past = PastRun { schema: SCHEMA, run: run(), command: Command::Shutdown, started, outcome, seconds: 400, gates };
        site.duty.learn(&[past]);
        assert_eq!((reserve(&site), site.duty.budget(&site.spec.power).as_secs()), (800, 400));
    }
}
