//! Gate `soak`: everything held for the whole window, and no lease is outstanding.

use crate::engine::view::View;
use crate::name::{Subject, human};
use crate::verdict::{GateId, Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    if let Some(record) = view.leases.iter().find(|record| record.state.outstanding()) {
        let lease = &record.lease;
        let text = format!("the cordon lease {} on {} is outstanding until {}", lease.id, lease.node, lease.expires);
        let verdict = Verdict::waiting(Reason::CordonOutstanding, text, format!("remove it with: {}", lease.remove_with));
        return Judgement::of(Subject::Cluster, verdict);
    }
    let mut since = view.started;
    for (id, gate) in view.gates.iter().filter(|(id, _)| **id != GateId::Soak) {
        match gate.settled {
            Some(settled) => since = since.max(settled),
            None => return Judgement::of(Subject::Cluster, not_yet(format!("{id} does not hold yet"))),
        }
    }
    let held = view.now.since(since);
    let verdict = if held >= view.spec.soak {
        Verdict::pass(format!("everything held for {}", human(held)))
    } else {
        not_yet(format!("everything holds for {} of {}", human(held), human(view.spec.soak)))
    };
    Judgement::of(Subject::Cluster, verdict)
}

fn not_yet(text: String) -> Verdict {
    Verdict::waiting(Reason::NotHeldLongEnough, text, "read which gates fell back in the report: something does not stay up")
}
