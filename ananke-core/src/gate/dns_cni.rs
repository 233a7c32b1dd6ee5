//! Gate `dns-cni`: the pod network is up on the nodes that are back, and cluster DNS has endpoints that live, before anything
//! needs them.

use super::endpoints::{self, LOOK};
use crate::engine::view::View;
use crate::name::{ObjectRef, Subject};
use crate::observation::{EndpointsState, NodeState, Tri};
use crate::port::clean;
use crate::verdict::{Blocker, BlockerKind, GateId, Judgement, Reason, Verdict};

const NAMESPACE: &str = "kube-system";

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    match view.nodes() {
        Ok(nodes) => {
            for node in nodes.iter().filter(|node| view.spec.nodes.contains_key(&node.name) && lacks_network(node)) {
                judgement.set(Subject::Node(node.name.clone()), network_not_ready(view, node));
            }
        }
        Err(gap) => judgement.set(Subject::Cluster, Verdict::unknown(gap, "look at the API server: it does not list nodes")),
    }
    match (view.endpoints(), view.pod_index()) {
        (Ok(services), Ok(pods)) => {
            let dns: Vec<&EndpointsState> = services.iter().filter(|state| is_dns(&state.service)).collect();
            for state in &dns {
                let verdict = endpoints::judge(view, state, &pods, Reason::DnsNotServing);
                judgement.set(Subject::Object(state.service.clone()), verdict);
            }
            if dns.is_empty() {
                let service = endpoints::service(NAMESPACE, "kube-dns");
                let text = format!("there is no cluster DNS: neither {service} nor one named coredns exists");
                let look = format!("bring back the manifests of CoreDNS: {service} is missing");
                judgement.set(Subject::Object(service), Verdict::waiting(Reason::DnsNotServing, text, look));
            }
        }
        (Err(gap), _) | (_, Err(gap)) => judgement.set(Subject::Cluster, Verdict::unknown(gap, LOOK)),
    }
    judgement
}

/// `kube-dns` by convention, whatever serves it; some distributions name it after CoreDNS.
fn is_dns(service: &ObjectRef) -> bool {
    let name = service.name.as_ref();
    service.namespace.as_ref() == NAMESPACE && (name == "kube-dns" || name == "coredns" || name.ends_with("-coredns"))
}

/// What kubelets say of a network plugin that is not there yet. A node that is not heard of at all is its own gate's business.
fn lacks_network(node: &NodeState) -> bool {
    const WORDS: [&str; 3] = ["NetworkPluginNotReady", "NetworkReady=false", "cni plugin not initialized"];
    node.ready == Tri::False && WORDS.iter().any(|word| node.message.contains(word))
}

fn network_not_ready(view: &View<'_>, node: &NodeState) -> Verdict {
    let name = &node.name;
    Verdict::waiting(
        Reason::NetworkNotReady,
        format!("the pod network of {name} is not ready: {}", clean(&node.message, 200)),
        format!(
            "look at the pod of the network plugin on {name} and at /etc/cni/net.d there, then restart {} on {name}",
            view.spec.distribution.agent()
        ),
    )
}

/// While cluster DNS does not serve, what only waits does so for DNS first: nothing is fetched and few pods start without
/// names. `waits` says which holds that explains; what serves DNS itself is none of them.
pub(crate) fn blame(view: &View<'_>, judgement: &mut Judgement, waits: fn(&Blocker) -> bool) {
    let Some(dns) = down(view) else { return };
    for (subject, verdict) in &mut judgement.subjects {
        let apart = matches!(subject, Subject::Object(object) if object.namespace.as_ref() != NAMESPACE);
        if let (true, Verdict::Hold(blocker)) = (apart, verdict)
            && matches!(blocker.kind, BlockerKind::Waiting | BlockerKind::Repairable(_))
            && waits(blocker)
        {
            blocker.kind = BlockerKind::Follows(dns.clone());
        }
    }
}

fn down<'a>(view: &View<'a>) -> Option<&'a Subject> {
    let subjects = &view.gate(GateId::DnsCni)?.judgement.subjects;
    let mut held = subjects.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Hold(_))).map(|(subject, _)| subject);
    held.find(|subject| matches!(subject, Subject::Object(object) if is_dns(object)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::Bench;
    use crate::gate::workloads;
    use crate::name::Kind;

    #[test]
    fn dns_needs_a_ready_pod_on_a_living_node() {
        let mut bench = Bench::new(2);
        bench.check(evaluate, "the cluster: unknown");
        bench.all_up();
        bench.check(evaluate, "Service kube-system/kube-dns: hold dns-not-serving waiting");
        bench.workload(Kind::Deployment, "coredns", &[(2, true)]);
        bench.endpoints("kube-system", "kube-dns", 1, &["coredns-0"]);
        bench.check(evaluate, "Service kube-system/kube-dns: pass");
        bench.node_dies(2);
        bench.check(evaluate, "Service kube-system/kube-dns: hold dns-not-serving follows n2");
    }

    #[test]
    fn dns_whose_pods_crash_follows_their_workload() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::Deployment, "coredns", &[(1, false)]);
        bench.pod("coredns-0", |pod| pod.reason = "CrashLoopBackOff".into());
        bench.endpoints("kube-system", "rke2-coredns-rke2-coredns", 0, &["coredns-0"]);
        bench.judged(GateId::Workloads, workloads::evaluate);
        let follows = "Service kube-system/rke2-coredns-rke2-coredns: hold dns-not-serving follows Deployment apps/coredns";
        bench.check(evaluate, follows);
    }

    #[test]
    fn while_dns_is_away_what_only_waits_waits_for_it() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.workload(Kind::Deployment, "web", &[(1, false)]);
        bench.workload(Kind::Deployment, "bad", &[(1, false)]);
        bench.pod("bad-0", |pod| pod.reason = "CrashLoopBackOff".into());
        let bad = "Deployment apps/bad: hold pod-crash-loop waiting";
        bench.check(workloads::evaluate, &format!("{bad}\nDeployment apps/web: hold workload-not-converged waiting"));
        bench.judged(GateId::DnsCni, evaluate);
        let follows = "Deployment apps/web: hold workload-not-converged follows Service kube-system/kube-dns";
        bench.check(workloads::evaluate, &format!("{bad}\n{follows}"));
        bench.change_source(|source| source.reconcile.ready = Tri::False);
        let source = "GitRepository flux-system/flux-system: hold source-not-ready follows Service kube-system/kube-dns";
        bench.check(crate::gate::flux_source::evaluate, source);
    }

    #[test]
    fn a_node_without_its_network_plugin_is_named() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.endpoints("kube-system", "kube-dns", 1, &[]);
        bench.change_node(2, |node| {
            node.ready = Tri::False;
            node.message = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady".into();
        });
        bench.check(evaluate, "n2: hold network-not-ready waiting\nService kube-system/kube-dns: pass");
        bench.change_node(2, |node| node.message = "Kubelet stopped posting node status.".into());
        bench.check(evaluate, "Service kube-system/kube-dns: pass");
    }

    #[test]
    fn cluster_dns_is_known_by_its_name_in_its_namespace() {
        let mut bench = Bench::new(1);
        bench.all_up();
        for (namespace, name) in
            [("kube-system", "coredns"), ("kube-system", "kube-dns"), ("kube-system", "metrics-server"), ("apps", "kube-dns")]
        {
            bench.endpoints(namespace, name, 1, &[]);
        }
        bench.check(evaluate, "Service kube-system/coredns: pass\nService kube-system/kube-dns: pass");
    }
}
