//! What power asks for, done: the shutdown on battery, and the start-up when mains are back.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::engine;
use ananke_core::intent::IntentState;
use ananke_core::name::{Moment, human};
use ananke_core::observation::UpsReading;
use ananke_core::port::{Clock, PeerRequest, PortError, StateReads, UpsReads};
use ananke_core::power::{Demand, Duty, HostsFound, Known, Pause, UNLATCH, UpsState, hosts_found};
use ananke_core::report::{Command, Outcome, Report};
use ananke_core::spec::{Role, Spec};
use futures::future::{Either, LocalBoxFuture, join_all, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use super::board::{Board, Look};
use super::own_time::OwnTime;
use super::{End, Ending, Stop, for_shutdown, fresh, peer, unless};
use crate::clock::SystemClock;
use crate::commands::walk;
use crate::config::Loaded;
use crate::state::emergency::ASIDE;
use crate::state::lock::{LockError, describe};
use crate::wire::{Adapters, Failure};

/// Between two looks at the batteries.
const LOOK: Duration = Duration::from_secs(1);

/// A run of this daemon, until it ends.
type Run<'a> = LocalBoxFuture<'a, (Command, Result<Came, Failure>)>;

/// What came of what was to be done.
pub(super) enum Came {
    Ran(Box<Report>),
    /// Another Ananke does it.
    Elsewhere(String),
    /// Not now; it stays owed.
    NotYet(String),
    /// The hosts were looked at, from then on.
    Looked(Moment, HostsFound),
}

impl Came {
    pub(super) fn ran(report: Report) -> Self {
        Self::Ran(Box::new(report))
    }

    pub(super) fn stopped() -> Self {
        Self::NotYet("this daemon stops".to_owned())
    }
}

/// Looks at every UPS and does what follows, until the end; what was seen by then. Without a UPS and
/// without another Ananke there is nothing to do.
pub(super) async fn watch(
    (loaded, adapters): (&Loaded, &Adapters),
    duty: Duty,
    board: &Board,
    stop: &Stop,
    mut end: Ending<'_>,
) -> Duty {
    let spec = &loaded.spec;
    if spec.power.upses.is_empty() && spec.peers.is_empty() {
        end.await;
        return duty;
    }
    let mut keeper = Keeper::new((loaded, adapters), duty, board, stop);
    keeper.learn().await;
    let names: Vec<&str> = spec.power.upses.iter().map(|ups| &*ups.name).chain(spec.peers.iter().map(|peer| &**peer)).collect();
    keeper.say(keeper.time.now(), "watches power", &names.join(", "));
    let mut ended = None;
    // A new config waits for the runs that are under way, and the batteries are watched meanwhile.
    while ended.is_none() || ended == Some(End::Reload) && !keeper.running.is_empty() {
        let step = std::pin::pin!(keeper.step());
        if ended.is_some() {
            step.await;
        } else if let Either::Right((why, _)) = select(step, &mut end).await {
            ended = Some(why);
        }
    }
    // They hear the same signal, and end between two actions.
    while keeper.running.next().await.is_some() {}
    keeper.duty
}

struct Keeper<'a> {
    loaded: &'a Loaded,
    spec: &'a Spec,
    adapters: &'a Adapters,
    duty: Duty,
    time: OwnTime,
    board: &'a Board,
    running: FuturesUnordered<Run<'a>>,
    told: BTreeMap<Arc<str>, String>,
    holding: Option<String>,
    /// What the start-up that is owed waits for, as last told.
    awaited: Option<String>,
    paused: Option<Pause>,
    /// Why the start-up or the shutdown that is owed does not begin, as last told.
    waiting: BTreeMap<Command, String>,
    /// Since when hosts may have lost their power, as it is on disk.
    unsettled: Option<Moment>,
    /// What power says meanwhile, for a shutdown that was handed on.
    wants: Rc<Cell<peer::Wants>>,
    /// Logins that upsd refused at the last look, by the UPS.
    refused: BTreeMap<String, PortError>,
    stop: Stop,
}

impl<'a> Keeper<'a> {
    fn new((loaded, adapters): (&'a Loaded, &'a Adapters), duty: Duty, board: &'a Board, stop: &Stop) -> Self {
        Self {
            loaded,
            spec: &loaded.spec,
            adapters,
            unsettled: duty.watch().unsettled(),
            duty,
            time: OwnTime::new(adapters.clock.steady()),
            board,
            running: FuturesUnordered::new(),
            told: BTreeMap::new(),
            holding: None,
            awaited: None,
            paused: None,
            waiting: BTreeMap::new(),
            wants: Rc::default(),
            refused: BTreeMap::new(),
            stop: stop.clone(),
        }
    }

