//! HTTP checks from outside the cluster: one GET, as a browser would make it, and what came back.
//!
//! No redirect is followed, no body is read, nothing is repeated, and certificates are always verified.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::observation::ProbeAnswer;
use ananke_core::port::{ErrorKind, PortError, Probes, clean};
use async_trait::async_trait;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::uri::Scheme;
use http::{Request, Uri};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const TRIED: &str = "GET";
const AGENT: &str = concat!("ananke/", env!("CARGO_PKG_VERSION"));
/// A user's patience: a page that takes longer is not served.
const DEADLINE: Duration = Duration::from_secs(5);
/// A `Location` longer than this is no place to go to.
const MAX_LOCATION: usize = 2048;

/// The port [`Probes`] over real sockets.
#[derive(Debug, Clone)]
pub struct HttpProbes {
    /// A host without root certificates can still check what is served in clear text.
    tls: Result<Arc<ClientConfig>, String>,
    resolve: Option<SocketAddr>,
    deadline: Duration,
}

impl HttpProbes {
    /// `resolve` stands in for name resolution, port included: every host that is a name is reached there, while the
    /// `Host` header and the TLS server name stay what the URL says. `extra_roots` are trusted besides the system's.
    pub fn new(resolve: Option<SocketAddr>, extra_roots: Vec<CertificateDer<'static>>) -> Self {
        let tls = client_config(extra_roots).map(Arc::new).map_err(|error| error.to_string());
        Self { tls, resolve, deadline: DEADLINE }
    }
}

fn client_config(extra_roots: Vec<CertificateDer<'static>>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra_roots, Arc::clone(&provider))?;
    // "Dangerous" is to bring one's own verifier: this one is the platform's, with the roots above besides.
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[async_trait]
impl Probes for HttpProbes {
    async fn get(&self, url: &str) -> Result<ProbeAnswer, PortError> {
        let target = Target::parse(url)?;
        tokio::time::timeout(self.deadline, self.fetch(&target)).await.unwrap_or_else(|_| {
            Err(PortError::new(ErrorKind::Transient, TRIED, url, format!("no answer within {:?}", self.deadline)))
        })
    }
}

/// A URL taken apart.
struct Target<'a> {
    url: &'a str,
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl<'a> Target<'a> {
    fn parse(url: &'a str) -> Result<Self, PortError> {
        let bad = |found: &str| PortError::new(ErrorKind::Invalid, TRIED, url, found);
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
        Ok(Self { url, uri, host, port, tls })
    }

    fn error(&self, kind: ErrorKind, found: impl Display) -> PortError {
        PortError::new(kind, TRIED, self.url, found)
    }

    /// The `Host` header: the authority as the URL has it.
    fn authority(&self) -> &str {
        self.uri.authority().map_or(&self.host, http::uri::Authority::as_str)
    }
}

impl HttpProbes {
    async fn fetch(&self, target: &Target<'_>) -> Result<ProbeAnswer, PortError> {
        let stream = self.connect(target).await?;
        if !target.tls {
            return exchange(stream, target).await;
        }
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| target.error(ErrorKind::Invalid, "the host is not a name that TLS can verify"))?;
        let tls = self.tls.as_ref().map_err(|found| {
            target
                .error(ErrorKind::Untrusted, format!("cannot verify certificates: {found}"))
                .with_remedy("install the root certificates of this host (Debian: apt-get install ca-certificates)")
        })?;
        let connector = TlsConnector::from(Arc::clone(tls));
        let stream = connector.connect(name, stream).await.map_err(|error| refused_tls(target, &error))?;
        exchange(stream, target).await
    }

    async fn connect(&self, target: &Target<'_>) -> Result<TcpStream, PortError> {
        let stream = match (target.host.parse::<IpAddr>(), self.resolve) {
            (Ok(ip), _) => TcpStream::connect((ip, target.port)).await,
            (Err(_), Some(fixed)) => TcpStream::connect(fixed).await,
            (Err(_), None) => TcpStream::connect((target.host.as_str(), target.port)).await,
        };
        stream.map_err(|error| target.error(ErrorKind::Transient, format!("cannot connect: {error}")))
    }
}

fn refused_tls(target: &Target<'_>, error: &std::io::Error) -> PortError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            target.error(ErrorKind::Untrusted, format!("the certificate is not valid: {why}"))
        }
        _ => target.error(ErrorKind::Transient, format!("TLS failed: {error}")),
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    target: &Target<'_>,
) -> Result<ProbeAnswer, PortError> {
    let failed = |error: hyper::Error| target.error(ErrorKind::Transient, error);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let path = target.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::get(path)
        .header(HOST, target.authority())
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<&[u8]>::new())
        .map_err(|error| target.error(ErrorKind::Invalid, error))?;
    let mut answer = pin!(sender.send_request(request));
    // The connection lives in this future: when the head of the answer is here, or the deadline passes, it is dropped
    // with whatever the server still had to say.
    let early = tokio::select! {
        biased;
        answer = &mut answer => Some(answer),
        // A server that answers and closes ends the connection in the same breath; an error of it reaches the answer too.
        _ = connection => None,
    };
    let answer = match early {
        Some(answer) => answer,
        None => answer.await,
    }
    .map_err(failed)?;
    let location = answer.headers().get(LOCATION).map(|value| clean(&String::from_utf8_lossy(value.as_bytes()), MAX_LOCATION));
    Ok(ProbeAnswer { status: answer.status().as_u16(), location })
}

#[cfg(test)]
mod tests;
