//! What the end-to-end suites share: the built binary, a cluster that it serves, and commands that always end.
//!
//! Nothing here but [`contract`] and [`sshd`] knows the insides of Ananke: a test sees files, exit codes, output and the served cluster's
//! request log.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says what it skips, and measures real time"
)]

pub mod clock;
pub mod contract;
pub mod sshd;
pub mod upsd;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use clock::WallClock;

/// No command of a test runs longer, and nothing is waited for longer: long enough for a machine that does other work too.
pub const LIMIT: Duration = Duration::from_secs(300);

/// A build from nothing, on a machine that does other work too.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// Between two looks at something that has no bell.
const LOOK: Duration = Duration::from_millis(20);

/// The built `ananke` of this test's own profile; builds it once per process.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("ananke-cli", "ananke"))
}

/// The developer's tasks, as `cargo xtask` runs them.
pub fn xtask() -> &'static Path {
    static XTASK: OnceLock<PathBuf> = OnceLock::new();
    XTASK.get_or_init(|| built("xtask", "xtask"))
}

fn built(package: &str, program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let profile = test.ancestors().nth(2).expect("a test lies in TARGET/PROFILE/deps");
    let target = profile.parent().expect("a profile lies in TARGET");
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => panic!("the profile has no name: {}", profile.display()),
    };
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "-q", "-p", package, "--profile", name, "--target-dir"]).arg(target);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // What cargo tells a test about itself would make build scripts run again, here and at the next build.
    let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_", "LD_LIBRARY_PATH"];
    for (key, _) in std::env::vars_os() {
        if key.to_str().is_some_and(|key| key == "CARGO" || own.iter().any(|prefix| key.starts_with(prefix))) {
            build.env_remove(key);
        }
    }
    Going::spawn(&mut build).end(BUILD_LIMIT).ok();
    let binary = profile.join(program);
    assert!(binary.is_file(), "cargo built no {}", binary.display());
    binary
}

/// Whether a program from outside is there. Without it a test may end early, visibly; CI must not skip anything.
pub fn require(tool: &str, package: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(tool).is_file());
    if !there {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{tool} is missing, and CI must not skip this: install {package}");
        // Past the harness, which keeps what a passing test prints.
        writeln!(std::io::stderr(), "skipped: install {package} (there is no {tool})").expect("stderr is open");
        println!("skipped: install {package}");
    }
    there
}

/// What stands before a command that root runs; none where nobody lets us, which is told.
pub fn as_root() -> Option<Vec<&'static str>> {
    let is_root = |line: &[&str]| {
        let id = Command::new(line.first()?).args(line.get(1..)?).output();
        id.is_ok_and(|id| id.stdout == b"0\n").then_some(())
    };
    let found = is_root(&["id", "-u"]).map(|()| Vec::new());
    let found = found.or_else(|| is_root(&["sudo", "-n", "id", "-u"]).map(|()| vec!["sudo", "-n"]));
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must not skip this: run it as root, or let sudo do so");
        println!("skipped: neither root nor a sudo that asks for no password");
    }
    found
}

/// Runs `ananke ARGS` to its end.
pub fn ananke(args: &[&str]) -> Run {
    Going::spawn(ananke_command().args(args)).end(LIMIT)
}

/// `ananke`, for a test that has more to say than arguments.
pub fn ananke_command() -> Command {
    let mut command = Command::new(binary());
    // A config of whoever runs the tests is not this test's.
    for (key, _) in std::env::vars_os() {
        if key.to_str().is_some_and(|key| key.starts_with("ANANKE_")) {
            command.env_remove(key);
        }
    }
    command
}

