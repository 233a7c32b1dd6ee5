//! External Secrets: which Secrets come from which store.

use std::sync::Arc;

use ananke_core::doctor::map::{ExternalSecret, SecretStore};
use ananke_core::doctor::{Part, PartKind};
use serde::Deserialize;

use super::super::meta::{Meta, null_is_default, set};
use super::{Named, Reference};

#[derive(Debug, Deserialize)]
pub(crate) struct RawSecret {
    metadata: Meta,
    #[serde(default)]
    spec: SecretSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SecretSpec {
    secret_store_ref: Reference,
    #[serde(deserialize_with = "null_is_default")]
    target: Named,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawStore {
    metadata: Meta,
    #[serde(default)]
    spec: StoreSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StoreSpec {
    provider: Provider,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Provider {
    vault: Option<Vault>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Vault {
    server: Option<Arc<str>>,
}

pub(crate) fn external_secret(of: RawSecret) -> Result<Option<ExternalSecret>, String> {
    let Meta { name, namespace, .. } = of.metadata;
    let store = match of.spec.secret_store_ref.kind.as_str() {
        "ClusterSecretStore" => Part::new(PartKind::ClusterSecretStore, "", &of.spec.secret_store_ref.name),
        _ => Part::new(PartKind::SecretStore, &namespace, &of.spec.secret_store_ref.name),
    };
    let secret = if of.spec.target.name.is_empty() { Arc::from(name.as_str()) } else { of.spec.target.name };
    Ok(Some(ExternalSecret { object: Part::new(PartKind::ExternalSecret, &namespace, &name), secret, store }))
}

pub(crate) fn store(of: RawStore) -> Result<Option<SecretStore>, String> {
    Ok(Some(made(PartKind::SecretStore, of)))
}

pub(crate) fn cluster_store(of: RawStore) -> Result<Option<SecretStore>, String> {
    Ok(Some(made(PartKind::ClusterSecretStore, of)))
}

fn made(kind: PartKind, of: RawStore) -> SecretStore {
    let url = set(of.spec.provider.vault.and_then(|vault| vault.server));
    SecretStore { object: Part::new(kind, &of.metadata.namespace, &of.metadata.name), url }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_after_its_external_secret_unless_told_otherwise() {
        for (spec, expected) in [
            (r#"{"secretStoreRef":{"name":"vault"}}"#, "env from SecretStore apps/vault"),
            (
                r#"{"secretStoreRef":{"name":"vault","kind":"ClusterSecretStore"},"target":{"name":"tls","creationPolicy":"Owner"}}"#,
                "tls from ClusterSecretStore vault",
            ),
        ] {
            let text = format!(r#"{{"metadata":{{"name":"env","namespace":"apps"}},"spec":{spec}}}"#);
            let found = external_secret(serde_json::from_str(&text).unwrap()).unwrap().unwrap();
            assert_eq!(format!("{} from {}", found.secret, found.store), expected);
        }
    }

    #[test]
    fn a_store_has_the_address_of_its_vault_and_none_of_its_credentials() {
        let text = r#"{"metadata":{"name":"vault"},"spec":{"provider":{"vault":{"server":"http://vault.vault:8200","path":"kv","auth":{"tokenSecretRef":{"name":"t"}}}}}}"#;
        let found = cluster_store(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!(
            (found.object.to_string().as_str(), found.url.as_deref()),
            ("ClusterSecretStore vault", Some("http://vault.vault:8200"))
        );
        let text = r#"{"metadata":{"name":"aws","namespace":"apps"},"spec":{"provider":{"aws":{"region":"x"}}}}"#;
        assert_eq!(store(serde_json::from_str(text).unwrap()).unwrap().unwrap().url, None);
    }
}
