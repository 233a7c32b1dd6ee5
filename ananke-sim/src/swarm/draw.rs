//! A story from a seed alone. Each run has kinds of trouble of its own, and some have much of it: what never meets in an
//! average run does in one that has little else.

use super::story::{Act, Step, Story};
use crate::fault::Fault;
use crate::rng::Rng;

/// How many in a hundred begin like this.
const SCENARIOS: &[(i64, &str)] =
    &[(70, "power-loss"), (12, "after-shutdown"), (8, "healthy"), (5, "git-outside"), (3, "circle"), (2, "circle-cold")];
/// In a hundred, and how many nodes at most.
const SIZES: &[(i64, i64)] = &[(55, 6), (33, 14), (10, 40), (2, 200)];
/// What people suspend, scale and make anew.
const KUSTOMIZATIONS: &[&str] = &["media", "home", "office", "dashboards", "monitoring"];
const WORKLOADS: &[&str] =
    &["media/jellyseerr", "office/wallabag", "dashboards/uptime-kuma", "velero/velero", "cert-manager/cert-manager"];
/// What a cluster gets out of only with what was kept for it: the scenarios of the circle have that.
const OF_THE_CIRCLE: &[Fault] = &[Fault::GitPruned, Fault::ImagesLost];
/// Trouble comes within these seconds, and a while after them it is calm.
const TROUBLED: i64 = 20 * 60;

struct Dice {
    rng: Rng,
}

impl Dice {
    fn between(&self, label: &str, nth: u64, low: i64, high: i64) -> i64 {
        self.rng.between(label, 0, nth, low, high)
    }

    fn count(&self, label: &str, nth: u64, low: i64, high: i64) -> u64 {
        u64::try_from(self.between(label, nth, low, high)).unwrap_or(0)
    }

    fn chance(&self, label: &str, nth: u64, in_hundred: i64) -> bool {
        self.between(label, nth, 0, 99) < in_hundred
    }

    fn one_of<'a, T>(&self, label: &str, nth: u64, from: &'a [T]) -> Option<&'a T> {
        from.get(usize::try_from(self.between(label, nth, 0, i64::try_from(from.len()).ok()? - 1)).ok()?)
    }

    /// By weights that come to a hundred.
    fn weighed<T: Copy>(&self, label: &str, from: &[(i64, T)]) -> Option<T> {
        let mut left = self.between(label, 0, 0, 99);
        for (weight, value) in from {
            left -= weight;
            if left < 0 {
                return Some(*value);
            }
        }
        None
    }
}

/// The story of `seed`.
pub fn draw(seed: u64) -> Story {
    let dice = Dice { rng: Rng::new(seed) };
    let most = dice.weighed("size", SIZES).unwrap_or(6);
    let nodes = usize::try_from(dice.between("nodes", 0, 1, most)).unwrap_or(1);
    let servers = match (nodes, dice.between("servers", 0, 0, 9)) {
        (5.., 0..=2) => 5,
        (3.., 0..=8) => 3,
        (0.., _) => 1,
    };
    let mut steps = Vec::new();
    let scenario = dice.weighed("scenario", SCENARIOS).unwrap_or("power-loss");
    faults(&dice, (nodes, servers), scenario == "power-loss", &mut steps);
    people(&dice, nodes, &mut steps);
    ananke(&dice, &mut steps);
    power(&dice, &mut steps);
    let last = steps.iter().map(|step: &Step| step.at + step.act.lasts()).max().unwrap_or(0);
    let calm = last + dice.count("calm", 0, 60, 600);
    Story { seed, scenario: scenario.to_owned(), nodes, servers, steps, calm }.tidy()
}

fn at(dice: &Dice, label: &str, nth: u64) -> u64 {
    dice.count(label, nth, 1, TROUBLED)
}

