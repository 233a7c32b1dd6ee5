//! What power asks for, done: the shutdown on battery, and the start-up when mains are back.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::engine;
use ananke_core::eta;
use ananke_core::intent::{Intent, IntentState};
use ananke_core::name::{Moment, human};
use ananke_core::observation::UpsReading;
use ananke_core::port::{Clock, PortError, StateReads, UpsReads};
use ananke_core::power::{Demand, Pause, PowerWatch, UpsState};
use ananke_core::report::{Command, Outcome, Report};
use ananke_core::spec::Spec;
use futures::future::{Either, LocalBoxFuture, join_all, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use super::board::{Board, Look};
use super::{Stop, say};
use crate::clock::SystemClock;
use crate::commands::walk;
use crate::config::Loaded;
use crate::state::StateDir;
use crate::wire::{Adapters, Failure};

/// Between two looks at the batteries.
const LOOK: Duration = Duration::from_secs(1);
/// What could not be begun, or failed while it is still asked for, is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// A run of this daemon, until it ends.
type Run<'a> = LocalBoxFuture<'a, (Command, Result<Report, Failure>)>;

/// Looks at every UPS and does what follows, until `stop`. Without a UPS there is nothing to do.
pub(super) async fn watch(loaded: &Loaded, adapters: &Adapters, board: &Board, mut stop: Stop) {
    let spec = &loaded.spec;
    if spec.power.upses.is_empty() {
        return;
    }
    let mut keeper = Keeper::new(loaded, adapters, board);
    keeper.learn().await;
    say(keeper.now(), "watches power", &spec.power.upses.iter().map(|ups| &*ups.name).collect::<Vec<_>>().join(", "));
    loop {
        let step = std::pin::pin!(keeper.step());
        if let Either::Right(_) = select(step, &mut stop).await {
            break;
        }
    }
    // They are told to stop by the same signal, and end between two actions.
    while keeper.running.next().await.is_some() {}
}

struct Keeper<'a> {
    loaded: &'a Loaded,
    spec: &'a Spec,
    adapters: &'a Adapters,
    board: &'a Board,
    watch: PowerWatch,
    /// What a shutdown takes, as it was when the daemon started or its last run ended.
    budget: Option<Duration>,
    running: FuturesUnordered<Run<'a>>,
    /// The commands of those runs.
    under_way: BTreeSet<Command>,
    told: BTreeMap<Arc<str>, String>,
    holding: Option<String>,
    paused: Option<Pause>,
    /// When either run may be begun next.
    again: BTreeMap<Command, Moment>,
}

impl<'a> Keeper<'a> {
    fn new(loaded: &'a Loaded, adapters: &'a Adapters, board: &'a Board) -> Self {
        Self {
            loaded,
            spec: &loaded.spec,
            adapters,
            board,
            watch: PowerWatch::with_outages(adapters.state.outages().unwrap_or_default()),
            budget: None,
            running: FuturesUnordered::new(),
            under_way: BTreeSet::new(),
            told: BTreeMap::new(),
            holding: None,
            paused: None,
            again: BTreeMap::new(),
        }
    }

    /// Our own clock, which nobody sets back.
    fn now(&self) -> Moment {
        self.adapters.clock.now()
    }

    /// One look, what follows, and a pause in which the runs go on.
    async fn step(&mut self) {
        let looks = self.spec.power.upses.iter().map(|ups| async { (ups.name.clone(), self.adapters.ups.read(&ups.name).await) });
        let looks: Vec<(Arc<str>, Result<_, PortError>)> = self.beside(join_all(looks)).await;
        let now = self.now();
        let mut unheard = BTreeMap::new();
        for (ups, look) in looks {
            let reading = look.map_err(|error| unheard.insert(ups.clone(), error)).ok();
            self.watch.take(&ups, reading, &self.spec.power, now);
        }
        let reserve = self.spec.power.reserve(self.budget);
        if self.watch.count(&self.spec.power, reserve, now) {
            if let Err(error) = self.adapters.state.save_outages(self.watch.outages()) {
                say(now, "failed", &format!("the outage cannot be noted: {error}"));
            }
            say(now, "outage", &format!("number {} within {}", self.watch.outages().len(), human(self.spec.power.outage_window)));
        }
        self.tell(&unheard, reserve, now);
        self.act(reserve, now).await;
        self.board.looked(self.look(reserve));
        let clock = self.adapters.clock;
        self.beside(clock.sleep_until(now.plus(LOOK))).await;
    }

