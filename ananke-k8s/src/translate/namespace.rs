//! Namespaces that exist and are not being deleted; and the one that names the cluster.

use std::sync::Arc;

use ananke_core::name::Uid;
use serde::Deserialize;

use super::meta::{Meta, named};

named!(Namespace);

#[derive(Debug, Deserialize)]
pub(crate) struct Namespace {
    metadata: Meta,
}

/// `GET /version`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    pub(crate) git_version: String,
}

pub(crate) fn name(namespace: Namespace) -> Result<Option<Arc<str>>, String> {
    let alive = namespace.metadata.deletion_timestamp.is_none();
    Ok(alive.then(|| namespace.metadata.name.into()))
}

pub(crate) fn uid(namespace: &Namespace) -> Result<Uid, String> {
    namespace.metadata.uid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminating_namespace_does_not_count() {
        let text = r#"{"metadata":{"deletionTimestamp":"2026-11-22T17:15:43Z","name":"apps","uid":"8104564c"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Terminating"}}"#;
        assert_eq!(name(serde_json::from_str(text).unwrap()), Ok(None));
        assert_eq!(name(serde_json::from_str(r#"{"metadata":{"name":"apps"}}"#).unwrap()), Ok(Some("apps".into())));
    }
}
