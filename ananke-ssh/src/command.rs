//! The closed set of commands that can ever run on a host.
//!
//! Each has a fixed text with one validated hole for the unit, a bound on its output and a pure parser. [`UnitName`]
//! admits no character that a shell knows, so nothing that is written here can become other syntax there. There is no way
//! to run anything else.

use std::collections::BTreeMap;
use std::time::Duration;

use ananke_core::name::{BootId, Moment, UnitName};
use ananke_core::observation::UnitState;
use ananke_core::order::HostOrder;
use ananke_core::port::{ErrorKind, clean};

/// Standard output beyond this is not an answer to anything we ask.
pub const MAX_STDOUT: usize = 64 * 1024;
/// Standard error is only shown, so its beginning is enough.
pub const MAX_STDERR: usize = 4 * 1024;

/// Every line of ours is marked and starts on a line of its own, so that greetings of login scripts cannot be mistaken for
/// an answer. The time comes first: it is compared with the middle of the exchange.
const INSPECT: &str = concat!(
    r#"sh -c 'LC_ALL=C; export LC_ALL; p() { printf "\nananke:%s=%s\n" "$1" "$2"; }; "#,
    r#"p time "$(date +%s.%N)"; p boot_id "$(cat /proc/sys/kernel/random/boot_id)"; "#,
    r#"p machine_id "$(cat /etc/machine-id)"; p uptime "$(cat /proc/uptime)"; "#,
    r#"p unit "$(systemctl show -p LoadState -p ActiveState "#,
);
const INSPECT_END: &str = r#" 2>&1 | tr "\n" " ")"; p end ok'"#;
const START: &str = "sudo -n systemctl start --no-block ";
const STOP: &str = "sudo -n systemctl stop ";

/// A command with its only argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Who the host is, since when it runs, and how the unit is doing. Needs no rights.
    Inspect(UnitName),
    /// Starts the unit without waiting for it.
    Start(UnitName),
    /// Stops the unit and waits for it.
    Stop(UnitName),
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
}

/// What `Inspect` found; the skew needs our own clock, which is the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub boot_id: BootId,
    pub machine_id: String,
    pub uptime: Duration,
    /// The host's wall clock.
    pub time: Moment,
    pub unit: UnitState,
}

impl Command {
    pub fn of(order: &HostOrder) -> Self {
        match order {
            HostOrder::Start(unit) => Self::Start(unit.clone()),
            HostOrder::Stop(unit) => Self::Stop(unit.clone()),
        }
    }

    /// The text that the host's login shell gets.
    pub fn line(&self) -> String {
        match self {
            Self::Inspect(unit) => format!("{INSPECT}{unit}{INSPECT_END}"),
            Self::Start(unit) => format!("{START}{unit}"),
            Self::Stop(unit) => format!("{STOP}{unit}"),
        }
    }

    /// What messages call it.
    pub fn title(&self) -> String {
        match self {
            Self::Inspect(unit) => format!("inspect host and unit {unit}"),
            Self::Start(unit) => format!("start unit {unit}"),
            Self::Stop(unit) => format!("stop unit {unit}"),
        }
    }

    /// Whether it may be sent again after its connection broke: only what changes nothing.
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Inspect(_) => true,
            Self::Start(_) | Self::Stop(_) => false,
        }
    }

    /// The line in sudoers that allows exactly this; none where no right is needed.
    pub fn sudoers(&self, user: &str) -> Option<String> {
        let (Self::Start(unit) | Self::Stop(unit)) = self else { return None };
        let line = self.line();
        let arguments = line.strip_prefix("sudo -n systemctl ")?.strip_suffix(unit.as_str())?;
        let unit = unit.as_str().replace(':', "\\:");
        Some(format!("{user} ALL=(root) NOPASSWD: /usr/bin/systemctl {arguments}{unit}"))
    }
}

