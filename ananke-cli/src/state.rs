//! The state directory: intent, leases, progress, reports and journals as files that survive a power cut.
//!
//! File calls are made directly, without a blocking pool: the files are tiny, every caller waits for durability before it
//! may act, and a call that cannot be cancelled halfway keeps writes in the order in which they were asked for.
//! Nothing is decided here; what a torn file means for a run is the engine's business.

mod file;
mod journal;
pub mod lock;

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ananke_core::engine::journal::Entry;
use ananke_core::intent::Intent;
use ananke_core::lease::LeaseRecord;
use ananke_core::name::RunId;
use ananke_core::port::{ErrorKind, PortError, StateReads, StateWrites};
use ananke_core::report::{Command, Progress, Report};
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use file::{Content, io_error};
pub use journal::Journal;

/// Version of every file's outer shape.
const SCHEMA: u32 = ananke_core::report::SCHEMA;

const INTENT: &str = "intent.json";
/// Stands from the first intent on, so that a lost `intent.json` is not taken for one that was never written.
const INTENT_MARK: &str = "intent.expected";
const LEASES: &str = "leases.json";
const STARTUP_PROGRESS: &str = "startup-progress.json";
const SHUTDOWN_PROGRESS: &str = "shutdown-progress.json";
const STARTUP_REPORT: &str = "last-startup-report.json";
const SHUTDOWN_REPORT: &str = "last-shutdown-report.json";

/// State on disk. A view that was opened read-only never creates, renames or changes anything.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    writable: bool,
    /// Whether the loss of `leases.json` was told in this process; the next one tells it again until leases are saved.
    leases_loss_told: AtomicBool,
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

impl StateDir {
    /// Opens the directory, creating it (mode 0700) where it is missing.
    pub fn open(root: &Path) -> Result<Self, PortError> {
        let journal = root.join("journal");
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&journal).map_err(|error| io_error("create the state directory", &journal, &error))?;
        let state = Self::at(root, true);
        state.refuse_open_doors()?;
        file::sync_directory(root)?;
        file::sweep_temporaries(root);
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

    /// Forgets the intent, whether it is whole, torn or lost; a torn one is kept aside under the path that is returned.
    pub fn clear_intent(&self) -> Result<Option<PathBuf>, PortError> {
        self.refuse_unless_writable("clear the intent")?;
        let path = self.path(INTENT);
        let aside = match file::read::<Versioned<Intent>>(&path, SCHEMA)? {
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
        Self { root: root.to_owned(), writable, leases_loss_told: AtomicBool::new(false), notices: Mutex::new(Vec::new()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A run ID is letters, digits and `-`, so it is a file name and nothing more.
    fn journal_path(&self, run: &RunId) -> PathBuf {
        self.root.join("journal").join(format!("{run}.jsonl"))
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
        file::replace(&self.path(name), value)
    }

    /// For files whose loss costs comfort only.
    fn read_or_set_aside<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, PortError> {
        let path = self.path(name);
        match file::read(&path, SCHEMA)? {
            Content::Whole(value) => Ok(Some(value)),
            Content::Absent => Ok(None),
            Content::Torn(why) => {
                let kept = self.keep_aside(&path)?;
                self.notice(format!("{} cannot be used ({why}); it counts as absent, {kept}", path.display()));
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

    fn leases_lost(&self, why: &str) -> PortError {
        self.leases_loss_told.store(true, Ordering::Relaxed);
        PortError::new(ErrorKind::Invalid, "read leases", self.path(LEASES).display(), why)
            .with_remedy("no cordon is placed until the leases are rebuilt from the annotations on the nodes")
    }

    fn intent_lost(&self, why: &str) -> PortError {
        PortError::new(ErrorKind::Invalid, "read the intent", self.path(INTENT).display(), why)
            .with_remedy("holds until `ananke intent clear`: make sure that no shutdown is wanted, then run it")
    }
}

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
            Content::Whole(list) => Ok(list.leases),
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
}

#[async_trait]
impl StateWrites for StateDir {
    async fn save_intent(&self, intent: &Intent) -> Result<(), PortError> {
        self.refuse_unless_writable("write the intent")?;
        let path = self.path(INTENT);
        if matches!(file::read::<Versioned<Intent>>(&path, SCHEMA), Ok(Content::Torn(_))) {
            let kept = self.keep_aside(&path)?;
            self.notice(format!("{} was torn, {kept}, and is written anew", path.display()));
        }
        file::touch(&self.path(INTENT_MARK))?;
        self.save(INTENT, &Versioned { schema: SCHEMA, body: intent })
    }

    async fn save_leases(&self, leases: &[LeaseRecord]) -> Result<(), PortError> {
        self.save(LEASES, &LeaseList { schema: SCHEMA, leases })
    }

    async fn save_progress(&self, progress: &Progress) -> Result<(), PortError> {
        self.save(named(progress.command, STARTUP_PROGRESS, SHUTDOWN_PROGRESS)?, progress)
    }

    async fn save_report(&self, report: &Report) -> Result<(), PortError> {
        self.save(named(report.command, STARTUP_REPORT, SHUTDOWN_REPORT)?, report)
    }

    async fn append(&self, entry: &Entry) -> Result<(), PortError> {
        self.refuse_unless_writable("write the journal")?;
        journal::append(&self.journal_path(&entry.run), entry)
    }
}

fn named(command: Command, startup: &'static str, shutdown: &'static str) -> Result<&'static str, PortError> {
    match command {
        Command::Startup => Ok(startup),
        Command::Shutdown => Ok(shutdown),
        Command::Status => Err(PortError::new(ErrorKind::Invalid, "write state", "status", "a status leaves no state behind")),
    }
}

/// Files of ours are nobody else's to read: they name hosts, users and times.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

fn sync(file: &File, path: &Path) -> Result<(), PortError> {
    file.sync_all().map_err(|error| io_error("make durable", path, &error))
}
