//! What any host must answer to ananke-ssh: one contract, held by the served simulator and by a real OpenSSH sshd.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and this one measures real time against a real sshd"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ananke_core::intent::IntentState;
use ananke_core::name::{ArchiveName, BootId, HostPath, Moment, NodeName, PackageName, SnapshotName, UnitName};
use ananke_core::observation::{HostHealth, Leftovers, SnapshotCheck, SnapshotState, UnitState};
use ananke_core::order::HostOrder;
use ananke_core::port::{Clock, ErrorKind, HostReads, PortError};
use ananke_core::spec::{Distribution, HostNeeds, SshTarget};
use ananke_sim::fault::Fault;
use ananke_sim::serve::host_shell::{self, HostCommand, HostFacts, HostModel};
use ananke_sim::serve::ssh::{ExecReply, HostBackend, Reach, Running, SshServers, keys};
use ananke_sim::serve::{UpOptions, up};
use ananke_sim::world::LONGHORN_DISK;
use ananke_ssh::command::Command;
use ananke_ssh::{SshHosts, SshSettings};
use ananke_tests::{LIMIT, WallClock};
use async_trait::async_trait;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_millis(700);

/// Any bytes are an archive here.
const ARCHIVE: &[u8] = b"manifest.json\0\xff\r\n\x1a and more";

/// One host, and how to reach it.
struct Site {
    dir: TempDir,
    port: u16,
    user: String,
    boot_id: String,
    /// `[127.0.0.1]:PORT KEY`
    known_line: String,
    /// k3s's script is where its installer puts it.
    killall: bool,
}

impl Site {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The adapter with the files that are right.
    fn hosts(&self) -> SshHosts {
        let known = format!("{}\n", self.known_line);
        self.hosts_with("known_hosts", &known, "id")
    }

    fn hosts_with(&self, known_name: &str, known: &str, identity: &str) -> SshHosts {
        let file = self.path(known_name);
        std::fs::write(&file, known).unwrap();
        hosts_at(self.port, &self.user, &self.path(identity), &file)
    }
}

fn hosts_at(port: u16, user: &str, identity: &Path, known: &Path) -> SshHosts {
    let target = SshTarget { host: "127.0.0.1".to_owned(), port, user: user.to_owned() };
    let mut settings = SshSettings::direct(BTreeMap::from([(node(), target)]), identity.to_owned(), known.to_owned());
    settings.connect_timeout = Duration::from_secs(10);
    settings.archives = identity.parent().map(Path::to_owned);
    SshHosts::new(settings, Arc::new(WallClock)).unwrap()
}

fn node() -> NodeName {
    NodeName::parse("titan-01").unwrap()
}

fn unit(name: &str) -> UnitName {
    UnitName::parse(name).unwrap()
}

fn archive() -> ArchiveName {
    ArchiveName::parse("gitea.tar").unwrap()
}

fn remedy(error: &PortError) -> &str {
    error.remedy.as_deref().unwrap_or("none")
}

/// The contract. `lines` tells what reached the host so far.
async fn holds_the_contract(site: &Site, lines: &dyn Fn() -> Vec<String>) {
    let hosts = site.hosts();
    std::fs::write(site.path(archive().as_str()), ARCHIVE).unwrap();
    let state = hosts.inspect(&node(), &unit("k3s"), &HostNeeds::default()).await.unwrap();
    assert_eq!(state.boot_id.as_str(), site.boot_id);
    assert_eq!(state.unit, UnitState::Active);
    assert!(state.uptime > Duration::ZERO);
    assert!(state.clock_skew_millis.abs() < 2_000, "same clock, but a skew of {} ms", state.clock_skew_millis);
    assert_eq!(hosts.inspect(&node(), &unit("nothing"), &HostNeeds::default()).await.unwrap().unit, UnitState::NotFound);
    tells_what_is_missing(&hosts).await;
    let settings = hosts.settings(&node()).await.unwrap();
    assert!(settings.mounts.iter().all(|mount| !mount.path.is_empty() && !mount.source.starts_with('#')), "{settings:?}");
    obeys(&hosts, site.killall, lines).await;

    let before = lines().len();
    trusts_no_other_key(site).await;
    accepts_no_other_user_key(site).await;
    assert_eq!(lines().len(), before, "nothing runs on a host that is not believed or does not know us");
}

