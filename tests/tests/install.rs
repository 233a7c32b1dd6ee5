//! `cargo xtask install` into an empty root, and what systemd says of what lies there then. The quality gate is left out: it
//! would run this test.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and starts real programs")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ananke_tests::{Going, LIMIT, Run, as_root, binary, require, xtask};
use expect_test::expect;
use tempfile::TempDir;

const UNITS: [&str; 4] = ["ananke.service", "ananke-bootstrap.service", "ananke-update.service", "ananke-update.timer"];

struct Root {
    dir: TempDir,
}

impl Root {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    fn installed() -> Self {
        let root = Self::new();
        root.install().exits(0);
        root
    }

    #[track_caller]
    fn install(&self) -> Run {
        let mut command = Command::new(xtask());
        command.arg("install").arg("--destdir").arg(self.dir.path()).arg("--binary").arg(binary());
        Going::spawn(command.env("ANANKE_ENFORCE_QUALITY_GATE", "0")).end(Duration::from_secs(300))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Every file with its mode, but for the pages of the subcommands.
    fn listing(&self) -> String {
        let mut lines = Vec::new();
        let mut places = vec![self.dir.path().to_owned()];
        while let Some(place) = places.pop() {
            for entry in fs::read_dir(place).unwrap() {
                let path = entry.unwrap().path();
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
                let name = path.strip_prefix(self.dir.path()).unwrap().display().to_string();
                if path.is_dir() {
                    places.push(path);
                    lines.extend((name == "etc/ananke").then(|| format!("{name}/ {mode:04o}\n")));
                } else if !name.contains("/man1/ananke-") {
                    lines.push(format!("{name} {mode:04o}\n"));
                }
            }
        }
        lines.sort();
        lines.concat()
    }
}

#[test]
fn everything_has_its_place_and_a_second_time_changes_nothing() {
    let root = Root::new();
    let first = root.install().exits(0);
    expect![[r#"
        etc/ananke/ 0700
        etc/ananke/ananke.yaml.example 0600
        usr/local/bin/ananke 0755
        usr/local/lib/systemd/system/ananke-bootstrap.service 0644
        usr/local/lib/systemd/system/ananke-update.service 0644
        usr/local/lib/systemd/system/ananke-update.timer 0644
        usr/local/lib/systemd/system/ananke.service 0644
        usr/local/lib/sysusers.d/ananke.conf 0644
        usr/local/lib/tmpfiles.d/ananke.conf 0644
        usr/local/share/bash-completion/completions/ananke 0644
        usr/local/share/doc/ananke/examples/ananke.yaml 0644
        usr/local/share/fish/vendor_completions.d/ananke.fish 0644
        usr/local/share/man/man1/ananke.1 0644
        usr/local/share/zsh/site-functions/_ananke 0644
        var/log/ananke/update.log 0644
    "#]]
    .assert_eq(&root.listing());
    assert!(first.stderr.contains("WARNING: ANANKE_ENFORCE_QUALITY_GATE=0 is set: what is installed was not tested."), "{first}");
    let log = root.read("var/log/ananke/update.log");
    let says = " install: ananke 0.1.0 in /usr/local/bin/ananke; the quality gate was BYPASSED: ANANKE_ENFORCE_QUALITY_GATE=0 was set, nothing was tested\n";
    assert!(log.ends_with(says) && log.lines().count() == 1, "{log}");
    assert_eq!(fs::read(root.path("usr/local/bin/ananke")).unwrap(), fs::read(binary()).unwrap());
    assert!(root.path("usr/local/share/man/man1/ananke-shutdown.1").is_file());

    fs::write(root.path("etc/ananke/ananke.yaml"), "mine: true\n").unwrap();
    fs::write(root.path("etc/ananke/ananke.yaml.example"), "# of an older Ananke\n").unwrap();
    let second = root.install().exits(0);
    let written: Vec<_> = second.stdout.lines().filter(|line| line.starts_with("installed ")).collect();
    assert_eq!(written, [format!("installed {}", root.path("etc/ananke/ananke.yaml.example").display())]);
    assert_eq!(root.read("etc/ananke/ananke.yaml"), "mine: true\n");
    assert_eq!(root.read("etc/ananke/ananke.yaml.example"), root.read("usr/local/share/doc/ananke/examples/ananke.yaml"));
    assert_eq!(root.read("var/log/ananke/update.log").lines().count(), 2);
}

#[test]
fn systemd_takes_the_units_and_finds_the_daemon_closed_in() {
    if !require("systemd-analyze", "systemd") {
        return;
    }
    let root = Root::installed();
    let here = root.path("units");
    fs::create_dir(&here).unwrap();
    for unit in UNITS {
        // It looks whether the program is there.
        let text = root.read(&format!("usr/local/lib/systemd/system/{unit}"));
        let text = text.replace("/usr/local/bin/ananke", root.path("usr/local/bin/ananke").to_str().unwrap());
        fs::write(here.join(unit), text).unwrap();
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=yes"]).args(UNITS.map(|unit| here.join(unit)));
    assert_eq!(Going::spawn(&mut verify).end(LIMIT).exits(0).said(), "");
    for unit in ["ananke.service", "ananke-bootstrap.service"] {
        let mut exposure = Command::new("systemd-analyze");
        exposure.args(["security", "--no-pager", "--offline=true", "--threshold=30"]).arg(here.join(unit));
        Going::spawn(&mut exposure).end(LIMIT).exits(0);
    }
}

#[test]
fn the_user_and_the_directories_are_made_by_systemd() {
    if !require("systemd-sysusers", "systemd") || !as_root().is_some_and(|prefix| prefix.is_empty()) {
        return;
    }
    let root = Root::installed();
    for (program, args, kind) in [("systemd-sysusers", &[][..], "sysusers"), ("systemd-tmpfiles", &["--create"], "tmpfiles")] {
        let file = root.path(&format!("usr/local/lib/{kind}.d/ananke.conf"));
        let mut command = Command::new(program);
        command.arg(format!("--root={}", root.dir.path().display())).args(args).arg(file);
        Going::spawn(&mut command).end(LIMIT).exits(0);
    }
    let passwd = root.read("etc/passwd");
    let user: Vec<&str> = passwd.lines().find_map(|line| line.strip_prefix("ananke:")).unwrap().split(':').collect();
    assert_eq!(user[3..], ["Builds of Ananke", "/var/cache/ananke", "/usr/sbin/nologin"]);
    let uid: u32 = user[1].parse().unwrap();
    let dirs =
        [("etc/ananke", 0o700, 0), ("var/lib/ananke", 0o700, 0), ("var/log/ananke", 0o755, 0), ("var/cache/ananke", 0o750, uid)];
    for (dir, mode, owner) in dirs {
        let metadata = fs::metadata(root.path(dir)).unwrap();
        let found = (metadata.permissions().mode() & 0o7777, std::os::unix::fs::MetadataExt::uid(&metadata));
        assert_eq!(found, (mode, owner), "{dir}");
    }
}
