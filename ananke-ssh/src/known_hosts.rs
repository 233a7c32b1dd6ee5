//! Which host keys are believed: OpenSSH's `known_hosts`, read strictly. A key that is not in it is refused.
//!
//! Hashed names, `[host]:port`, wildcards, negation and `@revoked` mean what they mean to `ssh`. A port other than 22 must
//! be named: unlike `ssh`, a line without the port does not vouch for every port of a host. Lines with `@cert-authority`
//! are skipped: no certificate is ever asked for, so none can vouch for anything.

use std::path::Path;

use ananke_core::name::NodeName;
use ananke_core::port::{ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use data_encoding::BASE64;
use ring::hmac;
use russh::keys::{Algorithm, HashAlg, PublicKey};

/// A file larger than this is no `known_hosts`.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The lines that speak of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownKeys {
    keys: Vec<KnownKey>,
    /// Numbers of lines that name the host but hold no key that can be read.
    unreadable: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct KnownKey {
    /// Counted from 1, as editors do.
    line: usize,
    revoked: bool,
    key: PublicKey,
}

/// What the file says of the key that a host showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    Trusted,
    /// Nothing is known of the host; the number is that of a line which names it and cannot be read.
    Unknown {
        unreadable: Option<usize>,
    },
    /// The host is known by another key.
    Changed {
        line: usize,
        expected: String,
    },
    Revoked {
        line: usize,
    },
}

/// The name under which `known_hosts` knows a host.
pub fn host_entry(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

impl KnownKeys {
    /// Picks what `text` says of `host` and `port`.
    pub fn parse(text: &str, host: &str, port: u16) -> Self {
        let entry = host_entry(host, port);
        let mut known = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let mut words = line.split_ascii_whitespace().peekable();
            let marker = words.next_if(|word| word.starts_with('@'));
            let (Some(patterns), Some(kind)) = (words.next(), words.next()) else { continue };
            if patterns.starts_with('#') || marker.is_some_and(|marker| marker != "@revoked") || !names(patterns, &entry) {
                continue;
            }
            match PublicKey::from_openssh(&format!("{kind} {}", words.next().unwrap_or_default())) {
                Ok(key) => known.keys.push(KnownKey { line: number, revoked: marker.is_some(), key }),
                Err(_) => known.unreadable.push(number),
            }
        }
        known
    }

    /// Judges a key that the host has proved to hold.
    pub fn judge(&self, shown: &PublicKey) -> Trust {
        let same = |known: &&KnownKey| known.key.key_data() == shown.key_data();
        if let Some(revoked) = self.keys.iter().filter(|known| known.revoked).find(same) {
            return Trust::Revoked { line: revoked.line };
        }
        let trusted = || self.keys.iter().filter(|known| !known.revoked);
        if trusted().any(|known| same(&known)) {
            return Trust::Trusted;
        }
        let other = trusted().find(|known| known.key.algorithm() == shown.algorithm()).or_else(|| trusted().next());
        match other {
            Some(other) => Trust::Changed { line: other.line, expected: fingerprint(&other.key) },
            None => Trust::Unknown { unreadable: self.unreadable.first().copied() },
        }
    }

    /// Whether the host is known by a key of this kind. Such kinds are asked for first: a host with several keys would
    /// otherwise show one that nobody wrote down.
    pub fn has(&self, algorithm: &Algorithm) -> bool {
        self.keys.iter().any(|known| !known.revoked && known.key.algorithm().base() == algorithm.base())
    }
}

/// RSA keys are one kind, whatever hash signs with them.
trait Base {
    fn base(&self) -> Self;
}

impl Base for Algorithm {
    fn base(&self) -> Self {
        if let Self::Rsa { .. } = self { Self::Rsa { hash: None } } else { self.clone() }
    }
}

pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The refusal of a key that is not believed; none if it is.
pub fn refusal(trust: &Trust, shown: &PublicKey, node: &NodeName, target: &SshTarget, file: &Path) -> Option<PortError> {
    let (shown, file) = (fingerprint(shown), file.display());
    let on = format!("{node} ({}@{}:{})", target.user, target.host, target.port);
    let (found, remedy) = match trust {
        Trust::Trusted => return None,
        Trust::Unknown { unreadable } => {
            let broken =
                unreadable.map(|line| format!(" (line {line} names the host, but its key cannot be read)")).unwrap_or_default();
            (
                format!("host key {shown} is not in {file}{broken}"),
                format!(
                    "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` at the console of {node}; if it is the same: \
                     ssh-keyscan -p {} {} >> {file}",
                    target.port, target.host
                ),
            )
        }
        Trust::Changed { line, expected } => (
            format!("host key changed: line {line} of {file} has {expected}, the host showed {shown}"),
            format!("verify the key of {node} at its console; if the host was reinstalled, replace line {line} of {file}"),
        ),
        Trust::Revoked { line } => (
            format!("host key {shown} is revoked by line {line} of {file}"),
            format!("give {node} a new host key, and write it to {file}"),
        ),
    };
    Some(PortError::new(ErrorKind::Untrusted, "verify the host key", on, found).with_remedy(remedy))
}

/// Whether a comma-separated list of patterns names the host; one negated match says no to the whole line.
fn names(patterns: &str, entry: &str) -> bool {
    let mut named = false;
    for pattern in patterns.split(',') {
        if let Some(hashed) = pattern.strip_prefix("|1|") {
            named |= hash_matches(hashed, entry);
        } else if let Some(negated) = pattern.strip_prefix('!') {
            if glob(&negated.to_ascii_lowercase(), entry) {
                return false;
            }
        } else {
            named |= glob(&pattern.to_ascii_lowercase(), entry);
        }
    }
    named
}

/// `salt|hash`, both base64, with HMAC-SHA1 of the name: what `ssh-keygen -H` writes.
fn hash_matches(hashed: &str, entry: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else { return false };
    let (Ok(salt), Ok(hash)) = (BASE64.decode(salt.as_bytes()), BASE64.decode(hash.as_bytes())) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    hmac::verify(&key, entry.as_bytes(), &hash).is_ok()
}

