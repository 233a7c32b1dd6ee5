//! What the texts of a config mean: names, addresses, URLs, workloads. Pure; `None` is "not one of those".

use std::fmt;

use ananke_core::name::{Kind, NodeName, ObjectRef};

/// An address with its port; the host is a name or an IP address without brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, or a bare v6 address.
pub(crate) fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        return is_v6(host).then(|| (host.to_owned(), port));
    }
    if is_v6(text) {
        return Some((text.to_owned(), None));
    }
    match text.split_once(':') {
        None => is_host(text).then(|| (text.to_owned(), None)),
        Some((host, digits)) => is_host(host).then_some((host.to_owned(), Some(port(digits)?))),
    }
}

/// As above, with a port.
pub(crate) fn host_port(text: &str) -> Option<HostPort> {
    let (host, port) = host_and_port(text)?;
    Some(HostPort { host, port: port? })
}

/// An absolute `http` or `https` URL without credentials in it.
pub(crate) fn probe_url(text: &str) -> Option<String> {
    let uri: http::Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let port_is_sane = authority.port().is_none_or(|port| port.as_u16() > 0) && !authority.as_str().ends_with(':');
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (known && port_is_sane && !authority.as_str().contains('@') && (is_host(host) || is_v6(host))).then(|| text.to_owned())
}

/// As above, of an API server: `https`, and nothing after the port.
pub(crate) fn api_server(text: &str) -> Option<String> {
    let url = probe_url(text)?;
    let uri: http::Uri = url.parse().ok()?;
    (uri.scheme_str() == Some("https") && uri.path() == "/" && uri.query().is_none()).then_some(url)
}

/// What Flux takes as the URL of a GitRepository.
pub(crate) fn source_url(text: &str) -> Option<String> {
    let rest = ["http://", "https://", "ssh://"].iter().find_map(|scheme| text.strip_prefix(scheme))?;
    let printable = rest.bytes().all(|b| b.is_ascii_graphic());
    (printable && !rest.is_empty() && !rest.starts_with('/')).then(|| text.to_owned())
}

/// The rules of `git check-ref-format` that a branch name can break.
pub(crate) fn branch(text: &str) -> Option<String> {
    let bad_byte = |b: u8| !b.is_ascii_graphic() && b.is_ascii() || b"~^:?*[\\".contains(&b);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let bad = text.bytes().any(bad_byte)
        || text.contains("..")
        || text.contains("@{")
        || text.starts_with('-')
        || text.ends_with('.')
        || text == "@"
        || text.split('/').any(bad_part);
    (!bad && text.len() <= 255).then(|| text.to_owned())
}

/// `namespace/name`.
pub(crate) fn object(kind: Kind, text: &str) -> Option<ObjectRef> {
    let (namespace, name) = text.split_once('/')?;
    (is_label(namespace) && is_name(name)).then(|| ObjectRef::new(kind, namespace, name))
}

/// `Kind namespace/name`, as reports print it.
pub(crate) fn workload(text: &str) -> Option<ObjectRef> {
    let (kind, rest) = text.split_once(' ')?;
    let kinds = [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet];
    let kind = kinds.into_iter().find(|known| known.to_string() == kind)?;
    object(kind, rest)
}

/// A user name that can never be taken for an option or for shell.
pub(crate) fn user(text: &str) -> Option<String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (!text.is_empty() && text.len() <= 32 && !text.starts_with('-') && text.bytes().all(fine)).then(|| text.to_owned())
}

pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= 63 && !text.contains('.') && is_name(text)
}

/// A DNS name as an Ingress rule names it.
pub(crate) fn ingress_host(text: &str) -> Option<String> {
    is_name(text.strip_prefix("*.").unwrap_or(text)).then(|| text.to_owned())
}

/// A node name is an RFC 1123 subdomain, as the names of most other objects are.
fn is_name(text: &str) -> bool {
    NodeName::parse(text).is_ok()
}

pub(crate) fn is_host(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !text.is_empty() && text.len() <= 253 && !text.starts_with(['-', '.']) && text.bytes().all(fine)
}

/// A v6 address, with a zone where it is link-local.
pub(crate) fn is_v6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "eth0"));
    address.parse::<std::net::Ipv6Addr>().is_ok() && is_host(zone)
}

pub(crate) fn port(digits: &str) -> Option<u16> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse::<u16>().ok().filter(|port| plain && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_names_v4_or_v6_and_never_options() {
        let parse = |text| host_and_port(text).map(|(host, port)| (host, port.unwrap_or(0)));
        let good = [
            ("titan-01", ("titan-01", 0)),
            ("10.0.0.1:2222", ("10.0.0.1", 2222)),
            ("fd00::1", ("fd00::1", 0)),
            ("[fd00::1]", ("fd00::1", 0)),
            ("[fe80::1%eth0]:22", ("fe80::1%eth0", 22)),
        ];
        for (text, (host, port)) in good {
            assert_eq!(parse(text), Some((host.to_owned(), port)), "{text}");
        }
        for bad in [
            "",
            "-oProxyCommand=x",
            "a b",
            "root@a",
            "a:",
            "a:0",
            "a:65536",
            "a:+22",
            "[a]:22",
            "[fd00::1]22",
            "fd00::1:x",
            "a;b",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_branch_is_what_git_takes() {
        for good in ["main", "release/1.0", "v1.0", "ünïcode"] {
            assert!(branch(good).is_some(), "{good}");
        }
        for bad in ["", "a b", "-x", "a..b", "/a", "a/", "a//b", "a.lock", ".a", "a~1", "a^", "@", "a\n"] {
            assert!(branch(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_probe_is_an_absolute_url_without_credentials() {
        for good in ["https://git.example.org/", "http://10.0.0.1:8080/health?x=1", "https://[fd00::1]:8443/"] {
            assert!(probe_url(good).is_some(), "{good}");
        }
        for bad in
            ["", "git.example.org", "ftp://a/", "https://", "https://u:p@a/", "https:///x", "http://a:0/", "http://a b/", "/x"]
        {
            assert!(probe_url(bad).is_none(), "{bad}");
        }
        for good in ["https://10.0.0.1:6443", "https://[fd00::1]:6443/", "https://titan-02"] {
            assert!(api_server(good).is_some(), "{good}");
        }
        for bad in ["http://10.0.0.1:6443", "10.0.0.1:6443", "https://10.0.0.1:6443/healthz", "https://a?b=c", "https://u:p@a"] {
            assert!(api_server(bad).is_none(), "{bad}");
        }
    }
}
