//! Gate `endpoints`: Services that matter have ready endpoints, with a pod on a node whose kubelet is alive: an
//! EndpointSlice from before the outage lists pods that are gone.
//!
//! What nobody named is not waited for where it led to nothing before the outage either.

use std::collections::{BTreeMap, BTreeSet};

use super::ingress;
use crate::baseline::Baseline;
use crate::engine::view::View;
use crate::fact::Gap;
use crate::name::{Kind, ObjectRef, Subject};
use crate::observation::{EndpointsState, PodIndex, WorkloadState};
use crate::verdict::{GateId, Judgement, Reason, Verdict};

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let seen = || Ok((critical(view)?, view.endpoints()?, view.pod_index()?));
    let (critical, services, pods) = match seen() {
        Ok(seen) => seen,
        Err(gap) => return Judgement::of(Subject::Cluster, Verdict::unknown(gap, LOOK)),
    };
    if critical.is_empty() {
        return Judgement::not_applicable("no checked ingress host leads to a Service, and startup.critical_services is empty");
    }
    let found: BTreeMap<&ObjectRef, &EndpointsState> =
        services.iter().filter(|state| critical.contains(&state.service)).map(|state| (&state.service, state)).collect();
    let mut judgement = Judgement::default();
    for service in critical {
        if let Some(note) = found.get(&service).and_then(|state| known_failure(view, state, &pods)) {
            judgement.notes.push(note);
            continue;
        }
        let verdict = match found.get(&service) {
            Some(state) => judge(view, state, &pods, Reason::NoEndpoints),
            None => Verdict::waiting(
                Reason::NoEndpoints,
                format!("{service} does not exist"),
                format!("find the Kustomization that should create {service}"),
            ),
        };
        judgement.set(Subject::Object(service), verdict);
    }
    if judgement.subjects.is_empty() {
        judgement.not_applicable = Some("no checked ingress host led to a Service with endpoints before the outage".to_owned());
    }
    judgement
}

/// Why nobody waits for a Service that leads nowhere: nobody named it, and all that is behind it was not healthy on the last
/// healthy day, or was at zero then and still is.
fn known_failure(view: &View<'_>, state: &EndpointsState, pods: &PodIndex) -> Option<String> {
    if state.ready > 0 || !view.spec.critical_services.is_empty() {
        return None;
    }
    let (baseline, workloads) = (view.baseline()?, view.workloads().ok()?);
    let owners = owners(state, pods);
    let behind = workloads.iter().filter(|found| is_behind(state, &owners, &found.object));
    let whys: Option<Vec<String>> = behind.map(|found| known(view, baseline, found)).collect();
    let why = whys?.into_iter().next()?;
    Some(format!("{} has no ready endpoint, and {why}: not waited for", state.service))
}

fn known(view: &View<'_>, baseline: &Baseline, found: &WorkloadState) -> Option<String> {
    let object = &found.object;
    let (before, day) = (baseline.workload(object)?, baseline.day());
    if view.spec.required_workloads.contains(object) {
        None
    } else if before.desired > 0 {
        (!before.healthy).then(|| format!("{object} behind it was not healthy on {day}, before the outage"))
    } else {
        // A stamp tells of a zero that is to be taken back.
        let at_zero = found.desired == 0 && found.scaled_from.unwrap_or_default() == 0;
        at_zero.then(|| format!("{object} behind it is at zero, as on {day}, before the outage"))
    }
}

pub(super) const LOOK: &str = "look at the API server: it does not list Services and their endpoints";

/// The Services that are named, or those behind the ingress hosts that are checked and answered on the last healthy day.
fn critical(view: &View<'_>) -> Result<BTreeSet<ObjectRef>, Gap> {
    if !view.spec.critical_services.is_empty() {
        return Ok(view.spec.critical_services.iter().cloned().collect());
    }
    let ingresses = view.ingresses()?;
    let mut checked = ingress::urls(ingresses, &view.spec.ingress);
    if let Some(baseline) = view.baseline() {
        checked.retain(|url, _| !baseline.urls_failing.contains(url));
    }
    let hosts: BTreeSet<_> = checked.into_values().collect();
    let leads = ingresses.iter().filter(|ingress| ingress.hosts.iter().any(|host| hosts.contains(host)));
    Ok(leads.flat_map(|ingress| ingress.services.iter().map(|name| service(&ingress.object.namespace, name))).collect())
}

pub(super) fn service(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Service, namespace, name)
}

/// The workloads that the pods behind a Service belong to.
pub(super) fn owners<'a>(state: &EndpointsState, pods: &'a PodIndex) -> BTreeSet<&'a ObjectRef> {
    state.pods.iter().filter_map(|pod| pods.named(pod)?.owner.as_ref()).collect()
}

