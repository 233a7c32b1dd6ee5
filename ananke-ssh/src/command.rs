//! The closed set of commands that can ever run on a host.
//!
//! Each has a fixed text with validated holes, a bound on its output and a pure parser. The types of the holes admit no
//! character that a shell knows, so nothing that is written here can become other syntax there. There is no way to run
//! anything else.

pub mod answer;
pub mod inspect;
pub mod sudoers;

use std::time::Duration;

use ananke_core::name::{SnapshotName, UnitName};
use ananke_core::order::HostOrder;
use ananke_core::port::{ErrorKind, clean};
use ananke_core::spec::HostNeeds;

pub use answer::{parse_intent, parse_snapshots};
pub use inspect::{Inspection, parse_inspection};

/// Standard error is only shown, so its beginning is enough.
pub const MAX_STDERR: usize = 4 * 1024;
/// Standard output beyond this is not an answer to anything we ask.
const MAX_STDOUT: usize = 64 * 1024;
/// k3s describes each snapshot of every server in about a kilobyte.
const MAX_LIST: usize = 2 * 1024 * 1024;

/// A unit that stops, dozens of containers to end and volumes to unmount, or a store to copy to an SD card. The engine gives
/// up on any call after 60 s, and what is under way goes on at the host: the next look shows what came of it.
const WORK_LASTS: Duration = Duration::from_secs(55);

const SYSTEMCTL: &str = "systemctl";
const K3S: &str = "/usr/local/bin/k3s";
const KILLALL: &str = "/usr/local/bin/k3s-killall.sh";
const ANANKE: &str = "/usr/local/bin/ananke";

/// k3s's own script ends its containers and unmounts their volumes, and it knows where each release keeps them. It does more:
/// it stops k3s, which it must find stopped already, and it removes the CNI's interfaces and packet filter rules, which the
/// next start of k3s makes anew. It kills without grace, so it runs only after a drain, and never beside a unit that runs,
/// starts or stops. Its exit code is that of its last line and tells nothing: what is left is seen by the next look.
const KILL: [&str; 3] = [
    r#"sh -c 'case "$(systemctl is-active "#,
    concat!(
        r#")" in inactive|failed) ;; *) echo "ananke: refused: the unit is not stopped" >&2; exit 75;; esac; "#,
        r#"[ -x /usr/local/bin/k3s-killall.sh ] || { echo "ananke: refused: there is no k3s-killall.sh" >&2; exit 69; }; "#,
    ),
    " >/dev/null'",
];
const REFUSED_RUNS: u32 = 75;
const REFUSED_NO_SCRIPT: u32 = 69;

/// A command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Who the host is, since when it runs, how the unit is doing, and what of the needs is missing. Needs no rights.
    Inspect {
        unit: UnitName,
        needs: HostNeeds,
    },
    /// Starts the unit without waiting for it.
    Start(UnitName),
    /// Stops the unit and waits for it.
    Stop(UnitName),
    /// Restarts the unit without waiting for it.
    Restart(UnitName),
    /// Ends what the stopped unit left running.
    KillPods(UnitName),
    /// Takes a snapshot of etcd; k3s appends node and time to the name.
    SaveSnapshot(SnapshotName),
    ListSnapshots,
    PowerOff,
    /// Asks another Ananke what its operator last wanted.
    PeerIntent,
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
}

impl Command {
    pub fn of(order: &HostOrder) -> Self {
        match order {
            HostOrder::Start(unit) => Self::Start(unit.clone()),
            HostOrder::Stop(unit) => Self::Stop(unit.clone()),
            HostOrder::Restart(unit) => Self::Restart(unit.clone()),
            HostOrder::KillPods(unit) => Self::KillPods(unit.clone()),
            HostOrder::SaveSnapshot(name) => Self::SaveSnapshot(name.clone()),
            HostOrder::PowerOff => Self::PowerOff,
        }
    }

