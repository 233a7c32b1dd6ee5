//! `status`, `startup` and `shutdown`: the same engine, with or without hands.

use std::sync::Arc;
use std::time::Duration;

use ananke_core::engine::walk::{Plan, Walk};
use ananke_core::engine::{self, News, Reads};
use ananke_core::intent::{Intent, IntentState};
use ananke_core::name::{Moment, Subject};
use ananke_core::peer::{Handed, hand_startup};
use ananke_core::port::{Clock, StateReads};
use ananke_core::power::{Known, is_start_owed};
use ananke_core::report::{ActionOutcome, ActionReport, Command, Outcome, Progress, Report};
use ananke_core::spec::{Role, Spec};
use ananke_core::verdict::GateId;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{layers, print};
use crate::args::{self, Format};
use crate::config::{Loaded, Overrides};
use crate::exit::Exit;
use crate::live::Live;
use crate::notify;
use crate::poweroff;
use crate::render;
use crate::state::StateDir;
use crate::state::lock::{RunLock, ShutdownLock};
use crate::wire::{self, Adapters, Failure};

/// A terminal that takes the last report takes it within this time.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn status(args: args::Status) -> Result<Exit, Failure> {
    let loaded = wire::load(&args.config.config, &Overrides::default())?;
    let adapters = Adapters::new(&loaded, StateDir::open_read_only(&loaded.state_dir)?).await?;
    let intent = adapters.state.intent().await.unwrap_or_default();
    let now = adapters.clock.now();
    let spec = with_layers(loaded.spec, &adapters.state);
    let mut walk = engine::status(spec, now, intent.as_ref());
    let paused = adapters.state.pause()?.filter(|pause| pause.holds(now));
    walk.notes.extend(paused.map(|pause| format!("the daemon is held back until {}: {}", pause.until, pause.reason)));
    let runs = [adapters.state.progress().await, adapters.state.shutdown_progress()];
    walk.notes.extend(runs.into_iter().filter_map(|run| run.ok().flatten()?.under_way(now)));
    let report = look(walk, &adapters).await;
    show(args.output.output, &report)?;
    Ok(report.outcome.into())
}

pub(super) async fn startup(args: args::Startup) -> Result<Exit, Failure> {
    let overrides = Overrides {
        allow_on_battery: args.allow_on_battery,
        // A dry run hands nothing over: it shows what a start-up from here would meet.
        allow_peer_startup: args.allow_peer_startup || args.auto_peer_failover && !args.execute,
        force_flux_branch: args.force_flux_branch.clone(),
        ..Overrides::default()
    };
    let plan = narrowed(engine::startup_plan(), args.only.as_deref(), args.until.as_deref())?;
    let loaded = wire::load(&args.config.config, &overrides)?;
    let (channels, holder) = (loaded.notify.clone(), loaded.spec.holder.clone());
    let ended = start(&args, plan, loaded).await;
    if let Err(failure) = &ended
        && args.execute
        && args.if_owed
    {
        // Nobody sits at the terminal of a unit.
        notify::not_begun(&channels, &holder, Command::Startup, failure).await;
    }
    ended
}

async fn start(args: &args::Startup, plan: Plan, loaded: Loaded) -> Result<Exit, Failure> {
    let state = open(&loaded, args.execute)?;
    let adapters = Adapters::new(&loaded, state).await?;
    if args.if_owed
        && let Some(why) = not_owed(&loaded.spec, &adapters).await
    {
        print(args.output.output, &NotOwed { not_owed: why }, |it| format!("no start-up is owed: {}", it.not_owed))?;
        return Ok(Exit::Done);
    }
    if !args.execute {
        let walk = startup_walk(plan, loaded.spec, &adapters).await;
        return dry(args.output.output, &look(walk, &adapters).await);
    }
    let _outlives = outlives_its_terminal()?;
    let holder = loaded.spec.holder.clone();
    let mut spec = loaded.spec;
    if args.auto_peer_failover && matches!(spec.role, Role::Peer { .. }) {
        match hand_startup(&adapters.peers, &adapters.peers, &adapters.clock.steady(), &spec.peers, spec.guard_wait).await {
            Handed::To(by) => {
                let text = |it: &HandedTo| format!("{} starts the cluster; `ananke status` shows how it gets on", it.handed_to);
                print(args.output.output, &HandedTo { handed_to: by }, text)?;
                return Ok(Exit::Done);
            }
            Handed::Refused { by, why } => {
                return Ok(super::fail(Exit::Refused, &format!("{by} does not start the cluster, and is not gone: {why}")));
            }
            Handed::Nobody { tried } => tracing::warn!("starts from here, since no other Ananke answers: {tried}"),
        }
        spec.role = Role::Peer { allow_startup: true };
    }
    let report = start_up(plan, spec, &adapters, None, interrupted()?).await?;
    // A terminal that takes nothing keeps nobody from hearing of it.
    notify::person_needed(&loaded.notify, &holder, &report).await;
    show(args.output.output, &report)?;
    // The unit of the boot fails where nothing but a person gets on.
    let needs_person = args.if_owed && notify::is_refused_to_a_person(&report);
    Ok(if needs_person { Exit::PersonNeeded } else { report.outcome.into() })
}

