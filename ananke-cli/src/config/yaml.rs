//! YAML as a tree in which every key and value knows its place in the text.
//!
//! A config is small and plain, so what makes YAML surprising is refused by name: duplicate keys, anchors and aliases,
//! tags, several documents, keys that are not text.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Deeper than any key of the config; it bounds what a hostile file can make us build.
const MAX_DEPTH: usize = 16;

/// Where something stands, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: At,
    pub(crate) value: Node,
}

/// What is wrong with the text as YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: At,
    pub(crate) text: String,
}

/// The tree, as far as it could be built, and all that is wrong with it. `None`: there is nothing but comments.
pub(crate) fn parse(text: &str) -> (Option<Node>, Vec<Fault>) {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => Err(Fault { at: place(*error.marker()), text: format!("not valid YAML: {}", error.info()) }),
        };
        if let Err(fault) = step {
            builder.faults.push(fault);
            break;
        }
    }
    (builder.root, builder.faults)
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    faults: Vec<Fault>,
}

/// A list or a map whose end has not been seen.
enum Open {
    List { at: At, items: Vec<Node> },
    Map { at: At, entries: Vec<Entry>, key: Option<(String, At)> },
}

impl Builder {
    /// An error ends the parse: after it, nothing more can be said with certainty.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let at = place(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Fault { at, text: "a second document begins here; allowed: one document".to_owned() })
            }
            Event::DocumentStart(_) => Ok(()),
            Event::Alias(_) => Err(Fault { at, text: "found an alias (*name); allowed: the value itself".to_owned() }),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_extras(at, anchor, tag.is_some())?;
                self.scalar(at, &text, style)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_extras(at, anchor, tag.is_some())?;
                self.open(at, Open::List { at, items: Vec::new() })
            }
            Event::MappingStart(anchor, tag) => {
                refuse_extras(at, anchor, tag.is_some())?;
                self.open(at, Open::Map { at, entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { at, items }) => self.add(Node { at, content: Content::List(items) }),
                Some(Open::Map { at, entries, .. }) => self.add(Node { at, content: Content::Map(entries) }),
                None => Ok(()),
            },
        }
    }

    fn scalar(&mut self, at: At, text: &str, style: ScalarStyle) -> Result<(), Fault> {
        if let Some(Open::Map { entries, key: key @ None, .. }) = self.open.last_mut() {
            if let Some(first) = entries.iter().find(|entry| entry.key == text) {
                let line = first.key_at.line;
                self.faults.push(Fault { at, text: format!("{text}: the key stands twice, first on line {line}") });
            }
            *key = Some((text.to_owned(), at));
            return Ok(());
        }
        let content = match style {
            ScalarStyle::Plain => plain(text),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted | ScalarStyle::Literal | ScalarStyle::Folded => {
                Content::Text(text.to_owned())
            }
        };
        self.add(Node { at, content })
    }

    fn open(&mut self, at: At, open: Open) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Fault { at, text: format!("nested too deep; allowed: {MAX_DEPTH} levels") });
        }
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return Err(Fault { at, text: "a list or a map stands where a key should; allowed: text as key".to_owned() });
        }
        self.open.push(open);
        Ok(())
    }

    fn add(&mut self, node: Node) -> Result<(), Fault> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some((key, key_at)) = key.take() {
                    entries.push(Entry { key, key_at, value: node });
                }
            }
        }
        Ok(())
    }
}

fn refuse_extras(at: At, anchor: usize, tagged: bool) -> Result<(), Fault> {
    if anchor != 0 {
        return Err(Fault { at, text: "found an anchor (&name); allowed: plain values".to_owned() });
    }
    if tagged {
        return Err(Fault { at, text: "found a tag (!name); allowed: plain values".to_owned() });
    }
    Ok(())
}

/// The core schema of YAML 1.2: `yes`, `no` and `on` are text.
fn plain(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
        "true" | "True" | "TRUE" => return Content::Bool(true),
        "false" | "False" | "FALSE" => return Content::Bool(false),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>() {
        return Content::Int(number);
    }
    let numeric = text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().all(|b| b"0123456789+-.eE".contains(&b));
    match text.parse::<f64>() {
        Ok(number) if numeric => Content::Float(number),
        _ => Content::Text(text.to_owned()),
    }
}

fn place(marker: saphyr_parser::Marker) -> At {
    At { line: marker.line(), column: marker.col().saturating_add(1) }
}
