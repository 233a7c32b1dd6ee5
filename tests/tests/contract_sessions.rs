//! How ananke-ssh keeps, shares and loses connections, against a real OpenSSH.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and this one asks `ps`")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ananke_core::name::{NodeName, UnitName};
use ananke_core::order::HostOrder;
use ananke_core::port::ErrorKind;
use ananke_ssh::{SshHosts, SshSettings};
use ananke_tests::sshd::{Desk, Sshd, node, target};
use ananke_tests::{LIMIT, WallClock, require, until};
use futures::future::join_all;

/// Notes each command, and answers it when `go` is there.
const WAITS: &str = r#"#!/bin/sh
echo "$SSH_ORIGINAL_COMMAND" >> PLACE/lines
while [ ! -e PLACE/go ]; do sleep 0.05; done
echo ananke:answer
echo null
"#;

fn site(more: &str) -> Option<(Desk, Sshd, SshSettings)> {
    let desk = Desk::new()?;
    desk.script("answer", &WAITS.replace("PLACE", &desk.path("").display().to_string()));
    let sshd = desk.sshd("host", more);
    desk.believe(&[sshd.line()]);
    let settings = desk.settings(sshd.port);
    Some((desk, sshd, settings))
}

fn hosts(settings: SshSettings) -> Arc<SshHosts> {
    Arc::new(SshHosts::new(settings, Arc::new(WallClock)).unwrap())
}

fn go(desk: &Desk) {
    std::fs::write(desk.path("go"), "").unwrap();
}

fn lines(desk: &Desk) -> usize {
    std::fs::read_to_string(desk.path("lines")).unwrap_or_default().lines().count()
}

fn logins(sshd: &Sshd) -> usize {
    sshd.said().matches("Accepted publickey").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_gives_a_connection_one_session_gets_more_connections() {
    let Some((desk, sshd, settings)) = site("MaxSessions 1") else { return };
    let hosts = hosts(settings);
    let asked = [(); 4].map(|()| {
        let hosts = Arc::clone(&hosts);
        tokio::spawn(async move { hosts.intent(&node()).await })
    });
    until("all four run at once", LIMIT, || (lines(&desk) == 4).then_some(()));
    go(&desk);
    for answer in join_all(asked).await {
        answer.unwrap().unwrap();
    }
    assert_eq!(logins(&sshd), 4);
    // The first connection is kept, and used again once the host counts its session as over.
    let mut before = 0;
    for _ in 0..20 {
        before = logins(&sshd);
        hosts.intent(&node()).await.unwrap();
        if logins(&sshd) == before {
            break;
        }
    }
    assert_eq!(logins(&sshd), before, "every command logs in anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_crowded_host_drops_is_told_to_come_again_and_gets_in() {
    let Some((desk, sshd, settings)) = site("MaxStartups 1:100:1") else { return };
    go(&desk);
    let names: Vec<NodeName> = (0..12).map(|n| NodeName::parse(&format!("titan-{n}")).unwrap()).collect();
    let targets: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), target(sshd.port))).collect();
    let hosts =
        hosts(SshSettings { routes: SshSettings::direct(targets, desk.path("id"), desk.path("known_hosts")).routes, ..settings });
    let until = Instant::now() + LIMIT;
    let ask = async |name: &NodeName| {
        let mut drops = 0_usize;
        while let Err(error) = hosts.intent(name).await {
            assert_eq!(error.kind, ErrorKind::Transient, "{error}");
            assert!(Instant::now() < until, "{name} never got in: {error}");
            drops += 1;
            // The engine asks again after its poll.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drops
    };
    let drops: usize = join_all(names.iter().map(ask)).await.into_iter().sum();
    assert!(drops > 0, "nobody was dropped: {}", sshd.said());
    assert_eq!(lines(&desk), names.len());
}

/// Processes below `parent`, children before their own.
fn below(parent: u32) -> Vec<u32> {
    let out = Command::new("ps").args(["-o", "pid=", "--ppid", &parent.to_string()]).output().unwrap().stdout;
    let children: Vec<u32> = String::from_utf8(out).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    children.iter().flat_map(|child| std::iter::once(*child).chain(below(*child))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_dies_in_the_middle_of_a_change_is_told_and_the_change_is_not_sent_again() {
    if !require("ps", "procps") {
        return;
    }
    let Some((desk, sshd, settings)) = site("") else { return };
    let hosts = hosts(settings);
    let order = HostOrder::Restart(UnitName::parse("k3s").unwrap());
    let changing = tokio::spawn({
        let hosts = Arc::clone(&hosts);
        async move { hosts.perform_without_permit(&node(), &order).await }
    });
    until("the command runs", LIMIT, || (lines(&desk) == 1).then_some(()));
    let session = *below(sshd.pid()).first().unwrap();
    assert!(Command::new("kill").args(["-KILL", &session.to_string()]).status().unwrap().success());
    let error = changing.await.unwrap().unwrap_err();
    assert_eq!((error.kind, error.found.as_str()), (ErrorKind::Transient, "the connection broke before the command ended"));
    assert_eq!(lines(&desk), 1, "it is not sent again");

    go(&desk);
    hosts.intent(&node()).await.unwrap();
    assert_eq!((lines(&desk), logins(&sshd)), (2, 2), "the next command reconnects");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_uses_is_closed() {
    let Some((desk, sshd, mut settings)) = site("") else { return };
    settings.idle = Duration::from_millis(300);
    go(&desk);
    let hosts = hosts(settings);
    hosts.intent(&node()).await.unwrap();
    until("the host sees its end", LIMIT, || below(sshd.pid()).is_empty().then_some(()));
    hosts.intent(&node()).await.unwrap();
    assert_eq!(logins(&sshd), 2);
}
