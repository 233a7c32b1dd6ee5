//! `daemon`: keeps leases and watches the batteries.
//!
//! What they see and do stands on a board, which is shown over HTTP and told to people (`daemon/board.rs`).
//! The lease keeper looks every minute, at once when it starts, and ends every lease whose time is over. What power asks for
//! is done beside it (`power.rs`): neither waits for the other. SIGHUP has the config read anew.

mod board;
mod metrics;
mod news;
mod own_time;
mod page;
mod peer;
mod power;
mod seen;
mod server;
mod service;
mod show;
#[cfg(test)]
mod testing;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ananke_core::baseline::Baseline;
use ananke_core::engine::keeper::{Keeper, Tick};
use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, Hands, News, Reads};
use ananke_core::name::Moment;
use ananke_core::port::{Clock, StateWrites};
use ananke_core::power::Duty;
use ananke_core::spec::Spec;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, LocalBoxFuture, Shared, join, select};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::board::Board;
use super::layers;
use super::walk::interrupted;
use crate::args;
use crate::clock::SystemClock;
use crate::config::{Loaded, Overrides};
use crate::exit::Exit;
use crate::state::StateDir;
use crate::state::emergency::ASIDE;
use crate::state::lock::{LockError, RunLock};
use crate::terminal;
use crate::wire::{self, Adapters, Failure};

/// Between two sweeps, whatever the keeper asks for: neither a busy loop nor a keeper that sleeps over an expiry.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);
/// A sweep that is under way when it is to stop has this long to get its answers into the records.
const LAST_SWEEP: Duration = Duration::from_secs(10);
/// A look at a cluster that is well takes some seconds; one that takes longer is not.
const HEALTH_LOOK: Duration = Duration::from_secs(25);
/// The layers are read object by object; they wait for tomorrow where the API server is that slow.
const LAYERS: Duration = Duration::from_secs(20);
/// Between two healthy days, between the two looks of one, and after a look at a cluster that is not well.
const DAY: Duration = Duration::from_secs(24 * 3600);
const BETWEEN_LOOKS: Duration = Duration::from_secs(600);
const UNWELL: Duration = Duration::from_secs(3600);
/// More than the clock's own slewing within a minute: somebody set it.
const STEP: Duration = Duration::from_secs(2);

pub(super) async fn run(args: args::Daemon) -> Result<Exit, Failure> {
    let path = &args.config.config;
    let stop = interrupted()?.shared();
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| Failure::Internal(format!("listen for SIGHUP: {error}")))?;
    let (mut loaded, mut adapters) = configured(path).await?;
    let _alone = match RunLock::of_daemons(&adapters.state, adapters.clock.now()) {
        Ok(lock) => Some(lock),
        Err(held @ LockError::Held { .. }) => return Err(held.into()),
        // A disk that cannot be written keeps no daemon from its batteries.
        Err(LockError::Failed(_)) => None,
    };
    let mut duty = remembered(&adapters.state);
    let mut text = "keeps leases and watches power";
    loop {
        service::ready(text);
        let next = RefCell::new(None);
        let renewed = async { *next.borrow_mut() = Some(reloaded(path, &mut hangup).await) };
        let end = async {
            match select(std::pin::pin!(renewed), stop.clone()).await {
                Either::Left(_) => End::Reload,
                Either::Right(_) => {
                    service::stopping();
                    End::Stop
                }
            }
        };
        duty = serve(&loaded, &adapters, duty, &stop, end.boxed_local().shared()).await;
        let Some((new, mut fresh)) = next.take() else { break };
        // What was seen of the batteries is still true, by the clock that it was told by.
        fresh.clock = adapters.clock;
        say(fresh.clock.now(), "reloaded", &format!("the config {} counts from now on", path.display()));
        (loaded, adapters, text) = (new, fresh, "keeps leases and watches power, with the config read anew");
    }
    let now = SystemClock::start().now();
    say(now, "stops", "leases that are outstanding are settled by the next daemon, or by the next run that acts");
    Ok(Exit::Done)
}

fn remembered(state: &StateDir) -> Duty {
    let (outages, unsettled) = state.outages().unwrap_or_default();
    Duty::with_outages(outages, unsettled)
}

async fn configured(path: &Path) -> Result<(Loaded, Adapters), Failure> {
    let loaded = wire::load(path, &Overrides::default())?;
    let adapters = Adapters::new(&loaded, StateDir::open(&loaded.state_dir)?).await?;
    Ok((loaded, adapters))
}

