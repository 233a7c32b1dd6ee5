//! A CronJob has missed so many starts that its controller says so.

use super::evidence::{quoted, says};
use super::{Class, Entry, Often};
use crate::engine::view::View;
use crate::name::Kind;
use crate::verdict::Trap;

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::CronjobMissedStarts,
    class: Class::FirstStep,
    often: Often::Low,
    symptom: "an Event about a CronJob, of this life of the cluster, speaks of too many missed start times",
    precondition: "none",
    budget: "none",
    effect: "waits, for newer controllers go on with the next start; a note of the gate soak names the CronJob, how to see whether it goes on, and how to run it by hand",
    evidence: &[
        "https://github.com/kubernetes/kubernetes/issues/42649",
        "https://github.com/k3d-io/k3d/issues/523",
        "https://github.com/kubernetes/website/pull/54073",
    ],
    // It holds no gate: nothing that a start-up brings back waits for it.
    diagnosis: None,
};

const WORDS: &[&str] = &["too many missed start time"];

/// What a person should know of CronJobs, one line each.
pub(crate) fn notes(view: &View<'_>) -> Vec<String> {
    let told = view.events().iter().filter(|event| event.about.kind == Kind::CronJob && says(&event.message, WORDS));
    let now = told.filter(|event| event.last.is_some_and(|last| last >= view.floor()));
    let note = |event: &crate::observation::EventState| {
        let (namespace, name) = (&event.about.namespace, &event.about.name);
        format!(
            "{}: {} says {}. If LAST SCHEDULE of `kubectl get cronjob {name} -n {namespace}` does not move at its next time, make it \
             anew; `kubectl create job {name}-by-hand --from=cronjob/{name} -n {namespace}` runs it once",
            Trap::CronjobMissedStarts,
            event.about,
            quoted(&event.message)
        )
    };
    now.map(note).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::fact::Fact;
    use crate::name::ObjectRef;
    use crate::observation::EventState;
    use crate::trap::testing::bench;

    /// As controllers before Kubernetes 1.21 and after it tell it, and what is near and is not it.
    const OLD: &str = "Cannot determine if job needs to be started: Too many missed start time (> 100). Set or decrease .spec.startingDeadlineSeconds or check clock skew.";
    const NEW: &str = "too many missed start times: 243. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
    const NO: &str = "Missed scheduled time to start a job: Sat, 14 Mar 2026 01:30:00 +0000";

    fn told(kind: Kind, message: &str, minutes_ago: u64) -> usize {
        let mut bench = bench();
        let last = Some(bench.now.minus(Duration::from_secs(minutes_ago * 60)));
        let (about, reason) = (ObjectRef::new(kind, "backup", "nightly"), "TooManyMissedTimes".into());
        let event = EventState { about, reason, message: message.into(), last };
        bench.obs.events = Fact::known(Arc::new(vec![event]), bench.now);
        notes(&bench.view()).len()
    }

    #[test]
    fn it_is_told_of_a_cron_job_that_missed_starts_in_this_outage() {
        assert_eq!(told(Kind::CronJob, OLD, 1), 1);
        assert_eq!(told(Kind::CronJob, NEW, 1), 1);
        assert_eq!(told(Kind::CronJob, NO, 1), 0, "one start is what any outage costs");
        assert_eq!(told(Kind::CronJob, NEW, 60), 0, "it was said before the outage");
        assert_eq!(told(Kind::Pod, NEW, 1), 0);
    }
}
