//! Images come from a registry that runs in this cluster, and is not up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::engine::view::View;
use crate::gate::http_check;
use crate::name::{ArchiveName, NodeName, Subject};
use crate::verdict::{GateId, Trap, Verdict};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::RegistryInClusterDeadlock,
    class: Class::FirstStep,
    often: Often::Medium,
    symptom: "pulls fail at a registry whose host leads to a workload of this cluster",
    precondition: "an archive has the image for the node's kind of machine (bootstrap.image_archives), and it was waited for bootstrap.wait (3m)",
    budget: "six loads a node, five and a half minutes apart",
    effect: "loads the image on the node over SSH; without an archive it waits for the registry, which the gate foundation judges",
    evidence: &["https://github.com/goharbor/harbor/issues/20524", "https://github.com/spegel-org/spegel/issues/2"],
    diagnosis: Some(Diagnosis { gates: &[GateId::Workloads, GateId::Foundation], find, remake: None }),
};

const WORDS: &[&str] = &["failed to pull image", "back-off pulling image", "failed to resolve reference"];

/// An image that a node can be given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    pub(crate) node: NodeName,
    pub(crate) archive: ArchiveName,
    pub(crate) image: Arc<str>,
}

fn find(case: &Case<'_>) -> Option<Finding> {
    let said = case.said(WORDS)?;
    let host = case.inside_registry(said.text)?;
    let text = format!("its image comes from {host}, which this cluster serves itself: {}", said.quoted());
    let kept = image(said.text, host).map(|image| case.view.spec.bootstrap.architectures(image)).unwrap_or_default();
    let place = said.place();
    let instruction = if !loads(case).is_empty() {
        format!("look at what `sudo k3s ctr images ls` has on {place}: the image was loaded, and its pod does not start")
    } else if kept.is_empty() {
        format!(
            "bring up the registry {host} first; if this is part of it, load its image on {place} from an archive (`sudo k3s ctr images import`)"
        )
    } else {
        let kept: Vec<&str> = kept.into_iter().collect();
        format!("put an archive of its image for {place} into bootstrap.image_archives: there is one for {}", kept.join(" and "))
    };
    Some(Finding::new(text, instruction))
}

/// What could be loaded for the workload that waits.
pub(super) fn loads(case: &Case<'_>) -> Vec<Load> {
    let load = |pod: &&crate::observation::PodState| {
        let host = case.inside_registry(&pod.message).filter(|_| super::evidence::says(&pod.message, WORDS))?;
        let (image, node) = (image(&pod.message, host)?, pod.node.as_ref()?);
        let architecture = case.view.node(node).ok()??.architecture.as_ref()?;
        let archive = case.view.spec.bootstrap.archive(image, architecture)?;
        Some(Load { node: node.clone(), archive: archive.name.clone(), image: image.into() })
    };
    let loads: BTreeSet<Load> = case.pods().iter().filter_map(load).collect();
    loads.into_iter().collect()
}

/// A kubelet tries a pull again within five minutes, and what it then has starts.
const PULLED_WITHIN: Duration = Duration::from_secs(330);

/// Who waits for an image of a registry that answers by now: until each kubelet has tried again, nobody knows whether that
/// helped.
pub(crate) fn is_to_come<'a>(view: &View<'a>) -> Option<&'a Subject> {
    let waits = |verdict: &Verdict| verdict.trap() == Some(Trap::RegistryInClusterDeadlock);
    let waiting: Vec<_> =
        (view.gate(GateId::Workloads)?.judgement.subjects.iter()).filter(|(_, verdict)| waits(verdict)).collect();
    if waiting.is_empty() {
        return None;
    }
    let ways_in = [GateId::Ingress, GateId::Services].iter().filter_map(|id| view.gate(*id));
    let since = ways_in.flat_map(|gate| [gate.settled, gate.passed]).flatten();
    let since = since.chain(view.history().last_landed("delete-pod", |_| true)).max()?;
    if view.has_passed(PULLED_WITHIN, since) {
        return None;
    }
    let answering = http_check::all(view).into_iter().filter(|check| check.fulfilled(view));
    let hosts: BTreeSet<String> = answering.map(|check| format!("{}/", http_check::host_of(&check.request.url))).collect();
    let answers = |verdict: &Verdict| hosts.iter().any(|host| verdict.text().contains(host));
    waiting.into_iter().find(|(_, verdict)| answers(verdict)).map(|(subject, _)| subject)
}

/// The image of this registry that a kubelet names.
fn image<'a>(words: &'a str, host: &str) -> Option<&'a str> {
    words.split('"').find(|word| word.strip_prefix(host).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::observation::ProbeAnswer;
    use crate::port::ProbeRequest;
    use crate::report::GateStatus;
    use crate::trap::testing::{bench, of_bench};
    use crate::verdict::{Judgement, Reason};

    #[test]
    fn a_registry_elsewhere_is_another_matter() {
        let named = |host: &str| {
            of_bench(|bench| {
                bench.ingress(&["harbor.titan.example"]);
                let text = format!("Back-off pulling image \"{host}/infra/gitea:1\"");
                bench.pod("web-0", |pod| pod.message = text.as_str().into());
            })
        };
        assert_eq!(named("harbor.titan.example"), Some(Trap::RegistryInClusterDeadlock));
        assert_eq!(named("quay.example"), None);
    }

    #[test]
    fn who_waits_for_a_registry_that_came_back_has_as_long_as_a_kubelet_waits() {
        let to_come = |status: u16, host: &str, seconds: u64| {
            let mut bench = bench();
            let (text, look) = (format!("its image comes from {host}/infra/gitea:1"), "look");
            let verdict = Verdict::waiting(Reason::ImagePullFailure, text, look).known_as(ENTRY.trap);
            bench.stands(GateId::Workloads, GateStatus::Manual, Judgement::of(Subject::Cluster, verdict));
            bench.settles(GateId::Ingress);
            bench.now = bench.now.plus(Duration::from_secs(seconds));
            bench.ingress(&["harbor.titan.example"]);
            let request = ProbeRequest::plain("http://harbor.titan.example/".into());
            let answer = ProbeAnswer { status, ..ProbeAnswer::default() };
            bench.obs.probes.insert(request.key(), Fact::known(answer, bench.now));
            is_to_come(&bench.view()).is_some()
        };
        let harbor = "harbor.titan.example";
        assert!(to_come(200, harbor, 329));
        assert!(!to_come(200, harbor, 330), "each kubelet has tried again");
        assert!(!to_come(503, harbor, 0), "it does not serve");
        assert!(!to_come(200, "quay.example", 0), "another registry");
    }

    #[test]
    fn the_image_is_what_the_kubelet_quotes() {
        let words =
            "Back-off pulling image \"h.example/a/b:1\": ErrImagePull: failed to do request: Head \"https://h.example/v2/\"";
        assert_eq!(image(words, "h.example"), Some("h.example/a/b:1"));
        assert_eq!(image(words, "example"), None);
    }
}
