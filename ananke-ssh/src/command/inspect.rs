//! The one look at a host: what is asked, and how its answer is read.
//!
//! Every line of ours is marked and starts on a line of its own, so that greetings of login scripts cannot be mistaken for
//! an answer. Nothing in it needs rights or changes anything. What may wait, for a file server or for a daemon that is busy, is
//! ended after three seconds, and its answer is left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::name::{BootId, HostPath, Moment, UnitName};
use ananke_core::observation::{DiskSpace, HostHealth, Leftovers, UnitState};
use ananke_core::port::{ErrorKind, clean};
use ananke_core::spec::{Distribution, HostNeeds};

use super::{Output, Refusal, Remedy, invalid, refusal};

/// The time comes first, and how long the look took last: with both, the middle of the look is compared with the middle of the
/// exchange. `f` prints the first line of a file, `j` joins what
/// stands on several lines, `a` tells whether there is such a program, and `d` how much of file systems is used, of their space
/// and of their inodes.
///
/// What the shell can do itself it does, and what one process can tell of many names it is asked once: processes are most of
/// what a look costs its host.
const HEAD: &str = concat!(
    r#"sh -c 'LC_ALL=C; export LC_ALL; p() { printf "\nananke:%s=%s\n" "$1" "$2"; }; "#,
    r#"p time "$(date +%s.%N)"; f() { x=; read -r x < "$2"; p "$1" "$x"; }; f boot_id /proc/sys/kernel/random/boot_id; "#,
    r#"f machine_id /etc/machine-id; f uptime /proc/uptime; "#,
    r#"j() { k=$1; set -f; set -- $2; set +f; p "$k" "$*"; }; a() { command -v "$1" > /dev/null; }; "#,
    r#"d() { timeout -s KILL 3 df --output=file,pcent,ipcent "$@" 2>/dev/null; }; w=""#,
);
/// How paths are mounted, and `csi` for each volume that is. timesyncd leaves a file once it has set the clock. Where there is
/// none, the kernel is asked, which timedatectl does over the bus: a daemon that hangs there has 25 seconds by itself. Where the
/// kernel does not call the clock synchronised, chrony and ntpd are asked: chrony without `rtcsync` disciplines a clock and does
/// not tell the kernel.
const MOUNTS: &str = concat!(
    r#""; m=/; for n in $w; do m="$m\|$n"; done; "#,
    r##"j mounts "$(sed -n -e "s#^[^ ]* \($m\) [^ ]* \(r[ow]\)[ ,].*#\1:\2#p" "##,
    r##"-e "s#^[^ ]* /var/lib/kubelet/\(pods/[^/]*/volumes/kubernetes\.io~csi\|plugins/kubernetes\.io/csi\)/.*#csi#p" /proc/mounts)"; "##,
    r#"x=yes; [ -e /run/systemd/timesync/synchronized ] || { x=; [ -S /run/dbus/system_bus_socket ] && "#,
    r#"x=$(timeout -s KILL 3 timedatectl show -p NTPSynchronized --value 2>/dev/null); }; "#,
    r#"[ "$x" = yes ] || { a chronyc && x="$x $(timeout -s KILL 3 chronyc -n tracking 2>/dev/null | grep "^Leap")"; "#,
    r#"a ntpq && x="$x $(timeout -s KILL 3 ntpq -n -c rv 2>/dev/null | grep -o "leap_[a-z_]*")"; }; p synced "$x"; "#,
    r#"if true 2>/dev/null < /proc/1/cmdline; then x=$("#,
);
/// A grep that could not be run has counted nothing; one that met a process which ended meanwhile has.
const SHIMS: &str = "); [ $? -gt 2 ] || { set -- $x; p shims $#; }; else p shims hidden; fi; u=";
const UNITS: &str = r#"; set -f; set -- $(systemctl show -p LoadState -p ActiveState $u "#;
/// The log of a unit that does not run tells why; who may not read the journal has an empty one.
const SPACE: &str = concat!(
    r#" 2>&1); set +f; p units "$*"; "#,
    r#"case "$1 $2" in *ActiveState=active*|*=not-found*) ;; "#,
    r#"*State=*) p log "$(timeout -s KILL 3 journalctl -q -u "$u" -n 30 -o cat --no-pager "#,
    r#"2>/dev/null | tail -c 6000 | tr "\n\r" "\36\36")";; esac; w=""#,
);
/// Where one file system made `df` wait until it was ended, each is asked alone, and all at once: several that hang cost no more
/// than one. Each answer is a few words, which one write puts into the pipe whole.
///
/// Packages are asked of dpkg. On a host of another distribution every one of them counts as missing, so there the list of
/// required packages is left empty: what they bring can be asked for as units. Without a name dpkg would tell of them all.
const PACKAGES: &str = r#" $w"; x=$(d $w) || [ $? -lt 124 ] || x=$(for n in $w; do d "$n" & done; wait); j space "$x"; x=; k=""#;
const END: &str = concat!(
    r#""; [ -z "$k" ] || x=$(dpkg-query -W -f "\${Package}:\${db:Status-Abbrev} " $k 2>/dev/null); "#,
    r#"p packages "$x"; f ended /proc/uptime; p end ok'"#,
);
/// Services that act on a UPS by themselves: NUT's upsmon, apcupsd, CyberPower's and APC's own.
const AGENTS: [&str; 4] = ["nut-monitor", "apcupsd", "pwrstatd", "PowerChute"];

