//! What Ananke needs of the world, one capability a file. Adapters translate; they decide nothing.
//!
//! Ports that read and ports that act are different traits, so a dry run is one that was never given the second kind.

pub mod clock;
pub mod cluster;
pub mod hosts;
pub mod layers;
pub mod machine;
pub mod map;
pub mod memory;
pub mod nothing;
pub mod peers;
pub mod power;
pub mod probe;
pub mod state;
pub mod ups;
pub mod vault;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use clock::Clock;
pub use cluster::{ClusterActions, ClusterPart, ClusterReads};
pub use hosts::{HostActions, HostReads};
pub use layers::LayerReads;
pub use machine::MachineReads;
pub use map::MapReads;
pub use peers::{PeerActions, PeerAnswer, PeerReads, PeerRequest};
pub use power::PowerActions;
pub use probe::{ProbeRequest, Probes};
pub use state::{StateReads, StateWrites};
pub use ups::UpsReads;
pub use vault::{VaultActions, VaultReads};

use crate::verdict::Reason;

/// What kind of trouble a port met: it tells the engine whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Refused, timed out, 429, 5xx: it may pass by itself.
    Transient,
    /// The object changed since it was read (409): judge again.
    Conflict,
    /// A right or a credential is missing (401, 403, permission denied, sudo asks for a password).
    Denied,
    /// The other end is not who it should be (host key, TLS certificate).
    Untrusted,
    /// The object, the resource or the command does not exist.
    Missing,
    /// A disruption budget does not allow it now.
    Blocked,
    /// The request or the answer makes no sense.
    Invalid,
}

/// What was tried, on what, and what was found. `Display` never repeats the source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{tried} on {on}: {found}")]
pub struct PortError {
    pub kind: ErrorKind,
    /// A verb with its object: `list nodes`.
    pub tried: String,
    /// The machine, the object or the URL.
    pub on: String,
    /// What came instead, in one line; remote text in it is clean and bounded.
    pub found: String,
    /// What a person can do about it, where the adapter knows better than the gate (the exact `known_hosts` line, the missing right).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The same for machines, where the adapter can tell: what is not known carries it into reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// How long the other end asked not to be asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

impl PortError {
    pub fn new(kind: ErrorKind, tried: &str, on: impl ToString, found: impl ToString) -> Self {
        Self {
            kind,
            tried: tried.to_owned(),
            on: on.to_string(),
            found: clean(&found.to_string(), 300),
            remedy: None,
            reason: None,
            retry_after: None,
        }
    }

    /// With what a person can do about it.
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// With what it is called in reports.
    pub fn with_reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// With how long the other end asked not to be asked again.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

/// Remote text is data: passwords of URLs are left out, what a reader does not see becomes spaces, and no more than `limit`
/// characters are kept.
pub fn clean(text: &str, limit: usize) -> String {
    let text = text.trim();
    // Most texts are plain and short, and are cleaned at every judgement.
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'@') {
        return text.to_owned();
    }
    // Before it is cut: half a URL does not show where its password ends.
    let text = without_password(text);
    let mut out: String = text.chars().map(|c| if is_unseen(c) { ' ' } else { c }).take(limit).collect();
    if text.chars().count() > limit {
        out.push('…');
    }
    out
}

/// What a terminal obeys, and what turns or hides the text around it.
pub fn is_unseen(c: char) -> bool {
    let turns_or_hides = matches!(
        c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    );
    c.is_control() || turns_or_hides
}

/// A text without the passwords that its URLs have before their hosts. Of the web's, the user goes too: it may be a token.
pub fn without_password(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let of_the_web = clean.ends_with("http") || clean.ends_with("https");
        let (login, rest) = login(part);
        let user = login.split(':').next().filter(|user| !user.is_empty() && !of_the_web);
        clean.push_str("://");
        clean.extend(user.into_iter().flat_map(|user| [user, "@"]));
        clean.push_str(rest);
    }
    clean
}

/// What stands before the host of a URL without its scheme, and the rest.
fn login(url: &str) -> (&str, &str) {
    let until = |ends: fn(char) -> bool| url.find(ends).and_then(|end| url.get(..end)).unwrap_or(url);
    let whole = until(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '`'));
    let authority = until(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '/' | '?' | '#'));
    let no_port = |(_, port): (&str, &str)| !port.ends_with(']') && !port.bytes().all(|byte| byte.is_ascii_digit());
    // A password with a slash that stands there as it is.
    let cut = !authority.contains('@') && authority.rsplit_once(':').is_some_and(no_port);
    let login = if cut { whole } else { authority }.rsplit_once('@').map_or("", |(login, _)| login);
    (login, url.get(login.len()..).map_or(url, |rest| rest.strip_prefix('@').unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_text_cannot_reach_a_terminal_as_commands() {
        let error = PortError::new(ErrorKind::Invalid, "read banner", "titan-01", "\u{1b}[2Jhello\r\nworld ");
        assert_eq!(error.to_string(), "read banner on titan-01:  [2Jhello  world");
        assert_eq!(clean("abcdef", 3), "abc…");
        assert_eq!(clean("rm \u{202e}x\u{200b}y", 9), "rm  x y");
        assert_eq!(clean("list remote for 'https://bot:hunter2@git.example': refused", 29), "list remote for 'https://git.…");
    }

    #[test]
    fn no_password_of_a_url_is_shown_wherever_it_stands() {
        for (text, expected) in [
            ("https://bot:hunter2@git.example/iac@v1", "https://git.example/iac@v1"),
            ("https://a-token@git.example/iac", "https://git.example/iac"),
            ("https://bot:hunt/er2@git.example/iac: invalid port", "https://git.example/iac: invalid port"),
            ("https://git.example:3000/iac@v1 https://[fe80::1]/a@b", "https://git.example:3000/iac@v1 https://[fe80::1]/a@b"),
            ("ssh://git:hunter2@git.example/iac", "ssh://git@git.example/iac"),
            ("list remote for 'https://:hunter2@git.example': refused", "list remote for 'https://git.example': refused"),
            ("a://b:c@d and e://f:g@h:1?x=y", "a://b@d and e://f@h:1?x=y"),
            ("ssh://git@git.example:2222/iac", "ssh://git@git.example:2222/iac"),
            ("user@host: no URL", "user@host: no URL"),
        ] {
            assert_eq!(without_password(text), expected);
            assert_eq!(clean(text, 300), expected);
        }
    }
}
