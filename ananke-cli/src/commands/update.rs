//! `update`: a new Ananke from Git, taken only if it builds, passes the gate and is well; otherwise the old one goes on.
//!
//! The order of the steps is the safety: everything that can fail slowly comes before the program is touched, and from then
//! on `update.json` says so, so that the next update ends what a power cut left in the middle.

use std::path::Path;
use std::time::Duration;

use ananke_core::intent::IntentState;
use ananke_core::name::human;
use ananke_core::port::{Clock, StateReads, UpsReads};
use ananke_core::power::Supply;

use super::print;
use crate::args::{self, Format};
use crate::clock::{SteadyClock, SystemClock};
use crate::config::{Loaded, Overrides, Update};
use crate::exit::Exit;
use crate::nut::NutUps;
use crate::state::StateDir;
use crate::state::lock::{LockError, RunLock, Work};
use crate::update::{Builder, Commit, Daemon, Failed, Git, Log, Program, PutBack, Record, Swapping, run as run_program};
use crate::wire::{self, Failure};

/// A build from nothing on a small machine.
const BUILD: Duration = Duration::from_secs(2 * 3600);
const GATE: Duration = Duration::from_secs(4 * 3600);
const CHECK: Duration = Duration::from_secs(30);
const BYPASS: &str = "ANANKE_ENFORCE_QUALITY_GATE";

/// Why an update ended without a new program.
enum Stop {
    /// Not the time for it; nothing is wrong.
    Refused(String),
    Failed(String),
}

impl From<Failed> for Stop {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed.why)
    }
}

pub(super) async fn run(args: args::Update) -> Result<Exit, Failure> {
    let file = &args.config.config;
    let loaded = wire::load(file, &Overrides::default())?;
    let Some(settings) = loaded.update.as_ref() else {
        let how = "set update.remote to the Git repository that Ananke is built from";
        return Err(Failure::Usage(format!("{} has no update.remote; {how}", file.display())));
    };
    let builder = Builder::new(&settings.user).map_err(|failed| Failure::Usage(failed.why))?;
    let git = Git::new(&builder, settings);
    if args.check {
        let record = StateDir::open_read_only(&loaded.state_dir)?.update()?;
        return check(&git, settings, &record);
    }
    let state = StateDir::open(&loaded.state_dir)?;
    let _alone = RunLock::of_updates(&state, SystemClock::start().now())?;
    let log = Log::open(&settings.log).map_err(Failure::Internal)?;
    let (record, program) = (state.update()?, Program::new(&settings.program));
    let (loaded, state) = (&loaded, &state);
    let mut update = Updating {
        loaded,
        settings,
        file,
        again: args.again,
        rewind: args.allow_rewind,
        state,
        git,
        builder: &builder,
        program,
        record,
        log,
    };
    Ok(match update.go().await {
        Ok(what) => {
            update.log.note("done", &what);
            Exit::Done
        }
        Err(Stop::Refused(why)) => {
            update.log.note("refused", &why);
            Exit::Refused
        }
        Err(Stop::Failed(why)) => {
            update.log.note("failed", &format!("{why}; what was installed before is what runs"));
            Exit::Internal
        }
    })
}

fn check(git: &Git<'_>, settings: &Update, record: &Record) -> Result<Exit, Failure> {
    let tip = git.tip().map_err(|failed| Failure::Internal(format!("{failed}: {}", failed.said.trim())))?;
    let branch = &settings.branch;
    print(Format::Text, &(), |()| match &record.installed {
        Some(installed) if *installed == tip => format!("nothing new: {branch} is at {tip}, which is installed"),
        Some(installed) => format!("{branch} is at {tip}; {installed} is installed"),
        None => format!("{branch} is at {tip}; what is installed came from no update"),
    })?;
    Ok(Exit::Done)
}

struct Updating<'a> {
    loaded: &'a Loaded,
    settings: &'a Update,
    /// The config file.
    file: &'a Path,
    again: bool,
    rewind: bool,
    state: &'a StateDir,
    git: Git<'a>,
    builder: &'a Builder,
    program: Program,
    record: Record,
    log: Log,
}