/// Longer lines of a log are cut off.
const LOG_LINE: usize = 400;

/// What a look found; the skew needs our own clock, which is the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub boot_id: BootId,
    pub machine_id: String,
    pub uptime: Duration,
    /// The host's wall clock when the look began.
    pub time: Moment,
    /// From then to its end: a dead file server or a busy daemon makes it seconds.
    pub took: Duration,
    pub unit: UnitState,
    pub health: HostHealth,
    pub leftovers: Leftovers,
    /// The end of the unit's log, where it does not run.
    pub words: Vec<Arc<str>>,
}

/// The text for the host's shell. Its holes are types that admit no character which a shell knows.
pub(super) fn line(unit: &UnitName, needs: &HostNeeds, distribution: Distribution) -> String {
    let (shims, data) = (shims(distribution), data(distribution).join(" "));
    let mounts = words(needs.mounts.iter().map(|path| plain(path.as_str())));
    let packages = words(needs.packages.iter().map(|package| package.as_str()));
    let units = words(needs.units.iter().map(UnitName::as_str).chain(AGENTS));
    format!("{HEAD}{mounts}{MOUNTS}{shims}{SHIMS}{unit}{UNITS}{units}{SPACE}{data}{PACKAGES}{packages}{END}")
}

/// Finds containers by their shims, of whose arguments each ends with a zero. k3s has its shim in its own directory; beside
/// kubeadm a shim can be Docker's, and containerd's namespace tells which are of Kubernetes.
fn shims(distribution: Distribution) -> &'static str {
    match distribution {
        Distribution::K3s => r#"grep -lazs "^/.*/data/[^/]*/bin/containerd-shim" /proc/[0-9]*/cmdline"#,
        Distribution::Kubeadm => concat!(
            r#"grep -lazsx "k8s\.io" /dev/null "#,
            r#"$(grep -lazs "^/usr/\(local/\)\{0,1\}bin/containerd-shim" /proc/[0-9]*/cmdline)"#,
        ),
    }
}

/// Where images, containers and etcd are, or a link to them.
fn data(distribution: Distribution) -> &'static [&'static str] {
    match distribution {
        Distribution::K3s => &["/var/lib/rancher/k3s"],
        Distribution::Kubeadm => &["/var/lib/kubelet", "/var/lib/containerd", "/var/lib/etcd"],
    }
}

fn words<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(" ")
}

/// As mount tables have it.
fn plain(path: &str) -> &str {
    let bare = path.trim_end_matches('/');
    if bare.is_empty() { "/" } else { bare }
}

/// Reads the answer to a look that asked for `needs`.
pub fn parse_inspection(output: &Output, needs: &HostNeeds) -> Result<Inspection, Refusal> {
    let text = String::from_utf8_lossy(&output.stdout);
    let marked = marked(&text)?;
    if marked.is_empty() {
        return Err(no_markers(output));
    }
    let get = |key: &str| marked.get(key).copied().ok_or_else(|| invalid(format!("the answer has no {key}")));
    get("end")?;
    let boot_id = BootId::parse(get("boot_id")?).map_err(invalid)?;
    let machine_id = get("machine_id")?;
    if machine_id.len() > 128 || !machine_id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid(format!("machine ID {:?} is not valid", clean(machine_id, 80))));
    }
    let (began, ended) = (uptime(get("uptime")?)?, uptime(get("ended")?)?);
    let (mounts, packages, units) = (states(get("mounts")?), get("packages")?, units(get("units")?, needs)?);
    let volumes = get("mounts")?.split(' ').filter(|word| *word == "csi").count();
    Ok(Inspection {
        boot_id,
        machine_id: machine_id.to_owned(),
        uptime: began,
        time: wall_time(get("time")?)?,
        took: ended.saturating_sub(began),
        unit: units.own,
        health: HostHealth {
            root_read_only: read_only("/", mounts.get("/").copied().unwrap_or_default())?,
            clock_synced: synced(get("synced")?),
            missing_mounts: missing(&needs.mounts, |path| mounts.get(plain(path.as_str())).is_some_and(|state| *state == "rw")),
            missing_packages: missing(&needs.packages, |name| installed(packages, name.as_str())),
            missing_units: units.missing,
            agents: units.agents,
            space: space(get("space")?, needs),
        },
        leftovers: Leftovers { shims: count("shims", get("shims")?)?, mounts: u32::try_from(volumes).unwrap_or(u32::MAX) },
        words: marked.get("log").map(|text| words_of(text)).unwrap_or_default(),
    })
}

/// Its lines, which the host has put on one with record separators between them.
fn words_of(log: &str) -> Vec<Arc<str>> {
    let lines = log.split('\u{1e}').map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| clean(line, LOG_LINE).into()).collect()
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

