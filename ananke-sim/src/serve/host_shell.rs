//! The shell of a simulated host: it knows exactly the command lines that Ananke can send, and nothing else.
//!
//! The texts are written here a second time on purpose, as a host would meet them; the contract suite holds them against
//! the ones that ananke-ssh sends. Any other line is "command not found", as is any unit name that is none.

use std::time::Duration;

use ananke_core::name::{BootId, Moment, NodeName, SnapshotName, UnitName};
use ananke_core::observation::{DiskSpace, HostHealth, Leftovers, SnapshotState, UnitState};
use ananke_core::spec::HostNeeds;
use serde_json::json;

/// Between them stand the mounts, the unit, the units and the packages.
const INSPECT: [&str; 5] = [
    concat!(
        r#"sh -c 'LC_ALL=C; export LC_ALL; p() { printf "\nananke:%s=%s\n" "$1" "$2"; }; p time "$(date +%s.%N)"; "#,
        r#"f() { x=; read -r x < "$2"; p "$1" "$x"; }; f boot_id /proc/sys/kernel/random/boot_id; f machine_id /etc/machine-id; "#,
        r#"f uptime /proc/uptime; j() { k=$1; set -f; set -- $2; set +f; p "$k" "$*"; }; "#,
        r#"a() { command -v "$1" > /dev/null; }; "#,
        r#"d() { timeout -s KILL 3 df --output=file,pcent,ipcent "$@" 2>/dev/null; }; w=""#,
    ),
    concat!(
        r#""; m=/; for n in $w; do m="$m\|$n"; done; "#,
        r##"j mounts "$(sed -n -e "s#^[^ ]* \($m\) [^ ]* \(r[ow]\)[ ,].*#\1:\2#p" "##,
        r##"-e "s#^[^ ]* /var/lib/kubelet/\(pods/[^/]*/volumes/kubernetes\.io~csi\|plugins/kubernetes\.io/csi\)/.*#csi#p" /proc/mounts)"; "##,
        r#"x=yes; [ -e /run/systemd/timesync/synchronized ] || { x=; [ -S /run/dbus/system_bus_socket ] && "#,
        r#"x=$(timeout -s KILL 3 timedatectl show -p NTPSynchronized --value 2>/dev/null); }; "#,
        r#"[ "$x" = yes ] || { a chronyc && x="$x $(timeout -s KILL 3 chronyc -n tracking 2>/dev/null | grep "^Leap")"; "#,
        r#"a ntpq && x="$x $(timeout -s KILL 3 ntpq -n -c rv 2>/dev/null | grep -o "leap_[a-z_]*")"; }; p synced "$x"; "#,
        r#"if true 2>/dev/null < /proc/1/cmdline; then "#,
        r#"x=$(grep -lazs "^/.*/data/[^/]*/bin/containerd-shim" /proc/[0-9]*/cmdline); "#,
        r#"[ $? -gt 2 ] || { set -- $x; p shims $#; }; else p shims hidden; fi; "#,
        r#"u="#,
    ),
    "; set -f; set -- $(systemctl show -p LoadState -p ActiveState $u ",
    concat!(
        r#"nut-monitor apcupsd pwrstatd PowerChute 2>&1); set +f; p units "$*"; "#,
        r#"case "$1 $2" in *ActiveState=active*|*=not-found*) ;; "#,
        r#"*State=*) p log "$(timeout -s KILL 3 journalctl -q -u "$u" -n 30 -o cat --no-pager "#,
        r#"2>/dev/null | tail -c 6000 | tr "\n\r" "\36\36")";; esac; w="/var/lib/rancher/k3s $w"; "#,
        r#"x=$(d $w) || [ $? -lt 124 ] || x=$(for n in $w; do d "$n" & done; wait); j space "$x"; x=; k=""#,
    ),
    concat!(
        r#""; [ -z "$k" ] || x=$(dpkg-query -W -f "\${Package}:\${db:Status-Abbrev} " $k 2>/dev/null); "#,
        r#"p packages "$x"; f ended /proc/uptime; p end ok'"#,
    ),
];
const AGENTS: [&str; 4] = ["nut-monitor", "apcupsd", "pwrstatd", "PowerChute"];
const START: [&str; 2] = ["env LC_ALL=C sudo -n systemctl start --no-block ", ""];
const STOP: [&str; 2] = ["env LC_ALL=C sudo -n systemctl stop ", ""];
const RESTART: [&str; 2] = ["env LC_ALL=C sudo -n systemctl restart --no-block ", ""];
const KILL: [&str; 2] = [
    r#"sh -c 'LC_ALL=C; export LC_ALL; case "$(systemctl is-active "#,
    concat!(
        r#")" in inactive|failed) ;; *) echo "ananke: refused: the unit is not stopped" >&2; exit 75;; esac; "#,
        r#"[ -x /usr/local/bin/k3s-killall.sh ] || { echo "ananke: refused: there is no k3s-killall.sh" >&2; exit 69; }; "#,
        r#"sudo -n /usr/local/bin/k3s-killall.sh >/dev/null'"#,
    ),
];
const SAVE: &str = "env LC_ALL=C sudo -n /usr/local/bin/k3s etcd-snapshot save --name ";
const LIST: &str =
    "sh -c 'LC_ALL=C; export LC_ALL; echo; echo ananke:answer; sudo -n /usr/local/bin/k3s etcd-snapshot ls -o json'";
