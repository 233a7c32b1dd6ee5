//! One HTTP exchange: verified, bounded, nothing followed, nothing repeated. Service checks and Vault are asked with it, and
//! notices are posted.

use std::fmt::Display;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ananke_core::port::{ErrorKind, PortError};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::HostPort;

const AGENT: &str = concat!("ananke/", env!("CARGO_PKG_VERSION"));
/// The head of an answer is no place for more than this.
const MAX_HEAD: usize = 64 * 1024;
/// A file with the roots of every public CA has a quarter of this.
const MAX_ROOTS: u64 = 1024 * 1024;

/// How exchanges are made: whom TLS trusts, and how long an answer may take, its body included.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    trust: Arc<Trust>,
    pub(crate) deadline: Duration,
}

/// Made when TLS is first spoken: a hundred roots are memory, and a daemon asks for nothing for hours. Whoever cannot verify
/// certificates can still ask for what is served in clear text.
#[derive(Debug)]
struct Trust {
    ca_file: Option<PathBuf>,
    made: OnceLock<Arc<ClientConfig>>,
}

#[derive(Debug)]
struct NoTls {
    found: String,
    remedy: String,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a str,
    /// Stands in for name resolution, port included, where the URL has a name: the `Host` header and the name that TLS
    /// verifies stay what the URL says.
    pub(crate) at: Option<&'a HostPort>,
    pub(crate) json: Option<Bytes>,
    /// What `Authorization` says; marked as sensitive, so that it is never printed.
    pub(crate) authorization: Option<HeaderValue>,
    /// Bytes of the answer's body that are read; the connection is closed after them.
    pub(crate) limit: usize,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Web {
    /// The certificates in `ca_file` are trusted besides those of the system.
    pub(crate) fn new(ca_file: Option<&Path>, deadline: Duration) -> Self {
        let trust = Trust { ca_file: ca_file.map(Path::to_owned), made: OnceLock::new() };
        Self { trust: Arc::new(trust), deadline }
    }

    /// The same trust for exchanges of another kind, if they trust the same.
    pub(crate) fn sharing(&self, ca_file: Option<&Path>) -> Self {
        if ca_file == self.trust.ca_file.as_deref() { self.clone() } else { Self::new(ca_file, self.deadline) }
    }

    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Got, PortError> {
        let target = Target::parse(ask)?;
        tokio::time::timeout(self.deadline, self.fetch(&target, ask))
            .await
            .unwrap_or_else(|_| Err(target.error(ErrorKind::Transient, format!("no answer within {:?}", self.deadline))))
    }

    async fn fetch(&self, target: &Target<'_>, ask: &Ask<'_>) -> Result<Got, PortError> {
        let stream = connect(target, ask.at).await?;
        if !target.tls {
            return exchange(stream, target, ask).await;
        }
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| target.error(ErrorKind::Invalid, "the host is not a name that TLS can verify"))?;
        let tls = self.trust.tls().map_err(|NoTls { found, remedy }| {
            target.error(ErrorKind::Untrusted, format!("cannot verify certificates: {found}")).with_remedy(remedy)
        })?;
        let connector = TlsConnector::from(tls);
        let stream = connector.connect(name, stream).await.map_err(|error| refused_tls(target, &error))?;
        exchange(stream, target, ask).await
    }
}

impl Trust {
    /// A file that cannot be used is read again the next time.
    fn tls(&self) -> Result<Arc<ClientConfig>, NoTls> {
        if let Some(made) = self.made.get() {
            return Ok(Arc::clone(made));
        }
        let extra = self.ca_file.as_deref().map_or_else(|| Ok(Vec::new()), |path| roots(path).map_err(|found| (path, found)));
        let config = client_config(extra.map_err(|(path, found)| NoTls {
            found: format!("{}: {found}", path.display()),
            remedy: format!("put the certificate of the CA into {}, as PEM", path.display()),
        })?)?;
        Ok(Arc::clone(self.made.get_or_init(|| config)))
    }
}

/// The certificates in a PEM file.
pub(crate) fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut pem = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_ROOTS).read_to_end(&mut pem));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(roots) if roots.is_empty() => Err("there is no certificate in it".to_owned()),
        Ok(roots) => Ok(roots),
        Err(error) => Err(format!("not a PEM file: {error}")),
    }
}

