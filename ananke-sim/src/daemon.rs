//! Ananke's daemon on virtual time: it looks every second, keeps leases, and runs the engine's shutdown and start-up as the
//! CLI does. It lives as long as its future; its disk outlives it.

use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ananke_core::baseline::Baseline;
use ananke_core::engine::journal::Entry;
use ananke_core::engine::keeper::Keeper;
use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::intent::{Intent, IntentState};
use ananke_core::lease::LeaseRecord;
use ananke_core::name::Moment;
use ananke_core::observation::{Confirmation, UpsReading};
use ananke_core::port::{Clock, PortError, StateReads, StateWrites, UpsReads};
use ananke_core::power::{Demand, Duty, HostsFound, Known, Pause, PowerWatch, hosts_found};
use ananke_core::report::{Command, Outcome, PastRun, Progress, Report};
use ananke_core::spec::Spec;
use async_trait::async_trait;
use futures::future::{Either, LocalBoxFuture, join, join_all, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use crate::executor::{SimClock, lock};
use crate::ports::{MemoryState, SimPorts};

const LOOK: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(60);

/// A state directory: runs of both kinds have a progress of their own, and the daemon's notes stand beside them.
#[derive(Debug, Default)]
pub struct Disk {
    memory: MemoryState,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
pub struct Notes {
    shutdown: Option<Progress>,
    outages: Vec<Moment>,
    unsettled: Option<Moment>,
    pub pause: Option<Pause>,
}

impl Disk {
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }

    fn outages(&self) -> (Vec<Moment>, Option<Moment>) {
        let notes = self.notes();
        (notes.outages.clone(), notes.unsettled)
    }

    fn note_outages(&self, watch: &PowerWatch) {
        let mut notes = self.notes();
        (notes.outages, notes.unsettled) = (watch.outages().to_vec(), watch.unsettled());
    }

    pub fn last_intent(&self) -> Option<Intent> {
        self.memory.kept().intent.clone()
    }

    /// Of those that stopped a whole cluster with nothing left to a person, in seconds.
    pub fn longest_shutdown(&self) -> u64 {
        let kept = self.memory.kept();
        kept.runs
            .iter()
            .filter(|run| run.command == Command::Shutdown && run.outcome == Outcome::Done)
            .map(|run| run.seconds)
            .max()
            .unwrap_or(0)
    }

    pub fn records(&self) -> Vec<LeaseRecord> {
        self.memory.kept().leases.clone()
    }
}

type Answer<T> = Result<T, PortError>;

#[async_trait]
impl StateReads for Disk {
    async fn intent(&self) -> Answer<Option<Intent>> {
        self.memory.intent().await
    }
    async fn leases(&self) -> Answer<Vec<LeaseRecord>> {
        self.memory.leases().await
    }
    async fn progress(&self) -> Answer<Option<Progress>> {
        self.memory.progress().await
    }
    async fn baseline(&self) -> Answer<Option<Baseline>> {
        self.memory.baseline().await
    }
    async fn confirmations(&self) -> Answer<Vec<Confirmation>> {
        self.memory.confirmations().await
    }
    async fn runs(&self) -> Answer<Vec<PastRun>> {
        self.memory.runs().await
    }
}

#[async_trait]
impl StateWrites for Disk {
    async fn save_intent(&self, intent: &Intent) -> Answer<()> {
        self.memory.save_intent(intent).await
    }
    async fn save_leases(&self, leases: &[LeaseRecord]) -> Answer<()> {
        self.memory.save_leases(leases).await
    }
    async fn save_progress(&self, progress: &Progress) -> Answer<()> {
        match progress.command {
            Command::Shutdown => self.notes().shutdown = Some(progress.clone()),
            Command::Startup | Command::Status => self.memory.save_progress(progress).await?,
        }
        Ok(())
    }
    async fn save_report(&self, report: &Report) -> Answer<()> {
        self.memory.save_report(report).await
    }
    /// No story looks at its journal.
    async fn append(&self, _: &Entry) -> Answer<()> {
        Ok(())
    }
    async fn record(&self, _: &Entry) -> Answer<()> {
        Ok(())
    }
    fn records(&self) -> bool {
        false
    }
    async fn save_baseline(&self, baseline: &Baseline) -> Answer<()> {
        self.memory.save_baseline(baseline).await
    }
    async fn save_run(&self, run: &PastRun) -> Answer<()> {
        self.memory.save_run(run).await
    }
}

/// What the daemon works with, and who looks over its shoulder.
#[derive(Clone)]
pub struct Host {
    pub ports: Rc<SimPorts>,
    pub clock: SimClock,
    pub disk: Rc<Disk>,
    pub spec: Spec,
    pub onlooker: Rc<dyn Onlooker>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// Sees what the daemon sees and does.
pub trait Onlooker {
    fn demands(&self, demand: &Demand);
    fn ended(&self, report: &Report);
    /// It looked for hosts that lost their power unseen.
    fn looked(&self, found_losses: bool);
}

impl Host {
    /// Both halves of the daemon, for ever.
    pub async fn serve(self) {
        join(self.clone().keep_leases(), self.watch_power()).await;
    }

    async fn keep_leases(self) {
        let mut keeper = Keeper::new(self.spec.clone());
        loop {
            let (reads, hands) = (self.ports.reads(&self.clock, &*self.disk), self.ports.hands(&*self.disk));
            let tick = keeper.tick(reads, hands).await;
            let now = self.clock.now();
            self.clock.sleep_until(now.plus(tick.next.since(now).clamp(LOOK, SWEEP))).await;
        }
    }

    async fn watch_power(self) {
        let (outages, unsettled) = self.disk.outages();
        let mut watcher = Watcher { duty: Duty::with_outages(outages, unsettled), running: FuturesUnordered::new(), host: &self };
        watcher.learn().await;
        loop {
            watcher.step().await;
        }
    }

    async fn shut_down(&self, why: String, within: Duration) -> Report {
        let spec = self.spec.for_power(within);
        let left = self.disk.notes().shutdown.clone();
        let mut walk = engine::shutdown(spec, self.clock.now(), &why, left, self.disk.last_intent().as_ref());
        walk.by_power = true;
        self.execute(walk).await
    }

    pub async fn start_up(&self, spec: Spec, why: String) -> Report {
        let left = self.disk.memory.kept().progress.clone();
        let (plan, intent) = (engine::startup_plan(), self.disk.last_intent());
        let mut walk = engine::startup(plan, spec, self.clock.now(), left, intent.as_ref());
        (walk.reason, walk.by_power) = (why, true);
        self.execute(walk).await
    }

    async fn look(&self, since: Moment) -> Came {
        let began = self.clock.now();
        Came::Looked(began, hosts_found(&*self.ports, &self.clock, &self.spec, since).await)
    }

    async fn execute(&self, walk: Walk) -> Report {
        let mut silent = |_: &Walk, _: Moment, _: &News<'_>| {};
        let (reads, hands) = (self.ports.reads(&self.clock, &*self.disk), self.ports.hands(&*self.disk));
        engine::execute(walk, reads, hands, Box::pin(std::future::pending()), &mut silent).await.0
    }
}

/// What came of what was begun.
enum Came {
    Ran(Box<Report>),
    Looked(Moment, HostsFound),
}

struct Watcher<'a> {
    host: &'a Host,
    duty: Duty,
    running: FuturesUnordered<LocalBoxFuture<'a, Came>>,
}

impl Watcher<'_> {
    async fn step(&mut self) {
        let host = self.host;
        let power = &host.spec.power;
        let looks = power.upses.iter().map(|ups| async { (ups.name.clone(), host.ports.read(&ups.name).await.ok()) });
        let looks: Vec<(Arc<str>, Option<UpsReading>)> = self.beside(join_all(looks)).await;
        let now = host.clock.now();
        for (ups, reading) in looks {
            self.duty.take(&ups, reading, power, now);
        }
        self.duty.count(&host.spec, now);
        self.act(now);
        host.disk.note_outages(self.duty.watch());
        self.beside(host.clock.sleep_until(now.plus(LOOK))).await;
    }

    fn act(&mut self, now: Moment) {
        let host = self.host;
        let intent = host.disk.last_intent();
        let begun = intent.as_ref().is_some_and(|intent| intent.state == IntentState::StartupInProgress);
        let progress = if begun { host.disk.memory.kept().progress.clone() } else { None };
        let paused = host.disk.notes().pause.as_ref().is_some_and(|pause| pause.holds(now));
        let known = Known { intent: intent.as_ref(), progress: progress.as_ref(), paused };
        let demand = self.duty.owed(&host.spec, known, now);
        host.onlooker.demands(&demand);
        match demand {
            Demand::Nothing | Demand::Wait { .. } | Demand::HoldDown { .. } => {}
            Demand::Look { since } => self.running.push(host.look(since).boxed_local()),
            Demand::ShutDown { why, within } => {
                self.running.push(host.shut_down(why, within).map(|report| Came::Ran(Box::new(report))).boxed_local())
            }
            Demand::StartUp { why } => self.running.push(
                host.start_up(self.duty.for_start(&host.spec), why).map(|report| Came::Ran(Box::new(report))).boxed_local(),
            ),
        }
    }

    /// Awaits `work` while the runs go on.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        while !self.running.is_empty() {
            match select(work, self.running.next()).await {
                Either::Left((done, _)) => return done,
                Either::Right((ended, rest)) => {
                    work = rest;
                    match ended {
                        Some(Came::Ran(report)) => {
                            self.duty.ended(report.command, report.got_through(), self.host.clock.now());
                            self.host.onlooker.ended(&report);
                            self.learn().await;
                        }
                        Some(Came::Looked(began, found)) => {
                            let losses = self.duty.looked(&self.host.spec.power, began, &found).is_some();
                            self.host.onlooker.looked(losses);
                        }
                        None => {}
                    }
                }
            }
        }
        work.await
    }

    async fn learn(&mut self) {
        self.duty.learn(&self.host.disk.runs().await.unwrap_or_default());
    }
}
