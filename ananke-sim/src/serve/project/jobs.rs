//! Jobs and CronJobs, in the shape that kubectl describes them in.

use ananke_core::observation::{IDEMPOTENT_LABEL, JobEnd};
use serde_json::{Value, json};

use super::super::api::store::Key;
use super::{Projected, implied_uid, key, metadata, object, time};
use crate::world::{Job, Ms, World};

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    for job in world.jobs() {
        if let Some(key) = key("Job", &job.object.namespace, &job.object.name) {
            let at = key.clone();
            out.push(Projected { key, stamp: job.rv, make: Box::new(move || make(world, job, &at)) });
        }
    }
    if let Some((of, last)) = world.late_cron_job()
        && let Some(key) = key("CronJob", &of.namespace, &of.name)
    {
        let at = key.clone();
        out.push(Projected { key, stamp: 1, make: Box::new(move || cron_job(world, &at, last)) });
    }
}

fn cron_job(world: &World, key: &Key, last: Ms) -> Value {
    let mut metadata = metadata(world, key, &implied_uid(key), last);
    metadata.insert("generation".to_owned(), json!(1));
    let container =
        json!({"name": key.name, "image": "docker.io/library/busybox:1", "resources": {}, "imagePullPolicy": "IfNotPresent"});
    let template = json!({"metadata": {}, "spec": {"containers": [container], "restartPolicy": "OnFailure"}});
    let spec = json!({"schedule": "* * * * *", "concurrencyPolicy": "Allow", "suspend": false, "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1, "jobTemplate": {"metadata": {}, "spec": {"template": template}}});
    object(key, metadata, spec, Some(json!({"lastScheduleTime": time(world, last)})))
}

fn make(world: &World, job: &Job, key: &Key) -> Value {
    let name = &job.object.name;
    let mut metadata = metadata(world, key, job.uid.as_str(), job.created);
    metadata.insert("generation".to_owned(), json!(1));
    let mut labels = json!({"app": name, IDEMPOTENT_LABEL: "true"});
    if let (Some(map), Some(by)) = (labels.as_object_mut(), world.kustomizations().get(job.kustomization)) {
        map.insert("kustomize.toolkit.fluxcd.io/name".to_owned(), json!(by.meta.object.name));
        map.insert("kustomize.toolkit.fluxcd.io/namespace".to_owned(), json!(by.meta.object.namespace));
    }
    metadata.insert("labels".to_owned(), labels);
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": job.uid.as_str()}});
    let container = json!({"name": name, "image": format!("registry.bstein.dev/{}/{name}:{}", job.object.namespace, job.template),
        "resources": {}, "imagePullPolicy": "IfNotPresent"});
    let template = json!({"metadata": {"labels": {"batch.kubernetes.io/job-name": name, "job-name": name}},
        "spec": {"containers": [container], "restartPolicy": "OnFailure"}});
    let spec = json!({"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
        "selector": selector, "template": template});
    object(key, metadata, spec, Some(status(world, job)))
}

fn status(world: &World, job: &Job) -> Value {
    let started = time(world, job.created);
    let Some(end) = job.ended else {
        return json!({"active": 1, "ready": 1, "terminating": 0, "startTime": started, "uncountedTerminatedPods": {}});
    };
    let at = time(world, job.ended_at);
    let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": "", "lastProbeTime": at, "lastTransitionTime": at});
    match end {
        JobEnd::Complete => json!({"succeeded": 1, "ready": 0, "terminating": 0, "startTime": started, "completionTime": at,
            "uncountedTerminatedPods": {},
            "conditions": [condition("SuccessCriteriaMet", "CompletionsReached"), condition("Complete", "CompletionsReached")]}),
        JobEnd::Failed => json!({"failed": 7, "ready": 0, "terminating": 0, "startTime": started, "uncountedTerminatedPods": {},
            "conditions": [condition("FailureTarget", "BackoffLimitExceeded"), condition("Failed", "BackoffLimitExceeded")]}),
    }
}
