//! What the API server, TLS and the network say, in the words of the ports. Every status code has its place here.

use std::error::Error;
use std::time::Duration;

use ananke_core::port::{ErrorKind, PortError, clean};
use ananke_core::verdict::Reason;
use rustls::{AlertDescription, CertificateError};
use serde::Deserialize;

/// Errors nest connector, I/O and TLS; a chain deeper than this is a cycle.
const MAX_DEPTH: usize = 16;

/// `metav1.Status`, as far as it tells kinds of trouble apart.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

/// The longest that `Retry-After` is believed: an HTTP date, or a year, would be a mistake.
const MAX_RETRY_AFTER: u64 = 3600;

/// What etcd's client says, in a 500 of the API server.
const STORE_WORDS: [&str; 3] = ["etcdserver: ", "rpc error: code = Unavailable", "rpc error: code = DeadlineExceeded"];

/// An answer that is not 2xx; `retry_after` is the header of that name.
pub(crate) fn from_answer(tried: &str, on: &str, code: u16, retry_after: Option<&str>, body: &[u8]) -> PortError {
    let status: Status = serde_json::from_slice(body).unwrap_or_else(|_| Status {
        message: clean(&String::from_utf8_lossy(body.get(..400).unwrap_or(body)), 200),
        details: None,
    });
    let budget = status.details.iter().flat_map(|d| &d.causes).find(|cause| cause.reason == "DisruptionBudget");
    if let (429, Some(budget)) = (code, budget) {
        return PortError::new(ErrorKind::Blocked, tried, on, lower_first(&budget.message));
    }
    if is_of_a_budget(code, &status.message) {
        return PortError::new(ErrorKind::Blocked, tried, on, lower_first(&status.message));
    }
    let kind = match code {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::Missing,
        409 => ErrorKind::Conflict,
        408 | 410 | 429 | 500..=599 => ErrorKind::Transient,
        _ => ErrorKind::Invalid,
    };
    let mut error = PortError::new(kind, tried, on, format!("{code} {}", status.message).trim());
    error.reason = reason(code, &status.message);
    if kind == ErrorKind::Transient
        && let Some(wait) = retry_after.and_then(|text| text.trim().parse::<u64>().ok())
    {
        error.found = format!("{}; it asks to wait {wait} s", error.found);
        error = error.with_retry_after(Duration::from_secs(wait.min(MAX_RETRY_AFTER)));
    }
    match code {
        401 => error.with_remedy("check the user's credentials in the kubeconfig: the server does not accept them"),
        403 => match missing_right(&status.message) {
            Some(right) => error.with_remedy(format!("grant {right}")),
            None => error,
        },
        _ => error,
    }
}

/// A pod with two budgets is never evicted, nor one whose budget makes no sense or waits for thousands of evictions before it:
/// <https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/registry/core/pod/storage/eviction.go>.
fn is_of_a_budget(code: u16, message: &str) -> bool {
    match code {
        500 => message.contains("more than one PodDisruptionBudget"),
        403 => message.starts_with("poddisruptionbudget.policy \""),
        _ => false,
    }
}

/// Whether the server took the write as far as a webhook, which it could not call and without which it may not go on.
pub(crate) fn is_of_a_webhook(error: &PortError) -> bool {
    error.found.contains("failed calling webhook")
}

/// How the server begins what admission says of a write: a webhook or a policy denied it, or a webhook takes no dry runs.
const ADMISSION_WORDS: [&str; 2] = ["admission webhook \"", "ValidatingAdmissionPolicy '"];

/// Whether the server took the write as far as admission, which would not have it. What a user may not do is told in other words.
pub(crate) fn is_of_admission(error: &PortError) -> bool {
    ADMISSION_WORDS.iter().any(|words| error.found.contains(words)) && missing_right(&error.found).is_none()
}

/// What an answer is called in reports; none where it is about one object, and not about the server.
fn reason(code: u16, message: &str) -> Option<Reason> {
    match code {
        401 => Some(Reason::ApiUnauthorized),
        403 => Some(Reason::ApiForbidden),
        429 => Some(Reason::ApiThrottled),
        500 if STORE_WORDS.iter().any(|words| message.starts_with(words)) => Some(Reason::EtcdUnhealthy),
        503 => Some(Reason::ApiUnavailable),
        502 | 504 => Some(Reason::ApiTimeout),
        500..=599 => Some(Reason::ApiServerError),
        _ => None,
    }
}

