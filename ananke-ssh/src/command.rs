//! The closed set of commands that can ever run on a host.
//!
//! Each has a fixed text with validated holes, a bound on its output and a pure parser. The types of the holes admit no
//! character that a shell knows, so nothing that is written here can become other syntax there. There is no way to run
//! anything else.

pub mod answer;
mod etcd;
mod images;
pub mod inspect;
mod kill;
mod peer;
mod settings;
pub mod sudoers;

use std::time::Duration;

use ananke_core::name::{ArchiveName, SnapshotName, UnitName};
use ananke_core::order::HostOrder;
use ananke_core::port::{ErrorKind, PeerRequest, clean};
use ananke_core::spec::{Distribution, HostNeeds};

pub use answer::{parse_answer, parse_intent, parse_snapshots};
pub use etcd::parse_checked_snapshots;
pub use inspect::{Inspection, parse_inspection};
pub use peer::{of_peer, of_peers};
pub use settings::parse_settings;

/// Standard error is only shown, so its beginning is enough.
pub const MAX_STDERR: usize = 4 * 1024;
/// Standard output beyond this is not an answer to anything we ask.
const MAX_STDOUT: usize = 64 * 1024;
/// k3s describes each snapshot of every server in about a kilobyte.
const MAX_LIST: usize = 2 * 1024 * 1024;

/// A unit that stops, dozens of containers to end and volumes to unmount, or a store to copy to an SD card. What is given up
/// goes on at the host: the next look shows what came of it.
const WORK_LASTS: Duration = Duration::from_secs(55);

/// sudo speaks the language of whoever calls it, and keeps it for what it runs; refusals are known by their words. Every login
/// shell reads this the same.
const SUDO: &str = "env LC_ALL=C sudo -n";
/// The same for all of a line of sh.
const PLAIN: &str = "LC_ALL=C; export LC_ALL;";
const SYSTEMCTL: &str = "systemctl";
const K3S: &str = "/usr/local/bin/k3s";
const ANANKE: &str = "/usr/local/bin/ananke";

/// A command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Who the host is, since when it runs, how the unit is doing, and what of the needs is missing. Needs no rights.
    Inspect {
        unit: UnitName,
        needs: HostNeeds,
        distribution: Distribution,
    },
    /// Whom the host asks for names, and what it mounts. Needs no rights.
    Settings,
    /// Starts the unit without waiting for it.
    Start(UnitName),
    /// Stops the unit and waits for it.
    Stop(UnitName),
    /// Restarts the unit without waiting for it.
    Restart(UnitName),
    /// Ends what the stopped unit left running.
    KillPods(UnitName, Distribution),
    /// Takes a snapshot of etcd; k3s appends node and time to the name.
    SaveSnapshot(SnapshotName, Distribution),
    ListSnapshots(Distribution),
    /// Loads the images of an archive of ours, which it reads on standard input.
    LoadImages(ArchiveName, Distribution),
    Reboot,
    PowerOff,
    /// `systemctl poweroff --force`: units are not stopped one by one, and none of them is waited for.
    PowerOffNow,
    /// Asks another Ananke what its operator last wanted.
    PeerIntent,
    /// Asks another Ananke for what it alone should do.
    PeerAsk(PeerRequest),
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// None where a signal ended it.
    pub exit: Option<u32>,
}

/// An answer that is none, or a no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: ErrorKind,
    pub found: String,
    pub remedy: Option<Remedy>,
}

/// What a person can change on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The command's line is missing in sudoers.
    Sudoers,
    /// The account cannot run commands.
    LoginShell,
    /// k3s or its script is not where its installer puts it.
    K3s,
    Crictl,
    /// etcdctl or etcdutl.
    EtcdTools,
    Ctr,
    /// There is no room for the images.
    Space,
    /// The archive is not one that can be loaded there.
    Archive,
}

impl Command {
    pub fn of(order: &HostOrder, distribution: Distribution) -> Self {
        match order {
            HostOrder::Start(unit) => Self::Start(unit.clone()),
            HostOrder::Stop(unit) => Self::Stop(unit.clone()),
            HostOrder::Restart(unit) => Self::Restart(unit.clone()),
            HostOrder::KillPods(unit) => Self::KillPods(unit.clone(), distribution),
            HostOrder::SaveSnapshot(name) => Self::SaveSnapshot(name.clone(), distribution),
            HostOrder::LoadImages(archive) => Self::LoadImages(archive.clone(), distribution),
            HostOrder::Reboot => Self::Reboot,
            HostOrder::PowerOff => Self::PowerOff,
            HostOrder::PowerOffNow => Self::PowerOffNow,
        }
    }

