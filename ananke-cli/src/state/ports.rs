//! The ports of the core on the state directory.

use std::sync::atomic::Ordering;

use ananke_core::baseline::Baseline;
use ananke_core::engine::journal::{Entry, What};
use ananke_core::intent::Intent;
use ananke_core::lease::LeaseRecord;
use ananke_core::observation::Confirmation;
use ananke_core::port::{ErrorKind, PortError, StateReads, StateWrites};
use ananke_core::report::{Command, PastRun, Progress, Report};
use async_trait::async_trait;

use super::file::{self, Content, Durable};
use super::{
    BASELINE, INTENT, INTENT_MARK, LEASES, LEASES_LOCK, LeaseList, RUNS, SCHEMA, SHUTDOWN_PROGRESS, SHUTDOWN_REPORT,
    STARTUP_PROGRESS, STARTUP_REPORT, StateDir, Versioned, history, journal, leases,
};

#[async_trait]
impl StateReads for StateDir {
    /// A torn or lost intent is an error at every call, in every process, until it is cleared or written anew.
    async fn intent(&self) -> Result<Option<Intent>, PortError> {
        match file::read::<Versioned<Intent>>(&self.path(INTENT), SCHEMA)? {
            Content::Whole(intent) => Ok(Some(intent.body)),
            Content::Torn(why) => Err(self.intent_lost(&why)),
            Content::Absent if file::exists(&self.path(INTENT_MARK))? => Err(self.intent_lost("the file is lost")),
            Content::Absent => Ok(None),
        }
    }

    /// A torn file is set aside and told once as `Invalid`; after that the list is empty, to be rebuilt and saved.
    async fn leases(&self) -> Result<Vec<LeaseRecord>, PortError> {
        let path = self.path(LEASES);
        match file::read::<LeaseList<Vec<LeaseRecord>>>(&path, SCHEMA)? {
            Content::Whole(list) => {
                self.leases_seen.read(&list.leases);
                Ok(list.leases)
            }
            Content::Torn(_) if self.leases_loss_told.load(Ordering::Relaxed) => Ok(Vec::new()),
            Content::Torn(why) => {
                let kept = self.keep_aside(&path)?;
                Err(self.leases_lost(&format!("{why}, {kept}")))
            }
            Content::Absent if self.leases_loss_told.load(Ordering::Relaxed) => Ok(Vec::new()),
            Content::Absent => match file::newest_aside(&path)? {
                Some(aside) => {
                    Err(self.leases_lost(&format!("it was torn, is kept as {}, and was not rebuilt since", aside.display())))
                }
                None => Ok(Vec::new()),
            },
        }
    }

    async fn progress(&self) -> Result<Option<Progress>, PortError> {
        self.read_or_set_aside(STARTUP_PROGRESS)
    }

    async fn baseline(&self) -> Result<Option<Baseline>, PortError> {
        Ok(self.read_or_set_aside::<Versioned<Baseline>>(BASELINE)?.map(|baseline| baseline.body))
    }

    /// Where the file is lost, nobody has seen anything: nothing is forced.
    async fn confirmations(&self) -> Result<Vec<Confirmation>, PortError> {
        self.read_confirmations()
    }

    /// Lines that cannot be used are skipped, and counted in a notice.
    async fn runs(&self) -> Result<Vec<PastRun>, PortError> {
        let path = self.path(RUNS);
        match history::read(&path)? {
            Content::Absent => Ok(Vec::new()),
            Content::Whole((runs, 0)) => Ok(runs),
            Content::Whole((runs, unusable)) => {
                let lines = if unusable == 1 { "line" } else { "lines" };
                self.notice(format!("{unusable} {lines} of {} cannot be used: torn, or of another version", path.display()));
                Ok(runs)
            }
            Content::Torn(why) => {
                let kept = self.keep_aside(&path)?;
                self.notice(format!("{} cannot be used ({why}); it counts as absent, {kept}", path.display()));
                Ok(Vec::new())
            }
        }
    }
}

#[async_trait]
impl StateWrites for StateDir {
    async fn save_intent(&self, intent: &Intent) -> Result<(), PortError> {
        self.refuse_unless_writable("write the intent")?;
        // What cannot be read is written anew too: the run that could not begin would cost more than what it said.
        if let Err(error) = self.read_or_make_way::<Versioned<Intent>>(INTENT) {
            self.notice(format!("{error}; it is written anew"));
        }
        self.settle(|| file::touch(&self.path(INTENT_MARK)))?;
        // A shutdown that cannot say that it goes on would be undone by the next start-up.
        self.settle(|| file::replace(&self.path(INTENT), &Versioned { schema: SCHEMA, body: intent }))
    }

    async fn save_leases(&self, leases: &[LeaseRecord]) -> Result<(), PortError> {
        self.refuse_unless_writable("write the leases")?;
        let _lock = leases::lock(&self.path(LEASES_LOCK));
        let on_disk: Option<LeaseList<Vec<LeaseRecord>>> = self.read_or_make_way(LEASES)?;
        let merged = self.leases_seen.merge(leases, &on_disk.map(|list| list.leases).unwrap_or_default());
        self.settle(|| file::replace(&self.path(LEASES), &LeaseList { schema: SCHEMA, leases: &merged }))?;
        self.leases_seen.wrote(leases, &merged);
        Ok(())
    }

    async fn save_progress(&self, progress: &Progress) -> Result<(), PortError> {
        self.save(named(progress.command, STARTUP_PROGRESS, SHUTDOWN_PROGRESS)?, progress)
    }

    async fn save_report(&self, report: &Report) -> Result<(), PortError> {
        self.save(named(report.command, STARTUP_REPORT, SHUTDOWN_REPORT)?, report)
    }

    /// What ends a lease, and what a shutdown does, is written on a full disk too.
    async fn append(&self, entry: &Entry) -> Result<(), PortError> {
        self.refuse_unless_writable("write the journal")?;
        let path = self.journal_path(&entry.run);
        self.begins_journal(&entry.run);
        let write = || journal::append(&path, entry, Durable::Yes);
        let ends_a_lease = matches!(&entry.what, What::Acting { order, .. } if order.ends_a_lease());
        if ends_a_lease {
            self.settle(write)
        } else if entry.is_worth_the_reserve() {
            self.settle_line(write)
        } else {
            Ok(write()?)
        }
    }

    async fn record(&self, entry: &Entry) -> Result<(), PortError> {
        self.refuse_unless_writable("write the journal")?;
        Ok(journal::append(&self.journal_path(&entry.run), entry, Durable::Later)?)
    }

    async fn save_baseline(&self, baseline: &Baseline) -> Result<(), PortError> {
        self.save(BASELINE, &Versioned { schema: SCHEMA, body: baseline })
    }

    async fn save_run(&self, run: &PastRun) -> Result<(), PortError> {
        self.refuse_unless_writable("write the history of runs")?;
        let path = self.path(RUNS);
        if path.is_dir() {
            let kept = self.keep_aside(&path)?;
            self.notice(format!("{} is a directory, {kept}", path.display()));
        }
        Ok(history::append(&path, run)?)
    }
}

fn named(command: Command, startup: &'static str, shutdown: &'static str) -> Result<&'static str, PortError> {
    match command {
        Command::Startup => Ok(startup),
        Command::Shutdown => Ok(shutdown),
        Command::Status => Err(PortError::new(ErrorKind::Invalid, "write state", "status", "a status leaves no state behind")),
    }
}
