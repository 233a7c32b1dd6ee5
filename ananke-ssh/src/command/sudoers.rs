//! What sudo must allow on a host: exactly what the commands run as root there.

use ananke_core::name::{ArchiveName, SnapshotName, UnitName};
use ananke_core::spec::{Distribution, NodeRole};

use super::{Command, SYSTEMCTL, peer};

/// Where sudo finds it, whatever the user's own path says.
const SYSTEMCTL_FILE: &str = "/usr/bin/systemctl";
/// A snapshot's name as a shutdown gives it: what differs between two of them is the digits of their time.
const SNAPSHOT: &str = "ananke-shutdown-20260314T020611000";

/// Every command that can be sent to a node of that role, with that unit.
pub fn of_node(role: NodeRole, unit: &UnitName, distribution: Distribution) -> Vec<Command> {
    let unit = || unit.clone();
    let mut commands = vec![
        Command::Start(unit()),
        Command::Stop(unit()),
        Command::Restart(unit()),
        Command::KillPods(unit(), distribution),
        Command::PowerOff,
        Command::PowerOffNow,
    ];
    match role {
        NodeRole::Server => {
            commands.push(Command::ListSnapshots(distribution));
            commands.extend(any_snapshot().map(|name| Command::SaveSnapshot(name, distribution)));
        }
        NodeRole::Worker => commands.push(Command::Reboot),
    }
    commands
}

/// What a node is sent beyond that where archives of images are configured.
pub fn of_archives(distribution: Distribution) -> Option<Command> {
    // No archive's name is part of the line.
    ArchiveName::parse("images.tar").ok().map(|any| Command::LoadImages(any, distribution))
}

/// One such name, for all.
pub(super) fn any_snapshot() -> Option<SnapshotName> {
    SnapshotName::parse(SNAPSHOT).ok()
}

impl Command {
    /// The lines in sudoers that allow exactly this; none where no right is needed.
    ///
    /// A snapshot's name and the time that batteries give are the only holes, and digits the only part of them that changes:
    /// the line allows any digit where one stands. Each pattern is one character, in which no other argument can hide.
    pub fn sudoers(&self, user: &str) -> Vec<String> {
        let hole = match self {
            Self::SaveSnapshot(name, _) => Some(name.to_string()),
            Self::ListSnapshots(Distribution::Kubeadm) => any_snapshot().map(|name| name.to_string()),
            Self::PeerAsk(request) => peer::hole(*request),
            Self::Inspect { .. }
            | Self::Settings
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::KillPods(..)
            | Self::ListSnapshots(Distribution::K3s)
            | Self::LoadImages(..)
            | Self::Reboot
            | Self::PowerOff
            | Self::PowerOffNow
            | Self::PeerIntent => None,
        };
        self.as_root().iter().map(|command| line(command, hole.as_deref(), user)).collect()
    }
}

fn line(command: &str, hole: Option<&str>, user: &str) -> String {
    let (program, arguments) = command.split_once(' ').unwrap_or((command, ""));
    let program = if program == SYSTEMCTL { SYSTEMCTL_FILE } else { program };
    let literally: String = arguments.chars().map(literal).collect();
    let arguments = match hole {
        Some(hole) => literally.replace(hole, &hole.chars().map(any_digit).collect::<String>()),
        None if literally.is_empty() => "\"\"".to_owned(),
        None => literally,
    };
    format!("{} ALL=(root) NOPASSWD: {program} {arguments}", account(user))
}

/// What quotes the argument for the shell is not part of it.
fn literal(char: char) -> String {
    match char {
        ',' | ':' | '=' | '\\' | '*' => format!("\\{char}"),
        '"' => String::new(),
        other => other.to_string(),
    }
}

fn any_digit(char: char) -> String {
    match char {
        '0'..='9' => "[0-9]".to_owned(),
        other => other.to_string(),
    }
}