impl Updating<'_> {
    async fn go(&mut self) -> Result<String, Stop> {
        // First: a program that was not proved is put back, whatever the cluster is to be.
        self.end_what_was_cut_off().await?;
        self.refuse_if_needed().await?;
        if !self.program.path.is_file() {
            let how = "install it first, or name it in update.program";
            return Err(Stop::Failed(format!("there is no {} that could be replaced; {how}", self.program.path.display())));
        }
        let (git, branch) = (&self.git, &self.settings.branch);
        let tip = step(&mut self.log, "look", || git.tip(), |tip| format!("{branch} is at {tip}"))?;
        if self.record.installed.as_ref() == Some(&tip) && !self.again {
            return Ok(format!("nothing new: {tip} is installed"));
        }
        self.refuse_what_was_put_back(&tip)?;
        let commit = self.fetch()?;
        self.refuse_what_was_put_back(&commit)?;
        let passed = self.build(&commit).and_then(|()| self.pass_the_gate(&commit));
        self.record.building = false;
        self.save()?;
        passed?;
        self.stage()?;
        // Hours may have gone by.
        self.refuse_if_needed().await?;
        let _no_runs = RunLock::acquire(self.state, Work::Update, SystemClock::start().now()).map_err(locked)?;
        self.exchange(&commit).await
    }

    /// Not during a run, not while the cluster is to be down, not on battery; and not where any of it cannot be told.
    async fn refuse_if_needed(&mut self) -> Result<(), Stop> {
        // Whoever has it is named; it is free again at once, since a build is no reason to keep a run away.
        drop(RunLock::acquire(self.state, Work::Update, SystemClock::start().now()).map_err(locked)?);
        let intent = self.state.intent().await.map_err(|error| Stop::Refused(error.to_string()))?;
        if let Some(intent) = intent.filter(|intent| intent.state != IntentState::Normal) {
            let what = super::intent::word(intent.state);
            return Err(Stop::Refused(format!("{what} since {}: {}; update when the cluster is up", intent.at, intent.reason)));
        }
        let upses = NutUps::new(self.loaded.nut.clone());
        for ups in &self.loaded.spec.power.upses {
            let name = &ups.name;
            let reading = upses.read(name).await;
            let reading = reading.map_err(|error| Stop::Refused(format!("UPS {name} is not heard: {error}")))?;
            if reading.supply() != Supply::Line {
                return Err(Stop::Refused(format!("UPS {name} is not on line ({})", reading.status.join(" "))));
            }
        }
        Ok(())
    }

    /// An update that died after it had begun to exchange the program: the new one is proved, or the old one put back.
    async fn end_what_was_cut_off(&mut self) -> Result<(), Stop> {
        let Some(swapping) = self.record.swapping.clone() else { return Ok(()) };
        let to = &swapping.to;
        if self.program.next().exists() {
            self.log.note("recover", &format!("the update to {to} was cut off before it exchanged the program"));
            self.program.discard()?;
            self.record.swapping = None;
            return self.save();
        }
        self.log.note("recover", &format!("the update to {to} was cut off after it exchanged the program"));
        let _no_runs = RunLock::acquire(self.state, Work::Update, SystemClock::start().now()).map_err(locked)?;
        // The old one in its place is a good end, too.
        match self.prove_or_put_back(&swapping).await {
            Ok(_) | Err(Stop::Failed(_)) if self.record.swapping.is_none() => Ok(()),
            other => other.map(drop),
        }
    }

    fn refuse_what_was_put_back(&self, commit: &Commit) -> Result<(), Stop> {
        match &self.record.put_back {
            Some(PutBack { commit: known, at, why }) if known == commit && !self.again => {
                let why = format!("{commit} was put back at {at}: {why}; `ananke update --again` tries it once more");
                Err(Stop::Refused(why))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn fetch(&mut self) -> Result<Commit, Stop> {
        let directory = &self.settings.directory;
        let is_ours = self.record.directory.as_ref() == Some(directory);
        if !is_ours && std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
            let how = "an update empties it; remove it by hand, or name another one in update.directory";
            return Err(Stop::Failed(format!("{} is not empty, and no update made it: {how}", directory.display())));
        }
        if self.record.building && directory.exists() {
            let failed = |error| Failed::new(format!("remove {}: {error}", directory.display()));
            let begun = format!("{} is made anew: an update was cut off while it wrote there", directory.display());
            step(&mut self.log, "recover", || std::fs::remove_dir_all(directory).map_err(failed), |()| begun)?;
        }
        self.record.directory = Some(directory.clone());
        self.record.building = true;
        self.save()?;
        let git = &self.git;
        let told = |commit: &Commit| format!("{commit} is in {}", directory.display());
        let commit = step(&mut self.log, "fetch", || git.fetch(), told)?;
        if let Some(old) = self.record.installed.as_ref().filter(|old| **old != commit && !git.goes_on_from(old, &commit)) {
            if !self.rewind {
                let how = "`ananke update --allow-rewind` takes it all the same";
                let why = format!("{commit} does not go on from {old}, which is installed: somebody rewrote the branch; {how}");
                return Err(Stop::Refused(why));
            }
            self.log.note("fetch", &format!("{commit} does not go on from {old}; --allow-rewind takes it"));
        }
        Ok(commit)
    }

    fn build(&mut self, commit: &Commit) -> Result<(), Stop> {
        let words: Vec<&str> = self.settings.build.iter().map(String::as_str).collect();
        let (builder, directory) = (self.builder, &self.settings.directory);
        let told = |_: &String| format!("{commit} is built");
        self.log.note("build", &format!("begins: {}", words.join(" ")));
        step(&mut self.log, "build", || builder.run(directory, &words, BUILD), told)?;
        Ok(())
    }

    fn pass_the_gate(&mut self, commit: &Commit) -> Result<(), Stop> {
        if gate_is_bypassed() {
            self.log.note("gate", &format!("BYPASSED for {commit}: {BYPASS}=0 is set; nothing was tested"));
            return Ok(());
        }
        let words: Vec<&str> = self.settings.gate.iter().map(String::as_str).collect();
        let (builder, directory) = (self.builder, &self.settings.directory);
        self.log.note("gate", &format!("begins: {}", words.join(" ")));
        let told = |_: &String| format!("{commit} passed");
        step(&mut self.log, "gate", || builder.run(directory, &words, GATE), told)?;
        Ok(())
    }

    /// The new program beside the old one, and proved there as far as it can be.
    fn stage(&mut self) -> Result<(), Stop> {
        let (program, settings) = (&self.program, self.settings);
        let built = settings.directory.join(&settings.binary);
        let owner = self.builder.uid()?;
        let next = program.next();
        step(&mut self.log, "stage", || program.stage(&built, owner), |()| next.display().to_string())?;
        let file = self.file;
        let proved = step(&mut self.log, "check", || answers(&next, file), String::clone);
        if proved.is_err() {
            self.program.discard()?;
        }
        proved.map(drop)
    }

    async fn exchange(&mut self, commit: &Commit) -> Result<String, Stop> {
        let swapping = Swapping { to: commit.clone(), daemon: Daemon::is_active() };
        self.record.swapping = Some(swapping.clone());
        // It is tried again.
        self.record.put_back.take_if(|before| before.commit == *commit);
        self.save()?;
        let program = &self.program;
        let told =
            |(): &()| format!("{} is {commit}; the one before is {}", program.path.display(), program.previous().display());
        step(&mut self.log, "exchange", || program.exchange(), told)?;
        self.prove_or_put_back(&swapping).await
    }

    async fn prove_or_put_back(&mut self, swapping: &Swapping) -> Result<String, Stop> {
        let commit = &swapping.to;
        if let Some(begun) = self.record.put_back.clone().filter(|begun| begun.commit == *commit) {
            return self.put_back(swapping, begun.why);
        }
        let Err(why) = self.prove(swapping).await else {
            self.record = Record { installed: Some(commit.clone()), swapping: None, put_back: None, ..self.record.clone() };
            self.save()?;
            return Ok(format!("{commit} is installed"));
        };
        self.put_back(swapping, why)
    }

    /// A cut in the middle of it is ended the same way: what was put back answers as well as what was not.
    fn put_back(&mut self, swapping: &Swapping, why: String) -> Result<String, Stop> {
        let (commit, program) = (&swapping.to, &self.program);
        let at = SystemClock::start().now();
        self.record.put_back = Some(PutBack { commit: commit.clone(), at, why: why.clone() });
        self.save()?;
        step(&mut self.log, "roll back", || program.put_back(), |()| format!("{} is what it was", program.path.display()))?;
        let why = match swapping.daemon.then(|| self.restart_after_all()) {
            Some(Err(worse)) => format!("{why}; and {worse}"),
            Some(Ok(())) | None => why,
        };
        self.record.put_back = Some(PutBack { commit: commit.clone(), at, why: why.clone() });
        self.record.swapping = None;
        self.save()?;
        Err(Stop::Failed(format!("{commit} was put back: {why}")))
    }

    /// With the old program.
    fn restart_after_all(&mut self) -> Result<(), &'static str> {
        let restarted = step(&mut self.log, "roll back", Daemon::restart, |()| "the daemon was restarted".to_owned());
        match restarted.is_ok() && Daemon::is_active() {
            true => Ok(()),
            false => Err("the daemon does not run with the old one either: `systemctl status ananke.service`"),
        }
    }

    /// The new program in its place: it answers, takes the config, and the daemon runs with it.
    async fn prove(&mut self, swapping: &Swapping) -> Result<(), String> {
        let (path, file) = (self.program.path.clone(), self.file);
        step(&mut self.log, "health", || answers(&path, file), String::clone).map_err(stopped)?;
        if !swapping.daemon {
            self.log.note("health", "the daemon did not run before, and is not started");
            return Ok(());
        }
        step(&mut self.log, "health", Daemon::restart, |()| "the daemon was restarted".to_owned()).map_err(stopped)?;
        let settle = self.settings.settle;
        tokio::time::sleep(settle).await;
        let steady = || if Daemon::is_steady() { Ok(()) } else { Err(Failed::new("the daemon did not stay up")) };
        step(&mut self.log, "health", steady, |()| format!("the daemon runs, {} after its restart", human(settle)))
            .map_err(stopped)
    }

    fn save(&self) -> Result<(), Stop> {
        self.state.save_update(&self.record).map_err(|error| Stop::Failed(error.to_string()))
    }
}