/// A subset of the kinds, so often as this run is bad. One host has one of its own, and a quorum of servers has none that
/// only a person ends.
fn faults(dice: &Dice, (nodes, servers): (usize, usize), outage: bool, steps: &mut Vec<Step>) {
    let share = dice.weighed("share", &[(20, 0), (30, 5), (30, 12), (20, 30)]).unwrap_or(5);
    let fits = |fault: &Fault| !OF_THE_CIRCLE.contains(fault) && (outage || !is_left_by_an_outage(*fault));
    let drawn = |fault: &&Fault| fits(fault) && dice.chance(fault.id(), 0, share);
    let kinds: Vec<Fault> = Fault::ALL.iter().filter(drawn).copied().collect();
    let most = i64::try_from(2 + nodes / 10).unwrap_or(2);
    let mut hit = std::collections::BTreeSet::new();
    for nth in 0..dice.count("faults", 0, 0, most) {
        let Some(fault) = dice.one_of("fault", nth, &kinds).copied() else { return };
        let node = if fault.needs_node() {
            let lost_servers = hit.iter().filter(|node| **node <= servers).count();
            let last = if fault.needs_server() { servers } else { nodes };
            let first = if lost_servers < servers.saturating_sub(1) / 2 { 1 } else { servers + 1 };
            let (first, last) = (i64::try_from(first).unwrap_or(1), i64::try_from(last).unwrap_or(1));
            match usize::try_from(dice.between("fault-node", nth, first, last)) {
                Ok(node) if first <= last && hit.insert(node) => Some(node),
                Ok(_) | Err(_) => continue,
            }
        } else {
            None
        };
        let lasts = fault.of_the_api().map(|_| dice.count("lasts", nth, 2, 240));
        let late = lasts.is_some() || fault.needs_node() && !is_left_by_an_outage(fault) && dice.chance("late", nth, 40);
        let when = if late { at(dice, "fault-at", nth) } else { 0 };
        steps.push(Step { at: when, act: Act::Fault { fault, node, lasts } });
    }
}

/// What an outage leaves behind: Ananke mends it only where there was one, and nothing in a running cluster leads to it.
fn is_left_by_an_outage(fault: Fault) -> bool {
    matches!(fault, Fault::Pod(_) | Fault::Cluster(_) | Fault::Site(_) | Fault::CsiNotRegistered)
}

fn people(dice: &Dice, nodes: usize, steps: &mut Vec<Step>) {
    let busy = dice.weighed("busy", &[(50, 0), (30, 2), (20, 6)]).unwrap_or(0);
    for nth in 0..dice.count("people", 0, 0, busy) {
        let when = at(dice, "person-at", nth);
        let later = when + dice.count("person-later", nth, 10, 600);
        let undone = dice.chance("person-undoes", nth, 50);
        let node = usize::try_from(dice.between("person-node", nth, 1, i64::try_from(nodes).unwrap_or(1))).unwrap_or(1);
        let kustomization = || dice.one_of("person-kustomization", nth, KUSTOMIZATIONS).map_or("", |name| name).to_owned();
        let workload = || dice.one_of("person-workload", nth, WORKLOADS).map_or("", |name| name).to_owned();
        let mut does = |at, act| steps.push(Step { at, act });
        match dice.between("person", nth, 0, 5) {
            0 | 1 => {
                does(when, Act::Cordon(node));
                if undone {
                    does(later, Act::Uncordon(node));
                }
            }
            2 => {
                does(when, Act::Suspend(kustomization()));
                if undone {
                    does(later, Act::Resume(kustomization()));
                }
            }
            3 => does(when, Act::Scale(workload(), 2)),
            4 => does(when, Act::DeletePod(workload())),
            _ => does(when, Act::Reboot(node)),
        }
    }
}

/// What befalls Ananke itself.
fn ananke(dice: &Dice, steps: &mut Vec<Step>) {
    let kills = dice.weighed("kills", &[(60, 0), (25, 1), (15, 4)]).unwrap_or(0);
    for nth in 0..kills {
        steps.push(Step { at: at(dice, "kill-at", nth), act: Act::Kill(dice.count("kill", nth, 1, 90)) });
    }
    let mut perhaps = |label: &str, in_hundred, act| {
        if dice.chance(label, 0, in_hundred) {
            steps.push(Step { at: at(dice, label, 1), act });
        }
    };
    perhaps("peer", 15, Act::Peer);
    perhaps("look", 15, Act::Look);
    perhaps("disk", 10, Act::DiskFull(dice.count("disk-lasts", 0, 5, 600)));
    perhaps("clock", 10, Act::Clock(dice.between("clock-by", 0, -120, 120)));
}

fn power(dice: &Dice, steps: &mut Vec<Step>) {
    if dice.chance("outage", 0, 12) {
        steps.push(Step { at: at(dice, "outage", 1), act: Act::Outage(dice.count("outage-lasts", 0, 20, 900)) });
    }
    if dice.chance("blip", 0, 12) {
        steps.push(Step { at: at(dice, "blip", 1), act: Act::Blip(dice.count("blip-lasts", 0, 2, 120)) });
    }
}
