//! What a call in memory meets while the API is half alive: the same errors that ananke-k8s makes of the real thing.

use std::time::Duration;

use ananke_core::port::{ErrorKind, PortError};
use ananke_core::verdict::Reason;

use crate::world::{ApiFault, Ms};

/// What a call needs of the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// A list that the API server has in its cache.
    Cache,
    /// The same, of nodes.
    Nodes,
    Quorum,
    /// A quorum read and the dry-run write, which creates a Lease.
    Health,
    Write,
}

/// Why a call fails.
pub(super) struct Trouble {
    /// The error comes after this long.
    pub(super) after: Ms,
    pub(super) error: PortError,
    /// A write is carried out all the same.
    pub(super) done: bool,
}

/// An API server, or its client, gives up after this long.
const TIMEOUT: Ms = 10_000;
/// Without a leader etcd says so sooner.
const NO_LEADER: Ms = 2_000;
/// What a busy server asks for, in seconds.
const RETRY_AFTER: u64 = 10;

pub(super) fn trouble(fault: ApiFault, tried: &str, needs: Needs) -> Option<Trouble> {
    let error = |kind, reason, found: &str| PortError::new(kind, tried, "the API server", found).with_reason(reason);
    let transient = |reason, found: &str| error(ErrorKind::Transient, reason, found);
    let store = |found: &str| transient(Reason::EtcdUnhealthy, found);
    let cached = matches!(needs, Needs::Cache | Needs::Nodes);
    let mut done = false;
    let (after, error) = match fault {
        ApiFault::StoreHangs | ApiFault::StaleCache if cached => return None,
        ApiFault::ForbidsLeases if needs != Needs::Health => return None,
        ApiFault::ForbidsNodes if needs != Needs::Nodes => return None,
        ApiFault::StoreHangs => (TIMEOUT, store("500 etcdserver: request timed out")),
        ApiFault::StaleCache => (NO_LEADER, store("500 etcdserver: request timed out")),
        ApiFault::Answers500 => (0, store("500 etcdserver: no leader")),
        ApiFault::Refused => (0, transient(Reason::ApiRefused, "connection refused")),
        ApiFault::TlsFails => {
            (0, transient(Reason::ApiTlsFailed, "TLS failed: received fatal alert: the server had an internal error"))
        }
        ApiFault::WrongCertificate => {
            let found = "the server's certificate is not valid: the issuer is not known";
            (0, PortError::new(ErrorKind::Untrusted, tried, "the API server", found))
        }
        ApiFault::Unauthorized => {
            let error = error(ErrorKind::Denied, Reason::ApiUnauthorized, "401 Unauthorized");
            (0, error.with_remedy("check the user's credentials in the kubeconfig: the server does not accept them"))
        }
        ApiFault::ForbidsLeases => (0, forbidden(error, "create", "leases.coordination.k8s.io", "in namespace kube-system")),
        ApiFault::ForbidsNodes => (0, forbidden(error, "list", "nodes", "at cluster scope")),
        ApiFault::Throttles => {
            let found = format!("429 Too many requests, please try again later.; it asks to wait {RETRY_AFTER} s");
            (0, transient(Reason::ApiThrottled, &found).with_retry_after(Duration::from_secs(RETRY_AFTER)))
        }
        ApiFault::InternalError => (0, transient(Reason::ApiServerError, "500 Internal error occurred: it is confused")),
        ApiFault::Unavailable => (0, transient(Reason::ApiUnavailable, "503 apiserver is shutting down")),
        ApiFault::TimesOut => {
            done = true;
            (TIMEOUT, transient(Reason::ApiTimeout, "504 Timeout: request did not complete within the requested timeout"))
        }
        ApiFault::Hangs => (TIMEOUT, transient(Reason::ApiNotAnswering, "no answer within 10s")),
        ApiFault::Closes => {
            done = true;
            (0, transient(Reason::ApiClosed, "connection closed before message completed"))
        }
    };
    Some(Trouble { after, error, done })
}

fn forbidden(error: impl Fn(ErrorKind, Reason, &str) -> PortError, verb: &str, resource: &str, scope: &str) -> PortError {
    let found = format!("403 {resource} is forbidden: User \"ananke\" cannot {verb} resource {resource:?} {scope}");
    let remedy = format!("grant {verb} on {resource} {scope} to user ananke");
    error(ErrorKind::Denied, Reason::ApiForbidden, &found).with_remedy(remedy)
}