async fn tells_what_is_missing(hosts: &SshHosts) {
    let health = hosts.inspect(&node(), &unit("k3s"), &needs()).await.unwrap().health;
    assert_eq!(health.missing_mounts, [HostPath::parse("/var/lib/not-mounted").unwrap()]);
    assert_eq!(health.missing_packages, [PackageName::parse("no-such-package").unwrap()]);
    assert_eq!(health.missing_units, [unit("no-such-unit")]);
    assert!(!health.root_read_only);
}

/// On every host: `/proc` is mounted, `dpkg` is installed and `k3s` is active; the others are not.
fn needs() -> HostNeeds {
    HostNeeds {
        mounts: ["/proc", "/var/lib/not-mounted"].map(|path| HostPath::parse(path).unwrap()).into(),
        packages: ["dpkg", "no-such-package"].map(|name| PackageName::parse(name).unwrap()).into(),
        units: ["k3s", "no-such-unit"].map(unit).into(),
    }
}

/// Every order there is, in the order of a shutdown: what is refused is refused for its reason.
async fn obeys(hosts: &SshHosts, killall: bool, lines: &dyn Fn() -> Vec<String>) {
    let before = lines().len();
    let node = node();
    let on = &node;
    let perform = |order: HostOrder| async move { hosts.perform_without_permit(on, &order).await };
    perform(HostOrder::Start(unit("k3s"))).await.unwrap();
    perform(HostOrder::Restart(unit("k3s"))).await.unwrap();
    let name = SnapshotName::parse("ananke-shutdown-20260314T020611000Z").unwrap();
    perform(HostOrder::SaveSnapshot(name.clone())).await.unwrap();
    let found = hosts.snapshots(&node).await.unwrap();
    assert!(found.iter().any(|one| one.name.starts_with(name.as_str()) && one.bytes > 0), "{found:?}");
    perform(HostOrder::LoadImages(archive())).await.unwrap();
    let error = perform(HostOrder::KillPods(unit("k3s"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "its unit runs: {error}");
    perform(HostOrder::Stop(unit("k3s"))).await.unwrap();
    match perform(HostOrder::KillPods(unit("k3s"))).await {
        Ok(()) => assert!(killall),
        Err(error) => assert!(!killall && error.kind == ErrorKind::Missing && remedy(&error).contains("k3s"), "{error}"),
    }
    perform(HostOrder::Reboot).await.unwrap();
    perform(HostOrder::PowerOff).await.unwrap();
    perform(HostOrder::PowerOffNow).await.unwrap();
    let sent = lines()[before..].to_vec();
    assert_eq!(
        sent[..3],
        [
            "env LC_ALL=C sudo -n systemctl start --no-block k3s",
            "env LC_ALL=C sudo -n systemctl restart --no-block k3s",
            "env LC_ALL=C sudo -n /usr/local/bin/k3s etcd-snapshot save --name ananke-shutdown-20260314T020611000Z",
        ]
    );
    let off = [
        "env LC_ALL=C sudo -n systemctl reboot",
        "env LC_ALL=C sudo -n systemctl poweroff",
        "env LC_ALL=C sudo -n systemctl poweroff --force",
    ];
    assert_eq!(sent[sent.len() - 3..], off);
    for order in [HostOrder::Start(unit("nothing")), HostOrder::Restart(unit("nothing"))] {
        let error = perform(order).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Missing, "{error}");
    }
}

async fn trusts_no_other_key(site: &Site) {
    let unknown = site.path("unknown");
    let error =
        site.hosts_with("unknown", "# nobody\n", "id").inspect(&node(), &unit("k3s"), &HostNeeds::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Untrusted);
    assert!(error.found.starts_with("host key SHA256:"), "{error}");
    assert!(error.found.ends_with(&format!("is not in {}", unknown.display())), "{error}");
    let scan = format!("ssh-keyscan -p {} 127.0.0.1 >> {}", site.port, unknown.display());
    assert!(remedy(&error).ends_with(&scan), "{}", remedy(&error));
    assert_eq!(std::fs::read_to_string(&unknown).unwrap(), "# nobody\n", "never trusted on first use");

    let other = keys::public_line(keys::generate().unwrap().public_key()).unwrap();
    let changed = format!("# one\n\n[127.0.0.1]:{} {other}\n", site.port);
    let error =
        site.hosts_with("changed", &changed, "id").inspect(&node(), &unit("k3s"), &HostNeeds::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Untrusted);
    let file = site.path("changed");
    assert!(error.found.starts_with(&format!("host key changed: line 3 of {} has SHA256:", file.display())), "{error}");
    assert!(remedy(&error).ends_with(&format!("replace line 3 of {}", file.display())), "{}", remedy(&error));

    let (_, key) = site.known_line.split_once(' ').unwrap();
    let revoked = format!("{}\n@revoked * {key}\n", site.known_line);
    let error =
        site.hosts_with("revoked", &revoked, "id").inspect(&node(), &unit("k3s"), &HostNeeds::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Untrusted);
    assert!(error.found.ends_with(&format!("is revoked by line 2 of {}", site.path("revoked").display())), "{error}");
}

async fn accepts_no_other_user_key(site: &Site) {
    keys::write(&site.path("stranger"), &keys::generate().unwrap()).unwrap();
    let known = format!("{}\n", site.known_line);
    let error = site
        .hosts_with("known_hosts", &known, "stranger")
        .inspect(&node(), &unit("k3s"), &HostNeeds::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(remedy(&error).contains("ssh-copy-id -i "), "{}", remedy(&error));
}

// ---- the served simulator ----

/// One host whose state the test sets.
struct OneHost {
    unit: Mutex<UnitState>,
    saved: Mutex<Vec<SnapshotState>>,
    loaded: Mutex<Vec<u8>>,
    reach: Mutex<Reach>,
    key: AtomicU32,
}

impl OneHost {
    fn new() -> Arc<Self> {
        let (reach, key, saved) = (Mutex::new(Reach::Answer), AtomicU32::new(0), Mutex::default());
        Arc::new(Self { unit: Mutex::new(UnitState::Active), saved, loaded: Mutex::default(), reach, key })
    }
}

struct Facts<'a>(&'a OneHost);

impl HostModel for Facts<'_> {
    fn facts(&self) -> HostFacts {
        HostFacts {
            name: node(),
            boot_id: BootId::parse("0f1e2d3c-0000-4000-8000-00000000002a").unwrap(),
            machine_id: "5d41402abc4b2a76b9719d911017c592".to_owned(),
            uptime: Duration::from_secs(90),
            time: WallClock.now(),
            leftovers: Leftovers::default(),
            log: "Starting k3s\nreason".to_owned(),
        }
    }
    fn lacks(&self, needs: &HostNeeds) -> HostHealth {
        HostHealth {
            missing_mounts: needs.mounts.iter().skip(1).cloned().collect(),
            missing_packages: needs.packages.iter().skip(1).cloned().collect(),
            missing_units: needs.units.iter().skip(1).cloned().collect(),
            ..HostHealth::default()
        }
    }
    fn unit(&self, unit: &UnitName) -> UnitState {
        if unit.as_str() == "k3s" { *self.0.unit.lock().unwrap() } else { UnitState::NotFound }
    }
    fn start(&mut self, _: &UnitName) {
        *self.0.unit.lock().unwrap() = UnitState::Activating;
    }
    fn stop(&mut self, _: &UnitName) {
        *self.0.unit.lock().unwrap() = UnitState::Inactive;
    }
    fn restart(&mut self, _: &UnitName) {
        *self.0.unit.lock().unwrap() = UnitState::Active;
    }
    fn kill_pods(&mut self) {}
    fn save_snapshot(&mut self, name: &SnapshotName) -> Result<(), String> {
        self.0.saved.lock().unwrap().push(SnapshotState {
            name: format!("{name}-titan-01-1773453971").into(),
            bytes: 4128,
            check: SnapshotCheck::None,
        });
        Ok(())
    }
    fn snapshots(&self) -> Result<Vec<SnapshotState>, String> {
        Ok(self.0.saved.lock().unwrap().clone())
    }
    fn load_images(&mut self, archive: &[u8]) -> Result<(), String> {
        self.0.loaded.lock().unwrap().extend_from_slice(archive);
        Ok(())
    }
    fn reboot(&mut self) {}
    fn power_off(&mut self, _force: bool) {}
}

