//! Many hosts at once, a part of them broken in different ways: a pass over all ends in time, each failure has a reason of
//! its own, and nothing is left behind by many passes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and this one measures real time and this process"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ananke_core::name::{NodeName, UnitName};
use ananke_core::port::HostReads;
use ananke_core::spec::{HostNeeds, SshTarget};
use ananke_sim::fault::Fault;
use ananke_sim::serve::{Served, UpOptions, up};
use ananke_ssh::{SshHosts, SshSettings};
use ananke_tests::WallClock;
use futures::future::join_all;
use tempfile::TempDir;

/// Machines that run many tests at once are slow.
const CONNECT: Duration = Duration::from_secs(4);
const RUN: Duration = Duration::from_secs(4);
/// What a served command leaves behind on the server's side, at most.
const SERVED_KIB: u64 = 6;
/// Logins at once, so that none of them meets a deadline for want of a processor.
const LOGINS: usize = 16;

/// Each with what the error says of it; none where the host answers all the same.
const TROUBLE: [(Fault, Option<&str>); 6] = [
    (Fault::NeverBoots, Some("the port accepted, but the key exchange did not end within 4.0 s")),
    (Fault::SshdDown, Some("the host closed the connection")),
    (Fault::SshKeyChanged, Some("host key changed: line ")),
    (Fault::SshStalls, Some("the command did not end within 4.0 s")),
    (Fault::SshCuts, Some("the connection broke before the command ended")),
    (Fault::SshNoisy, None),
];

/// Hosts, of which every tenth is broken.
struct Site {
    _dir: TempDir,
    served: Served,
    hosts: SshHosts,
    broken: BTreeMap<NodeName, (Fault, Option<&'static str>)>,
}

impl Site {
    async fn new(count: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let options = UpOptions {
            dir: dir.path().to_owned(),
            scenario: "healthy".to_owned(),
            nodes: Some(count),
            pods: None,
            seed: 1,
            speed: 1,
        };
        let served = up(options).await.unwrap();
        let target = |port| SshTarget { host: "127.0.0.1".to_owned(), port, user: "ananke".to_owned() };
        let targets = served.ssh_ports().map(|(node, port)| (node.clone(), target(port))).collect();
        let mut settings = SshSettings::direct(targets, dir.path().join("id_ed25519"), dir.path().join("known_hosts"));
        (settings.connect_timeout, settings.auth_timeout, settings.run_timeout) = (CONNECT, CONNECT, RUN);
        // So that no deadline is spent in the queue, and the slowest of them is that of a whole pass.
        settings.concurrency = count;
        let hosts = SshHosts::new(settings, Arc::new(WallClock)).unwrap();
        let nodes: Vec<NodeName> = served.ssh_ports().map(|(node, _)| node.clone()).collect();
        // Not the servers, without which the world would not run.
        let broken: BTreeMap<_, _> = nodes.iter().skip(9).step_by(10).cloned().zip(TROUBLE.into_iter().cycle()).collect();
        Self { _dir: dir, served, hosts, broken }
    }

    fn break_them(&self) {
        for (node, (fault, _)) in &self.broken {
            self.served.cluster().act(|world| world.inject(*fault, Some(node))).unwrap();
        }
    }

    /// Connects to the hosts that are well, some at a time: what is left for the passes is what each costs again.
    async fn warm_up(&self) {
        let (unit, needs) = (UnitName::parse("k3s").unwrap(), HostNeeds::default());
        let well: Vec<_> =
            self.served.ssh_ports().map(|(node, _)| node).filter(|node| !self.broken.contains_key(*node)).collect();
        for some in well.chunks(LOGINS) {
            for answer in join_all(some.iter().map(|node| self.hosts.inspect(node, &unit, &needs))).await {
                answer.unwrap();
            }
        }
    }

    /// Asks all hosts, and checks what each says.
    async fn pass(&self) -> Duration {
        let nodes: Vec<NodeName> = self.served.ssh_ports().map(|(node, _)| node.clone()).collect();
        let began = Instant::now();
        let asked = nodes.iter().map(|node| async move {
            let unit = UnitName::parse("k3s").unwrap();
            (node, self.hosts.inspect(node, &unit, &HostNeeds::default()).await)
        });
        let answers = join_all(asked).await;
        let took = began.elapsed();
        let mut reasons = BTreeSet::new();
        for (node, answer) in answers {
            match (self.broken.get(node).and_then(|(_, words)| *words), answer) {
                (None, Ok(_)) => {}
                (Some(words), Err(error)) if error.found.contains(words) => drop(reasons.insert(words)),
                (expected, found) => panic!("{node}: expected {expected:?}, found {found:?}"),
            }
        }
        let wanted = self.broken.values().filter_map(|(_, words)| *words).collect::<BTreeSet<_>>();
        assert_eq!(reasons, wanted);
        took
    }
}

/// Open descriptors and resident memory in MiB of this process, which is client and servers at once.
fn held() -> (usize, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    (std::fs::read_dir("/proc/self/fd").unwrap().count(), kib / 1024)
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn holds(count: usize, passes: usize) {
    let site = Site::new(count).await;
    site.break_them();
    site.warm_up().await;
    let first = site.pass().await;
    let second = site.pass().await;
    let limit = CONNECT + RUN + Duration::from_secs(2);
    assert!(second < limit, "a pass over {count} hosts took {second:?}, and the slowest deadlines are {:?}", CONNECT + RUN);
    let before = (held(), tasks());
    for _ in 2..passes {
        site.pass().await;
    }
    // Servers look whether a client is still there twenty times a second.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ((descriptors, memory), alive) = (held(), tasks());
    println!(
        "{count} hosts: first pass {first:?}, second {second:?}; before {before:?}, after {passes} passes {:?}",
        (held(), alive)
    );
    let ((descriptors_before, memory_before), alive_before) = before;
    assert!(descriptors <= descriptors_before + 8, "{descriptors_before} descriptors were open, now {descriptors}");
    assert!(alive <= alive_before + 8, "{alive_before} tasks lived, now {alive}");
    // Most of it is the servers': russh 0.65 keeps what it knows of a channel that the server closed first.
    let of_servers = u64::try_from(count * passes).unwrap() * SERVED_KIB / 1024;
    assert!(memory <= memory_before + 32 + of_servers, "{memory_before} MiB were held, now {memory}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_ends_within_the_slowest_deadline_and_nothing_is_left_behind() {
    holds(60, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo test --release -p ananke-tests --test end_to_end many_hosts:: -- --ignored --nocapture"]
async fn a_thousand_hosts_are_asked_a_hundred_times() {
    holds(1000, 100).await;
}
