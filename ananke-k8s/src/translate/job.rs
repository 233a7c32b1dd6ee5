//! Jobs that Flux applied.

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::{IDEMPOTENT_LABEL, JobEnd, JobState, Tri};
use serde::Deserialize;

use super::meta::{Condition, Meta, condition, named, null_is_default};

named!(Job);

#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    metadata: Meta,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
}

/// `None` for the Jobs of CronJobs and of anybody else.
pub(crate) fn job(job: Job) -> Result<Option<JobState>, String> {
    let Job { metadata, status } = job;
    let Some(applied_by) = applied_by(&metadata) else { return Ok(None) };
    let is = |kind| condition(&status.conditions, kind).is_some_and(|condition| condition.tri() == Tri::True);
    let ended = match (is("Complete"), is("Failed")) {
        (true, _) => Some(JobEnd::Complete),
        (false, true) => Some(JobEnd::Failed),
        (false, false) => None,
    };
    let note = |note: &Option<std::sync::Arc<str>>, word: &str| note.as_deref() == Some(word);
    let keep = note(&metadata.annotations.prune, "disabled") || note(&metadata.annotations.resource_policy, "keep");
    let idempotent = metadata.labels.get(IDEMPOTENT_LABEL).is_some_and(|value| value == "true");
    let (object, uid, applied_by) = (metadata.object(Kind::Job), metadata.uid()?, Some(applied_by));
    Ok(Some(JobState { object, uid, ended, applied_by, keep, idempotent }))
}

fn applied_by(metadata: &Meta) -> Option<ObjectRef> {
    let owner = |kind, group: &str| {
        let label = |field: &str| metadata.labels.get(&format!("{group}/{field}"));
        Some(ObjectRef::new(kind, label("namespace")?, label("name")?))
    };
    // A chart's objects can carry both, where a Kustomization patched them; Helm owns them.
    owner(Kind::HelmRelease, "helm.toolkit.fluxcd.io").or_else(|| owner(Kind::Kustomization, "kustomize.toolkit.fluxcd.io"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(labels: &str, annotations: &str, conditions: &str) -> Option<JobState> {
        let text = format!(
            r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"annotations":{annotations},"generation":1,"labels":{labels},"name":"migrate","namespace":"harbor","resourceVersion":"31","uid":"u-1"}},"spec":{{"backoffLimit":6}},"status":{{"conditions":{conditions},"succeeded":1,"terminating":0,"ready":0}}}}"#
        );
        job(serde_json::from_str(&text).unwrap()).unwrap()
    }

    const OURS: &str = r#"{"kustomize.toolkit.fluxcd.io/name":"registry","kustomize.toolkit.fluxcd.io/namespace":"flux-system"}"#;

    #[test]
    fn a_job_has_ended_when_a_condition_says_so() {
        let done = r#"[{"type":"SuccessCriteriaMet","status":"True","reason":"CompletionsReached"},{"type":"Complete","status":"True","reason":"CompletionsReached"}]"#;
        let job = check(OURS, "null", done).unwrap();
        assert_eq!((job.ended, job.keep), (Some(JobEnd::Complete), false));
        assert_eq!(job.applied_by.unwrap().to_string(), "Kustomization flux-system/registry");
        let failed =
            r#"[{"type":"FailureTarget","status":"True"},{"type":"Failed","status":"True","reason":"BackoffLimitExceeded"}]"#;
        assert_eq!(check(OURS, "null", failed).unwrap().ended, Some(JobEnd::Failed));
        // One that only begins to fail still has pods.
        assert_eq!(check(OURS, "null", r#"[{"type":"FailureTarget","status":"True"}]"#).unwrap().ended, None);
        assert_eq!(check(OURS, "null", "null").unwrap().ended, None);
    }

    #[test]
    fn who_applied_it_and_what_may_become_of_it_stands_in_labels_and_annotations() {
        assert_eq!(check(r#"{"app":"backup"}"#, "null", "[]"), None);
        let both = r#"{"kustomize.toolkit.fluxcd.io/name":"a","kustomize.toolkit.fluxcd.io/namespace":"b","helm.toolkit.fluxcd.io/name":"c","helm.toolkit.fluxcd.io/namespace":"d"}"#;
        assert_eq!(check(both, "{}", "[]").unwrap().applied_by, Some(ObjectRef::new(Kind::HelmRelease, "d", "c")));
        assert!(check(OURS, r#"{"kustomize.toolkit.fluxcd.io/prune":"disabled"}"#, "[]").unwrap().keep);
        assert!(check(OURS, r#"{"helm.sh/resource-policy":"keep"}"#, "[]").unwrap().keep);
        let labelled = |value: &str| OURS.replace('}', &format!(r#","ananke.dev/idempotent":"{value}"}}"#));
        let idempotent = |labels: &str| check(labels, "null", "[]").unwrap().idempotent;
        assert_eq!([OURS, &labelled("false"), &labelled("true")].map(idempotent), [false, false, true]);
    }
}
