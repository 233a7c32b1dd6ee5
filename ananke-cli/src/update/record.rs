//! `update.json`: what an update must know of those before it, whatever cut them off.

use std::fmt;
use std::path::PathBuf;

use ananke_core::name::Moment;
use serde::{Deserialize, Serialize};

/// The name of a commit: 40 or 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Commit(String);

impl Commit {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && matches!(text.len(), 40 | 64)).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Commit {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not the name of a commit")
    }
}

/// As people name it.
impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// None before the first update.
    #[serde(default)]
    pub(crate) installed: Option<Commit>,
    /// Made by an update, and so ours to empty.
    #[serde(default)]
    pub(crate) directory: Option<PathBuf>,
    /// Set while the directory is written to. Found set, it was cut off, and what lies there may be torn.
    #[serde(default)]
    pub(crate) building: bool,
    /// Set from before the program is exchanged until the new one is proved or the old one is back.
    #[serde(default)]
    pub(crate) swapping: Option<Swapping>,
    /// What was put back last, so that it is not tried every night.
    #[serde(default)]
    pub(crate) put_back: Option<PutBack>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swapping {
    pub(crate) to: Commit,
    /// Whether the daemon ran, and must run again.
    pub(crate) daemon: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PutBack {
    pub(crate) commit: Commit,
    pub(crate) at: Moment,
    pub(crate) why: String,
}
