//! Archives of images on their way to a host, against a real OpenSSH: whole or not at all, and nobody waits for ever.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and looks at processes")]

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use ananke_core::name::ArchiveName;
use ananke_core::order::HostOrder;
use ananke_core::port::{ErrorKind, PortError};
use ananke_ssh::{SshHosts, SshSettings};
use ananke_tests::sshd::{Desk, Sshd, node};
use ananke_tests::{LIMIT, WallClock, until};

/// Takes all of it.
const WHOLE: &str = "tee PLACE/got | wc -c > PLACE/count\n";
/// Runs out of space after a while, and reads no more.
const FULL: &str = "head -c 3000000 > /dev/null\necho 'ctr: write /var/lib/x: no space left on device' >&2\nexit 1\n";
/// Reads a little, and then nothing: it has gone to sleep over it. What is left of it when its input ends is told.
const SLOW: &str = "head -c 100000 > /dev/null\ntouch PLACE/begun\nwhile [ ! -e PLACE/go ]; do sleep 0.05; done\ncat > PLACE/rest\ntouch PLACE/ended\n";

struct Site {
    desk: Desk,
    sshd: Sshd,
    settings: SshSettings,
}

/// A host whose ctr is this.
fn site(ctr: &str) -> Option<Site> {
    let desk = Desk::new()?;
    let text = format!("#!/bin/sh\necho \"$SSH_ORIGINAL_COMMAND\" >> PLACE/lines\n{ctr}");
    desk.script("answer", &text.replace("PLACE", &desk.path("").display().to_string()));
    let sshd = desk.sshd("host", "");
    desk.believe(&[sshd.line()]);
    let mut settings = desk.settings(sshd.port);
    settings.archives = Some(desk.path(""));
    Some(Site { desk, sshd, settings })
}

impl Site {
    fn hosts(&self) -> Arc<SshHosts> {
        Arc::new(SshHosts::new(self.settings.clone(), Arc::new(WallClock)).unwrap())
    }

    /// A sparse file whose end is marked.
    fn archive(&self, bytes: u64) -> ArchiveName {
        let mut file = fs::File::create(self.desk.path("images.tar")).unwrap();
        file.seek(SeekFrom::Start(bytes - 3)).unwrap();
        file.write_all(b"end").unwrap();
        ArchiveName::parse("images.tar").unwrap()
    }
}

async fn load(hosts: &SshHosts, archive: &ArchiveName) -> Result<(), PortError> {
    hosts.perform_without_permit(&node(), &HostOrder::LoadImages(archive.clone())).await
}

fn there(desk: &Desk, name: &str) {
    until(&format!("{name} is there"), LIMIT, || desk.path(name).exists().then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_archive_arrives_whole_and_its_end_is_told() {
    let Some(site) = site(WHOLE) else { return };
    let archive = site.archive(50 * 1024 * 1024);
    load(&site.hosts(), &archive).await.unwrap();
    assert_eq!(site.desk.text("count").trim(), "52428800");
    let same = Command::new("cmp").arg(site.desk.path("images.tar")).arg(site.desk.path("got")).status().unwrap();
    assert!(same.success(), "other bytes arrived");
    assert_eq!(site.desk.text("lines"), "env LC_ALL=C sudo -n /usr/local/bin/k3s ctr images import - >/dev/null\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_enough_is_sent_no_more_and_says_why() {
    let Some(site) = site(FULL) else { return };
    let archive = site.archive(50 * 1024 * 1024);
    let error = load(&site.hosts(), &archive).await.unwrap_err();
    assert_eq!((error.kind, error.found.as_str()), (ErrorKind::Transient, "ctr: write /var/lib/x: no space left on device"));
    assert!(error.remedy.unwrap().starts_with("free some space on titan-01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_in_the_middle_is_told_and_nothing_is_sent_again() {
    let Some(site) = site(SLOW) else { return };
    let archive = site.archive(50 * 1024 * 1024);
    let hosts = site.hosts();
    let loading = tokio::spawn(async move { load(&hosts, &archive).await });
    there(&site.desk, "begun");
    let began = Instant::now();
    end_sessions(site.sshd.pid());
    let error = loading.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
    assert!(began.elapsed() < LIMIT, "it took {:?}", began.elapsed());
    assert_eq!(site.desk.text("lines").lines().count(), 1);
    fs::write(site.desk.path("go"), "").unwrap();
    there(&site.desk, "ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_leaves_no_command_waiting_on_a_connection_that_is_kept() {
    let Some(site) = site(SLOW) else { return };
    let archive = site.archive(50 * 1024 * 1024);
    let hosts = site.hosts();
    let kept = Arc::clone(&hosts);
    let loading = tokio::spawn(async move { load(&hosts, &archive).await });
    there(&site.desk, "begun");
    loading.abort();
    assert!(loading.await.unwrap_err().is_cancelled());
    fs::write(site.desk.path("go"), "").unwrap();
    there(&site.desk, "ended");
    let rest = fs::metadata(site.desk.path("rest")).unwrap().len();
    assert!(rest < 40 * 1024 * 1024, "{rest} bytes came of what was given up");
    drop(kept);
}

#[tokio::test]
async fn an_archive_that_is_not_there_reaches_no_host() {
    let Some(site) = site(WHOLE) else { return };
    let hosts = site.hosts();
    let missing = ArchiveName::parse("none.tar").unwrap();
    assert_eq!(load(&hosts, &missing).await.unwrap_err().kind, ErrorKind::Missing);
    fs::write(site.desk.path("empty.tar"), "").unwrap();
    let empty = load(&hosts, &ArchiveName::parse("empty.tar").unwrap()).await.unwrap_err();
    assert_eq!((empty.kind, empty.found.as_str()), (ErrorKind::Invalid, "it is empty"));
    assert!(!site.desk.path("lines").exists() && !site.sshd.said().contains("Accepted publickey"));
}

/// Those that serve a connection: the power of the host goes out.
fn end_sessions(listener: u32) {
    let mut parents = vec![listener];
    let mut below = Vec::new();
    while let Some(parent) = parents.pop() {
        for process in children(parent) {
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            if name.starts_with("sshd") {
                parents.push(process);
                below.push(process);
            }
        }
    }
    assert!(!below.is_empty(), "nobody is logged in");
    for process in below {
        Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap();
    }
}

fn children(of: u32) -> Vec<u32> {
    let tasks = Path::new("/proc").join(of.to_string()).join("task");
    let lists = fs::read_dir(tasks).into_iter().flatten().flatten().map(|task| task.path().join("children"));
    let texts = lists.filter_map(|list| fs::read_to_string(list).ok());
    texts.flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()).collect()
}
