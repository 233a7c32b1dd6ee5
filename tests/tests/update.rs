//! `ananke update` against a real Git repository whose "build" makes a script, with a systemctl that is one too: what is new
//! is taken if it is well, and whatever goes wrong, a whole program that works is in its place.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and starts real programs")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use ananke_tests::upsd::Nut;
use ananke_tests::{Going, LIMIT, Run, ananke_command, as_root, require, until};
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Starts, takes any config, and says which one it is.
const WELL: &str = "case $1 in --version) echo \"ananke 0.2.0\" ;; config) exit 0 ;; esac";

/// A host with an old Ananke, a repository of new ones, and a daemon that is said to run.
struct Site {
    dir: TempDir,
}

impl Site {
    /// None where there is no git.
    fn new() -> Option<Self> {
        require("git", "git").then(|| {
            let site = Self { dir: TempDir::new().unwrap() };
            for name in ["bin", "remote"] {
                fs::create_dir(site.path(name)).unwrap();
            }
            site.script("bin/ananke", WELL);
            let (active, program) = (site.path("active"), site.path("bin/ananke"));
            let (active, program, log) = (active.display(), program.display(), site.path("systemctl.log"));
            site.script(
                "bin/systemctl",
                &format!(
                    "echo \"$@\" >> {}\ncase $1 in\nis-active) [ -e {active} ] ;;\nshow) grep -c flaps {program} || : ;;\nrestart) if grep -q crashes {program}; then rm -f {active}; else : > {active}; fi ;;\nesac",
                    log.display()
                ),
            );
            fs::write(site.path("active"), "").unwrap();
            fs::write(site.path("kubeconfig"), "x").unwrap();
            site.config("root", "");
            site.git(&["init", "--quiet", "--initial-branch", "main"]);
            site.write("remote/.gitignore", "target\n");
            site.write("remote/build.sh", "mkdir -p target/dist && cp ananke.sh target/dist/ananke\n");
            site.write("remote/gate.sh", "echo all is well\n");
            site.commit("first", WELL);
            site
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn script(&self, name: &str, text: &str) {
        self.write(name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(self.path(name), Permissions::from_mode(0o755)).unwrap();
    }

    fn config(&self, user: &str, more: &str) {
        let dir = self.dir.path().display();
        self.write(
            "ananke.yaml",
            &format!(
                "kubeconfig: kubeconfig\ncontrol_planes: [titan-01]\nstate_dir: state\n{more}update:\n  remote: {dir}/remote\n  \
                 directory: {dir}/cache/source\n  user: {user}\n  build: [sh, build.sh]\n  gate: [sh, gate.sh]\n  program: \
                 {dir}/bin/ananke\n  settle: 10ms\n  log: log/update.log\n"
            ),
        );
    }

    fn git(&self, args: &[&str]) -> String {
        let who = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
        Going::spawn(Command::new("git").args(who).args(args).current_dir(self.path("remote"))).end(LIMIT).ok()
    }

    /// A commit whose build makes a program of this text; its name.
    fn commit(&self, message: &str, program: &str) -> String {
        self.script("remote/ananke.sh", &format!("# {message}\n{program}"));
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = ananke_command();
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command.arg("update").args(args).arg("--config").arg(self.path("ananke.yaml"));
        command
    }

    #[track_caller]
    fn update(&self, args: &[&str]) -> Run {
        Going::spawn(&mut self.command(args)).end(LIMIT)
    }

    /// Which commit the program is of; its message.
    fn installed(&self) -> String {
        let text = fs::read_to_string(self.path("bin/ananke")).unwrap();
        text.lines().nth(1).and_then(|line| line.strip_prefix("# ")).unwrap_or("the old one").to_owned()
    }

    fn record(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path("state/update.json")).unwrap()).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log/update.log")).unwrap_or_default()
    }

    /// The log since `before`, without times, commits and places.
    fn told(&self, before: &str, expect: Expect) {
        let log = self.log();
        let mut text = String::new();
        for line in log.strip_prefix(before).unwrap().lines() {
            let line = line.split_once("Z ").map_or(line, |(_, line)| line);
            let line = line.replace(self.dir.path().to_str().unwrap(), "D");
            let line = line.rsplit_once(" (").filter(|(_, took)| took.ends_with("s)")).map_or(line.as_str(), |(line, _)| line);
            let words = line.split(' ').map(|word| match word.trim_end_matches([';', ':']) {
                word if word.len() == 12 && word.bytes().all(|b| b.is_ascii_hexdigit()) => "COMMIT",
                word if word.starts_with("20") && word.ends_with('Z') => "TIME",
                _ => word,
            });
            text.push_str(&words.collect::<Vec<_>>().join(" "));
            text.push('\n');
        }
        expect.assert_eq(&text);
    }
}

#[test]
fn a_new_commit_is_built_checked_and_taken() {
    let Some(site) = Site::new() else { return };
    site.update(&[]).exits(0);
    assert_eq!(site.installed(), "first");
    site.told(
        "",
        expect![[r#"
        look: main is at COMMIT
        fetch: COMMIT is in D/cache/source
        build: begins: sh build.sh
        build: COMMIT is built
        gate: begins: sh gate.sh
        gate: COMMIT passed
        stage: D/bin/ananke.next
        check: D/bin/ananke.next says ananke 0.2.0, and takes D/ananke.yaml
        exchange: D/bin/ananke is COMMIT the one before is D/bin/ananke.previous
        health: D/bin/ananke says ananke 0.2.0, and takes D/ananke.yaml
        health: the daemon was restarted
        health: the daemon runs, 0s after its restart
        done: COMMIT is installed
    "#]],
    );
    assert_eq!(fs::read_to_string(site.path("systemctl.log")).unwrap().lines().last(), Some("is-active --quiet ananke.service"));
    let before = site.log();
    site.update(&[]).exits(0);
    site.told(
        &before,
        expect![[r#"
        look: main is at COMMIT
        done: nothing new: COMMIT is installed
    "#]],
    );
    site.commit("second", WELL);
    assert!(site.update(&["--check"]).ok().contains(" is installed\n"));
    assert_eq!(site.installed(), "first");
    site.write("cache/source/target/left", "by a build before");
    site.update(&[]).exits(0);
    assert_eq!(site.installed(), "second");
    assert!(!site.path("cache/source/target/left").exists(), "nightly builds fill the disk");
    assert!(fs::read_to_string(site.path("bin/ananke.previous")).unwrap().contains("# first"));
}

#[test]
fn a_program_under_which_the_daemon_does_not_stay_is_put_back_and_not_tried_every_night() {
    let Some(site) = Site::new() else { return };
    site.update(&[]).exits(0);
    let before = site.log();
    site.commit("second", &format!("# crashes\n{WELL}"));
    site.update(&[]).exits(1);
    assert_eq!(site.installed(), "first");
    site.told(
        &before,
        expect![[r#"
        look: main is at COMMIT
        fetch: COMMIT is in D/cache/source
        build: begins: sh build.sh
        build: COMMIT is built
        gate: begins: sh gate.sh
        gate: COMMIT passed
        stage: D/bin/ananke.next
        check: D/bin/ananke.next says ananke 0.2.0, and takes D/ananke.yaml
        exchange: D/bin/ananke is COMMIT the one before is D/bin/ananke.previous
        health: D/bin/ananke says ananke 0.2.0, and takes D/ananke.yaml
        health: the daemon was restarted
        health: FAILED: the daemon did not stay up
        roll back: D/bin/ananke is what it was
        roll back: the daemon was restarted
        failed: COMMIT was put back: health: the daemon did not stay up; what was installed before is what runs
    "#]],
    );
    assert!(site.path("active").exists(), "the daemon runs again");
    let before = site.log();
    site.update(&[]).exits(5);
    site.told(
        &before,
        expect![[r#"
        look: main is at COMMIT
        refused: COMMIT was put back at TIME health: the daemon did not stay up; `ananke update --again` tries it once more
    "#]],
    );
    site.update(&["--again"]).exits(1);
    // One that systemd has to start again and again runs at times.
    site.commit("flapping", &format!("# flaps\n{WELL}"));
    site.update(&[]).exits(1);
    assert_eq!(site.installed(), "first");
    site.commit("third", WELL);
    site.update(&[]).exits(0);
    assert_eq!((site.installed().as_str(), &site.record()["put_back"]), ("third", &Value::Null));
}

#[test]
fn what_does_not_build_pass_the_gate_or_take_the_config_never_gets_into_place() {
    let Some(site) = Site::new() else { return };
    let fails = |message: &str, file: &str, text: &str, program: &str, step: &str| {
        let kept = fs::read_to_string(site.path(file)).unwrap();
        site.write(file, text);
        site.commit(message, program);
        let run = site.update(&[]).exits(1);
        assert!(run.stderr.contains(&format!(" {step}: FAILED: ")), "{run}");
        assert_eq!(site.installed(), "the old one");
        assert!(!site.path("bin/ananke.next").exists() && !site.path("systemctl.log").exists());
        site.write(file, &kept);
        run
    };
    let run = fails("a", "remote/build.sh", "echo error: no such crate; exit 101\n", WELL, "build");
    assert!(run.stderr.contains("\n    | error: no such crate\n"), "{run}");
    let run = fails("b", "remote/gate.sh", "echo 3 tests failed; exit 1\n", WELL, "gate");
    assert!(run.stderr.contains("\n    | 3 tests failed\n") && site.log().contains("| 3 tests failed"), "{run}");
    fails("c", "remote/.gitignore", "target\n", "case $1 in --version) echo \"ananke 1\" ;; *) exit 2 ;; esac", "check");
    fails("d", "remote/.gitignore", "target\n", "echo somebody else", "check");
    site.commit("e", WELL);
    site.update(&[]).exits(0);
    assert_eq!(site.installed(), "e");
    assert!(!site.log().contains("made anew"), "a failed build is no torn one");
}

#[test]
fn the_gate_can_be_left_out_and_the_log_says_so() {
    let Some(site) = Site::new() else { return };
    site.write("remote/gate.sh", "exit 1\n");
    site.commit("second", WELL);
    Going::spawn(site.command(&[]).env("ANANKE_ENFORCE_QUALITY_GATE", "0")).end(LIMIT).exits(0);
    assert_eq!(site.installed(), "second");
    assert!(site.log().contains("ANANKE_ENFORCE_QUALITY_GATE=0 is set; nothing was tested"), "{}", site.log());
}

#[test]
fn nothing_is_touched_during_a_run_or_while_the_cluster_is_to_be_down() {
    let Some(site) = Site::new() else { return };
    let refused = |why: &str| {
        let run = site.update(&[]).exits(5);
        assert!(run.stderr.contains(why) && site.log().contains(why), "{run}");
        assert!(!site.path("cache").exists() && site.installed() == "the old one");
    };
    fs::create_dir(site.path("state")).unwrap();
    fs::set_permissions(site.path("state"), Permissions::from_mode(0o700)).unwrap();
    let lock = File::create(site.path("state/run.lock")).unwrap();
    lock.lock().unwrap();
    site.write("state/run.lock", &json!({"pid": 7, "command": "startup", "since": "2026-03-14T02:06:11Z"}).to_string());
    refused("startup, process 7");
    drop(lock);
    let intent = |state: &str| {
        json!({"schema": 1, "state": state, "run": "r-1", "at": "2026-03-14T02:06:11Z", "reason": "maintenance"}).to_string()
    };
    for (state, why) in [("shutdown_complete", "shutdown complete since"), ("startup_in_progress", "start-up in progress since")]
    {
        site.write("state/intent.json", &intent(state));
        refused(why);
    }
    site.write("state/intent.json", "{");
    refused("read the intent");
    site.write("state/intent.json", &intent("normal"));
    // Nobody listens there.
    site.config("root", "ups: [\"rack@127.0.0.1:1\"]\n");
    refused("UPS rack@127.0.0.1:1 is not heard");
    site.config("root", "");
    site.update(&[]).exits(0);
}

#[test]
fn nothing_is_touched_on_battery() {
    let Some(site) = Site::new() else { return };
    let Some(nut) = Nut::up("OB DISCHRG 90 3000") else { return };
    site.config("root", &format!("ups: [\"rack@127.0.0.1:{}\"]\n", nut.port));
    // Its first answers may come before the driver's first word: then it is not heard, which is no better.
    until("upsd says what its driver does", LIMIT, || {
        site.update(&[]).exits(5).stderr.contains("is not on line (OB DISCHRG)").then_some(())
    });
    assert!(!site.path("cache").exists());
}

#[test]
fn a_directory_with_something_else_in_it_is_left_alone() {
    let Some(site) = Site::new() else { return };
    fs::create_dir_all(site.path("cache/source")).unwrap();
    site.write("cache/source/precious", "");
    let run = site.update(&[]).exits(1);
    assert!(run.stderr.contains("is not empty, and no update made it") && site.path("cache/source/precious").exists(), "{run}");
    fs::remove_file(site.path("cache/source/precious")).unwrap();
    site.update(&[]).exits(0);
    assert_eq!(site.installed(), "first");
}

#[test]
fn a_branch_that_was_rewritten_is_taken_only_when_it_is_said_so() {
    let Some(site) = Site::new() else { return };
    site.commit("second", WELL);
    site.update(&[]).exits(0);
    site.git(&["reset", "--quiet", "--hard", "HEAD^"]);
    site.commit("other", WELL);
    let run = site.update(&[]).exits(5);
    assert!(run.stderr.contains("somebody rewrote the branch"), "{run}");
    assert_eq!(site.installed(), "second");
    site.update(&["--allow-rewind"]).exits(0);
    assert_eq!(site.installed(), "other");
}

#[test]
fn an_update_that_was_cut_off_while_it_built_begins_anew() {
    let Some(site) = Site::new() else { return };
    site.write("remote/build.sh", "[ -e target/torn ] && exit 7; mkdir target; : > target/torn; exec sleep 60\n");
    site.commit("slow", WELL);
    let going = Going::spawn(&mut site.command(&[]));
    until("it builds", LIMIT, || site.path("cache/source/target/torn").exists().then_some(()));
    assert_eq!(site.update(&[]).exits(5).stderr.matches("another run holds").count(), 1, "one update at a time");
    going.kill();
    assert_eq!(site.installed(), "the old one");
    site.write("remote/build.sh", "[ -e target/torn ] && exit 7; mkdir -p target/dist && cp ananke.sh target/dist/ananke\n");
    site.commit("second", WELL);
    site.update(&[]).exits(0);
    assert!(site.log().contains("recover: "), "{}", site.log());
    assert_eq!(site.installed(), "second");
}

#[test]
fn an_update_that_was_cut_off_around_the_exchange_is_brought_to_an_end() {
    let Some(site) = Site::new() else { return };
    site.update(&[]).exits(0);
    // What a power cut leaves behind in the middle of an update to the newest commit.
    let cut = |to: &str| {
        let mut record = site.record();
        record["swapping"] = json!({"to": to, "daemon": true});
        site.write("state/update.json", &record.to_string());
        site.log()
    };
    // Before the exchange: the next one lies beside, and is made again.
    let before = cut(&site.commit("second", WELL));
    site.script("bin/ananke.next", "exit 1");
    site.update(&[]).exits(0);
    assert_eq!(site.installed(), "second");
    assert!(site.log().strip_prefix(&before).unwrap().contains(" was cut off before it exchanged the program\n"));
    // After it, with a program that is well: it stays.
    let third = site.commit("third", WELL);
    let before = cut(&third);
    site.script("bin/ananke", &format!("# third\n{WELL}"));
    fs::remove_file(site.path("active")).unwrap();
    site.update(&[]).exits(0);
    site.told(
        &before,
        expect![[r#"
        recover: the update to COMMIT was cut off after it exchanged the program
        health: D/bin/ananke says ananke 0.2.0, and takes D/ananke.yaml
        health: the daemon was restarted
        health: the daemon runs, 0s after its restart
        look: main is at COMMIT
        done: nothing new: COMMIT is installed
    "#]],
    );
    assert_eq!((site.installed().as_str(), &site.record()["installed"]), ("third", &json!(third)));
    assert!(site.path("active").exists(), "the daemon ran before, and runs again");
    // After it, with one under which the daemon does not stay: the one before is back.
    let crashes = format!("# crashes\n{WELL}");
    let before = cut(&site.commit("fourth", &crashes));
    site.script("bin/ananke.previous", &format!("# third\n{WELL}"));
    site.script("bin/ananke", &format!("# fourth\n{crashes}"));
    site.update(&[]).exits(5);
    site.told(
        &before,
        expect![[r#"
        recover: the update to COMMIT was cut off after it exchanged the program
        health: D/bin/ananke says ananke 0.2.0, and takes D/ananke.yaml
        health: the daemon was restarted
        health: FAILED: the daemon did not stay up
        roll back: D/bin/ananke is what it was
        roll back: the daemon was restarted
        look: main is at COMMIT
        refused: COMMIT was put back at TIME health: the daemon did not stay up; `ananke update --again` tries it once more
    "#]],
    );
    assert_eq!((site.installed().as_str(), &site.record()["installed"]), ("third", &json!(third)));
    // While it put the one before back: that one answers, and is not the new one.
    let fourth = site.record()["put_back"]["commit"].as_str().unwrap().to_owned();
    let before = cut(&fourth);
    site.update(&[]).exits(5);
    assert!(site.log().strip_prefix(&before).unwrap().contains("roll back: "), "{}", site.log());
    assert_eq!((site.installed().as_str(), &site.record()["installed"]), ("third", &json!(third)));
}

#[test]
fn root_lets_somebody_without_rights_build() {
    let Some(site) = Site::new() else { return };
    if !as_root().is_some_and(|prefix| prefix.is_empty()) {
        return;
    }
    // Whoever builds comes in here, and owns the place of the clone.
    fs::set_permissions(site.dir.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(site.path("cache")).unwrap();
    Going::spawn(Command::new("chown").arg("nobody").arg(site.path("cache"))).end(LIMIT).exits(0);
    site.config("nobody", "");
    let who = "{ id -un; id -Gn; echo \"${ANANKE_SECRET-none}\"; } > target/who";
    site.write("remote/build.sh", &format!("mkdir -p target/dist && cp ananke.sh target/dist/ananke && {who}\n"));
    // Git trusts a repository on this machine only where its owner is known.
    site.commit("second", WELL);
    Going::spawn(Command::new("chown").args(["-R", "nobody"]).arg(site.path("remote"))).end(LIMIT).exits(0);
    Going::spawn(site.command(&[]).env("ANANKE_SECRET", "secret")).end(LIMIT).exits(0);
    assert_eq!(fs::read_to_string(site.path("cache/source/target/who")).unwrap(), "nobody\nnogroup\nnone\n");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(site.path("bin/ananke")).unwrap());
    assert_eq!((owner, site.installed().as_str()), (0, "second"));
    // A link to what only root can read is not followed.
    site.write("remote/build.sh", "mkdir -p target/dist && ln -sf /etc/shadow target/dist/ananke\n");
    Going::spawn(
        Command::new("git")
            .args(["-c", "safe.directory=*", "-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(["commit", "--quiet", "--all", "--message", "link"])
            .current_dir(site.path("remote")),
    )
    .end(LIMIT)
    .exits(0);
    let run = site.update(&[]).exits(1);
    assert!(run.stderr.contains("stage: FAILED: ") && !site.path("bin/ananke.next").exists(), "{run}");
}