/// The verdict on one Service; cluster DNS is judged in the same way.
pub(super) fn judge(view: &View<'_>, state: &EndpointsState, pods: &PodIndex, reason: Reason) -> Verdict {
    let service = &state.service;
    let (namespace, name) = (&service.namespace, &service.name);
    let look = || match state.pods.is_empty() {
        true => format!(
            "find the workload of {service} with `kubectl get deployments,statefulsets,daemonsets -n {namespace}`, and scale it up if it is at zero"
        ),
        false => format!(
            "look at `kubectl get endpointslices -n {namespace} -l kubernetes.io/service-name={name}` and at the pods it lists"
        ),
    };
    let hold = |text: String| match held_workload(view, state, pods) {
        Some(cause) => Verdict::follows(reason, cause, text),
        None => Verdict::waiting(reason, text, look()),
    };
    if state.ready == 0 {
        return hold(match state.pods.len() {
            0 => format!("{service} has no ready endpoint, and no pod is behind it"),
            1 => format!("{service} has no ready endpoint, one pod is behind it"),
            more => format!("{service} has no ready endpoint, {more} pods are behind it"),
        });
    }
    if state.pods.is_empty() {
        return Verdict::pass(format!("{} ready, outside of the cluster's pods", state.ready));
    }
    let ready = || state.pods.iter().filter_map(|pod| pods.named(pod)).filter(|pod| pod.ready);
    let alive = ready().find_map(|pod| Some((pod, pod.node.as_ref().filter(|node| view.kubelet_alive(node))?)));
    match (alive, ready().find_map(|pod| pod.node.as_ref())) {
        (Some((pod, node)), _) => Verdict::pass(format!("{} ready, {} on {node}", state.ready, pod.object.name)),
        (None, Some(node)) if view.known_host(node).is_none() => {
            let text = format!("{service} lists only pods whose kubelets are silent, such as that of {node}");
            Verdict::follows(reason, Subject::Node(node.clone()), text)
        }
        (None, Some(node)) => hold(format!("{service} lists only pods whose kubelets are silent, such as that of {node}")),
        (None, None) => hold(format!("{service} lists endpoints whose pods are not ready")),
    }
}

/// A workload behind the Service that has not converged.
fn held_workload(view: &View<'_>, state: &EndpointsState, pods: &PodIndex) -> Option<Subject> {
    let workloads = &view.gate(GateId::Workloads)?.judgement.subjects;
    let owners = owners(state, pods);
    let mut held = workloads.iter().filter(|(_, verdict)| !verdict.is_pass()).map(|(subject, _)| subject);
    held.find(|subject| matches!(subject, Subject::Object(object) if is_behind(state, &owners, object))).cloned()
}

