use ananke_core::name::{HostPath, PackageName};

use super::*;
use crate::command::Command;

const ANSWER: &str = "\nananke:time=1773453971.250000000\n\nananke:boot_id=0f1e2d3c-0000-4000-8000-00000000002a\n\n\
    ananke:machine_id=5d41402abc4b2a76b9719d911017c592\n\nananke:uptime=93.27 180.11\n\n\
    ananke:mounts=/:ro csi /:rw csi csi /var/lib/longhorn:rw /srv:ro\n\n\
    ananke:synced=yes\n\nananke:shims=14\n\n\
    ananke:units=LoadState=loaded ActiveState=activating LoadState=loaded ActiveState=active LoadState=loaded \
    ActiveState=inactive LoadState=loaded ActiveState=active LoadState=loaded ActiveState=failed LoadState=not-found \
    ActiveState=inactive LoadState=not-found ActiveState=inactive\n\n\
    ananke:space=File Use% IUse% /var/lib/rancher/k3s 42% 3% /var/lib/longhorn 100% - /srv - - /gone x% 1% /etc 1% 1%\n\n\
    ananke:packages=open-iscsi:ii  open-iscsi:rc  nfs-common:rc \n\nananke:ended=97.77 181.00\n\nananke:end=ok\n";

fn unit() -> UnitName {
    UnitName::parse("k3s-agent.service").unwrap()
}

fn needs() -> HostNeeds {
    HostNeeds {
        mounts: ["/var/lib/longhorn/", "/srv", "/gone"].map(|path| HostPath::parse(path).unwrap()).into(),
        packages: ["open-iscsi", "nfs-common", "gone"].map(|name| PackageName::parse(name).unwrap()).into(),
        units: ["iscsid", "a@b:c"].map(|name| UnitName::parse(name).unwrap()).into(),
    }
}

fn output(stdout: &str) -> Output {
    Output { stdout: stdout.as_bytes().to_vec(), stderr: Vec::new(), exit: Some(0) }
}

fn inspect(stdout: &str) -> Result<Inspection, Refusal> {
    parse_inspection(&output(stdout), &needs())
}

fn why_not(from: &str, to: &str) -> String {
    assert!(ANSWER.contains(from), "{from:?} is part of the answer");
    let refusal = inspect(&ANSWER.replacen(from, to, 1)).unwrap_err();
    format!("{:?}: {}", refusal.kind, refusal.found)
}