const SETTINGS: &str = concat!(
    r#"sh -c 'echo; echo ananke:answer; f=/etc/resolv.conf; grep -q "^nameserver 127\.0\.0\.53" $f 2>/dev/null "#,
    r#"&& f=/run/systemd/resolve/resolv.conf; grep "^nameserver" $f 2>/dev/null; "#,
    r#"[ -r /etc/fstab ] && while read -r d m r; do echo "mount $d $m"; done < /etc/fstab; echo ananke:end'"#,
);
const LOAD: &str = "env LC_ALL=C sudo -n /usr/local/bin/k3s ctr images import - >/dev/null";
const REBOOT: &str = "env LC_ALL=C sudo -n systemctl reboot";
const POWER_OFF: &str = "env LC_ALL=C sudo -n systemctl poweroff";
const POWER_OFF_NOW: &str = "env LC_ALL=C sudo -n systemctl poweroff --force";

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostCommand {
    Inspect {
        unit: UnitName,
        needs: HostNeeds,
    },
    Start(UnitName),
    Stop(UnitName),
    Restart(UnitName),
    KillPods(UnitName),
    SaveSnapshot(SnapshotName),
    ListSnapshots,
    /// The images of the archive that comes in.
    LoadImages,
    Settings,
    Reboot,
    PowerOff,
    PowerOffNow,
}

/// What the host says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    pub name: NodeName,
    pub boot_id: BootId,
    pub machine_id: String,
    pub uptime: Duration,
    /// Its own wall clock, wrong or right.
    pub time: Moment,
    pub leftovers: Leftovers,
    /// The end of the log of its unit of k3s.
    pub log: String,
}

/// A host as far as its shell sees it.
pub trait HostModel {
    fn facts(&self) -> HostFacts;
    /// [`UnitState::NotFound`] where there is no such unit.
    fn unit(&self, unit: &UnitName) -> UnitState;
    /// What of the needs is missing.
    fn lacks(&self, needs: &HostNeeds) -> HostHealth;
    /// Called for units that exist.
    fn start(&mut self, unit: &UnitName);
    /// Called for units that exist; it need not have stopped when this returns.
    fn stop(&mut self, unit: &UnitName);
    /// Called for units that exist.
    fn restart(&mut self, unit: &UnitName);
    /// Called where no unit runs.
    fn kill_pods(&mut self);
    /// `Err` is what k3s says.
    fn save_snapshot(&mut self, name: &SnapshotName) -> Result<(), String>;
    /// `Err` is what k3s says.
    fn snapshots(&self) -> Result<Vec<SnapshotState>, String>;
    /// `Err` is what ctr says.
    fn load_images(&mut self, archive: &[u8]) -> Result<(), String>;
    fn reboot(&mut self);
    /// `force`: whatever does not stop.
    fn power_off(&mut self, force: bool);
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
    let whole = |text: &str, command: HostCommand| (line == text).then_some(command);
    (inspected(line))
        .or_else(|| hole(START).map(HostCommand::Start))
        .or_else(|| hole(STOP).map(HostCommand::Stop))
        .or_else(|| hole(RESTART).map(HostCommand::Restart))
        .or_else(|| hole(KILL).map(HostCommand::KillPods))
        .or_else(|| Some(HostCommand::SaveSnapshot(SnapshotName::parse(line.strip_prefix(SAVE)?).ok()?)))
        .or_else(|| whole(LIST, HostCommand::ListSnapshots))
        .or_else(|| whole(LOAD, HostCommand::LoadImages))
        .or_else(|| whole(SETTINGS, HostCommand::Settings))
        .or_else(|| whole(REBOOT, HostCommand::Reboot))
        .or_else(|| whole(POWER_OFF, HostCommand::PowerOff))
        .or_else(|| whole(POWER_OFF_NOW, HostCommand::PowerOffNow))
}