    fn look(&self, reserve: Duration) -> Look<'_> {
        let (holding, paused) = (self.holding.as_ref(), self.paused.as_ref());
        Look { watch: &self.watch, spec: &self.spec.power, reserve, holding, paused }
    }

    /// Awaits `work` while the runs go on.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        while !self.running.is_empty() {
            match select(work, self.running.next()).await {
                Either::Left((done, _)) => return done,
                Either::Right((ended, rest)) => {
                    work = rest;
                    if let Some((command, ended)) = ended {
                        self.ended(command, ended);
                        self.learn().await;
                    }
                }
            }
        }
        work.await
    }

    async fn learn(&mut self) {
        let runs = self.adapters.state.runs().await.unwrap_or_default();
        self.budget = eta::budget(&runs, Command::Shutdown);
    }

    /// What changed since it was last told.
    fn tell(&mut self, unheard: &BTreeMap<Arc<str>, PortError>, reserve: Duration, now: Moment) {
        for (ups, state) in self.watch.states(&self.spec.power, reserve, now) {
            let reading = self.watch.ups(&ups).and_then(|ups| ups.newest());
            let status = reading.map_or_else(|| "no reading yet".to_owned(), |reading| reading.status.join(" "));
            let text = match (&state, unheard.get(&ups)) {
                (UpsState::Critical { .. }, None) => format!("critical ({status})"),
                (_, Some(error)) => {
                    let remedy = error.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
                    format!("not heard: {error}{remedy}; it last said {status}")
                }
                (UpsState::Line { .. }, None) => format!("on line ({status}){}", worries(reading)),
                (UpsState::Wavers { .. }, None) => format!("wavers ({status})"),
                (UpsState::Calibrates { .. }, None) => format!("calibrates its battery ({status})"),
                (UpsState::Battery { .. }, None) => format!("on battery ({status})"),
                (UpsState::Latched, None) => format!("mains are there, and FSD still stands ({status}): restart its NUT driver"),
                (UpsState::Lost { .. } | UpsState::Unknown, None) => format!("unclear ({status}){}", worries(reading)),
            };
            if self.told.get(&ups) != Some(&text) {
                say(now, &format!("UPS {ups}"), &text);
                self.told.insert(ups, text);
            }
        }
    }

    async fn act(&mut self, reserve: Duration, now: Moment) {
        // What cannot be read may say anything: nothing is started, and a shutdown does not wait for it.
        let intent = self.adapters.state.intent().await.unwrap_or_default();
        let demand = self.watch.demand(self.spec, reserve, intent.as_ref(), now);
        let holding = match &demand {
            Demand::HoldDown { why, instruction } => Some(format!("{why}; {instruction}")),
            Demand::Nothing | Demand::ShutDown { .. } | Demand::StartUp { .. } => None,
        };
        if holding.is_some() && self.holding != holding {
            say(now, "A PERSON IS NEEDED", holding.as_deref().unwrap_or_default());
        }
        self.holding = holding;
        if self.is_paused(now) {
            return;
        }
        match demand {
            Demand::Nothing | Demand::HoldDown { .. } => {}
            Demand::ShutDown { why, within } => self.shut_down(why, within, now),
            Demand::StartUp { why } => {
                if self.is_owed(intent.as_ref()).await {
                    self.start_up(why, now);
                }
            }
        }
    }

    /// By a person; told when it begins and when it is over.
    fn is_paused(&mut self, now: Moment) -> bool {
        // Its times are of the wall clock, which may have been set since the daemon started.
        let wall = SystemClock::start().now();
        let paused = self.adapters.state.pause().unwrap_or_default().filter(|pause| pause.holds(wall));
        if paused != self.paused {
            match &paused {
                Some(pause) => say(now, "paused", &format!("until {}: {}", pause.until, pause.reason)),
                None => say(now, "goes on", "the pause is over"),
            }
            self.paused = paused;
        }
        self.paused.is_some()
    }

    fn shut_down(&mut self, why: String, within: Option<Duration>, now: Moment) {
        if !self.may_begin(Command::Shutdown, now) {
            return;
        }
        let left =
            within.map_or_else(|| "nothing tells how long the batteries last".to_owned(), |left| format!("{} left", human(left)));
        say(now, "shuts down", &format!("{why}; {left}"));
        self.board.begins(Command::Shutdown, &format!("{why}; {left}"));
        let (loaded, mut spec) = (self.loaded, self.loaded.spec.clone());
        spec.shutdown.within = within;
        let run = async move { walk::shut_down(spec, &fresh(loaded).await?, &why, true).await };
        self.running.push(run.map(|ended| (Command::Shutdown, ended)).boxed_local());
    }

    fn start_up(&mut self, why: String, now: Moment) {
        if !self.may_begin(Command::Startup, now) {
            return;
        }
        say(now, "starts up", &why);
        self.board.begins(Command::Startup, &why);
        let (loaded, spec) = (self.loaded, self.loaded.spec.clone());
        let run = async move { walk::start_up(engine::startup_plan(), spec, &fresh(loaded).await?, Some(&why)).await };
        self.running.push(run.map(|ended| (Command::Startup, ended)).boxed_local());
    }

    fn may_begin(&mut self, command: Command, now: Moment) -> bool {
        let due = self.again.get(&command).is_none_or(|at| now >= *at);
        due && self.under_way.insert(command)
    }

    /// A start-up that came to its end has told a person what it needs; one that died, or met an outage, is gone on with.
    async fn is_owed(&self, intent: Option<&Intent>) -> bool {
        if !intent.is_some_and(|intent| intent.state == IntentState::StartupInProgress) {
            return true;
        }
        let progress = self.adapters.state.progress().await.ok().flatten();
        progress.is_some_and(|progress| match progress.outcome {
            None | Some(Outcome::Refused | Outcome::Yielded | Outcome::Interrupted) => progress.command == Command::Startup,
            Some(Outcome::Done | Outcome::Manual | Outcome::Failed) => false,
        })
    }

    fn ended(&mut self, command: Command, ended: Result<Report, Failure>) {
        let now = self.now();
        self.under_way.remove(&command);
        self.board.ended(command, &ended);
        // What got through is begun again at once if it is asked for anew: a second outage does not wait.
        if !ended.as_ref().is_ok_and(walk::got_through) {
            self.again.insert(command, now.plus(AGAIN));
        }
        let what = match command {
            Command::Shutdown => "shutdown",
            Command::Startup | Command::Status => "start-up",
        };
        match ended {
            Ok(report) => {
                say(now, &format!("{what} ended"), &format!("{}, after {}", outcome(report.outcome), human(report.took)));
                for action in &report.manual {
                    say(now, "A PERSON IS NEEDED", &format!("{}: {}", action.subject, action.instruction));
                }
            }
            Err(failure) => say(now, "failed", &format!("the {what} could not begin: {failure}")),
        }
    }
}

/// A run has a clock of its own: the wall clock may have been set since the daemon started.
async fn fresh(loaded: &Loaded) -> Result<Adapters, Failure> {
    Ok(Adapters::new(loaded, StateDir::open(&loaded.state_dir)?).await?)
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Manual => "done but for what a person must do",
        Outcome::Failed => "not got through",
        Outcome::Refused => "refused by a guard",
        Outcome::Yielded => "yielded to a shutdown",
        Outcome::Interrupted => "interrupted",
    }
}

fn worries(reading: Option<&UpsReading>) -> String {
    let worries = reading.map(UpsReading::worries).unwrap_or_default();
    worries.iter().map(|worry| format!("; it {worry}")).collect()
}