/// A shutdown waits neither for a state directory that cannot be written nor for a kubeconfig that cannot be read any more: this
/// daemon knows what it said.
async fn for_shutdown(loaded: &Loaded, daemon: &Adapters) -> Result<Adapters, Failure> {
    let state = StateDir::open_for_power(&loaded.state_dir, Path::new(ASIDE))?;
    let again = wire::kubeconfig(loaded).await.map(|again| again.going_on_from(daemon.cluster()));
    let cluster = again.unwrap_or_else(|error| {
        say(daemon.clock.now(), "failed", &format!("the kubeconfig counts as it was: {error}"));
        daemon.cluster().clone()
    });
    Ok(Adapters::with(loaded, state, cluster)?)
}

/// A run has connections of its own: what it learned of hosts ends with it. It asks the API server that the daemon asks.
async fn fresh(loaded: &Loaded, daemon: &Adapters) -> Result<Adapters, Failure> {
    let state = StateDir::open(&loaded.state_dir)?;
    let cluster = wire::kubeconfig(loaded).await?.going_on_from(daemon.cluster());
    Ok(Adapters::with(loaded, state, cluster)?)
}

/// Comes with the first SIGHUP after which the config can be used; one that cannot is told, and the old one stays.
async fn reloaded(path: &Path, hangup: &mut Signal) -> (Loaded, Adapters) {
    loop {
        if hangup.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        service::reloading();
        match configured(path).await {
            Ok(next) => return next,
            Err(failure) => {
                say(SystemClock::start().now(), "failed", &format!("the config stays as it was: {failure}"));
                service::ready("the config could not be read anew; the old one stays");
            }
        }
    }
}

/// Why the keepers end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stop,
    /// There is another config. Runs that are under way come first.
    Reload,
}

/// The signal that ends the daemon.
type Stop = Shared<BoxFuture<'static, ()>>;

/// What comes of `work`, unless the daemon is told to stop before that.
async fn unless<T>(stop: &Stop, work: impl Future<Output = T>) -> Option<T> {
    match select(std::pin::pin!(work), stop.clone()).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(((), _)) => None,
    }
}

type Ending<'a> = Shared<LocalBoxFuture<'a, End>>;
/// The end of what goes on beside the runs.
type Until<'a> = Shared<LocalBoxFuture<'a, ()>>;

/// Both keepers and the watchdog, until the end and until no run is under way.
async fn serve(loaded: &Loaded, adapters: &Adapters, duty: Duty, stop: &Stop, end: Ending<'_>) -> Duty {
    let told = show::told_before(&adapters.state, adapters.clock.now());
    let (board, notices) = Board::new(loaded, told);
    let (over, is_over) = oneshot::channel::<()>();
    let power = async {
        let duty = power::watch((loaded, adapters), duty, &board, stop, end).await;
        drop(over);
        duty
    };
    // Runs that are under way come before a new config, and leases are kept meanwhile.
    let until = select(stop.clone(), is_over).map(drop).boxed_local().shared();
    let keepers = join(keep_leases(loaded, adapters, &board, until.clone()), power).map(|((), duty)| duty);
    let sending = show::send(loaded, &adapters.state, &board, notices);
    let shown = std::pin::pin!(show::beside(keepers, loaded, &board, sending, until));
    match select(shown, std::pin::pin!(service::beat(&board))).await {
        Either::Left((duty, _)) => duty,
        Either::Right((never, _)) => match never {},
    }
}

