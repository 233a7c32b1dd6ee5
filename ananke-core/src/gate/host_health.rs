//! Gate `host-health`: the hosts themselves are fit: clocks in step, root writable, mounts, units and packages there.
//!
//! What is wrong here is wrong below Kubernetes, so nothing above it can repair it: a disk that is not mounted, a root that went
//! read-only, a clock that an etcd member cannot live with (traps `root-filesystem-read-only`, `clock-skew-no-rtc`,
//! `host-service-not-enabled`, `data-disk-not-mounted`). Clocks and units may still come right by themselves, and a worker's root
//! by one reboot; the rest is a person's job at once.

use std::sync::Arc;
use std::time::Duration;

use super::node_ssh::leave_out;
use crate::engine::view::View;
use crate::name::{NodeName, Subject};
use crate::observation::{DiskSpace, HostState};
use crate::power::{Supply, Word};
use crate::remedy::reboot_host::{self, Stance};
use crate::spec::{NodeRole, NodeSpec, TimeSync};
use crate::verdict::{Judgement, Reason, Trap, Verdict};

/// etcd's members and the certificates that they mint bear little more than a second; a look over SSH is exact to about
/// half of that.
const SERVER_SKEW: Duration = Duration::from_secs(2);
/// An agent's clock only dates its Lease and its tokens.
const WORKER_SKEW: Duration = Duration::from_secs(5);
/// Percent of space or inodes below which containers can neither start nor write.
const FULL_BELOW: u8 = 2;
/// The kubelet begins to delete images and to end pods at 15 % and 10 %.
const LOW_BELOW: u8 = 10;
/// Hosts that must agree with each other, and not with us, before our own clock is the one that is wrong.
const WITNESSES: usize = 3;

/// What is a trap by itself.
const KNOWN: [(Reason, Trap); 4] = [
    (Reason::MountMissing, Trap::DataDiskNotMounted),
    (Reason::RootReadOnly, Trap::RootReadOnly),
    (Reason::ClocksApart, Trap::ClockSkewNoRtc),
    (Reason::ClockNotSynced, Trap::ClockSkewNoRtc),
];

/// One thing that is wrong with a host.
struct Finding {
    reason: Reason,
    /// It can come right by itself.
    waits: bool,
    text: String,
    instruction: String,
}

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let clocks = Clocks::of(view);
    let mut notes = Vec::new();
    let hosts = view.with_hosts(view.spec.managed()).map(|(name, (node, host))| {
        let verdict = match host {
            Some(host) => {
                let (held, noted) = clocks.judge(name, node, host);
                notes.extend(noted);
                let low = host
                    .health
                    .space
                    .iter()
                    .filter_map(|space| short(space, LOW_BELOW).filter(|_| short(space, FULL_BELOW).is_none()));
                notes.extend(low.map(|text| format!("on {name}, {text}")));
                let alone = host.health.agents.iter().filter(|_| !view.spec.power.upses.is_empty());
                notes.extend(alone.map(|agent| {
                    format!("{agent} on {name} acts on the UPS by itself: let it act after Ananke's shutdown only, or not at all")
                }));
                verdict(host, machine(view, name, node, host).into_iter().chain(held).collect())
            }
            None => Verdict::follows(
                Reason::HostUnreachable,
                Subject::Node(name.clone()),
                format!("{name} cannot be looked at: its host does not answer SSH"),
            ),
        };
        (Subject::Node(name.clone()), verdict)
    });
    let own = clocks.own(view).map(|verdict| (Subject::Ananke, verdict));
    let mut judgement: Judgement = own.into_iter().chain(hosts).chain(supplies(view)).collect();
    judgement.notes = notes;
    leave_out(view, &mut judgement);
    judgement
}

