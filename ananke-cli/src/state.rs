//! The state directory: intent, leases, progress, reports and journals as files that survive a power cut.
//!
//! File calls are made directly, without a blocking pool: the files are tiny, every caller waits for durability before it
//! may act, and a call that cannot be cancelled halfway keeps writes in the order in which they were asked for.
//! Nothing is decided here; what a torn file means for a run is the engine's business.

pub mod emergency;
mod file;
mod history;
mod journal;
mod journals;
mod layers;
mod leases;
pub mod lock;
mod ports;
mod request;
mod reserve;
pub(crate) mod snapshot;

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ananke_core::intent::Intent;
use ananke_core::name::{Moment, NodeName, RunId};
use ananke_core::notice::Told;
use ananke_core::observation::Confirmation;
use ananke_core::port::{ErrorKind, PortError};
use ananke_core::power::Pause;
use ananke_core::report::{Command, Progress, Report};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use file::{Content, WriteError, io_error};
pub use journal::{Journal, read_journal_file};
use reserve::Reserve;

use crate::update::Record;

/// Version of every file's outer shape.
const SCHEMA: u32 = ananke_core::report::SCHEMA;

const INTENT: &str = "intent.json";
/// Stands from the first intent on, so that a lost `intent.json` is not taken for one that was never written.
const INTENT_MARK: &str = "intent.expected";
const LEASES: &str = "leases.json";
const LEASES_LOCK: &str = "leases.lock";
const STARTUP_PROGRESS: &str = "startup-progress.json";
const SHUTDOWN_PROGRESS: &str = "shutdown-progress.json";
const STARTUP_REPORT: &str = "last-startup-report.json";
const SHUTDOWN_REPORT: &str = "last-shutdown-report.json";
const BASELINE: &str = "baseline.json";
const CONFIRMATIONS: &str = "confirmations.json";
const PAUSE: &str = "pause.json";
const OUTAGES: &str = "outages.json";
const NOTICES: &str = "notices.json";
const UPDATE: &str = "update.json";
const RUNS: &str = "runs.jsonl";
const RESERVE: &str = "reserve";
const JOURNALS: &str = "journal";

/// State on disk. A view that was opened read-only never creates, renames or changes anything.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    writable: bool,
    /// Whether the loss of `leases.json` was told in this process; the next one tells it again until leases are saved.
    leases_loss_told: AtomicBool,
    leases_seen: leases::Seen,
    reserve: Reserve,
    /// Whether a full disk was told in this process.
    full_told: AtomicBool,
    notices: Mutex<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    schema: u32,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize, Deserialize)]
struct LeaseList<L> {
    schema: u32,
    leases: L,
}

#[derive(Serialize, Deserialize)]
struct Confirmations {
    schema: u32,
    confirmations: Vec<Confirmation>,
}

#[derive(Serialize, Deserialize)]
struct Outages {
    schema: u32,
    outages: Vec<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsettled: Option<Moment>,
}