#[async_trait]
impl HostBackend for OneHost {
    fn reach(&self, _: &NodeName) -> Reach {
        *self.reach.lock().unwrap()
    }
    fn host_key_generation(&self, _: &NodeName) -> u32 {
        self.key.load(Ordering::SeqCst)
    }
    async fn exec(&self, _: &NodeName, line: &str, input: &[u8]) -> ExecReply {
        host_shell::run(line, input, &mut Facts(self))
    }
}

async fn served(host: Arc<OneHost>) -> (Site, Running) {
    let dir = TempDir::new().unwrap();
    let key = keys::generate().unwrap();
    keys::write(&dir.path().join("id"), &key).unwrap();
    let running = SshServers::start(&[node()], host, key.public_key()).await.unwrap();
    let site = Site {
        dir,
        port: running.ports[&node()],
        user: "ops".to_owned(),
        boot_id: "0f1e2d3c-0000-4000-8000-00000000002a".to_owned(),
        known_line: running.known_hosts[0].clone(),
        killall: true,
    };
    (site, running)
}

#[tokio::test]
async fn the_served_simulator_holds_the_contract() {
    let host = OneHost::new();
    let (site, running) = served(Arc::clone(&host)).await;
    let lines = || running.requests().into_iter().map(|(_, line)| line).collect();
    holds_the_contract(&site, &lines).await;
    assert_eq!(*host.loaded.lock().unwrap(), ARCHIVE);
}

