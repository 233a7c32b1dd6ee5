//! External Secrets and the store that they come from: Vault, in the cluster.

use serde_json::{Value, json};

use super::{Projected, implied_uid, key, metadata, object};
use crate::world::{SECRET_STORE, SECRET_STORE_URL, World};

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    let mut with_secret = world.workloads().iter().filter(|workload| workload.secret).peekable();
    if with_secret.peek().is_none() {
        return;
    }
    let created = world.namespaces().first().map_or(0, |namespace| namespace.created);
    if let Some(key) = key("ClusterSecretStore", "", SECRET_STORE) {
        let at = key.clone();
        let make = move || {
            let auth = json!({"kubernetes": {"mountPath": "kubernetes", "role": "external-secrets"}});
            let vault = json!({"server": SECRET_STORE_URL, "path": "kv", "version": "v2", "auth": auth});
            let metadata = metadata(world, &at, &implied_uid(&at), created);
            object(&at, metadata, json!({"provider": {"vault": vault}}), Some(ready("Valid", "store validated")))
        };
        out.push(Projected { key, stamp: 1, make: Box::new(make) });
    }
    for workload in with_secret {
        let of = &workload.object;
        let Some(key) = key("ExternalSecret", &of.namespace, &of.name) else { continue };
        let at = key.clone();
        let make = move || {
            let store = json!({"kind": "ClusterSecretStore", "name": SECRET_STORE});
            let from = json!([{"extract": {"key": format!("{}/{}", of.namespace, of.name)}}]);
            let spec =
                json!({"refreshInterval": "1h0m0s", "secretStoreRef": store, "target": {"name": of.name}, "dataFrom": from});
            let metadata = metadata(world, &at, &implied_uid(&at), workload.created);
            object(&at, metadata, spec, Some(ready("SecretSynced", "secret synced")))
        };
        out.push(Projected { key, stamp: 1, make: Box::new(make) });
    }
}

fn ready(reason: &str, message: &str) -> Value {
    json!({"conditions": [{"type": "Ready", "status": "True", "reason": reason, "message": message}]})
}
