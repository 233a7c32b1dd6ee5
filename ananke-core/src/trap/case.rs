//! One blocker, and all that was said about it.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::evidence::{Evidence, quoted, says};
use super::kured_lock_stuck;
use crate::engine::view::View;
use crate::gate::foundation::{host_of, in_cluster};
use crate::gate::{admission, workloads};
use crate::name::{Kind, NodeName, ObjectRef, Subject};
use crate::observation::{NodeState, PodState, Taint};
use crate::verdict::{Blocker, GateId, Verdict};

/// The taint of a kubelet that has no space: only DaemonSets tolerate it.
const DISK_PRESSURE: &str = "node.kubernetes.io/disk-pressure";
/// Others that pods of DaemonSets tolerate without being told to.
const TOLERATED: &[&str] = &[
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/network-unavailable",
];

/// As many names are still read in a command, and copied out of a terminal.
const NAMED: usize = 6;

/// What a trap looks at.
#[derive(Debug)]
pub struct Case<'a> {
    pub view: &'a View<'a>,
    pub subject: &'a Subject,
    pub blocker: &'a Blocker,
    evidence: &'a Evidence<'a>,
    /// Why a pod that would be made anew is not, and what a person does about that first.
    withheld: OnceCell<(String, String)>,
}

/// What a trap makes of a blocker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What follows the blocker's own line; none where that says it all.
    pub text: Option<String>,
    /// What a person does, should it last.
    pub instruction: String,
}

impl Finding {
    pub fn new(text: impl Into<String>, instruction: impl Into<String>) -> Self {
        Self { text: Some(text.into()), instruction: instruction.into() }
    }

    /// The gate has said what it is and what to do.
    pub(super) fn as_told(case: &Case<'_>) -> Self {
        Self { text: None, instruction: case.blocker.if_it_lasts.clone() }
    }
}

/// Names for one command, and what is to be said behind it of those that would make it too long.
pub(super) fn named(names: &[&str]) -> (String, String) {
    let (shown, more) = names.split_at(names.len().min(NAMED));
    let more = if more.is_empty() { String::new() } else { format!(", and the same for {} more", more.len()) };
    (shown.join(" "), more)
}

/// Words that were found, and where.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    pub text: &'a Arc<str>,
    /// Where, if that is known.
    pub node: Option<&'a NodeName>,
}

impl Said<'_> {
    pub fn quoted(&self) -> String {
        quoted(self.text)
    }

    /// The node on which it was said, as a person would look for it.
    pub fn place(&self) -> String {
        self.node.map_or_else(|| "the node of its pod".to_owned(), ToString::to_string)
    }
}

impl<'a> Case<'a> {
    pub(crate) fn new(view: &'a View<'a>, evidence: &'a Evidence<'a>, subject: &'a Subject, blocker: &'a Blocker) -> Self {
        Self { view, subject, blocker, evidence, withheld: OnceCell::new() }
    }

