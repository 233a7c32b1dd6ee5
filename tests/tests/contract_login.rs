//! Whom ananke-ssh believes and how it logs in, against a real OpenSSH: host certificates, pinned keys, an agent, a jump host.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and this one starts a real sshd")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ananke_core::name::{Moment, NodeName};
use ananke_core::port::clock::Uptime;
use ananke_core::port::{Clock, ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use ananke_ssh::{Pin, SshHosts, SshSettings};
use ananke_tests::{require, until};
use async_trait::async_trait;
use tempfile::TempDir;

struct WallClock;

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Moment {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Moment::from_millis(i64::try_from(since.as_millis()).unwrap())
    }

    fn uptime(&self) -> Option<Uptime> {
        None
    }

    async fn sleep_until(&self, until: Moment) {
        tokio::time::sleep(until.since(self.now())).await;
    }
}

const ANSWER: &str = r#"#!/bin/sh
echo ananke:answer
echo '{"state": "shutting_down", "run": "shutdown-20260314T020611000Z", "at": "2026-03-14T02:06:11.000Z", "reason": "battery"}'
"#;

/// A program of the test; it ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A directory with a user's key `id`, and hosts that accept it.
struct Desk {
    dir: TempDir,
}

/// An sshd that answers every command with an intent.
struct Sshd {
    port: u16,
    log: PathBuf,
    key: String,
    _running: Running,
}