#[test]
fn the_simulated_shell_knows_exactly_the_lines_that_are_sent() {
    let unit = unit("k3s-agent.service");
    let name = SnapshotName::parse("ananke-1").unwrap();
    let one = |unit: &UnitName| unit.clone();
    let look = |needs| Command::Inspect { unit: one(&unit), needs, distribution: Distribution::K3s };
    let pairs = [
        (Command::Start(one(&unit)), HostCommand::Start(one(&unit))),
        (Command::Stop(one(&unit)), HostCommand::Stop(one(&unit))),
        (Command::Restart(one(&unit)), HostCommand::Restart(one(&unit))),
        (Command::KillPods(one(&unit), Distribution::K3s), HostCommand::KillPods(one(&unit))),
        (Command::SaveSnapshot(name.clone(), Distribution::K3s), HostCommand::SaveSnapshot(name)),
        (Command::ListSnapshots(Distribution::K3s), HostCommand::ListSnapshots),
        (Command::LoadImages(archive(), Distribution::K3s), HostCommand::LoadImages),
        (Command::Reboot, HostCommand::Reboot),
        (Command::PowerOff, HostCommand::PowerOff),
        (Command::PowerOffNow, HostCommand::PowerOffNow),
        (Command::Settings, HostCommand::Settings),
        (look(HostNeeds::default()), HostCommand::Inspect { unit: one(&unit), needs: HostNeeds::default() }),
        (look(needs()), HostCommand::Inspect { unit: one(&unit), needs: needs() }),
    ];
    for (sent, understood) in pairs {
        assert_eq!(host_shell::parse(&sent.line()), Some(understood));
    }
    assert_eq!(host_shell::parse(&Command::PeerIntent.line()), None, "no node is an Ananke");
}