/// What the server said, or did not say, is its store's doing: it answered something else meanwhile that needs no store.
pub(crate) fn blame_the_store(error: PortError) -> PortError {
    if !is_silence(&error) {
        return error;
    }
    let found = format!("the server answers, its store does not: {}", error.found);
    PortError { found, reason: Some(Reason::EtcdUnhealthy), ..error }
}

/// A write that was not answered, where the store answered a read in the same look.
pub(crate) fn blame_admission(error: PortError) -> PortError {
    let found = format!("the server and its store answer, this write is not answered: {}", error.found);
    PortError { found, reason: Some(Reason::ApiTimeout), ..error }.with_remedy(
        "look for an admission webhook that hangs: `kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations`",
    )
}

/// Nothing was said at all.
pub(crate) fn is_silence(error: &PortError) -> bool {
    matches!(error.reason, Some(Reason::ApiNotAnswering | Reason::ApiClosed))
}

/// The server itself was not reached.
pub(crate) fn is_of_the_way(error: &PortError) -> bool {
    let of_the_way = [Reason::ApiNotAnswering, Reason::ApiClosed, Reason::ApiRefused, Reason::ApiTlsFailed];
    error.kind == ErrorKind::Untrusted
        || error.reason.is_some_and(|reason| of_the_way.contains(&reason))
        || error.found.starts_with(NO_ADDRESS)
}

/// Another server of the same cluster may do better.
pub(crate) fn may_be_of_one_server(error: &PortError) -> bool {
    let own = [Reason::ApiUnavailable, Reason::ApiTimeout, Reason::ApiServerError, Reason::EtcdUnhealthy];
    is_of_the_way(error) || error.kind == ErrorKind::Invalid || error.reason.is_some_and(|reason| own.contains(&reason))
}

/// `nodes is forbidden: User "x" cannot list resource "nodes" in API group "" at the cluster scope`, as a right to grant.
fn missing_right(message: &str) -> Option<String> {
    let user = message.split_once("User \"")?.1.split('"').next()?;
    let rest = message.split_once("\" cannot ")?.1;
    let verb = rest.split(' ').next()?;
    let resource = rest.split_once("resource \"")?.1.split('"').next()?;
    let group = rest.split_once("API group \"")?.1.split('"').next()?;
    let scope = match rest.split_once("in the namespace \"") {
        Some((_, tail)) => format!("in namespace {}", tail.split('"').next()?),
        None => "at cluster scope".to_owned(),
    };
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    Some(format!("{verb} on {resource}{group} {scope} to user {user}"))
}

/// No answer at all.
pub(crate) fn from_transport(tried: &str, on: &str, error: &(dyn Error + 'static)) -> PortError {
    if chain(error).any(|error| error.is::<kube::client::AuthError>()) {
        return PortError::new(ErrorKind::Denied, tried, on, format!("nothing was sent, for the token: {}", deepest(error)))
            .with_remedy("look at the tokenFile of the kubeconfig: it has the token, and no line break after it")
            .with_reason(Reason::ApiUnauthorized);
    }
    match tls(error) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let error = PortError::new(ErrorKind::Untrusted, tried, on, format!("the server's certificate is not valid: {why}"));
            if is_about_dates(why) {
                error.with_remedy("compare the clocks of this host and the server with the dates of the certificate")
            } else if matches!(why, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
                error.with_remedy(
                    "give an address that its certificate has, or as tls-server-name in the kubeconfig a name that those of all servers have",
                )
            } else {
                error.with_remedy("compare certificate-authority-data in the kubeconfig with the cluster's CA")
            }
        }
        Some(rustls::Error::AlertReceived(alert)) if is_about_our_certificate(*alert) => {
            PortError::new(ErrorKind::Denied, tried, on, format!("the server refused the client certificate: {alert:?}"))
                .with_remedy("check the dates and the issuer of client-certificate-data in the kubeconfig")
                .with_reason(Reason::ApiUnauthorized)
        }
        Some(other) => {
            PortError::new(ErrorKind::Transient, tried, on, format!("TLS failed: {other}")).with_reason(Reason::ApiTlsFailed)
        }
        None => {
            let found = PortError { reason: silent(error), ..PortError::new(ErrorKind::Transient, tried, on, deepest(error)) };
            if found.found.starts_with(NO_ADDRESS) { found.with_remedy(WRITE_ADDRESS) } else { found }
        }
    }
}

