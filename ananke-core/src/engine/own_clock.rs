//! This machine's wall clock beside its uptime. Where it is set in the middle of a run, as after a boot without a battery
//! behind the clock, nothing has been waited for longer or shorter by that.

use super::basis::Inputs;
use super::walk::Walk;
use crate::name::Moment;
use crate::port::clock::Uptime;

/// By less, the two differ where nobody set anything: one is read after the other.
const SET_MILLIS: i64 = 2_000;

impl Walk {
    /// Takes what this machine's clocks say for the judgement at `now`.
    pub(super) fn tick(&mut self, uptime: Option<Uptime>, now: Moment) {
        let own = self.uptime.as_ref().zip(uptime.as_ref()).and_then(|(before, after)| passed(before, after));
        let set = own.map_or(0, |own| now.as_millis().saturating_sub(self.ticked.as_millis()).saturating_sub(own));
        if set.saturating_abs() >= SET_MILLIS {
            self.began = moved(self.began, set);
            self.dying = self.dying.map(|at| moved(at, set));
            self.floor.is_not_after(now);
            for gate in self.gates.values_mut() {
                gate.waits(|at| moved(at, set));
            }
            self.sightings
                .values_mut()
                .flat_map(|seen| seen.values_mut())
                .for_each(|sighting| sighting.moves(|at| moved(at, set)));
            // What was last seen when, or has not changed since. What was read since the last tick may be from before as well
            // as from after: by the new clock it is no older than that tick, and none of it lies ahead.
            let new = moved(self.ticked, set);
            let then = |at: Moment| if (new..=now).contains(&at) { at } else { moved(at, set) };
            self.obs.ups.values_mut().for_each(|ups| ups.moves(then));
            self.obs.peers.values_mut().for_each(|peer| peer.moves(then));
            self.obs.own_clock.moves(then);
            self.obs.heartbeats.values_mut().for_each(|beat| beat.moves(then));
            self.obs.unready.values_mut().for_each(|since| *since = then(*since));
            if let Some(seen) = &mut self.obs.coordination_seen {
                seen.since = then(seen.since);
            }
            self.nodes_asked = then(self.nodes_asked);
            self.news = Inputs::ALL;
        }
        (self.uptime, self.ticked) = (uptime, now);
    }
}

/// Milliseconds by the machine's own clock; none across boots.
fn passed(before: &Uptime, after: &Uptime) -> Option<i64> {
    let span = (before.boot == after.boot).then(|| after.since_boot.checked_sub(before.since_boot)).flatten()?;
    i64::try_from(span.as_millis()).ok()
}

