//! What a browser outside the cluster sees.

use super::{Power, World};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAnswer {
    Status(u16),
    /// Nobody listens.
    Refused,
    /// No host is there to refuse.
    NoAnswer,
}

impl World {
    /// One GET of `path` on an ingress host.
    pub fn http(&self, host: &str, path: &str) -> HttpAnswer {
        if !self.hosts.iter().any(|row| row.power == Power::Up) {
            return HttpAnswer::NoAnswer;
        }
        if self.workloads[self.known.ingress].endpoints == 0 {
            return HttpAnswer::Refused;
        }
        let Some(ingress) = self.ingresses.iter().find(|ingress| &*ingress.host == host) else {
            return HttpAnswer::Status(404);
        };
        let backend = &self.workloads[ingress.backend];
        HttpAnswer::Status(match (backend.endpoints > 0, &*backend.object.namespace) {
            (false, _) => 503,
            (true, "harbor") if path.starts_with("/v2") => 401,
            (true, _) => 200,
        })
    }
}
