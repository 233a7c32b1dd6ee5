//! Against sockets that say what they are told to.

use std::net::SocketAddr;
use std::path::PathBuf;

use ananke_core::port::ErrorKind;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

async fn speak<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    // Whoever has read enough hangs up.
    stream.write_all(answer.as_bytes()).await.ok();
    stream.flush().await.ok();
    String::from_utf8(head).unwrap()
}

/// Answers one connection; the task ends with the request's head.
async fn serve(answer: impl Into<String>) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, answer) = (listener.local_addr().unwrap(), answer.into());
    (address, tokio::spawn(async move { speak(listener.accept().await.unwrap().0, &answer).await }))
}

fn at(address: SocketAddr) -> Reach {
    Reach { at: Some(HostPort { host: address.ip().to_string(), port: address.port() }), ca_file: None }
}

fn hasty(reach: &Reach) -> HttpProbes {
    let mut probes = HttpProbes::new(reach, &BTreeMap::new());
    probes.usual.web.deadline = Duration::from_millis(500);
    probes
}

fn plain(url: &str) -> ProbeRequest {
    ProbeRequest::plain(url.into())
}

fn texts(texts: &[&str]) -> ProbeRequest {
    ProbeRequest { texts: texts.iter().map(|text| (*text).to_owned()).collect(), ..plain("http://a.example/doc") }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (address, request) =
        serve("HTTP/1.1 302 Found\r\nlocation: https://sso.example.dev/?state=1\r\ncontent-length: 9\r\n\r\nnot read").await;
    let answer = hasty(&at(address)).ask(&plain("http://scm.example.dev/user/login?x=1")).await.unwrap();
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("https://sso.example.dev/")));
    let request = request.await.unwrap();
    assert!(request.starts_with("GET /user/login?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("host: scm.example.dev\r\n"), "{request}");
}

#[tokio::test]
async fn head_asks_without_a_body_and_gets_none() {
    let (address, request) = serve("HTTP/1.1 200 OK\r\ncontent-length: 700000\r\n\r\n").await;
    let head = ProbeRequest { method: ProbeMethod::Head, ..plain("http://a.example/") };
    assert_eq!(hasty(&at(address)).ask(&head).await.unwrap().status, 200);
    assert!(request.await.unwrap().starts_with("HEAD / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn an_address_in_the_url_is_used_as_it_is() {
    let (address, request) = serve("HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n").await;
    let elsewhere = at("127.0.0.1:1".parse().unwrap());
    assert_eq!(hasty(&elsewhere).ask(&plain(&format!("http://{address}"))).await.unwrap().status, 503);
    assert!(request.await.unwrap().contains(&format!("host: {address}\r\n")));
}

#[tokio::test]
async fn a_check_with_an_address_of_its_own_is_asked_there() {
    let (inside, _inside) = serve("HTTP/1.1 204 x\r\n\r\n").await;
    let (outside, _outside) = serve("HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
    let own = [("inside".into(), at(inside))].into();
    let probes = HttpProbes::new(&at(outside), &own);
    let request = |name: &str| ProbeRequest { check: Some(name.into()), ..plain("http://a.example/") };
    assert_eq!(probes.ask(&request("inside")).await.unwrap().status, 204);
    assert_eq!(probes.ask(&request("other")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_name_that_nobody_resolves_is_the_trouble_of_that_check_alone() {
    let nowhere = Reach { at: Some(HostPort { host: "nowhere.invalid".to_owned(), port: 80 }), ca_file: None };
    let error = hasty(&nowhere).ask(&plain("http://a.example/")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
}

#[tokio::test]
async fn silence_refusal_and_a_closed_connection_are_told_apart() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = silent.local_addr().unwrap();
    let error = hasty(&at(gone)).ask(&plain("http://a.example")).await.unwrap_err();
    assert_eq!(
        (error.kind, error.to_string().as_str()),
        (ErrorKind::Transient, "GET on http://a.example: no answer within 500ms")
    );

    let (closing, _request) = serve("").await;
    let error = hasty(&at(closing)).ask(&plain("http://a.example")).await.unwrap_err();
    assert!(error.found.contains("closed"), "{error}");

    drop(silent);
    let error = hasty(&at(gone)).ask(&plain("http://a.example")).await.unwrap_err();
    assert!(error.found.starts_with("cannot connect: Connection refused"), "{error}");
}

#[tokio::test]
async fn what_is_no_http_url_is_invalid() {
    let probes = hasty(&Reach::default());
    for url in ["", "scm.example.dev", "ftp://a", "http://", "http://user:secret@a/", "http://a/\r\nx: y", "http://a/ HTTP/1.1"] {
        let error = probes.ask(&plain(url)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{url}: {error}");
    }
}

#[tokio::test]
async fn a_text_is_found_in_a_chunked_body_and_a_missing_one_is_told_with_how_the_page_begins() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"iss\r\n7\r\nuer\":1}\r\n0\r\n\r\n";
    let (address, _request) = serve(chunked).await;
    let answer = hasty(&at(address)).ask(&texts(&["\"issuer\"", "jwks"])).await.unwrap();
    assert_eq!((answer.missing, answer.body.as_deref()), (vec!["jwks".to_owned()], Some("{\"issuer\":1}")));
}

#[tokio::test]
async fn a_body_without_end_is_read_to_its_limit_and_no_further() {
    // The server promises a gigabyte and holds the connection: only a bounded reader comes back.
    let begin = "x".repeat(BODY_READ - 6) + "needleHAYSTACK";
    let (address, _request) = serve(format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n{begin}")).await;
    let answer = hasty(&at(address)).ask(&texts(&["needle", "HAYSTACK"])).await.unwrap();
    assert_eq!(answer.missing, ["HAYSTACK"]);
    assert!(answer.body.unwrap().chars().count() < 250);
}

#[tokio::test]
async fn a_body_that_trickles_is_no_answer_and_one_that_breaks_off_is_none_either() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").await.unwrap();
        stream
    });
    let error = hasty(&at(address)).ask(&texts(&["z"])).await.unwrap_err();
    assert_eq!(error.to_string(), "GET on http://a.example/doc: no answer within 500ms");
    drop(server);

    let (address, _request) = serve("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc").await;
    let error = hasty(&at(address)).ask(&texts(&["abc"])).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "half a document proves nothing: {error}");
}

#[tokio::test]
async fn a_head_without_end_and_a_head_full_of_escapes_do_no_harm() {
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "x-pad: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(5000));
    let (address, _request) = serve(endless).await;
    assert_eq!(hasty(&at(address)).ask(&plain("http://a.example/")).await.unwrap_err().kind, ErrorKind::Transient);

    let split = "HTTP/1.1 302 x\r\nlocation: /a\tb\r\nx-told: one\r\nX-Told: two\r\ncontent-length: 0\r\n\r\n";
    let (address, _request) = serve(split).await;
    let headers = [("x-told".into(), "two".to_owned()), ("location".into(), "/b".to_owned())].into();
    let answer = hasty(&at(address)).ask(&ProbeRequest { headers, ..plain("http://a.example/") }).await.unwrap();
    assert_eq!((answer.headers["x-told"].as_str(), answer.headers["location"].as_str()), ("two", "/a b"));
}

struct Tls {
    address: SocketAddr,
    root: CertificateDer<'static>,
    pem: String,
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
    Tls { address, root, pem: made.cert.pem() }
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_name_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> Option<PathBuf> {
        std::fs::write(dir.path().join(name), text).unwrap();
        Some(dir.path().join(name))
    };
    let (server, other) = (serve_tls("scm.example.dev").await, serve_tls("scm.example.dev").await);
    assert_ne!(server.root, other.root);
    let scm = plain("https://scm.example.dev");
    let own = Reach { ca_file: file("own.pem", &server.pem), ..at(server.address) };
    let wrong = Reach { ca_file: file("wrong.pem", &other.pem), ..at(server.address) };

    for reach in [&at(server.address), &wrong] {
        let error = hasty(reach).ask(&scm).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Untrusted, "{error}");
        assert!(error.remedy.as_ref().is_some_and(|remedy| remedy.contains("ca_file")), "{error:?}");
    }
    assert_eq!(hasty(&own).ask(&scm).await.unwrap().status, 200);
    let error = hasty(&own).ask(&plain("https://registry.example.dev")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Untrusted, "another name: {error}");

    let probes = HttpProbes::new(&at(server.address), &[("own".into(), own)].into());
    assert_eq!(probes.ask(&ProbeRequest { check: Some("own".into()), ..scm.clone() }).await.unwrap().status, 200);
    assert_eq!(probes.ask(&scm).await.unwrap_err().kind, ErrorKind::Untrusted, "a check's own CA is its own");
}

#[tokio::test]
async fn a_ca_file_that_went_bad_stops_the_checks_over_tls_and_no_others() {
    let (address, _request) = serve("HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
    let reach = Reach { ca_file: Some("/nowhere/ca.pem".into()), ..at(address) };
    assert_eq!(hasty(&reach).ask(&plain("http://a.example/")).await.unwrap().status, 200);
    let server = serve_tls("a.example").await;
    let error =
        hasty(&Reach { ca_file: reach.ca_file, ..at(server.address) }).ask(&plain("https://a.example/")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Untrusted);
    assert!(error.found.contains("/nowhere/ca.pem"), "{error}");
}

#[test]
fn the_simulators_sites_say_the_same_in_memory_and_over_sockets() {
    use ananke_sim::executor::Sim;
    use ananke_sim::ports::SimPorts;
    use ananke_sim::scenario::Scenario;
    use ananke_sim::serve::up::{UpOptions, up};
    use ananke_sim::world::World;

    let asked = |check: &ananke_core::spec::ServiceCheck| ProbeRequest {
        check: None,
        url: check.url.clone(),
        method: check.method,
        headers: check.headers.clone(),
        texts: check.body.clone(),
    };
    let sim = Sim::new(World::new(&Scenario::named("healthy").unwrap().with_nodes(4), 1));
    let mut requests: Vec<ProbeRequest> = ananke_sim::drill::spec(&sim.world()).services.iter().map(asked).collect();
    assert_eq!(requests.len(), 3);
    let plain = |url: &str| ProbeRequest::plain(url.into());
    requests.extend([plain("http://nobody.titan.example/"), plain("http://grafana.titan.example/d/1?x=2")]);
    requests.push(ProbeRequest { texts: vec!["jwks_uri".to_owned(), "absent".to_owned()], ..requests[1].clone() });
    requests.push(ProbeRequest { method: ProbeMethod::Head, ..plain("http://scm.titan.example/") });
    let ports = SimPorts::new(&sim);
    let in_memory: Vec<_> = requests.iter().map(|request| sim.run(ports.ask(request), 60_000).unwrap().unwrap()).collect();

    let dir = tempfile::tempdir().unwrap();
    let options =
        UpOptions { dir: dir.path().to_owned(), scenario: "healthy".to_owned(), nodes: Some(4), pods: None, seed: 1, speed: 1 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _served = up(options).await.unwrap();
        let host = crate::config::Host::default();
        let loaded = crate::config::load(&dir.path().join("ananke.yaml"), &host, &Default::default()).unwrap();
        let probes = HttpProbes::new(&loaded.http.usual, &loaded.http.own);
        for (request, expected) in requests.iter().zip(&in_memory) {
            assert_eq!(probes.ask(request).await.as_ref(), Ok(expected), "{}", request.key());
        }
    });
}