impl Remedy {
    pub fn sentence(self, command: &Command, user: &str, node: &str) -> String {
        match (self, command.sudoers(user)) {
            (Self::Sudoers, Some(line)) => format!("add to /etc/sudoers.d/ananke on {node}: {line}"),
            (Self::Sudoers | Self::LoginShell, _) => format!("give {user} a login shell on {node} that runs commands"),
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

/// Reads the answer of `Inspect`.
pub fn parse_inspection(output: &Output) -> Result<Inspection, Refusal> {
    let text = String::from_utf8_lossy(&output.stdout);
    let marked = marked(&text)?;
    if marked.is_empty() {
        return Err(no_markers(output));
    }
    let get = |key: &str| marked.get(key).copied().ok_or_else(|| invalid(format!("the answer has no {key}")));
    get("end")?;
    let boot_id = get("boot_id")?;
    let boot_id = BootId::parse(boot_id).map_err(invalid)?;
    let machine_id = get("machine_id")?;
    if machine_id.len() > 128 || !machine_id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid(format!("machine ID {:?} is not valid", clean(machine_id, 80))));
    }
    Ok(Inspection {
        boot_id,
        machine_id: machine_id.to_owned(),
        uptime: uptime(get("uptime")?)?,
        time: wall_time(get("time")?)?,
        unit: unit_state(get("unit")?)?,
    })
}

/// Reads the answer of `Start` and `Stop`: they say nothing when they succeed.
pub fn parse_order(output: &Output) -> Result<(), Refusal> {
    let Some(exit) = output.exit else { return Err(refusal(ErrorKind::Transient, output, None)) };
    if exit == 0 {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let says = |words: &str| text.contains(words);
    // sudo speaks the host's language, but always under its own name; its complaint about name resolution is no refusal.
    let sudo_says_no = text.lines().any(|line| line.starts_with("sudo: ") && !line.contains("unable to resolve host"));
    Err(if exit == 126 || exit == 127 || says("command not found") {
        refusal(ErrorKind::Missing, output, None)
    } else if exit == 5 || says(" not found.") || says(" not loaded.") {
        // systemctl exits 5 where there is no such unit.
        refusal(ErrorKind::Missing, output, None)
    } else if exit == 4 || sudo_says_no || says("not allowed to execute") || says("sudoers") || says("authentication required") {
        refusal(ErrorKind::Denied, output, Some(Remedy::Sudoers))
    } else {
        refusal(ErrorKind::Transient, output, None)
    })
}

fn marked(text: &str) -> Result<BTreeMap<&str, &str>, Refusal> {
    let mut marked = BTreeMap::new();
    for line in text.lines() {
        let Some((key, value)) = line.strip_prefix("ananke:").and_then(|rest| rest.split_once('=')) else { continue };
        if marked.insert(key, value.trim()).is_some() {
            return Err(invalid(format!("the answer has {} twice", clean(key, 40))));
        }
    }
    Ok(marked)
}

fn no_markers(output: &Output) -> Refusal {
    match output.exit {
        Some(0) => invalid("the command printed nothing of what was asked"),
        Some(126 | 127) => refusal(ErrorKind::Missing, output, Some(Remedy::LoginShell)),
        Some(_) => refusal(ErrorKind::Denied, output, Some(Remedy::LoginShell)),
        None => refusal(ErrorKind::Transient, output, None),
    }
}

fn refusal(kind: ErrorKind, output: &Output, remedy: Option<Remedy>) -> Refusal {
    Refusal { kind, found: output.said(), remedy }
}

fn invalid(found: impl ToString) -> Refusal {
    Refusal { kind: ErrorKind::Invalid, found: found.to_string(), remedy: None }
}

/// `/proc/uptime`: seconds with two decimals, then the idle time.
fn uptime(text: &str) -> Result<Duration, Refusal> {
    let millis = text.split(' ').next().and_then(millis);
    millis
        .and_then(|millis| u64::try_from(millis).ok())
        .map(Duration::from_millis)
        .ok_or_else(|| invalid(format!("uptime {:?} is no number of seconds", clean(text, 40))))
}

/// `date +%s.%N`; a `date` that knows no nanoseconds prints something else there, and the second is good enough.
fn wall_time(text: &str) -> Result<Moment, Refusal> {
    millis(text).map(Moment::from_millis).ok_or_else(|| invalid(format!("time {:?} is no number of seconds", clean(text, 40))))
}

/// Decimal seconds as milliseconds; none if it is no number or does not fit.
fn millis(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().take_while(char::is_ascii_digit).chain("000".chars()).take(3).collect();
    whole.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(digits.parse().ok()?)
}

fn unit_state(text: &str) -> Result<UnitState, Refusal> {
    let property = |key: &str| text.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    match (property("LoadState"), property("ActiveState")) {
        (Some("not-found"), _) => Ok(UnitState::NotFound),
        (Some(_), Some("active" | "reloading" | "refreshing")) => Ok(UnitState::Active),
        (Some(_), Some("activating")) => Ok(UnitState::Activating),
        (Some(_), Some("deactivating")) => Ok(UnitState::Deactivating),
        (Some(_), Some("inactive" | "maintenance")) => Ok(UnitState::Inactive),
        (Some(_), Some("failed")) => Ok(UnitState::Failed),
        (Some(_), Some(_)) => Err(invalid(format!("unit state {:?} is unknown", clean(text, 80)))),
        (None, _) | (_, None) => {
            let kind = if text.contains("not found") { ErrorKind::Missing } else { ErrorKind::Transient };
            Err(Refusal { kind, found: format!("systemctl said {:?}", clean(text, 150)), remedy: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "\nananke:time=1773453971.250000000\n\nananke:boot_id=0f1e2d3c-0000-4000-8000-00000000002a\n\n\
        ananke:machine_id=5d41402abc4b2a76b9719d911017c592\n\nananke:uptime=93.27 180.11\n\n\
        ananke:unit=LoadState=loaded ActiveState=activating \n\nananke:end=ok\n";

    fn unit() -> UnitName {
        UnitName::parse("k3s-agent.service").unwrap()
    }

    fn inspect(stdout: &str) -> Result<Inspection, Refusal> {
        parse_inspection(&Output { stdout: stdout.as_bytes().to_vec(), stderr: Vec::new(), exit: Some(0) })
    }

    fn why_not(from: &str, to: &str) -> String {
        assert!(ANSWER.contains(from), "{from:?} is part of the answer");
        let refusal = inspect(&ANSWER.replace(from, to)).unwrap_err();
        format!("{:?}: {}", refusal.kind, refusal.found)
    }

    fn order(exit: u32, stderr: &str) -> Result<(), (ErrorKind, Option<Remedy>)> {
        let output = Output { stdout: Vec::new(), stderr: stderr.as_bytes().to_vec(), exit: Some(exit) };
        parse_order(&output).map_err(|refusal| (refusal.kind, refusal.remedy))
    }

    #[test]
    fn the_command_lines_are_these_and_no_others() {
        assert_eq!(Command::Start(unit()).line(), "sudo -n systemctl start --no-block k3s-agent.service");
        assert_eq!(Command::Stop(unit()).line(), "sudo -n systemctl stop k3s-agent.service");
        assert_eq!(
            Command::Inspect(unit()).line(),
            r#"sh -c 'LC_ALL=C; export LC_ALL; p() { printf "\nananke:%s=%s\n" "$1" "$2"; }; p time "$(date +%s.%N)"; p boot_id "$(cat /proc/sys/kernel/random/boot_id)"; p machine_id "$(cat /etc/machine-id)"; p uptime "$(cat /proc/uptime)"; p unit "$(systemctl show -p LoadState -p ActiveState k3s-agent.service 2>&1 | tr "\n" " ")"; p end ok'"#
        );
    }

    #[test]
    fn no_unit_name_can_become_shell_syntax() {
        for byte in 0..=127u8 {
            if UnitName::parse(&format!("a{}", byte as char)).is_ok() {
                assert!(
                    byte.is_ascii_alphanumeric() || b"-_.@:".contains(&byte),
                    "{:?} is harmless in every shell",
                    byte as char
                );
            }
        }
        assert!(UnitName::parse("--force").is_err(), "no unit name can become an option");
    }

    #[test]
    fn an_answer_is_read() {
        let inspection = inspect(ANSWER).unwrap();
        assert_eq!(inspection.boot_id.as_str(), "0f1e2d3c-0000-4000-8000-00000000002a");
        assert_eq!(inspection.machine_id, "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(inspection.uptime, Duration::from_millis(93_270));
        assert_eq!(inspection.time, Moment::from_millis(1_773_453_971_250));
        assert_eq!(inspection.unit, UnitState::Activating);
    }

    #[test]
    fn greetings_around_the_answer_do_not_matter() {
        let noisy = format!("Welcome to ananke:\nboot_id=fake ananke:boot_id=fake\u{1b}[2J no newline{ANSWER}bye\n");
        assert_eq!(inspect(&noisy), inspect(ANSWER));
    }

    #[test]
    fn a_date_without_nanoseconds_is_good_enough() {
        let coarse = inspect(&ANSWER.replace(".250000000", ".%N")).unwrap();
        assert_eq!(coarse.time, Moment::from_millis(1_773_453_971_000));
    }

    #[test]
    fn every_state_of_systemd_has_its_meaning() {
        let state = |text: &str| inspect(&ANSWER.replace("LoadState=loaded ActiveState=activating", text)).map(|i| i.unit);
        assert_eq!(state("LoadState=not-found ActiveState=inactive"), Ok(UnitState::NotFound));
        assert_eq!(state("ActiveState=active LoadState=loaded"), Ok(UnitState::Active));
        assert_eq!(state("LoadState=loaded ActiveState=reloading"), Ok(UnitState::Active));
        assert_eq!(state("LoadState=loaded ActiveState=deactivating"), Ok(UnitState::Deactivating));
        assert_eq!(state("LoadState=masked ActiveState=inactive"), Ok(UnitState::Inactive));
        assert_eq!(state("LoadState=loaded ActiveState=failed"), Ok(UnitState::Failed));
    }

    #[test]
    fn a_wrong_answer_says_what_is_wrong() {
        assert_eq!(why_not("ananke:boot_id", "boot_id"), "Invalid: the answer has no boot_id");
        assert_eq!(why_not("ananke:end=ok", ""), "Invalid: the answer has no end");
        assert_eq!(why_not("ananke:end=ok", "ananke:uptime=1"), "Invalid: the answer has uptime twice");
        assert_eq!(
            why_not("93.27", "99999999999999999999.9"),
            "Invalid: uptime \"99999999999999999999.9 180.11\" is no number of seconds"
        );
        assert_eq!(
            why_not("1773453971", "9223372036854775807"),
            "Invalid: time \"9223372036854775807.250000000\" is no number of seconds"
        );
        assert_eq!(why_not("1773453971", "-5"), "Invalid: time \"-5.250000000\" is no number of seconds");
        assert_eq!(
            why_not("ActiveState=activating", "ActiveState=dreaming"),
            "Invalid: unit state \"LoadState=loaded ActiveState=dreaming\" is unknown"
        );
        assert_eq!(
            why_not("LoadState=loaded ActiveState=activating", "Failed to connect to bus: No such file or directory"),
            "Transient: systemctl said \"Failed to connect to bus: No such file or directory\""
        );
        assert_eq!(
            why_not("LoadState=loaded ActiveState=activating", "sh: 1: systemctl: not found"),
            "Missing: systemctl said \"sh: 1: systemctl: not found\""
        );
        assert_eq!(inspect("\u{0}\u{ff}garbage").unwrap_err().found, "the command printed nothing of what was asked");
    }

    #[test]
    fn an_account_without_a_shell_is_a_denial() {
        let output = Output { stdout: b"This account is currently not available.\n".to_vec(), stderr: Vec::new(), exit: Some(1) };
        let refusal = parse_inspection(&output).unwrap_err();
        assert_eq!((refusal.kind, refusal.remedy), (ErrorKind::Denied, Some(Remedy::LoginShell)));
        assert_eq!(refusal.found, "exit 1: This account is currently not available.");
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
    fn the_remedy_is_a_line_to_paste() {
        let unit = UnitName::parse("k3s:a").unwrap();
        assert_eq!(
            Remedy::Sudoers.sentence(&Command::Start(unit), "ops", "titan-01"),
            "add to /etc/sudoers.d/ananke on titan-01: ops ALL=(root) NOPASSWD: /usr/bin/systemctl start --no-block k3s\\:a"
        );
    }
}
