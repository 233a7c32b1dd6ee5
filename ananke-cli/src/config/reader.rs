//! Reads keys out of the merged layers with their types and limits, and collects every problem instead of the first.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use ananke_core::name::human;
use figment::value::{Dict, Value};

use super::error::{Place, Problem, quoted, suggest};
use super::keys;
use super::layers::{Layers, child, item};

/// A value and its path.
#[derive(Clone)]
pub(crate) struct Found<'a> {
    pub(crate) path: String,
    pub(crate) value: &'a Value,
}

pub(crate) struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Begins with the check for unknown keys.
    pub(crate) fn new(layers: &'a Layers) -> Self {
        let mut reader = Self { layers, problems: Vec::new() };
        reader.unknown_keys(&layers.root, "");
        reader
    }

    pub(crate) fn finish(self) -> Vec<Problem> {
        self.problems
    }

    pub(crate) fn get(&self, path: &str) -> Option<Found<'a>> {
        let mut dict = &self.layers.root;
        let mut segments = path.split('.').peekable();
        while let Some(segment) = segments.next() {
            match (dict.get(segment)?, segments.peek()) {
                (value, None) => return Some(Found { path: path.to_owned(), value }),
                (Value::Dict(_, inner), Some(_)) => dict = inner,
                (_, Some(_)) => return None,
            }
        }
        None
    }

    /// Whether somebody wrote it, and not the registry of keys.
    pub(crate) fn is_set(&self, path: &str) -> bool {
        self.get(path).is_some_and(|found| self.layers.place_of_value(path, found.value.tag()) != Place::Default)
    }

    /// A key that must be given.
    pub(crate) fn require(&mut self, path: &str, allowed: &str) -> Option<Found<'a>> {
        let found = self.get(path);
        if found.is_none() {
            let mut problem = Problem::whole(self.layers.file(), format!("missing; needed: {allowed}"));
            path.clone_into(&mut problem.key);
            self.problems.push(problem);
        }
        found
    }

    pub(crate) fn problem(&mut self, found: &Found<'_>, text: impl Into<String>) {
        let place = self.layers.place_of_value(&found.path, found.value.tag());
        self.problems.push(Problem { place, key: found.path.clone(), text: text.into() });
    }

    /// A problem with whatever stands at `path`; with the file, if nothing does.
    pub(crate) fn problem_at(&mut self, path: &str, text: impl Into<String>) {
        match self.get(path) {
            Some(found) => self.problem(&found, text),
            None => {
                let place = Place::File(self.layers.file().to_owned());
                self.problems.push(Problem { place, key: path.to_owned(), text: text.into() });
            }
        }
    }

    /// A problem with the name of an entry, not with its value.
    pub(crate) fn problem_with_key(&mut self, found: &Found<'_>, text: impl Into<String>) {
        let place = self.layers.place_of_key(&found.path, found.value.tag());
        self.problems.push(Problem { place, key: found.path.clone(), text: text.into() });
    }

    pub(crate) fn flag_problem(&mut self, flag: &str, value: &str, allowed: &str) {
        let text = format!("found {}; allowed: {allowed}", quoted(value));
        self.problems.push(Problem { place: Place::Flag, key: flag.to_owned(), text });
    }

    pub(crate) fn wrong(&mut self, found: &Found<'_>, allowed: &str) {
        // Whoever knows such a URL can use it.
        let secret = found.path.starts_with("notify") || found.path == "update.remote";
        let what = if secret && found.value.as_str().is_some() { "something else".to_owned() } else { describe(found.value) };
        self.problem(found, format!("found {what}; allowed: {allowed}"));
    }

    /// Text that `parse` makes sense of.
    pub(crate) fn parsed<T>(&mut self, found: &Found<'a>, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (parsed, hint) = match found.value {
            Value::String(_, text) => (parse(text), ""),
            // YAML took for a number what was meant as text.
            Value::Num(..) | Value::Bool(..) if parse(&describe(found.value)).is_some() => (None, " (as text, in quotes)"),
            Value::Num(..) | Value::Bool(..) | Value::Char(..) | Value::Empty(..) | Value::Dict(..) | Value::Array(..) => {
                (None, "")
            }
        };
        if parsed.is_none() {
            self.wrong(found, &format!("{allowed}{hint}"));
        }
        parsed
    }

    pub(crate) fn key<T>(&mut self, path: &str, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = self.get(path)?;
        self.parsed(&found, allowed, parse)
    }

    pub(crate) fn number(&mut self, path: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let found = self.get(path)?;
        self.number_of(&found, range)
    }

    pub(crate) fn number_of(&mut self, found: &Found<'a>, range: RangeInclusive<u64>) -> Option<u64> {
        let number = match found.value {
            // The YAML reader makes no unsigned numbers.
            Value::Num(_, num) => num.to_i128().and_then(|num| u64::try_from(num).ok()),
            Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let allowed = match *range.end() {
                u64::MAX => format!("a number, at least {}", range.start()),
                end => format!("a number from {} to {end}", range.start()),
            };
            self.wrong(found, &allowed);
        }
        number
    }

    pub(crate) fn flag(&mut self, path: &str) -> Option<bool> {
        let found = self.get(path)?;
        if let Value::Bool(_, flag) = found.value {
            return Some(*flag);
        }
        self.wrong(&found, "true or false");
        None
    }

    pub(crate) fn duration(&mut self, path: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let found = self.get(path)?;
        let (start, end) = (span(*range.start()), span(*range.end()));
        let allowed = format!("a duration with its unit, such as 90s, 10m or 1h30m, from {start} to {end}");
        self.parsed(&found, &allowed, |text| {
            let parsed = text.parse::<jiff::SignedDuration>().ok()?;
            Duration::try_from(parsed).ok().filter(|parsed| range.contains(parsed))
        })
    }

    /// A list of texts in which none stands twice.
    pub(crate) fn list<T: Ord + Clone>(&mut self, path: &str, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for found in self.items(path, &format!("a list of: {allowed}")) {
            let Some(one) = self.parsed(&found, allowed, &parse) else { continue };
            if seen.insert(one.clone()) {
                out.push(one);
            } else {
                self.problem(&found, format!("{} stands twice in the list", describe(found.value)));
            }
        }
        out
    }

    /// HTTP statuses.
    pub(crate) fn statuses(&mut self, found: &Found<'a>) -> Vec<u16> {
        let items = self.items_of(found, "a list of HTTP statuses, such as [200, 401]");
        if items.is_empty() && matches!(found.value, Value::Array(..)) {
            self.problem(found, "found an empty list; allowed: at least one HTTP status");
        }
        let numbers: Vec<u64> = items.iter().filter_map(|found| self.number_of(found, 100..=599)).collect();
        numbers.into_iter().filter_map(|number| u16::try_from(number).ok()).collect()
    }

    pub(crate) fn items(&mut self, path: &str, allowed: &str) -> Vec<Found<'a>> {
        let Some(found) = self.get(path) else { return Vec::new() };
        self.items_of(&found, allowed)
    }

    /// The items of what was read as a list before, without complaints.
    pub(crate) fn items_if_list(&self, path: &str) -> Vec<Found<'a>> {
        self.get(path).map(|found| items(&found)).unwrap_or_default()
    }

    /// The entries of a map whose keys are names that the operator chooses.
    pub(crate) fn map(&mut self, path: &str, allowed: &str) -> Vec<(&'a str, Found<'a>)> {
        let Some(found) = self.get(path) else { return Vec::new() };
        match found.value {
            Value::Dict(_, dict) => {
                dict.iter().map(|(key, value)| (key.as_str(), Found { path: child(path, key), value })).collect()
            }
            Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) | Value::Array(..) => {
                self.wrong(&found, allowed);
                Vec::new()
            }
        }
    }

    /// Refuses the keys of `dict` that are not among `known`.
    pub(crate) fn only(&mut self, dict: &Dict, path: &str, known: &[&str]) {
        for (key, value) in dict {
            if !known.contains(&key.as_str()) {
                self.unknown(&child(path, key), key, value, known);
            }
        }
    }

    pub(crate) fn items_of(&mut self, found: &Found<'a>, allowed: &str) -> Vec<Found<'a>> {
        match found.value {
            Value::Array(..) => items(found),
            Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) | Value::Dict(..) => {
                self.wrong(found, allowed);
                Vec::new()
            }
        }
    }

    fn unknown_keys(&mut self, dict: &Dict, group: &str) {
        let known = keys::names_in(group);
        self.only(dict, group, &known);
        if !group.is_empty() {
            return;
        }
        for (name, _) in keys::GROUPS {
            match dict.get(*name) {
                Some(Value::Dict(_, inner)) => self.unknown_keys(inner, name),
                Some(value) => {
                    let found = Found { path: (*name).to_owned(), value };
                    let inner = keys::names_in(name).join(", ");
                    self.wrong(&found, &format!("a group with the keys {inner}"));
                }
                None => {}
            }
        }
    }

    fn unknown(&mut self, path: &str, key: &str, value: &Value, known: &[&str]) {
        // A key that is right but stands in the wrong group is the commonest slip.
        let elsewhere = keys::KEYS.iter().map(|key| key.path).find(|known| known.rsplit('.').next() == Some(key));
        let hint = match elsewhere {
            Some(right) if right != path => format!("; did you mean {right}?"),
            Some(_) | None => suggest(key, known.iter().copied()),
        };
        let hint = if hint.is_empty() { format!("; allowed: {}", known.join(", ")) } else { hint };
        let place = self.layers.place_of_key(path, value.tag());
        self.problems.push(Problem { place, key: path.to_owned(), text: format!("unknown key{hint}") });
    }
}

fn items<'a>(found: &Found<'a>) -> Vec<Found<'a>> {
    let list = found.value.as_array().unwrap_or_default();
    list.iter().enumerate().map(|(index, value)| Found { path: item(&found.path, index), value }).collect()
}

fn span(span: Duration) -> String {
    if span.subsec_millis() == 0 { human(span) } else { format!("{}ms", span.as_millis()) }
}

fn describe(value: &Value) -> String {
    match value {
        Value::String(_, text) => quoted(text),
        Value::Char(_, char) => quoted(&char.to_string()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, num) => match (num.to_i128(), num.to_u128(), num.to_f64()) {
            (Some(number), _, _) => number.to_string(),
            (None, Some(number), _) => number.to_string(),
            (None, None, Some(number)) => format!("{number:?}"),
            (None, None, None) => "a number".to_owned(),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "keys with values".to_owned(),
        Value::Array(_, items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(..) => "a list".to_owned(),
    }
}