/// Does one step; its end, its time and its failure go into the log.
fn step<T>(
    log: &mut Log,
    name: &str,
    work: impl FnOnce() -> Result<T, Failed>,
    told: impl FnOnce(&T) -> String,
) -> Result<T, Stop> {
    let clock = SteadyClock::start();
    let began = clock.now();
    match work() {
        Ok(done) => {
            log.note(name, &format!("{} ({})", told(&done), human(clock.now().since(began))));
            Ok(done)
        }
        Err(failed) => {
            log.failed(name, &failed);
            Err(Stop::Failed(format!("{name}: {failed}")))
        }
    }
}

/// What it says of itself, if it starts and takes the config.
fn answers(program: &Path, config: &Path) -> Result<String, Failed> {
    let (program, config) = (program.to_string_lossy(), config.to_string_lossy());
    let version = run_program(&[&program, "--version"], CHECK)?;
    run_program(&[&program, "config", "check", "--offline", "--config", &config], CHECK)?;
    match version.lines().next().filter(|line| line.starts_with("ananke ")) {
        Some(line) => Ok(format!("{program} says {line}, and takes {config}")),
        None => Err(Failed { why: format!("{program} does not say that it is Ananke"), said: version }),
    }
}

fn locked(error: LockError) -> Stop {
    match error {
        LockError::Held { .. } => Stop::Refused(error.to_string()),
        LockError::Failed(error) => Stop::Failed(error.to_string()),
    }
}

fn stopped(stop: Stop) -> String {
    match stop {
        Stop::Refused(why) | Stop::Failed(why) => why,
    }
}

#[expect(clippy::disallowed_methods, reason = "the one switch of an emergency, which is loud and in the log")]
fn gate_is_bypassed() -> bool {
    std::env::var_os(BYPASS).is_some_and(|value| value == "0")
}