/// Whether it is a workload behind the Service: by its pods, and where these have no owners by its name.
fn is_behind(state: &EndpointsState, owners: &BTreeSet<&ObjectRef>, object: &ObjectRef) -> bool {
    match owners.is_empty() {
        true => object.namespace == state.service.namespace && object.name == state.service.name,
        false => owners.contains(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::gate::workloads;

    fn bench() -> Bench {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.spec.critical_services = vec![service("apps", "web")];
        bench.workload(Kind::Deployment, "web", &[(2, true)]);
        bench.endpoints("apps", "web", 1, &["web-0"]);
        bench
    }

    #[test]
    fn a_ready_endpoint_counts_with_a_pod_on_a_living_node() {
        let mut bench = bench();
        bench.check(evaluate, "Service apps/web: pass");
        bench.pod("web-0", |pod| pod.ready = false);
        bench.check(evaluate, "Service apps/web: hold no-endpoints waiting");
        bench.pod("web-0", |pod| pod.ready = true);
        bench.obs.heartbeats.clear();
        bench.check(evaluate, "Service apps/web: hold no-endpoints waiting");
        bench.obs.hosts.clear();
        bench.check(evaluate, "Service apps/web: hold no-endpoints follows n2");
    }

    #[test]
    fn a_service_without_endpoints_follows_the_workload_behind_it() {
        let mut bench = bench();
        bench.pod("web-0", |pod| pod.ready = false);
        bench.endpoints("apps", "web", 0, &["web-0"]);
        bench.check(evaluate, "Service apps/web: hold no-endpoints waiting");
        bench.obs.workloads = crate::fact::Fact::known(Default::default(), bench.now);
        bench.workload(Kind::Deployment, "web", &[(2, false)]);
        bench.judged(GateId::Workloads, workloads::evaluate);
        bench.check(evaluate, "Service apps/web: hold no-endpoints follows Deployment apps/web");
        bench.endpoints("apps", "web", 0, &[]);
        bench.check(evaluate, "Service apps/web: hold no-endpoints follows Deployment apps/web");
    }

    #[test]
    fn services_behind_checked_ingress_hosts_count_where_none_is_named() {
        let mut bench = bench();
        bench.spec.critical_services.clear();
        bench.check(
            evaluate,
            "not applicable: no checked ingress host leads to a Service, and startup.critical_services is empty",
        );
        bench.ingress(&["git.example"]);
        bench.ingress_leads_to(&["web", "gone"]);
        bench.check(evaluate, "Service apps/gone: hold no-endpoints waiting\nService apps/web: pass");
        bench.spec.ingress.exclude = vec!["git.example".into()];
        bench.check(
            evaluate,
            "not applicable: no checked ingress host leads to a Service, and startup.critical_services is empty",
        );
    }

    #[test]
    fn endpoints_outside_of_the_cluster_are_believed() {
        let mut bench = bench();
        bench.endpoints("apps", "web", 2, &[]);
        bench.check(evaluate, "Service apps/web: pass");
    }

    #[test]
    fn a_service_without_pods_follows_no_workload_of_another_name() {
        let mut bench = bench();
        bench.endpoints("apps", "web", 0, &[]);
        bench.workload(Kind::StatefulSet, "db", &[(2, false)]);
        bench.judged(GateId::Workloads, workloads::evaluate);
        bench.check(evaluate, "Service apps/web: hold no-endpoints waiting");
    }

    /// An Ingress leads to Service `web`, which has no ready endpoint; the last good baseline has so many of workload `name`.
    fn discovered(pods: &[&str], known: &[(&str, u32, bool)]) -> Bench {
        let mut bench = bench();
        bench.spec.critical_services.clear();
        bench.ingress(&["git.example"]);
        bench.ingress_leads_to(&["web"]);
        bench.endpoints("apps", "web", 0, pods);
        let of = |(name, desired, healthy): &(&str, u32, bool)| crate::baseline::BaselineWorkload {
            object: ObjectRef::new(Kind::Deployment, "apps", name),
            desired: *desired,
            healthy: *healthy,
        };
        let taken = crate::baseline::Baseline::new(crate::name::Moment::from_millis(0), known.iter().map(of).collect());
        bench.obs.baseline = crate::fact::Fact::known(Some(taken), bench.now);
        bench
    }

    const HELD: &str = "Service apps/web: hold no-endpoints waiting";

    fn noted(why: &str) -> String {
        format!(
            "not applicable: no checked ingress host led to a Service with endpoints before the outage\n\
             note: Service apps/web has no ready endpoint, and Deployment apps/web behind it {why}, before the outage: \
             not waited for"
        )
    }

    #[test]
    fn a_service_whose_workloads_were_not_healthy_before_the_outage_is_a_note_unless_somebody_named_it() {
        let note = noted("was not healthy on 1970-01-01");
        for pods in [&["web-0"][..], &[]] {
            discovered(pods, &[("web", 1, false)]).check(evaluate, &note);
            discovered(pods, &[("web", 1, true)]).check(evaluate, HELD);
            discovered(pods, &[("other", 1, false)]).check(evaluate, HELD);
        }
        let mut two = discovered(&["web-0", "api-0"], &[("api", 1, true), ("web", 1, false)]);
        two.workload(Kind::Deployment, "api", &[(2, false)]);
        two.check(evaluate, HELD);
        let mut named = discovered(&["web-0"], &[("web", 1, false)]);
        named.spec.critical_services = vec![service("apps", "web")];
        named.check(evaluate, HELD);
        let mut required = discovered(&["web-0"], &[("web", 1, false)]);
        required.spec.required_workloads = vec![ObjectRef::new(Kind::Deployment, "apps", "web")];
        required.check(evaluate, HELD);
        let mut unknown = discovered(&["web-0"], &[("web", 1, false)]);
        unknown.obs.baseline = crate::fact::Fact::known(None, unknown.now);
        unknown.check(evaluate, HELD);
        let mut back = discovered(&["web-0"], &[("web", 1, false)]);
        back.endpoints("apps", "web", 1, &["web-0"]);
        back.check(evaluate, "Service apps/web: pass");
    }

    #[test]
    fn a_service_whose_workload_was_at_zero_before_the_outage_and_still_is_is_a_note() {
        let mut bench = discovered(&[], &[("web", 0, true)]);
        bench.check(evaluate, HELD);
        bench.change_workload("web", |it| it.desired = 0);
        bench.check(evaluate, &noted("is at zero, as on 1970-01-01"));
        bench.change_workload("web", |it| it.scaled_from = Some(1));
        bench.check(evaluate, HELD);
    }

    #[test]
    fn what_is_behind_a_host_that_failed_before_the_outage_is_not_critical() {
        let mut bench = bench();
        bench.spec.critical_services.clear();
        bench.ingress(&["git.example"]);
        bench.ingress_leads_to(&["web"]);
        let mut known = crate::baseline::Baseline::new(bench.now, Vec::new());
        bench.obs.baseline = crate::fact::Fact::known(Some(known.clone()), bench.now);
        bench.check(evaluate, "Service apps/web: pass");
        known.urls_failing.insert("http://git.example/".into());
        bench.obs.baseline = crate::fact::Fact::known(Some(known), bench.now);
        assert!(evaluate(&bench.view()).not_applicable.is_some());
    }
}
