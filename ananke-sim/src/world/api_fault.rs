//! Half-alive API servers: each way in which one can be there and not be of use, for a while.

use super::{Event, Ms, World};

/// What is wrong with the API as its clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiFault {
    /// 500: its store has no leader.
    Answers500,
    /// Nobody listens.
    Refused,
    /// Its store hangs: caches answer, everything else does not.
    StoreHangs,
    /// The handshake ends with an alert.
    TlsFails,
    /// A certificate that another authority signed.
    WrongCertificate,
    /// 401 to whoever comes with credentials.
    Unauthorized,
    /// 403 to whoever creates a Lease: the dry-run write is one.
    ForbidsLeases,
    /// 403 to whoever lists nodes.
    ForbidsNodes,
    /// 429 with Retry-After.
    Throttles,
    /// 500 for a reason of its own.
    InternalError,
    /// 503: it starts, or it stops.
    Unavailable,
    /// 504: writes are done all the same, and nobody hears of it.
    TimesOut,
    /// Connections are accepted, and nothing comes.
    Hangs,
    /// The connection closes without an answer; writes are done all the same.
    Closes,
    /// Lists and watches show the cluster as it was when this began; quorum reads and writes fail.
    StaleCache,
}

impl ApiFault {
    pub const ALL: &[Self] = &[
        Self::Answers500,
        Self::Refused,
        Self::StoreHangs,
        Self::TlsFails,
        Self::WrongCertificate,
        Self::Unauthorized,
        Self::ForbidsLeases,
        Self::ForbidsNodes,
        Self::Throttles,
        Self::InternalError,
        Self::Unavailable,
        Self::TimesOut,
        Self::Hangs,
        Self::Closes,
        Self::StaleCache,
    ];

    /// Whether etcd itself takes no writes: no kubelet's Lease is renewed, no snapshot saved.
    pub fn stops_the_store(self) -> bool {
        matches!(self, Self::StoreHangs | Self::StaleCache)
    }
}

/// How long one lasts unless it is told.
pub(super) const LASTS: Ms = 60_000;

impl World {
    pub fn fault(&self) -> Option<ApiFault> {
        self.control.fault
    }

    /// The cluster as lists and watches show it: as it was, while the API server's cache is stale.
    pub fn cached(&self) -> &Self {
        self.control.stale.as_deref().unwrap_or(self)
    }

    /// Makes the API half alive for a while; the newest fault takes the place of the one before it. Behind an address that
    /// leads nowhere nobody sees any.
    pub fn inject_api_fault(&mut self, fault: ApiFault, lasts: Ms) {
        if self.address_is_lost() {
            return;
        }
        self.control.stale = None;
        if fault == ApiFault::StaleCache {
            self.control.stale = Some(Box::new(self.clone()));
        }
        self.control.fault = Some(fault);
        self.control.fault_epoch += 1;
        self.control.hang_since = fault.stops_the_store().then_some(self.now);
        self.note(|_| format!("the API is half alive: {fault:?}"));
        self.after(lasts, Event::ApiFaultEnds(self.control.fault_epoch));
    }

    pub(super) fn api_fault_ends(&mut self, epoch: u32) {
        if self.control.fault_epoch == epoch {
            (self.control.fault, self.control.hang_since, self.control.stale) = (None, None, None);
            self.note(|_| "the API answers as it should".to_owned());
        }
    }
}