    /// The text that the host's login shell gets.
    pub fn line(&self) -> String {
        let root = || self.as_root().concat();
        match self {
            Self::Inspect { unit, needs, distribution } => inspect::line(unit, needs, *distribution),
            Self::Settings => settings::LINE.to_owned(),
            Self::KillPods(unit, distribution) => kill::line(unit, *distribution),
            Self::SaveSnapshot(name, Distribution::Kubeadm) => etcd::save_line(name),
            Self::ListSnapshots(Distribution::Kubeadm) => etcd::list_line(),
            Self::LoadImages(_, distribution) => images::line(*distribution),
            Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::SaveSnapshot(_, Distribution::K3s)
            | Self::Reboot
            | Self::PowerOff
            | Self::PowerOffNow => format!("{SUDO} {}", root()),
            Self::ListSnapshots(Distribution::K3s) => format!("sh -c '{PLAIN} echo; echo {}; sudo -n {}'", answer::MARK, root()),
            // Another Ananke, perhaps an older one, knows these letter by letter.
            Self::PeerIntent | Self::PeerAsk(_) => format!("sh -c 'echo; echo {}; sudo -n {}'", answer::MARK, root()),
        }
    }

    /// What of it runs as root; nothing where no right is needed. What sudo must allow is made of the same text.
    pub fn as_root(&self) -> Vec<String> {
        match self {
            Self::Inspect { .. } | Self::Settings => Vec::new(),
            Self::Start(unit) => vec![format!("{SYSTEMCTL} start --no-block {unit}")],
            Self::Stop(unit) => vec![format!("{SYSTEMCTL} stop {unit}")],
            Self::Restart(unit) => vec![format!("{SYSTEMCTL} restart --no-block {unit}")],
            Self::KillPods(_, distribution) => kill::as_root(*distribution),
            Self::SaveSnapshot(name, Distribution::K3s) => vec![format!("{K3S} etcd-snapshot save --name {name}")],
            Self::SaveSnapshot(name, Distribution::Kubeadm) => etcd::save_as_root(name).into(),
            Self::ListSnapshots(Distribution::K3s) => vec![format!("{K3S} etcd-snapshot ls -o json")],
            Self::ListSnapshots(Distribution::Kubeadm) => sudoers::any_snapshot().iter().map(etcd::list_as_root).collect(),
            Self::LoadImages(_, distribution) => vec![images::as_root(*distribution)],
            Self::Reboot => vec![format!("{SYSTEMCTL} reboot")],
            Self::PowerOff => vec![format!("{SYSTEMCTL} poweroff")],
            Self::PowerOffNow => vec![format!("{SYSTEMCTL} poweroff --force")],
            Self::PeerIntent => vec![format!("{ANANKE} intent show -o json")],
            Self::PeerAsk(request) => vec![format!("{ANANKE} peer {}", peer::words(*request))],
        }
    }

    /// What messages call it.
    pub fn title(&self) -> String {
        match self {
            Self::Inspect { unit, .. } => format!("inspect host and unit {unit}"),
            Self::Settings => "read the host's settings".to_owned(),
            Self::Start(unit) => format!("start unit {unit}"),
            Self::Stop(unit) => format!("stop unit {unit}"),
            Self::Restart(unit) => format!("restart unit {unit}"),
            Self::KillPods(unit, _) => format!("end the containers that {unit} left"),
            Self::SaveSnapshot(name, _) => format!("save etcd snapshot {name}"),
            Self::ListSnapshots(_) => "list etcd snapshots".to_owned(),
            Self::LoadImages(archive, _) => format!("load the images of {archive}"),
            Self::Reboot => "reboot".to_owned(),
            Self::PowerOff => "power off".to_owned(),
            Self::PowerOffNow => "power off by force".to_owned(),
            Self::PeerIntent => "ask the peer for its intent".to_owned(),
            Self::PeerAsk(PeerRequest::Shutdown { .. }) => "ask the peer to shut the cluster down".to_owned(),
            Self::PeerAsk(PeerRequest::Startup) => "ask the peer to start the cluster".to_owned(),
        }
    }