/// A name without a small letter would be read as an alias, and `ALL` as everybody.
fn account(user: &str) -> String {
    if user.starts_with(|c: char| c.is_ascii_uppercase()) { format!("\"{user}\"") } else { user.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ananke_core::port::PeerRequest;
    use ananke_core::spec::HostNeeds;

    use super::*;

    fn unit() -> UnitName {
        UnitName::parse("k3s-agent.service").unwrap()
    }

    /// One of each kind: a new kind does not compile before it stands here.
    fn every(distribution: Distribution) -> Vec<Command> {
        let snapshot = SnapshotName::parse("a-2026T0Z").unwrap();
        let first = Command::Inspect { unit: unit(), needs: HostNeeds::default(), distribution };
        let next = |command: &Command| match command {
            Command::Inspect { .. } => Some(Command::Settings),
            Command::Settings => Some(Command::Start(unit())),
            Command::Start(_) => Some(Command::Stop(unit())),
            Command::Stop(_) => Some(Command::Restart(unit())),
            Command::Restart(_) => Some(Command::KillPods(unit(), distribution)),
            Command::KillPods(..) => Some(Command::SaveSnapshot(snapshot.clone(), distribution)),
            Command::SaveSnapshot(..) => Some(Command::ListSnapshots(distribution)),
            Command::ListSnapshots(_) => of_archives(distribution),
            Command::LoadImages(..) => Some(Command::Reboot),
            Command::Reboot => Some(Command::PowerOff),
            Command::PowerOff => Some(Command::PowerOffNow),
            Command::PowerOffNow => Some(Command::PeerIntent),
            Command::PeerIntent => Some(Command::PeerAsk(PeerRequest::Shutdown { within: Some(Duration::from_secs(540)) })),
            Command::PeerAsk(_) => None,
        };
        std::iter::successors(Some(first), next).collect()
    }

    fn lines(distribution: Distribution) -> Vec<String> {
        every(distribution).iter().flat_map(|command| command.sudoers("ops")).collect()
    }

    #[test]
    fn each_command_has_its_lines_and_there_are_no_others() {
        let expected = [
            "/usr/bin/systemctl start --no-block k3s-agent.service",
            "/usr/bin/systemctl stop k3s-agent.service",
            "/usr/bin/systemctl restart --no-block k3s-agent.service",
            "/usr/local/bin/k3s-killall.sh \"\"",
            "/usr/local/bin/k3s etcd-snapshot save --name a-[0-9][0-9][0-9][0-9]T[0-9]Z",
            "/usr/local/bin/k3s etcd-snapshot ls -o json",
            "/usr/local/bin/k3s ctr images import -",
            "/usr/bin/systemctl reboot",
            "/usr/bin/systemctl poweroff",
            "/usr/bin/systemctl poweroff --force",
            "/usr/local/bin/ananke intent show -o json",
            "/usr/local/bin/ananke peer shutdown --within [0-9][0-9][0-9][0-9][0-9]s",
        ];
        assert_eq!(lines(Distribution::K3s), expected.map(|command| format!("ops ALL=(root) NOPASSWD: {command}")));
    }

    #[test]
    fn kubeadm_has_lines_of_its_own_where_k3s_is_asked_otherwise() {
        let k3s = lines(Distribution::K3s);
        let own: Vec<_> = lines(Distribution::Kubeadm).into_iter().filter(|line| !k3s.contains(line)).collect();
        let member = r"--endpoints\=https\://127.0.0.1\:2379 --cacert\=/etc/kubernetes/pki/etcd/ca.crt --cert\=/etc/kubernetes/pki/etcd/server.crt --key\=/etc/kubernetes/pki/etcd/server.key";
        let (digits, place) = (|count| "[0-9]".repeat(count), "/var/lib/etcd-snapshots");
        let expected = [
            "/usr/bin/crictl --timeout 50s rmp --all --force".to_owned(),
            r"/usr/bin/systemctl stop var-lib-kubelet-\*.mount".to_owned(),
            format!("/usr/bin/install -d -m 0755 {place} {place}/unchecked"),
            format!("/usr/bin/rm -rf {place}/unchecked"),
            format!("/usr/local/bin/etcdctl {member} snapshot save {place}/unchecked/db"),
            format!("/usr/local/bin/etcdutl snapshot restore {place}/unchecked/db --data-dir {place}/unchecked/restored"),
            format!("/usr/bin/mv {place}/unchecked/db {place}/a-{}T{}Z.db", digits(4), digits(1)),
            format!("/usr/local/bin/etcdutl snapshot status {place}/ananke-shutdown-{}T{}.db -w json", digits(8), digits(9)),
            "/usr/bin/ctr -n k8s.io images import -".to_owned(),
        ];
        assert_eq!(own, expected.map(|command| format!("ops ALL=(root) NOPASSWD: {command}")));
    }

    #[test]
    fn what_a_line_runs_as_root_is_what_sudo_is_asked_to_allow() {
        for command in [Distribution::K3s, Distribution::Kubeadm].into_iter().flat_map(every) {
            // The loop's own variable stands for the name.
            let line = command.line().replace("\"$f\"", &format!("/var/lib/etcd-snapshots/{SNAPSHOT}.db"));
            let run: Vec<&str> = line.split("sudo -n ").skip(1).collect();
            let allowed = command.as_root();
            assert!(run.iter().all(|run| allowed.iter().any(|root| run.starts_with(root))), "{line}");
            assert!(allowed.iter().all(|root| run.iter().any(|run| run.starts_with(root))), "{line}");
        }
    }

    #[test]
    fn a_node_may_be_sent_all_that_concerns_its_role() {
        let kinds = |commands: &[Command]| commands.iter().map(std::mem::discriminant).collect::<Vec<_>>();
        for distribution in [Distribution::K3s, Distribution::Kubeadm] {
            let server = of_node(NodeRole::Server, &unit(), distribution);
            let worker = of_node(NodeRole::Worker, &unit(), distribution);
            for command in every(distribution) {
                let kind = std::mem::discriminant(&command);
                let sent = [&server, &worker].map(|commands| kinds(commands).contains(&kind));
                let expected = match command {
                    Command::Inspect { .. }
                    | Command::Settings
                    | Command::LoadImages(..)
                    | Command::PeerIntent
                    | Command::PeerAsk(_) => [false, false],
                    Command::SaveSnapshot(..) | Command::ListSnapshots(_) => [true, false],
                    Command::Reboot => [false, true],
                    Command::Start(_)
                    | Command::Stop(_)
                    | Command::Restart(_)
                    | Command::KillPods(..)
                    | Command::PowerOff
                    | Command::PowerOffNow => [true, true],
                };
                assert_eq!(sent, expected, "{command:?}");
            }
        }
    }

    #[test]
    fn no_name_can_become_syntax_of_sudoers() {
        let start = Command::Start(UnitName::parse("k3s@a:b").unwrap());
        assert_eq!(start.sudoers("ops"), [r"ops ALL=(root) NOPASSWD: /usr/bin/systemctl start --no-block k3s@a\:b"]);
        assert!(start.sudoers("ALL")[0].starts_with("\"ALL\" ALL=(root)"));
    }
}
