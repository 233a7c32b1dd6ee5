//! A SelfSubjectAccessReview: what `kubectl auth can-i` asks, in JSON or in the protobuf that kubectl prefers to send.

use serde_json::{Value, json};

use super::protobuf;
use super::rbac::Attributes;

/// The `spec` of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review(Value);

impl Review {
    /// None: it is no review.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let review =
            if protobuf::is_protobuf(body) { protobuf::decode(body)? } else { serde_json::from_slice::<Value>(body).ok()? };
        let spec = review.get("spec")?.clone();
        Some(Self(spec))
    }

    fn text(&self, at: &str) -> String {
        self.0.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The path that is no resource; empty where it is about a resource.
    pub fn path(&self) -> String {
        self.text("/nonResourceAttributes/path")
    }

    pub fn attributes(&self) -> Attributes {
        let of = |field: &str| self.text(&format!("/resourceAttributes/{field}"));
        let (resource, sub) = (of("resource"), of("subresource"));
        let resource = if sub.is_empty() { resource } else { format!("{resource}/{sub}") };
        Attributes { verb: of("verb"), group: of("group"), resource, namespace: of("namespace"), name: of("name") }
    }

    pub fn answer(self, allowed: bool) -> Value {
        json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": self.0,
            "status": {"allowed": allowed}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_ask_the_same() {
        let json = br#"{"spec":{"resourceAttributes":{"namespace":"default","verb":"patch","resource":"nodes"}}}"#;
        let spec = b"\x0a\x1f\x0a\x07default\x12\x05patch\x1a\x00\x22\x00\x2a\x05nodes\x32\x00\x3a\x00".as_slice();
        let field = |number: u8, of: &[u8]| [&[number << 3 | 2, u8::try_from(of.len()).unwrap()], of].concat();
        let object = [field(1, b""), field(2, spec)].concat();
        let of = [field(1, b"authorization.k8s.io/v1"), field(2, b"SelfSubjectAccessReview")].concat();
        let unknown = [b"k8s\0".to_vec(), field(1, &of), field(2, &object)].concat();
        let (json, protobuf) = (Review::parse(json).unwrap(), Review::parse(&unknown).unwrap());
        assert_eq!(json.attributes(), protobuf.attributes());
        assert_eq!((json.attributes().verb.as_str(), json.path().as_str()), ("patch", ""));
    }

    #[test]
    fn nonsense_is_no_review() {
        for body in [b"".as_slice(), b"{}", b"k8s\0", b"k8s\0\x12\xff", b"k8s\0\x12\x02\x12\x09"] {
            assert_eq!(Review::parse(body), None, "{body:?}");
        }
    }
}