    /// Whether it may be sent again after its connection broke: only what changes nothing.
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Inspect { .. } | Self::Settings | Self::ListSnapshots(_) | Self::PeerIntent => true,
            Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::KillPods(..)
            | Self::SaveSnapshot(..)
            | Self::LoadImages(..)
            | Self::Reboot
            | Self::PowerOff
            | Self::PowerOffNow
            | Self::PeerAsk(_) => false,
        }
    }

    /// How long it may take, from request to end, where `usual` is enough for what answers at once.
    pub fn patience(&self, usual: Duration) -> Duration {
        match self {
            Self::Inspect { .. }
            | Self::Settings
            | Self::Start(_)
            | Self::Restart(_)
            | Self::Reboot
            | Self::PowerOff
            | Self::PowerOffNow
            | Self::PeerIntent => usual,
            Self::PeerAsk(_) => usual.max(peer::DECIDES),
            Self::ListSnapshots(_) => usual * 2,
            // Beside what its archive is given.
            Self::Stop(_) | Self::KillPods(..) | Self::SaveSnapshot(..) | Self::LoadImages(..) => usual.max(WORK_LASTS),
        }
    }

    /// Bytes of standard output that an answer may have.
    pub fn max_stdout(&self) -> usize {
        match self {
            Self::ListSnapshots(_) => MAX_LIST,
            Self::Inspect { .. }
            | Self::Settings
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::KillPods(..)
            | Self::SaveSnapshot(..)
            | Self::LoadImages(..)
            | Self::Reboot
            | Self::PowerOff
            | Self::PowerOffNow
            | Self::PeerIntent
            | Self::PeerAsk(_) => MAX_STDOUT,
        }
    }

    /// Reads the answer of a command that changes something.
    pub fn parse(&self, output: &Output) -> Result<(), Refusal> {
        match self {
            Self::KillPods(_, distribution) => kill::parse(output, *distribution),
            Self::SaveSnapshot(_, Distribution::Kubeadm) => etcd::parse_save(output),
            Self::LoadImages(_, distribution) => images::parse(output, *distribution),
            Self::Inspect { .. }
            | Self::Settings
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::SaveSnapshot(_, Distribution::K3s)
            | Self::ListSnapshots(_)
            | Self::Reboot
            | Self::PowerOff
            | Self::PowerOffNow
            | Self::PeerIntent
            | Self::PeerAsk(_) => parse_order(output),
        }
    }
}

impl Remedy {
    pub fn sentence(self, command: &Command, user: &str, node: &str) -> String {
        let lines = command.sudoers(user);
        match self {
            Self::Sudoers if !lines.is_empty() => format!("add to /etc/sudoers.d/ananke on {node}: {}", lines.join(" and ")),
            Self::Sudoers | Self::LoginShell => format!("give {user} a login shell on {node} that runs commands"),
            Self::K3s => format!("on {node}: link what is missing into /usr/local/bin, where the installer of k3s puts it"),
            Self::Crictl => format!("on {node}: install cri-tools, which brings /usr/bin/crictl"),
            Self::EtcdTools => {
                format!("on {node}: put etcdctl and etcdutl into /usr/local/bin, of the release of etcd that runs in its pod")
            }
            Self::Ctr => format!("on {node}: install containerd, which brings /usr/bin/ctr"),
            Self::Space => format!("free some space on {node} where its images are (`df -h /var/lib`)"),
            Self::Archive => format!("make the archive anew, with the images whole and for the architecture of {node}"),
        }
    }
}

impl Output {
    /// One line of what it said, for messages: standard error first, since that is where the reason is.
    fn said(&self) -> String {
        let pick = if self.stderr.trim_ascii().is_empty() { &self.stdout } else { &self.stderr };
        let text = clean(&String::from_utf8_lossy(pick), 200);
        match (self.exit, text.is_empty()) {
            (Some(exit), true) => format!("exit {exit} without a word"),
            (Some(exit), false) => format!("exit {exit}: {text}"),
            (None, true) => "ended by a signal".to_owned(),
            (None, false) => format!("ended by a signal: {text}"),
        }
    }
}

