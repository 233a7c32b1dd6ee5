//! What extends the API: the APIService of the metrics, and cert-manager's admission webhook.

use serde_json::{Value, json};

use super::{Projected, implied_uid, key, metadata, object, time};
use crate::world::{METRICS_API, World};

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    // As old as the cluster.
    let created = world.namespaces().first().map_or(0, |namespace| namespace.created);
    if let (Some((service, available)), Some(key)) = (world.metrics_api(), key("APIService", "", METRICS_API)) {
        let at = key.clone();
        let make = move || {
            let spec = json!({"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": true, "service": {"namespace": service.namespace, "name": service.name, "port": 443}});
            let (status, reason, message) = match available {
                true => ("True", "Passed", "all checks passed".to_owned()),
                false => ("False", "MissingEndpoints", format!("endpoints for {service} have no addresses")),
            };
            let condition = json!({"type": "Available", "status": status, "reason": reason, "message": message,
                "lastTransitionTime": time(world, world.now())});
            let metadata = metadata(world, &at, &implied_uid(&at), created);
            object(&at, metadata, spec, Some(json!({"conditions": [condition]})))
        };
        out.push(Projected { key, stamp: 1 + u64::from(available), make: Box::new(make) });
    }
    if let Some(key) = key("ValidatingWebhookConfiguration", "", "cert-manager-webhook") {
        let at = key.clone();
        let make = move || {
            let metadata = metadata(world, &at, &implied_uid(&at), created);
            let mut made = object(&at, metadata, Value::Null, None);
            if let Some(map) = made.as_object_mut() {
                let service =
                    json!({"namespace": "cert-manager", "name": "cert-manager-webhook", "path": "/validate", "port": 443});
                let rule = json!({"apiGroups": ["cert-manager.io", "acme.cert-manager.io"], "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"], "resources": ["*/*"], "scope": "*"});
                map.insert(
                    "webhooks".to_owned(),
                    json!([{"name": "webhook.cert-manager.io", "admissionReviewVersions": ["v1"], "clientConfig": {"service": service},
                        "failurePolicy": "Fail", "matchPolicy": "Equivalent", "sideEffects": "None", "timeoutSeconds": 30,
                        "namespaceSelector": {}, "objectSelector": {}, "rules": [rule]}]),
                );
            }
            made
        };
        out.push(Projected { key, stamp: 1, make: Box::new(make) });
    }
}