/// Waits until `seen` answers; panics with `what` after `limit`.
pub fn until<T>(what: &str, limit: Duration, mut seen: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = seen() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain until {what}");
        std::thread::sleep(LOOK);
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Run {
    /// None: ended by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
    line: String,
}

impl Run {
    /// The exit code is `code`, or the test ends with all that was said.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code} of {self}");
        self
    }

    /// Exit code 0, and what it printed.
    #[track_caller]
    pub fn ok(self) -> String {
        self.exits(0).stdout
    }

    /// Its stdout, which is one JSON document whatever the exit code.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}; {self}"))
    }

    /// Both streams, for tests that do not care which one.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, stdout, stderr, took, line } = self;
        write!(f, "{line}: exit code {code:?} after {took:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// A command that runs; killed when dropped.
#[derive(Debug)]
pub struct Going {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    began: Instant,
    line: String,
}

impl Going {
    pub fn spawn(command: &mut Command) -> Self {
        let line = format!("{command:?}");
        let began = Instant::now();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {line}: {error}"));
        let stdout = child.stdout.take().map(read_on);
        let stderr = child.stderr.take().map(read_on);
        Self { child, stdout, stderr, began, line }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// Sends a signal by its name, as `kill -NAME` does.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().expect("kill exists");
        assert!(sent.success(), "kill -{name} {} failed", self.pid());
    }

    /// `kill -9`, and what it had done by then.
    pub fn kill(mut self) -> Run {
        self.child.kill().expect("a child can be killed");
        let status = self.child.wait().expect("a killed child ends");
        self.done(status)
    }

    /// Waits for its end; kills it and panics when that takes longer than `limit`.
    #[track_caller]
    pub fn end(mut self, limit: Duration) -> Run {
        let end = self.began + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return self.done(status);
            }
            if Instant::now() >= end {
                panic!("it did not end within {limit:?}: {}", self.kill());
            }
            std::thread::sleep(LOOK);
        }
    }

    fn done(&mut self, status: ExitStatus) -> Run {
        let text = |reader: Option<JoinHandle<String>>| reader.map(|reader| reader.join().expect("it reads")).unwrap_or_default();
        let (stdout, stderr) = (text(self.stdout.take()), text(self.stderr.take()));
        Run { code: status.code(), stdout, stderr, took: self.began.elapsed(), line: self.line.clone() }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // It may have ended.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn read_on(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is worth showing.
        let _cut = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The config of a served cluster without its batteries, for a test that brings its own.
pub fn without_ups(config: &str) -> String {
    let own = ["ups:", "nut:", "default_budget_seconds:", "  debounce:", "  hold_off:"];
    let lines = config.lines().filter(|line| !own.iter().any(|key| line.starts_with(key)));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// A simulated cluster that `ananke sim up` serves in a directory of its own; ends when dropped.
#[derive(Debug)]
pub struct Cluster {
    _served: Going,
    dir: TempDir,
}

impl Cluster {
    /// `ananke sim up --dir DIR ARGS`; returns when it answers.
    pub fn up(args: &[&str]) -> Self {
        let dir = TempDir::new().expect("a directory for the cluster");
        let mut served = Going::spawn(ananke_command().args(["sim", "up", "--dir"]).arg(dir.path()).args(args));
        let ready = dir.path().join("ready");
        until("the simulated cluster answers", LIMIT, || {
            if !served.runs() {
                let run = served.child.wait().map(|status| served.done(status)).expect("it has ended");
                panic!("the simulated cluster did not come up: {run}");
            }
            ready.exists().then_some(())
        });
        Self { _served: served, dir }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file of the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The config that was written for it.
    pub fn config(&self) -> PathBuf {
        self.path("ananke.yaml")
    }

    /// Changes its config; `change` gets the text and gives the new one, which must differ.
    pub fn edit_config(&self, change: impl FnOnce(&str) -> String) {
        let file = self.config();
        let text = fs::read_to_string(&file).expect("the config is there");
        let changed = change(&text);
        assert_ne!(text, changed, "the config did not change");
        fs::write(&file, changed).expect("the config can be written");
    }

    /// `ananke ARGS --config CONFIG` to its end.
    #[track_caller]
    pub fn ananke(&self, args: &[&str]) -> Run {
        self.start(args).end(LIMIT)
    }

    /// `ananke ARGS --config CONFIG`, which goes on while the test does something to it.
    pub fn start(&self, args: &[&str]) -> Going {
        Going::spawn(ananke_command().args(args).arg("--config").arg(self.config()))
    }

    /// The same with more in its environment.
    pub fn start_with(&self, args: &[&str], more: &[(&str, &str)]) -> Going {
        Going::spawn(ananke_command().args(args).arg("--config").arg(self.config()).envs(more.iter().copied()))
    }

    /// `kubectl ARGS`, with a home of its own.
    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> Run {
        let mut command = Command::new("kubectl");
        command.args(args).env("KUBECONFIG", self.path("kubeconfig")).env("HOME", self.dir());
        Going::spawn(&mut command).end(LIMIT)
    }

    /// `ananke sim inject FAULT [--node NODE]`; it must succeed.
    #[track_caller]
    pub fn inject(&self, fault: &str, node: Option<&str>) {
        let mut args = vec!["inject", fault];
        args.extend(node.iter().flat_map(|node| ["--node", node]));
        self.sim(&args).ok();
    }

    /// The same for a fault of the API that is over after so many simulated seconds.
    #[track_caller]
    pub fn inject_for(&self, fault: &str, seconds: u64) {
        self.sim(&["inject", fault, "--seconds", &seconds.to_string()]).ok();
    }

    /// `ananke sim power cut|restore`; it must succeed.
    #[track_caller]
    pub fn power(&self, what: &str) {
        self.sim(&["power", what]).ok();
    }

    /// What is true of the world, as `ananke sim truth -o json` says: `hosts_up`, `api`, `workloads_converged` and more.
    #[track_caller]
    pub fn truth(&self) -> Value {
        let run = self.sim(&["truth", "-o", "json"]).exits(0);
        run.json().get("status").cloned().unwrap_or_else(|| panic!("no status: {run}"))
    }

    fn sim(&self, args: &[&str]) -> Run {
        Going::spawn(ananke_command().arg("sim").args(args).arg("--dir").arg(self.dir())).end(LIMIT)
    }

    /// Every request that the cluster was asked so far: `VERB PATH STATUS` and `SSH NODE COMMAND EXIT`.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("requests.log")).expect("the request log is there");
        log.lines().map(str::to_owned).collect()
    }

    /// A JSON file of the state directory.
    #[track_caller]
    pub fn state(&self, name: &str) -> Value {
        let file = self.path("state").join(name);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{} is not JSON: {error}", file.display()))
    }

    /// Every file of the state directory with its bytes.
    pub fn state_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut places = vec![self.path("state")];
        while let Some(place) = places.pop() {
            let Ok(entries) = fs::read_dir(&place) else { continue };
            for entry in entries {
                let path = entry.expect("an entry of the state directory").path();
                if path.is_dir() {
                    places.push(path);
                } else {
                    files.insert(path.clone(), fs::read(&path).expect("a state file can be read"));
                }
            }
        }
        files
    }
}
