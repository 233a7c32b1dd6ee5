//! What a browser outside the cluster sees.

use super::{Power, World};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAnswer {
    Page(Page),
    /// Nobody listens.
    Refused,
    /// No host is there to refuse.
    NoAnswer,
}

/// An answer of a site, or of the ingress controller in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Page {
    fn plain(status: u16) -> Self {
        Self { status, headers: vec![("content-type", "text/plain; charset=utf-8".to_owned())], body: format!("{status}\n") }
    }

    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body: body.to_string() }
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl World {
    /// One GET of `path` on an ingress host.
    pub fn http(&self, host: &str, path: &str) -> HttpAnswer {
        let backend = match self.behind_ingress(host) {
            Ok(backend) => backend,
            Err(answer) => return answer,
        };
        if backend == self.vault.workload
            && self.vault_state().is_some()
            && let Some(answer) = self.vault_get(path)
        {
            return answer;
        }
        let workload = &self.workloads[backend];
        HttpAnswer::Page(match (workload.endpoints > 0, &*workload.object.namespace) {
            (false, _) => Page::plain(503),
            (true, namespace) => site(namespace, host, path),
        })
    }

    /// One PUT: only Vault takes any.
    pub fn http_put(&mut self, host: &str, path: &str, body: &[u8]) -> HttpAnswer {
        match self.behind_ingress(host) {
            Ok(backend) if backend == self.vault.workload && self.vault_state().is_some() => self.vault_put(path, body),
            Ok(_) => HttpAnswer::Page(Page::plain(405)),
            Err(answer) => answer,
        }
    }

    /// Whether the site answers as a browser expects it to.
    pub(crate) fn site_works(&self, host: &str) -> bool {
        matches!(self.http(host, "/"), HttpAnswer::Page(page) if page.status < 400)
    }

    /// The workload behind an ingress host, or what answers in its place.
    fn behind_ingress(&self, host: &str) -> Result<usize, HttpAnswer> {
        if self.address_unannounced() || !self.hosts.iter().any(|row| row.power == Power::Up) {
            return Err(HttpAnswer::NoAnswer);
        }
        if !self.serves(self.known.ingress) {
            return Err(HttpAnswer::Refused);
        }
        let found = self.ingresses.iter().find(|ingress| &*ingress.host == host && self.has(&ingress.object));
        found.map(|ingress| ingress.backend).ok_or_else(|| HttpAnswer::Page(Page::plain(404)))
    }
}

/// What the sites of the home lab say to strangers.
fn site(namespace: &str, host: &str, path: &str) -> Page {
    let sso = host.replacen(host.split('.').next().unwrap_or_default(), "sso", 1);
    match namespace {
        "harbor" if path.starts_with("/v2") => {
            let challenge = format!("Bearer realm=\"http://{host}/service/token\",service=\"harbor-registry\"");
            let errors = serde_json::json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "authorize first" }] });
            Page::json(401, &errors).with("www-authenticate", challenge)
        }
        "keycloak" if path.ends_with("/.well-known/openid-configuration") => {
            let realm = path.strip_suffix("/.well-known/openid-configuration").unwrap_or_default();
            let issuer = format!("http://{host}{realm}");
            Page::json(
                200,
                &serde_json::json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/protocol/openid-connect/auth"),
                    "token_endpoint": format!("{issuer}/protocol/openid-connect/token"),
                    "jwks_uri": format!("{issuer}/protocol/openid-connect/certs"),
                }),
            )
        }
        // A login stands in front of it; its state differs from one stranger to the next.
        "longhorn-system" => {
            let login =
                format!("http://{sso}/realms/titan/protocol/openid-connect/auth?client_id=longhorn&state=s{}", path.len());
            Page::plain(302).with("location", login)
        }
        _ => Page::plain(200),
    }
}