    /// The text that the host's login shell gets.
    pub fn line(&self) -> String {
        let sudo = self.as_root().map_or_else(String::new, |command| format!("sudo -n {command}"));
        match self {
            Self::Inspect { unit, needs } => inspect::line(unit, needs),
            Self::Start(_) | Self::Stop(_) | Self::Restart(_) | Self::SaveSnapshot(_) | Self::PowerOff => sudo,
            Self::KillPods(unit) => {
                let [before, refuse, after] = KILL;
                format!("{before}{unit}{refuse}{sudo}{after}")
            }
            Self::ListSnapshots | Self::PeerIntent => format!("sh -c 'echo; echo {}; {sudo}'", answer::MARK),
        }
    }

    /// What of it runs as root; none where no right is needed. What sudo must allow is made of the same text.
    fn as_root(&self) -> Option<String> {
        Some(match self {
            Self::Inspect { .. } => return None,
            Self::Start(unit) => format!("{SYSTEMCTL} start --no-block {unit}"),
            Self::Stop(unit) => format!("{SYSTEMCTL} stop {unit}"),
            Self::Restart(unit) => format!("{SYSTEMCTL} restart --no-block {unit}"),
            Self::KillPods(_) => KILLALL.to_owned(),
            Self::SaveSnapshot(name) => format!("{K3S} etcd-snapshot save --name {name}"),
            Self::ListSnapshots => format!("{K3S} etcd-snapshot ls -o json"),
            Self::PowerOff => format!("{SYSTEMCTL} poweroff"),
            Self::PeerIntent => format!("{ANANKE} intent show -o json"),
        })
    }

    /// What messages call it.
    pub fn title(&self) -> String {
        match self {
            Self::Inspect { unit, .. } => format!("inspect host and unit {unit}"),
            Self::Start(unit) => format!("start unit {unit}"),
            Self::Stop(unit) => format!("stop unit {unit}"),
            Self::Restart(unit) => format!("restart unit {unit}"),
            Self::KillPods(unit) => format!("end the containers that {unit} left"),
            Self::SaveSnapshot(name) => format!("save etcd snapshot {name}"),
            Self::ListSnapshots => "list etcd snapshots".to_owned(),
            Self::PowerOff => "power off".to_owned(),
            Self::PeerIntent => "ask the peer for its intent".to_owned(),
        }
    }

    /// Whether it may be sent again after its connection broke: only what changes nothing.
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Inspect { .. } | Self::ListSnapshots | Self::PeerIntent => true,
            Self::Start(_) | Self::Stop(_) | Self::Restart(_) | Self::KillPods(_) | Self::SaveSnapshot(_) | Self::PowerOff => {
                false
            }
        }
    }

    /// How long it may take, from request to end, where `usual` is enough for what answers at once.
    pub fn patience(&self, usual: Duration) -> Duration {
        match self {
            Self::Inspect { .. } | Self::Start(_) | Self::Restart(_) | Self::PowerOff | Self::PeerIntent => usual,
            Self::ListSnapshots => usual * 2,
            Self::Stop(_) | Self::KillPods(_) | Self::SaveSnapshot(_) => usual.max(WORK_LASTS),
        }
    }

    /// Bytes of standard output that an answer may have.
    pub fn max_stdout(&self) -> usize {
        match self {
            Self::ListSnapshots => MAX_LIST,
            Self::Inspect { .. }
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::KillPods(_)
            | Self::SaveSnapshot(_)
            | Self::PowerOff
            | Self::PeerIntent => MAX_STDOUT,
        }
    }

    /// Reads the answer of a command that changes something.
    pub fn parse(&self, output: &Output) -> Result<(), Refusal> {
        match self {
            Self::KillPods(_) => parse_kill(output),
            Self::Inspect { .. }
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::SaveSnapshot(_)
            | Self::ListSnapshots
            | Self::PowerOff
            | Self::PeerIntent => parse_order(output),
        }
    }
}

