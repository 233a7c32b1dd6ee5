//! The shell of a simulated host: it knows exactly the command lines that Ananke can send, and nothing else.
//!
//! The texts are written here a second time on purpose, as a host would meet them; the contract suite holds them against
//! the ones that ananke-ssh sends. Any other line is "command not found", as is any unit name that is none.

use std::time::Duration;

use ananke_core::name::{BootId, Moment, UnitName};
use ananke_core::observation::UnitState;

const INSPECT: [&str; 2] = [
    concat!(
        r#"sh -c 'LC_ALL=C; export LC_ALL; p() { printf "\nananke:%s=%s\n" "$1" "$2"; }; p time "$(date +%s.%N)"; "#,
        r#"p boot_id "$(cat /proc/sys/kernel/random/boot_id)"; p machine_id "$(cat /etc/machine-id)"; "#,
        r#"p uptime "$(cat /proc/uptime)"; p unit "$(systemctl show -p LoadState -p ActiveState "#,
    ),
    r#" 2>&1 | tr "\n" " ")"; p end ok'"#,
];
const START: [&str; 2] = ["sudo -n systemctl start --no-block ", ""];
const STOP: [&str; 2] = ["sudo -n systemctl stop ", ""];

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostCommand {
    Inspect(UnitName),
    Start(UnitName),
    Stop(UnitName),
}

/// What the host says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    pub boot_id: BootId,
    pub machine_id: String,
    pub uptime: Duration,
    /// Its own wall clock, wrong or right.
    pub time: Moment,
}

/// A host as far as its shell sees it.
pub trait HostModel {
    fn facts(&self) -> HostFacts;
    /// [`UnitState::NotFound`] where there is no such unit.
    fn unit(&self, unit: &UnitName) -> UnitState;
    /// Called for units that exist.
    fn start(&mut self, unit: &UnitName);
    /// Called for units that exist; it need not have stopped when this returns.
    fn stop(&mut self, unit: &UnitName);
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecReply {
    pub stdout: String,
    pub stderr: String,
    pub exit: u32,
}

/// Understands a line; `None` if it is not one of ours.
pub fn parse(line: &str) -> Option<HostCommand> {
    let hole = |[before, after]: [&str; 2]| UnitName::parse(line.strip_prefix(before)?.strip_suffix(after)?).ok();
    (hole(INSPECT).map(HostCommand::Inspect))
        .or_else(|| hole(START).map(HostCommand::Start))
        .or_else(|| hole(STOP).map(HostCommand::Stop))
}

/// Runs a line on a host.
pub fn run(line: &str, host: &mut dyn HostModel) -> ExecReply {
    match parse(line) {
        Some(HostCommand::Inspect(unit)) => inspect(&host.facts(), host.unit(&unit)),
        Some(HostCommand::Start(unit)) => {
            if host.unit(&unit) == UnitState::NotFound {
                return failure(5, format!("Failed to start {unit}: Unit {unit} not found."));
            }
            host.start(&unit);
            ExecReply::default()
        }
        Some(HostCommand::Stop(unit)) => {
            if host.unit(&unit) == UnitState::NotFound {
                return failure(5, format!("Failed to stop {unit}: Unit {unit} not loaded."));
            }
            host.stop(&unit);
            ExecReply::default()
        }
        None => {
            let word: String = line.split_ascii_whitespace().next().unwrap_or_default().chars().take(80).collect();
            failure(127, format!("sh: 1: {word}: command not found"))
        }
    }
}

fn inspect(facts: &HostFacts, unit: UnitState) -> ExecReply {
    let (load, active) = match unit {
        UnitState::Active => ("loaded", "active"),
        UnitState::Activating => ("loaded", "activating"),
        UnitState::Deactivating => ("loaded", "deactivating"),
        UnitState::Inactive => ("loaded", "inactive"),
        UnitState::Failed => ("loaded", "failed"),
        UnitState::NotFound => ("not-found", "inactive"),
    };
    let millis = facts.time.as_millis();
    let (uptime, hundredths) = (facts.uptime.as_secs(), facts.uptime.subsec_millis() / 10);
    let lines = [
        ("time", format!("{}.{:03}000000", millis.div_euclid(1000), millis.rem_euclid(1000))),
        ("boot_id", facts.boot_id.to_string()),
        ("machine_id", facts.machine_id.clone()),
        ("uptime", format!("{uptime}.{hundredths:02} {uptime}.00")),
        ("unit", format!("LoadState={load} ActiveState={active} ")),
        ("end", "ok".to_owned()),
    ];
    let stdout = lines.iter().map(|(key, value)| format!("\nananke:{key}={value}\n")).collect();
    ExecReply { stdout, stderr: String::new(), exit: 0 }
}

fn failure(exit: u32, stderr: String) -> ExecReply {
    ExecReply { stdout: String::new(), stderr: stderr + "\n", exit }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OneUnit(UnitState);

    impl HostModel for OneUnit {
        fn facts(&self) -> HostFacts {
            HostFacts {
                boot_id: BootId::parse("b-1").unwrap(),
                machine_id: "m-1".to_owned(),
                uptime: Duration::from_millis(61_230),
                time: Moment::from_millis(1_773_453_971_050),
            }
        }
        fn unit(&self, unit: &UnitName) -> UnitState {
            if unit.as_str() == "k3s" { self.0 } else { UnitState::NotFound }
        }
        fn start(&mut self, _: &UnitName) {
            self.0 = UnitState::Activating;
        }
        fn stop(&mut self, _: &UnitName) {
            self.0 = UnitState::Deactivating;
        }
    }

    #[test]
    fn orders_reach_the_unit_that_they_name() {
        let mut host = OneUnit(UnitState::Inactive);
        assert_eq!(run("sudo -n systemctl start --no-block k3s", &mut host).exit, 0);
        assert_eq!(host.0, UnitState::Activating);
        assert_eq!(run("sudo -n systemctl stop k3s", &mut host).exit, 0);
        assert_eq!(host.0, UnitState::Deactivating);
        assert_eq!(run("sudo -n systemctl stop k3s-agent", &mut host).exit, 5);
    }

    #[test]
    fn nothing_else_runs() {
        let mut host = OneUnit(UnitState::Inactive);
        for line in
            ["", "reboot", "sudo -n systemctl start k3s", "sudo -n systemctl stop k3s; reboot", "sudo -n systemctl stop -f"]
        {
            assert_eq!(run(line, &mut host).exit, 127, "{line}");
        }
        assert_eq!(host.0, UnitState::Inactive);
    }

    #[test]
    fn an_inspection_prints_marked_lines() {
        let line = INSPECT.join("k3s");
        let stdout = run(&line, &mut OneUnit(UnitState::Failed)).stdout;
        let marked: Vec<&str> = stdout.lines().filter_map(|line| line.strip_prefix("ananke:")).collect();
        assert_eq!(
            marked,
            [
                "time=1773453971.050000000",
                "boot_id=b-1",
                "machine_id=m-1",
                "uptime=61.23 61.00",
                "unit=LoadState=loaded ActiveState=failed ",
                "end=ok"
            ]
        );
    }
}
