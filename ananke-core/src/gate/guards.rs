//! Gate `guards`: may Ananke start the cluster at all, and now?

use std::sync::Arc;

use crate::engine::view::View;
use crate::fact::{Fact, Gap};
use crate::intent::IntentState;
use crate::name::{Moment, Subject, human};
use crate::observation::UpsReading;
use crate::port::clean;
use crate::power::{Supply, UNLATCH, UpsSpec, Word};
use crate::spec::Role;
use crate::verdict::{Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let own = match own(view) {
        Verdict::Pass(evidence) => own_clock(view, evidence, &mut judgement.notes),
        refused @ (Verdict::Hold(_) | Verdict::Unknown(_)) => refused,
    };
    judgement.set(Subject::Ananke, own);
    for peer in &view.spec.peers {
        judgement.set(Subject::Peer(peer.clone()), judge_peer(view, peer));
    }
    for UpsSpec { name, .. } in &view.spec.power.upses {
        judgement.set(Subject::Ups(name.clone()), power(view, name));
    }
    if view.spec.power.upses.is_empty() {
        judgement.notes.push("no UPS is configured: power is not checked".to_owned());
    }
    judgement
}

/// What a person does about an intent that cannot be read: the adapter knows best why it cannot.
fn readable_again(view: &View<'_>) -> String {
    let remedy = view.intent_fact().newest_failure().and_then(|error| error.remedy.clone());
    remedy.unwrap_or_else(|| "look at intent.json in the state directory; `ananke intent clear` sets it aside".to_owned())
}

fn own(view: &View<'_>) -> Verdict {
    if view.spec.role == (Role::Peer { allow_startup: false }) {
        return Verdict::person(
            Reason::RoleIsPeer,
            format!("{} is configured as a peer, and the coordinator starts the cluster", view.spec.holder),
            "run this on the coordinator, or pass --allow-peer-startup if the coordinator is dead",
        );
    }
    let intent = match view.intent_fact().fresh(view.now, std::time::Duration::MAX) {
        Ok(intent) => intent,
        Err(gap) => return Verdict::unknown(gap, readable_again(view)),
    };
    // An intent that can no longer be read may say anything by now.
    if let Some(error) = view.intent_fact().newest_failure() {
        let gap = Gap { error: Some(error.clone()), at: None, text: error.to_string() };
        return Verdict::unknown(gap, readable_again(view));
    }
    match intent {
        Some(intent) if view.by_power && intent.died_before(view.started) => {
            Verdict::pass(format!("{} died, and the power is back that it was for", intent.run))
        }
        Some(intent) if intent.state == IntentState::ShuttingDown && intent.run != *view.run => {
            let age = view.now.since(intent.at);
            if age > view.spec.intent_max_age {
                return Verdict::pass(format!(
                    "the shutdown intent of {} is {} old and no longer counts",
                    intent.run,
                    human(age)
                ));
            }
            let whose = intent.of.as_ref().map(|host| format!(" of the Ananke on {host}")).unwrap_or_default();
            Verdict::person(
                Reason::ShutdownIntent,
                format!("a shutdown{whose} is in progress since {}: {} ({})", intent.at, intent.reason, intent.run),
                "let that shutdown finish, or run `ananke intent clear` if it is dead and the cluster shall start",
            )
        }
        Some(_) | None => Verdict::pass("no shutdown is in progress"),
    }
}

/// Deadlines, leases and the age of every proof are counted by this machine's clock.
fn own_clock(view: &View<'_>, evidence: std::borrow::Cow<'static, str>, notes: &mut Vec<String>) -> Verdict {
    let holder = &view.spec.holder;
    let look = || format!("look at `timedatectl` on {holder}, and give it a time source that does not need the cluster");
    match view.own_clock() {
        Ok(Some(true)) => Verdict::pass(format!("{evidence}; the clock of {holder} is in sync")),
        Ok(Some(false)) => match waited(view) {
            Some(waited) => Verdict::pass(format!("{evidence}; the clock of {holder} is not in sync after {waited}, going on")),
            None => Verdict::waiting(Reason::ClockNotSynced, format!("the clock of {holder} follows no time source yet"), look()),
        },
        Ok(None) => {
            notes.push(format!("nothing on {holder} tells whether its clock is in sync"));
            Verdict::pass(evidence)
        }
        Err(gap) => match silent(view, view.own_clock_fact().seen_at()) {
            Some(waited) => Verdict::pass(format!("{evidence}; its own clock could not be judged for {waited}: {}", gap.text)),
            None => Verdict::unknown(gap, look()),
        },
    }
}

