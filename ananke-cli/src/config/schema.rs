//! The config as JSON Schema, for editors: the same registry as everything else of it.

use serde_json::{Map, Value, json};

use super::keys::{self, GROUPS, KEYS, Key, Shape};
use super::layers::from_variable;

/// Draft 2020-12. It knows shapes and names; what only a load finds, `ananke config check` finds.
pub(crate) fn schema() -> Value {
    let own = KEYS.iter().filter(|key| !key.path.contains('.')).map(|key| (key.path.to_owned(), property(key)));
    let groups = GROUPS.iter().map(|(group, doc)| {
        let inner =
            KEYS.iter().filter_map(|key| Some((key.path.strip_prefix(group)?.strip_prefix('.')?.to_owned(), property(key))));
        let object = json!({"type": "object", "description": doc, "additionalProperties": false,
            "properties": inner.collect::<Map<_, _>>()});
        ((*group).to_owned(), object)
    });
    let required: Vec<&str> =
        KEYS.iter().filter(|key| matches!(key.value, keys::Value::Required(_))).map(|key| key.path).collect();
    json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Configuration of Ananke", "type": "object",
        "additionalProperties": false, "required": required, "properties": own.chain(groups).collect::<Map<_, _>>()})
}

fn property(key: &Key) -> Value {
    let kind = match key.shape {
        Shape::Text | Shape::Duration => "string",
        Shape::Number => "integer",
        Shape::Flag => "boolean",
        Shape::List => "array",
        Shape::Map => "object",
    };
    let (name, text) = match key.value {
        keys::Value::Default(text) => ("default", text),
        keys::Value::Required(text) | keys::Value::Example(text) => ("examples", text),
    };
    let value = from_variable(key.shape, text).ok().and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default();
    let value = if name == "examples" { json!([value]) } else { value };
    let mut property = json!({"type": kind, name: value});
    if let (Some(fields), false) = (property.as_object_mut(), key.doc.is_empty()) {
        fields.insert("description".to_owned(), json!(key.doc));
    }
    property
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_and_example_has_the_type_that_the_schema_says() {
        let schema = schema();
        for key in KEYS {
            let path = format!("/properties/{}", key.path.replacen('.', "/properties/", 1));
            let property = schema.pointer(&path).unwrap();
            let value = property.get("default").or_else(|| property.pointer("/examples/0")).unwrap();
            let kind = match value {
                Value::Bool(_) => "boolean",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
                Value::Null => "null",
            };
            assert_eq!(property["type"], kind, "{}: {value}", key.path);
        }
        assert!(schema["required"].as_array().unwrap().contains(&json!("kubeconfig")));
    }
}