/// UPSs through which mains go with no battery behind them: the next outage is a hard cut for all that they feed. A self-test
/// or a calibration passes.
fn supplies<'a>(view: &'a View<'_>) -> impl Iterator<Item = (Subject, Verdict)> + 'a {
    let bare = |name: &Arc<str>| {
        let reading = view.ups(name).ok()?;
        let cut_out = reading.has(Word::Bypass) && reading.supply() == Supply::Line;
        cut_out.then(|| {
            Verdict::waiting(
                Reason::UpsBypassed,
                format!("{name} says {}: mains go through it, and no battery stands behind them", reading.status.join(" ")),
                format!(
                    "on the host of upsd: `upscmd -l {name}` lists what this UPS takes; `load.on` or `bypass.stop` ends it, or the \
                     switch on the UPS. Until then nothing at it outlasts a cut"
                ),
            )
        })
    };
    let names = view.spec.power.upses.iter().map(|ups| &ups.name);
    names.filter_map(move |name| Some((Subject::Ups(name.clone()), bare(name)?)))
}

/// The first finding is the reason; the others are told with it. A person is asked for only when the first needs one.
fn verdict(host: &HostState, findings: Vec<Finding>) -> Verdict {
    let mut findings = findings.into_iter();
    let Some(Finding { reason, waits, mut text, instruction }) = findings.next() else {
        return Verdict::pass(match host.health.clock_synced {
            Some(_) => "clock in sync, root writable, all that it needs is there",
            None => "clock in step, its source unknown, root writable, all that it needs is there",
        });
    };
    for other in findings {
        text.push_str("; ");
        text.push_str(&other.text);
    }
    let verdict = if waits { Verdict::waiting(reason, text, instruction) } else { Verdict::person(reason, text, instruction) };
    verdict.known_as(KNOWN.iter().find(|(of, _)| *of == reason).map(|(_, trap)| *trap))
}

/// What is wrong with the machine beside its clock, the gravest first.
fn machine(view: &View<'_>, name: &NodeName, node: &NodeSpec, host: &HostState) -> Vec<Finding> {
    let place = if node.location.is_empty() { String::new() } else { format!(" ({})", node.location) };
    let mut findings = Vec::new();
    if host.health.root_read_only {
        findings.push(read_only(view, name, &place));
    }
    let full: Vec<_> = host.health.space.iter().filter_map(|space| Some((space, short(space, FULL_BELOW)?))).collect();
    if let Some((space, _)) = full.first() {
        findings.push(Finding {
            reason: Reason::DiskFull,
            // The kubelet deletes images by itself when it runs.
            waits: true,
            text: format!("on {name}, {}", full.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", and ")),
            instruction: format!(
                "on {name}{place}: find what is large with `du -xh -d 2 {} | sort -h | tail`; {} deletes unused images, `journalctl --vacuum-size=200M` old logs; then restart {}",
                space.path,
                view.spec.distribution.prune_images(),
                node.unit
            ),
        });
    }
    if !host.health.missing_mounts.is_empty() {
        let paths = list(&host.health.missing_mounts);
        findings.push(Finding {
            reason: Reason::MountMissing,
            // A disk on USB, or one that is checked first, appears some time after its host.
            waits: host.uptime < view.spec.unit_grace,
            text: format!("not mounted read-write on {name}: {paths}"),
            instruction: format!(
                "on {name}{place}: find the disk with `lsblk -f`, then `mount {}`; if it is Longhorn's disk, let nothing write to the empty directory in its place",
                host.health.missing_mounts.first().map_or("", |path| path.as_str())
            ),
        });
    }
    if !host.health.missing_packages.is_empty() {
        let packages = list(&host.health.missing_packages);
        findings.push(Finding {
            reason: Reason::PackageMissing,
            waits: false,
            text: format!("not installed on {name}: {packages}"),
            instruction: format!("on {name}: apt-get install {}", packages.replace(',', "")),
        });
    }
    if !host.health.missing_units.is_empty() {
        let units = list(&host.health.missing_units);
        findings.push(Finding {
            reason: Reason::UnitDown,
            waits: true,
            text: format!("not active on {name}: {units}"),
            instruction: format!("on {name}: systemctl enable --now {}", units.replace(',', "")),
        });
    }
    findings
}

