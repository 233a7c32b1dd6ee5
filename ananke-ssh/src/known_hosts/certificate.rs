//! What keeps a certificate of a believed authority from vouching for a host.
//!
//! The exchange has proved by then that the host holds the certified key.

use std::fmt;

use ananke_core::name::Moment;
use russh::keys::Certificate;
use russh::keys::ssh_key::certificate::CertType;

use super::glob;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// The authority's signature does not fit.
    Signature,
    NotForHosts,
    NotYetValid {
        from: Moment,
        now: Moment,
    },
    Expired {
        at: Moment,
        now: Moment,
    },
    /// It names other hosts, or none.
    OtherHosts {
        host: String,
        named: String,
    },
    /// No option of a host certificate is known, and a critical one must be.
    CriticalOption(String),
}

/// The first reason why this certificate does not vouch for `host` at `now`; none if it does.
pub fn flaw(certificate: &Certificate, host: &str, now: Moment) -> Option<Flaw> {
    if certificate.verify_signature().is_err() {
        return Some(Flaw::Signature);
    }
    if certificate.cert_type() != CertType::Host {
        return Some(Flaw::NotForHosts);
    }
    let (from, until) = (moment(certificate.valid_after()), moment(certificate.valid_before()));
    if now < from {
        return Some(Flaw::NotYetValid { from, now });
    }
    if now >= until {
        return Some(Flaw::Expired { at: until, now });
    }
    let principals = certificate.valid_principals();
    let host = host.to_ascii_lowercase();
    if !principals.iter().any(|pattern| glob(&pattern.to_ascii_lowercase(), &host)) {
        return Some(Flaw::OtherHosts { host, named: principals.join(", ") });
    }
    certificate.critical_options().keys().next().cloned().map(Flaw::CriticalOption)
}

/// Seconds of Unix time; what is too large for us is never.
fn moment(secs: u64) -> Moment {
    Moment::from_millis(i64::try_from(secs).unwrap_or(i64::MAX).saturating_mul(1000))
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str("its signature is wrong"),
            Self::NotForHosts => f.write_str("it is a certificate for users"),
            Self::NotYetValid { from, now } => write!(f, "it is valid from {from} only, and it is {now} here"),
            Self::Expired { at, now } => write!(f, "it ended at {at}, and it is {now} here"),
            Self::OtherHosts { host, named } if named.is_empty() => write!(f, "it names no host, so not {host} either"),
            Self::OtherHosts { host, named } => write!(f, "it is for {named}, not for {host}"),
            Self::CriticalOption(option) => write!(f, "its critical option {option} is not known"),
        }
    }
}

#[cfg(test)]
mod tests;
