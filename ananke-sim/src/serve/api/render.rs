//! Objects and lists in the form that the client asked for.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::accept::Form;
use super::decode;
use super::kinds::Kind;
use super::status::{Failure, bad_request};
use super::table;

pub fn one(kind: &Kind, object: &Arc<Value>, form: Form, now: i64) -> Value {
    match form {
        Form::Plain | Form::Discovery => object.as_ref().clone(),
        Form::Metadata => table::metadata_only(object),
        Form::Table => {
            let version = object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
            table::table(kind, std::slice::from_ref(object), now, json!({"resourceVersion": version}))
        }
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page<'a> {
    pub kind: &'static Kind,
    pub objects: &'a [Arc<Value>],
    pub version: u64,
    /// Where the next page starts, and how many objects follow where that is told.
    pub rest: Option<(String, Option<usize>)>,
}

pub fn list(page: &Page<'_>, form: Form, now: i64) -> Value {
    let mut metadata = json!({"resourceVersion": page.version.to_string()});
    if let Some(map) = metadata.as_object_mut() {
        if let Some((last, remaining)) = &page.rest {
            map.insert("continue".to_owned(), json!(token(page.version, last)));
            if let Some(remaining) = remaining {
                map.insert("remainingItemCount".to_owned(), json!(remaining));
            }
        } else if page.kind.is_custom() && form == Form::Plain {
            map.insert("continue".to_owned(), json!(""));
        }
    }
    match form {
        Form::Table => table::table(page.kind, page.objects, now, metadata),
        Form::Metadata => {
            let items: Vec<Value> = page.objects.iter().map(|object| table::metadata_only(object)).collect();
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items})
        }
        Form::Plain | Form::Discovery => {
            let items: Vec<Value> = page.objects.iter().map(|object| item(page.kind, object)).collect();
            json!({"kind": format!("{}List", page.kind.kind), "apiVersion": page.kind.api_version(), "metadata": metadata, "items": items})
        }
    }
}

/// Items of built-in kinds do not repeat their type.
fn item(kind: &Kind, object: &Value) -> Value {
    let Some(map) = object.as_object().filter(|_| !kind.is_custom()) else {
        return object.clone();
    };
    let kept = map.iter().filter(|(field, _)| !matches!(field.as_str(), "kind" | "apiVersion"));
    Value::Object(kept.map(|(field, value)| (field.clone(), value.clone())).collect())
}

/// `namespace/name` of an object, or its name: what continue tokens point at.
pub fn place(object: &Value) -> String {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default();
    match text("/metadata/namespace") {
        "" => text("/metadata/name").to_owned(),
        namespace => format!("{namespace}/{}", text("/metadata/name")),
    }
}

fn token(version: u64, last: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": version, "start": format!("{last}\u{0}")}).to_string())
}

/// The place after which the page of this token begins, and the version of the list it belongs to.
pub fn read_token(token: &str) -> Result<(u64, String), Failure> {
    let bad = |why: &str| bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| bad(&error.to_string()))?;
    let parsed: Value = serde_json::from_slice(&bytes).map_err(|error| bad(&decode::explained(&error, &bytes)))?;
    let start = parsed.get("start").and_then(Value::as_str).ok_or_else(|| bad("it has no start"))?;
    let version = parsed.get("rv").and_then(Value::as_u64).ok_or_else(|| bad("it has no version"))?;
    Ok((version, start.trim_end_matches('\u{0}').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continue_token_is_read_back_and_nonsense_is_refused() {
        let recorded = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MjM3LCJzdGFydCI6InRpdGFuLTAxXHUwMDAwIn0";
        assert_eq!(read_token(recorded), Ok((237, "titan-01".to_owned())));
        assert_eq!(read_token(&token(9, "a/b")), Ok((9, "a/b".to_owned())));
        assert_eq!(read_token("nonsense").unwrap_err().code, 400);
    }
}
