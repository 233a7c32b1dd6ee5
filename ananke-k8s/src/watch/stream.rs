//! The body of a watch: bytes to lines, lines to changes. No I/O.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::translate::meta::{ListMeta, Named};

/// etcd takes objects of 1.5 MiB; as JSON, with what the server adds, the largest is a few times that.
const MAX_LINE: usize = 8 << 20;
/// A buffer that once held a large object is given back.
const KEPT_BUFFER: usize = 64 << 10;

/// One event, as the API writes it.
#[derive(Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE", bound(deserialize = "I: DeserializeOwned"))]
enum Event<I> {
    Added(I),
    Modified(I),
    Deleted(I),
    Bookmark(Bookmark),
    Error(Value),
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: ListMeta,
}

/// What happened, and the version of the collection after it.
#[derive(Debug, PartialEq)]
pub(super) enum Change<I> {
    /// The object is there, and this is how it is.
    Is(I),
    Gone(I),
    /// Nothing but the version.
    Bookmark(String),
}

impl<I: Named> Change<I> {
    pub(super) fn version(&self) -> &str {
        match self {
            Self::Is(object) | Self::Gone(object) => &object.metadata().resource_version,
            Self::Bookmark(version) => version,
        }
    }
}

/// Why a line is not a change.
#[derive(Debug, PartialEq)]
pub(super) enum Broken {
    /// The server ends the watch with a Status: its code and text. 410 where it does not remember as far back as was asked.
    Status(u16, String),
    Nonsense(String),
}

pub(super) fn change<I: DeserializeOwned>(line: &[u8]) -> Result<Change<I>, Broken> {
    match serde_json::from_slice(line).map_err(|why| Broken::Nonsense(why.to_string()))? {
        Event::Added(object) | Event::Modified(object) => Ok(Change::Is(object)),
        Event::Deleted(object) => Ok(Change::Gone(object)),
        Event::Bookmark(bookmark) => Ok(Change::Bookmark(bookmark.metadata.version)),
        Event::Error(status) => {
            let code = status.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            Err(Broken::Status(code.unwrap_or(500), status.to_string()))
        }
    }
}

/// Puts lines together from however they were cut.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Hands each line that `chunk` completes to `take`.
    pub(super) fn push(&mut self, chunk: &[u8], mut take: impl FnMut(&[u8]) -> Result<(), Broken>) -> Result<(), Broken> {
        let mut chunk = chunk;
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (line, after) = chunk.split_at(end);
            chunk = after.get(1..).unwrap_or_default();
            if self.rest.is_empty() {
                take_line(line, &mut take)?;
                continue;
            }
            self.rest.extend_from_slice(line);
            take_line(&self.rest, &mut take)?;
            self.rest.clear();
            if self.rest.capacity() > KEPT_BUFFER {
                self.rest = Vec::new();
            }
        }
        if self.rest.len().saturating_add(chunk.len()) > MAX_LINE {
            return Err(Broken::Nonsense(format!("an event is longer than {MAX_LINE} bytes")));
        }
        self.rest.extend_from_slice(chunk);
        Ok(())
    }

    /// Whether a line has begun and not ended.
    pub(super) fn torn(&self) -> bool {
        !self.rest.is_empty()
    }
}

fn take_line(line: &[u8], take: &mut impl FnMut(&[u8]) -> Result<(), Broken>) -> Result<(), Broken> {
    if line.trim_ascii().is_empty() { Ok(()) } else { take(line) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::pod::Pod;

    fn lines(chunks: &[&str]) -> (Vec<String>, bool) {
        let (mut all, mut lines) = (Vec::new(), Lines::default());
        for chunk in chunks {
            lines
                .push(chunk.as_bytes(), |line| {
                    all.push(String::from_utf8(line.to_vec()).unwrap());
                    Ok(())
                })
                .unwrap();
        }
        (all, lines.torn())
    }

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        let whole = vec!["one".to_owned(), "two".to_owned(), "three".to_owned()];
        let text = "one\ntwo\r\n\nthree\n".replace('\r', "");
        assert_eq!(lines(&[&text]), (whole.clone(), false));
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(lines(&bytes.iter().map(String::as_str).collect::<Vec<_>>()), (whole, false));
        assert_eq!(lines(&["one\ntw"]), (vec!["one".to_owned()], true));
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; 1 << 20];
        let refused = (0..=8).find_map(|_| lines.push(&chunk, |_| Ok(())).err());
        assert_eq!(refused, Some(Broken::Nonsense("an event is longer than 8388608 bytes".to_owned())));
    }

    fn check(line: &str) -> String {
        match change::<Pod>(line.as_bytes()) {
            Ok(Change::Is(pod)) => format!("is {} at {}", pod.metadata().name, pod.metadata().resource_version),
            Ok(Change::Gone(pod)) => format!("gone {} at {}", pod.metadata().name, pod.metadata().resource_version),
            Ok(Change::Bookmark(version)) => format!("bookmark {version}"),
            Err(Broken::Status(code, _)) => format!("status {code}"),
            Err(Broken::Nonsense(why)) => why,
        }
    }

    /// As a kube-apiserver 1.36 writes them.
    #[test]
    fn every_type_of_event_is_understood() {
        let object = r#""object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-0","namespace":"apps","uid":"u","resourceVersion":"256"}}}"#;
        assert_eq!(check(&format!(r#"{{"type":"ADDED",{object}"#)), "is web-0 at 256");
        assert_eq!(check(&format!(r#"{{"type":"MODIFIED",{object}"#)), "is web-0 at 256");
        assert_eq!(check(&format!(r#"{{"type":"DELETED",{object}"#)), "gone web-0 at 256");
        let bookmark = r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"12746","creationTimestamp":null},"spec":{"containers":null},"status":{}}}"#;
        assert_eq!(check(bookmark), "bookmark 12746");
        let gone = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (5)","reason":"Expired","code":410}}"#;
        assert_eq!(check(gone), "status 410");
        assert!(check(r#"{"type":"SOMETHING","object":{}}"#).contains("unknown variant"));
    }
}
