//! HTTP checks from outside the cluster, as a user's browser would make them.
//!
//! What an answer is worth to its check is worked out here, for every adapter alike: what is kept is small, does not change
//! from one healthy answer to the next, and holds no cookie, nonce or state of a login.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{PortError, clean};
use crate::observation::ProbeAnswer;
use crate::spec::ProbeMethod;

/// Adapters read no more of a body: documents that checks look into are smaller, and a page without end has no say.
pub const BODY_READ: usize = 64 * 1024;
/// Characters that are kept of a header or a body that is not as it should be: enough to recognise an error page.
const KEPT: usize = 200;
/// A `Location` longer than this is no place to go to.
const MAX_LOCATION: usize = 2048;

/// One request that changes nothing, and what is looked for in its answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// The service check that asks, for what only the adapter knows of it (own CA, another address); none for an ingress host.
    pub check: Option<Arc<str>>,
    pub url: Arc<str>,
    pub method: ProbeMethod,
    /// Names in lower case, each with a text that its value must contain; empty: the header must be there.
    pub headers: BTreeMap<Arc<str>, String>,
    /// Texts that the body must contain; none: it need not be read.
    pub texts: Vec<String>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct RawAnswer<'a> {
    pub status: u16,
    pub headers: &'a [(&'a str, &'a [u8])],
    /// At most [`BODY_READ`] bytes.
    pub body: &'a [u8],
}

/// Requests as a user's browser would make them, that change nothing.
#[async_trait]
pub trait Probes: Send + Sync {
    /// One request, without following redirects. Any answer is `Ok`, whatever its status.
    async fn ask(&self, request: &ProbeRequest) -> Result<ProbeAnswer, PortError>;
}

impl ProbeRequest {
    /// Asks for nothing but the status.
    pub fn plain(url: Arc<str>) -> Self {
        Self { check: None, url, method: ProbeMethod::Get, headers: BTreeMap::new(), texts: Vec::new() }
    }

    /// Under what the answer is kept: requests that differ in anything have different keys.
    pub fn key(&self) -> Arc<str> {
        let mut key = self.method.to_string();
        key.reserve(self.url.len().saturating_add(1));
        key.push(' ');
        key.push_str(&self.url);
        let looked_for = self.headers.iter().map(|(name, text)| format!(" {name}: {text:?}"));
        for part in looked_for.chain(self.texts.iter().map(|text| format!(" {text:?}"))) {
            key.push_str(&part);
        }
        if let Some(check) = &self.check {
            // Writing to a String cannot fail.
            write!(key, " ({check})").unwrap_or_default();
        }
        key.into()
    }

    /// What of an answer is worth keeping.
    pub fn keep(&self, raw: &RawAnswer<'_>) -> ProbeAnswer {
        let headers = self.headers.iter().filter_map(|(name, text)| Some((name.clone(), kept_header(raw, name, text)?)));
        let body = String::from_utf8_lossy(raw.body);
        let missing: Vec<String> = self.texts.iter().filter(|text| !body.contains(text.as_str())).cloned().collect();
        ProbeAnswer {
            status: raw.status,
            location: values(raw, "location").next().map(|location| clean(before_query(&location), MAX_LOCATION)),
            headers: headers.collect(),
            body: (!missing.is_empty()).then(|| clean(&body, KEPT)),
            missing,
        }
    }
}

/// The text that was looked for, where it stands in the header; else how the header begins.
fn kept_header(raw: &RawAnswer<'_>, name: &str, text: &str) -> Option<String> {
    let first = values(raw, name).next()?;
    if values(raw, name).any(|value| value.contains(text)) {
        return Some(text.to_owned());
    }
    // The value of a cookie is a secret, its name is not.
    let shown = if name == "set-cookie" { first.split('=').next().unwrap_or_default() } else { &first };
    Some(clean(shown, KEPT))
}

fn values<'a>(raw: &'a RawAnswer<'a>, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    raw.headers.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| String::from_utf8_lossy(value))
}

fn before_query(location: &str) -> &str {
    location.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)], texts: &[&str]) -> ProbeRequest {
        ProbeRequest {
            headers: headers.iter().map(|(name, text)| ((*name).into(), (*text).to_owned())).collect(),
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            ..ProbeRequest::plain("https://a.example/".into())
        }
    }

    #[test]
    fn requests_that_differ_in_anything_have_different_keys() {
        let plain = request(&[], &[]);
        let all = [
            plain.clone(),
            ProbeRequest { method: ProbeMethod::Head, ..plain.clone() },
            ProbeRequest { check: Some("a".into()), ..plain.clone() },
            ProbeRequest { check: Some("b".into()), ..plain.clone() },
            ProbeRequest { url: "https://b.example/".into(), ..plain },
            request(&[("server", "")], &[]),
            request(&[("server", "x")], &[]),
            request(&[], &["server: \"x\""]),
            request(&[], &["a", "b"]),
            request(&[], &["a\" \"b"]),
        ];
        let keys: std::collections::BTreeSet<_> = all.iter().map(ProbeRequest::key).collect();
        assert_eq!(keys.len(), all.len(), "{keys:?}");
        assert_eq!(&*all[0].key(), "GET https://a.example/");
    }

    #[test]
    fn what_fits_is_kept_as_it_was_looked_for_and_what_does_not_is_kept_bounded() {
        let headers: &[(&str, &[u8])] = &[
            ("WWW-Authenticate", b"Basic realm=x"),
            ("www-authenticate", b"Bearer realm=\"https://a/token\",nonce=77"),
            ("Set-Cookie", b"session=secret; HttpOnly"),
            ("X-Note", b"\x1b[2Jhello \xff"),
            ("Location", b"https://sso.example/auth?state=secret#x"),
        ];
        let long = "y".repeat(1000);
        let raw = RawAnswer { status: 302, headers, body: long.as_bytes() };
        let looked_for =
            [("www-authenticate", "Bearer"), ("set-cookie", "other"), ("x-note", "z"), ("absent", ""), ("location", "")];
        let answer = request(&looked_for, &["yyy", "issuer"]).keep(&raw);
        let kept: Vec<String> = answer.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(kept, ["location=", "set-cookie=session", "www-authenticate=Bearer", "x-note= [2Jhello \u{fffd}"]);
        assert_eq!(answer.location.as_deref(), Some("https://sso.example/auth"));
        assert_eq!(answer.missing, ["issuer"]);
        assert_eq!(answer.body.map(|body| body.chars().count()), Some(KEPT + 1));
        let answer = request(&[], &["yyy"]).keep(&raw);
        assert_eq!((answer.missing.len(), answer.body), (0, None), "a healthy page is not kept: it differs each time");
    }
}