/// A root that is read-only, and what becomes of it.
fn read_only(view: &View<'_>, name: &NodeName, place: &str) -> Finding {
    let stance = reboot_host::stance(view, name);
    let (waits, text) = match stance {
        Stance::Repairs => {
            (true, "; it is rebooted once, so that its journal is replayed, when nothing runs on it any more".into())
        }
        Stance::Person => (false, String::new()),
        Stance::Braked(count) => (false, format!("; it is not rebooted, for {count} hosts have such a root, which is no chance")),
        Stance::Spent => (false, " again after its reboot".into()),
    };
    let instruction = match stance {
        Stance::Spent => format!("replace the disk of {name}{place}: a reboot did not help (never run fsck on a mounted root)"),
        Stance::Repairs | Stance::Person | Stance::Braked(_) => format!(
            "reboot {name}{place} once, so that its journal is replayed; if / is read-only again, replace its disk (never run fsck on a mounted root)"
        ),
    };
    let text = format!("the root file system of {name} is read-only{text}");
    Finding { reason: Reason::RootReadOnly, waits, text, instruction }
}

/// What is short on a file system, if less than `limit` percent is left.
fn short(space: &DiskSpace, limit: u8) -> Option<String> {
    let DiskSpace { path, free_percent, free_inodes_percent } = space;
    let bytes = (*free_percent < limit).then(|| format!("{free_percent} % of the space"));
    let inodes = free_inodes_percent.filter(|free| *free < limit).map(|free| format!("{free} % of the inodes"));
    let parts: Vec<String> = bytes.into_iter().chain(inodes).collect();
    (!parts.is_empty()).then(|| format!("{} of {path} is free", parts.join(" and ")))
}

/// How the clocks of the hosts that answered stand.
struct Clocks {
    mode: TimeSync,
    /// What is taken from every skew: nothing, or how far our own clock is behind those of the hosts.
    own_error: i64,
    /// Servers in step.
    in_step: usize,
}

impl Clocks {
    fn of(view: &View<'_>) -> Self {
        let known = view.with_hosts(view.spec.nodes.iter()).filter_map(|(_, (node, host))| Some((node, host?)));
        let hosts: Vec<(&NodeSpec, &HostState)> = known.collect();
        let mut skews: Vec<i64> = hosts.iter().map(|(_, host)| host.clock_skew_millis).collect();
        skews.sort_unstable();
        let middle = skews.get(skews.len() / 2).copied().unwrap_or(0);
        let agree = skews.iter().filter(|skew| within(skew.saturating_sub(middle), SERVER_SKEW)).count();
        let we_are_off = !within(middle, WORKER_SKEW) && agree >= WITNESSES && agree > skews.len() / 2;
        let mut clocks = Self { mode: mode(view), own_error: if we_are_off { middle } else { 0 }, in_step: 0 };
        let good = |node: &NodeSpec, host: &HostState| clocks.wrong(node, host).is_none();
        clocks.in_step = hosts.iter().filter(|(node, host)| node.role == NodeRole::Server && good(node, host)).count();
        clocks
    }

    /// What a clock that is not ours says of ours.
    fn own(&self, view: &View<'_>) -> Option<Verdict> {
        let off = seconds(self.own_error.saturating_neg());
        (self.own_error != 0).then(|| {
            Verdict::waiting(
                Reason::ClocksApart,
                format!("the clock of {} is {off} those of its hosts, which agree with each other", view.spec.holder),
                format!("on {}: look at `timedatectl`, and set its clock by a source", view.spec.holder),
            )
            .known_as(Trap::ClockSkewNoRtc)
        })
    }

    /// What holds the host for its clock, or what is only to be told of it.
    fn judge(&self, name: &NodeName, node: &NodeSpec, host: &HostState) -> (Option<Finding>, Option<String>) {
        let Some((reason, text)) = self.wrong(node, host) else { return (None, None) };
        let text = format!("the clock of {name} {text}");
        match self.mode {
            TimeSync::Quorum(wanted) if self.in_step >= wanted || node.role == NodeRole::Worker => {
                (None, Some(format!("{text}; {} servers are in step, {wanted} are wanted", self.in_step)))
            }
            TimeSync::Strict | TimeSync::Quorum(_) => {
                let instruction = format!(
                    "on {name}: look at `timedatectl` and its time source (`chronyc makestep` or `systemctl restart systemd-timesyncd` sets the clock); then restart {}",
                    node.unit
                );
                (Some(Finding { reason, waits: true, text, instruction }), None)
            }
        }
    }

