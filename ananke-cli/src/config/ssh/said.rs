//! What a file of OpenSSH says of one host, in our terms, and which of it is not followed.
//!
//! Only what is asked for is judged: a value that a key of the config outranks may be anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::error::quoted;
use super::super::text;
use super::USER;
use super::openssh::{Entry, OpenSsh};

/// What a file says, and what is to be said of it.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) file: OpenSsh,
    pub(crate) problems: BTreeSet<(usize, String)>,
    pub(crate) warnings: BTreeSet<(usize, String)>,
}

/// What it says of one host.
pub(crate) struct Said<'b> {
    book: &'b mut Book,
    /// As it is called, which `Host` goes by.
    name: &'b str,
    home: Option<&'b str>,
}

/// A host to go through, as it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Where the file says so.
    pub(crate) line: Option<usize>,
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
}

/// How what is said goes on.
pub(crate) enum Weight {
    Warning,
    Problem,
}

/// Keywords that say where or how to connect and are not followed, with the values that ask for nothing else than what is
/// done, and what is done.
const UNUSED: &[(&str, &[&str], &str)] = &[
    ("match", &[], "Match is not followed: nothing under it applies"),
    ("include", &[], "Include is not followed: write what the nodes need into this file"),
    ("stricthostkeychecking", &["yes", "true", "ask"], "StrictHostKeyChecking is not followed: host keys are always verified"),
    (
        "nohostauthenticationforlocalhost",
        &["no", "false"],
        "NoHostAuthenticationForLocalhost is not followed: host keys are always verified",
    ),
    ("hostkeyalias", &[], "HostKeyAlias is not followed: a host is known by its address"),
    ("knownhostscommand", &["none"], "KnownHostsCommand is not run"),
    ("globalknownhostsfile", &["none"], "GlobalKnownHostsFile is not read"),
    ("canonicalizehostname", &["no", "none", "false"], "CanonicalizeHostname is not followed"),
    ("bindaddress", &[], "BindAddress is not followed"),
    ("bindinterface", &[], "BindInterface is not followed"),
    ("addressfamily", &["any"], "AddressFamily is not followed"),
    ("certificatefile", &["none"], "CertificateFile is not used: no certificates of users are offered"),
    (
        "identityagent",
        &["SSH_AUTH_SOCK", "$SSH_AUTH_SOCK"],
        "IdentityAgent is not followed: the agent is the one of SSH_AUTH_SOCK",
    ),
];

impl Book {
    pub(crate) fn of<'b>(&'b mut self, name: &'b str, home: Option<&'b str>) -> Said<'b> {
        let mut said = Said { book: self, name, home };
        said.tell_what_is_not_followed();
        said
    }

    pub(crate) fn say(&mut self, weight: Weight, line: usize, text: String) {
        match weight {
            Weight::Warning => self.warnings.insert((line, text)),
            Weight::Problem => self.problems.insert((line, text)),
        };
    }
}

