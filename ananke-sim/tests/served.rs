//! A small cluster on real sockets, talked to as its clients do: TLS with and without a certificate, HTTP, the control socket.
#![cfg(feature = "serve")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use ananke_sim::serve::{ServeError, Served, UpOptions, control, up};
use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const MERGE: &str = "application/merge-patch+json";

/// Fails the test rather than the CI job when a server hangs.
const PATIENCE: Duration = Duration::from_secs(20);

struct Client {
    address: String,
    tls: TlsConnector,
}

impl Client {
    fn new(kubeconfig: &str, with_certificate: bool) -> Self {
        let line =
            |key: &str| kubeconfig.lines().find_map(|line| line.trim().strip_prefix(&format!("{key}: "))).unwrap().to_owned();
        let pem = |key: &str| base64::engine::general_purpose::STANDARD.decode(line(key)).unwrap();
        let own = with_certificate.then(|| (pem("client-certificate-data"), pem("client-key-data")));
        let own = own.as_ref().map(|(certificate, key)| (certificate.as_slice(), key.as_slice()));
        let tls = crate::tls::connector(&pem("certificate-authority-data"), own);
        let address = line("server").strip_prefix("https://").unwrap().to_owned();
        Self { address, tls }
    }

    async fn ask(&self, method: &str, path: &str, content_type: &str, body: Value) -> (u16, Value) {
        self.ask_as(None, method, path, content_type, body).await
    }

    async fn ask_as(&self, token: Option<&str>, method: &str, path: &str, content_type: &str, body: Value) -> (u16, Value) {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let stream = self.tls.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let request =
            Request::builder().method(method).uri(path).header("host", &self.address).header("content-type", content_type);
        let request =
            token.into_iter().fold(request, |request, token| request.header("authorization", format!("Bearer {token}")));
        let response = sender.send_request(request.body(Full::new(Bytes::from(text))).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let last = bytes.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
        (status, serde_json::from_slice(last).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "", Value::Null).await
    }
}

async fn start(dir: &Path) -> (Served, Client) {
    let served = up(options(dir)).await.unwrap();
    assert!(dir.join("ready").exists());
    let client = Client::new(&std::fs::read_to_string(dir.join("kubeconfig")).unwrap(), true);
    (served, client)
}

fn options(dir: &Path) -> UpOptions {
    UpOptions { dir: dir.to_owned(), scenario: "healthy".to_owned(), nodes: Some(4), pods: None, seed: 7, speed: 10 }
}

fn on_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("the test took too long") });
}

#[test]
fn a_node_is_patched_on_its_version_and_a_watch_sees_it() {
    let dir = tempfile::tempdir().unwrap();
    on_runtime(async {
        let (served, client) = start(dir.path()).await;
        let (status, nodes) = client.get("/api/v1/nodes").await;
        assert_eq!((status, nodes["items"].as_array().unwrap().len()), (200, 4));
        let name = nodes["items"][3]["metadata"]["name"].as_str().unwrap();
        let version = nodes["items"][3]["metadata"]["resourceVersion"].clone();
        let path = format!("/api/v1/nodes/{name}");
        let taints = json!([{"key": "ananke.dev/cordon", "value": "l1", "effect": "NoSchedule"}]);
        let patch = json!({"metadata": {"resourceVersion": version, "annotations": {"a": "1"}}, "spec": {"taints": taints}});

        let (status, dry) = client.ask("PATCH", &format!("{path}?dryRun=All"), MERGE, patch.clone()).await;
        assert_eq!((status, &dry["spec"]["taints"]), (200, &taints));
        assert_eq!(client.get(&path).await.1["spec"]["taints"], Value::Null);

        let (status, patched) = client.ask("PATCH", &path, MERGE, patch.clone()).await;
        assert_eq!((status, &patched["spec"]["taints"]), (200, &taints));
        assert_ne!(patched["metadata"]["resourceVersion"], version);
        let (status, late) = client.ask("PATCH", &path, MERGE, patch).await;
        assert_eq!((status, &late["reason"], &late["details"]["name"]), (409, &json!("Conflict"), &json!(name)));

        let since = version.as_str().unwrap();
        let watch =
            format!("/api/v1/nodes?watch=true&timeoutSeconds=1&resourceVersion={since}&fieldSelector=metadata.name={name}");
        let (_, event) = client.get(&watch).await;
        assert_eq!((&event["type"], &event["object"]["metadata"]["annotations"]["a"]), (&json!("MODIFIED"), &json!("1")));
        let (_, gone) = client.get("/api/v1/nodes?watch=true&timeoutSeconds=1&resourceVersion=1").await;
        assert_eq!((&gone["type"], &gone["object"]["code"]), (&json!("ERROR"), &json!(410)));

        let log = std::fs::read_to_string(dir.path().join("requests.log")).unwrap();
        assert!(log.contains(&format!("PATCH {path} 409\n")), "{log}");
        served.run_until(std::future::ready(())).await;
        assert!(!dir.path().join("ready").exists());
    });
}

