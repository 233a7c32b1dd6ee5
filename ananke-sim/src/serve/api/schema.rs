//! What fields the objects of each kind have, and how lists and maps of them are merged and owned: `data/types.txt`.
//!
//! A reduction of the OpenAPI documents of kube-apiserver 1.36.2 and of Flux's CRDs, without their prose. Kinds that are not
//! listed may have any fields.
//!
//! A line of two blanks is a field: name, shape, flags. Shapes are `string`, `integer`, `number`, `boolean`, `any`, the
//! name of another type, `[]` of a shape, or `{}` of one (a map with string keys).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::kinds::Kind;

#[derive(Debug, Default)]
pub struct Type {
    pub fields: Vec<Field>,
    /// It is owned and replaced as a whole.
    pub atomic: bool,
}

impl Type {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    /// A map that is owned as a whole.
    pub atomic: bool,
    /// It is always there, empty at the least: a Go struct that is no pointer.
    pub always: bool,
    pub list: ListKind,
    /// How strategic merge patches treat the list; none: they replace it.
    pub merge: Option<Merge>,
    pub default: Option<Value>,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    Integer,
    Number,
    Boolean,
    Any,
    Named(&'static str),
    List(&'static Shape),
    Map(&'static Shape),
}

impl Shape {
    /// The fields of an object of this shape.
    pub fn of(self) -> Option<&'static Type> {
        match self {
            Self::Named(name) => SCHEMA.types.get(name),
            Self::Text | Self::Integer | Self::Number | Self::Boolean | Self::Any | Self::List(_) | Self::Map(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListKind {
    /// Owned as a whole.
    #[default]
    Atomic,
    /// Each value once.
    Set,
    /// Items are told apart by these fields.
    Map(Vec<&'static str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Lists of words: what is new is added.
    Union,
    /// Lists of objects, told apart by this field.
    By(&'static str),
}

/// What a value of a custom resource must be like.
#[derive(Debug)]
pub enum Rule {
    OneOf(Vec<Value>),
    Pattern(&'static str, regex::Regex),
    MinLength(usize),
    MaxLength(usize),
    Minimum(i64),
    Maximum(i64),
}

#[derive(Debug, Default)]
struct Schema {
    types: BTreeMap<&'static str, Type>,
    kinds: BTreeMap<(&'static str, &'static str), &'static str>,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| read(include_str!("data/types.txt")));

/// The shape of a kind's objects.
pub fn shape(kind: &Kind) -> Shape {
    SCHEMA.kinds.get(&(kind.kind, kind.group)).map_or(Shape::Any, |name| Shape::Named(name))
}

fn read(text: &'static str) -> Schema {
    let mut schema = Schema::default();
    let mut last = "";
    for line in text.lines() {
        if let Some(field) = line.strip_prefix("  ") {
            if let (Some(of), Some(field)) = (schema.types.get_mut(last), read_field(field)) {
                of.fields.push(field);
            }
        } else if let Some(kind) = line.strip_prefix("kind ") {
            let words: Vec<&str> = kind.split(' ').collect();
            if let [at, kind, name] = words.as_slice() {
                schema.kinds.insert((*kind, at.split_once('/').map_or("", |(group, _)| group)), *name);
            }
        } else {
            let (name, flags) = line.split_once(' ').unwrap_or((line, ""));
            schema.types.insert(name, Type { fields: Vec::new(), atomic: flags == "atomic" });
            last = name;
        }
    }
    schema
}

fn read_field(line: &'static str) -> Option<Field> {
    // A pattern may have blanks in it, and stands last.
    let (line, pattern) = line.split_once(" pattern=").map_or((line, None), |(line, pattern)| (line, Some(pattern)));
    let mut words = line.split(' ');
    let (name, shape) = (words.next()?, read_shape(words.next()?));
    let mut field = Field {
        name,
        shape,
        required: false,
        atomic: false,
        always: false,
        list: ListKind::Atomic,
        merge: None,
        default: None,
        rules: Vec::new(),
    };
    for word in words {
        let (flag, value) = word.split_once('=').unwrap_or((word, ""));
        match flag {
            "required" => field.required = true,
            "atomic" => field.atomic = true,
            "value" => field.always = true,
            "set" => field.list = ListKind::Set,
            "map" => field.list = ListKind::Map(value.split(',').collect()),
            "merge" => field.merge = Some(if value.is_empty() { Merge::Union } else { Merge::By(value) }),
            "default" => field.default = serde_json::from_str(value).ok(),
            _ => field.rules.extend(rule(flag, value)),
        }
    }
    if let Some(pattern) = pattern {
        field.rules.extend(rule("pattern", pattern));
    }
    Some(field)
}

fn rule(name: &str, value: &'static str) -> Option<Rule> {
    Some(match name {
        "enum" => Rule::OneOf(serde_json::from_str(value).ok()?),
        "pattern" => {
            let pattern: &'static str = serde_json::from_str::<String>(value).ok()?.leak();
            Rule::Pattern(pattern, regex::Regex::new(pattern).ok()?)
        }
        "minLength" => Rule::MinLength(value.parse().ok()?),
        "maxLength" => Rule::MaxLength(value.parse().ok()?),
        "minimum" => Rule::Minimum(value.parse().ok()?),
        "maximum" => Rule::Maximum(value.parse().ok()?),
        _ => return None,
    })
}

fn read_shape(text: &'static str) -> Shape {
    match text {
        "string" => Shape::Text,
        "integer" => Shape::Integer,
        "number" => Shape::Number,
        "boolean" => Shape::Boolean,
        "any" => Shape::Any,
        _ => {
            // Read once for the whole process, so that leaked shapes are as good as static ones.
            if let Some(item) = text.strip_prefix("[]") {
                Shape::List(Box::leak(Box::new(read_shape(item))))
            } else if let Some(item) = text.strip_prefix("{}") {
                Shape::Map(Box::leak(Box::new(read_shape(item))))
            } else {
                Shape::Named(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{KINDS, named};
    use super::*;

    #[test]
    fn every_line_is_read_and_every_name_is_a_type() {
        let text = include_str!("data/types.txt");
        let fields = SCHEMA.types.values().flat_map(|of| &of.fields);
        assert_eq!(fields.clone().count(), text.lines().filter(|line| line.starts_with("  ")).count());
        for field in fields {
            let mut shape = field.shape;
            while let Shape::List(item) | Shape::Map(item) = shape {
                shape = *item;
            }
            assert!(!matches!(shape, Shape::Named(_)) || shape.of().is_some(), "{}: {shape:?}", field.name);
        }
        let rules = ["enum=", "pattern=", "minLength=", "maxLength=", "minimum=", "maximum="];
        let written: usize = rules.iter().map(|rule| text.matches(&format!(" {rule}")).count()).sum();
        assert_eq!(SCHEMA.types.values().flat_map(|of| &of.fields).map(|field| field.rules.len()).sum::<usize>(), written);
        for (kind, group) in SCHEMA.kinds.keys() {
            assert!(KINDS.iter().any(|known| known.kind == *kind && known.group == *group), "{kind} in {group}");
        }
    }

    #[test]
    fn lists_know_how_they_are_merged() {
        let spec = |kind: &str| shape(named(kind).unwrap()).of().unwrap().field("spec").unwrap().shape.of().unwrap();
        let container = spec("Pod").field("containers").unwrap();
        assert_eq!((&container.list, container.merge), (&ListKind::Map(vec!["name"]), Some(Merge::By("name"))));
        let taints = spec("Node").field("taints").unwrap();
        assert_eq!((&taints.list, taints.merge), (&ListKind::Atomic, None));
        assert_eq!(shape(KINDS.iter().find(|kind| kind.group == "longhorn.io").unwrap()), Shape::Any);
    }
}