/// What `--auto-peer-failover` prints where another Ananke starts the cluster.
#[derive(Debug, Serialize)]
struct HandedTo {
    handed_to: Arc<str>,
}

/// What `--if-owed` prints where there is nothing to do.
#[derive(Debug, Serialize)]
struct NotOwed {
    not_owed: String,
}

/// Why nobody waits for a start-up. What cannot be read is a gate's question: the guards hold.
async fn not_owed(spec: &Spec, adapters: &Adapters) -> Option<String> {
    let paused = adapters.state.pause().unwrap_or_default().filter(|pause| pause.holds(adapters.clock.now()));
    if let Some(pause) = paused {
        return Some(format!("the daemon is held back until {}: {}", pause.until, pause.reason));
    }
    let intent = adapters.state.intent().await.ok().flatten()?;
    let progress = adapters.state.progress().await.ok().flatten();
    wanted_down(&intent, progress.as_ref(), !spec.power.upses.is_empty())
}

/// Why a cluster stays down when this host boots. The daemon is relied upon where it would begin the start-up, and only there.
fn wanted_down(intent: &Intent, progress: Option<&Progress>, has_ups: bool) -> Option<String> {
    let Intent { state, at, reason, by_power, .. } = intent;
    let daemon = has_ups && is_start_owed(Known { intent: Some(intent), progress, paused: false });
    match (state, by_power) {
        (IntentState::ShutdownComplete, false) => Some(format!("a person shut the cluster down at {at}: {reason}")),
        (IntentState::ShutdownComplete | IntentState::ShuttingDown | IntentState::StartupInProgress, true) if daemon => {
            Some(format!("power stopped the cluster, and `ananke daemon` starts it when mains are back ({at}: {reason})"))
        }
        // A person's shutdown that did not get to its end is for the guards: they say what to do.
        (IntentState::Normal | IntentState::StartupInProgress | IntentState::ShuttingDown, _)
        | (IntentState::ShutdownComplete, true) => None,
    }
}

async fn startup_walk(plan: Plan, spec: Spec, adapters: &Adapters) -> Walk {
    let (left, left_note) = readable(adapters.state.progress().await, "the progress of the run before it");
    let (intent, intent_note) = readable(adapters.state.intent().await, "the intent");
    let spec = with_layers(spec, &adapters.state);
    let mut walk = engine::startup(plan, spec, adapters.clock.now(), left, intent.as_ref());
    walk.notes.extend(left_note.into_iter().chain(intent_note));
    walk
}

/// A start-up under its lock, until `interrupt`; `power`: why mains allow it, where no person asked for it.
pub(super) async fn start_up(
    plan: Plan,
    spec: Spec,
    adapters: &Adapters,
    power: Option<&str>,
    interrupt: BoxFuture<'static, ()>,
) -> Result<Report, Failure> {
    let _lock = RunLock::acquire(&adapters.state, Command::Startup, adapters.clock.now())?;
    let mut walk = startup_walk(plan, spec, adapters).await;
    if let Some(why) = power {
        (walk.reason, walk.by_power) = (why.to_owned(), true);
    }
    let (wanted, whole) = (walk.spec.bootstrap.layers.clone(), !walk.plan.partial);
    let report = run(walk, adapters, interrupt).await;
    if report.outcome == Outcome::Done && whole {
        for kept in layers::keep(&wanted, adapters.layers(), &adapters.state, adapters.clock.now()).await {
            kept.map_or_else(|error| tracing::warn!("the layer stays as it was kept: {error}"), drop);
        }
    }
    Ok(report)
}

/// With what was kept of its layers.
fn with_layers(mut spec: Spec, state: &StateDir) -> Spec {
    spec.bootstrap.cache = Arc::new(state.layers(&spec.bootstrap.layers));
    spec
}

async fn shutdown_walk(spec: Spec, adapters: &Adapters, reason: &str) -> Walk {
    let (left, note) = readable(adapters.state.shutdown_progress(), "the progress of the run before it");
    let (intent, intent_note) = readable(adapters.state.intent().await, "the intent");
    let mut walk = engine::shutdown(spec, adapters.clock.now(), reason, left, intent.as_ref());
    walk.notes.extend(note.into_iter().chain(intent_note));
    walk
}

