//! What all objects share: metadata, conditions, lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use ananke_core::name::{Kind, ObjectRef, ResourceVersion, Uid};
use ananke_core::observation::Tri;
use serde::{Deserialize, Deserializer};

#[derive(Debug, Deserialize)]
pub(crate) struct List<I> {
    #[serde(default)]
    pub(crate) metadata: ListMeta,
    /// `null` is what Go writes for an empty list. Without it, the answer is another's: a door in front of the server says 200 to
    /// everything.
    #[serde(deserialize_with = "null_is_default", bound(deserialize = "I: Deserialize<'de>"))]
    pub(crate) items: Vec<I>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ListMeta {
    #[serde(default, rename = "continue")]
    pub(crate) token: String,
    /// The version of the list as a whole: a watch goes on from it.
    #[serde(default, rename = "resourceVersion")]
    pub(crate) version: String,
}

/// What an object is known by in its collection.
pub(crate) trait Named {
    fn metadata(&self) -> &Meta;
}

macro_rules! named {
    ($($kind:ty),+) => {
        $(impl $crate::translate::meta::Named for $kind {
            fn metadata(&self) -> &$crate::translate::meta::Meta {
                &self.metadata
            }
        })+
    };
}
pub(crate) use named;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) generation: i64,
    pub(crate) creation_timestamp: Option<String>,
    pub(crate) deletion_timestamp: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) annotations: Annotations,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) owner_references: Vec<OwnerReference>,
}

/// Annotations can be large (`last-applied-configuration`): only those that Ananke reads are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Annotations {
    #[serde(rename = "ananke.dev/cordon-lease")]
    pub(crate) lease: Option<Arc<str>>,
    #[serde(rename = "ananke.dev/manual-action")]
    pub(crate) manual: Option<Arc<str>>,
    #[serde(rename = "ananke.dev/suspended")]
    pub(crate) suspended: Option<Arc<str>>,
    #[serde(rename = "reconcile.fluxcd.io/requestedAt")]
    pub(crate) requested: Option<Arc<str>>,
    #[serde(rename = "weave.works/kured-node-lock")]
    pub(crate) kured_lock: Option<Arc<str>>,
    #[serde(rename = "ananke.dev/scaled-from")]
    pub(crate) scaled_from: Option<Arc<str>>,
    #[serde(rename = "ananke.dev/url-from")]
    pub(crate) url_from: Option<Arc<str>>,
    #[serde(rename = "kustomize.toolkit.fluxcd.io/prune")]
    pub(crate) prune: Option<Arc<str>>,
    #[serde(rename = "helm.sh/resource-policy")]
    pub(crate) resource_policy: Option<Arc<str>>,
    #[serde(rename = "kubernetes.io/config.mirror")]
    pub(crate) mirror: Option<Arc<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OwnerReference {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Meta {
    pub(crate) fn object(&self, kind: Kind) -> ObjectRef {
        ObjectRef::new(kind, &self.namespace, &self.name)
    }

    pub(crate) fn uid(&self) -> Result<Uid, String> {
        Uid::parse(&self.uid).map_err(|error| format!("{}: {error}", self.name))
    }

    pub(crate) fn version(&self) -> Result<ResourceVersion, String> {
        ResourceVersion::parse(&self.resource_version).map_err(|error| format!("{}: {error}", self.name))
    }
}

impl Condition {
    pub(crate) fn tri(&self) -> Tri {
        match self.status.as_str() {
            "True" => Tri::True,
            "False" => Tri::False,
            _ => Tri::Unknown,
        }
    }
}

/// The condition of that type, if the object has it.
pub(crate) fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Counts are never negative; what cannot be one counts as none.
pub(crate) fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// An empty text means "not set", as everywhere in this API.
pub(crate) fn set(text: Option<Arc<str>>) -> Option<Arc<str>> {
    text.filter(|text| !text.is_empty())
}

pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ananke_core::lease::{ANNOTATION, MANUAL_ANNOTATION};
    use ananke_core::order::{REQUESTED_ANNOTATION, SCALED_ANNOTATION, SUSPENDED_ANNOTATION, URL_ANNOTATION};

    /// serde attributes take literals only, so this holds them to the names that the core uses.
    #[test]
    fn annotations_are_read_under_the_names_they_are_written_under() {
        let text = serde_json::json!({ANNOTATION: "a", MANUAL_ANNOTATION: "b", SUSPENDED_ANNOTATION: "c",
            REQUESTED_ANNOTATION: "d", SCALED_ANNOTATION: "e", URL_ANNOTATION: "f"});
        let read: Annotations = serde_json::from_value(text).unwrap();
        let all = [read.lease, read.manual, read.suspended, read.requested, read.scaled_from, read.url_from];
        assert_eq!(all.map(Option::unwrap_or_default).concat(), "abcdef");
    }

    #[test]
    fn an_empty_list_may_be_null() {
        let list: List<Meta> = serde_json::from_str(r#"{"metadata":{"resourceVersion":"264"},"items":null}"#).unwrap();
        assert!(list.items.is_empty() && list.metadata.token.is_empty());
    }
}