impl Desk {
    fn new() -> Option<Self> {
        if !(require("sshd", "openssh-server") && require("ssh-agent", "openssh-client")) {
            return None;
        }
        let desk = Self { dir: TempDir::new().unwrap() };
        desk.key("id", "");
        std::fs::copy(desk.path("id.pub"), desk.path("authorized_keys")).unwrap();
        std::fs::write(desk.path("known_hosts"), "").unwrap();
        Some(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn keygen(&self, args: &[&str]) {
        let done = Command::new("ssh-keygen").arg("-q").args(args).current_dir(self.dir.path()).output().unwrap();
        assert!(done.status.success(), "ssh-keygen {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn key(&self, name: &str, passphrase: &str) {
        self.keygen(&["-t", "ed25519", "-N", passphrase, "-f", name]);
    }

    fn script(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Its host key is NAME, which is made where it is missing.
    fn sshd(&self, name: &str, more: &str) -> Sshd {
        if !self.path(name).exists() {
            self.key(name, "");
        }
        let place = self.dir.path().display();
        self.script("answer", ANSWER);
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
        until("sshd listens", Duration::from_secs(20), || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Server listening")).then_some(())
        });
        let key = self.text(&format!("{name}.pub")).split(' ').take(2).collect::<Vec<_>>().join(" ");
        Sshd { port, log, key, _running: running }
    }

    fn believe(&self, lines: &[String]) {
        std::fs::write(self.path("known_hosts"), lines.join("\n") + "\n").unwrap();
    }

    fn settings(&self, port: u16) -> SshSettings {
        let known = self.path("known_hosts");
        let mut settings = SshSettings::new(BTreeMap::from([(node(), target(port))]), self.path("id"), known);
        settings.connect_timeout = Duration::from_secs(10);
        settings.auth_timeout = Duration::from_secs(10);
        settings
    }
}

fn node() -> NodeName {
    NodeName::parse("titan-01").unwrap()
}

fn target(port: u16) -> SshTarget {
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    SshTarget { host: "127.0.0.1".to_owned(), port, user: String::from_utf8(user).unwrap().trim().to_owned() }
}

fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A command got to the host and back.
async fn reaches(settings: SshSettings) -> Result<(), PortError> {
    SshHosts::new(settings, Arc::new(WallClock))?.intent(&node()).await.map(drop)
}

fn remedy(error: &PortError) -> &str {
    error.remedy.as_deref().unwrap_or("none")
}

#[tokio::test]
async fn a_host_is_believed_for_the_certificate_of_an_authority() {
    let Some(desk) = Desk::new() else { return };
    for name in ["host", "authority", "other"] {
        desk.key(name, "");
    }
    let line = |name: &str| format!("@cert-authority * {}", desk.text(&format!("{name}.pub")).trim());
    let certified = |args: &[&str]| {
        desk.keygen(&[&["-s", "authority", "-h", "-I", "titan-01"], args, &["host.pub"]].concat());
        desk.sshd("host", &format!("HostCertificate {}", desk.path("host-cert.pub").display()))
    };
    let untrusted = async |sshd: &Sshd| {
        let error = reaches(desk.settings(sshd.port)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Untrusted, "{error}");
        error
    };

    let sshd = certified(&["-n", "127.0.0.1,titan-01"]);
    desk.believe(&[String::new(), line("authority")]);
    reaches(desk.settings(sshd.port)).await.unwrap();
    desk.believe(&[line("other")]);
    let error = untrusted(&sshd).await;
    assert!(error.found.contains("which is no authority for the host in ") && remedy(&error).contains("line 1 of "), "{error}");
    let revoked = desk.text("authority.pub");
    desk.believe(&[line("authority"), format!("@revoked * {}", revoked.trim())]);
    let error = untrusted(&sshd).await;
    assert!(error.found.contains("which line 2 of ") && error.found.ends_with("revokes"), "{error}");
    desk.believe(&[line("other"), format!("[127.0.0.1]:{} {}", sshd.port, sshd.key)]);
    reaches(desk.settings(sshd.port)).await.unwrap();

    desk.believe(&[line("authority")]);
    for (args, flaw) in [
        (["-n", "titan-02"].as_slice(), "it is for titan-02, not for 127.0.0.1"),
        (&["-n", "127.0.0.1", "-V", "20200101:20200102"], "it ended at 2020-01-0"),
    ] {
        let error = untrusted(&certified(args)).await;
        assert!(error.found.starts_with("the authority of line 1 of ") && error.found.contains(flaw), "{error}");
    }
    let bare = desk.sshd("bare", "");
    let error = untrusted(&bare).await;
    assert!(error.found.ends_with("and came without a certificate of the authority of line 1"), "{error}");
}

#[tokio::test]
async fn a_pinned_key_decides_alone() {
    let Some(desk) = Desk::new() else { return };
    let sshd = desk.sshd("host", "");
    let printed = |name: &str| {
        let out = Command::new("ssh-keygen").arg("-lf").arg(desk.path(name)).output().unwrap().stdout;
        Pin::parse(String::from_utf8(out).unwrap().split(' ').nth(1).unwrap()).unwrap()
    };
    let pinned = |pin: Pin| {
        let mut settings = desk.settings(sshd.port);
        settings.pins.insert(node(), pin);
        settings
    };
    reaches(pinned(printed("host.pub"))).await.unwrap();
    desk.believe(&[format!("[127.0.0.1]:{} {}", sshd.port, sshd.key)]);
    let error = reaches(pinned(printed("id.pub"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Untrusted, "{error}");
    assert!(error.found.contains(&format!("the host showed {} (ssh-ed25519)", printed("host.pub"))), "{error}");
}

impl Desk {
    fn agent(&self, socket: &str) -> Running {
        let socket = self.path(socket);
        let mut command = Command::new("ssh-agent");
        let running = Running(command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap());
        until("the agent listens", Duration::from_secs(20), || socket.exists().then_some(()));
        running
    }

    fn add(&self, socket: &str, key: &str) {
        self.script("askpass", "#!/bin/sh\necho secret\n");
        let mut command = Command::new("ssh-add");
        command.arg("-q").arg(self.path(key)).env("SSH_AUTH_SOCK", self.path(socket));
        command.env("SSH_ASKPASS", self.path("askpass")).env("SSH_ASKPASS_REQUIRE", "force");
        let done = command.stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "ssh-add {key}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn with_agent(&self, port: u16, file: Option<&Path>, socket: &str) -> SshSettings {
        let mut settings = self.settings(port);
        settings.identity_file = file.map(Path::to_owned);
        settings.agent = Some(self.path(socket));
        settings
    }
}

#[tokio::test]
async fn a_key_with_a_passphrase_is_used_through_the_agent() {
    let Some(desk) = Desk::new() else { return };
    desk.key("locked", "secret");
    std::fs::copy(desk.path("locked.pub"), desk.path("authorized_keys")).unwrap();
    // The file itself tells its public key.
    std::fs::remove_file(desk.path("locked.pub")).unwrap();
    let sshd = desk.sshd("host", "");
    desk.believe(&[format!("[127.0.0.1]:{} {}", sshd.port, sshd.key)]);
    let locked = desk.path("locked");
    let add = format!("ssh-add {}", locked.display());

    let mut settings = desk.settings(sshd.port);
    settings.identity_file = Some(locked.clone());
    let error = reaches_not(settings).await;
    assert!(error.found.contains("it is encrypted, and no SSH agent is there") && remedy(&error).contains(&add), "{error}");
    let _agent = desk.agent("socket");
    let error = reaches_not(desk.with_agent(sshd.port, Some(&locked), "socket")).await;
    assert_eq!((error.kind, remedy(&error)), (ErrorKind::Denied, add.as_str()), "{error}");
    let error = reaches_not(desk.with_agent(sshd.port, None, "socket")).await;
    assert_eq!(error.found, "the SSH agent holds no keys");
    let error = reaches_not(desk.with_agent(sshd.port, None, "no-socket")).await;
    assert!(error.kind == ErrorKind::Denied && error.found.contains("no-socket does not help: "), "{error}");

    desk.add("socket", "id");
    desk.add("socket", "locked");
    reaches(desk.with_agent(sshd.port, Some(&locked), "socket")).await.unwrap();
    reaches(desk.with_agent(sshd.port, None, "socket")).await.unwrap();
}

#[tokio::test]
async fn a_locked_file_of_any_format_is_the_key_that_stands_beside_it() {
    let Some(desk) = Desk::new() else { return };
    let sshd = desk.sshd("host", "");
    desk.believe(&[format!("[127.0.0.1]:{} {}", sshd.port, sshd.key)]);
    let _agent = desk.agent("socket");
    for format in ["PKCS8", "PEM"] {
        desk.keygen(&["-t", "rsa", "-b", "2048", "-m", format, "-N", "secret", "-f", format]);
        std::fs::copy(desk.path(&format!("{format}.pub")), desk.path("authorized_keys")).unwrap();
        desk.add("socket", format);
        let settings = || desk.with_agent(sshd.port, Some(&desk.path(format)), "socket");
        reaches(settings()).await.unwrap_or_else(|error| panic!("{format}: {error}"));
        std::fs::remove_file(desk.path(&format!("{format}.pub"))).unwrap();
        let error = reaches_not(settings()).await;
        assert!(error.kind == ErrorKind::Invalid && remedy(&error).contains("ssh-keygen -y -f "), "{format}: {error}");
    }
}

#[tokio::test]
async fn an_agent_offers_fewer_keys_than_make_a_host_hang_up() {
    let Some(desk) = Desk::new() else { return };
    let sshd = desk.sshd("host", "");
    desk.believe(&[format!("[127.0.0.1]:{} {}", sshd.port, sshd.key)]);
    let _agent = desk.agent("socket");
    for stranger in ["a", "b", "c", "d", "e", "f"] {
        desk.key(stranger, "");
        desk.add("socket", stranger);
    }
    desk.add("socket", "id");
    let error = reaches_not(desk.with_agent(sshd.port, None, "socket")).await;
    let expected = "the host does not accept any of 5 keys of the SSH agent; 2 more were not offered";
    assert_eq!((error.kind, error.found.as_str()), (ErrorKind::Denied, expected));
}

async fn reaches_not(settings: SshSettings) -> PortError {
    reaches(settings).await.unwrap_err()
}

#[tokio::test]
async fn a_host_is_reached_through_the_jump_host_and_directly_where_that_does_not_help() {
    let Some(desk) = Desk::new() else { return };
    let (host, jump) = (desk.sshd("host", ""), desk.sshd("jump", ""));
    let closed = desk.sshd("closed", "AllowTcpForwarding no");
    let line = |sshd: &Sshd| format!("[127.0.0.1]:{} {}", sshd.port, sshd.key);
    let over = |port: u16, jump: u16| {
        let mut settings = desk.settings(port);
        settings.jump = Some(target(jump));
        settings
    };
    desk.believe(&[line(&host), line(&jump), line(&closed)]);
    let forwarded = || std::fs::read_to_string(&jump.log).unwrap().matches("server_request_direct_tcpip").count();

    reaches(over(host.port, jump.port)).await.unwrap();
    assert!(forwarded() > 0, "{}", std::fs::read_to_string(&jump.log).unwrap());
    for (why, other) in [("it forwards nothing", closed.port), ("it does not answer", closed_port())] {
        reaches(over(host.port, other)).await.unwrap_or_else(|error| panic!("{why}: {error}"));
    }
    let nobody = closed_port();
    let error = reaches_not(over(nobody, jump.port)).await;
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
    assert!(error.found.contains("efused") && error.found.contains("forward: it does not forward: ConnectFailed"), "{error}");
    let error = reaches_not(over(nobody, nobody)).await;
    assert!(error.found.contains("; through jump host (") && error.on.starts_with("titan-01 ("), "{error}");

    // Who is at the end is judged as ever, and so is the jump host.
    desk.believe(&[line(&jump)]);
    assert_eq!(reaches_not(over(host.port, jump.port)).await.kind, ErrorKind::Untrusted);
    desk.believe(&[line(&host)]);
    let before = forwarded();
    reaches(over(host.port, jump.port)).await.unwrap();
    assert_eq!(forwarded(), before, "a jump host that is not believed carries nothing");
}

#[tokio::test]
async fn a_jump_host_that_let_nobody_in_is_left_alone_for_a_while() {
    let Some(desk) = Desk::new() else { return };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let mut settings = desk.settings(closed_port());
    settings.connect_timeout = Duration::from_millis(300);
    settings.jump = Some(target(silent.local_addr().unwrap().port()));
    let hosts = SshHosts::new(settings, Arc::new(WallClock)).unwrap();
    for _ in 0..3 {
        let error = hosts.intent(&node()).await.unwrap_err();
        assert!(error.found.ends_with("the port accepted, but the key exchange did not end within 0.3 s"), "{error}");
    }
    assert_eq!(std::iter::from_fn(|| silent.accept().ok()).count(), 1, "asked once, and not for each try");
}
