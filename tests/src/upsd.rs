//! A real upsd with NUT's dummy-ups behind it, which says what the test wants.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Going, LIMIT, require, until};

/// Debian's /sbin/upsd is a script that asks /etc first.
const UPSD: &str = "/lib/nut/upsd";
const DRIVER: &str = "/lib/nut/dummy-ups";

/// One UPS behind a server of its own.
#[derive(Debug)]
pub struct Nut {
    dir: TempDir,
    pub port: u16,
    _driver: Going,
    server: Option<Going>,
}

impl Nut {
    /// It says `first`; none where there is no upsd.
    pub fn up(first: &str) -> Option<Self> {
        Self::up_with(first, |_| String::new())
    }

    /// The same with more in upsd.conf, which may name files in its directory.
    pub fn up_with(first: &str, more: impl FnOnce(&Path) -> String) -> Option<Self> {
        if !require("upsd", "nut-server") {
            return None;
        }
        let dir = TempDir::new().expect("a directory for NUT");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("a file of NUT");
        fs::create_dir(dir.path().join("state")).expect("a directory for its sockets");
        write("ups.conf", "maxretry = 3\npollinterval = 1\n[rack]\n  driver = dummy-ups\n  port = rack.dev\n");
        write("upsd.conf", &format!("LISTEN 127.0.0.1 {port}\nMAXAGE 10\n{}", more(dir.path())));
        write("upsd.users", "[ananke]\n  password = secret\n  upsmon secondary\n");
        say(dir.path(), first);
        let driver = started(dir.path(), Command::new(DRIVER).args(["-a", "rack", "-F"]));
        until("the driver listens", LIMIT, || dir.path().join("state/dummy-ups-rack").exists().then_some(()));
        let mut nut = Self { dir, port, _driver: driver, server: None };
        nut.serve();
        Some(nut)
    }

    pub fn serve(&mut self) {
        self.server = Some(started(self.dir.path(), Command::new(UPSD).arg("-F")));
        let at = ("127.0.0.1", self.port);
        // Until its driver has spoken it says `WAIT`.
        until("upsd has heard of the UPS", LIMIT, || {
            let mut upsd = TcpStream::connect(at).ok()?;
            upsd.write_all(b"GET VAR rack ups.status\n").ok()?;
            let mut answer = String::new();
            BufReader::new(upsd).read_line(&mut answer).ok()?;
            (answer.starts_with("VAR ") && !answer.contains("WAIT")).then_some(())
        });
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn kill(&mut self) {
        drop(self.server.take());
    }

    /// `OB DISCHRG 90 3000`: status, charge, runtime.
    pub fn says(&self, text: &str) {
        say(self.dir.path(), text);
        // The driver looks at the file's time in seconds, and may have been reading the one before.
        std::thread::sleep(Duration::from_millis(1100));
        say(self.dir.path(), text);
    }
}

fn say(dir: &Path, text: &str) {
    let words: Vec<&str> = text.split(' ').collect();
    let [status @ .., charge, runtime] = words.as_slice() else { panic!("no status with charge and runtime: {text}") };
    let lines = format!("ups.status: {}\nbattery.charge: {charge}\nbattery.runtime: {runtime}\n", status.join(" "));
    let (file, fresh) = (dir.join("rack.dev"), dir.join("rack.new"));
    fs::write(&fresh, lines).and_then(|()| fs::rename(&fresh, &file)).expect("the device's file");
}

/// As the user that we are: NUT changes to one of its own otherwise, who cannot read our directory.
fn started(dir: &Path, command: &mut Command) -> Going {
    let state = dir.join("state");
    let user = Command::new("id").arg("-un").output().expect("id exists").stdout;
    let user = String::from_utf8_lossy(&user).trim().to_owned();
    let command = command.args(["-u", &user]).env("NUT_CONFPATH", dir).env("NUT_STATEPATH", &state);
    Going::spawn(command.env("NUT_ALTPIDPATH", &state))
}