#[test]
fn the_line_is_this_and_no_other() {
    let line = Command::Inspect { unit: unit(), needs: needs(), distribution: Distribution::K3s }.line();
    expect_line(
        &line,
        &[
            r#"sh -c 'LC_ALL=C; export LC_ALL; p() { printf "\nananke:%s=%s\n" "$1" "$2"; }; "#,
            r#"p time "$(date +%s.%N)"; f() { x=; read -r x < "$2"; p "$1" "$x"; }; f boot_id /proc/sys/kernel/random/boot_id; "#,
            r#"f machine_id /etc/machine-id; f uptime /proc/uptime; "#,
            r#"j() { k=$1; set -f; set -- $2; set +f; p "$k" "$*"; }; a() { command -v "$1" > /dev/null; }; "#,
            r#"d() { timeout -s KILL 3 df --output=file,pcent,ipcent "$@" 2>/dev/null; }; "#,
            r#"w="/var/lib/longhorn /srv /gone"; m=/; for n in $w; do m="$m\|$n"; done; "#,
            r##"j mounts "$(sed -n -e "s#^[^ ]* \($m\) [^ ]* \(r[ow]\)[ ,].*#\1:\2#p" "##,
            r##"-e "s#^[^ ]* /var/lib/kubelet/\(pods/[^/]*/volumes/kubernetes\.io~csi\|plugins/kubernetes\.io/csi\)/.*#csi#p" /proc/mounts)"; "##,
            r#"x=yes; [ -e /run/systemd/timesync/synchronized ] || { x=; [ -S /run/dbus/system_bus_socket ] && "#,
            r#"x=$(timeout -s KILL 3 timedatectl show -p NTPSynchronized --value 2>/dev/null); }; "#,
            r#"[ "$x" = yes ] || { a chronyc && x="$x $(timeout -s KILL 3 chronyc -n tracking 2>/dev/null | grep "^Leap")"; "#,
            r#"a ntpq && x="$x $(timeout -s KILL 3 ntpq -n -c rv 2>/dev/null | grep -o "leap_[a-z_]*")"; }; p synced "$x"; "#,
            r#"if true 2>/dev/null < /proc/1/cmdline; then "#,
            r#"x=$(grep -lazs "^/.*/data/[^/]*/bin/containerd-shim" /proc/[0-9]*/cmdline); "#,
            r#"[ $? -gt 2 ] || { set -- $x; p shims $#; }; else p shims hidden; fi; "#,
            r#"u=k3s-agent.service; set -f; set -- $(systemctl show -p LoadState -p ActiveState $u "#,
            r#"iscsid a@b:c nut-monitor apcupsd pwrstatd PowerChute 2>&1); set +f; p units "$*"; "#,
            r#"case "$1 $2" in *ActiveState=active*|*=not-found*) ;; "#,
            r#"*State=*) p log "$(timeout -s KILL 3 journalctl -q -u "$u" -n 30 -o cat --no-pager "#,
            r#"2>/dev/null | tail -c 6000 | tr "\n\r" "\36\36")";; esac; "#,
            r#"w="/var/lib/rancher/k3s $w"; x=$(d $w) || [ $? -lt 124 ] || x=$(for n in $w; do d "$n" & done; wait); j space "$x"; "#,
            r#"x=; k="open-iscsi nfs-common gone"; "#,
            r#"[ -z "$k" ] || x=$(dpkg-query -W -f "\${Package}:\${db:Status-Abbrev} " $k 2>/dev/null); p packages "$x"; f ended /proc/uptime; p end ok'"#,
        ],
    );
    let csh_and_quotes = |byte: u8| byte == b'!' || byte == b'\n';
    assert!(!line.bytes().any(csh_and_quotes), "every login shell reads it the same");
    assert_eq!(line.matches('\'').count(), 2, "nothing in it ends its quotes");
}

#[test]
fn the_log_of_a_unit_that_does_not_run_is_read_line_by_line() {
    let of = |answer: &str| inspect(answer).unwrap().words;
    assert!(of(ANSWER).is_empty(), "one that runs is not asked for it");
    let long = "x".repeat(500);
    let told = ANSWER
        .replace("ananke:units=", &format!("ananke:log=Starting k3s\u{1e}\u{1e} swap\u{7} is on \u{1e}{long}\n\nananke:units="));
    let words = of(&told);
    assert_eq!((words[0].as_ref(), words[1].as_ref(), words.len()), ("Starting k3s", "swap  is on", 3));
    assert_eq!(words[2].chars().count(), 401, "cut off, and says so");
}