/// A shutdown under its lock; a start-up that is under way yields to it.
pub(super) async fn shut_down(
    spec: Spec,
    adapters: &Adapters,
    reason: &str,
    by_power: bool,
    interrupt: BoxFuture<'static, ()>,
) -> Result<Report, Failure> {
    // A start-up that holds the lock yields as soon as it sees the intent; the emergency path never waits for it.
    let mut lock = ShutdownLock::acquire(&adapters.state, adapters.clock.now())?;
    let mut walk = shutdown_walk(spec, adapters, reason).await;
    walk.by_power = by_power;
    walk.notes.extend(adapters.state.take_notices());
    walk.notes.extend(lock.took_over.as_ref().map(|before| format!("it took over from a run that was under way: {before}")));
    Ok(lock.while_working(&adapters.state, run(walk, adapters, interrupt)).await)
}

pub(super) async fn shutdown(args: args::Shutdown) -> Result<Exit, Failure> {
    let overrides = Overrides {
        skip_drain: args.skip_drain,
        skip_etcd_snapshot: args.skip_etcd_snapshot,
        poweroff: args.mode == args::Mode::Poweroff,
        within: args.within,
        ..Overrides::default()
    };
    let loaded = wire::load(&args.config.config, &overrides)?;
    let this_host = (loaded.poweroff_this_host && overrides.poweroff).then(|| loaded.spec.holder.clone());
    let adapters = Adapters::new(&loaded, open(&loaded, args.execute)?).await?;
    let format = args.output.output;
    if !args.execute {
        let walk = shutdown_walk(loaded.spec, &adapters, &args.reason).await;
        let mut report = look(walk, &adapters).await;
        report.actions.extend(this_host.map(|name| last_act(report.ended, &name)));
        return dry(format, &report);
    }
    let _outlives = outlives_its_terminal()?;
    let holder = loaded.spec.holder.clone();
    let report = shut_down(loaded.spec, &adapters, &args.reason, false, interrupted()?).await?;
    notify::person_needed(&loaded.notify, &holder, &report).await;
    if this_host.is_none() || !report.got_through() {
        show(format, &report)?;
        return Ok(report.outcome.into());
    }
    let outcome = report.outcome;
    shown_in_time(format, report);
    if let Err(error) = poweroff::power_off_this_host() {
        return Ok(super::fail(Exit::PersonNeeded, &error));
    }
    Ok(outcome.into())
}

/// What a dry run says of this host.
fn last_act(at: Moment, holder: &str) -> ActionReport {
    ActionReport {
        at,
        verb: "power-off".to_owned(),
        subject: Subject::Ananke,
        text: format!("power off this host ({holder}), when all else is done and the report is written"),
        why: "shutdown.poweroff_this_host".to_owned(),
        outcome: ActionOutcome::Planned,
        trap: None,
        effect: None,
    }
}

fn open(loaded: &Loaded, execute: bool) -> Result<StateDir, Failure> {
    Ok(if execute { StateDir::open(&loaded.state_dir)? } else { StateDir::open_read_only(&loaded.state_dir)? })
}

/// What cannot be read is noted and treated as not there; the gates judge by themselves what must be readable.
fn readable<T: Default>(read: Result<T, ananke_core::port::PortError>, what: &str) -> (T, Option<String>) {
    match read {
        Ok(value) => (value, None),
        Err(error) => (T::default(), Some(format!("{what} cannot be read: {error}"))),
    }
}

fn narrowed(plan: Plan, only: Option<&str>, until: Option<&str>) -> Result<Plan, Failure> {
    let gate = |text: &str| -> Result<GateId, Failure> {
        let known = || plan.rows.iter().map(|row| row.id.id()).collect::<Vec<_>>().join(", ");
        let found = plan.rows.iter().map(|row| row.id).find(|id| id.id() == text);
        found.ok_or_else(|| Failure::Usage(format!("there is no start-up gate {text:?}; there are {}", known())))
    };
    match (only, until) {
        (Some(only), _) => gate(only).map(|id| plan.clone().only(id)),
        (None, Some(until)) => gate(until).map(|id| plan.clone().until(id)),
        (None, None) => Ok(plan),
    }
}

/// A dry run has done what it was asked for, unless a person or a guard already stands in the way.
fn dry(format: Format, report: &Report) -> Result<Exit, Failure> {
    show(format, report)?;
    Ok(match report.outcome {
        Outcome::Failed => Exit::Done,
        outcome @ (Outcome::Done | Outcome::Manual | Outcome::Refused | Outcome::Yielded | Outcome::Interrupted) => {
            outcome.into()
        }
    })
}

async fn run(walk: Walk, adapters: &Adapters, interrupt: BoxFuture<'static, ()>) -> Report {
    let mut live = Live::new();
    let mut observer = |walk: &Walk, now: Moment, news: &News<'_>| live.tell(walk, now, news);
    let watched = adapters.watched();
    let reads = Reads { cluster: &watched, ..adapters.reads() };
    engine::execute(walk, reads, adapters.hands(), interrupt, &mut observer).await.0
}

