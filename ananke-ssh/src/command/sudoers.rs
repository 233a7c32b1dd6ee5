//! What sudo must allow on a host: exactly what the commands run as root there.

use ananke_core::name::{SnapshotName, UnitName};
use ananke_core::spec::NodeRole;

use super::{Command, SYSTEMCTL};

/// Where sudo finds it, whatever the user's own path says.
const SYSTEMCTL_FILE: &str = "/usr/bin/systemctl";
/// A snapshot's name as a shutdown gives it: what differs between two of them is the digits of their time.
const SNAPSHOT: &str = "ananke-shutdown-20260314T020611000";

/// Every command that can be sent to a node of that role, with that unit.
pub fn of_node(role: NodeRole, unit: &UnitName) -> Vec<Command> {
    let unit = || unit.clone();
    let mut commands = vec![
        Command::Start(unit()),
        Command::Stop(unit()),
        Command::Restart(unit()),
        Command::KillPods(unit()),
        Command::PowerOff,
    ];
    if role == NodeRole::Server {
        commands.push(Command::ListSnapshots);
        commands.extend(SnapshotName::parse(SNAPSHOT).ok().map(Command::SaveSnapshot));
    }
    commands
}

impl Command {
    /// The line in sudoers that allows exactly this; none where no right is needed.
    ///
    /// A snapshot's name is the only hole, and its digits the only part that changes: the line allows any digit where one
    /// stands. Each pattern is one character, in which no other argument can hide.
    pub fn sudoers(&self, user: &str) -> Option<String> {
        let command = self.as_root()?;
        let (program, arguments) = command.split_once(' ').unwrap_or((&command, ""));
        let program = if program == SYSTEMCTL { SYSTEMCTL_FILE } else { program };
        let open = matches!(self, Self::SaveSnapshot(_));
        let arguments =
            if arguments.is_empty() { "\"\"".to_owned() } else { arguments.chars().map(|c| literal(c, open)).collect() };
        Some(format!("{} ALL=(root) NOPASSWD: {program} {arguments}", account(user)))
    }
}

fn literal(char: char, open: bool) -> String {
    match char {
        '0'..='9' if open => "[0-9]".to_owned(),
        ',' | ':' | '=' | '\\' => format!("\\{char}"),
        other => other.to_string(),
    }
}

/// A name without a small letter would be read as an alias, and `ALL` as everybody.
fn account(user: &str) -> String {
    if user.starts_with(|c: char| c.is_ascii_uppercase()) { format!("\"{user}\"") } else { user.to_owned() }
}

#[cfg(test)]
mod tests {
    use ananke_core::spec::HostNeeds;

    use super::*;

    fn unit() -> UnitName {
        UnitName::parse("k3s-agent.service").unwrap()
    }

    /// One of each kind: a new kind does not compile before it stands here.
    fn every() -> Vec<Command> {
        let snapshot = SnapshotName::parse("a-2026T0Z").unwrap();
        let first = Command::Inspect { unit: unit(), needs: HostNeeds::default() };
        let next = |command: &Command| match command {
            Command::Inspect { .. } => Some(Command::Start(unit())),
            Command::Start(_) => Some(Command::Stop(unit())),
            Command::Stop(_) => Some(Command::Restart(unit())),
            Command::Restart(_) => Some(Command::KillPods(unit())),
            Command::KillPods(_) => Some(Command::SaveSnapshot(snapshot.clone())),
            Command::SaveSnapshot(_) => Some(Command::ListSnapshots),
            Command::ListSnapshots => Some(Command::PowerOff),
            Command::PowerOff => Some(Command::PeerIntent),
            Command::PeerIntent => None,
        };
        std::iter::successors(Some(first), next).collect()
    }

    #[test]
    fn each_command_has_its_line_and_there_are_no_others() {
        let lines: Vec<_> = every().iter().filter_map(|command| command.sudoers("ops")).collect();
        let expected = [
            "/usr/bin/systemctl start --no-block k3s-agent.service",
            "/usr/bin/systemctl stop k3s-agent.service",
            "/usr/bin/systemctl restart --no-block k3s-agent.service",
            "/usr/local/bin/k3s-killall.sh \"\"",
            "/usr/local/bin/k3s etcd-snapshot save --name a-[0-9][0-9][0-9][0-9]T[0-9]Z",
            "/usr/local/bin/k3s etcd-snapshot ls -o json",
            "/usr/bin/systemctl poweroff",
            "/usr/local/bin/ananke intent show -o json",
        ];
        assert_eq!(lines, expected.map(|command| format!("ops ALL=(root) NOPASSWD: {command}")));
    }

    #[test]
    fn what_a_line_runs_as_root_is_what_sudo_is_asked_to_allow() {
        for command in every() {
            let line = command.line();
            let root: Vec<&str> = line.split("sudo ").skip(1).collect();
            match command.as_root() {
                Some(text) => assert!(root.len() == 1 && root[0].starts_with(&format!("-n {text}")), "{line}"),
                None => assert!(root.is_empty() && command.sudoers("ops").is_none(), "{line}"),
            }
        }
    }

    #[test]
    fn a_node_may_be_sent_all_that_concerns_its_role() {
        let server = of_node(NodeRole::Server, &unit());
        let kinds = |commands: &[Command]| commands.iter().map(std::mem::discriminant).collect::<Vec<_>>();
        for command in every().iter().filter(|command| command.as_root().is_some() && **command != Command::PeerIntent) {
            assert!(kinds(&server).contains(&std::mem::discriminant(command)), "{command:?}");
        }
        let worker = of_node(NodeRole::Worker, &unit());
        assert!(worker.iter().all(|command| server.contains(command)) && !worker.contains(&Command::ListSnapshots));
    }

    #[test]
    fn no_name_can_become_syntax_of_sudoers() {
        let start = Command::Start(UnitName::parse("k3s@a:b").unwrap());
        assert_eq!(start.sudoers("ops").unwrap(), r"ops ALL=(root) NOPASSWD: /usr/bin/systemctl start --no-block k3s@a\:b");
        assert!(start.sudoers("ALL").unwrap().starts_with("\"ALL\" ALL=(root)"));
    }
}