#[test]
fn strangers_see_the_version_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    on_runtime(async {
        let (_served, _) = start(dir.path()).await;
        let stranger = Client::new(&std::fs::read_to_string(dir.path().join("kubeconfig")).unwrap(), false);
        assert_eq!(stranger.get("/version").await.0, 200);
        let (status, refused) = stranger.get("/api/v1/nodes").await;
        let recorded =
            "nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"\" at the cluster scope";
        assert_eq!((status, refused["message"].as_str()), (403, Some(recorded)));
        let nonsense = stranger.ask_as(Some("nonsense"), "GET", "/api/v1/nodes", "", Value::Null).await;
        assert_eq!((nonsense.0, nonsense.1["reason"].as_str()), (401, Some("Unauthorized")));
    });
}

#[test]
fn ananke_may_do_what_its_manifest_grants_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    on_runtime(async {
        let (_served, _) = start(dir.path()).await;
        let kubeconfig = std::fs::read_to_string(dir.path().join("ananke.kubeconfig")).unwrap();
        let token = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap().to_owned();
        let ananke = Client::new(&kubeconfig, false);
        let ask = async |method: &str, path: &str| {
            let (status, answer) = ananke.ask_as(Some(&token), method, path, "", Value::Null).await;
            (status, answer["message"].as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(ask("GET", "/api/v1/nodes").await.0, 200);
        assert_eq!(ask("GET", "/apis/apps").await.0, 200);
        let user = r#"User "system:serviceaccount:kube-system:ananke" cannot"#;
        let refused = [
            (
                "GET",
                "/api/v1/secrets",
                format!(r#"secrets is forbidden: {user} list resource "secrets" in API group "" at the cluster scope"#),
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/gitea/deployments/gitea/scale",
                format!(
                    r#"deployments.apps "gitea" is forbidden: {user} patch resource "deployments/scale" in API group "apps" in the namespace "gitea""#
                ),
            ),
            ("GET", "/metrics", format!(r#"forbidden: {user} get path "/metrics""#)),
        ];
        for (method, path, message) in refused {
            assert_eq!(ask(method, path).await, (403, message));
        }
        let audit = std::fs::read_to_string(dir.path().join("audit.log")).unwrap();
        let last: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let scale = last.iter().find(|event| event["objectRef"]["subresource"] == "scale").unwrap();
        assert_eq!((&scale["verb"], &scale["responseStatus"]["code"]), (&json!("patch"), &json!(403)));
        assert!(last.iter().any(|event| event["user"]["username"] == "system:serviceaccount:kube-system:ananke"));
    });
}

#[test]
fn a_fault_from_the_control_socket_reaches_the_api_and_a_second_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    on_runtime(async {
        let (_served, client) = start(dir.path()).await;
        assert!(matches!(up(options(dir.path())).await, Err(ServeError::AlreadyUp(_))));
        let ask = |fault: &str| control::Request::Inject { fault: fault.to_owned(), node: None, seconds: None };
        assert!(control::send(dir.path(), &ask("api-500")).await.unwrap().ok);
        assert_eq!(client.get("/api/v1/nodes").await.0, 500);
        assert!(control::send(dir.path(), &ask("store-hang")).await.unwrap().ok);
        assert_eq!(client.get("/api/v1/nodes?resourceVersion=0").await.0, 200);
        let (status, failed) =
            client.ask("PATCH", "/api/v1/nodes/titan-01", MERGE, json!({"metadata": {"labels": {"w": "2"}}})).await;
        assert_eq!((status, failed["message"].as_str().unwrap().contains("code = Unavailable")), (500, true));
        assert!(control::send(dir.path(), &ask("api-refused")).await.unwrap().ok);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let refused = TcpStream::connect(&client.address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}
