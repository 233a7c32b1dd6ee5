//! The layers that make up a config, merged by figment: defaults, file, environment, flags. Later ones win, key by key.
//!
//! figment keeps which layer a value came from; the file layer adds where in the file it stands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::error::{ConfigError, Place, Problem};
use super::keys::{self, KEYS, Shape};
use super::yaml::{self, At, Content, Node};
use super::{Host, Overrides};

/// Prefix of environment variables that set keys; `__` separates groups.
pub(crate) const PREFIX: &str = "ANANKE_CONFIG__";

const DEFAULTS: &str = "defaults";
const FILE: &str = "file";
const ENVIRONMENT: &str = "environment";
const FLAGS: &str = "flags";

/// All layers as one tree, and where each value of it came from.
pub(crate) struct Layers {
    pub(crate) root: Dict,
    figment: Figment,
    file: PathBuf,
    spots: BTreeMap<String, Spot>,
}

/// Where a key of the file and its value stand.
#[derive(Clone, Copy)]
struct Spot {
    key: At,
    value: At,
}

struct Layer {
    name: &'static str,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

impl Layers {
    /// Reads `text` as the file layer. YAML faults of the file and of the environment come back all at once.
    pub(crate) fn read(file: &Path, text: &str, host: &Host, overrides: &Overrides) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut spots = BTreeMap::new();
        let from_file = file_layer(file, text, &mut spots, &mut problems);
        let environment = environment_layer(host, &mut problems);
        if !problems.is_empty() {
            return Err(ConfigError { file: file.to_owned(), problems });
        }
        let layers = [(DEFAULTS, defaults()), (FILE, from_file), (ENVIRONMENT, environment), (FLAGS, flags(overrides))];
        let figment = layers.into_iter().fold(Figment::new(), |all, (name, dict)| all.merge(Layer { name, dict }));
        let mut profiles = figment.data().map_err(|error| ConfigError::one(file, format!("cannot merge the layers: {error}")))?;
        let root = profiles.remove(&Profile::Default).unwrap_or_default();
        Ok(Self { root, figment, file: file.to_owned(), spots })
    }

    /// Where the value at `path` stands.
    pub(crate) fn place_of_value(&self, path: &str, tag: Tag) -> Place {
        self.place(path, tag, |spot| spot.value)
    }

    /// Where the key at `path` stands.
    pub(crate) fn place_of_key(&self, path: &str, tag: Tag) -> Place {
        self.place(path, tag, |spot| spot.key)
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    fn place(&self, path: &str, tag: Tag, which: impl Fn(&Spot) -> At) -> Place {
        match self.figment.get_metadata(tag).map(|metadata| metadata.name.as_ref()) {
            Some(FILE) => match self.spots.get(path).map(which) {
                Some(At { line, column }) => Place::Line { file: self.file.clone(), line, column },
                None => Place::File(self.file.clone()),
            },
            // A variable that holds a whole list or map is named by its key.
            Some(ENVIRONMENT) => {
                let key = path.split('[').next().unwrap_or(path);
                Place::Variable(format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase()))
            }
            Some(FLAGS) => Place::Flag,
            Some(_) | None => Place::Default,
        }
    }
}

/// The path of an item of a list.
pub(crate) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// The path of a key in a group or map.
pub(crate) fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn defaults() -> Dict {
    let mut dict = Dict::new();
    for key in KEYS {
        if let keys::Value::Default(value) = key.value {
            let segments: Vec<&str> = key.path.split('.').collect();
            insert(&mut dict, &segments, from_variable(key.shape, value).unwrap_or_else(|_| Value::from(value)));
        }
    }
    dict
}

fn flags(overrides: &Overrides) -> Dict {
    let mut dict = Dict::new();
    if overrides.allow_on_battery {
        insert(&mut dict, &["coordination", "allow_startup_on_battery"], Value::from(true));
    }
    dict
}

