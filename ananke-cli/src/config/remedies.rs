//! The key `remedies`: which of Ananke's repairs the operator wants otherwise.

use std::collections::BTreeMap;

use ananke_core::spec::{RemedyMode, RemedySpec};
use ananke_core::verdict::Trap;

use figment::value::Value;

use super::layers::child;
use super::reader::{Found, Reader};
use super::suggest;

const ALLOWED: &str = "a map of traps, as `ananke drill --list` names them, to {enabled, mode, budget}";
const FIELDS: [&str; 3] = ["enabled", "mode", "budget"];

pub(crate) fn read(reader: &mut Reader<'_>) -> BTreeMap<Trap, RemedySpec> {
    let mut remedies = BTreeMap::new();
    for (id, found) in reader.map("remedies", ALLOWED) {
        let Some(trap) = Trap::ALL.iter().copied().find(|trap| trap.id() == id) else {
            let hint = suggest(id, Trap::ALL.iter().map(|trap| trap.id()));
            reader.problem(&found, format!("there is no trap {id:?}{hint}; `ananke drill --list` has them all"));
            continue;
        };
        if let Some(spec) = one(reader, &found) {
            remedies.insert(trap, spec);
        }
    }
    remedies
}

fn one<'a>(reader: &mut Reader<'a>, found: &Found<'a>) -> Option<RemedySpec> {
    let Value::Dict(_, dict) = found.value else {
        reader.wrong(found, "a map with the keys enabled, mode and budget");
        return None;
    };
    reader.only(dict, &found.path, &FIELDS);
    let part = |key: &str| dict.get(key).map(|value| Found { path: child(&found.path, key), value });
    let mut spec = RemedySpec::default();
    if let Some(field) = part("mode") {
        spec.mode = Some(reader.parsed(&field, "auto, ask or off", mode)?);
    }
    if let Some(field) = part("budget") {
        spec.budget = reader.number_of(&field, 0..=100).and_then(|number| u32::try_from(number).ok());
    }
    if let Some(field) = part("enabled") {
        match field.value.to_bool() {
            Some(true) => {}
            Some(false) => spec.mode = Some(RemedyMode::Off),
            None => reader.wrong(&field, "true or false"),
        }
    }
    Some(spec)
}

fn mode(text: &str) -> Option<RemedyMode> {
    match text {
        "auto" => Some(RemedyMode::Auto),
        "ask" => Some(RemedyMode::Ask),
        "off" => Some(RemedyMode::Off),
        _ => None,
    }
}
