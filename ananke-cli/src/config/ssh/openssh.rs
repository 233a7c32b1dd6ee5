//! OpenSSH's `ssh_config(5)` as lines under patterns of hosts: what stands there, not what it means.
//!
//! Pure, and the same to every keyword. A file that `ssh` takes is read as `ssh` reads it, except that `Include` is not
//! followed and nothing under `Match` applies.

use ananke_ssh::known_hosts::glob;

/// Their value is a command of a shell, to the end of the line.
const COMMANDS: &[&str] = &["proxycommand", "knownhostscommand", "localcommand", "remotecommand"];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OpenSsh {
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    scope: Scope,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// What stands before the first `Host`.
    All,
    Hosts(Vec<String>),
    /// Under a `Match`.
    Nobody,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Counted from 1.
    pub(crate) line: usize,
    /// In lower case.
    pub(crate) keyword: String,
    pub(crate) values: Vec<String>,
}

/// A line, and what is wrong with it.
pub(crate) type Fault = (usize, String);

impl Entry {
    /// Its first value; a line without one is no entry.
    pub(crate) fn value(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    /// The word that takes back what would be set.
    pub(crate) fn is_none(&self) -> bool {
        self.values.len() == 1 && self.value().eq_ignore_ascii_case("none")
    }
}

impl OpenSsh {
    /// All lines that cannot be read, or the file.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let mut blocks = vec![Block { scope: Scope::All, entries: Vec::new() }];
        let mut faults = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let entry = match entry(line, text) {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            };
            match entry.keyword.as_str() {
                "host" => blocks.push(Block { scope: Scope::Hosts(entry.values), entries: Vec::new() }),
                "match" => {
                    // The line itself is told of to all.
                    blocks.push(Block { scope: Scope::All, entries: vec![entry] });
                    blocks.push(Block { scope: Scope::Nobody, entries: Vec::new() });
                }
                _ => {
                    if let Some(block) = blocks.last_mut() {
                        block.entries.push(entry);
                    }
                }
            }
        }
        if faults.is_empty() { Ok(Self { blocks }) } else { Err(faults) }
    }

    /// What applies to a host by the name that it is called, in the order of the file: of each keyword the first counts.
    pub(crate) fn of<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f Entry> + 'f {
        self.blocks.iter().filter(move |block| block.scope.has(name)).flat_map(|block| &block.entries)
    }
}

impl Scope {
    /// One negated pattern that matches says no, whatever the others say.
    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Nobody => false,
            Self::Hosts(patterns) => {
                let refused = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(|no| glob(no, name));
                !refused && patterns.iter().any(|pattern| glob(pattern, name))
            }
        }
    }
}

/// `keyword values`, `keyword=values` or `keyword = values`; nothing for comments and empty lines.
fn entry(line: usize, text: &str) -> Result<Option<Entry>, Fault> {
    let text = text.trim_matches([' ', '\t', '\r', '\x0c']);
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let fault = |text: String| (line, text);
    let end = text.find([' ', '\t', '=']).unwrap_or(text.len());
    let (keyword, rest) = text.split_at(end);
    let rest = rest.trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start_matches([' ', '\t']);
    let lower = keyword.to_ascii_lowercase();
    let values = if COMMANDS.contains(&lower.as_str()) {
        Some(rest).filter(|rest| !rest.is_empty()).map(str::to_owned).into_iter().collect()
    } else {
        words(rest).ok_or_else(|| fault(format!("{keyword}: a quote has no end; allowed: quotes in pairs")))?
    };
    if values.is_empty() {
        return Err(fault(format!("{keyword} has no value; needed: one")));
    }
    Ok(Some(Entry { line, keyword: lower, values }))
}

/// Splits at spaces as OpenSSH does: quotes of both kinds, few escapes, and a `#` that begins a word ends the line. `None`: a
/// quote is left open.
fn words(text: &str) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = |next: &char| matches!(next, '\'' | '"' | '\\') || (quote.is_none() && *next == ' ');
        match c {
            '#' if word.is_none() => break,
            ' ' | '\t' if quote.is_none() => out.extend(word.take()),
            '\\' => {
                let taken = chars.next_if(escaped).unwrap_or(c);
                word.get_or_insert_default().push(taken);
            }
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            _ if quote == Some(c) => quote = None,
            _ => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    quote.is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_split_as_openssh_splits_them() {
        let cases: [(&str, Option<&[&str]>); 10] = [
            ("a b", Some(&["a", "b"])),
            ("a # b", Some(&["a"])),
            ("a#b", Some(&["a#b"])),
            (r#""a b" 'c "d'"#, Some(&["a b", "c \"d"])),
            (r#"a\ b \c "\"d\ e""#, Some(&["a b", r"\c", r#""d\ e"#])),
            (r#"x"y z"w"#, Some(&["xy zw"])),
            (r#""""#, Some(&[""])),
            ("", Some(&[])),
            ("\"a", None),
            ("a'", None),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect()), "{text}");
        }
    }

    #[test]
    fn a_line_is_a_keyword_and_its_values() {
        for text in ["Port 22", " port=22", "PORT = 22\r", "Port\t22 # usual", "port ==22"] {
            let entry = entry(1, text).unwrap().unwrap();
            let value = if text.contains("==") { "=22" } else { "22" };
            assert_eq!((entry.keyword.as_str(), entry.values), ("port", vec![value.to_owned()]), "{text}");
        }
        let command = entry(1, "ProxyCommand sh -c 'echo \"").unwrap().unwrap();
        assert_eq!(command.values, ["sh -c 'echo \""]);
        for bad in ["Port", "Port =", "Port #1", "User \"a"] {
            assert!(entry(1, bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"((Host|Match|Port|User|Include) ?[ =]["'\\ a!*#\n]{0,12}\n|.{0,20}\n){0,8}"#) {
            if let Ok(file) = OpenSsh::parse(&text) {
                file.of("a").for_each(drop);
            }
        }
    }
}