fn file_layer(file: &Path, text: &str, spots: &mut BTreeMap<String, Spot>, problems: &mut Vec<Problem>) -> Dict {
    let (root, faults) = yaml::parse(text);
    let broken = !faults.is_empty();
    problems.extend(faults.into_iter().map(|fault| {
        let place = Place::Line { file: file.to_owned(), line: fault.at.line, column: fault.at.column };
        Problem { place, key: String::new(), text: fault.text }
    }));
    match root {
        Some(Node { content: Content::Map(entries), at }) => {
            let root = Node { content: Content::Map(entries), at };
            match to_value(&root, "", spots) {
                Some(Value::Dict(_, dict)) => dict,
                Some(_) | None => Dict::new(),
            }
        }
        Some(Node { content: Content::Null, .. }) | None if !broken => {
            problems.push(Problem::whole(
                file,
                format!("there is nothing in it but white space and comments; {}", super::HOW_TO_CREATE),
            ));
            Dict::new()
        }
        Some(other) if !broken => {
            let found = describe(&other.content);
            problems.push(Problem::whole(file, format!("found {found}; allowed: keys with values, such as `kubeconfig: PATH`")));
            Dict::new()
        }
        Some(_) | None => Dict::new(),
    }
}

fn describe(content: &Content) -> &'static str {
    match content {
        Content::Null => "nothing",
        Content::Bool(_) => "true or false",
        Content::Int(_) | Content::Float(_) => "a number",
        Content::Text(_) => "text",
        Content::List(_) => "a list",
        Content::Map(_) => "keys",
    }
}

/// `None` for a key that is written but left empty: it counts as not set, so that its default holds.
fn to_value(node: &Node, path: &str, spots: &mut BTreeMap<String, Spot>) -> Option<Value> {
    match &node.content {
        Content::Null => None,
        Content::Bool(value) => Some(Value::from(*value)),
        Content::Int(value) => Some(Value::from(*value)),
        Content::Float(value) => Some(Value::from(*value)),
        Content::Text(value) => Some(Value::from(value.as_str())),
        Content::List(items) => {
            let mut list = Vec::new();
            for (index, node) in items.iter().enumerate() {
                let path = item(path, index);
                spots.insert(path.clone(), Spot { key: node.at, value: node.at });
                list.push(to_value(node, &path, spots).unwrap_or(Value::Empty(Tag::Default, figment::value::Empty::Unit)));
            }
            Some(Value::from(list))
        }
        Content::Map(entries) => {
            let mut dict = Dict::new();
            for entry in entries {
                let path = child(path, &entry.key);
                spots.insert(path.clone(), Spot { key: entry.key_at, value: entry.value.at });
                if let Some(value) = to_value(&entry.value, &path, spots) {
                    dict.insert(entry.key.clone(), value);
                }
            }
            Some(Value::from(dict))
        }
    }
}

fn environment_layer(host: &Host, problems: &mut Vec<Problem>) -> Dict {
    let mut dict = Dict::new();
    for (name, text) in &host.env {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let mut problem = |text: String| {
            problems.push(Problem { place: Place::Variable(name.clone()), key: String::new(), text });
        };
        let lower = rest.to_ascii_lowercase();
        let segments: Vec<&str> = lower.split("__").collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            problem(format!("the name has an empty part; allowed: {PREFIX}GROUP__KEY"));
            continue;
        }
        let path = segments.join(".");
        let shape = keys::find(&path).map_or(Shape::Map, |key| key.shape);
        let inside_a_map = segments.split_last().is_some_and(|(_, outer)| keys::find(&outer.join(".")).is_some());
        let shape = if inside_a_map { Shape::Text } else { shape };
        match from_variable(shape, text) {
            Ok(value) => insert(&mut dict, &segments, value),
            Err(fault) => problem(fault),
        }
    }
    dict
}

/// Text is taken as it is, so that a branch `1.0` or a file `~` need no quotes; the rest is YAML.
pub(crate) fn from_variable(shape: Shape, text: &str) -> Result<Value, String> {
    match shape {
        Shape::Text | Shape::Duration => Ok(Value::from(text)),
        Shape::Number | Shape::Flag | Shape::List | Shape::Map => {
            let (node, faults) = yaml::parse(text);
            if let Some(fault) = faults.into_iter().next() {
                return Err(fault.text);
            }
            let value = node.and_then(|node| to_value(&node, "", &mut BTreeMap::new()));
            Ok(value.unwrap_or_else(|| Value::from(text)))
        }
    }
}

fn insert(dict: &mut Dict, segments: &[&str], value: Value) {
    match segments {
        [] => {}
        [last] => {
            dict.insert((*last).to_owned(), value);
        }
        [group, rest @ ..] => {
            let inner = dict.entry((*group).to_owned()).or_insert_with(|| Value::from(Dict::new()));
            if !matches!(inner, Value::Dict(..)) {
                *inner = Value::from(Dict::new());
            }
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