    /// The object that waits.
    pub fn object(&self) -> Option<&'a ObjectRef> {
        match self.subject {
            Subject::Object(object) => Some(object),
            Subject::Cluster | Subject::Ananke | Subject::Node(_) | Subject::Ups(_) | Subject::Url(_) | Subject::Peer(_) => None,
        }
    }

    /// The workload that waits.
    pub fn workload(&self) -> Option<&'a ObjectRef> {
        self.object().filter(|object| matches!(object.kind, Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet))
    }

    /// The node that waits, by its name.
    pub fn node_name(&self) -> Option<&'a NodeName> {
        crate::engine::walk::as_node(self.subject)
    }

    /// The node that waits, as the API has it.
    pub fn node(&self) -> Option<&'a NodeState> {
        self.view.node(self.node_name()?).ok().flatten()
    }

    /// Pods of the workload that waits that are not ready, of those of which something is said.
    pub fn pods(&self) -> &'a [&'a PodState] {
        self.workload().map(|owner| self.evidence.pods(owner)).unwrap_or_default()
    }

    /// Pods of the workload that waits that have ended, and are still there.
    pub fn ended(&self) -> Vec<&'a PodState> {
        let owner = self.workload();
        self.view.ended().iter().filter(|pod| owner.is_some() && pod.owner.as_ref() == owner).collect()
    }

    /// Whether an Event about the object says one of these texts (lower case).
    pub fn events_say(&self, about: &ObjectRef, any: &[&str]) -> bool {
        self.evidence.events(about).any(|event| says(&event.message, any))
    }

    /// The first of these texts (lower case) that was said about the workload that waits: by its pods, or by Events about
    /// them or about itself.
    pub fn said(&self, any: &[&str]) -> Option<Said<'a>> {
        let owner = self.workload()?;
        let of_owner = || self.evidence.events(owner).find(|event| says(&event.message, any));
        let by_pods = self.said_by_pods(any).next();
        by_pods.or_else(|| Some(Said { text: &of_owner()?.message, node: None }))
    }

    /// The same of each pod of which one was said.
    pub(super) fn said_by_pods(&self, any: &[&str]) -> impl Iterator<Item = Said<'a>> {
        self.pods().iter().filter_map(move |pod| Some(Said { text: self.said_about(pod, any)?, node: pod.node.as_ref() }))
    }

    /// By the pod itself, or by an Event about it.
    fn said_about(&self, pod: &'a PodState, any: &[&str]) -> Option<&'a Arc<str>> {
        let events = || self.evidence.events(&pod.object).map(|event| &event.message).find(|text| says(text, any));
        Some(&pod.message).filter(|text| says(text, any)).or_else(events)
    }

    /// The first of these texts that a unit logged last before it ended: that of the node which waits, or of a server where
    /// the whole cluster does.
    pub fn logged(&self, any: &[&str]) -> Option<Said<'a>> {
        let of = |node: &'a NodeName| {
            let text = self.view.known_host(node)?.words.iter().rev().find(|line| says(line, any))?;
            Some(Said { text, node: Some(node) })
        };
        match self.subject {
            Subject::Node(node) => of(node),
            Subject::Cluster => self.view.spec.servers().find_map(|(node, _)| of(node)),
            Subject::Ananke | Subject::Object(_) | Subject::Ups(_) | Subject::Url(_) | Subject::Peer(_) => None,
        }
    }

    /// What the Flux object that waits says, if it is one of these texts.
    pub fn flux_said(&self, any: &[&str]) -> Option<&'a Arc<str>> {
        let (object, flux) = (self.object()?, self.view.flux().ok()?.as_ref()?);
        let sources = flux.sources.iter().map(|it| (&it.object, &it.reconcile));
        let kustomizations = flux.kustomizations.iter().map(|it| (&it.object, &it.reconcile));
        let releases = flux.helm_releases.iter().map(|it| (&it.object, &it.reconcile));
        let (_, own) = sources.chain(kustomizations).chain(releases).find(|(of, _)| *of == object)?;
        Some(&own.message).filter(|message| says(message, any))
    }

    /// A host that these words name and that an Ingress of this cluster answers to.
    pub fn inside_registry(&self, words: &str) -> Option<&'a str> {
        let hosts = self.view.ingresses().unwrap_or_default().iter().flat_map(|ingress| &ingress.hosts);
        hosts.map(AsRef::as_ref).find(|host: &&str| words.contains(&format!("{host}/")))
    }

    /// A node with this condition: the one that waits, or any for a workload.
    pub fn sick_node(&self, trouble: &str) -> Option<&'a NodeState> {
        let sick = |node: &&NodeState| node.troubles.iter().any(|found| found.kind.as_ref() == trouble);
        match self.node() {
            Some(node) => Some(node).filter(sick),
            None => self.view.nodes().unwrap_or_default().iter().find(sick),
        }
    }

    /// Pods of these workloads that a controller would make again, on nodes whose kubelet is alive, from before this life of
    /// the cluster. `owner` decides by namespace and name.
    pub fn old_pods(&self, owner: impl Fn(&ObjectRef) -> bool) -> Vec<&'a PodState> {
        let pods = self.view.pods().unwrap_or_default().iter();
        pods.filter(|pod| pod.owner.as_ref().is_some_and(&owner) && self.may_remake(pod)).collect()
    }

    /// The same of the node that waits.
    pub fn old_pods_here(&self, owner: impl Fn(&ObjectRef) -> bool) -> Vec<&'a PodState> {
        self.node_name().map_or_else(Vec::new, |node| self.old_pods_on(node, owner))
    }

    /// The same of one node.
    pub(super) fn old_pods_on(&self, node: &NodeName, owner: impl Fn(&ObjectRef) -> bool) -> Vec<&'a PodState> {
        let pods = self.evidence.pods_on(node);
        pods.filter(|pod| pod.owner.as_ref().is_some_and(&owner) && self.may_remake(pod)).collect()
    }

    /// A pod of a controller that can make the next, on a node whose kubelet ends it and starts that: nothing is forced. One
    /// from after the cluster came up had its chance.
    pub(super) fn may_remake(&self, pod: &PodState) -> bool {
        let old = pod.created.is_some_and(|created| created < self.view.floor());
        let made_again = admission::silent(self.view, &pod.object.namespace).is_none();
        let alive = pod.node.as_ref().is_some_and(|node| self.view.kubelet_alive(node));
        let owner = pod.owner.as_ref();
        let comes = |owner: &ObjectRef| {
            if owner.kind == Kind::DaemonSet {
                self.is_wanted_there(pod, owner)
            } else {
                // With one that does not serve nothing is lost.
                self.a_node_takes_pods() && (!pod.ready || self.has_images(owner))
            }
        };
        old && alive && made_again && !pod.mirror && !pod.deleting && owner.is_some_and(comes)
    }

    /// Whether the next pod gets its images on any node, which may have none of them: not where a registry that runs in this
    /// cluster is not whole, which here means all workloads beside it.
    fn has_images(&self, owner: &ObjectRef) -> bool {
        let Some(of) = self.view.workloads().unwrap_or_default().iter().find(|of| of.object == *owner) else { return true };
        let hosts: BTreeSet<&str> = of.registries.iter().map(|registry| host_of(registry)).collect();
        let ingresses = self.view.ingresses().unwrap_or_default().iter();
        let behind = ingresses.filter(|ingress| hosts.iter().any(|host| ingress.answers_to(host)));
        let own = hosts.iter().filter_map(|host| in_cluster(host)).map(|service| service.namespace);
        let inside: BTreeSet<_> = behind.map(|ingress| ingress.object.namespace.clone()).chain(own).collect();
        let holds = |(subject, verdict): &(&Subject, &Verdict)| {
            let part = matches!(subject, Subject::Object(object) if object != owner && inside.contains(&object.namespace));
            part && !verdict.is_pass()
        };
        let gate = self.view.gate(GateId::Workloads).filter(|_| !inside.is_empty());
        let Some((part, _)) = gate.and_then(|gate| gate.judgement.subjects.iter().find(holds)) else { return true };
        let why = format!("{owner} is not made anew while {part} is not whole: its images may come from there");
        self.withheld.get_or_init(|| (why, format!("bring up {part} first")));
        false
    }

    /// Whether its DaemonSet would give the node the next. One that has more pods on living nodes than it asks for has some on
    /// nodes with a taint that they do not tolerate: what runs there is kept, and nothing is made.
    fn is_wanted_there(&self, pod: &PodState, owner: &ObjectRef) -> bool {
        let tolerated = |key: &str| key == DISK_PRESSURE || TOLERATED.contains(&key);
        let shuts = |taint: &Taint| &*taint.effect != "PreferNoSchedule" && !tolerated(&taint.key);
        let shut = |node: &NodeState| node.taints.iter().any(shuts);
        let node = pod.node.as_ref().and_then(|name| self.view.node(name).ok().flatten());
        if !node.is_some_and(shut) {
            return true;
        }
        let asked_for = self.view.workloads().unwrap_or_default().iter().find(|of| of.object == *owner).map(|of| of.desired);
        let lives = |pod: &&PodState| pod.node.as_ref().is_some_and(|node| self.view.kubelet_alive(node));
        let there = self.view.pod_index().map_or(0, |index| index.owned_by(owner).into_iter().filter(lives).count());
        asked_for.is_some_and(|asked_for| there <= usize::try_from(asked_for).unwrap_or(usize::MAX))
    }

    /// Whether any node would be given the next pod: none where persons keep all pods away, or all disks are full.
    fn a_node_takes_pods(&self) -> bool {
        self.living_nodes().any(|node| !node.unschedulable && !is_full(node))
    }

    /// Why nothing is made anew, and what a person does about that before all else: images may be missing, or no node takes a
    /// pod.
    pub(super) fn why_not(&self) -> Option<(String, String)> {
        self.withheld.get().cloned().or_else(|| self.no_room())
    }

    fn no_room(&self) -> Option<(String, String)> {
        let first = self.living_nodes().next().filter(|_| !self.a_node_takes_pods())?;
        let more = match self.living_nodes().skip(1).count() {
            0 => String::new(),
            others => format!("; and {others} more"),
        };
        let (why, what) = if is_full(first) {
            (format!("{} is short of disk space{more}", first.name), format!("free space on {} (`df -h`)", first.name))
        } else if let Some(stuck) = kured_lock_stuck::stuck(self) {
            stuck
        } else {
            (format!("{} is cordoned{more}", first.name), format!("`kubectl uncordon {}`", first.name))
        };
        Some((format!("no node takes another pod: {why}"), what))
    }

    fn living_nodes(&self) -> impl Iterator<Item = &'a NodeState> {
        let nodes = self.view.nodes().unwrap_or_default().iter();
        nodes.filter(|node| self.view.kubelet_alive(&node.name))
    }

    /// The command that shows a person what there is to see.
    pub fn describe(&self) -> String {
        match self.object() {
            Some(object) => workloads::describe(object),
            None => format!("look at {}", self.subject),
        }
    }
}