#[tokio::test]
async fn a_served_world_does_what_its_hosts_are_told() {
    let dir = TempDir::new().unwrap();
    let options =
        UpOptions { dir: dir.path().to_owned(), scenario: "healthy".to_owned(), nodes: Some(4), pods: None, seed: 1, speed: 50 };
    let served = up(options).await.unwrap();
    let target = |port| SshTarget { host: "127.0.0.1".to_owned(), port, user: "ananke".to_owned() };
    let targets = served.ssh_ports().map(|(node, port)| (node.clone(), target(port))).collect();
    let mut settings = SshSettings::direct(targets, dir.path().join("id_ed25519"), dir.path().join("known_hosts"));
    settings.connect_timeout = DEADLINE;
    settings.archives = Some(dir.path().to_owned());
    let hosts = SshHosts::new(settings, Arc::new(WallClock)).unwrap();
    let (server, worker, agent) = (node(), NodeName::parse("titan-04").unwrap(), unit("k3s-agent"));
    let disk = HostNeeds { mounts: vec![HostPath::parse(LONGHORN_DISK).unwrap()], ..HostNeeds::default() };

    let name = SnapshotName::parse("ananke-1").unwrap();
    hosts.perform_without_permit(&server, &HostOrder::SaveSnapshot(name)).await.unwrap();
    assert_eq!(hosts.snapshots(&server).await.unwrap().len(), 1);
    assert_eq!(hosts.snapshots(&worker).await.unwrap_err().kind, ErrorKind::Missing, "no etcd runs there");

    served.cluster().act(|world| world.inject(Fault::MountMissing, Some(&worker))).unwrap();
    let before = hosts.inspect(&worker, &agent, &disk).await.unwrap();
    assert_eq!((before.health.missing_mounts, before.health.clock_synced), (disk.mounts.clone(), Some(true)));
    assert!(before.leftovers.shims > 0);
    let kill = HostOrder::KillPods(agent.clone());
    assert_eq!(hosts.perform_without_permit(&worker, &kill).await.unwrap_err().kind, ErrorKind::Conflict);
    hosts.perform_without_permit(&worker, &HostOrder::Stop(agent.clone())).await.unwrap();
    assert_eq!(hosts.inspect(&worker, &agent, &disk).await.unwrap().leftovers.shims, before.leftovers.shims);
    hosts.perform_without_permit(&worker, &kill).await.unwrap();
    let after = hosts.inspect(&worker, &agent, &disk).await.unwrap();
    assert_eq!((after.leftovers, after.unit), (Leftovers::default(), UnitState::Inactive));

    std::fs::write(dir.path().join(archive().as_str()), saved_for_arm64()).unwrap();
    let load = HostOrder::LoadImages(archive());
    hosts.perform_without_permit(&worker, &load).await.unwrap();
    let error = hosts.perform_without_permit(&server, &load).await.unwrap_err();
    assert_eq!((error.kind, error.found.as_str()), (ErrorKind::Invalid, "ctr: no match for platform in manifest: not found"));

    hosts.perform_without_permit(&worker, &HostOrder::PowerOff).await.unwrap();
    let until = Instant::now() + LIMIT;
    while hosts.inspect(&worker, &agent, &disk).await.is_ok() {
        assert!(Instant::now() < until, "it was told to power off");
    }
    assert_eq!(hosts.inspect(&worker, &agent, &disk).await.unwrap_err().kind, ErrorKind::Transient);
}