fn inspected(line: &str) -> Option<HostCommand> {
    let [head, unit, units, packages, end] = INSPECT;
    let (mounts, rest) = line.strip_prefix(head)?.split_once(unit)?;
    let (unit, rest) = rest.split_once(units)?;
    let (units, rest) = rest.split_once(packages)?;
    let (mounts, units) = (names(mounts)?, names(units.strip_suffix(' ').unwrap_or_default())?);
    let needs = HostNeeds { mounts, units, packages: names(rest.strip_suffix(end)?)? };
    Some(HostCommand::Inspect { unit: UnitName::parse(unit).ok()?, needs })
}

/// Names with one space between them; `None` if one of them is none.
fn names<T: TryFrom<String>>(text: &str) -> Option<Vec<T>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(' ').map(|name| T::try_from(name.to_owned()).ok()).collect()
}

/// Whether a line waits for what comes in.
pub fn reads_input(line: &str) -> bool {
    parse(line) == Some(HostCommand::LoadImages)
}

/// Runs a line on a host, with what came in.
pub fn run(line: &str, input: &[u8], host: &mut dyn HostModel) -> ExecReply {
    match parse(line) {
        Some(HostCommand::Inspect { unit, needs }) => inspect(&host.facts(), host.unit(&unit), &needs, &host.lacks(&needs)),
        Some(HostCommand::Start(unit)) => with_unit(host, &unit, "start", "not found.", |host| host.start(&unit)),
        Some(HostCommand::Stop(unit)) => with_unit(host, &unit, "stop", "not loaded.", |host| host.stop(&unit)),
        Some(HostCommand::Restart(unit)) => with_unit(host, &unit, "restart", "not found.", |host| host.restart(&unit)),
        Some(HostCommand::KillPods(unit)) => match host.unit(&unit) {
            UnitState::Inactive | UnitState::Failed | UnitState::NotFound => {
                host.kill_pods();
                // What the script prints before its first line, and how its last one ends where there is no IPv6.
                ExecReply { stderr: "+ systemctl stop k3s.service\n".to_owned(), exit: 1, ..ExecReply::default() }
            }
            UnitState::Active | UnitState::Activating | UnitState::Deactivating => {
                failure(75, "ananke: refused: the unit is not stopped".to_owned())
            }
        },
        Some(HostCommand::SaveSnapshot(name)) => match host.save_snapshot(&name) {
            Ok(()) => ExecReply { stderr: format!("level=info msg=\"Snapshot {name} saved.\"\n"), ..ExecReply::default() },
            Err(said) => failure(1, format!("level=fatal msg=\"{said}\"")),
        },
        Some(HostCommand::ListSnapshots) => match host.snapshots() {
            Ok(found) => list(&host.facts().name, &found),
            Err(said) => failure(1, format!("level=fatal msg=\"{said}\"")),
        },
        Some(HostCommand::LoadImages) => match host.load_images(input) {
            Ok(()) => ExecReply::default(),
            Err(said) => failure(1, said),
        },
        Some(HostCommand::Settings) => settings(),
        Some(HostCommand::Reboot) => {
            host.reboot();
            ExecReply::default()
        }
        Some(HostCommand::PowerOff) => {
            host.power_off(false);
            ExecReply::default()
        }
        Some(HostCommand::PowerOffNow) => {
            host.power_off(true);
            ExecReply::default()
        }
        None => {
            let word: String = line.split_ascii_whitespace().next().unwrap_or_default().chars().take(80).collect();
            failure(127, format!("sh: 1: {word}: command not found"))
        }
    }
}