impl StateDir {
    /// Opens the directory, creating it (mode 0700) where it is missing.
    pub fn open(root: &Path) -> Result<Self, PortError> {
        let journal = root.join(JOURNALS);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&journal).map_err(|error| io_error("create the state directory", &journal, &error))?;
        let state = Self::at(root, true);
        state.refuse_open_doors()?;
        file::sync_directory(root)?;
        file::sweep_temporaries(root);
        file::sweep_temporaries(&root.join(layers::DIRECTORY));
        state.prune_journals();
        state.keep_reserve();
        Ok(state)
    }

    /// For commands that only look. A directory that does not exist is one without any state.
    pub fn open_read_only(root: &Path) -> Result<Self, PortError> {
        let state = Self::at(root, false);
        if root.exists() {
            state.refuse_open_doors()?;
        }
        Ok(state)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What was set aside or skipped since the last call, one sentence each, for whoever reads the output.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The progress of the newest shutdown.
    pub fn shutdown_progress(&self) -> Result<Option<Progress>, PortError> {
        self.read_or_set_aside(SHUTDOWN_PROGRESS)
    }

    /// The last report of a start-up or a shutdown.
    pub fn last_report(&self, command: Command) -> Result<Option<Report>, PortError> {
        match command {
            Command::Startup => self.read_or_set_aside(STARTUP_REPORT),
            Command::Shutdown => self.read_or_set_aside(SHUTDOWN_REPORT),
            Command::Status => Ok(None),
        }
    }

    /// All entries of a run that can be read, and a sentence for each line that cannot.
    pub fn read_journal(&self, run: &RunId) -> Result<Journal, PortError> {
        journal::read(&self.journal_path(run), run)
    }

    /// Makes the reserve whole where there is room; whoever runs for long asks for it now and then.
    pub fn keep_reserve(&self) {
        if !self.writable {
            return;
        }
        if let Err(error) = self.reserve.top_up() {
            let what = format!("the reserve with which leases end on a full disk cannot be written ({error})");
            let wrong = file::io_error("write the reserve", &self.path(RESERVE), &error);
            match (error.kind(), wrong.remedy) {
                (std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded, _) | (_, None) => self.tell_room(&what),
                (_, Some(remedy)) => self.tell_once(&format!("{what}; {remedy}")),
            }
        }
    }

    /// Records that a person saw the machine without power; what they said of it before is replaced.
    pub fn confirm(&self, confirmation: Confirmation) -> Result<(), PortError> {
        let mut confirmations = self.read_confirmations()?;
        confirmations.retain(|known| known.node != confirmation.node);
        confirmations.push(confirmation);
        self.save(CONFIRMATIONS, &Confirmations { schema: SCHEMA, confirmations })
    }

    /// Takes back what was said of a machine; `false` if nothing was.
    pub fn unconfirm(&self, node: &NodeName) -> Result<bool, PortError> {
        let mut confirmations = self.read_confirmations()?;
        let before = confirmations.len();
        confirmations.retain(|known| known.node != *node);
        let found = confirmations.len() < before;
        if found {
            self.save(CONFIRMATIONS, &Confirmations { schema: SCHEMA, confirmations })?;
        }
        Ok(found)
    }

    /// What holds the daemon back, if anything was said; it may be over.
    pub fn pause(&self) -> Result<Option<Pause>, PortError> {
        Ok(self.read_or_set_aside::<Versioned<Pause>>(PAUSE)?.map(|pause| pause.body))
    }

    /// Holds the daemon back, or lets it go.
    pub fn set_pause(&self, pause: Option<Pause>) -> Result<(), PortError> {
        match pause {
            Some(body) => self.save(PAUSE, &Versioned { schema: SCHEMA, body }),
            None => {
                self.refuse_unless_writable("end the pause")?;
                file::remove(&self.path(PAUSE))
            }
        }
    }

    /// When the outages of late began, and since when hosts may have lost their power with them.
    pub fn outages(&self) -> Result<(Vec<Moment>, Option<Moment>), PortError> {
        Ok(self.read_or_set_aside::<Outages>(OUTAGES)?.map(|read| (read.outages, read.unsettled)).unwrap_or_default())
    }

    pub fn save_outages(&self, outages: &[Moment], unsettled: Option<Moment>) -> Result<(), PortError> {
        self.save(OUTAGES, &Outages { schema: SCHEMA, outages: outages.to_vec(), unsettled })
    }

    /// What people were told of late.
    pub fn told(&self) -> Result<Told, PortError> {
        Ok(self.read_or_set_aside::<Versioned<Told>>(NOTICES)?.map(|read| read.body).unwrap_or_default())
    }

    pub fn save_told(&self, body: &Told) -> Result<(), PortError> {
        self.save(NOTICES, &Versioned { schema: SCHEMA, body })
    }

    /// Where updates of Ananke itself stand.
    pub(crate) fn update(&self) -> Result<Record, PortError> {
        Ok(self.read_or_set_aside::<Versioned<Record>>(UPDATE)?.map(|read| read.body).unwrap_or_default())
    }

    pub(crate) fn save_update(&self, body: &Record) -> Result<(), PortError> {
        self.save(UPDATE, &Versioned { schema: SCHEMA, body })
    }

    /// Forgets the intent, whether it is whole, torn or lost; a torn one is kept aside under the path that is returned.
    pub fn clear_intent(&self) -> Result<Option<PathBuf>, PortError> {
        self.refuse_unless_writable("clear the intent")?;
        let path = self.path(INTENT);
        let content = file::read::<Versioned<Intent>>(&path, SCHEMA).unwrap_or_else(|error| Content::Torn(error.to_string()));
        let aside = match content {
            Content::Whole(_) => {
                file::remove(&path)?;
                None
            }
            Content::Torn(_) => Some(file::set_aside(&path)?),
            Content::Absent => None,
        };
        // Last: a cut before this leaves an intent that counts as lost, which holds.
        file::remove(&self.path(INTENT_MARK))?;
        Ok(aside)
    }

    fn at(root: &Path, writable: bool) -> Self {
        Self {
            root: root.to_owned(),
            writable,
            leases_loss_told: AtomicBool::new(false),
            leases_seen: leases::Seen::default(),
            reserve: Reserve::new(root.join(RESERVE)),
            full_told: AtomicBool::new(false),
            notices: Mutex::new(Vec::new()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A run ID is letters, digits and `-`, so it is a file name and nothing more.
    fn journal_path(&self, run: &RunId) -> PathBuf {
        self.journals().join(format!("{run}.jsonl"))
    }

    fn refuse_open_doors(&self) -> Result<(), PortError> {
        const TRIED: &str = "open the state directory";
        let metadata = std::fs::metadata(&self.root).map_err(|error| io_error(TRIED, &self.root, &error))?;
        let on = self.root.display();
        if !metadata.is_dir() {
            return Err(PortError::new(ErrorKind::Invalid, TRIED, on, "it is not a directory"));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o022 != 0 {
            let error = PortError::new(ErrorKind::Denied, TRIED, &on, format!("other users can write it (mode {mode:04o})"));
            return Err(error.with_remedy(format!("run `chmod go-w {on}` once you trust what is in it")));
        }
        Ok(())
    }

    fn refuse_unless_writable(&self, tried: &str) -> Result<(), PortError> {
        if self.writable {
            return Ok(());
        }
        Err(PortError::new(ErrorKind::Invalid, tried, self.root.display(), "the state was opened for reading only"))
    }

    fn save<T: Serialize>(&self, name: &str, value: &T) -> Result<(), PortError> {
        self.refuse_unless_writable("write state")?;
        file::replace(&self.path(name), value)?;
        if self.full_told.load(Ordering::Relaxed) && self.reserve.top_up().is_ok() {
            self.full_told.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// For what must be written even where nothing else can be: with the reserve given up if the disk is full.
    fn settle(&self, write: impl Fn() -> Result<(), WriteError>) -> Result<(), PortError> {
        let failed = match write() {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        if !failed.full || !self.reserve.give_up() {
            return Err(failed.into());
        }
        let again = write();
        self.reserve.take_back();
        self.tell_room("the disk is full: the reserve is used, and only leases, intents and what ends a lease are written");
        Ok(again?)
    }

    /// The same for a line of a shutdown's journal. Of the reserve it takes no more than a piece, and does not write it anew after
    /// each line: there are hundreds of them, and the batteries do not wait.
    fn settle_line(&self, write: impl Fn() -> Result<(), WriteError>) -> Result<(), PortError> {
        let mut written = write();
        while written.as_ref().is_err_and(|failed| failed.full) && self.reserve.give_piece() {
            written = write();
            self.tell_room(
                "the disk is full: the reserve is used, and only leases, intents and what a shutdown does are written",
            );
        }
        Ok(written?)
    }

    /// What stands in the place of a file that is about to be written; set aside if it is not one of ours. What cannot even
    /// be read is not replaced.
    fn read_or_make_way<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, PortError> {
        self.read_or_tell(name, |why, kept| format!("({why}), {kept}, and is written anew"))
    }

    fn read_confirmations(&self) -> Result<Vec<Confirmation>, PortError> {
        let read: Option<Confirmations> = self.read_or_set_aside(CONFIRMATIONS)?;
        Ok(read.map(|read| read.confirmations).unwrap_or_default())
    }

    /// For files whose loss costs comfort only.
    fn read_or_set_aside<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, PortError> {
        self.read_or_tell(name, |why, kept| format!("({why}); it counts as absent, {kept}"))
    }

    /// A torn file is set aside and counts as absent; `told` says of it why, where it is kept, and what that means.
    fn read_or_tell<T: DeserializeOwned>(
        &self,
        name: &str,
        told: impl FnOnce(&str, &str) -> String,
    ) -> Result<Option<T>, PortError> {
        let path = self.path(name);
        match file::read(&path, SCHEMA)? {
            Content::Whole(value) => Ok(Some(value)),
            Content::Absent => Ok(None),
            Content::Torn(why) => {
                let kept = self.keep_aside(&path)?;
                self.notice(format!("{} cannot be used {}", path.display(), told(&why, &kept)));
                Ok(None)
            }
        }
    }

    /// Sets a file aside, if this view may, and says where it is.
    fn keep_aside(&self, path: &Path) -> Result<String, PortError> {
        if !self.writable {
            return Ok("and was left where it is".to_owned());
        }
        Ok(format!("and was set aside as {}", file::set_aside(path)?.display()))
    }

    fn notice(&self, text: String) {
        tracing::warn!("{text}");
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn tell_room(&self, what: &str) {
        let root = self.root.display();
        self.tell_once(&format!("{what}; free some space there (`df -h {root}`, `df -i {root}`)"));
    }

    /// Of the disk's trouble, the first sentence is enough.
    fn tell_once(&self, what: &str) {
        if !self.full_told.swap(true, Ordering::Relaxed) {
            self.notice(format!("{}: {what}", self.root.display()));
        }
    }

    fn leases_lost(&self, why: &str) -> PortError {
        self.leases_loss_told.store(true, Ordering::Relaxed);
        PortError::new(ErrorKind::Invalid, "read leases", self.path(LEASES).display(), why)
            .with_remedy("no cordon is placed until the leases are rebuilt from the annotations on the nodes")
    }

    fn intent_lost(&self, why: &str) -> PortError {
        PortError::new(ErrorKind::Invalid, "read the intent", self.path(INTENT).display(), why)
            .with_remedy("make sure that no shutdown is wanted, then run `ananke intent clear`: until then no start-up begins")
    }
}

/// Files of ours are nobody else's to read: they name hosts, users and times.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}