/// `*` and `?` over bytes, in time linear in the product of the lengths.
fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                retry = Some((rest, text));
                pattern = rest;
            }
            (Some((p, rest)), Some((t, tail))) if *p == b'?' || p == t => (pattern, text) = (rest, tail),
            (None, None) => return true,
            (Some(_) | None, _) => match retry.and_then(|(rest, from)| Some((rest, from.split_first()?.1))) {
                Some((rest, from)) => {
                    retry = Some((rest, from));
                    (pattern, text) = (rest, from);
                }
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEZm0BqMj+lsqgmiOb1/EYxpeYxCb5jc3Qmqxd5PFfSMfuipFVxGidtTKtw965c2/6OipcL/hzI8N6Hip/J8bik=";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    fn judge(file: &str, host: &str, port: u16, shown: &str) -> Trust {
        KnownKeys::parse(file, host, port).judge(&key(shown))
    }

    fn changed(line: usize, key_text: &str) -> Trust {
        Trust::Changed { line, expected: fingerprint(&key(key_text)) }
    }

    const UNKNOWN: Trust = Trust::Unknown { unreadable: None };

    #[test]
    fn a_port_other_than_22_must_be_named() {
        let file = format!("# comment\n\ntitan-01,10.0.0.1 {A} by hand # 2\n[titan-01]:2222\t{B}\n");
        assert_eq!(judge(&file, "titan-01", 22, A), Trust::Trusted);
        assert_eq!(judge(&file, "TITAN-01", 2222, B), Trust::Trusted);
        assert_eq!(judge(&file, "titan-01", 2200, A), UNKNOWN);
        assert_eq!(judge(&file, "titan-02", 22, A), UNKNOWN);
    }

    #[test]
    fn a_changed_key_is_named_with_its_line_counted_as_editors_count() {
        let file = format!("# one\n\n# three\ntitan-01 {A}\n");
        assert_eq!(judge(&file, "titan-01", 22, B), changed(4, A));
        assert_eq!(judge(&file, "titan-01", 22, ECDSA), changed(4, A), "a key of a new kind is a changed key too");
    }

    #[test]
    fn a_second_line_for_the_same_host_counts() {
        let file = format!("titan-01 {A}\ntitan-01 {B}\n");
        assert_eq!(judge(&file, "titan-01", 22, B), Trust::Trusted);
        assert!(KnownKeys::parse(&file, "titan-01", 22).has(&Algorithm::Ed25519));
        assert!(!KnownKeys::parse(&file, "titan-01", 22).has(&key(ECDSA).algorithm()));
    }

    #[test]
    fn hashed_names_are_known() {
        let file = format!("|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= {B}\n|1|broken|! {A}\n");
        assert_eq!(judge(&file, "example.com", 22, B), Trust::Trusted);
        assert_eq!(judge(&file, "example.org", 22, B), UNKNOWN);
    }

    #[test]
    fn a_revoked_key_is_refused_even_where_another_line_has_it() {
        let file = format!("titan-01 {A}\n@revoked * {A}\n@cert-authority * {B}\n");
        assert_eq!(judge(&file, "titan-01", 22, A), Trust::Revoked { line: 2 });
        assert_eq!(judge(&file, "titan-02", 22, B), UNKNOWN, "an authority's own key vouches for nothing");
        assert_eq!(judge(&format!("@revoked * {A}\n"), "titan-01", 22, B), UNKNOWN);
    }

    #[test]
    fn patterns_mean_what_they_mean_to_ssh() {
        let file = format!("!titan-0?,titan-*.lan,titan-* {A}\n");
        assert_eq!(judge(&file, "titan-12", 22, A), Trust::Trusted);
        assert_eq!(judge(&file, "titan-01", 22, A), UNKNOWN);
        assert!(glob("*a*b", "xxaxxbab") && !glob("*a*b", "xxaxxbabc") && glob("*", "") && !glob("?", ""));
    }

    #[test]
    fn a_line_that_cannot_be_read_vouches_for_nothing_and_is_named() {
        assert_eq!(judge("titan-01 ssh-ed25519 AAAA\n", "titan-01", 22, A), Trust::Unknown { unreadable: Some(1) });
        assert_eq!(judge(&format!("titan-01 ssh-rsa\ntitan-01 {A}"), "titan-01", 22, A), Trust::Trusted);
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let node = NodeName::parse("titan-01").unwrap();
        let target = SshTarget { host: "10.0.0.1".to_owned(), port: 2222, user: "ops".to_owned() };
        let say = |file: &str| {
            let error = refusal(&judge(file, "10.0.0.1", 2222, A), &key(A), &node, &target, Path::new("/k")).unwrap();
            assert_eq!(error.kind, ErrorKind::Untrusted);
            format!("{error}; {}", error.remedy.as_deref().unwrap())
        };
        assert_eq!(
            say(""),
            "verify the host key on titan-01 (ops@10.0.0.1:2222): host key SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE is not in \
             /k; compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` at the console of titan-01; if it is the same: \
             ssh-keyscan -p 2222 10.0.0.1 >> /k"
        );
        assert_eq!(
            say(&format!("\n[10.0.0.1]:2222 {B}")),
            format!(
                "verify the host key on titan-01 (ops@10.0.0.1:2222): host key changed: line 2 of /k has {}, the host showed {}; verify \
                 the key of titan-01 at its console; if the host was reinstalled, replace line 2 of /k",
                fingerprint(&key(B)),
                fingerprint(&key(A))
            )
        );
    }
}