fn with_unit(
    host: &mut dyn HostModel,
    unit: &UnitName,
    verb: &str,
    lacking: &str,
    act: impl FnOnce(&mut dyn HostModel),
) -> ExecReply {
    if host.unit(unit) == UnitState::NotFound {
        return failure(5, format!("Failed to {verb} {unit}: Unit {unit} {lacking}"));
    }
    act(host);
    ExecReply::default()
}

/// The router answers for names, and disks are known by what stays with them.
fn settings() -> ExecReply {
    let mounts = crate::world::MOUNTS.iter().map(|(source, path)| format!("mount {source} {path}\n")).collect::<String>();
    let stdout = format!("\nananke:answer\nnameserver {}\n{mounts}ananke:end\n", crate::world::RESOLVER);
    ExecReply { stdout, ..ExecReply::default() }
}

/// As k3s prints it since 1.29.
fn list(node: &NodeName, found: &[SnapshotState]) -> ExecReply {
    let item = |one: &SnapshotState| {
        json!({
            "metadata": {"name": format!("local-{}", one.name)},
            "spec": {"snapshotName": one.name, "nodeName": node, "location": format!("file:///var/lib/rancher/k3s/server/db/snapshots/{}", one.name)},
            "status": {"size": one.bytes.to_string(), "readyToUse": true},
        })
    };
    let items: Vec<_> = found.iter().map(item).collect();
    let object = json!({"kind": "ETCDSnapshotFileList", "apiVersion": "k3s.cattle.io/v1", "metadata": {}, "items": items});
    ExecReply { stdout: format!("\nananke:answer\n{object:#}\n"), ..ExecReply::default() }
}

