//! Against sockets that say what they are told to.

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

async fn speak<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    String::from_utf8(head).unwrap()
}

/// Answers one connection; the task ends with the request's head.
async fn serve(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(async move { speak(listener.accept().await.unwrap().0, answer).await }))
}

fn probes(resolve: Option<SocketAddr>) -> HttpProbes {
    HttpProbes { deadline: Duration::from_millis(500), ..HttpProbes::new(resolve, Vec::new()) }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (address, request) =
        serve("HTTP/1.1 302 Found\r\nlocation: https://sso.example.dev/\r\ncontent-length: 9\r\n\r\nnot read").await;
    let answer = probes(Some(address)).get("http://scm.example.dev/user/login?x=1").await.unwrap();
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("https://sso.example.dev/")));
    let request = request.await.unwrap();
    assert!(request.starts_with("GET /user/login?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("host: scm.example.dev\r\n"), "{request}");
}

#[tokio::test]
async fn an_address_in_the_url_is_used_as_it_is() {
    let (address, request) = serve("HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n").await;
    let elsewhere = "127.0.0.1:1".parse().ok();
    assert_eq!(probes(elsewhere).get(&format!("http://{address}")).await.unwrap().status, 503);
    assert!(request.await.unwrap().contains(&format!("host: {address}\r\n")));
}

#[tokio::test]
async fn silence_refusal_and_a_closed_connection_are_told_apart() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = probes(silent.local_addr().ok()).get("http://a.example").await.unwrap_err();
    assert_eq!(
        (error.kind, error.to_string().as_str()),
        (ErrorKind::Transient, "GET on http://a.example: no answer within 500ms")
    );

    let (closing, _request) = serve("").await;
    let error = probes(Some(closing)).get("http://a.example").await.unwrap_err();
    assert!(error.found.contains("closed"), "{error}");

    let gone = silent.local_addr().unwrap();
    drop(silent);
    let error = probes(Some(gone)).get("http://a.example").await.unwrap_err();
    assert!(error.found.starts_with("cannot connect: Connection refused"), "{error}");
}

#[tokio::test]
async fn what_is_no_http_url_is_invalid() {
    for url in ["", "scm.example.dev", "ftp://a", "http://", "http://user:secret@a/"] {
        assert_eq!(probes(None).get(url).await.unwrap_err().kind, ErrorKind::Invalid, "{url}");
    }
}

struct Tls {
    address: SocketAddr,
    root: CertificateDer<'static>,
}

/// A server for `name` with a certificate of its own making.
async fn serve_tls(name: &str) -> Tls {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let root = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![root.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                speak(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    });
    Tls { address, root }
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_name_the_host() {
    let server = serve_tls("scm.example.dev").await;
    let error = probes(Some(server.address)).get("https://scm.example.dev").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Untrusted, "{error}");

    let trusting = HttpProbes::new(Some(server.address), vec![server.root]);
    assert_eq!(trusting.get("https://scm.example.dev").await.unwrap().status, 200);
    let error = trusting.get("https://registry.example.dev").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Untrusted, "{error}");
}
