//! A webhook that fails closed on a namespace that everything else waits for. After a power loss nothing may serve it.

use std::sync::Arc;

use super::super::map::{ClusterMap, Webhook};
use super::super::need::few;
use super::{Finding, Lint};

/// Whoever runs here serves the cluster itself.
const CORE: [&str; 4] = ["kube-system", "flux-system", "longhorn-system", "metallb-system"];
/// Without these, a cluster does not get up.
const NEEDED: [(&str, &str); 6] = [
    ("", "pods"),
    ("", "nodes"),
    ("apps", "replicasets"),
    ("apps", "daemonsets"),
    ("apps", "statefulsets"),
    ("coordination.k8s.io", "leases"),
];

pub(super) fn look(map: &ClusterMap) -> Vec<Finding> {
    map.webhooks.iter().filter(|webhook| webhook.fail_closed).filter_map(|webhook| finding(map, webhook)).collect()
}

fn finding(map: &ClusterMap, webhook: &Webhook) -> Option<Finding> {
    let asked = |namespace: &&&str| {
        let namespace: Arc<str> = Arc::from(**namespace);
        NEEDED.iter().any(|resource| webhook.asks(map, &namespace, *resource))
    };
    let namespaces: Vec<&&str> = CORE.iter().filter(asked).collect();
    if namespaces.is_empty() {
        return None;
    }
    let what = format!("{} fails closed on {}: what it cannot be asked about is refused there", webhook.name, few(&namespaces));
    let to_do = "leave these namespaces out with its namespaceSelector, or set failurePolicy: Ignore";
    Some(Finding::new(Lint::WebhookFailClosed, &webhook.part, what, to_do))
}

#[cfg(test)]
mod tests {
    use super::super::super::map::{Expression, Operator};
    use super::super::super::testing::{check, lab};
    use super::*;

    /// Kyverno asks about all new pods, with what `change` makes of it.
    #[track_caller]
    fn check_webhook(change: fn(&mut Webhook), expected: &[&str]) {
        let mut map = lab();
        map.webhook("kyverno", ("kyverno", "kyverno-svc"));
        let webhook = map.map.webhooks.last_mut().unwrap();
        change(webhook);
        check(&look(&map.map), expected);
    }

    #[test]
    fn a_webhook_on_new_pods_of_core_namespaces_is_found() {
        let kyverno = "ValidatingWebhookConfiguration kyverno: kyverno.example fails closed on kube-system, flux-system: what it \
                       cannot be asked about is refused there";
        check_webhook(|_| (), &[kyverno]);
        check_webhook(|webhook| webhook.fail_closed = false, &[]);
        check_webhook(|webhook| webhook.rules[0].operations = vec!["DELETE".into()], &[]);
        check_webhook(|webhook| webhook.rules[0].resources = vec!["certificates".into()], &[]);
    }

    #[test]
    fn a_webhook_that_leaves_them_out_is_not() {
        let by_name = |webhook: &mut Webhook| {
            let (key, values) = ("kubernetes.io/metadata.name".into(), vec!["kube-system".into(), "flux-system".into()]);
            webhook.namespaces.expressions.push(Expression { key, operator: Operator::NotIn, values });
        };
        check_webhook(by_name, &[]);
        check_webhook(
            |webhook| {
                webhook.namespaces.labels.insert("policy".into(), "on".into());
            },
            &[],
        );
    }
}