async fn keep_leases(loaded: &Loaded, adapters: &Adapters, board: &Board, mut until: Until<'_>) {
    let mut clock = adapters.clock;
    let mut cluster = adapters.cluster().clone();
    let mut keeper = Keeper::new(loaded.spec.clone());
    let mut log = Log::default();
    let mut health = Health::default();
    say(clock.now(), "keeps leases", &format!("state in {}", loaded.state_dir.display()));
    loop {
        let fresh = SystemClock::start();
        if let Some(step) = stepped(clock.steady().now(), fresh.now()) {
            say(fresh.now(), "clock", &format!("{step}; what was seen before is forgotten"));
            keeper = Keeper::new(loaded.spec.clone());
            clock = fresh;
        }
        adapters.state.keep_reserve();
        let reads = Reads { clock: &clock, cluster: &cluster, ..adapters.reads() };
        let (tick, stopped) = {
            let sweep = std::pin::pin!(keeper.tick(reads, Hands { cluster: &cluster, ..adapters.hands() }));
            match select(sweep, &mut until).await {
                Either::Left((tick, _)) => (Some(tick), false),
                Either::Right(((), sweep)) => (tokio::time::timeout(LAST_SWEEP, sweep).await.ok(), true),
            }
        };
        // They were logged when they came up.
        drop(adapters.state.take_notices());
        if let Some(tick) = &tick {
            log.tell(tick);
            board.swept(tick);
        }
        if stopped {
            break;
        }
        let failed = tick.as_ref().is_some_and(|tick| !tick.failed.is_empty());
        let next = due(clock.now(), tick.map(|tick| tick.next));
        // A lease that ends soon comes first.
        if health.is_due(clock.now()) && next.since(clock.now()) > HEALTH_LOOK + LAYERS {
            let look = healthy(&loaded.spec, reads);
            let taken = tokio::time::timeout(HEALTH_LOOK, look).await.unwrap_or_default();
            // A layer needs no second look: it is read only of a Kustomization that is Ready.
            if taken.is_some() {
                keep_layers(&loaded.spec, adapters, clock.now()).await;
            }
            if let Some(baseline) = health.take(taken, clock.now()) {
                keep(&adapters.state, &baseline, clock.now()).await;
            }
        }
        // Its credentials may have been renewed since they were read.
        if failed && let Ok(again) = wire::kubeconfig(loaded).await {
            cluster = again.going_on_from(&cluster);
        }
        let pause = std::pin::pin!(clock.sleep_until(next));
        if let Either::Right(_) = select(pause, &mut until).await {
            break;
        }
    }
}

/// One look with the gates of a start-up, as `status` takes it; the baseline that it makes, if all is well.
async fn healthy(spec: &Spec, reads: Reads<'_>) -> Option<Baseline> {
    let intent = reads.state.intent().await.ok()?;
    let walk = engine::status(spec.clone(), reads.clock.now(), intent.as_ref());
    let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
    let (_, walk) = engine::look(walk, reads, &mut silent).await;
    engine::healthy_baseline(&walk, reads.clock.now())
}

async fn keep(state: &StateDir, baseline: &Baseline, now: Moment) {
    match state.save_baseline(baseline).await {
        Ok(()) => say(now, "baseline", &format!("the cluster is healthy: {} workloads are noted", baseline.workloads.len())),
        Err(error) => say(now, "failed", &format!("the baseline cannot be kept: {error}")),
    }
}

async fn keep_layers(spec: &Spec, adapters: &Adapters, now: Moment) {
    let kept = layers::keep(&spec.bootstrap.layers, adapters.layers(), &adapters.state, now);
    match tokio::time::timeout(LAYERS, kept).await {
        Ok(told) => told.into_iter().for_each(|told| match told {
            Ok(kept) => say(now, "layer", &kept),
            Err(error) => say(now, "failed", &format!("a layer stays as it was kept: {error}")),
        }),
        Err(_) => {
            say(now, "failed", &format!("layers were not all read within {} s; the rest stays as it was", LAYERS.as_secs()))
        }
    }
}

/// When the cluster is looked at for its baseline: once a day, and twice each time, so that what only fails for a moment is
/// not taken for a known failure.
#[derive(Debug, Default)]
struct Health {
    /// None before the first look.
    next: Option<Moment>,
    first: Option<Baseline>,
}

impl Health {
    fn is_due(&self, now: Moment) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    /// Takes what a look came to; a baseline that two looks agree on is to be kept.
    fn take(&mut self, taken: Option<Baseline>, now: Moment) -> Option<Baseline> {
        let (pause, first, kept) = match (taken, self.first.take()) {
            (None, _) => (UNWELL, None, None),
            (Some(taken), None) => (BETWEEN_LOOKS, Some(taken), None),
            (Some(taken), Some(first)) => (DAY, None, Some(taken.confirmed_by(&first))),
        };
        (self.next, self.first) = (Some(now.plus(pause)), first);
        kept
    }
}

fn due(now: Moment, wanted: Option<Moment>) -> Moment {
    wanted.unwrap_or(now).max(now.plus(LEAST)).min(now.plus(MOST))
}