impl Said<'_> {
    pub(crate) fn host(&mut self) -> Option<String> {
        let entry = self.first(&["hostname"])?;
        let host = expanded(entry.value(), &[('h', self.name)]).filter(|host| text::is_host(host) || text::is_v6(host));
        self.or_problem(&entry, host, "a host name or an address, in which %h is the name after Host")
    }

    pub(crate) fn port(&mut self) -> Option<u16> {
        let entry = self.first(&["port"])?;
        let port = text::port(entry.value());
        self.or_problem(&entry, port, "a number from 1 to 65535")
    }

    pub(crate) fn user(&mut self) -> Option<String> {
        let entry = self.first(&["user"])?;
        let user = text::user(entry.value());
        self.or_problem(&entry, user, USER)
    }

    /// The first key file; `None` within: the agent's keys.
    pub(crate) fn identity_file(&mut self) -> Option<Option<PathBuf>> {
        let entry = self.first(&["identityfile"])?;
        let second = self.all("identityfile").nth(1).map(|second| second.line);
        if let Some(line) = second {
            self.book.say(Weight::Warning, line, format!("a second IdentityFile is not used: that of line {} is", entry.line));
        }
        if entry.is_none() {
            return Some(None);
        }
        self.path(&entry).map(Some)
    }

    pub(crate) fn known_hosts(&mut self) -> Option<PathBuf> {
        let entry = self.first(&["userknownhostsfile"])?;
        if entry.values.len() > 1 || entry.is_none() {
            // A key may be revoked in the second.
            let found = entry.values.join(" ");
            return self.or_problem(&Entry { values: vec![found], ..entry }, None, "one file");
        }
        self.path(&entry)
    }

    /// What to go through: of ProxyJump and ProxyCommand, the first counts.
    pub(crate) fn jump(&mut self) -> Option<Hop> {
        let entry = self.first(&["proxyjump", "proxycommand"])?;
        if entry.is_none() {
            return None;
        }
        if entry.keyword == "proxycommand" {
            let text = "ProxyCommand is not run: the host is reached directly; name a host in ProxyJump";
            self.book.say(Weight::Warning, entry.line, text.to_owned());
            return None;
        }
        let jump = hop(entry.value()).map(|hop| Hop { line: Some(entry.line), ..hop });
        self.or_problem(&entry, jump, "one host to go through: host, user@host or user@host:port, or none")
    }

    fn tell_what_is_not_followed(&mut self) {
        for (keyword, harmless, text) in UNUSED {
            let Some(entry) = self.first(&[keyword]) else { continue };
            if !harmless.iter().any(|harmless| harmless.eq_ignore_ascii_case(entry.value())) {
                self.book.say(Weight::Warning, entry.line, (*text).to_owned());
            }
        }
        if let Some(entry) = self.first(&["revokedhostkeys"])
            && !entry.is_none()
        {
            let text = "RevokedHostKeys is not read; allowed: @revoked lines in the known hosts, and RevokedHostKeys none";
            self.book.say(Weight::Problem, entry.line, text.to_owned());
        }
    }

    fn all(&self, keyword: &str) -> impl Iterator<Item = &Entry> {
        self.book.file.of(self.name).filter(move |entry| entry.keyword == keyword)
    }

    fn first(&self, keywords: &[&str]) -> Option<Entry> {
        self.book.file.of(self.name).find(|entry| keywords.contains(&entry.keyword.as_str())).cloned()
    }

    fn path(&mut self, entry: &Entry) -> Option<PathBuf> {
        let value = entry.value();
        let home = self.home;
        let path = match value.strip_prefix("~/") {
            Some(rest) => home.map(|home| Path::new(home).join(rest)),
            None => expanded(value, &[('d', home.unwrap_or_default()), ('n', self.name)]).map(PathBuf::from),
        };
        let path = path.filter(|path| path.is_absolute() && !value.contains(['\0', '$']));
        self.or_problem(entry, path, "an absolute path, or one below ~/ (which needs HOME); of tokens %d and %n")
    }

    fn or_problem<T>(&mut self, entry: &Entry, value: Option<T>, allowed: &str) -> Option<T> {
        if value.is_none() {
            let text = format!("{}: found {}; allowed: {allowed}", entry.keyword, quoted(entry.value()));
            self.book.say(Weight::Problem, entry.line, text);
        }
        value
    }
}

/// `ssh://` is taken off; several hosts are none.
fn hop(text: &str) -> Option<Hop> {
    let text = text.strip_prefix("ssh://").unwrap_or(text);
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(text::user(user)?), rest),
        None => (None, text),
    };
    let (name, port) = text::host_and_port(rest)?;
    Some(Hop { line: None, name, port, user })
}

/// The text with its tokens replaced; `None` where it has others.
fn expanded(text: &str, tokens: &[(char, &str)]) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            '%' => out.push('%'),
            token => out.push_str(tokens.iter().find(|(known, _)| *known == token)?.1),
        }
    }
    Some(out)
}
