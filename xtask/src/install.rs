//! `cargo xtask install`: the quality gate, then every file in its place. A second time changes nothing, and a config that
//! is there is never touched. `cargo xtask dist` uses the same table for its package.

mod files;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use files::{Put, put};

use crate::cargo::{build_dist, cargo, program, root};
use crate::gate;

const BYPASS: &str = "ANANKE_ENFORCE_QUALITY_GATE";
const LOG: &str = "var/log/ananke/update.log";
/// Where the units in the repository say that the program is.
const UNIT_PROGRAM: &str = "/usr/local/bin/ananke";

/// Where it goes.
#[derive(Debug)]
pub(crate) struct Place {
    /// `/usr/local`, or `/usr` for packages.
    pub(crate) prefix: PathBuf,
    /// What stands before every path; none on the machine itself.
    pub(crate) destdir: Option<PathBuf>,
}

impl Place {
    /// A whole path, with what stands before it.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        let below = path.strip_prefix("/").unwrap_or(path);
        self.destdir.as_deref().unwrap_or(Path::new("/")).join(below)
    }

    fn program(&self) -> PathBuf {
        self.prefix.join("bin/ananke")
    }
}

/// What the quality gate said of what is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gated {
    Passed,
    Bypassed,
}

#[derive(Debug)]
struct Asked {
    place: Place,
    /// Built before; none: it is built now.
    binary: Option<PathBuf>,
    /// Said by the same task, before it became root.
    gated: Option<Gated>,
}

pub(crate) fn run(args: &[&str]) -> ExitCode {
    let done = asked(args).and_then(|asked| install(&asked));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("install: {why}");
            ExitCode::FAILURE
        }
    }
}

fn asked(args: &[&str]) -> Result<Asked, String> {
    let mut asked = Asked { place: Place { prefix: "/usr/local".into(), destdir: None }, binary: None, gated: None };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value, or is no flag\n{}", crate::USAGE))?;
        match *flag {
            "--prefix" if value.starts_with('/') => asked.place.prefix = value.into(),
            "--destdir" => asked.place.destdir = Some(std::path::absolute(value).map_err(|error| error.to_string())?),
            "--binary" => asked.binary = Some(value.into()),
            "--gated" if *value == "passed" => asked.gated = Some(Gated::Passed),
            "--gated" if *value == "bypassed" => asked.gated = Some(Gated::Bypassed),
            _ => return Err(format!("found {flag} {value}\n{}", crate::USAGE)),
        }
    }
    Ok(asked)
}

fn install(asked: &Asked) -> Result<(), String> {
    let place = &asked.place;
    let gated = match asked.gated {
        Some(gated) => gated,
        None => pass_the_gate()?,
    };
    let binary = asked.binary.clone().map_or_else(|| build_dist(&[]), Ok)?;
    if place.destdir.is_none() && !am_root()? {
        return as_root(place, &binary, gated);
    }
    put_all(place, &binary)?;
    put_config(place)?;
    // What somebody built elsewhere is of a commit that we do not know.
    let built_here = asked.binary.is_none() || asked.gated.is_some();
    put_commit(place, built_here.then(commit).flatten().as_deref())?;
    let version = said(&binary, &["--version"]).unwrap_or_else(|_| "ananke for another machine".to_owned());
    let gate = match gated {
        Gated::Passed => "the quality gate passed".to_owned(),
        Gated::Bypassed => format!("the quality gate was BYPASSED: {BYPASS}=0 was set, nothing was tested"),
    };
    note(place, &format!("{} in {}; {gate}", version.trim(), place.program().display()))?;
    match place.destdir {
        Some(_) => Ok(()),
        None => settle(place),
    }
}

fn pass_the_gate() -> Result<Gated, String> {
    if std::env::var_os(BYPASS).is_some_and(|value| value == "0") {
        let line = "*".repeat(88);
        eprintln!(
            "{line}\nWARNING: {BYPASS}=0 is set: what is installed was not tested.\nThe log of updates says so. Run `cargo xtask quality-gate` as soon as the emergency is over.\n{line}"
        );
        return Ok(Gated::Bypassed);
    }
    match gate::passes(gate::Extent::Full) {
        true => Ok(Gated::Passed),
        false => Err(format!("the quality gate failed, and nothing was installed; in an emergency set {BYPASS}=0")),
    }
}

