//! Jobs that Flux applied, and PodDisruptionBudgets: what a drill has to know beside the workloads.

use ananke_core::doctor::map::{self, Budget};
use ananke_core::name::Kind;
use serde::Deserialize;

use super::super::meta::{Meta, count, null_is_default};
use super::{RawSelector, applied_by};
use crate::collection::Collection;

pub(crate) static JOBS: Collection<Job, map::Job> = Collection::new("list jobs", "/apis/batch/v1/jobs", job);
pub(crate) static BUDGETS: Collection<RawBudget, Budget> =
    Collection::new("list poddisruptionbudgets", "/apis/policy/v1/poddisruptionbudgets", budget);

#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    metadata: Meta,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawBudget {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(deserialize_with = "null_is_default")]
    selector: RawSelector,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    desired_healthy: i64,
}

fn job(of: Job) -> Result<Option<map::Job>, String> {
    let applied_by = applied_by(&of.metadata.labels);
    Ok(applied_by.map(|applied_by| map::Job { object: of.metadata.object(Kind::Job), applied_by }))
}

fn budget(of: RawBudget) -> Result<Option<Budget>, String> {
    let RawBudget { metadata, spec, status } = of;
    let (namespace, name) = (metadata.namespace.into(), metadata.name.into());
    Ok(Some(Budget { namespace, name, pods: spec.selector.into(), desired_healthy: count(status.desired_healthy) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_told_where_flux_applied_it() {
        let read = |labels: &str| {
            let text = format!(
                r#"{{"metadata":{{"name":"migrate","namespace":"apps","labels":{labels}}},"spec":{{"backoffLimit":6}}}}"#
            );
            job(serde_json::from_str(&text).unwrap()).unwrap().map(|job| format!("{} of {}", job.object, job.applied_by))
        };
        let ours = r#"{"kustomize.toolkit.fluxcd.io/name":"apps","kustomize.toolkit.fluxcd.io/namespace":"flux-system"}"#;
        assert_eq!(read(ours).as_deref(), Some("Job apps/migrate of Kustomization flux-system/apps"));
        assert_eq!(read(r#"{"app":"migrate"}"#), None);
    }

    #[test]
    fn a_budget_says_whose_pods_it_keeps_and_how_many() {
        let text = r#"{"metadata":{"name":"db","namespace":"apps"},"spec":{"minAvailable":"50%","selector":{"matchLabels":{"app":"db"}}},
            "status":{"desiredHealthy":2,"currentHealthy":3,"expectedPods":3,"disruptionsAllowed":1}}"#;
        let found = budget(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!((&*found.namespace, &*found.name, found.desired_healthy), ("apps", "db", 2));
        assert_eq!(found.pods.labels.get("app").map(AsRef::as_ref), Some("db"));
    }
}