fn is_full(node: &NodeState) -> bool {
    node.taints.iter().any(|taint| &*taint.key == DISK_PRESSURE)
}

/// [`Case::old_pods`] of the workload that waits, of those that are not ready.
pub(super) fn own_old_pods<'a>(case: &Case<'a>) -> Vec<&'a PodState> {
    let mut pods = case.old_pods(|owner| case.workload() == Some(owner));
    pods.retain(|pod| !pod.ready);
    pods
}

/// The same of those that said one of these texts, where any did: the others may be about to be ready.
pub(super) fn own_old_pods_that_say<'a>(case: &Case<'a>, any: &[&str]) -> Vec<&'a PodState> {
    let mut pods = own_old_pods(case);
    let speaks = |pod: &&'a PodState| case.said_about(pod, any).is_some();
    if pods.iter().any(speaks) {
        pods.retain(speaks);
    }
    pods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_all_of_few_and_tells_how_many_it_leaves_out() {
        let names: Vec<String> = (1..=8).map(|n| format!("n{n}")).collect();
        let of = |count: usize| named(&names.iter().take(count).map(String::as_str).collect::<Vec<_>>());
        assert_eq!(of(1), ("n1".to_owned(), String::new()));
        assert_eq!(of(6), ("n1 n2 n3 n4 n5 n6".to_owned(), String::new()));
        assert_eq!(of(8), ("n1 n2 n3 n4 n5 n6".to_owned(), ", and the same for 2 more".to_owned()));
    }
}