/// Gate and build were a person's; only the files are root's.
fn as_root(place: &Place, binary: &Path, gated: Gated) -> Result<(), String> {
    let this = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    let mut command = Command::new("sudo");
    command.arg(this).arg("install").arg("--prefix").arg(&place.prefix).arg("--binary").arg(binary);
    command.args(["--gated", if gated == Gated::Passed { "passed" } else { "bypassed" }]);
    println!("$ {command:?}");
    let status = command.status().map_err(|error| format!("run sudo: {error}; run it as root, or give --destdir"))?;
    if status.success() { Ok(()) } else { Err(format!("sudo ended with {status}")) }
}

fn am_root() -> Result<bool, String> {
    Ok(fs::metadata("/proc/self").map_err(|error| format!("look at /proc/self: {error}"))?.uid() == 0)
}

/// Everything below the prefix.
pub(crate) fn put_all(place: &Place, binary: &Path) -> Result<(), String> {
    let below = |path: &str| place.at(place.prefix.join(path));
    let bytes = fs::read(binary).map_err(|error| format!("read {}: {error}", binary.display()))?;
    tell(&place.at(place.program()), &bytes, 0o755)?;
    for unit in ["ananke.service", "ananke-bootstrap.service", "ananke-update.service", "ananke-update.timer"] {
        let text = deploy(&format!("systemd/{unit}"))?.replace(UNIT_PROGRAM, &place.program().to_string_lossy());
        tell(&below(&format!("lib/systemd/system/{unit}")), text.as_bytes(), 0o644)?;
    }
    for kind in ["sysusers", "tmpfiles"] {
        let text = deploy(&format!("systemd/{kind}.conf"))?;
        tell(&below(&format!("lib/{kind}.d/ananke.conf")), text.as_bytes(), 0o644)?;
    }
    let shells = [
        ("bash", "share/bash-completion/completions/ananke"),
        ("zsh", "share/zsh/site-functions/_ananke"),
        ("fish", "share/fish/vendor_completions.d/ananke.fish"),
    ];
    for (shell, path) in shells {
        tell(&below(path), texts(binary, &["completions", shell])?.as_bytes(), 0o644)?;
    }
    put_pages(&below("share/man/man1"), binary)?;
    tell(&below("share/doc/ananke/examples/ananke.yaml"), texts(binary, &["config", "reference"])?.as_bytes(), 0o644)
}

fn put_pages(place: &Path, binary: &Path) -> Result<(), String> {
    let pages = root().join(format!("target/man/{}", std::process::id()));
    fs::create_dir_all(&pages).map_err(|error| format!("create {}: {error}", pages.display()))?;
    texts(binary, &["man", "--out", &pages.to_string_lossy()])?;
    for page in files::listed(&pages)? {
        let bytes = fs::read(&page).map_err(|error| format!("read {}: {error}", page.display()))?;
        let name = page.file_name().unwrap_or(OsStr::new("ananke.1"));
        tell(&place.join(name), &bytes, 0o644)?;
    }
    fs::remove_dir_all(&pages).map_err(|error| format!("remove {}: {error}", pages.display()))?;
    // Made by root, it would be in the way of whoever builds here; another install may be in it.
    fs::remove_dir(root().join("target/man")).ok();
    Ok(())
}

/// A config with names of hosts that nobody has would be worse than none: the units wait until there is one.
fn put_config(place: &Place) -> Result<(), String> {
    files::directory(&place.at("/etc/ananke"), 0o700)?;
    let example = place.at(place.prefix.join("share/doc/ananke/examples/ananke.yaml"));
    let text = fs::read(&example).map_err(|error| format!("read {}: {error}", example.display()))?;
    tell(&place.at("/etc/ananke/ananke.yaml.example"), &text, 0o600)?;
    let config = place.at("/etc/ananke/ananke.yaml");
    match config.exists() {
        true => println!("kept      {}", config.display()),
        false => println!("missing   {}: make it from ananke.yaml.example beside it", config.display()),
    }
    Ok(())
}

/// The commit that the working tree is at, if nothing in it differs.
fn commit() -> Option<String> {
    let git = |args: &[&str]| program("git", args).output().ok();
    let clean = git(&["status", "--porcelain"])?.is_empty();
    git(&["rev-parse", "HEAD"]).filter(|_| clean).map(|head| head.trim().to_owned())
}

