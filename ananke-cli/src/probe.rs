//! HTTP checks from outside the cluster: one request, as a browser would make it, and what came back.
//!
//! No redirect is followed, nothing is repeated, no more of a body is read than a check looks into, and certificates are
//! always verified.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::observation::ProbeAnswer;
use ananke_core::port::probe::{BODY_READ, RawAnswer};
use ananke_core::port::{PortError, ProbeRequest, Probes};
use ananke_core::spec::ProbeMethod;
use async_trait::async_trait;
use http::Method;

use crate::config::{HostPort, Reach};
use crate::web::{Ask, Web};

/// A user's patience: a page that takes longer is not served.
const DEADLINE: Duration = Duration::from_secs(5);

/// The port [`Probes`] over real sockets.
#[derive(Debug, Clone)]
pub(crate) struct HttpProbes {
    usual: Way,
    /// Service checks that are reached in another way, by name.
    own: BTreeMap<Arc<str>, Way>,
}

#[derive(Debug, Clone)]
struct Way {
    web: Web,
    at: Option<HostPort>,
}

impl HttpProbes {
    pub(crate) fn new(usual: &Reach, own: &BTreeMap<Arc<str>, Reach>) -> Self {
        let web = Web::new(usual.ca_file.as_deref(), DEADLINE);
        let way = |reach: &Reach| Way { web: web.sharing(reach.ca_file.as_deref()), at: reach.at.clone() };
        Self { usual: way(usual), own: own.iter().map(|(name, reach)| (name.clone(), way(reach))).collect() }
    }
}

#[async_trait]
impl Probes for HttpProbes {
    async fn ask(&self, request: &ProbeRequest) -> Result<ProbeAnswer, PortError> {
        let way = request.check.as_ref().and_then(|name| self.own.get(name)).unwrap_or(&self.usual);
        let method = match request.method {
            ProbeMethod::Get => Method::GET,
            ProbeMethod::Head => Method::HEAD,
        };
        let limit = if request.texts.is_empty() { 0 } else { BODY_READ };
        let ask = Ask { method, url: &request.url, at: way.at.as_ref(), json: None, authorization: None, limit };
        let got = way.web.ask(&ask).await?;
        let headers: Vec<_> = got.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        Ok(request.keep(&RawAnswer { status: got.status, headers: &headers, body: &got.body }))
    }
}

#[cfg(test)]
mod tests;