    fn wrong(&self, node: &NodeSpec, host: &HostState) -> Option<(Reason, String)> {
        let limit = match node.role {
            NodeRole::Server => SERVER_SKEW,
            NodeRole::Worker => WORKER_SKEW,
        };
        let skew = host.clock_skew_millis.saturating_sub(self.own_error);
        if !within(skew, limit) {
            return Some((Reason::ClocksApart, format!("is {} ours", seconds(skew))));
        }
        (host.health.clock_synced == Some(false)).then(|| (Reason::ClockNotSynced, "follows no time source".to_owned()))
    }
}

/// No more servers can be in step than have SSH.
fn mode(view: &View<'_>) -> TimeSync {
    match view.spec.time_sync {
        TimeSync::Strict => TimeSync::Strict,
        TimeSync::Quorum(wanted) => {
            TimeSync::Quorum(wanted.min(view.spec.servers().filter(|(_, node)| node.is_managed()).count()))
        }
    }
}

fn within(skew: i64, limit: Duration) -> bool {
    u128::from(skew.unsigned_abs()) <= limit.as_millis()
}

/// `90.0 s ahead of`, `3.2 s behind`.
fn seconds(skew: i64) -> String {
    let tenths = skew.unsigned_abs() / 100;
    format!("{}.{} s {}", tenths / 10, tenths % 10, if skew < 0 { "behind" } else { "ahead of" })
}

