//! Which host keys are believed: OpenSSH's `known_hosts`, read strictly. A key that is not in it is refused.
//!
//! Hashed names, `[host]:port`, wildcards, negation and `@revoked` mean what they mean to `ssh`. A port other than 22 must
//! be named: unlike `ssh`, a line without the port does not vouch for every port of a host. A key on a `@cert-authority`
//! line believes no host by itself, but the certificates that it signed: [`certificate`] says which.

pub mod certificate;

use std::path::Path;

use ananke_core::name::Moment;
use ananke_core::port::{ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use certificate::Flaw;
use data_encoding::BASE64;
use ring::hmac;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};

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
    role: Role,
    key: PublicKey,
}

/// What the line says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Host,
    /// `@cert-authority`
    Authority,
    /// `@revoked`
    Revoked,
}

impl Role {
    fn of(marker: Option<&str>) -> Option<Self> {
        match marker {
            None => Some(Self::Host),
            Some("@cert-authority") => Some(Self::Authority),
            Some("@revoked") => Some(Self::Revoked),
            Some(_) => None,
        }
    }
}

/// What the file says of the key that a host showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    Trusted,
    /// No key of the host is known. The numbers are those of a line which names it and cannot be read, and of an authority
    /// that could vouch for it.
    Unknown {
        unreadable: Option<usize>,
        authority: Option<usize>,
    },
    /// The host is known by another key.
    Changed {
        line: usize,
        expected: String,
    },
    Revoked {
        line: usize,
    },
    /// The key that signed the host's certificate is revoked.
    AuthorityRevoked {
        line: usize,
        signer: String,
    },
    /// The host's certificate is signed by a key that is no authority for it; the line is that of one.
    Stranger {
        line: usize,
        signer: String,
    },
    /// The authority of the line signed the certificate, which is no good all the same.
    Flawed {
        line: usize,
        flaw: Flaw,
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
            let Some(role) = Role::of(marker) else { continue };
            if patterns.starts_with('#') || !names(patterns, &entry) {
                continue;
            }
            match PublicKey::from_openssh(&format!("{kind} {}", words.next().unwrap_or_default())) {
                Ok(key) => known.keys.push(KnownKey { line: number, role, key }),
                Err(_) => known.unreadable.push(number),
            }
        }
        known
    }

    /// Judges a key that the host has proved to hold.
    pub fn judge(&self, shown: &PublicKey) -> Trust {
        if let Some(line) = self.line_of(Role::Revoked, shown.key_data()) {
            return Trust::Revoked { line };
        }
        if self.line_of(Role::Host, shown.key_data()).is_some() {
            return Trust::Trusted;
        }
        let trusted = || self.with(Role::Host);
        let other = trusted().find(|known| known.key.algorithm() == shown.algorithm()).or_else(|| trusted().next());
        match other {
            Some(other) => Trust::Changed { line: other.line, expected: fingerprint(&other.key) },
            None => Trust::Unknown { unreadable: self.unreadable.first().copied(), authority: self.authority() },
        }
    }

    /// Judges a certificate whose key the host has proved to hold; `host` is the name that was connected to.
    ///
    /// One that no authority of the file signed proves nothing, and its key counts as if it came alone: so does `ssh`.
    pub fn judge_certificate(&self, shown: &Certificate, host: &str, now: Moment) -> Trust {
        if let Some(line) = self.line_of(Role::Revoked, shown.public_key()) {
            return Trust::Revoked { line };
        }
        let signer = || shown.signature_key().fingerprint(HashAlg::Sha256).to_string();
        if let Some(line) = self.line_of(Role::Revoked, shown.signature_key()) {
            return Trust::AuthorityRevoked { line, signer: signer() };
        }
        if let Some(line) = self.line_of(Role::Authority, shown.signature_key()) {
            return certificate::flaw(shown, host, now).map_or(Trust::Trusted, |flaw| Trust::Flawed { line, flaw });
        }
        match (self.judge(&PublicKey::from(shown.public_key().clone())), self.authority()) {
            (Trust::Unknown { .. }, Some(line)) => Trust::Stranger { line, signer: signer() },
            (trust, _) => trust,
        }
    }

    /// Whether the host is known by a key of this kind. Such kinds are asked for first: a host with several keys would
    /// otherwise show one that nobody wrote down.
    pub fn has(&self, algorithm: &Algorithm) -> bool {
        self.with(Role::Host).any(|known| known.key.algorithm().base() == algorithm.base())
    }

    /// The line of an authority for the host: a certificate is then asked for before a bare key.
    pub fn authority(&self) -> Option<usize> {
        self.with(Role::Authority).next().map(|known| known.line)
    }

    fn with(&self, role: Role) -> impl Iterator<Item = &KnownKey> {
        self.keys.iter().filter(move |known| known.role == role)
    }

    fn line_of(&self, role: Role, key: &KeyData) -> Option<usize> {
        self.with(role).find(|known| known.key.key_data() == key).map(|known| known.line)
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
pub fn refusal(trust: &Trust, shown: &PublicKey, node: &str, target: &SshTarget, file: &Path) -> Option<PortError> {
    refusal_of(trust, &fingerprint(shown), node, target, file)
}

/// The same, of a key's fingerprint.
pub fn refusal_of(trust: &Trust, shown: &str, node: &str, target: &SshTarget, file: &Path) -> Option<PortError> {
    let file = file.display();
    let on = format!("{node} ({}@{}:{})", target.user, target.host, target.port);
    let (found, remedy) = match trust {
        Trust::Trusted => return None,
        Trust::Unknown { unreadable, authority } => {
            let broken =
                unreadable.map(|line| format!(" (line {line} names the host, but its key cannot be read)")).unwrap_or_default();
            let bare = authority
                .map(|line| format!(", and came without a certificate of the authority of line {line}"))
                .unwrap_or_default();
            (
                format!("host key {shown} is not in {file}{broken}{bare}"),
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
        Trust::AuthorityRevoked { line, signer } => (
            format!("the host certificate is signed by {signer}, which line {line} of {file} revokes"),
            format!("sign the host key of {node} with another authority"),
        ),
        Trust::Stranger { line, signer } => (
            format!("the host certificate is signed by {signer}, which is no authority for the host in {file}"),
            format!("compare {signer} with the authority of line {line} of {file}; sign the host key of {node} with that one"),
        ),
        Trust::Flawed { line, flaw } => (
            format!("the authority of line {line} of {file} signed the host certificate, but {flaw}"),
            format!("sign the host key of {node} again: ssh-keygen -s CA -h -I {node} -n {} -V +52w KEY.pub", target.host),
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

/// Patterns as OpenSSH has them: `*` and `?` over bytes, in time linear in the product of the lengths.
pub fn glob(pattern: &str, text: &str) -> bool {
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
mod tests;
