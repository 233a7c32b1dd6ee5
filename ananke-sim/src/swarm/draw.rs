//! A story from a seed alone. Each run has kinds of trouble of its own, and some have much of it: what never meets in an
//! average run does in one that has little else.

use super::gear::Gear;
use super::story::{Act, Step, Story};
use crate::fault::Fault;
use crate::rng::Rng;
use crate::world::{ClusterTrouble, Graph, PodTrouble, Quirk};

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
/// How many seconds a clock that was lost is off.
const LOST_CLOCKS: &[i64] = &[-7200, 7200, -1_773_453_960, -40_000_000, 31_536_000];
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
    let servers = match (nodes, dice.between("servers", 0, 0, 19)) {
        (5.., 0..=4) => 5,
        (4.., 5) => 4,
        (2.., 6) => 2,
        (3.., 0..=17) => 3,
        (0.., _) => 1,
    };
    let mut steps = Vec::new();
    let scenario = dice.weighed("scenario", SCENARIOS).unwrap_or("power-loss");
    faults(&dice, (nodes, servers), scenario == "power-loss", &mut steps);
    people(&dice, nodes, &mut steps);
    ananke(&dice, &mut steps);
    power(&dice, &mut steps);
    let gear = gear(&dice, scenario, &steps);
    shutdowns(&dice, &mut steps);
    if gear.contains(&Gear::Daemon) {
        batteries(&dice, &mut steps);
    }
    afterwards(&dice, &mut steps);
    without_known(scenario, &mut steps);
    let last = steps.iter().map(|step: &Step| step.at + step.act.lasts()).max().unwrap_or(0);
    let calm = last + dice.count("calm", 0, 60, 600);
    Story { seed, scenario: scenario.to_owned(), nodes, servers, gear, steps, calm }.tidy()
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
            let spares = lost_servers < servers.saturating_sub(1) / 2 && !fault.needs_worker();
            let first = if spares { 1 } else { servers + 1 };
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

/// What is known to end badly together, and is not mended yet: a campaign would find it again and again. Whoever mends one
/// takes it out of here.
fn without_known(scenario: &str, steps: &mut Vec<Step>) {
    // The drain of a shutdown takes the last copy of a database as well, and the world holds every such deletion to be harm.
    if steps.iter().any(|step| matches!(step.act, Act::Shutdown(_) | Act::Blip(_))) {
        without(steps, |fault| fault == Fault::Pod(PodTrouble::LostReplicas));
    }
    // Images are loaded on hosts that answer: what is placed on another waits, and what truly can be had is not known then.
    if scenario == "circle-cold" {
        without(steps, Fault::needs_node);
    }
}

fn without(steps: &mut Vec<Step>, known: impl Fn(Fault) -> bool) {
    steps.retain(|step| !step.act.fault().is_some_and(&known));
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
    if dice.chance("clock-lost", 0, 4) {
        // Hours, or as long as it takes back to 1970 or to the day of its firmware, until a time source answers.
        let by = dice.one_of("clock-lost-by", 0, LOST_CLOCKS).copied().unwrap_or(-3600);
        let (from, lasts) = (at(dice, "clock-lost", 1), dice.count("clock-lost-lasts", 0, 20, 540));
        steps.extend([Step { at: from, act: Act::Clock(by) }, Step { at: from + lasts, act: Act::Clock(-by) }]);
    }
}

/// What the site has beside the usual, and lacks.
fn gear(dice: &Dice, scenario: &str, steps: &[Step]) -> Vec<Gear> {
    let has = |fault| steps.iter().any(|step| step.act.fault() == Some(fault));
    let wrong_branch = if has(Fault::WrongBranch) { 50 } else { 3 };
    let locked = if has(Fault::VaultSealed) { 30 } else { 3 };
    // What was kept for a cluster is what it gets out of the circle with.
    let kept = if scenario.starts_with("circle") { 0 } else { 4 };
    let chances = [
        (Gear::Daemon, 18),
        (Gear::PowersOff, 15),
        (Gear::Mirror, 25),
        (Gear::ForcesBranch, wrong_branch),
        (Gear::NoWake, 8),
        (Gear::NoKeys, locked),
        (Gear::NoLayers, kept),
        (Gear::NoArchives, kept),
        (Gear::SmallBatteries, 15),
        (Gear::Hands, 50),
    ];
    let drawn = |(gear, in_hundred): &(Gear, i64)| dice.chance(gear.id(), 0, *in_hundred).then_some(*gear);
    let graph = dice.weighed("graph", &[(79, None), (7, Some(Graph::Chain)), (7, Some(Graph::Fan)), (7, Some(Graph::Diamonds))]);
    chances.iter().filter_map(drawn).chain(graph.flatten().map(Gear::Graph)).collect()
}