async fn look(walk: Walk, adapters: &Adapters) -> Report {
    let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
    let (mut report, _) = engine::look(walk, adapters.reads(), &mut silent).await;
    report.notes.extend(adapters.state.take_notices());
    report
}

fn show(format: Format, report: &Report) -> Result<(), Failure> {
    print(format, report, render::report)
}

/// The report is on disk: a terminal that does not take it keeps no host from being powered off.
fn shown_in_time(format: Format, report: Report) {
    let (done, is_done) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || done.try_send(show(format, &report).is_ok()).unwrap_or_default());
    is_done.recv_timeout(SHOWN_WITHIN).unwrap_or_default();
}

/// Comes with the first Ctrl-C or SIGTERM.
pub(super) fn interrupted() -> Result<BoxFuture<'static, ()>, Failure> {
    let failed = |error: std::io::Error| Failure::Internal(format!("listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        futures::future::select(std::pin::pin!(interrupt.recv()), std::pin::pin!(terminate.recv())).await;
    }
    .boxed())
}

/// A session that breaks (SIGHUP) ends no run: whoever began it may be gone because power is. Once it is listened for, it ends
/// this process no more, whether anybody hears it.
fn outlives_its_terminal() -> Result<Signal, Failure> {
    signal(SignalKind::hangup()).map_err(|error| Failure::Internal(format!("listen for SIGHUP: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_can_be_cut_short_and_a_wrong_gate_is_named() {
        let ids = |plan: Plan| plan.rows.iter().map(|row| row.id.id()).collect::<Vec<_>>().join(" ");
        let cut = |only, until| narrowed(engine::startup_plan(), only, until).map(ids);
        assert_eq!(cut(None, Some("nodes-ready")).unwrap(), "guards inventory control-plane nodes-ready");
        assert_eq!(cut(Some("ingress"), None).unwrap(), "guards ingress");
        assert!(
            cut(None, Some("drained"))
                .unwrap_err()
                .to_string()
                .starts_with("there is no start-up gate \"drained\"; there are guards")
        );
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a process cannot send itself a signal without help")]
    async fn a_session_that_breaks_ends_no_run() {
        let mut heard = outlives_its_terminal().unwrap();
        let own = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &own]).status().unwrap().success());
        assert_eq!(heard.recv().await, Some(()), "and this test goes on");
    }

    #[test]
    fn a_boot_starts_what_nobody_wanted_down() {
        use IntentState::*;
        let progress = |outcome: Option<Outcome>| -> Progress {
            let json = serde_json::json!({"schema": 1, "run": "startup-1", "command": "startup", "dry_run": false,
                "started": "2026-03-14T02:06:11Z", "updated": "2026-03-14T02:06:11Z", "outcome": outcome, "gates": [], "actions": []});
            serde_json::from_value(json).unwrap()
        };
        let said = |state, by_power, has_ups, left: Option<&Progress>| {
            let (at, run) = (Moment::from_millis(0), ananke_core::name::RunId::parse("run-1").unwrap());
            let intent = Intent { state, run, at, reason: "why".to_owned(), by_power, of: None };
            wanted_down(&intent, left, has_ups)
                .map_or("owed", |why| if why.starts_with("a person") { "person" } else { "daemon" })
        };
        let why = |state, by_power, has_ups| said(state, by_power, has_ups, Some(&progress(None)));
        let all = [Normal, StartupInProgress, ShuttingDown, ShutdownComplete];
        assert_eq!(all.map(|state| why(state, false, false)), ["owed", "owed", "owed", "person"]);
        assert_eq!(all.map(|state| why(state, false, true)), ["owed", "owed", "owed", "person"]);
        assert_eq!(all.map(|state| why(state, true, false)), ["owed", "owed", "owed", "owed"]);
        assert_eq!(all.map(|state| why(state, true, true)), ["owed", "daemon", "daemon", "daemon"]);
        // The daemon has told a person of it, and begins no other one.
        for left in [Some(progress(Some(Outcome::Failed))), Some(progress(Some(Outcome::Manual))), None] {
            let found = all.map(|state| said(state, true, true, left.as_ref()));
            assert_eq!(found, ["owed", "owed", "daemon", "daemon"], "{left:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let error = ananke_core::port::PortError::new(ananke_core::port::ErrorKind::Invalid, "read", "a file", "torn");
        let (left, note) = readable::<Option<ananke_core::report::Progress>>(Err(error), "the progress");
        assert_eq!((left, note.as_deref()), (None, Some("the progress cannot be read: read on a file: torn")));
    }
}
