//! What two answers have in common: names that differ from run to run are told apart only by being the same or another.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::client::{Answer, Request};

/// What stands here for what stood there: versions, UIDs and continue tokens.
#[derive(Debug)]
pub(crate) struct Names {
    here: BTreeMap<String, String>,
    uid: Regex,
    time: Regex,
    generated: Regex,
    age: Regex,
    address: Regex,
    template: Regex,
}

impl Default for Names {
    fn default() -> Self {
        let regex = |text: &str| Regex::new(text).unwrap();
        Self {
            here: BTreeMap::new(),
            uid: regex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
            time: regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$"),
            generated: regex("^ananke-[a-z0-9]{5}$"),
            age: regex("^[0-9]+s$"),
            address: regex("^(127|10)[.][0-9.]+(:[0-9]+)?$"),
            // The real server prints its internal struct here, field by field.
            template: regex("Invalid value: [{].*[}]: field is immutable"),
        }
    }
}

const RENAMED: &[&str] = &["resourceVersion", "uid", "continue"];

impl Names {
    /// The recorded request, with the versions and UIDs that were answered here.
    pub(crate) fn request(&self, recorded: &Value) -> Request {
        let text = |at: &str| recorded[at].as_str().unwrap_or_default().to_owned();
        let path = text("path");
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let query: Vec<String> = query
            .split('&')
            .map(|part| match part.split_once('=') {
                Some((name, value)) if RENAMED.contains(&name) => {
                    format!("{name}={}", self.here.get(value).map_or(value, String::as_str))
                }
                _ => part.to_owned(),
            })
            .collect();
        let headers = recorded["headers"].as_object().into_iter().flatten();
        let body = match recorded.get("body") {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(body) => {
                let mut body = body.clone();
                self.rename(&mut body);
                body.to_string()
            }
        };
        Request {
            method: text("method"),
            path: if query == [""] { path.to_owned() } else { format!("{path}?{}", query.join("&")) },
            headers: headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
            body,
        }
    }

    fn rename(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    if let (true, Value::String(text)) = (RENAMED.contains(&name.as_str()), &mut *value) {
                        if let Some(here) = self.here.get(text) {
                            here.clone_into(text);
                        }
                    } else {
                        self.rename(value);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// How the answer differs from the recorded one; none if it does not.
    pub(crate) fn compare(&mut self, exchange: &Value, answer: &Answer) -> Option<String> {
        if exchange.get("transportError").is_some() {
            return (!answer.closed).then(|| format!("the connection was closed there; here: {answer:?}"));
        }
        let recorded = &exchange["response"];
        self.learn(&recorded["body"], &answer.body);
        let retry = recorded.get("retryAfter").cloned();
        let there = json!({"status": recorded["status"], "type": recorded["contentType"], "retryAfter": retry,
            "body": self.normal("", &recorded["body"])});
        let here = json!({"status": answer.status, "type": answer.kind, "retryAfter": answer.retry_after,
            "body": self.normal("", &answer.body)});
        let mut found = Vec::new();
        differences("", &there, &here, &mut found);
        (!found.is_empty()).then(|| found.join("\n"))
    }

    fn learn(&mut self, there: &Value, here: &Value) {
        match (there, here) {
            (Value::Object(there), Value::Object(here)) => {
                for (name, value) in there {
                    match (value, here.get(name)) {
                        (Value::String(old), Some(Value::String(new))) if RENAMED.contains(&name.as_str()) => {
                            self.here.insert(old.clone(), new.clone());
                        }
                        (old, Some(new)) => self.learn(old, new),
                        (_, None) => {}
                    }
                }
            }
            (Value::Array(there), Value::Array(here)) => {
                there.iter().zip(here).for_each(|(there, here)| self.learn(there, here));
            }
            _ => {}
        }
    }

    fn normal(&self, name: &str, value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                // Which build of the server it was, and the prose over its columns.
                let kept = map.iter().filter(|(name, _)| !matches!(name.as_str(), "gitCommit" | "gitTreeState" | "description"));
                Value::Object(kept.map(|(name, value)| (name.clone(), self.normal(name, value))).collect::<Map<_, _>>())
            }
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(|item| self.normal(name, item)).collect();
                // The server sorts them by time first: two writes may fall into one second there and not here.
                if name == "managedFields" {
                    items.sort_by_key(|item| ["operation", "manager", "subresource"].map(|key| item[key].to_string()));
                }
                Value::Array(items)
            }
            Value::String(text) => Value::String(self.word(name, text)),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn word(&self, name: &str, text: &str) -> String {
        let volatile = |kind: &str| format!("<{kind}>");
        match name {
            "resourceVersion" => volatile("version"),
            "continue" if !text.is_empty() => volatile("token"),
            _ if self.time.is_match(text) && !text.starts_with("2026-01-01T") => volatile("time"),
            "name" if self.generated.is_match(text) => volatile("name"),
            "cells" if self.age.is_match(text) => volatile("age"),
            "serverAddress" | "clusterIP" | "clusterIPs" if self.address.is_match(text) => volatile("address"),
            "message" if text.contains("batch.kubernetes.io") => {
                self.template.replace_all(text, "Invalid value: <template>: field is immutable").into_owned()
            }
            _ => self.uid.replace_all(text, "<uid>").into_owned(),
        }
    }
}

/// One line for each place where two values differ.
fn differences(path: &str, there: &Value, here: &Value, out: &mut Vec<String>) {
    match (there, here) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let none = Value::Null;
                let (a, b) = (a.get(name).unwrap_or(&none), b.get(name).unwrap_or(&none));
                differences(&format!("{path}/{name}"), a, b, out);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{at}"), a, b, out);
            }
        }
        _ if there == here => {}
        _ => out.push(format!("  {path}\n    there {}\n    here  {}", short(there), short(here))),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(600).collect()
}
