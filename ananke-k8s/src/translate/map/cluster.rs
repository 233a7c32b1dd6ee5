//! Nodes with their images, and namespaces with their labels.

use std::sync::Arc;

use ananke_core::doctor::map::{MapNode, Words};
use ananke_core::name::NodeName;
use serde::Deserialize;

use super::super::meta::{Meta, null_is_default};
use super::words;
use crate::collection::Collection;

pub(crate) static NODES: Collection<Node, MapNode> = Collection::new("list nodes", "/api/v1/nodes", node);
pub(crate) static NAMESPACES: Collection<Namespace, (Arc<str>, Words)> =
    Collection::new("list namespaces", "/api/v1/namespaces", namespace);

/// A kubelet tells of so many images, unless its `nodeStatusMaxImages` says otherwise.
const TOLD: usize = 50;

#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    metadata: Meta,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(deserialize_with = "null_is_default")]
    images: Vec<Image>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Image {
    #[serde(deserialize_with = "null_is_default")]
    names: Vec<Arc<str>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Namespace {
    metadata: Meta,
}

fn node(of: Node) -> Result<Option<MapNode>, String> {
    let labels = &of.metadata.labels;
    let server = ["control-plane", "master"].iter().any(|role| labels.contains_key(&format!("node-role.kubernetes.io/{role}")));
    Ok(Some(MapNode {
        name: NodeName::parse(&of.metadata.name).map_err(|error| error.to_string())?,
        server,
        labels: words(labels),
        more_images: of.status.images.len() >= TOLD,
        images: of.status.images.into_iter().flat_map(|image| image.names).collect(),
    }))
}

fn namespace(of: Namespace) -> Result<Option<(Arc<str>, Words)>, String> {
    Ok(Some((of.metadata.name.into(), words(&of.metadata.labels))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_tells_of_its_images_by_all_their_names() {
        let text = r#"{"metadata":{"name":"titan-01","labels":{"node-role.kubernetes.io/control-plane":"true"}},"status":{"images":[
            {"names":["docker.io/library/nginx@sha256:00","docker.io/library/nginx:1"],"sizeBytes":7},{"names":null,"sizeBytes":1}]}}"#;
        let found = node(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert!(found.server && !found.more_images);
        assert_eq!(found.images, ["docker.io/library/nginx@sha256:00".into(), "docker.io/library/nginx:1".into()]);
        let many = serde_json::json!({"metadata": {"name": "titan-02"}, "status": {"images": vec![serde_json::json!({}); 50]}});
        let found = node(serde_json::from_value(many).unwrap()).unwrap().unwrap();
        assert!(!found.server && found.more_images);
    }
}
