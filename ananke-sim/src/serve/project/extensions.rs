//! What extends the API: APIServices, and admission webhooks.

use ananke_core::name::ObjectRef;
use serde_json::{Value, json};

use super::{Projected, implied_uid, key, metadata, object, time};
use crate::world::{METRICS_API, Ms, NOT_ASKED, World};

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    if let Some((service, available)) = world.metrics_api() {
        let condition = match available {
            true => ("True", "Passed", "all checks passed".to_owned()),
            false => ("False", "MissingEndpoints", format!("endpoints for {service} have no addresses")),
        };
        api_service(world, out, (METRICS_API, service), condition);
    }
    if let Some((name, service)) = world.orphaned_api() {
        let message = format!("service/{} in \"{}\" is not present", service.name, service.namespace);
        api_service(world, out, (name, service), ("False", "ServiceNotFound", message));
    }
    let rule = |groups: Value, resources: &str, operations: Value| json!({"apiGroups": groups, "apiVersions": ["v1"], "operations": operations, "resources": [resources], "scope": "*"});
    let certificates = rule(json!(["cert-manager.io", "acme.cert-manager.io"]), "*/*", json!(["CREATE", "UPDATE"]));
    let cert_manager = json!({"name": "webhook.cert-manager.io", "namespaceSelector": {}, "rules": [certificates],
        "clientConfig": {"service": {"namespace": "cert-manager", "name": "cert-manager-webhook", "path": "/validate", "port": 443}}});
    webhook(world, out, "cert-manager-webhook", cert_manager);
    if let Some(engine) = world.webhook() {
        let apart = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [NOT_ASKED]});
        let pods = rule(json!([""]), "pods", json!(["CREATE"]));
        let kyverno = json!({"name": "validate.kyverno.svc-fail", "namespaceSelector": {"matchExpressions": [apart]}, "rules": [pods],
            "clientConfig": {"service": {"namespace": engine.namespace, "name": engine.name, "path": "/validate/fail", "port": 443}}});
        webhook(world, out, "kyverno-resource-validating-webhook-cfg", kyverno);
    }
}

/// As old as the cluster.
fn created(world: &World) -> Ms {
    world.namespaces().first().map_or(0, |namespace| namespace.created)
}

fn api_service<'a>(
    world: &'a World,
    out: &mut Vec<Projected<'a>>,
    (name, service): (&'static str, ObjectRef),
    (status, reason, message): (&'static str, &'static str, String),
) {
    let Some(key) = key("APIService", "", name) else { return };
    let at = key.clone();
    let stamp = 1 + u64::from(status == "True");
    let make = move || {
        let (version, group) = name.split_once('.').unwrap_or_default();
        let spec = json!({"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": service.namespace, "name": service.name, "port": 443}});
        let condition = json!({"type": "Available", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": time(world, world.now())});
        object(&at, metadata(world, &at, &implied_uid(&at), created(world)), spec, Some(json!({"conditions": [condition]})))
    };
    out.push(Projected { key, stamp, make: Box::new(make) });
}

/// A configuration of one webhook that must answer.
fn webhook<'a>(world: &'a World, out: &mut Vec<Projected<'a>>, name: &str, webhook: Value) {
    let Some(key) = key("ValidatingWebhookConfiguration", "", name) else { return };
    let at = key.clone();
    let make = move || {
        let mut made = object(&at, metadata(world, &at, &implied_uid(&at), created(world)), Value::Null, None);
        let mut entry = json!({"admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "matchPolicy": "Equivalent",
            "sideEffects": "None", "timeoutSeconds": 30, "objectSelector": {}});
        if let (Some(entry), Some(webhook)) = (entry.as_object_mut(), webhook.as_object()) {
            entry.extend(webhook.clone());
        }
        if let Some(made) = made.as_object_mut() {
            made.insert("webhooks".to_owned(), json!([entry]));
        }
        made
    };
    out.push(Projected { key, stamp: 1, make: Box::new(make) });
}