/// As `docker save` writes it.
fn saved_for_arm64() -> Vec<u8> {
    let manifest = r#"[{"Config":"c.json","RepoTags":["harbor.titan.example/git/gitea:1"],"Layers":[]}]"#;
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in [("c.json", r#"{"architecture":"arm64"}"#), ("manifest.json", manifest)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn a_dark_host_ends_within_the_deadline_and_answers_when_it_is_back() {
    let host = OneHost::new();
    let (site, _running) = served(Arc::clone(&host)).await;
    let known = site.path("known_hosts");
    std::fs::write(&known, format!("{}\n", site.known_line)).unwrap();
    let target = SshTarget { host: "127.0.0.1".to_owned(), port: site.port, user: site.user.clone() };
    let mut settings = SshSettings::direct(BTreeMap::from([(node(), target)]), site.path("id"), known);
    settings.connect_timeout = DEADLINE;
    *host.reach.lock().unwrap() = Reach::Dark;
    let hosts = SshHosts::new(settings, Arc::new(WallClock)).unwrap();
    let began = Instant::now();
    let error = hosts.inspect(&node(), &unit("k3s"), &HostNeeds::default()).await.unwrap_err();
    assert!(began.elapsed() < DEADLINE * 4, "it took {:?}", began.elapsed());
    assert_eq!(error.kind, ErrorKind::Transient);
    assert_eq!(error.found, "the port accepted, but the key exchange did not end within 0.7 s");

    *host.reach.lock().unwrap() = Reach::Refuse;
    let error = hosts.inspect(&node(), &unit("k3s"), &HostNeeds::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");

    *host.reach.lock().unwrap() = Reach::Answer;
    let site_hosts = site.hosts();
    site_hosts.inspect(&node(), &unit("k3s"), &HostNeeds::default()).await.unwrap();
}

#[tokio::test]
async fn commands_share_one_connection_which_ends_with_the_host_key_it_was_made_under() {
    let host = OneHost::new();
    let (site, _running) = served(Arc::clone(&host)).await;
    let hosts = site.hosts();
    let k3s = unit("k3s");
    hosts.inspect(&node(), &k3s, &HostNeeds::default()).await.unwrap();
    // A connection that is kept needs no key that could be refused.
    std::fs::write(site.path("known_hosts"), "").unwrap();
    let node = node();
    let needs = HostNeeds::default();
    let (one, two) = tokio::join!(hosts.inspect(&node, &k3s, &needs), hosts.inspect(&node, &k3s, &needs));
    assert_eq!((one.unwrap().unit, two.unwrap().unit), (UnitState::Active, UnitState::Active));

    std::fs::write(site.path("known_hosts"), format!("{}\n", site.known_line)).unwrap();
    host.key.store(1, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(10);
    let error = loop {
        match hosts.inspect(&node, &k3s, &HostNeeds::default()).await {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < until, "the changed key was never noticed"),
        }
    };
    assert_eq!(error.kind, ErrorKind::Untrusted, "{error}");
}

#[tokio::test]
async fn a_port_that_accepts_and_never_speaks_ends_within_the_deadline() {
    let dir = TempDir::new().unwrap();
    keys::write(&dir.path().join("id"), &keys::generate().unwrap()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = SshTarget { host: "127.0.0.1".to_owned(), port: silent.local_addr().unwrap().port(), user: "ops".to_owned() };
    let mut settings =
        SshSettings::direct(BTreeMap::from([(node(), target)]), dir.path().join("id"), dir.path().join("known_hosts"));
    settings.connect_timeout = DEADLINE;
    let began = Instant::now();
    let error = SshHosts::new(settings, Arc::new(WallClock))
        .unwrap()
        .inspect(&node(), &unit("k3s"), &HostNeeds::default())
        .await
        .unwrap_err();
    assert!(began.elapsed() < DEADLINE * 4, "it took {:?}", began.elapsed());
    assert_eq!(error.tried, "connect");
    assert_eq!(error.found, "the port accepted, but the key exchange did not end within 0.7 s");
}

// ---- OpenSSH ----

/// sshd as the user of the test; it ends with this.
struct Sshd(Child);

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Its only unit is k3s; `$0.stopped` is there once it was stopped.
const SYSTEMCTL: &str = r#"#!/bin/sh
for unit; do
    case "$1 $unit" in
        "show show"|"show -p"|"show LoadState"|"show ActiveState") ;;
        "show k3s") printf 'LoadState=loaded\nActiveState=active\n\n' ;;
        show*) printf 'LoadState=not-found\nActiveState=inactive\n\n' ;;
    esac
done
case "$1 $unit" in
    show*) ;;
    "is-active k3s") if [ -e "$0.stopped" ]; then echo inactive; exit 3; else echo active; fi ;;
    is-active*) echo inactive; exit 4 ;;
    *nothing) echo "Failed to start $unit.service: Unit $unit.service not found." >&2; exit 5 ;;
    "stop k3s") touch "$0.stopped" ;;