/// A daemon outlives corrections of the wall clock, which are common after an outage; leases across boots end by it.
fn stepped(carried: Moment, wall: Moment) -> Option<String> {
    let (ahead, behind) = (wall.since(carried), carried.since(wall));
    if ahead > STEP {
        return Some(format!("it was set forward by {} s", ahead.as_secs()));
    }
    (behind > STEP).then(|| format!("it was set back by {} s", behind.as_secs()))
}

/// What lasts is told when it begins and when it ends, not every minute.
#[derive(Debug, Default)]
struct Log {
    lasting: BTreeSet<(&'static str, String)>,
}

impl Log {
    fn tell(&mut self, tick: &Tick) {
        for line in self.lines(tick) {
            say(tick.at, line.0, &line.1);
        }
    }

    fn lines(&mut self, tick: &Tick) -> Vec<(&'static str, String)> {
        let mut lines: Vec<_> = tick.done.iter().map(|text| ("done", text.clone())).collect();
        let kinds =
            [("OVERDUE", &tick.overdue), ("A PERSON IS NEEDED", &tick.manual), ("failed", &tick.failed), ("note", &tick.notes)];
        let lasting: BTreeSet<_> =
            kinds.iter().flat_map(|(kind, texts)| texts.iter().map(|text| (*kind, text.clone()))).collect();
        lines.extend(lasting.difference(&self.lasting).cloned());
        lines.extend(self.lasting.difference(&lasting).map(|(kind, text)| ("over", format!("{kind}: {text}"))));
        self.lasting = lasting;
        lines
    }
}

/// One line; a log that is gone or stands still is no reason to stop.
fn say(at: Moment, what: &str, text: &str) {
    terminal::line("", &format!("{at} {what}: {text}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1_773_453_971_250);

    fn tick(done: &[&str], overdue: &[&str]) -> Tick {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Tick { at: NOW, done: texts(done), overdue: texts(overdue), failed: vec![], notes: vec![], manual: vec![], next: NOW }
    }

    #[test]
    fn what_lasts_is_told_once_and_what_is_done_every_time() {
        let mut log = Log::default();
        let mut told =
            |tick: &Tick| log.lines(tick).into_iter().map(|(kind, text)| format!("{kind}: {text}")).collect::<Vec<_>>();
        assert_eq!(told(&tick(&["a"], &["n1"])), ["done: a", "OVERDUE: n1"]);
        assert_eq!(told(&tick(&["a"], &["n1"])), ["done: a"]);
        assert_eq!(told(&tick(&[], &[])), ["over: OVERDUE: n1"]);
        assert_eq!(told(&tick(&[], &["n1"])), ["OVERDUE: n1"]);
    }

    #[test]
    fn a_baseline_is_kept_once_a_day_when_two_looks_agree() {
        let (mut health, well) = (Health::default(), || Some(Baseline::new(NOW, Vec::new())));
        assert!(health.is_due(NOW));
        assert_eq!(health.take(well(), NOW), None);
        assert!(!health.is_due(NOW) && health.is_due(NOW.plus(BETWEEN_LOOKS)));
        assert_eq!(health.take(None, NOW), None, "it fell ill between the looks");
        assert!(!health.is_due(NOW.plus(BETWEEN_LOOKS)) && health.is_due(NOW.plus(UNWELL)));
        assert_eq!(health.take(well(), NOW), None);
        assert!(health.take(well(), NOW).is_some());
        assert!(!health.is_due(NOW.plus(UNWELL)) && health.is_due(NOW.plus(DAY)));
    }

    #[test]
    fn a_sweep_is_due_within_a_minute_and_not_at_once() {
        let after = |secs: u64| NOW.plus(Duration::from_secs(secs));
        assert_eq!(due(NOW, None), after(1));
        assert_eq!(due(NOW, Some(NOW)), after(1));
        assert_eq!(due(NOW, Some(after(30))), after(30));
        assert_eq!(due(NOW, Some(after(3600))), after(60));
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_in_both_directions() {
        let later = NOW.plus(Duration::from_secs(100));
        assert_eq!(stepped(NOW, later).as_deref(), Some("it was set forward by 100 s"));
        assert_eq!(stepped(later, NOW).as_deref(), Some("it was set back by 100 s"));
        assert_eq!(stepped(NOW, NOW.plus(Duration::from_secs(1))), None);
    }
}
