//! Gate `guards`: may Ananke start the cluster at all, and now?

use std::sync::Arc;

use crate::engine::view::View;
use crate::fact::Gap;
use crate::intent::IntentState;
use crate::name::{Subject, human};
use crate::observation::UpsReading;
use crate::spec::Role;
use crate::verdict::{Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let mut judgement = Judgement::of(Subject::Ananke, own(view));
    for ups in &view.spec.ups {
        judgement.set(Subject::Ups(ups.clone()), power(view, ups));
    }
    if view.spec.ups.is_empty() {
        judgement.notes.push("no UPS is configured: power is not checked".to_owned());
    }
    judgement
}

fn own(view: &View<'_>) -> Verdict {
    if view.spec.role == (Role::Peer { allow_startup: false }) {
        return Verdict::person(
            Reason::RoleIsPeer,
            format!("{} is configured as a peer, and the coordinator starts the cluster", view.spec.holder),
            "run this on the coordinator, or pass --allow-peer-startup if the coordinator is dead",
        );
    }
    let intent = match view.obs.intent.fresh(view.now, std::time::Duration::MAX) {
        Ok(intent) => intent,
        Err(gap) => return Verdict::unknown(gap, "look at intent.json in the state directory"),
    };
    // An intent that can no longer be read may say anything by now.
    if let Some(error) = view.obs.intent.newest_failure() {
        let gap = Gap { error: Some(error.clone()), at: None, text: error.to_string() };
        return Verdict::unknown(gap, "look at intent.json in the state directory; `ananke intent clear` sets it aside");
    }
    match intent {
        Some(intent) if intent.state == IntentState::ShuttingDown && intent.run != *view.run => {
            let age = view.now.since(intent.at);
            if age > view.spec.intent_max_age {
                return Verdict::pass(format!(
                    "the shutdown intent of {} is {} old and no longer counts",
                    intent.run,
                    human(age)
                ));
            }
            Verdict::person(
                Reason::ShutdownIntent,
                format!("a shutdown is in progress since {}: {} ({})", intent.at, intent.reason, intent.run),
                "let that shutdown finish, or run `ananke intent clear` if it is dead and the cluster shall start",
            )
        }
        Some(_) | None => Verdict::pass("no shutdown is in progress"),
    }
}

fn power(view: &View<'_>, ups: &Arc<str>) -> Verdict {
    match view.ups(ups) {
        Ok(reading) => judge_reading(view, ups, reading),
        Err(gap) => {
            // A upsd that is away is normal just after an outage: it must not keep the cluster down for ever.
            let waited = view.now.since(view.started);
            if waited >= view.spec.guard_wait {
                Verdict::pass(format!("no reading for {}, going on without it: {}", human(waited), gap.text))
            } else {
                Verdict::unknown(gap, format!("check upsd and the cable of {ups}"))
            }
        }
    }
}

fn judge_reading(view: &View<'_>, ups: &str, reading: &UpsReading) -> Verdict {
    let has = |word: &str| reading.status.iter().any(|found| found.as_ref() == word);
    let status = reading.status.join(" ");
    if view.spec.allow_on_battery {
        return Verdict::pass(format!("{status}, accepted by --allow-on-battery"));
    }
    if !has("OL") || has("FSD") {
        return Verdict::waiting(
            Reason::OnBattery,
            format!("{ups} says {status}, not on line"),
            format!("restore mains at {ups}, or pass --allow-on-battery if it cannot be measured"),
        );
    }
    match reading.charge_percent {
        Some(charge) if charge < view.spec.minimum_charge_percent && view.now.since(view.started) < view.spec.guard_wait => {
            Verdict::waiting(
                Reason::ChargeLow,
                format!("{ups} is charged {charge} %, {} % are wanted", view.spec.minimum_charge_percent),
                format!("wait for {ups} to charge, or pass --allow-on-battery"),
            )
        }
        Some(charge) => Verdict::pass(format!("{status}, {charge} %")),
        None => Verdict::pass(format!("{status}, charge not reported")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::intent::Intent;
    use crate::name::RunId;

    const NO_UPS: &str = "note: no UPS is configured: power is not checked";

    #[test]
    fn a_shutdown_in_progress_refuses_and_a_stale_one_does_not() {
        let mut bench = Bench::new(3);
        let intent = Intent {
            state: IntentState::ShuttingDown,
            run: RunId::parse("shutdown-1").unwrap(),
            at: bench.now,
            reason: "battery".to_owned(),
        };
        bench.obs.intent = Fact::known(Some(intent), bench.now);
        bench.check(evaluate, &format!("ananke: hold shutdown-intent person\n{NO_UPS}"));
        bench.now = bench.now.plus(bench.spec.intent_max_age).plus(Duration::from_secs(1));
        bench.check(evaluate, &format!("ananke: pass\n{NO_UPS}"));
    }

    #[test]
    fn an_unreadable_intent_is_unknown_and_never_a_go() {
        Bench::new(3).check(evaluate, &format!("ananke: unknown\n{NO_UPS}"));
    }

    #[test]
    fn a_ups_on_battery_holds_and_a_silent_one_only_for_a_while() {
        let mut bench = Bench::new(3);
        bench.obs.intent = Fact::known(None, bench.now);
        let ups: Arc<str> = "rack@titan-db".into();
        bench.spec.ups = vec![ups.clone()];
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: unknown");
        let reading =
            |status: &str, charge| UpsReading { status: status.split(' ').map(Into::into).collect(), charge_percent: charge };
        bench.obs.ups.insert(ups.clone(), Fact::known(reading("OB DISCHRG", Some(80)), bench.now));
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: hold on-battery waiting");
        bench.obs.ups.insert(ups.clone(), Fact::known(reading("OL CHRG", Some(10)), bench.now));
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: hold charge-low waiting");
        bench.obs.ups.clear();
        bench.now = bench.now.plus(bench.spec.guard_wait);
        bench.check(evaluate, "ananke: pass\nUPS rack@titan-db: pass");
    }
}
