//! A SelfSubjectAccessReview: what `kubectl auth can-i` asks, in JSON or in the protobuf that kubectl prefers to send.

use serde_json::{Map, Value, json};

use super::rbac::Attributes;

/// Before every object in protobuf.
const MAGIC: &[u8] = b"k8s\0";
/// Fields of `ResourceAttributes`, from number 1 on.
const RESOURCE: [&str; 7] = ["namespace", "verb", "group", "version", "resource", "subresource", "name"];
/// The same of `NonResourceAttributes`.
const PATH: [&str; 2] = ["path", "verb"];

/// The `spec` of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review(Value);

impl Review {
    /// None: it is no review.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let spec = match body.strip_prefix(MAGIC) {
            // `runtime.Unknown` holds the object in its second field, and that has its spec in its second one.
            Some(unknown) => {
                let spec = field(field(unknown, 2)?, 2)?;
                json!({"resourceAttributes": words(spec, 1, &RESOURCE), "nonResourceAttributes": words(spec, 2, &PATH)})
            }
            None => serde_json::from_slice::<Value>(body).ok()?.get("spec")?.clone(),
        };
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

/// The texts of a message inside a message, by their names.
fn words(of: &[u8], number: u64, names: &[&str]) -> Value {
    let Some(message) = field(of, number) else { return Value::Null };
    let texts = (1..).zip(names).filter_map(|(number, name)| Some((name, field(message, number)?)));
    let texts = texts.map(|(name, text)| ((*name).to_owned(), json!(String::from_utf8_lossy(text))));
    Value::Object(texts.collect::<Map<_, _>>())
}

/// The bytes of a field of a protobuf message; none where it is not there. Numbers beside it are passed over.
fn field(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let (key, rest) = varint(message)?;
        let (value, rest) = varint(rest)?;
        match key & 7 {
            0 => message = rest,
            2 => {
                let (bytes, rest) = rest.split_at_checked(usize::try_from(value).ok()?)?;
                if key >> 3 == wanted {
                    return Some(bytes);
                }
                message = rest;
            }
            _ => return None,
        }
    }
    None
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_ask_the_same() {
        let json = br#"{"spec":{"resourceAttributes":{"namespace":"default","verb":"patch","resource":"nodes"}}}"#;
        let spec = b"\x0a\x21\x0a\x1f\x0a\x07default\x12\x05patch\x1a\x00\x22\x00\x2a\x05nodes\x32\x00\x3a\x00";
        let spec = &spec[2..];
        let object = [b"\x0a\x00\x12".as_slice(), &[u8::try_from(spec.len()).unwrap()], spec].concat();
        let unknown = [b"k8s\0\x0a\x00\x12".as_slice(), &[u8::try_from(object.len()).unwrap()], &object].concat();
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
