//! kustomize-controller does not reach source-controller, though others do.

use super::evidence::says;
use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::observation::PodState;
use crate::verdict::{GateId, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::FluxControllerWedged,
    class: Class::Auto,
    often: Often::Low,
    symptom: "a Kustomization cannot download its artifact, and source-controller is ready",
    precondition: "the controller's pod is from before this start",
    budget: "one deletion a pod",
    effect: "makes the pod of kustomize-controller anew",
    evidence: &["https://github.com/fluxcd/flux2/issues/1897", "https://github.com/fluxcd/flux2/issues/2309"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Kustomizations], find, remake: Some(controllers) }),
};

const WORDS: &[&str] = &["failed to download archive", "failed to download artifact"];
/// It did not reach it; that it has no such artifact is another matter.
const UNREACHED: &[&str] = &["i/o timeout", "connection refused", "connection timed out", "no route to host", "no such host"];

fn controllers<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    case.old_pods(|owner| &*owner.name == "kustomize-controller")
}

fn find(case: &Case<'_>) -> Option<Finding> {
    case.flux_said(WORDS).filter(|text| says(text, UNREACHED))?;
    let serves = |pod: &PodState| pod.ready && pod.owner.as_ref().is_some_and(|owner| &*owner.name == "source-controller");
    case.view.pods().unwrap_or_default().iter().find(|pod| serves(pod))?;
    Some(Finding::new(
        "kustomize-controller does not reach source-controller, which is ready",
        format!("look for a NetworkPolicy or a fault of the pod network between the two, then {}", case.describe()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Kind;
    use crate::observation::Tri;
    use crate::trap::testing::{bench, deleted};

    /// As it is told, and what is near and is not it.
    const YES: &str = "failed to download archive: GET http://source-controller.flux-system.svc.cluster.local./gitrepository/flux-system/flux-system/437f.tar.gz giving up after 10 attempt(s): Get \"http://source-controller.flux-system.svc.cluster.local./gitrepository/flux-system/flux-system/437f.tar.gz\": dial tcp 10.100.32.193:80: i/o timeout";
    const NO: &str = "failed to download archive: GET http://source-controller.flux-system.svc.cluster.local./gitrepository/flux-system/flux-system/437f.tar.gz returned 404 Not Found";

    #[test]
    fn its_pod_is_made_anew_while_the_other_serves() {
        let remade = |message: &str, serves: bool| {
            let mut bench = bench();
            bench.workload(Kind::Deployment, "source-controller", &[(1, serves)]);
            bench.workload(Kind::Deployment, "kustomize-controller", &[(2, true)]);
            bench.change_kustomization("core", |it| (it.reconcile.ready, it.reconcile.message) = (Tri::False, message.into()));
            deleted(&mut bench, GateId::Kustomizations, ENTRY.trap)
        };
        assert_eq!(remade(YES, true), ["Pod apps/kustomize-controller-0"]);
        assert!(remade(NO, true).is_empty());
        assert!(remade(YES, false).is_empty());
    }
}