/// A person stops the cluster, and perhaps mains go while it is stopped, or after.
fn shutdowns(dice: &Dice, steps: &mut Vec<Step>) {
    if !dice.chance("shutdown", 0, 14) {
        return;
    }
    let (from, lasts) = (at(dice, "shutdown", 1), dice.count("shutdown-lasts", 0, 30, 1500));
    steps.push(Step { at: from, act: Act::Shutdown(lasts) });
    let after = from + dice.count("shutdown-then", 0, 5, 600);
    match dice.between("shutdown-then", 1, 0, 9) {
        0..=2 => steps.push(Step { at: after, act: Act::Outage(dice.count("shutdown-then", 2, 20, 900)) }),
        3 => steps.push(Step { at: after, act: Act::Kill(dice.count("shutdown-then", 2, 1, 90)) }),
        4 => steps.push(Step { at: after, act: Act::Shutdown(dice.count("shutdown-then", 2, 30, 600)) }),
        _ => {}
    }
}

/// What batteries and upsds do where a daemon watches them.
fn batteries(dice: &Dice, steps: &mut Vec<Step>) {
    for nth in 0..dice.count("blips", 0, 1, 4) {
        let lasts = match dice.between("blips-kind", nth, 0, 3) {
            0 | 1 => dice.count("blips-last", nth, 2, 20),
            2 => dice.count("blips-last", nth, 60, 420),
            _ => dice.count("blips-last", nth, 420, 1500),
        };
        steps.push(Step { at: at(dice, "blips-at", nth), act: Act::Blip(lasts) });
    }
    for nth in 0..dice.count("quirks", 0, 0, 2) {
        let quirks = [Quirk::Silent, Quirk::Low, Quirk::Tests, Quirk::Calibrates];
        let quirk = dice.one_of("quirk", nth, &quirks).copied().unwrap_or(Quirk::Tests);
        steps.push(Step { at: at(dice, "quirk-at", nth), act: Act::Ups(quirk, dice.count("quirk-lasts", nth, 5, 400)) });
    }
}

/// What people do later about a node that has trouble.
fn afterwards(dice: &Dice, steps: &mut Vec<Step>) {
    let mut more = Vec::new();
    for (nth, step) in (0..).zip(steps.iter()) {
        let Act::Fault { fault, node: Some(node), .. } = step.act else { continue };
        let dark = matches!(fault, Fault::NeverBoots | Fault::Cluster(ClusterTrouble::StaleAttachment));
        if dark && dice.chance("confirms", nth, 60) {
            more.push(Step { at: step.at + dice.count("confirms-after", nth, 60, 1200), act: Act::ConfirmOff(node) });
        }
        if fault == Fault::NodeNeverReady && dice.chance("lifts", nth, 60) {
            more.push(Step { at: step.at + dice.count("lifts-after", nth, 900, 3000), act: Act::Lift(node) });
        }
    }
    steps.extend(more);
}

fn power(dice: &Dice, steps: &mut Vec<Step>) {
    if dice.chance("outage", 0, 12) {
        steps.push(Step { at: at(dice, "outage", 1), act: Act::Outage(dice.count("outage-lasts", 0, 20, 900)) });
    }
    if dice.chance("blip", 0, 12) {
        steps.push(Step { at: at(dice, "blip", 1), act: Act::Blip(dice.count("blip-lasts", 0, 2, 120)) });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// As a campaign counts them: what is never drawn can never fire.
    #[test]
    fn every_kind_of_trouble_and_all_that_a_site_can_have_is_drawn() {
        let (mut faults, mut gear, mut words) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut sizes, mut servers) = (BTreeSet::new(), BTreeSet::new());
        for seed in 0..4000 {
            let story = draw(seed);
            faults.extend(story.steps.iter().filter_map(|step| step.act.fault()));
            let word = |step: &Step| step.act.to_string().split(' ').take(2).collect::<Vec<_>>().join(" ");
            words.extend(story.steps.iter().map(word).filter(|word| !word.starts_with("fault")));
            gear.extend(story.gear);
            sizes.insert(story.nodes);
            servers.insert(story.servers);
        }
        let never: Vec<&Fault> = Fault::ALL.iter().filter(|fault| !faults.contains(fault)).collect();
        assert_eq!(never, OF_THE_CIRCLE.iter().collect::<Vec<_>>(), "their scenarios begin with them");
        assert_eq!(gear, Gear::ALL.iter().copied().collect());
        for act in ["outage", "blip", "kill", "peer", "look", "disk-full", "shutdown", "lift", "confirm-off", "reboot", "resume"]
        {
            assert!(words.iter().any(|word| word.starts_with(act)), "{act}: {words:?}");
        }
        for quirk in ["silent", "low", "tests", "calibrates"] {
            assert!(words.contains(format!("ups {quirk}").as_str()), "{quirk}");
        }
        assert_eq!(servers, (1..=5).collect());
        assert!(sizes.contains(&1) && sizes.last().is_some_and(|most| *most > 150), "{sizes:?}");
    }
}
