//! Bodies of requests as JSON, and what is wrong with them in the words of the real server's parser.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::protobuf;
use super::request::ApiRequest;
use super::status::{Failure, bad_request, unsupported_media};
use super::validate;

/// How much of a body an error shows.
const SHOWN: usize = 30;

/// A body that is JSON of any kind, or what kubectl sends in protobuf.
pub fn json(kind: &Kind, body: &[u8]) -> Result<Value, Failure> {
    if protobuf::is_protobuf(body) {
        return protobuf::decode(body).ok_or_else(|| unsupported_media(true));
    }
    serde_json::from_slice(body).map_err(|error| {
        let text = String::from_utf8_lossy(body);
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push_str(" ...");
        }
        bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {} ({shown})",
            kind.kind,
            explained(&error, body)
        ))
    })
}

/// An object of this kind, without the fields that the kind does not have; its type may be left out.
pub fn object(kind: &Kind, request: &ApiRequest, body: &[u8]) -> Result<Value, Failure> {
    let mut object = json(kind, body)?;
    let other = |field: &str, expected: &str| {
        object.get(field).and_then(Value::as_str).is_some_and(|found| !found.is_empty() && found != expected)
    };
    if !object.is_object() || other("kind", kind.kind) || other("apiVersion", &kind.api_version()) {
        return Err(bad_request(format!(
            "the object provided is unrecognized (must be of type {}): found kind {} of {}",
            kind.kind,
            object.get("kind").unwrap_or(&Value::Null),
            object.get("apiVersion").unwrap_or(&Value::Null)
        )));
    }
    known_fields(kind, request, &mut object)?;
    if let Some(map) = object.as_object_mut() {
        map.insert("kind".to_owned(), json!(kind.kind));
        map.insert("apiVersion".to_owned(), json!(kind.api_version()));
    }
    Ok(object)
}

/// Drops unknown fields, or refuses them if the client asked for that.
pub fn known_fields(kind: &Kind, request: &ApiRequest, object: &mut Value) -> Result<(), Failure> {
    let unknown = validate::prune(kind, object);
    if unknown.is_empty() || request.query("fieldValidation") != "Strict" {
        return Ok(());
    }
    let named: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
    Err(bad_request(format!(
        "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
        kind.kind,
        kind.version,
        kind.kind,
        named.join(", ")
    )))
}

/// A parser's error as Go's encoding/json puts it.
pub fn explained(error: &serde_json::Error, text: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let said = error.to_string();
    let place = if said.starts_with("key must be a string") {
        "looking for beginning of object key string"
    } else if said.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else if said.starts_with("expected `,` or `]`") {
        "after array element"
    } else if said.starts_with("expected `:`") {
        "after object key"
    } else if said.starts_with("trailing characters") {
        "after top-level value"
    } else {
        "looking for beginning of value"
    };
    let line = text.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let byte = line.get(error.column().saturating_sub(1)).or(line.first()).copied().unwrap_or_default();
    let shown = if byte.is_ascii_graphic() { char::from(byte).to_string() } else { format!("\\u{byte:04x}") };
    format!("invalid character '{shown}' {place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_sound_like_the_real_parser() {
        let told = |text: &[u8]| explained(&serde_json::from_slice::<Value>(text).unwrap_err(), text);
        assert_eq!(told(b"{not json"), "invalid character 'n' looking for beginning of object key string");
        assert_eq!(told(b"\x9e\x8b"), "invalid character '\\u009e' looking for beginning of value");
        assert_eq!(told(b"{\"a\":1"), "unexpected end of JSON input");
    }
}
