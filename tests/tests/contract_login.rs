//! Whom ananke-ssh believes and how it logs in, against a real OpenSSH: host certificates, pinned keys, an agent, a jump host.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and this one starts a real sshd")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ananke_core::port::{ErrorKind, PortError};
use ananke_ssh::{Login, Pin, SshHosts, SshSettings};
use ananke_tests::sshd::{Desk, Running, Sshd, closed_port, node, reaches, target};
use ananke_tests::{LIMIT, WallClock, until};

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
    desk.believe(&[line("other"), sshd.line()]);
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
    desk.believe(&[sshd.line()]);
    let error = reaches(pinned(printed("id.pub"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Untrusted, "{error}");
    assert!(error.found.contains(&format!("the host showed {} (ssh-ed25519)", printed("host.pub"))), "{error}");
}

fn agent(desk: &Desk, socket: &str) -> Running {
    let socket = desk.path(socket);
    let mut command = Command::new("ssh-agent");
    let running = Running(command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap());
    until("the agent listens", LIMIT, || socket.exists().then_some(()));
    running
}

fn add(desk: &Desk, socket: &str, key: &str) {
    desk.script("askpass", "#!/bin/sh\necho secret\n");
    let mut command = Command::new("ssh-add");
    command.arg("-q").arg(desk.path(key)).env("SSH_AUTH_SOCK", desk.path(socket));
    command.env("SSH_ASKPASS", desk.path("askpass")).env("SSH_ASKPASS_REQUIRE", "force");
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "ssh-add {key}: {}", String::from_utf8_lossy(&done.stderr));
}

fn with_agent(desk: &Desk, port: u16, file: Option<&Path>, socket: &str) -> SshSettings {
    let mut settings = desk.settings(port);
    log_in_with(&mut settings, file);
    settings.agent = Some(desk.path(socket));
    settings
}

fn log_in_with(settings: &mut SshSettings, file: Option<&Path>) {
    settings.routes.values_mut().for_each(|route| route.login.identity_file = file.map(Path::to_owned));
}

/// The same with a jump host, which is believed and convinced as the hosts are.
fn through(mut settings: SshSettings, jump: u16) -> SshSettings {
    for route in settings.routes.values_mut() {
        route.jump = Some(Login { target: target(jump), ..route.login.clone() });
    }
    settings
}

#[tokio::test]
async fn a_key_with_a_passphrase_is_used_through_the_agent() {
    let Some(desk) = Desk::new() else { return };
    desk.key("locked", "secret");
    std::fs::copy(desk.path("locked.pub"), desk.path("authorized_keys")).unwrap();
    // The file itself tells its public key.
    std::fs::remove_file(desk.path("locked.pub")).unwrap();
    let sshd = desk.sshd("host", "");
    desk.believe(&[sshd.line()]);
    let locked = desk.path("locked");
    let line = format!("ssh-add {}", locked.display());

    let mut settings = desk.settings(sshd.port);
    log_in_with(&mut settings, Some(&locked));
    let error = reaches_not(settings).await;
    assert!(error.found.contains("it is encrypted, and no SSH agent is there") && remedy(&error).contains(&line), "{error}");
    let _agent = agent(&desk, "socket");
    let error = reaches_not(with_agent(&desk, sshd.port, Some(&locked), "socket")).await;
    assert_eq!((error.kind, remedy(&error)), (ErrorKind::Denied, line.as_str()), "{error}");
    let error = reaches_not(with_agent(&desk, sshd.port, None, "socket")).await;
    assert_eq!(error.found, "the SSH agent holds no keys");
    let error = reaches_not(with_agent(&desk, sshd.port, None, "no-socket")).await;
    assert!(error.kind == ErrorKind::Denied && error.found.contains("no-socket does not help: "), "{error}");

    add(&desk, "socket", "id");
    add(&desk, "socket", "locked");
    reaches(with_agent(&desk, sshd.port, Some(&locked), "socket")).await.unwrap();
    reaches(with_agent(&desk, sshd.port, None, "socket")).await.unwrap();
}

#[tokio::test]
async fn a_locked_file_of_any_format_is_the_key_that_stands_beside_it() {
    let Some(desk) = Desk::new() else { return };
    let sshd = desk.sshd("host", "");
    desk.believe(&[sshd.line()]);
    let _agent = agent(&desk, "socket");
    for format in ["PKCS8", "PEM"] {
        desk.keygen(&["-t", "rsa", "-b", "2048", "-m", format, "-N", "secret", "-f", format]);
        std::fs::copy(desk.path(&format!("{format}.pub")), desk.path("authorized_keys")).unwrap();
        add(&desk, "socket", format);
        let settings = || with_agent(&desk, sshd.port, Some(&desk.path(format)), "socket");
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
    desk.believe(&[sshd.line()]);
    let _agent = agent(&desk, "socket");
    for stranger in ["a", "b", "c", "d", "e", "f"] {
        desk.key(stranger, "");
        add(&desk, "socket", stranger);
    }
    add(&desk, "socket", "id");
    let error = reaches_not(with_agent(&desk, sshd.port, None, "socket")).await;
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
    let over = |port: u16, jump: u16| through(desk.settings(port), jump);
    desk.believe(&[host.line(), jump.line(), closed.line()]);
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
    desk.believe(&[jump.line()]);
    assert_eq!(reaches_not(over(host.port, jump.port)).await.kind, ErrorKind::Untrusted);
    desk.believe(&[host.line()]);
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
    let settings = through(settings, silent.local_addr().unwrap().port());
    let hosts = SshHosts::new(settings, Arc::new(WallClock)).unwrap();
    for _ in 0..3 {
        let error = hosts.intent(&node()).await.unwrap_err();
        assert!(error.found.ends_with("the port accepted, but the key exchange did not end within 0.3 s"), "{error}");
    }
    assert_eq!(std::iter::from_fn(|| silent.accept().ok()).count(), 1, "asked once, and not for each try");
}