esac
"#;

/// `/usr/local/bin/k3s`, `ananke` and `k3s-killall.sh` stand in a directory of the test, and this `sudo` takes them from there.
const SUDO: &str = r#"#!/bin/sh
printf '[%s]' "$@" >> PLACE/argv
echo >> PLACE/argv
shift
program=${1##*/}
shift
exec "$program" "$@"
"#;

const K3S: &str = r#"#!/bin/sh
case "$2" in
    images) cat > PLACE/loaded ;;
    save) printf '%s' "$4" > PLACE/snapshot; echo 'level=info msg="Snapshot saved."' >&2 ;;
    ls) printf '{"kind":"ETCDSnapshotFileList","items":[{"spec":{"snapshotName":"%s-titan-01-1773453971","nodeName":"titan-01"},"status":{"size":"5042208","readyToUse":true}}]}\n' "$(cat PLACE/snapshot)" ;;
esac
"#;

const ANANKE: &str = r#"#!/bin/sh
[ "$*" = "intent show -o json" ] || exit 2
cat <<END
{
  "state": "shutting_down",
  "run": "shutdown-20260314T020611000Z",
  "at": "2026-03-14T02:06:11.000Z",
  "reason": "battery"
}
END
"#;

fn executable(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn printed(program: &str, argument: &str) -> String {
    String::from_utf8(Process::new(program).arg(argument).output().unwrap().stdout).unwrap().trim().to_owned()
}

fn sshd() -> Option<(Site, Sshd)> {
    let program = Path::new("/usr/sbin/sshd");
    if !program.exists() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "openssh-server is missing, and CI must not skip this");
        println!("skipped: install openssh-server");
        return None;
    }
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (user_key, host_key) = (keys::generate().unwrap(), keys::generate().unwrap());
    keys::write(&path("id"), &user_key).unwrap();
    keys::write(&path("host_key"), &host_key).unwrap();
    std::fs::write(path("authorized_keys"), keys::public_line(user_key.public_key()).unwrap()).unwrap();
    std::fs::create_dir(path("bin")).unwrap();
    executable(&path("bin/systemctl"), SYSTEMCTL);
    let place = dir.path().display();
    let at_place = |text: &str| text.replace("PLACE", &place.to_string());
    executable(&path("bin/sudo"), &at_place(SUDO));
    executable(&path("bin/k3s"), &at_place(K3S));
    executable(&path("bin/ananke"), ANANKE);
    executable(&path("bin/k3s-killall.sh"), "#!/bin/sh\nexit 1\n");
    // Greetings as login scripts print them, without an end of line.
    let wrapper = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$SSH_ORIGINAL_COMMAND\" >> {place}/lines\nPATH={place}/bin:$PATH\nexport PATH\n\
         printf 'Welcome!\\nananke: 3 updates=pending'\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n"
    );
    executable(&path("wrapper"), &wrapper);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {place}/host_key\nAuthorizedKeysFile {place}/authorized_keys\nPidFile none\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nForceCommand {place}/wrapper\n"
    );
    std::fs::write(path("sshd_config"), config).unwrap();
    if printed("id", "-u") == "0" {
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let mut child =
        Process::new(program).args(["-D", "-e", "-f"]).arg(path("sshd_config")).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let child = Sshd(child);
    let ready = said.by_ref().map_while(Result::ok).find(|line| line.contains("Server listening"));
    assert!(ready.is_some(), "sshd did not start");
    // Read on, so that sshd never waits for its log.
    std::thread::spawn(move || said.for_each(drop));
    let site = Site {
        port,
        user: printed("id", "-un"),
        boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned(),
        known_line: format!("[127.0.0.1]:{port} {}", keys::public_line(host_key.public_key()).unwrap()),
        killall: Path::new("/usr/local/bin/k3s-killall.sh").exists(),
        dir,
    };
    Some((site, child))
}

