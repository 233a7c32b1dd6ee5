//! A real OpenSSH on a port of its own, with keys and files that a test made.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use ananke_core::name::NodeName;
use ananke_core::port::PortError;
use ananke_core::spec::SshTarget;
use ananke_ssh::{SshHosts, SshSettings};
use tempfile::TempDir;

use crate::{LIMIT, WallClock, require, until};

/// An intent, as a peer gives it.
const ANSWER: &str = r#"#!/bin/sh
echo ananke:answer
echo '{"state": "shutting_down", "run": "shutdown-20260314T020611000Z", "at": "2026-03-14T02:06:11.000Z", "reason": "battery"}'
"#;

/// A program of the test; it ends with this.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A directory with a user's key `id`, and hosts that accept it.
#[derive(Debug)]
pub struct Desk {
    dir: TempDir,
}

/// An sshd that answers every command with an intent.
#[derive(Debug)]
pub struct Sshd {
    pub port: u16,
    pub log: PathBuf,
    pub key: String,
    running: Running,
}

impl Desk {
    pub fn new() -> Option<Self> {
        if !(require("sshd", "openssh-server") && require("ssh-agent", "openssh-client")) {
            return None;
        }
        let desk = Self { dir: TempDir::new().unwrap() };
        desk.key("id", "");
        std::fs::copy(desk.path("id.pub"), desk.path("authorized_keys")).unwrap();
        std::fs::write(desk.path("known_hosts"), "").unwrap();
        Some(desk)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn keygen(&self, args: &[&str]) {
        let done = Command::new("ssh-keygen").arg("-q").args(args).current_dir(self.dir.path()).output().unwrap();
        assert!(done.status.success(), "ssh-keygen {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    pub fn key(&self, name: &str, passphrase: &str) {
        self.keygen(&["-t", "ed25519", "-N", passphrase, "-f", name]);
    }

    pub fn script(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Its host key is NAME, which is made where it is missing.
    pub fn sshd(&self, name: &str, more: &str) -> Sshd {
        if !self.path(name).exists() {
            self.key(name, "");
        }
        let place = self.dir.path().display();
        if !self.path("answer").exists() {
            self.script("answer", ANSWER);
        }
        let port = closed_port();
        let config = format!(
            "{more}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {place}/{name}\nAuthorizedKeysFile {place}/authorized_keys\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             LogLevel DEBUG1\nForceCommand {place}/answer\n"
        );
        let (file, log) = (self.path(&format!("{name}.config")), self.path(&format!("{name}.log")));
        std::fs::write(&file, config).unwrap();
        // That of an sshd before it says that it listens.
        let _gone = std::fs::remove_file(&log);
        // Where Debian's sshd, run by root, keeps its empty directory.
        let _there = std::fs::create_dir_all("/run/sshd");
        let mut command = Command::new("/usr/sbin/sshd");
        let running = Running(command.arg("-D").arg("-E").arg(&log).arg("-f").arg(&file).spawn().unwrap());
        until("sshd listens", LIMIT, || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Server listening")).then_some(())
        });
        let key = self.text(&format!("{name}.pub")).split(' ').take(2).collect::<Vec<_>>().join(" ");
        Sshd { port, log, key, running }
    }

    pub fn believe(&self, lines: &[String]) {
        std::fs::write(self.path("known_hosts"), lines.join("\n") + "\n").unwrap();
    }

    pub fn settings(&self, port: u16) -> SshSettings {
        let known = self.path("known_hosts");
        let mut settings = SshSettings::direct(BTreeMap::from([(node(), target(port))]), self.path("id"), known);
        settings.connect_timeout = Duration::from_secs(10);
        settings.auth_timeout = Duration::from_secs(10);
        settings
    }
}

pub fn node() -> NodeName {
    NodeName::parse("titan-01").unwrap()
}

pub fn target(port: u16) -> SshTarget {
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    SshTarget { host: "127.0.0.1".to_owned(), port, user: String::from_utf8(user).unwrap().trim().to_owned() }
}

pub fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Sshd {
    pub fn pid(&self) -> u32 {
        self.running.0.id()
    }

    /// The line of known hosts that believes it.
    pub fn line(&self) -> String {
        format!("[127.0.0.1]:{} {}", self.port, self.key)
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

/// A command got to the host and back.
pub async fn reaches(settings: SshSettings) -> Result<(), PortError> {
    SshHosts::new(settings, Arc::new(WallClock))?.intent(&node()).await.map(drop)
}
