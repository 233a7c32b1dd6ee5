//! What is wrong with a config, said so that it can be mended without reading the manual.

use std::fmt;
use std::path::{Path, PathBuf};

use ananke_core::port::clean;

/// The config cannot be used. `Display` lists every problem, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub file: PathBuf,
    pub problems: Vec<Problem>,
}

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    /// Path of the key as in `startup.post_start_probes[1].url`; empty where the file as a whole is meant.
    pub key: String,
    /// What was found, and what is allowed.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Line {
        file: PathBuf,
        line: usize,
        column: usize,
    },
    File(PathBuf),
    /// The whole name: `ANANKE_CONFIG__SSH_PORT`.
    Variable(String),
    Flag,
    Default,
}

impl ConfigError {
    pub(crate) fn one(file: &Path, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), problems: vec![Problem::whole(file, text)] }
    }
}

impl Problem {
    pub(crate) fn whole(file: &Path, text: impl Into<String>) -> Self {
        Self { place: Place::File(file.to_owned()), key: String::new(), text: text.into() }
    }
}

/// Text from a file in a message: quoted, short, without control characters and without what may be a password before a host.
pub(crate) fn quoted(text: &str) -> String {
    let (scheme, rest) = text.find("://").and_then(|at| text.split_at_checked(at.saturating_add(3))).unwrap_or(("", text));
    let login = rest.rsplit_once('@').filter(|(login, _)| !scheme.is_empty() || login.contains(':'));
    let shown = login.map_or_else(|| clean(text, 80), |(_, host)| format!("{}…@{}", clean(scheme, 80), clean(host, 80)));
    format!("\"{shown}\"")
}

/// `; did you mean X?`, or nothing where nothing is near.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const NEAR_PERCENT: u64 = 75;
    let score = |candidate: &str| {
        let (a, b) = (word.to_ascii_lowercase(), candidate.to_ascii_lowercase());
        let distance = strsim::damerau_levenshtein(&a, &b) as u64;
        let length = a.chars().count().max(b.chars().count()).max(1) as u64;
        100_u64.saturating_sub(distance.saturating_mul(100) / length)
    };
    let best = known.into_iter().map(|candidate| (score(candidate), candidate)).max_by_key(|(score, _)| *score);
    match best {
        Some((score, candidate)) if score >= NEAR_PERCENT => format!("; did you mean {candidate}?"),
        Some(_) | None => String::new(),
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.place, self.text)
        } else {
            write!(f, "{}: {}: {}", self.place, self.key, self.text)
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag => f.write_str("command line"),
            Self::Default => f.write_str("default"),
        }
    }
}