fn inspect(facts: &HostFacts, unit: UnitState, needs: &HostNeeds, lacks: &HostHealth) -> ExecReply {
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
    let synced = match lacks.clock_synced {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    let mounts: Vec<String> = there(&needs.mounts, &lacks.missing_mounts).map(|path| format!("{path}:rw ")).collect();
    let volumes = "csi ".repeat(facts.leftovers.mounts.try_into().unwrap_or(usize::MAX));
    let packages = there(&needs.packages, &lacks.missing_packages);
    let is_up = |up: bool| format!(" LoadState=loaded ActiveState={}", if up { "active" } else { "inactive" });
    let needed = needs.units.iter().map(|unit| is_up(!lacks.missing_units.contains(unit)));
    let agents = AGENTS.iter().map(|name| is_up(lacks.agents.iter().any(|agent| agent.as_str() == *name)));
    let units: Vec<String> = needed.chain(agents).collect();
    let lines = [
        ("time", format!("{}.{:03}000000", millis.div_euclid(1000), millis.rem_euclid(1000))),
        ("boot_id", facts.boot_id.to_string()),
        ("machine_id", facts.machine_id.clone()),
        ("uptime", format!("{uptime}.{hundredths:02} {uptime}.00")),
        ("mounts", format!("/:{} {}{volumes}", if lacks.root_read_only { "ro" } else { "rw" }, mounts.concat())),
        ("synced", synced.to_owned()),
        ("shims", facts.leftovers.shims.to_string()),
        ("units", format!("LoadState={load} ActiveState={active}{}", units.concat())),
        // One that runs is not asked for its log.
        ("log", if unit == UnitState::Active { String::new() } else { facts.log.replace('\n', "\u{1e}") }),
        ("space", format!("File Use% IUse%{}", lacks.space.iter().map(used).collect::<String>())),
        ("packages", packages.map(|name| format!("{name}:ii  ")).collect()),
        ("ended", format!("{uptime}.{hundredths:02} {uptime}.00")),
        ("end", "ok".to_owned()),
    ];
    let stdout = lines.iter().map(|(key, value)| format!("\nananke:{key}={value}\n")).collect();
    ExecReply { stdout, stderr: String::new(), exit: 0 }
}

fn used(space: &DiskSpace) -> String {
    let used = |free: u8| format!("{}%", 100 - free.min(100));
    format!(" {} {} {}", space.path, used(space.free_percent), space.free_inodes_percent.map_or("-".to_owned(), used))
}

fn there<'a, T: PartialEq>(asked: &'a [T], missing: &'a [T]) -> impl Iterator<Item = &'a T> {
    asked.iter().filter(|name| !missing.contains(name))
}

fn failure(exit: u32, stderr: String) -> ExecReply {
    ExecReply { stdout: String::new(), stderr: stderr + "\n", exit }
}

#[cfg(test)]
mod tests {
    use ananke_core::name::HostPath;
    use ananke_core::observation::SnapshotCheck;

    use super::*;

    fn run(line: &str, host: &mut OneUnit) -> ExecReply {
        super::run(line, b"some", host)
    }

    #[derive(Default)]
    struct OneUnit {
        state: Option<UnitState>,
        shims: u32,
        saved: Vec<SnapshotState>,
        loaded: usize,
        off: bool,
        reboots: u32,
    }

    impl OneUnit {
        fn new(state: UnitState) -> Self {
            Self { state: Some(state), shims: 3, ..Self::default() }
        }
    }

    impl HostModel for OneUnit {
        fn facts(&self) -> HostFacts {
            HostFacts {
                name: NodeName::parse("titan-01").unwrap(),
                boot_id: BootId::parse("b-1").unwrap(),
                machine_id: "m-1".to_owned(),
                uptime: Duration::from_millis(61_230),
                time: Moment::from_millis(1_773_453_971_050),
                leftovers: Leftovers { shims: self.shims, mounts: 1 },
                log: "Starting k3s\nended".to_owned(),
            }
        }
        fn unit(&self, unit: &UnitName) -> UnitState {
            self.state.filter(|_| unit.as_str() == "k3s").unwrap_or(UnitState::NotFound)
        }
        fn lacks(&self, needs: &HostNeeds) -> HostHealth {
            let space =
                needs.mounts.iter().map(|path| DiskSpace { path: path.clone(), free_percent: 9, free_inodes_percent: None });
            let missing_mounts = needs.mounts.iter().take(1).cloned().collect();
            HostHealth { missing_mounts, space: space.collect(), ..HostHealth::default() }
        }
        fn start(&mut self, _: &UnitName) {
            self.state = Some(UnitState::Activating);
        }
        fn stop(&mut self, _: &UnitName) {
            self.state = Some(UnitState::Deactivating);
        }
        fn restart(&mut self, _: &UnitName) {
            self.state = Some(UnitState::Activating);
        }
        fn kill_pods(&mut self) {
            self.shims = 0;
        }
        fn save_snapshot(&mut self, name: &SnapshotName) -> Result<(), String> {
            self.saved.push(SnapshotState { name: name.as_str().into(), bytes: 4128, check: SnapshotCheck::None });
            Ok(())
        }
        fn snapshots(&self) -> Result<Vec<SnapshotState>, String> {
            Ok(self.saved.clone())
        }
        fn load_images(&mut self, archive: &[u8]) -> Result<(), String> {
            self.loaded += archive.len();
            Ok(())
        }
        fn reboot(&mut self) {
            self.reboots += 1;
        }
        fn power_off(&mut self, _force: bool) {
            self.off = true;
        }
    }

    #[test]
    fn orders_reach_the_unit_that_they_name() {
        let mut host = OneUnit::new(UnitState::Inactive);
        assert_eq!(run("env LC_ALL=C sudo -n systemctl start --no-block k3s", &mut host).exit, 0);
        assert_eq!(host.state, Some(UnitState::Activating));
        assert_eq!(run("env LC_ALL=C sudo -n systemctl stop k3s", &mut host).exit, 0);
        assert_eq!(host.state, Some(UnitState::Deactivating));
        assert_eq!(run("env LC_ALL=C sudo -n systemctl stop k3s-agent", &mut host).exit, 5);
        assert_eq!(run("env LC_ALL=C sudo -n systemctl restart --no-block k3s-agent", &mut host).exit, 5);
        assert_eq!(run("env LC_ALL=C sudo -n systemctl restart --no-block k3s", &mut host).exit, 0);
        assert_eq!(host.state, Some(UnitState::Activating));
        assert_eq!((run("env LC_ALL=C sudo -n systemctl reboot", &mut host).exit, host.reboots), (0, 1));
        assert_eq!(run("env LC_ALL=C sudo -n systemctl poweroff", &mut host).exit, 0);
        assert!(host.off);
    }

    #[test]
    fn containers_of_a_unit_that_is_not_stopped_are_left_alone() {
        let line = KILL.join("k3s");
        for state in [UnitState::Active, UnitState::Activating, UnitState::Deactivating] {
            let mut host = OneUnit::new(state);
            assert_eq!((run(&line, &mut host).exit, host.shims), (75, 3), "{state:?}");
        }
        let mut host = OneUnit::new(UnitState::Inactive);
        run(&line, &mut host);
        assert_eq!(host.shims, 0);
    }

    #[test]
    fn a_snapshot_that_was_saved_is_listed() {
        let mut host = OneUnit::new(UnitState::Active);
        assert_eq!(run(&format!("{SAVE}ananke-1"), &mut host).exit, 0);
        let stdout = run(LIST, &mut host).stdout;
        assert!(stdout.contains("\"snapshotName\": \"ananke-1\"") && stdout.starts_with("\nananke:answer\n"), "{stdout}");
    }

    #[test]
    fn an_archive_is_what_comes_in() {
        let mut host = OneUnit::new(UnitState::Active);
        assert!(reads_input(LOAD) && !reads_input(LIST));
        assert_eq!((run(LOAD, &mut host).exit, host.loaded), (0, 4));
    }

    #[test]
    fn nothing_else_runs() {
        let mut host = OneUnit::new(UnitState::Inactive);
        let lines = [
            "",
            "reboot",
            "env LC_ALL=C sudo -n systemctl start k3s",
            "env LC_ALL=C sudo -n systemctl stop k3s; reboot",
            "env LC_ALL=C sudo -n systemctl stop -f",
            "env LC_ALL=C sudo -n systemctl reboot -f",
            "env LC_ALL=C sudo -n systemctl poweroff -f",
            "env LC_ALL=C sudo -n /usr/local/bin/k3s etcd-snapshot save --name a --s3",
        ];
        for line in lines {
            assert_eq!(run(line, &mut host).exit, 127, "{line}");
        }
        assert_eq!((host.state, host.off), (Some(UnitState::Inactive), false));
    }

    #[test]
    fn an_inspection_prints_marked_lines() {
        let [head, unit, units, packages, end] = INSPECT;
        let line = format!("{head}/a /b{unit}k3s{units}iscsid {packages}{end}");
        let needs = HostNeeds {
            mounts: ["/a", "/b"].map(|path| HostPath::parse(path).unwrap()).into(),
            units: vec![UnitName::parse("iscsid").unwrap()],
            ..HostNeeds::default()
        };
        assert_eq!(parse(&line), Some(HostCommand::Inspect { unit: UnitName::parse("k3s").unwrap(), needs }));
        let stdout = run(&line, &mut OneUnit::new(UnitState::Failed)).stdout;
        let marked: Vec<&str> = stdout.lines().filter_map(|line| line.strip_prefix("ananke:")).collect();
        assert_eq!(
            marked,
            [
                "time=1773453971.050000000",
                "boot_id=b-1",
                "machine_id=m-1",
                "uptime=61.23 61.00",
                "mounts=/:rw /b:rw csi ",
                "synced=",
                "shims=3",
                "units=LoadState=loaded ActiveState=failed LoadState=loaded ActiveState=active LoadState=loaded \
                 ActiveState=inactive LoadState=loaded ActiveState=inactive LoadState=loaded ActiveState=inactive \
                 LoadState=loaded ActiveState=inactive",
                "log=Starting k3s\u{1e}ended",
                "space=File Use% IUse% /a 91% - /b 91% -",
                "packages=",
                "ended=61.23 61.00",
                "end=ok"
            ]
        );
    }
}