fn list<T: ToString>(names: &[T]) -> String {
    names.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{Bench, node};
    use crate::name::{HostPath, PackageName, UnitName};
    use crate::order::{HostOrder, Order};
    use crate::verdict::Trap;

    /// Hosts `n1` to `nN` that answer.
    fn bench(count: usize) -> Bench {
        let mut bench = Bench::new(count);
        for n in 1..=count {
            bench.host_up(n);
        }
        bench
    }

    fn text(bench: &Bench, n: usize) -> String {
        match &evaluate(&bench.view()).subjects[&Subject::Node(node(n))] {
            Verdict::Hold(blocker) => format!("{} -> {}", blocker.text, blocker.if_it_lasts),
            verdict @ (Verdict::Pass(_) | Verdict::Unknown(_)) => verdict.text().to_owned(),
        }
    }

    #[test]
    fn a_fit_host_passes_and_a_dark_one_follows_its_node() {
        let mut bench = bench(2);
        bench.obs.hosts.remove(&node(2));
        bench.check(evaluate, "n1: pass\nn2: hold host-unreachable follows n2");
    }

    #[test]
    fn a_node_without_ssh_is_left_out_and_its_clock_is_not_wanted() {
        let mut bench = bench(2);
        bench.servers(2);
        bench.spec.time_sync = TimeSync::Quorum(2);
        bench.unmanage(2);
        bench.check(evaluate, "n1: pass\nnote: n2 has no SSH, as configured: its host is not looked at");
    }

    #[test]
    fn a_dying_disk_a_lost_mount_and_a_lost_package_are_a_persons_job() {
        let mut bench = bench(3);
        bench.servers(1);
        bench.host(1, |host| host.health.root_read_only = true);
        bench.host(2, |host| host.health.missing_mounts = vec![HostPath::parse("/var/lib/longhorn").unwrap()]);
        bench.host(3, |host| host.health.missing_packages = vec![PackageName::parse("open-iscsi").unwrap()]);
        bench.check(evaluate, "n1: hold root-read-only person\nn2: hold mount-missing person\nn3: hold package-missing person");
        assert!(text(&bench, 2).contains("`mount /var/lib/longhorn`"), "{}", text(&bench, 2));
        assert!(text(&bench, 3).ends_with("on n3: apt-get install open-iscsi"), "{}", text(&bench, 3));
    }

    #[test]
    fn a_read_only_root_is_a_persons_job_where_no_reboot_may_help() {
        let mut bench = bench(6);
        bench.servers(1);
        for n in [1, 2] {
            bench.host(n, |host| host.health.root_read_only = true);
        }
        let said = |bench: &Bench| [text(bench, 1), text(bench, 2)].map(|text| text.split(" -> ").next().unwrap().to_owned());
        let is = |n: usize| format!("the root file system of n{n} is read-only");
        let judged = |bench: &Bench, kinds: [&str; 2]| {
            let [server, worker] = kinds;
            let others = (3..=6).map(|n| match bench.obs.hosts[&node(n)].last().unwrap().health.root_read_only {
                true => format!("\nn{n}: hold root-read-only person"),
                false => format!("\nn{n}: pass"),
            });
            let others: String = others.collect();
            let expected = format!("n1: hold root-read-only {server}\nn2: hold root-read-only {worker}{others}");
            bench.check(evaluate, &expected);
        };
        judged(&bench, ["person", "waiting"]);
        let once = "; it is rebooted once, so that its journal is replayed, when nothing runs on it any more";
        assert_eq!(said(&bench), [is(1), is(2) + once]);
        for n in [3, 4] {
            bench.host(n, |host| host.health.root_read_only = true);
        }
        judged(&bench, ["person", "person"]);
        assert_eq!(said(&bench), [is(1), is(2) + "; it is not rebooted, for 4 hosts have such a root, which is no chance"]);
        let reboot = Order::Host { node: node(2), order: HostOrder::Reboot };
        bench.carried_out(&reboot, Trap::RootReadOnly);
        bench.now = bench.now.plus(Duration::from_secs(30));
        for n in 1..=6 {
            bench.host(n, |host| host.uptime += Duration::from_secs(30));
        }
        bench.host(2, |host| host.uptime = Duration::from_secs(10));
        judged(&bench, ["person", "person"]);
        assert_eq!(said(&bench), [is(1), is(2) + " again after its reboot"]);
        assert!(text(&bench, 2).contains(" -> replace the disk of n2"), "{}", text(&bench, 2));
    }

    #[test]
    fn a_full_disk_holds_and_a_disk_that_fills_is_noted() {
        let mut bench = bench(4);
        let data = || HostPath::parse("/var/lib/rancher/k3s").unwrap();
        let mut space = |n, free_percent, free_inodes_percent| {
            bench.host(n, |host| host.health.space = vec![DiskSpace { path: data(), free_percent, free_inodes_percent }]);
        };
        space(1, 1, Some(50));
        space(2, 40, Some(0));
        space(3, 9, Some(2));
        space(4, 10, None);
        bench.check(
            evaluate,
            "n1: hold disk-full waiting\nn2: hold disk-full waiting\nn3: pass\nn4: pass\n\
             note: on n3, 9 % of the space and 2 % of the inodes of /var/lib/rancher/k3s is free",
        );
        assert!(text(&bench, 1).starts_with("on n1, 1 % of the space of /var/lib/rancher/k3s is free -> on n1: "));
        assert!(text(&bench, 2).starts_with("on n2, 0 % of the inodes of /var/lib/rancher/k3s is free -> on n2: "));
    }

    #[test]
    fn a_mount_is_waited_for_while_its_host_is_young_and_a_unit_always() {
        let mut bench = bench(2);
        bench.host(1, |host| {
            host.uptime = bench_grace() - Duration::from_secs(1);
            host.health.missing_mounts = vec![HostPath::parse("/data").unwrap()];
        });
        bench.host(2, |host| host.health.missing_units = vec![UnitName::parse("iscsid").unwrap()]);
        bench.check(evaluate, "n1: hold mount-missing waiting\nn2: hold unit-down waiting");
        bench.host(1, |host| host.uptime = bench_grace());
        bench.check(evaluate, "n1: hold mount-missing person\nn2: hold unit-down waiting");
    }

    fn bench_grace() -> Duration {
        Bench::new(1).spec.unit_grace
    }

    #[test]
    fn the_gravest_finding_is_the_reason_and_the_others_are_told() {
        let mut bench = bench(1);
        bench.servers(1);
        bench.host(1, |host| {
            host.health.root_read_only = true;
            host.health.missing_units = vec![UnitName::parse("iscsid").unwrap()];
            host.clock_skew_millis = -90_000;
        });
        bench.check(evaluate, "n1: hold root-read-only person");
        let text = text(&bench, 1);
        assert!(
            text.starts_with(
                "the root file system of n1 is read-only; not active on n1: iscsid; the clock of n1 is 90.0 s behind ours"
            ),
            "{text}"
        );
    }

    #[test]
    fn strict_time_holds_every_clock_and_servers_bear_less_than_workers() {
        let mut bench = bench(3);
        for n in [1, 2] {
            bench.host(n, |host| host.clock_skew_millis = 3_000);
        }
        bench.check(evaluate, "n1: hold clocks-apart waiting\nn2: pass\nn3: pass");
        bench.host(2, |host| host.clock_skew_millis = -5_001);
        bench.host(3, |host| host.health.clock_synced = Some(false));
        bench.check(evaluate, "n1: hold clocks-apart waiting\nn2: hold clocks-apart waiting\nn3: hold clock-not-synced waiting");
        bench.host(3, |host| host.health.clock_synced = None);
        assert_eq!(text(&bench, 3), "clock in step, its source unknown, root writable, all that it needs is there");
    }

    #[test]
    fn a_quorum_of_clocks_lets_the_others_be_told_only() {
        let mut bench = bench(4);
        bench.servers(3);
        bench.spec.time_sync = TimeSync::Quorum(2);
        bench.host(3, |host| host.clock_skew_millis = 60_000);
        bench.host(4, |host| host.clock_skew_millis = 60_000);
        bench.check(
            evaluate,
            "n1: pass\nn2: pass\nn3: pass\nn4: pass\n\
             note: the clock of n3 is 60.0 s ahead of ours; 2 servers are in step, 2 are wanted\n\
             note: the clock of n4 is 60.0 s ahead of ours; 2 servers are in step, 2 are wanted",
        );
        bench.host(2, |host| host.health.clock_synced = Some(false));
        bench.check(
            evaluate,
            "n1: pass\nn2: hold clock-not-synced waiting\nn3: hold clocks-apart waiting\nn4: pass\n\
             note: the clock of n4 is 60.0 s ahead of ours; 1 servers are in step, 2 are wanted",
        );
    }

    #[test]
    fn when_the_hosts_agree_with_each_other_it_is_our_own_clock_that_is_wrong() {
        let mut bench = bench(4);
        for (n, skew) in [(1, -60_000), (2, -60_300), (3, -59_900), (4, 0)] {
            bench.host(n, |host| host.clock_skew_millis = skew);
        }
        bench.check(evaluate, "ananke: hold clocks-apart waiting\nn1: pass\nn2: pass\nn3: pass\nn4: hold clocks-apart waiting");
        bench.obs.hosts.remove(&node(3));
        bench.check(
            evaluate,
            "n1: hold clocks-apart waiting\nn2: hold clocks-apart waiting\nn3: hold host-unreachable follows n3\nn4: pass",
        );
    }

    #[test]
    fn an_impossible_clock_is_only_wrong() {
        let mut bench = bench(3);
        bench.host(1, |host| host.clock_skew_millis = i64::MIN);
        bench.host(2, |host| host.clock_skew_millis = i64::MAX);
        bench.check(evaluate, "n1: hold clocks-apart waiting\nn2: hold clocks-apart waiting\nn3: pass");
    }

    #[test]
    fn our_own_clock_is_wrong_only_against_more_than_half_of_the_hosts() {
        let ours = |skews: &[i64]| {
            let mut bench = bench(skews.len());
            for (n, skew) in (1..).zip(skews) {
                bench.host(n, |host| host.clock_skew_millis = *skew);
            }
            evaluate(&bench.view()).subjects.contains_key(&Subject::Ananke)
        };
        assert!(ours(&[0, 0, 60_000, 60_000, 60_000]));
        assert!(!ours(&[0, 0, 0, 60_000, 60_000, 60_000]));
    }
}