/// `path:state path:state …`, where of several mounts on one path the last one counts.
fn states(text: &str) -> BTreeMap<&str, &str> {
    text.split_ascii_whitespace().filter_map(|word| word.rsplit_once(':')).collect()
}

fn missing<T: Clone>(asked: &[T], there: impl Fn(&T) -> bool) -> Vec<T> {
    asked.iter().filter(|one| !there(one)).cloned().collect()
}

/// `name:state name:state …`, with a name more than once where it has several architectures. Of dpkg's two letters the first
/// is what is wanted (install, hold, …), and the second what is.
fn installed(text: &str, name: &str) -> bool {
    let states = text.split_ascii_whitespace().filter_map(|word| word.split_once(':'));
    states.filter(|(of, _)| *of == name).any(|(_, state)| state.as_bytes().get(1) == Some(&b'i'))
}

/// systemd's word for a unit that runs; one that reloads runs on.
fn is_up(state: &str) -> bool {
    matches!(state, "active" | "reloading" | "refreshing")
}

fn read_only(path: &str, state: &str) -> Result<bool, Refusal> {
    match state {
        "rw" => Ok(false),
        "ro" => Ok(true),
        other => Err(invalid(format!("{path} is mounted as {:?}", clean(other, 40)))),
    }
}

/// df's table on one line: `path space inodes path space inodes …`, used as percentages; only of paths that were asked for.
fn space(text: &str, needs: &HostNeeds) -> Vec<DiskSpace> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let read = |row: &[&str]| {
        let [path, space, inodes] = *row else { return None };
        let data = [Distribution::K3s, Distribution::Kubeadm].iter().any(|one| data(*one).contains(&path));
        let asked = data || needs.mounts.iter().any(|mount| plain(mount.as_str()) == path);
        let path = HostPath::parse(path).ok().filter(|_| asked)?;
        Some(DiskSpace { path, free_percent: free(space)?, free_inodes_percent: free(inodes) })
    };
    words.chunks(3).filter_map(read).collect()
}

/// `42%` in use leaves 58.
fn free(used: &str) -> Option<u8> {
    100_u8.checked_sub(used.strip_suffix('%')?.parse().ok()?)
}

/// timedatectl's `yes` or `no` is the kernel's own word, chrony has a line for it and ntpd a word. One that follows a source
/// is enough: the others may not know.
pub fn synced(text: &str) -> Option<bool> {
    let kernel = match text.split_ascii_whitespace().next() {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        Some(_) | None => None,
    };
    let chrony = text.contains("Leap status").then(|| !text.contains("Not synchronised"));
    let ntpd = text.contains("leap_").then(|| !text.contains("leap_alarm"));
    [kernel, chrony, ntpd].into_iter().flatten().reduce(|one, other| one || other)
}

fn count(what: &str, text: &str) -> Result<u32, Refusal> {
    if text == "hidden" {
        return Err(invalid("the processes of other users are hidden (hidepid): nothing tells whether containers run"));
    }
    text.parse().map_err(|_| invalid(format!("{what} {:?} is no number", clean(text, 40))))
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

struct Units {
    own: UnitState,
    missing: Vec<UnitName>,
    agents: Vec<UnitName>,
}

/// systemctl's two properties of each unit, in the order in which they were asked for.
fn units(text: &str, needs: &HostNeeds) -> Result<Units, Refusal> {
    let said = || {
        let kind = if text.contains("not found") { ErrorKind::Missing } else { ErrorKind::Transient };
        Refusal { kind, found: format!("systemctl said {:?}", clean(text, 150)), remedy: None }
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let states: Option<Vec<_>> =
        words.chunks(2).map(|two| Some((property(two, "LoadState=")?, property(two, "ActiveState=")?))).collect();
    let states = states.ok_or_else(said)?;
    let (Some(((load, active), others)), true) = (states.split_first(), states.len() == 1 + needs.units.len() + AGENTS.len())
    else {
        return Err(said());
    };
    let (needed, agents) = others.split_at(needs.units.len());
    let up = |(_, active): &(&str, &str)| is_up(active);
    let missing = needs.units.iter().zip(needed).filter(|(_, states)| !up(states)).map(|(unit, _)| unit.clone()).collect();
    let agents = AGENTS.iter().zip(agents).filter(|(_, states)| up(states)).filter_map(|(name, _)| UnitName::parse(name).ok());
    Ok(Units { own: unit_state(load, active)?, missing, agents: agents.collect() })
}

fn property<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(key))
}

fn unit_state(load: &str, active: &str) -> Result<UnitState, Refusal> {
    Ok(match (load, active) {
        ("not-found", _) => UnitState::NotFound,
        (_, "active" | "reloading" | "refreshing") => UnitState::Active,
        (_, "activating") => UnitState::Activating,
        (_, "deactivating") => UnitState::Deactivating,
        (_, "inactive" | "maintenance") => UnitState::Inactive,
        (_, "failed") => UnitState::Failed,
        (_, other) => return Err(invalid(format!("unit state {:?} is unknown", clean(other, 80)))),
    })
}

#[cfg(test)]
mod tests;
