//! A host key that the config names by its fingerprint.

use std::fmt;

use ananke_core::port::{ErrorKind, PortError};
use ananke_core::spec::SshTarget;
use russh::keys::ssh_key::Fingerprint;
use russh::keys::{HashAlg, PublicKey};

/// What `ssh-keygen -lf KEY` prints of a key: `SHA256:` and 43 letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin(Fingerprint);

impl Pin {
    /// What [`Pin::parse`] takes.
    pub const ALLOWED: &str =
        "a fingerprint as `ssh-keygen -lf KEY` prints it, such as SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE";

    pub fn parse(text: &str) -> Option<Self> {
        let parsed: Fingerprint = text.parse().ok()?;
        // Only what is written as it is printed: the last letter has spare bits.
        (parsed.is_sha256() && parsed.to_string() == text).then_some(Self(parsed))
    }

    /// The refusal of a key that is not the pinned one; none if it is.
    pub(crate) fn refusal(&self, shown: &PublicKey, node: &str, target: &SshTarget) -> Option<PortError> {
        let found = shown.fingerprint(HashAlg::Sha256);
        if found == self.0 {
            return None;
        }
        let on = format!("{node} ({}@{}:{})", target.user, target.host, target.port);
        let kind = shown.algorithm();
        let found = format!("ssh_node_fingerprints has {self}, the host showed {found} ({kind})");
        let remedy = format!(
            "compare it with `ssh-keygen -lf` of the {kind} key at the console of {node}; if it is the same, write it to \
             ssh_node_fingerprints"
        );
        Some(PortError::new(ErrorKind::Untrusted, "verify the host key", on, found).with_remedy(remedy))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ssh_keygen_prints_is_a_pin() {
        let good = "SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE";
        assert_eq!(Pin::parse(good).unwrap().to_string(), good);
        for bad in [
            "",
            "T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE",
            "SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0I",
            "SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IF",
            "SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE=",
            "MD5:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00",
            "sha256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE",
        ] {
            assert_eq!(Pin::parse(bad), None, "{bad}");
        }
    }
}