/// Reads the answer of commands that are `sudo` and another: they say nothing that matters when they succeed.
fn parse_order(output: &Output) -> Result<(), Refusal> {
    let Some(exit) = output.exit else { return Err(refusal(ErrorKind::Transient, output, None)) };
    if exit == 0 {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let says = |words: &str| text.contains(words);
    Err(if exit == 126 || exit == 127 || says("command not found") {
        refusal(ErrorKind::Missing, output, None)
    } else if exit == 5 || says(" not found.") || says(" not loaded.") {
        // systemctl exits 5 where there is no such unit.
        refusal(ErrorKind::Missing, output, None)
    } else if exit == 4 || sudo_says_no(&text) || says("authentication required") {
        refusal(ErrorKind::Denied, output, Some(Remedy::Sudoers))
    } else {
        refusal(ErrorKind::Transient, output, None)
    })
}

/// sudo says it under its own name; its complaint about name resolution is no refusal.
fn sudo_says_no(text: &str) -> bool {
    let own = text.lines().any(|line| line.starts_with("sudo: ") && !line.contains("unable to resolve host"));
    own || text.contains("not allowed to execute") || text.contains("sudoers")
}

fn refusal(kind: ErrorKind, output: &Output, remedy: Option<Remedy>) -> Refusal {
    Refusal { kind, found: output.said(), remedy }
}

fn invalid(found: impl ToString) -> Refusal {
    Refusal { kind: ErrorKind::Invalid, found: found.to_string(), remedy: None }
}

#[cfg(test)]
mod tests {
    use ananke_core::spec::NodeRole;

    use super::*;

    fn unit() -> UnitName {
        UnitName::parse("k3s-agent.service").unwrap()
    }

    fn snapshot() -> SnapshotName {
        SnapshotName::parse("ananke-shutdown-20260314T020611000Z").unwrap()
    }

    fn archive() -> ArchiveName {
        ArchiveName::parse("gitea.tar").unwrap()
    }

    fn output(exit: u32, stderr: &str) -> Output {
        Output { stdout: Vec::new(), stderr: stderr.as_bytes().to_vec(), exit: Some(exit) }
    }

    fn order(exit: u32, stderr: &str) -> Result<(), (ErrorKind, Option<Remedy>)> {
        parse_order(&output(exit, stderr)).map_err(|refusal| (refusal.kind, refusal.remedy))
    }

    #[test]
    fn the_command_lines_are_these_and_no_others() {
        let lines = [
            (Command::Start(unit()), "env LC_ALL=C sudo -n systemctl start --no-block k3s-agent.service"),
            (Command::Stop(unit()), "env LC_ALL=C sudo -n systemctl stop k3s-agent.service"),
            (Command::Restart(unit()), "env LC_ALL=C sudo -n systemctl restart --no-block k3s-agent.service"),
            (Command::Reboot, "env LC_ALL=C sudo -n systemctl reboot"),
            (Command::PowerOff, "env LC_ALL=C sudo -n systemctl poweroff"),
            (Command::PowerOffNow, "env LC_ALL=C sudo -n systemctl poweroff --force"),
            (
                Command::SaveSnapshot(snapshot(), Distribution::K3s),
                "env LC_ALL=C sudo -n /usr/local/bin/k3s etcd-snapshot save --name ananke-shutdown-20260314T020611000Z",
            ),
            (
                Command::ListSnapshots(Distribution::K3s),
                "sh -c 'LC_ALL=C; export LC_ALL; echo; echo ananke:answer; sudo -n /usr/local/bin/k3s etcd-snapshot ls -o json'",
            ),
            (
                Command::LoadImages(archive(), Distribution::K3s),
                "env LC_ALL=C sudo -n /usr/local/bin/k3s ctr images import - >/dev/null",
            ),
            (
                Command::LoadImages(archive(), Distribution::Kubeadm),
                "env LC_ALL=C sudo -n /usr/bin/ctr -n k8s.io images import - >/dev/null",
            ),
            (Command::PeerIntent, "sh -c 'echo; echo ananke:answer; sudo -n /usr/local/bin/ananke intent show -o json'"),
            (
                Command::PeerAsk(PeerRequest::Shutdown { within: Some(Duration::from_millis(540_900)) }),
                "sh -c 'echo; echo ananke:answer; sudo -n /usr/local/bin/ananke peer shutdown --within 00540s'",
            ),
            (
                Command::PeerAsk(PeerRequest::Startup),
                "sh -c 'echo; echo ananke:answer; sudo -n /usr/local/bin/ananke peer startup'",
            ),
            (
                Command::SaveSnapshot(snapshot(), Distribution::Kubeadm),
                r#"sh -c 'LC_ALL=C; export LC_ALL; sudo -n /usr/bin/install -d -m 0755 /var/lib/etcd-snapshots /var/lib/etcd-snapshots/unchecked || exit; exec 9</var/lib/etcd-snapshots; flock -n 9 || { echo "ananke: refused: another snapshot is being saved" >&2; exit 75; }; sudo -n /usr/bin/rm -rf /var/lib/etcd-snapshots/unchecked && sudo -n /usr/bin/install -d -m 0755 /var/lib/etcd-snapshots /var/lib/etcd-snapshots/unchecked && sudo -n /usr/local/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key snapshot save /var/lib/etcd-snapshots/unchecked/db && sudo -n /usr/local/bin/etcdutl snapshot restore /var/lib/etcd-snapshots/unchecked/db --data-dir /var/lib/etcd-snapshots/unchecked/restored && sudo -n /usr/bin/mv /var/lib/etcd-snapshots/unchecked/db /var/lib/etcd-snapshots/ananke-shutdown-20260314T020611000Z.db; x=$?; sudo -n /usr/bin/rm -rf /var/lib/etcd-snapshots/unchecked; exit $x' >/dev/null"#,
            ),
            (
                Command::ListSnapshots(Distribution::Kubeadm),
                r#"sh -c 'LC_ALL=C; export LC_ALL; echo; echo ananke:answer; echo "["; for n in $(ls -t /var/lib/etcd-snapshots 2>/dev/null | grep -x "ananke-shutdown-[0-9]\{8\}T[0-9]\{9\}\.db" | head -n 2); do f=/var/lib/etcd-snapshots/$n; printf "{\"name\":\"%s\",\"bytes\":%s,\"status\":" "${n%.db}" "$(stat -c %s "$f")"; sudo -n /usr/local/bin/etcdutl snapshot status "$f" -w json || echo null; echo "},"; done; echo "null]"'"#,
            ),
        ];
        for (command, line) in lines {
            assert_eq!(command.line(), line);
        }
    }

    #[test]
    fn whatever_sudo_says_on_a_node_it_says_in_english() {
        let commands = |distribution| {
            let roles = [NodeRole::Server, NodeRole::Worker];
            let nodes = roles.into_iter().flat_map(move |role| sudoers::of_node(role, &unit(), distribution));
            nodes.chain(sudoers::of_archives(distribution))
        };
        for command in [Distribution::K3s, Distribution::Kubeadm].into_iter().flat_map(commands) {
            let line = command.line();
            let before = line.split_once("sudo -n ").unwrap().0;
            assert!(before == "env LC_ALL=C " || before.starts_with("sh -c 'LC_ALL=C; export LC_ALL; "), "{line}");
        }
    }

    #[test]
    fn a_failed_order_says_whether_waiting_can_help() {
        let denied = Err((ErrorKind::Denied, Some(Remedy::Sudoers)));
        assert_eq!(order(0, "sudo: unable to resolve host titan-01: Name or service not known"), Ok(()));
        assert_eq!(order(1, "sudo: a password is required"), denied);
        assert_eq!(order(1, "sudo: Ein Passwort ist notwendig"), denied);
        assert_eq!(order(1, "Sorry, user ops is not allowed to execute '/usr/bin/systemctl' as root on t."), denied);
        assert_eq!(order(5, "Failed to start x.service: Unit x.service not found."), Err((ErrorKind::Missing, None)));
        assert_eq!(order(127, "bash: line 1: sudo: command not found"), Err((ErrorKind::Missing, None)));
        assert_eq!(
            order(1, "sudo: unable to resolve host t: x\nJob for k3s.service failed because a timeout was exceeded."),
            Err((ErrorKind::Transient, None))
        );
    }

    #[test]
    fn only_what_reads_is_sent_twice_and_what_works_is_given_its_time() {
        let usual = Duration::from_secs(20);
        let look = Command::Inspect { unit: unit(), needs: HostNeeds::default(), distribution: Distribution::K3s };
        for command in [Command::ListSnapshots(Distribution::Kubeadm), Command::PeerIntent, look] {
            assert!(command.only_reads(), "{command:?}");
        }
        for order in [
            HostOrder::Reboot,
            HostOrder::PowerOff,
            HostOrder::PowerOffNow,
            HostOrder::SaveSnapshot(snapshot()),
            HostOrder::KillPods(unit()),
            HostOrder::LoadImages(archive()),
            HostOrder::Restart(unit()),
        ] {
            assert!(!Command::of(&order, Distribution::Kubeadm).only_reads(), "{order:?}");
        }
        assert_eq!(Command::Start(unit()).patience(usual), usual);
        assert!(Command::Stop(unit()).patience(usual) > usual * 2);
    }

    #[test]
    fn the_remedy_is_a_line_to_paste() {
        let unit = UnitName::parse("k3s:a").unwrap();
        assert_eq!(
            Remedy::Sudoers.sentence(&Command::Start(unit), "ops", "titan-01"),
            "add to /etc/sudoers.d/ananke on titan-01: ops ALL=(root) NOPASSWD: /usr/bin/systemctl start --no-block k3s\\:a"
        );
    }
}
