//! Phase `intent-recorded`: the intent to shut down is durable, so that nothing starts the cluster against it.

use std::time::Duration;

use crate::engine::view::View;
use crate::intent::IntentState;
use crate::name::Subject;
use crate::verdict::{Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let look = "look at the state directory: the intent to shut down cannot be written";
    let verdict = match view.intent_fact().fresh(view.now, Duration::MAX) {
        Err(gap) => Verdict::unknown(gap, look),
        Ok(Some(intent)) if intent.state == IntentState::ShuttingDown && intent.run == *view.run => Verdict::pass("recorded"),
        Ok(_) => Verdict::waiting(Reason::IntentNotDurable, "the intent to shut down is not recorded", look),
    };
    Judgement::of(Subject::Ananke, verdict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::intent::Intent;
    use crate::name::RunId;

    #[test]
    fn only_the_intent_of_this_run_to_shut_down_counts() {
        let mut bench = Bench::new(1);
        bench.check(evaluate, "ananke: unknown");
        let (state, reason) = (IntentState::ShuttingDown, "battery".to_owned());
        let own = Intent { state, run: bench.view().run.clone(), at: bench.now, reason, by_power: false, of: None };
        let other = Intent { run: RunId::parse("shutdown-1").unwrap(), ..own.clone() };
        let done = Intent { state: IntentState::ShutdownComplete, ..own.clone() };
        let missing = "ananke: hold intent-not-durable waiting";
        for (intent, expected) in [(None, missing), (Some(other), missing), (Some(done), missing), (Some(own), "ananke: pass")] {
            bench.obs.intent = Fact::known(intent, bench.now);
            bench.check(evaluate, expected);
        }
    }
}