    fn say(&self, at: Moment, what: &str, text: &str) {
        super::say(self.time.on_the_wall(at), what, text);
    }

    /// One look, what follows, and a pause in which the runs go on.
    async fn step(&mut self) {
        let looks = self.spec.power.upses.iter().map(|ups| async { (ups.name.clone(), self.adapters.ups.read(&ups.name).await) });
        let looks: Vec<(Arc<str>, Result<_, PortError>)> = self.beside(join_all(looks)).await;
        let now = self.time.now();
        let mut unheard = BTreeMap::new();
        for (ups, look) in looks {
            let reading = look.map_err(|error| unheard.insert(ups.clone(), error)).ok();
            self.duty.take(&ups, reading, &self.spec.power, now);
        }
        let counted = self.duty.count(self.spec, now);
        self.note_outages(counted, now);
        self.refused = self.adapters.ups.refused_logins();
        self.tell(&unheard, now);
        self.listen(now).await;
        self.act(now).await;
        self.board.looked(self.look());
        let clock = self.time.clock;
        self.beside(clock.sleep_until(now.plus(LOOK))).await;
    }

    /// What the next daemon goes on with.
    fn note_outages(&mut self, counted: bool, now: Moment) {
        let (outages, unsettled) = (self.duty.watch().outages(), self.duty.watch().unsettled());
        if counted {
            self.say(now, "outage", &format!("number {} within {}", outages.len(), human(self.spec.power.outage_window)));
        }
        if counted || self.unsettled != unsettled {
            self.unsettled = unsettled;
            let wall = |at: &Moment| self.time.on_the_wall(*at);
            let (outages, unsettled): (Vec<Moment>, _) = (outages.iter().map(wall).collect(), unsettled.as_ref().map(wall));
            if let Err(error) = self.adapters.state.save_outages(&outages, unsettled) {
                self.say(now, "failed", &format!("the outage cannot be noted: {error}"));
            }
        }
    }