/// What another Ananke of this cluster was told.
fn judge_peer(view: &View<'_>, peer: &Arc<str>) -> Verdict {
    match view.peer(peer) {
        Ok(Some(intent)) if intent.state == IntentState::ShuttingDown => {
            let age = view.now.since(intent.at);
            if age > view.spec.intent_max_age {
                let (run, age) = (&intent.run, human(age));
                return Verdict::pass(format!("the shutdown intent of {run} on {peer} is {age} old and no longer counts"));
            }
            Verdict::person(
                Reason::PeerShutsDown,
                format!("{peer} shuts the cluster down since {}: {} ({})", intent.at, clean(&intent.reason, 200), intent.run),
                format!(
                    "let that shutdown finish, or run `ananke intent clear` on {peer} if it is dead and the cluster shall start"
                ),
            )
        }
        Ok(Some(_) | None) => Verdict::pass(format!("no shutdown is in progress on {peer}")),
        // A peer that is away is normal just after an outage, as a upsd is.
        Err(gap) => match silent(view, view.peer_fact(peer).and_then(Fact::seen_at)) {
            Some(waited) => Verdict::pass(format!("{peer} did not answer for {waited}, going on without it: {}", gap.text)),
            None => {
                let remedy = gap.error.as_ref().and_then(|error| error.remedy.clone());
                Verdict::unknown(
                    gap,
                    remedy.unwrap_or_else(|| format!("bring {peer} up, or take it out of coordination.peer_hosts")),
                )
            }
        },
    }
}

/// How long the guards have waited, once that is longer than anything they wait for may keep the cluster down.
fn waited(view: &View<'_>) -> Option<String> {
    waited_since(view, view.began)
}

/// The same for what does not answer, since it last did: a upsd that falls silent while the run goes on may have done so
/// because mains went.
fn silent(view: &View<'_>, seen: Option<Moment>) -> Option<String> {
    let since = seen.filter(|at| *at <= view.now).map_or(view.began, |at| at.max(view.began));
    waited_since(view, since)
}

fn waited_since(view: &View<'_>, since: Moment) -> Option<String> {
    view.has_passed(view.spec.guard_wait, since).then(|| human(view.now.since(since)))
}

fn power(view: &View<'_>, ups: &Arc<str>) -> Verdict {
    match view.ups(ups) {
        Ok(reading) => judge_reading(view, ups, reading),
        // A upsd that is away is normal just after an outage: it must not keep the cluster down for ever.
        Err(gap) => match silent(view, view.ups_fact(ups).and_then(Fact::seen_at)) {
            Some(waited) => Verdict::pass(format!("no reading for {waited}, going on without it: {}", gap.text)),
            None => Verdict::unknown(gap, format!("check upsd and the cable of {ups}")),
        },
    }
}

