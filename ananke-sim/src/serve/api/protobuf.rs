//! Bodies in Kubernetes' protobuf encoding, which newer clients prefer for built-in kinds.
//!
//! Only what kubectl's own commands send is known; the numbers are those of Kubernetes' `generated.proto` files.

use serde_json::{Map, Value, json};

/// What every such body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// A field of a message: its number, its name in JSON, and what it is.
type Field = (u64, &'static str, Wire);
type Message = &'static [Field];

#[derive(Debug, Clone, Copy)]
enum Wire {
    Text,
    Number,
    Truth,
    /// A list of texts.
    Texts,
    /// A map of texts.
    Words,
    Of(Message),
}

const METADATA: Message = &[
    (1, "name", Wire::Text),
    (2, "generateName", Wire::Text),
    (3, "namespace", Wire::Text),
    (5, "uid", Wire::Text),
    (6, "resourceVersion", Wire::Text),
    (11, "labels", Wire::Words),
    (12, "annotations", Wire::Words),
    (14, "finalizers", Wire::Texts),
];
const NAMESPACE: Message = &[(1, "metadata", Wire::Of(METADATA)), (2, "spec", Wire::Of(&[(1, "finalizers", Wire::Texts)]))];
const CONFIG_MAP: Message = &[(1, "metadata", Wire::Of(METADATA)), (2, "data", Wire::Words), (4, "immutable", Wire::Truth)];
const DELETE_OPTIONS: Message = &[
    (1, "gracePeriodSeconds", Wire::Number),
    (2, "preconditions", Wire::Of(&[(1, "uid", Wire::Text), (2, "resourceVersion", Wire::Text)])),
    (4, "propagationPolicy", Wire::Text),
    (5, "dryRun", Wire::Texts),
];
const EVICTION: Message = &[(1, "metadata", Wire::Of(METADATA)), (2, "deleteOptions", Wire::Of(DELETE_OPTIONS))];
const RESOURCE: Message = &[
    (1, "namespace", Wire::Text),
    (2, "verb", Wire::Text),
    (3, "group", Wire::Text),
    (4, "version", Wire::Text),
    (5, "resource", Wire::Text),
    (6, "subresource", Wire::Text),
    (7, "name", Wire::Text),
];
const PATH: Message = &[(1, "path", Wire::Text), (2, "verb", Wire::Text)];
const REVIEW_SPEC: Message = &[(1, "resourceAttributes", Wire::Of(RESOURCE)), (2, "nonResourceAttributes", Wire::Of(PATH))];
const REVIEW: Message = &[(1, "metadata", Wire::Of(METADATA)), (2, "spec", Wire::Of(REVIEW_SPEC))];

fn message(kind: &str) -> Option<Message> {
    Some(match kind {
        "Namespace" => NAMESPACE,
        "ConfigMap" => CONFIG_MAP,
        "DeleteOptions" => DELETE_OPTIONS,
        "Eviction" => EVICTION,
        "SelfSubjectAccessReview" => REVIEW,
        _ => return None,
    })
}

pub fn is_protobuf(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

/// The object in the body; none if it is of a kind that is not known here, or broken.
pub fn decode(body: &[u8]) -> Option<Value> {
    // The envelope: type, then the object itself.
    let envelope =
        read(body.strip_prefix(MAGIC)?, &[(1, "type", Wire::Of(&[(1, "apiVersion", Wire::Text), (2, "kind", Wire::Text)]))])?;
    let kind = envelope.pointer("/type/kind")?.as_str()?.to_owned();
    let raw = fields(body.strip_prefix(MAGIC)?)?.into_iter().find_map(|(number, value)| match value {
        Raw::Bytes(bytes) if number == 2 => Some(bytes),
        Raw::Bytes(_) | Raw::Number(_) => None,
    })?;
    let mut object = read(raw, message(&kind)?)?;
    if let (Some(map), Some(of)) = (object.as_object_mut(), envelope.pointer("/type/apiVersion")) {
        map.insert("kind".to_owned(), json!(kind));
        map.insert("apiVersion".to_owned(), of.clone());
    }
    Some(object)
}

enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message as they stand there.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Raw<'_>)>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Raw::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Raw::Bytes(value)
            }
            // Kubernetes has no fixed-width numbers in what is read here.
            _ => return None,
        };
        out.push((tag >> 3, value));
    }
    Some(out)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn read(bytes: &[u8], message: Message) -> Option<Value> {
    let mut object = Map::new();
    for (number, raw) in fields(bytes)? {
        let Some((_, name, wire)) = message.iter().find(|(known, ..)| *known == number) else { continue };
        match (wire, raw) {
            (Wire::Text, Raw::Bytes(bytes)) => {
                let text = String::from_utf8(bytes.to_vec()).ok()?;
                // Go writes empty texts too; in JSON they are left out.
                if !text.is_empty() {
                    object.insert((*name).to_owned(), json!(text));
                }
            }
            (Wire::Number, Raw::Number(number)) => {
                object.insert((*name).to_owned(), json!(number));
            }
            (Wire::Truth, Raw::Number(number)) => {
                object.insert((*name).to_owned(), json!(number != 0));
            }
            (Wire::Texts, Raw::Bytes(bytes)) => {
                let text = String::from_utf8(bytes.to_vec()).ok()?;
                object.entry(*name).or_insert_with(|| json!([])).as_array_mut()?.push(json!(text));
            }
            (Wire::Words, Raw::Bytes(bytes)) => {
                let entry = read(bytes, &[(1, "key", Wire::Text), (2, "value", Wire::Text)])?;
                let part = |part: &str| entry.get(part).and_then(Value::as_str).unwrap_or_default().to_owned();
                object.entry(*name).or_insert_with(|| json!({})).as_object_mut()?.insert(part("key"), json!(part("value")));
            }
            (Wire::Of(message), Raw::Bytes(bytes)) => {
                let value = read(bytes, message)?;
                object.insert((*name).to_owned(), value);
            }
            _ => return None,
        }
    }
    Some(Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
        let of = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &of), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_read_with_its_words() {
        let metadata = [field(1, b"seen"), field(2, b""), field(3, b"trial")].concat();
        let entry = [field(1, b"a"), field(2, b"1")].concat();
        let read = decode(&body("ConfigMap", &[field(1, &metadata), field(2, &entry)].concat()));
        assert_eq!(
            read,
            Some(
                json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "seen", "namespace": "trial"}, "data": {"a": "1"}})
            )
        );
    }

    #[test]
    fn numbers_are_read_and_unknown_kinds_and_torn_bodies_are_not() {
        let options = [&[1 << 3, 30][..], &field(5, b"All")].concat();
        let read = decode(&body("DeleteOptions", &options)).unwrap();
        assert_eq!((&read["gracePeriodSeconds"], &read["dryRun"]), (&json!(30), &json!(["All"])));
        assert_eq!(decode(&body("Pod", b"")), None);
        let whole = body("ConfigMap", &field(1, &field(1, b"seen")));
        for end in 0..whole.len() {
            decode(&whole[..end]);
        }
    }
}