#[tokio::test]
async fn openssh_holds_the_contract() {
    let Some((site, _sshd)) = sshd() else { return };
    let read = |name: &str| -> Vec<String> {
        std::fs::read_to_string(site.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    holds_the_contract(&site, &|| read("lines")).await;
    let asked = HostNeeds {
        mounts: ["/", "/proc", "/gone"].map(|path| HostPath::parse(path).unwrap()).into(),
        packages: ["dpkg", "no-such-package"].map(|name| PackageName::parse(name).unwrap()).into(),
        units: vec![unit("nothing"), unit("k3s")],
    };
    let health = site.hosts().inspect(&node(), &unit("k3s"), &asked).await.unwrap().health;
    assert_eq!(health.missing_mounts, [HostPath::parse("/gone").unwrap()]);
    assert!(health.space.iter().any(|one| one.path.as_str() == "/" && one.free_percent <= 100), "df tells of /: {health:?}");
    if Path::new("/usr/bin/dpkg-query").exists() {
        assert_eq!(health.missing_packages, [PackageName::parse("no-such-package").unwrap()]);
    }
    assert_eq!((health.missing_units, health.agents), (vec![unit("nothing")], Vec::new()));
    let mut expected = vec![
        "[-n][systemctl][start][--no-block][k3s]",
        "[-n][systemctl][restart][--no-block][k3s]",
        "[-n][/usr/local/bin/k3s][etcd-snapshot][save][--name][ananke-shutdown-20260314T020611000Z]",
        "[-n][/usr/local/bin/k3s][etcd-snapshot][ls][-o][json]",
        "[-n][/usr/local/bin/k3s][ctr][images][import][-]",
        "[-n][systemctl][stop][k3s]",
        "[-n][/usr/local/bin/k3s-killall.sh]",
        "[-n][systemctl][reboot]",
        "[-n][systemctl][poweroff]",
        "[-n][systemctl][poweroff][--force]",
        "[-n][systemctl][start][--no-block][nothing]",
        "[-n][systemctl][restart][--no-block][nothing]",
    ];
    assert_eq!(std::fs::read(site.path("loaded")).unwrap(), ARCHIVE);
    expected.retain(|line| site.killall || !line.contains("killall"));
    assert_eq!(read("argv"), expected);
}

#[tokio::test]
async fn a_peer_over_openssh_tells_what_its_operator_wants() {
    let Some((site, _sshd)) = sshd() else { return };
    let intent = site.hosts().intent(&node()).await.unwrap().unwrap();
    assert_eq!((intent.state, intent.reason.as_str()), (IntentState::ShuttingDown, "battery"));
    assert_eq!(intent.at, Moment::parse("2026-03-14T02:06:11Z").unwrap());
    std::fs::remove_file(site.path("bin/ananke")).unwrap();
    let error = site.hosts().intent(&node()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Missing, "{error}");
}