/// What `ananke update` must know: it takes only what goes on from what is installed. An update that was cut off while it
/// exchanged the program is over with this.
fn put_commit(place: &Place, commit: Option<&str>) -> Result<(), String> {
    let path = place.at("/var/lib/ananke/update.json");
    let known = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if commit.is_none() && known.is_none() {
        return Ok(());
    }
    let mut record: serde_json::Map<String, serde_json::Value> = known.unwrap_or_default();
    record.insert("schema".to_owned(), 1.into());
    record.insert("installed".to_owned(), commit.into());
    record.remove("swapping");
    files::directory(path.parent().unwrap_or(Path::new("/")), 0o700)?;
    put(&path, serde_json::Value::Object(record).to_string().as_bytes(), 0o600).map(drop)
}

fn note(place: &Place, text: &str) -> Result<(), String> {
    let log = place.at(Path::new("/").join(LOG));
    files::directory(log.parent().unwrap_or(Path::new("/")), 0o755)?;
    files::append(&log, &format!("{:.3} install: {text}\n", jiff::Timestamp::now()))
}

/// What packages do in their scripts.
fn settle(place: &Place) -> Result<(), String> {
    let file = |kind: &str| place.prefix.join(format!("lib/{kind}.d/ananke.conf"));
    let run = |program: &str, args: &[&OsStr]| {
        let status = Command::new(program).args(args).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{program} ended with {status}")),
            Err(_) => {
                eprintln!("left out: there is no {program} here");
                Ok(())
            }
        }
    };
    run("systemd-sysusers", &[file("sysusers").as_os_str()])?;
    run("systemd-tmpfiles", &["--create".as_ref(), file("tmpfiles").as_os_str()])?;
    if Path::new("/run/systemd/system").exists() {
        run("systemctl", &["daemon-reload".as_ref()])?;
        println!(
            "next: write /etc/ananke/ananke.yaml and try `ananke config check`; then\n  systemctl enable --now ananke.service\n  systemctl try-restart ananke.service           # one that runs goes on with the program before until then\n  systemctl enable ananke-bootstrap.service      # a start-up after each boot of this host, where one is owed\n  systemctl enable --now ananke-update.timer     # with update.remote in the config"
        );
    }
    Ok(())
}

fn tell(path: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    match put(path, bytes, mode)? {
        Put::Written => println!("installed {}", path.display()),
        Put::Unchanged => println!("unchanged {}", path.display()),
    }
    Ok(())
}

fn deploy(name: &str) -> Result<String, String> {
    let path = root().join("deploy").join(name);
    fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))
}

/// What the program prints of itself; one for another machine is asked for by its twin on this one.
fn texts(binary: &Path, args: &[&str]) -> Result<String, String> {
    said(binary, args).or_else(|_| {
        let twin: Vec<&str> = ["run", "--quiet", "-p", "ananke-cli", "--"].iter().chain(args).copied().collect();
        cargo(&twin).output()
    })
}

fn said(program: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("run {}: {error}", program.display()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{} ended with {}", program.display(), output.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_below_the_destdir_and_prefixes_are_whole() {
        let asked = |args: &[&str]| asked(args).map(|asked| (asked.place.at(asked.place.program()), asked.binary));
        assert_eq!(asked(&[]).unwrap(), ("/usr/local/bin/ananke".into(), None));
        let given = asked(&["--prefix", "/usr", "--destdir", "/tmp/x", "--binary", "b"]).unwrap();
        assert_eq!(given, ("/tmp/x/usr/bin/ananke".into(), Some("b".into())));
        for bad in [&["--prefix", "usr"][..], &["--destdir"], &["--gated", "maybe"], &["x", "y"]] {
            assert!(asked(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_installation_says_which_commit_it_is_of_and_keeps_what_else_updates_know() {
        let dir = std::env::temp_dir().join(format!("ananke-install-{}", std::process::id()));
        let place = Place { prefix: "/usr/local".into(), destdir: Some(dir.clone()) };
        let record = || fs::read_to_string(place.at("/var/lib/ananke/update.json")).unwrap_or_default();
        put_commit(&place, None).unwrap();
        assert_eq!(record(), "", "nothing is known, and nothing was");
        put_commit(&place, Some("abc")).unwrap();
        assert_eq!(record(), r#"{"installed":"abc","schema":1}"#);
        let cut = r#"{"schema":1,"installed":"abc","directory":"/d","swapping":{"to":"x"}}"#;
        fs::write(place.at("/var/lib/ananke/update.json"), cut).unwrap();
        put_commit(&place, None).unwrap();
        assert_eq!(record(), r#"{"directory":"/d","installed":null,"schema":1}"#);
        fs::remove_dir_all(dir).unwrap();
    }
}