impl Remedy {
    pub fn sentence(self, command: &Command, user: &str, node: &str) -> String {
        match (self, command.sudoers(user)) {
            (Self::Sudoers, Some(line)) => format!("add to /etc/sudoers.d/ananke on {node}: {line}"),
            (Self::Sudoers | Self::LoginShell, _) => format!("give {user} a login shell on {node} that runs commands"),
            (Self::K3s, _) => format!("on {node}: link what is missing into /usr/local/bin, where the installer of k3s puts it"),
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

/// The script's trace is on standard error, and its exit code is no verdict.
fn parse_kill(output: &Output) -> Result<(), Refusal> {
    let text = String::from_utf8_lossy(&output.stderr);
    match output.exit {
        None => Err(refusal(ErrorKind::Transient, output, None)),
        Some(REFUSED_RUNS) => Err(refusal(ErrorKind::Conflict, output, None)),
        Some(REFUSED_NO_SCRIPT) => Err(refusal(ErrorKind::Missing, output, Some(Remedy::K3s))),
        Some(126 | 127) if !text.lines().any(|line| line.starts_with('+')) => Err(refusal(ErrorKind::Missing, output, None)),
        Some(_) if sudo_says_no(&text) => Err(refusal(ErrorKind::Denied, output, Some(Remedy::Sudoers))),
        Some(_) => Ok(()),
    }
}

/// sudo speaks the host's language, but always under its own name; its complaint about name resolution is no refusal.
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
    use super::*;

    fn unit() -> UnitName {
        UnitName::parse("k3s-agent.service").unwrap()
    }

    fn snapshot() -> SnapshotName {
        SnapshotName::parse("ananke-shutdown-20260314T020611000Z").unwrap()
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
            (Command::Start(unit()), "sudo -n systemctl start --no-block k3s-agent.service"),
            (Command::Stop(unit()), "sudo -n systemctl stop k3s-agent.service"),
            (Command::Restart(unit()), "sudo -n systemctl restart --no-block k3s-agent.service"),
            (Command::PowerOff, "sudo -n systemctl poweroff"),
            (
                Command::SaveSnapshot(snapshot()),
                "sudo -n /usr/local/bin/k3s etcd-snapshot save --name ananke-shutdown-20260314T020611000Z",
            ),
            (Command::ListSnapshots, "sh -c 'echo; echo ananke:answer; sudo -n /usr/local/bin/k3s etcd-snapshot ls -o json'"),
            (Command::PeerIntent, "sh -c 'echo; echo ananke:answer; sudo -n /usr/local/bin/ananke intent show -o json'"),
            (
                Command::KillPods(unit()),
                r#"sh -c 'case "$(systemctl is-active k3s-agent.service)" in inactive|failed) ;; *) echo "ananke: refused: the unit is not stopped" >&2; exit 75;; esac; [ -x /usr/local/bin/k3s-killall.sh ] || { echo "ananke: refused: there is no k3s-killall.sh" >&2; exit 69; }; sudo -n /usr/local/bin/k3s-killall.sh >/dev/null'"#,
            ),
        ];
        for (command, line) in lines {
            assert_eq!(command.line(), line);
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
    fn the_end_of_the_killall_script_is_no_verdict_but_a_refusal_is() {
        let kill = |exit, stderr: &str| {
            Command::KillPods(unit()).parse(&output(exit, stderr)).map_err(|refusal| (refusal.kind, refusal.remedy))
        };
        assert_eq!(kill(0, "+ systemctl stop k3s.service"), Ok(()));
        assert_eq!(kill(127, "+ ip link delete cni0\n/usr/local/bin/k3s-killall.sh: 91: ip6tables-restore: not found"), Ok(()));
        assert_eq!(kill(75, "ananke: refused: the unit is not stopped"), Err((ErrorKind::Conflict, None)));
        assert_eq!(kill(69, "ananke: refused: there is no k3s-killall.sh"), Err((ErrorKind::Missing, Some(Remedy::K3s))));
        assert_eq!(kill(1, "sudo: a password is required"), Err((ErrorKind::Denied, Some(Remedy::Sudoers))));
        assert_eq!(kill(127, "sh: 1: sudo: not found"), Err((ErrorKind::Missing, None)));
    }

    #[test]
    fn only_what_reads_is_sent_twice_and_what_works_is_given_its_time() {
        let usual = Duration::from_secs(20);
        for command in
            [Command::ListSnapshots, Command::PeerIntent, Command::Inspect { unit: unit(), needs: HostNeeds::default() }]
        {
            assert!(command.only_reads(), "{command:?}");
        }
        for order in
            [HostOrder::PowerOff, HostOrder::SaveSnapshot(snapshot()), HostOrder::KillPods(unit()), HostOrder::Restart(unit())]
        {
            assert!(!Command::of(&order).only_reads(), "{order:?}");
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