fn client_config(extra_roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, NoTls> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = Verifier::new_with_extra_roots(extra_roots, Arc::clone(&provider)).and_then(|verifier| {
        // "Dangerous" is to bring one's own verifier: this one is the platform's, with the roots above besides.
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    });
    let remedy = "install the root certificates of this host (Debian: apt-get install ca-certificates)".to_owned();
    config.map_err(|error| NoTls { found: error.to_string(), remedy })
}

/// A client that trusts these certificates and no others.
pub(crate) fn only_trusting(roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, String> {
    let mut store = rustls::RootCertStore::empty();
    for root in roots {
        store.add(root).map_err(|error| error.to_string())?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(store).with_no_client_auth()))
}

/// A URL taken apart.
struct Target<'a> {
    tried: &'a str,
    url: &'a str,
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl<'a> Target<'a> {
    fn parse(ask: &'a Ask<'_>) -> Result<Self, PortError> {
        let (tried, url) = (ask.method.as_str(), ask.url);
        let bad = |found: &str| PortError::new(ErrorKind::Invalid, tried, url, found);
        let uri: Uri = url.parse().map_err(|_| bad("this is not a URL"))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(bad("the URL must start with http:// or https://")),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(bad("a URL with a user in it would put a secret into reports"));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(bad("the URL has no host"));
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tried, url, uri, host, port, tls })
    }

    fn error(&self, kind: ErrorKind, found: impl Display) -> PortError {
        PortError::new(kind, self.tried, self.url, found)
    }

    /// The `Host` header: the authority as the URL has it.
    fn authority(&self) -> &str {
        self.uri.authority().map_or(&self.host, http::uri::Authority::as_str)
    }
}

async fn connect(target: &Target<'_>, at: Option<&HostPort>) -> Result<TcpStream, PortError> {
    let (host, port) = match (target.host.parse::<IpAddr>(), at) {
        (Err(_), Some(fixed)) => (fixed.host.as_str(), fixed.port),
        (Ok(_), _) | (Err(_), None) => (target.host.as_str(), target.port),
    };
    ananke_ssh::tcp::connect(host, port)
        .await
        .map_err(|error| target.error(ErrorKind::Transient, format!("cannot connect: {error}")))
}

fn refused_tls(target: &Target<'_>, error: &std::io::Error) -> PortError {
    let Some(rustls::Error::InvalidCertificate(why)) = error.get_ref().and_then(|inner| inner.downcast_ref()) else {
        return target.error(ErrorKind::Transient, format!("TLS failed: {error}"));
    };
    let refused = target.error(ErrorKind::Untrusted, format!("the certificate is not valid: {why}"));
    let host = &target.host;
    if matches!(why, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
        return refused.with_remedy(format!(
            "name the CA of {host} in the config (ca_file), or give {host} a certificate of a CA that this host trusts"
        ));
    }
    if matches!(why, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        return refused.with_remedy(format!("renew the certificate of {host}"));
    }
    refused
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    target: &Target<'_>,
    ask: &Ask<'_>,
) -> Result<Got, PortError> {
    let failed = |error: hyper::Error| target.error(ErrorKind::Transient, error);
    let mut builder = http1::Builder::new();
    let (mut sender, connection) = builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let path = target.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut request = Request::builder()
        .method(&ask.method)
        .uri(path)
        .header(HOST, target.authority())
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        // Texts are looked for in what is read: it must come as it is.
        .header(ACCEPT_ENCODING, "identity")
        .header(CONNECTION, "close");
    if ask.json.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if let Some(value) = &ask.authorization {
        request = request.header(AUTHORIZATION, value);
    }
    let body = ask.json.clone().unwrap_or_default();
    let request = request.body(Full::new(body)).map_err(|error| target.error(ErrorKind::Invalid, error))?;
    let mut answer = pin!(async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = read_body(body, ask.limit).await?;
        Ok(Got { status: head.status.as_u16(), headers: head.headers, body })
    });
    // The connection lives in this future: when the answer is here, or the deadline passes, it is dropped with whatever
    // the server still had to say.
    let early = tokio::select! {
        biased;
        answer = &mut answer => Some(answer),
        // A server that answers and closes ends the connection in the same breath; an error of it reaches the answer too.
        _ = connection => None,
    };
    match early {
        Some(answer) => answer,
        None => answer.await,
    }
    .map_err(failed)
}

/// As much of the body as is wanted.
async fn read_body(mut body: Incoming, limit: usize) -> Result<Vec<u8>, hyper::Error> {
    let mut read = Vec::new();
    while read.len() < limit {
        let Some(frame) = body.frame().await.transpose()? else { break };
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data);
        }
    }
    read.truncate(limit);
    Ok(read)
}