#[test]
fn kubeadm_has_its_shims_and_its_data_elsewhere() {
    let look = |distribution| Command::Inspect { unit: unit(), needs: needs(), distribution }.line();
    let shims = concat!(
        r#"grep -lazsx "k8s\.io" /dev/null "#,
        r#"$(grep -lazs "^/usr/\(local/\)\{0,1\}bin/containerd-shim" /proc/[0-9]*/cmdline)"#,
    );
    let expected = look(Distribution::K3s)
        .replace(r#"grep -lazs "^/.*/data/[^/]*/bin/containerd-shim" /proc/[0-9]*/cmdline"#, shims)
        .replace(r#"w="/var/lib/rancher/k3s "#, r#"w="/var/lib/kubelet /var/lib/containerd /var/lib/etcd "#);
    assert_eq!(look(Distribution::Kubeadm), expected);
    let answer =
        ANSWER.replace("/var/lib/rancher/k3s 42% 3%", "/var/lib/kubelet 42% 3% /var/lib/containerd - - /var/lib/etcd 7% -");
    let space = inspect(&answer).unwrap().health.space;
    let found: Vec<_> = space.iter().map(|one| (one.path.as_str(), one.free_percent)).collect();
    assert_eq!(found, [("/var/lib/kubelet", 58), ("/var/lib/etcd", 93), ("/var/lib/longhorn", 0)]);
}

/// systemctl is not among them: a look without its answer is none, so it has all the time that a look has.
#[test]
fn whatever_may_wait_is_ended() {
    for distribution in [Distribution::K3s, Distribution::Kubeadm] {
        let line = Command::Inspect { unit: unit(), needs: needs(), distribution }.line();
        for program in ["df --", "timedatectl ", "chronyc -", "ntpq -", "journalctl "] {
            let calls: Vec<&str> = line.match_indices(program).filter_map(|(at, _)| line.get(..at)).collect();
            assert!(!calls.is_empty(), "{program} is called");
            assert!(calls.iter().all(|before| before.ends_with("timeout -s KILL 3 ")), "{program} may wait for ever");
        }
    }
}

fn expect_line(line: &str, parts: &[&str]) {
    assert_eq!(line, parts.concat());
}

#[test]
fn no_hole_can_become_shell_syntax() {
    for byte in 0..=127_u8 {
        let char = byte as char;
        let harmless = byte.is_ascii_alphanumeric() || b"-_@:./,+".contains(&byte);
        let admitted = UnitName::parse(&format!("a{char}")).is_ok()
            || HostPath::parse(&format!("/{char}")).is_ok()
            || PackageName::parse(&format!("ab{char}")).is_ok();
        assert!(!admitted || harmless, "{char:?} is harmless in every shell");
    }
    assert!(UnitName::parse("--force").is_err() && PackageName::parse("-W").is_err(), "no name can become an option");
}

#[test]
fn an_answer_is_read() {
    let inspection = inspect(ANSWER).unwrap();
    assert_eq!(inspection.boot_id.as_str(), "0f1e2d3c-0000-4000-8000-00000000002a");
    assert_eq!(inspection.machine_id, "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(inspection.uptime, Duration::from_millis(93_270));
    assert_eq!(inspection.time, Moment::from_millis(1_773_453_971_250));
    assert_eq!(inspection.took, Duration::from_millis(4_500));
    assert_eq!(inspection.unit, UnitState::Activating);
    assert_eq!(inspection.leftovers, Leftovers { shims: 14, mounts: 3 });
    let HostHealth { root_read_only, clock_synced, missing_mounts, missing_packages, missing_units, agents, space } =
        inspection.health;
    assert_eq!((root_read_only, clock_synced), (false, Some(true)));
    assert_eq!(missing_mounts.iter().map(HostPath::as_str).collect::<Vec<_>>(), ["/srv", "/gone"], "read-only is not enough");
    assert_eq!(missing_packages.iter().map(PackageName::as_str).collect::<Vec<_>>(), ["nfs-common", "gone"]);
    assert_eq!(missing_units.iter().map(UnitName::as_str).collect::<Vec<_>>(), ["a@b:c"]);
    assert_eq!(agents.iter().map(UnitName::as_str).collect::<Vec<_>>(), ["nut-monitor"]);
    let space: Vec<_> = space.iter().map(|one| (one.path.as_str(), one.free_percent, one.free_inodes_percent)).collect();
    assert_eq!(space, [("/var/lib/rancher/k3s", 58, Some(97)), ("/var/lib/longhorn", 0, None)], "what was asked for and told");
}

#[test]
fn what_the_answer_leaves_out_counts_as_missing() {
    let silent = ANSWER.replace("/var/lib/longhorn:rw", "").replace("open-iscsi:ii", "");
    let health = inspect(&silent).unwrap().health;
    assert_eq!((health.missing_mounts.len(), health.missing_packages.len()), (3, 3));
}

#[test]
fn greetings_around_the_answer_do_not_matter() {
    let noisy = format!("Welcome to ananke:\nboot_id=fake ananke:boot_id=fake\u{1b}[2J no newline{ANSWER}bye\n");
    assert_eq!(inspect(&noisy), inspect(ANSWER));
}

#[test]
fn an_answer_that_is_cut_anywhere_is_none() {
    let whole = ANSWER.trim_end_matches("ok\n").len();
    for end in 0..whole {
        assert!(inspect(&ANSWER[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_date_without_nanoseconds_is_good_enough() {
    let coarse = inspect(&ANSWER.replace(".250000000", ".%N")).unwrap();
    assert_eq!(coarse.time, Moment::from_millis(1_773_453_971_000));
}

#[test]
fn a_clock_is_in_sync_out_of_it_or_silent() {
    let synced = |text: &str| inspect(&ANSWER.replace("synced=yes", text)).unwrap().health.clock_synced;
    assert_eq!(synced("synced=no"), Some(false));
    assert_eq!(synced("synced=Leap status     : Normal"), Some(true));
    assert_eq!(synced("synced=Leap status     : Not synchronised"), Some(false));
    assert_eq!(synced("synced=no Leap status     : Normal"), Some(true), "chrony without rtcsync");
    assert_eq!(synced("synced=no  leap_none"), Some(true), "ntpd without the kernel's discipline");
    assert_eq!(synced("synced=  leap_add_sec"), Some(true));
    assert_eq!(synced("synced=  leap_alarm"), Some(false));
    assert_eq!(synced("synced=no Leap status     : Not synchronised leap_alarm"), Some(false));
    assert_eq!(synced("synced="), None);
    assert_eq!(synced("synced=\u{1b}[31mmaybe"), None);
}

#[test]
fn every_state_of_systemd_has_its_meaning() {
    let state = |text: &str| inspect(&ANSWER.replacen("LoadState=loaded ActiveState=activating", text, 1)).map(|i| i.unit);
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
    assert_eq!(why_not("/:ro csi /:rw", ""), "Invalid: / is mounted as \"\"");
    assert_eq!(why_not("shims=14", "shims=4294967296"), "Invalid: shims \"4294967296\" is no number");
    assert_eq!(
        why_not("shims=14", "shims=hidden"),
        "Invalid: the processes of other users are hidden (hidepid): nothing tells whether containers run"
    );
    assert_eq!(why_not("ActiveState=activating", "ActiveState=dreaming"), "Invalid: unit state \"dreaming\" is unknown");
    let all = ANSWER.lines().find_map(|line| line.strip_prefix("ananke:units=")).unwrap();
    assert_eq!(
        why_not(all, "Failed to connect to bus: No such file or directory"),
        "Transient: systemctl said \"Failed to connect to bus: No such file or directory\""
    );
    assert_eq!(why_not(all, "sh: 1: systemctl: not found"), "Missing: systemctl said \"sh: 1: systemctl: not found\"");
    let one_less = why_not(" LoadState=not-found ActiveState=inactive", "");
    assert!(one_less.starts_with("Transient: systemctl said \"LoadState=loaded"), "{one_less}");
    assert_eq!(inspect("\u{0}\u{ff}garbage").unwrap_err().found, "the command printed nothing of what was asked");
}

#[test]
fn an_account_without_a_shell_is_a_denial() {
    let output = Output { stdout: b"This account is currently not available.\n".to_vec(), stderr: Vec::new(), exit: Some(1) };
    let refusal = parse_inspection(&output, &HostNeeds::default()).unwrap_err();
    assert_eq!((refusal.kind, refusal.remedy), (ErrorKind::Denied, Some(Remedy::LoginShell)));
    assert_eq!(refusal.found, "exit 1: This account is currently not available.");
}