    fn look(&self) -> Look<'_> {
        let (holding, paused, spec) = (self.holding.as_ref(), self.paused.as_ref(), &self.spec.power);
        Look { watch: self.duty.watch(), spec, reserve: self.duty.reserve(spec), refused: &self.refused, holding, paused }
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
        self.duty.learn(&self.adapters.state.runs().await.unwrap_or_default());
    }

    /// What changed since it was last told.
    fn tell(&mut self, unheard: &BTreeMap<Arc<str>, PortError>, now: Moment) {
        for (ups, state) in self.duty.states(&self.spec.power, now) {
            let reading = self.duty.watch().ups(&ups).and_then(|ups| ups.newest());
            let status = reading.map_or_else(|| "no reading yet".to_owned(), |reading| reading.status.join(" "));
            let text = match (&state, unheard.get(&ups)) {
                (UpsState::Critical { .. }, None) => format!("critical ({status})"),
                (_, Some(error)) => {
                    format!("not heard: {error}{}; it last said {status}", remedy(error))
                }
                (UpsState::Line { .. }, None) => format!("on line ({status}){}", worries(reading)),
                (UpsState::Wavers { .. }, None) => format!("wavers ({status})"),
                (UpsState::Calibrates { .. }, None) => format!("calibrates its battery ({status})"),
                (UpsState::Battery { .. }, None) => format!("on battery ({status})"),
                (UpsState::Latched, None) => format!("mains are there, and FSD still stands ({status}): {UNLATCH}"),
                (UpsState::Lost { .. } | UpsState::Unknown, None) => format!("unclear ({status}){}", worries(reading)),
            };
            let login = self.refused.get(&*ups).filter(|_| !unheard.contains_key(&ups));
            let login = login.map(|why| format!("; nobody waits for us: {why}{}", remedy(why))).unwrap_or_default();
            let text = text + &login;
            if self.told.get(&ups) != Some(&text) {
                self.say(now, &format!("UPS {ups}"), &text);
                self.told.insert(ups, text);
            }
        }
    }

    /// Takes what another Ananke asks for.
    async fn listen(&mut self, now: Moment) {
        let request = self.adapters.state.take_request(SystemClock::start().now());
        let taken = match request {
            Ok(None) => return,
            Ok(Some(PeerRequest::Startup)) => peer::owe_startup(self.adapters, self.spec).await,
            Ok(Some(PeerRequest::Shutdown { within })) => {
                if self.duty.asked(Command::Shutdown, now) {
                    // Whose batteries tell nothing gets what a shutdown takes, and no more.
                    let within = within.unwrap_or_else(|| self.duty.budget(&self.spec.power));
                    self.shut_down("another Ananke asks for it: its power ends".to_owned(), within, true, now);
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            self.say(now, "failed", &format!("what another Ananke asks for: {error}"));
        }
    }

    /// Whether power asks for a shutdown, whatever is under way for it.
    fn wants(&self, now: Moment) -> peer::Wants {
        let power = &self.spec.power;
        let demand = self.duty.watch().demand(self.spec, self.duty.reserve(power), None, now);
        let states = self.duty.states(power, now);
        let is_back = states.values().all(|state| matches!(state, UpsState::Line { .. } | UpsState::Latched));
        peer::Wants { asks: matches!(demand, Demand::ShutDown { .. }), is_back }
    }

    async fn act(&mut self, now: Moment) {
        self.wants.set(self.wants(now));
        if self.wants.get().is_back {
            // Of another outage it is told again.
            self.waiting.remove(&Command::Shutdown);
        }
        // What cannot be read may say anything: nothing is started, and a shutdown does not wait for it.
        let left = self.adapters.state.adopt(Path::new(ASIDE)).await;
        let known = if left.is_none() { self.adapters.state.intent().await.unwrap_or_default() } else { left };
        let intent = known.map(|intent| self.time.of(intent));
        let begun = intent.as_ref().is_some_and(|intent| intent.state == IntentState::StartupInProgress);
        let progress = if begun { self.adapters.state.progress().await.ok().flatten() } else { None };
        // A primary that was told to switch off waits for whoever is logged in.
        self.adapters.ups.is_done(intent.as_ref().is_some_and(|intent| intent.state == IntentState::ShutdownComplete));
        let known = Known { intent: intent.as_ref(), progress: progress.as_ref(), paused: self.is_paused(now) };
        let demand = self.duty.owed(self.spec, known, now);
        let holding = match &demand {
            Demand::HoldDown { why, instruction } => Some(format!("{why}; {instruction}")),
            Demand::Nothing | Demand::Look { .. } | Demand::ShutDown { .. } | Demand::Wait { .. } | Demand::StartUp { .. } => {
                None
            }
        };
        if holding.is_some() && self.holding != holding {
            self.say(now, "A PERSON IS NEEDED", holding.as_deref().unwrap_or_default());
        }
        self.holding = holding;
        let awaited = if let Demand::Wait { what } = &demand { Some(what.clone()) } else { None };
        if let Some(what) = awaited.as_ref().filter(|_| self.awaited != awaited) {
            self.say(now, "start-up waits", what);
            self.board.waits(Command::Startup, what);
        }
        self.awaited = awaited;
        match demand {
            Demand::Nothing | Demand::Wait { .. } | Demand::HoldDown { .. } => {}
            Demand::Look { since } => self.look_at_hosts(since),
            Demand::ShutDown { why, within } => self.shut_down(why, within, false, now),
            Demand::StartUp { why } => self.start_up(why, now),
        }
    }

    /// By a person; told when it begins and when it is over.
    fn is_paused(&mut self, now: Moment) -> bool {
        // Its times are of the wall clock, which may have been set since the daemon started.
        let wall = SystemClock::start().now();
        let paused = self.adapters.state.pause().unwrap_or_default().filter(|pause| pause.holds(wall));
        if paused != self.paused {
            match &paused {
                Some(pause) => self.say(now, "paused", &format!("until {}: {}", pause.until, pause.reason)),
                None => self.say(now, "goes on", "the pause is over"),
            }
            self.paused = paused;
        }
        self.paused.is_some()
    }

    /// A peer hands it on, unless it was asked itself.
    fn shut_down(&mut self, why: String, within: Duration, asked: bool, now: Moment) {
        let hand_on = !asked && self.is_peer();
        if !self.waiting.contains_key(&Command::Shutdown) {
            let why = if within.is_zero() {
                format!("{why}; it cannot wait for anything")
            } else {
                format!("{why}; {} for it", human(within))
            };
            self.say(now, if hand_on { "asks for a shutdown" } else { "shuts down" }, &why);
            self.board.begins(Command::Shutdown, &why);
        }
        let (loaded, daemon, spec, wants) = (self.loaded, self.adapters, self.spec.for_power(within), Rc::clone(&self.wants));
        let stop = self.stop.clone();
        let run = async move {
            if hand_on {
                return peer::shut_down((loaded, daemon), &why, within, &wants, &stop).await;
            }
            let adapters = for_shutdown(loaded, daemon).await?;
            walk::shut_down(spec, &adapters, &why, true, stop.boxed()).await.map(Came::ran)
        };
        self.running.push(run.map(|ended| (Command::Shutdown, ended)).boxed_local());
    }

    fn start_up(&mut self, why: String, now: Moment) {
        let hand_on = self.is_peer();
        if !self.waiting.contains_key(&Command::Startup) {
            self.say(now, if hand_on { "asks for a start-up" } else { "starts up" }, &why);
            self.board.begins(Command::Startup, &why);
        }
        let (loaded, daemon, spec, stop) = (self.loaded, self.adapters, self.duty.for_start(self.spec), self.stop.clone());
        let run = async move {
            if hand_on {
                return peer::start_up((loaded, daemon), &why, &stop).await;
            }
            let adapters = fresh(loaded, daemon).await?;
            let Some(kept_down) = unless(&stop, peer::kept_down(&adapters, &spec)).await else { return Ok(Came::stopped()) };
            if let Some(why) = kept_down? {
                return Ok(Came::NotYet(why));
            }
            walk::start_up(engine::startup_plan(), spec, &adapters, Some(&why), stop.boxed()).await.map(Came::ran)
        };
        self.running.push(run.map(|ended| (Command::Startup, ended)).boxed_local());
    }

    /// Whether they have lost their power.
    fn look_at_hosts(&mut self, since: Moment) {
        let (hosts, clock, spec) = (self.adapters.reads().hosts, self.time.clock, self.spec);
        let look = async move {
            let began = clock.now();
            Ok(Came::Looked(began, hosts_found(hosts, &clock, spec, since).await))
        };
        self.running.push(look.map(|ended| (Command::Status, ended)).boxed_local());
    }

    /// Another Ananke comes first.
    fn is_peer(&self) -> bool {
        matches!(self.spec.role, Role::Peer { .. }) && !self.spec.peers.is_empty()
    }

    fn ended(&mut self, command: Command, ended: Result<Came, Failure>) {
        let now = self.time.now();
        if let Ok(Came::Looked(began, found)) = &ended {
            let losses = self.duty.looked(&self.spec.power, *began, found).map(str::to_owned);
            if let Some(losses) = losses {
                self.say(now, "power was lost", &format!("{losses}; a start-up is owed"));
            }
            return;
        }
        // One that goes on already is seen to.
        let ended = match ended {
            Err(Failure::Lock(LockError::Held { holder, .. })) => {
                Ok(Came::NotYet(format!("{} goes on", describe(holder.as_ref()))))
            }
            ended => ended,
        };
        let got_through = matches!(&ended, Ok(Came::Ran(report)) if report.got_through());
        self.duty.ended(command, got_through, now);
        let what = match command {
            Command::Shutdown => "shutdown",
            Command::Startup | Command::Status => "start-up",
        };
        let waiting = match &ended {
            Ok(Came::Elsewhere(text) | Came::NotYet(text)) => Some(text.clone()),
            Ok(Came::Ran(_) | Came::Looked(..)) | Err(_) => None,
        };
        let told = match &waiting {
            Some(text) => self.waiting.insert(command, text.clone()),
            None => self.waiting.remove(&command),
        };
        if told != waiting || waiting.is_none() {
            self.board.ended(command, &ended);
        }
        match ended {
            Ok(Came::Elsewhere(text)) if told != waiting => self.say(now, what, &text),
            Ok(Came::NotYet(text)) if told != waiting => self.say(now, &format!("{what} waits"), &text),
            Ok(Came::Elsewhere(_) | Came::NotYet(_) | Came::Looked(..)) => {}
            Ok(Came::Ran(report)) => {
                self.say(now, &format!("{what} ended"), &format!("{}, after {}", outcome(report.outcome), human(report.took)));
                for action in &report.manual {
                    self.say(now, "A PERSON IS NEEDED", &format!("{}: {}", action.subject, action.instruction));
                }
            }
            Err(failure) => self.say(now, "failed", &format!("the {what} could not begin: {failure}")),
        }
    }
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

fn remedy(error: &PortError) -> String {
    error.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default()
}

fn worries(reading: Option<&UpsReading>) -> String {
    let worries = reading.map(UpsReading::worries).unwrap_or_default();
    worries.iter().map(|worry| format!("; it {worry}")).collect()
}
