//! Phase `intent-recorded`: the intent to shut down is durable, so that nothing starts the cluster against it.

use std::time::Duration;

use crate::engine::view::View;
use crate::intent::IntentState;
use crate::name::Subject;
use crate::verdict::{Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let look = "look at the state directory: the intent to shut down cannot be written";
    let verdict = match view.obs.intent.fresh(view.now, Duration::MAX) {
        Err(gap) => Verdict::unknown(gap, look),
        Ok(Some(intent)) if intent.state == IntentState::ShuttingDown && intent.run == *view.run => Verdict::pass("recorded"),
        Ok(_) => Verdict::waiting(Reason::IntentNotDurable, "the intent to shut down is not recorded", look),
    };
    Judgement::of(Subject::Ananke, verdict)
}