/// What `getaddrinfo` failed at, as the standard library puts it.
const NO_ADDRESS: &str = "failed to lookup address information";
const WRITE_ADDRESS: &str = "this host cannot resolve the name of the API server: in the kubeconfig, give the address of a server, and the \
                             name as tls-server-name if its certificate has that alone";

/// How a server says nothing at all.
fn silent(error: &(dyn Error + 'static)) -> Option<Reason> {
    use std::io::ErrorKind as Io;
    if let Some(io) = chain(error).filter_map(|error| error.downcast_ref::<std::io::Error>()).last() {
        let kinds = [
            (Reason::ApiRefused, [Io::ConnectionRefused].as_slice()),
            (Reason::ApiNotAnswering, &[Io::TimedOut, Io::HostUnreachable, Io::NetworkUnreachable]),
            (Reason::ApiClosed, &[Io::UnexpectedEof, Io::ConnectionReset, Io::ConnectionAborted, Io::BrokenPipe]),
        ];
        return kinds.iter().find(|(_, kinds)| kinds.contains(&io.kind())).map(|(reason, _)| *reason);
    }
    let closed = |error: &hyper::Error| error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    chain(error).filter_map(|error| error.downcast_ref::<hyper::Error>()).any(closed).then_some(Reason::ApiClosed)
}

pub(crate) fn deadline(tried: &str, on: &str, limit: Duration) -> PortError {
    PortError::new(ErrorKind::Transient, tried, on, format!("no answer within {limit:?}")).with_reason(Reason::ApiNotAnswering)
}

/// An answer of 2xx that is not what was asked for.
pub(crate) fn nonsense(tried: &str, on: &str, why: impl std::fmt::Display) -> PortError {
    PortError::new(ErrorKind::Invalid, tried, on, format!("the answer makes no sense: {why}"))
}

/// The innermost message: the outer ones say only in which layer it passed by.
pub(crate) fn deepest(error: &(dyn Error + 'static)) -> String {
    let text = chain(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    // A link into a library's manual helps nobody at night.
    text.split(": https://").next().map_or_else(String::new, str::to_owned)
}

fn tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    chain(error).find_map(|error| error.downcast_ref::<rustls::Error>())
}

/// The error and its sources. `io::Error` hides the one it wraps behind `get_ref`: its `source` is that one's source.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| inside(*error)).take(MAX_DEPTH)
}

fn inside<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn is_about_dates(why: &CertificateError) -> bool {
    matches!(
        why,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(code: u16, body: &str, expected: Expect) {
        let error = from_answer("list nodes", "api:6443", code, None, body.as_bytes());
        let remedy = error.remedy.as_deref().map(|r| format!("\n-> {r}")).unwrap_or_default();
        expected.assert_eq(&format!("{:?}: {error}{remedy}", error.kind));
    }

    #[track_caller]
    fn check_reason(code: u16, message: &str, reason: &str) {
        let body = format!(r#"{{"kind":"Status","message":"{message}","code":{code}}}"#);
        let error = from_answer("list nodes", "api:6443", code, None, body.as_bytes());
        assert_eq!(error.reason.map_or("none", Reason::id), reason, "{error}");
    }

    #[test]
    fn what_is_wrong_with_the_server_has_a_name_and_what_is_wrong_with_an_object_has_none() {
        check_reason(401, "Unauthorized", "api-unauthorized");
        check_reason(403, "nodes is forbidden", "api-forbidden");
        check_reason(429, "Too many requests, please try again later.", "api-throttled");
        check_reason(500, "Internal error occurred: index out of range", "api-server-error");
        check_reason(500, "etcdserver: no leader", "etcd-unhealthy");
        check_reason(500, "rpc error: code = Unavailable desc = keepalive ping failed", "etcd-unhealthy");
        check_reason(502, "", "api-timeout");
        check_reason(503, "apiserver is shutting down", "api-unavailable");
        check_reason(504, "Timeout: request did not complete within the requested timeout", "api-timeout");
        for (code, message) in [(404, "not found"), (409, "the object has been modified"), (410, "too old"), (422, "invalid")] {
            check_reason(code, message, "none");
        }
    }

    #[track_caller]
    fn check_wait(code: u16, header: &str, body: &str, expected: Option<u64>) {
        let error = from_answer("list nodes", "api:6443", code, Some(header), body.as_bytes());
        assert_eq!(error.retry_after, expected.map(Duration::from_secs), "{error}");
        let told = format!("it asks to wait {header} s");
        assert_eq!(error.found.ends_with(&told), expected.is_some(), "{error}");
    }

    #[test]
    fn a_pause_that_the_server_asks_for_is_told_and_one_that_makes_no_sense_is_not() {
        check_wait(429, "10", r#"{"message":"Too many requests, please try again later."}"#, Some(10));
        check_wait(503, "1", "", Some(1));
        check_wait(429, "99999999", "", Some(MAX_RETRY_AFTER));
        check_wait(429, "Fri, 31 Dec 1999 23:59:59 GMT", "", None);
        check_wait(409, "10", "", None);
        // A disruption budget has its own pace: the server is not busy.
        check_wait(429, "10", r#"{"details":{"causes":[{"reason":"DisruptionBudget","message":"The budget"}]}}"#, None);
    }

    #[test]
    fn a_server_that_says_nothing_is_told_by_how_it_does_so() {
        use std::io::{Error, ErrorKind as Io};
        let reason = |error: Error| from_transport("list nodes", "api:6443", &error).reason.map_or("none", Reason::id);
        assert_eq!(reason(Io::ConnectionRefused.into()), "api-refused");
        assert_eq!(reason(Error::other(Error::from(Io::ConnectionRefused))), "api-refused");
        assert_eq!(reason(Io::TimedOut.into()), "api-not-answering");
        assert_eq!(reason(Io::ConnectionReset.into()), "api-closed");
        let tls = rustls::Error::AlertReceived(AlertDescription::InternalError);
        assert_eq!(reason(Error::new(Io::InvalidData, tls)), "api-tls-failed");
        assert_eq!(reason(Error::other("something else")), "none");
        let nameless = Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(from_transport("list nodes", "api:6443", &nameless).remedy.unwrap(), WRITE_ADDRESS);
        let eof = Error::new(Io::UnexpectedEof, "peer closed connection: https://docs.rs/rustls/latest/rustls/manual");
        assert_eq!(from_transport("list nodes", "api:6443", &eof).found, "peer closed connection");
    }

    #[test]
    fn silence_of_a_server_that_answers_is_that_of_its_store() {
        let blamed = blame_the_store(deadline("read namespace kube-system", "api:6443", Duration::from_secs(10)));
        assert_eq!(blamed.reason, Some(Reason::EtcdUnhealthy));
        assert_eq!(blamed.found, "the server answers, its store does not: no answer within 10s");
        let throttled = from_answer("list nodes", "api:6443", 429, Some("3"), b"");
        assert_eq!(blame_the_store(throttled.clone()), throttled);
    }

    #[test]
    fn a_forbidden_list_names_the_missing_right() {
        let body = r#"{"apiVersion":"v1","code":403,"details":{"kind":"nodes"},"kind":"Status","message":"nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"\" at the cluster scope","metadata":{},"reason":"Forbidden","status":"Failure"}"#;
        check(
            403,
            body,
            expect![[r#"
            Denied: list nodes on api:6443: 403 nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope
            -> grant list on nodes at cluster scope to user system:anonymous"#]],
        );
        let right = r#"leases.coordination.k8s.io is forbidden: User "ananke" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "kube-system""#;
        assert_eq!(missing_right(right).unwrap(), "create on leases.coordination.k8s.io in namespace kube-system to user ananke");
    }

    #[test]
    fn a_refused_credential_is_denied() {
        let body = r#"{"apiVersion":"v1","code":401,"kind":"Status","message":"Unauthorized","metadata":{},"reason":"Unauthorized","status":"Failure"}"#;
        check(
            401,
            body,
            expect![[r#"
            Denied: list nodes on api:6443: 401 Unauthorized
            -> check the user's credentials in the kubeconfig: the server does not accept them"#]],
        );
    }

    #[test]
    fn a_disruption_budget_blocks_and_is_named() {
        let body = r#"{"apiVersion":"v1","code":429,"details":{"causes":[{"message":"The disruption budget web needs 2 healthy pods and has 2 currently","reason":"DisruptionBudget"}]},"kind":"Status","message":"Cannot evict pod as it would violate the pod's disruption budget.","metadata":{},"reason":"TooManyRequests","status":"Failure"}"#;
        check(
            429,
            body,
            expect!["Blocked: list nodes on api:6443: the disruption budget web needs 2 healthy pods and has 2 currently"],
        );
        check(
            429,
            r#"{"message":"Too many requests, please try again later.","reason":"TooManyRequests"}"#,
            expect!["Transient: list nodes on api:6443: 429 Too many requests, please try again later."],
        );
    }

    #[test]
    fn a_budget_that_can_never_be_kept_blocks_as_well() {
        let two = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        let negative = "poddisruptionbudget.policy \\\"web\\\" is forbidden: pdb disruption allowance is negative";
        for (code, message) in [(500, two), (403, negative)] {
            let error = from_answer("evict", "web-1", code, None, format!(r#"{{"message":"{message}"}}"#).as_bytes());
            assert_eq!(error.kind, ErrorKind::Blocked, "{error}");
        }
        check_reason(403, "poddisruptionbudgets.policy is forbidden: User", "api-forbidden");
    }

    #[test]
    fn a_store_that_hangs_is_transient() {
        let body = r#"{"apiVersion":"v1","code":500,"kind":"Status","message":"rpc error: code = Unavailable desc = keepalive ping failed to receive ACK within timeout","metadata":{},"status":"Failure"}"#;
        check(
            500,
            body,
            expect![
                "Transient: list nodes on api:6443: 500 rpc error: code = Unavailable desc = keepalive ping failed to receive ACK within timeout"
            ],
        );
    }

    #[test]
    fn late_missing_and_malformed_have_their_kinds() {
        check(
            409,
            r#"{"message":"Operation cannot be fulfilled on nodes \"titan-00\": the object has been modified; please apply your changes to the latest version and try again"}"#,
            expect![[
                r#"Conflict: list nodes on api:6443: 409 Operation cannot be fulfilled on nodes "titan-00": the object has been modified; please apply your changes to the latest version and try again"#
            ]],
        );
        check(404, "404 page not found\n", expect!["Missing: list nodes on api:6443: 404 404 page not found"]);
        check(
            410,
            r#"{"message":"The provided continue parameter is too old"}"#,
            expect!["Transient: list nodes on api:6443: 410 The provided continue parameter is too old"],
        );
        check(
            422,
            r#"{"message":"Node \"Not_Valid\" is invalid"}"#,
            expect![[r#"Invalid: list nodes on api:6443: 422 Node "Not_Valid" is invalid"#]],
        );
        check(502, "", expect!["Transient: list nodes on api:6443: 502"]);
    }

    #[test]
    fn a_tls_error_is_found_inside_an_io_error() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = std::io::Error::other(std::io::Error::new(std::io::ErrorKind::InvalidData, tls));
        let error = from_transport("list nodes", "api:6443", &wrapped);
        assert_eq!(error.kind, ErrorKind::Untrusted);
        let alert = std::io::Error::other(rustls::Error::AlertReceived(AlertDescription::CertificateExpired));
        assert_eq!(from_transport("list nodes", "api:6443", &alert).kind, ErrorKind::Denied);
    }

    #[test]
    fn a_certificate_out_of_its_dates_points_at_the_clocks() {
        let tls = std::io::Error::other(rustls::Error::InvalidCertificate(CertificateError::NotValidYet));
        let error = from_transport("list nodes", "api:6443", &tls);
        assert!(error.remedy.unwrap().contains("clocks"));
    }
}