fn judge_reading(view: &View<'_>, ups: &str, reading: &UpsReading) -> Verdict {
    // As the policy of power has it: mains go through a bypass too. A calibration is on line where it says so.
    let on_line = match reading.supply() {
        Supply::Line => true,
        Supply::Calibration => reading.has(Word::OnLine),
        Supply::Battery | Supply::Unclear => false,
    };
    let status = reading.status.join(" ");
    if view.spec.allow_on_battery {
        return Verdict::pass(format!("{status}, accepted by --allow-on-battery"));
    }
    if reading.has(Word::ForcedShutdown) {
        return Verdict::waiting(
            Reason::OnBattery,
            format!("{ups} says {status}: it was told to switch off (FSD)"),
            format!("once mains are back for good, {UNLATCH}, or pass --allow-on-battery"),
        );
    }
    if !on_line {
        return Verdict::waiting(
            Reason::OnBattery,
            format!("{ups} says {status}, not on line"),
            format!("restore mains at {ups}, or pass --allow-on-battery if it cannot be measured"),
        );
    }
    match reading.charge_percent {
        Some(charge) if charge < view.spec.minimum_charge_percent && waited(view).is_none() => Verdict::waiting(
            Reason::ChargeLow,
            format!("{ups} is charged {charge} %, {} % are wanted", view.spec.minimum_charge_percent),
            format!("wait for {ups} to charge, or pass --allow-on-battery"),
        ),
        Some(charge) => Verdict::pass(format!("{status}, {charge} %")),
        None => Verdict::pass(format!("{status}, charge not reported")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gate::testing::Bench;
    use crate::intent::Intent;
    use crate::name::RunId;
    use crate::port::{ErrorKind, PortError};
    use crate::verdict::GateId;

    const NO_UPS: &str = "note: no UPS is configured: power is not checked";

    fn bench() -> Bench {
        let mut bench = Bench::new(3);
        bench.obs.own_clock = Fact::known(Some(true), bench.now);
        bench
    }

    fn shutting_down(bench: &Bench) -> Intent {
        Intent {
            state: IntentState::ShuttingDown,
            run: RunId::parse("shutdown-1").unwrap(),
            at: bench.now,
            reason: "battery".to_owned(),
            by_power: false,
            of: None,
        }
    }

    #[test]
    fn whoever_is_to_be_waited_for_longer_than_usual_is() {
        let mut bench = Bench::new(1);
        let (usual, long) = (Duration::from_secs(600), Duration::from_secs(1800));
        bench.spec.guard_wait = Duration::ZERO;
        assert_eq!(bench.spec.deadline(GateId::Guards), usual);
        bench.spec.guard_wait = long;
        assert_eq!(bench.spec.deadline(GateId::Guards), long, "the run would end while a upsd is still waited for");
    }

    #[test]
    fn a_shutdown_in_progress_refuses_and_a_stale_one_does_not() {
        let mut bench = bench();
        bench.obs.intent = Fact::known(Some(shutting_down(&bench)), bench.now);
        bench.check(evaluate, &format!("ananke: hold shutdown-intent person\n{NO_UPS}"));
        bench.now = bench.now.plus(bench.spec.intent_max_age).plus(Duration::from_secs(1));
        bench.check(evaluate, &format!("ananke: pass\n{NO_UPS}"));
    }

    #[test]
    fn an_unreadable_intent_is_unknown_and_never_a_go() {
        let mut bench = bench();
        bench.check(evaluate, &format!("ananke: unknown\n{NO_UPS}"));
        let told = |bench: &Bench| match evaluate(&bench.view()).subjects.remove(&Subject::Ananke) {
            Some(Verdict::Unknown(unknown)) => unknown.if_it_lasts,
            other => panic!("{other:?}"),
        };
        assert_eq!(told(&bench), "look at intent.json in the state directory; `ananke intent clear` sets it aside");
        let error = PortError::new(ErrorKind::Invalid, "read", "intent.json", "torn").with_remedy("restore it");
        bench.obs.intent = Fact::known(None, bench.now);
        bench.obs.intent.fold(Err(error), bench.now);
        assert_eq!(told(&bench), "restore it");
    }

    #[test]
    fn a_clock_out_of_sync_holds_only_for_a_while_and_a_silent_one_is_noted() {
        let mut bench = bench();
        bench.obs.intent = Fact::known(None, bench.now);
        bench.obs.own_clock = Fact::default();
        bench.check(evaluate, &format!("ananke: unknown\n{NO_UPS}"));
        bench.obs.own_clock = Fact::known(Some(false), bench.now);
        bench.check(evaluate, &format!("ananke: hold clock-not-synced waiting\n{NO_UPS}"));
        bench.obs.own_clock = Fact::known(None, bench.now);
        let holder = &bench.spec.holder;
        let silent = format!("note: nothing on {holder} tells whether its clock is in sync");
        bench.check(evaluate, &format!("ananke: pass\n{silent}\n{NO_UPS}"));
        bench.now = bench.now.plus(bench.spec.guard_wait);
        bench.obs.own_clock = Fact::known(Some(false), bench.now);
        bench.check(evaluate, &format!("ananke: pass\n{NO_UPS}"));
        bench.obs.own_clock = Fact::default();
        bench.check(evaluate, &format!("ananke: pass\n{NO_UPS}"));
    }

    #[test]
    fn a_clock_never_hides_what_refuses_to_start() {
        let mut bench = bench();
        bench.obs.own_clock = Fact::known(Some(false), bench.now);
        bench.spec.role = Role::Peer { allow_startup: false };
        bench.check(evaluate, &format!("ananke: hold role-is-peer person\n{NO_UPS}"));
    }

    #[test]
    fn a_peer_that_shuts_down_refuses_and_a_silent_one_holds_only_for_a_while() {
        let mut bench = bench();
        bench.obs.intent = Fact::known(None, bench.now);
        let peer: Arc<str> = "tethys".into();
        bench.spec.peers = vec![peer.clone()];
        bench.check(evaluate, &format!("ananke: pass\npeer tethys: unknown\n{NO_UPS}"));
        bench.obs.peers.insert(peer.clone(), Fact::known(None, bench.now));
        bench.check(evaluate, &format!("ananke: pass\npeer tethys: pass\n{NO_UPS}"));
        let intent = shutting_down(&bench);
        bench.obs.peers.insert(peer.clone(), Fact::known(Some(intent.clone()), bench.now));
        bench.check(evaluate, &format!("ananke: pass\npeer tethys: hold peer-shuts-down person\n{NO_UPS}"));
        let done = Intent { state: IntentState::ShutdownComplete, ..intent.clone() };
        bench.obs.peers.insert(peer.clone(), Fact::known(Some(done), bench.now));
        bench.check(evaluate, &format!("ananke: pass\npeer tethys: pass\n{NO_UPS}"));
        let stale = Intent { at: bench.now.minus(bench.spec.intent_max_age + Duration::from_secs(1)), ..intent };
        bench.obs.peers.insert(peer, Fact::known(Some(stale), bench.now));
        bench.check(evaluate, &format!("ananke: pass\npeer tethys: pass\n{NO_UPS}"));
        bench.obs.peers.clear();
        bench.now = bench.now.plus(bench.spec.guard_wait);
        bench.obs.own_clock = Fact::known(Some(true), bench.now);
        bench.check(evaluate, &format!("ananke: pass\npeer tethys: pass\n{NO_UPS}"));
    }

    #[test]
    fn a_ups_on_battery_holds_and_a_silent_one_only_for_a_while() {
        let mut bench = bench();
        bench.obs.intent = Fact::known(None, bench.now);
        let ups: Arc<str> = "rack@titan-db".into();
        bench.spec.power.upses = vec![UpsSpec::feeding_all(ups.clone())];
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: unknown");
        let reading = |status: &str, charge| UpsReading {
            status: status.split(' ').map(Into::into).collect(),
            charge_percent: charge,
            runtime: None,
        };
        bench.obs.ups.insert(ups.clone(), Fact::known(reading("OB DISCHRG", Some(80)), bench.now));
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: hold on-battery waiting");
        bench.obs.ups.insert(ups.clone(), Fact::known(reading("OL CHRG", Some(10)), bench.now));
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: hold charge-low waiting");
        bench.obs.ups.clear();
        bench.now = bench.now.plus(bench.spec.guard_wait);
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: pass");
    }

    #[test]
    fn mains_are_what_the_daemon_takes_for_mains() {
        for (status, found) in [
            ("OL", "pass"),
            ("OL BYPASS", "pass"),
            ("BYPASS", "pass"),
            ("OL CAL", "pass"),
            ("OB CAL", "hold on-battery waiting"),
            ("OL OB", "hold on-battery waiting"),
            ("OFF", "hold on-battery waiting"),
            ("FSD OL", "hold on-battery waiting"),
        ] {
            let mut bench = bench();
            bench.obs.intent = Fact::known(None, bench.now);
            bench.spec.power.upses = vec![UpsSpec::feeding_all("rack@h".into())];
            let status = status.split(' ').map(Into::into).collect();
            let reading = UpsReading { status, charge_percent: Some(90), runtime: None };
            bench.obs.ups.insert("rack@h".into(), Fact::known(reading, bench.now));
            bench.check(evaluate, &format!("ananke: pass\nUPS rack@h: {found}"));
        }
    }

    #[test]
    fn who_answered_before_is_waited_for_since_it_last_did() {
        let mut bench = bench();
        let (ups, peer): (Arc<str>, Arc<str>) = ("rack@titan-db".into(), "tethys".into());
        bench.spec.power.upses = vec![UpsSpec::feeding_all(ups.clone())];
        bench.spec.peers = vec![peer.clone()];
        let (seen, wait) = (bench.now.plus(Duration::from_secs(400)), bench.spec.guard_wait);
        let reading = UpsReading { status: vec!["OL".into()], charge_percent: Some(90), runtime: None };
        bench.obs.intent = Fact::known(None, seen);
        bench.obs.own_clock = Fact::known(Some(true), seen);
        bench.obs.ups.insert(ups, Fact::known(reading, seen));
        bench.obs.peers.insert(peer, Fact::known(None, seen));
        bench.now = seen.plus(wait).minus(Duration::from_secs(1));
        bench.check(evaluate, "ananke: unknown\nUPS rack@titan-db: unknown\npeer tethys: unknown");
        bench.now = seen.plus(wait);
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: pass\npeer tethys: pass");
        // The clock was set back since: how long ago it was, nobody knows.
        bench.now = seen.minus(Duration::from_secs(10));
        bench.check(evaluate, "ananke: unknown\nUPS rack@titan-db: unknown\npeer tethys: unknown");
    }

    #[test]
    fn only_another_run_that_shuts_down_refuses_until_its_intent_is_too_old() {
        let mut bench = bench();
        let intent = shutting_down(&bench);
        let own = Intent { run: bench.view().run.clone(), ..intent.clone() };
        let done = Intent { state: IntentState::ShutdownComplete, ..intent.clone() };
        for harmless in [own, done] {
            bench.obs.intent = Fact::known(Some(harmless), bench.now);
            bench.check(evaluate, &format!("ananke: pass\n{NO_UPS}"));
        }
        let peer: Arc<str> = "tethys".into();
        bench.spec.peers = vec![peer.clone()];
        bench.now = bench.now.plus(bench.spec.intent_max_age);
        bench.obs.intent = Fact::known(Some(intent.clone()), bench.now);
        bench.obs.peers.insert(peer, Fact::known(Some(intent), bench.now));
        bench
            .check(evaluate, &format!("ananke: hold shutdown-intent person\npeer tethys: hold peer-shuts-down person\n{NO_UPS}"));
    }

    #[test]
    fn a_shutdown_that_power_asked_for_and_that_died_does_not_hold_the_start_that_power_allows() {
        let mut bench = bench();
        let intent = Intent { by_power: true, at: bench.now.minus(Duration::from_secs(600)), ..shutting_down(&bench) };
        let held = format!("ananke: hold shutdown-intent person\n{NO_UPS}");
        bench.obs.intent = Fact::known(Some(intent.clone()), bench.now);
        bench.check(evaluate, &held);
        bench.by_power = true;
        bench.check(evaluate, &format!("ananke: pass\n{NO_UPS}"));
        for alive in
            [Intent { at: bench.now.plus(Duration::from_secs(1)), ..intent.clone() }, Intent { by_power: false, ..intent }]
        {
            bench.obs.intent = Fact::known(Some(alive), bench.now);
            bench.check(evaluate, &held);
        }
    }

    #[test]
    fn charge_is_waited_for_up_to_what_is_wanted_and_only_for_a_while() {
        let mut bench = bench();
        bench.obs.intent = Fact::known(None, bench.now);
        let ups: Arc<str> = "rack@titan-db".into();
        bench.spec.power.upses = vec![UpsSpec::feeding_all(ups.clone())];
        let charged = |bench: &mut Bench, percent| {
            let reading = UpsReading { status: vec!["OL".into()], charge_percent: Some(percent), runtime: None };
            bench.obs.ups.insert(ups.clone(), Fact::known(reading, bench.now));
        };
        let wanted = bench.spec.minimum_charge_percent;
        charged(&mut bench, wanted);
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: pass");
        bench.now = bench.now.plus(bench.spec.guard_wait);
        charged(&mut bench, wanted - 1);
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: pass");
    }
}