fn moved(at: Moment, millis: i64) -> Moment {
    Moment::from_millis(at.as_millis().saturating_add(millis))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::engine::walk::Sighting;
    use crate::engine::{startup, startup_plan};
    use crate::gate::testing::{Bench, node};
    use crate::name::{BootId, ResourceVersion, Subject, UnitName};
    use crate::observation::{CoordinationState, Tri};
    use crate::order::{HostOrder, Order};
    use crate::report::{EarlierRun, GateStatus};
    use crate::verdict::{GateId, Trap};

    const HOUR: i64 = 3_600_000;

    /// A start-up whose guards wait for a peer for so many seconds, in steps of one, while the wall clock is set by `set`
    /// milliseconds after the first, or after the last in which the peer answered; what then became of them, and how long
    /// the run says that it took.
    fn guards_after(seconds: i64, answers: Option<i64>, set: i64, same_boot: bool) -> (GateStatus, u64) {
        let mut bench = Bench::new(1);
        bench.spec.peers = vec!["tethys".into()];
        bench.spec.guard_wait = Duration::from_secs(600);
        let mut walk = startup(startup_plan(), bench.spec, bench.now, None, None);
        let at = |second: i64| moved(bench.now, second * 1000 + if second > answers.unwrap_or(0) { set } else { 0 });
        for second in 0..=seconds {
            let boot = BootId::parse(if same_boot || second == 0 { "b1" } else { "b2" }).unwrap();
            let since_boot = Duration::from_secs(u64::try_from(60 + second).unwrap());
            walk.obs.intent = crate::fact::Fact::known(None, at(second));
            walk.obs.own_clock = crate::fact::Fact::known(Some(true), at(second));
            if answers.is_some_and(|last| second <= last) {
                walk.obs.peers.insert("tethys".into(), crate::fact::Fact::known(None, at(second)));
            }
            walk.tick(Some(Uptime { boot, since_boot }), at(second));
            walk.judge(at(second));
        }
        (walk.gates[&GateId::Guards].status, walk.report(at(seconds)).took.as_secs())
    }

    #[test]
    fn the_guards_wait_by_the_clock_that_nobody_sets() {
        for set in [0, 6 * HOUR, -6 * HOUR] {
            assert_eq!(guards_after(599, None, set, true), (GateStatus::Unknown, 599), "the clock was set by {set} ms");
            assert_eq!(guards_after(600, None, set, true), (GateStatus::Passed, 600), "the clock was set by {set} ms");
        }
        assert_eq!(guards_after(699, Some(100), 6 * HOUR, true).0, GateStatus::Unknown, "it answered after 100 s");
        assert_eq!(guards_after(700, Some(100), 6 * HOUR, true).0, GateStatus::Passed);
        assert_eq!(guards_after(10, None, 1_999, true), (GateStatus::Unknown, 11), "so little is left as it is");
    }

    #[test]
    fn what_was_read_since_the_last_tick_was_read_by_either_clock() {
        let boot = BootId::parse("b1").unwrap();
        for set in [6 * HOUR, -6 * HOUR] {
            for (read, is) in [(500, set + 500), (set + 500, set + 500), (-500, set - 500)] {
                let bench = Bench::new(1);
                let mut walk = startup(startup_plan(), bench.spec, bench.now, None, None);
                let tick = |second| Some(Uptime { boot: boot.clone(), since_boot: Duration::from_secs(second) });
                walk.tick(tick(60), bench.now);
                walk.obs.peers.insert("tethys".into(), crate::fact::Fact::known(None, moved(bench.now, read)));
                walk.tick(tick(61), moved(bench.now, set + 1_000));
                assert_eq!(walk.obs.peers["tethys"].seen_at(), Some(moved(bench.now, is)), "set by {set} ms, read at {read} ms");
            }
        }
    }

    #[test]
    fn what_is_silent_or_unready_is_so_for_no_longer_because_the_clock_is_set() {
        let boot = BootId::parse("b1").unwrap();
        let tick = |second| Some(Uptime { boot: boot.clone(), since_boot: Duration::from_secs(second) });
        for set in [-11 * HOUR, 11 * HOUR] {
            let mut bench = Bench::new(2);
            bench.all_up();
            let mut walk = startup(startup_plan(), bench.spec, bench.now, None, None);
            let mut nodes: Vec<_> = bench.obs.nodes.last().unwrap().as_ref().clone();
            nodes[1].ready = Tri::Unknown;
            walk.tick(tick(60), bench.now);
            walk.obs.fold_nodes(Ok(Arc::new(nodes.clone())), bench.now);
            nodes[0].renewed = nodes[0].renewed.map(|at| at.plus(Duration::from_secs(10)));
            walk.obs.fold_nodes(Ok(Arc::new(nodes)), bench.now);
            let version = ResourceVersion::parse("7").unwrap();
            let coordination = CoordinationState { version, holder: None, renewed: None, lasts: Duration::from_secs(60) };
            walk.obs.fold_coordination(Ok(Some(coordination)), bench.now);
            walk.sightings.entry(Trap::KineSqliteMalformed).or_default().insert(Subject::Cluster, Sighting::at(bench.now));
            let now = moved(bench.now, set + 1_000);
            walk.tick(tick(61), now);
            let beats = [&walk.obs.heartbeats[&node(1)], &walk.obs.heartbeats[&node(2)]];
            let since = [
                beats[0].watched_since,
                beats[0].advanced_at.unwrap(),
                beats[1].watched_since,
                walk.obs.unready[&node(2)],
                walk.obs.coordination_seen.as_ref().unwrap().since,
                walk.sightings[&Trap::KineSqliteMalformed][&Subject::Cluster].first,
            ];
            assert_eq!(since.map(|at| now.as_millis() - at.as_millis()), [1_000; 6], "the clock was set by {set} ms");
            assert_eq!(beats[0].advanced_by_wall, Some(bench.now), "a person confirmed by the clock of then");
        }
    }

    #[test]
    fn what_a_run_did_stays_spent_where_the_clock_is_set() {
        for set in [-6 * HOUR, 6 * HOUR] {
            let mut bench = Bench::new(1);
            bench.all_up();
            let mut walk = startup(startup_plan(), bench.spec, bench.now, None, None);
            let (run, now) = (walk.run.clone(), bench.now);
            walk.earlier.push(EarlierRun { run, started: now, last_seen: now, gates_passed: Vec::new(), actions: Vec::new() });
            let order = Order::Host { node: node(1), order: HostOrder::Start(UnitName::parse("k3s").unwrap()) };
            for second in 0..=2 {
                let at = moved(now, second * 1000 + if second > 0 { set } else { 0 });
                let since_boot = Duration::from_secs(u64::try_from(60 + second).unwrap());
                walk.tick(Some(Uptime { boot: BootId::parse("b1").unwrap(), since_boot }), at);
                walk.judge(at);
                walk.history.sent(&order, at);
                walk.history.answered(&order, None);
            }
            walk.judge(moved(now, set + 3000));
            assert_eq!(walk.history.tries(order.verb(), &order.subject()).count, 3, "the clock was set by {set} ms");
        }
    }

    #[test]
    fn where_the_uptimes_are_of_two_boots_only_wall_time_counts() {
        assert_eq!(guards_after(1, None, 6 * HOUR, false).1, 6 * 3600 + 1);
    }
}
