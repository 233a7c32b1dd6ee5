//! A server that says what a script tells it to, for what no real server does on demand.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::connect::KubeCluster;

pub(crate) enum Answer {
    Json(u16, String),
    /// A status that asks to wait so many seconds.
    Wait(u16, u64),
    /// Closes without a word.
    Close,
    /// Never answers.
    Hang,
    /// A watch: these events, a line each, and how it goes on.
    Watch(Vec<String>, Then),
}

#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// As a server ends a watch whose time is over.
    End,
    /// The connection breaks.
    Cut,
    /// Says nothing more; when the client hangs up, `closed` stands among the requests.
    Stay,
}

/// Serves until it is dropped; `script` sees the request line's method and path, then the headers.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&seen), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&script)));
            }
        });
        Self { address, seen, task }
    }

    pub(crate) fn cluster(&self) -> KubeCluster {
        self.cluster_with(&[])
    }

    /// One cluster with these servers besides.
    pub(crate) fn cluster_with(&self, others: &[&Self]) -> KubeCluster {
        let others: Vec<SocketAddr> = others.iter().map(|server| server.address).collect();
        KubeCluster::plain(self.address, &others, Duration::from_millis(300))
    }

    /// Method and path of each request, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, log: Arc<Mutex<Vec<String>>>, script: Arc<impl Fn(&str) -> Answer>) {
    loop {
        let Some(head) = read_request(&mut stream).await else { return };
        let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
        log.lock().unwrap().push(line.clone());
        match script(&head) {
            Answer::Json(status, body) => {
                let text = format!(
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(text.as_bytes()).await.unwrap();
            }
            Answer::Wait(status, seconds) => {
                let text = format!("HTTP/1.1 {status} x\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(text.as_bytes()).await.unwrap();
            }
            Answer::Close => return,
            Answer::Hang => std::future::pending().await,
            Answer::Watch(lines, then) => {
                stream.write_all(&chunked(&lines)).await.unwrap();
                match then {
                    Then::End => stream.write_all(b"0\r\n\r\n").await.unwrap(),
                    Then::Cut => return,
                    Then::Stay => {
                        stream.read_exact(&mut [0; 1]).await.ok();
                        log.lock().unwrap().push("closed".to_owned());
                        return;
                    }
                }
            }
        }
    }
}

fn chunked(lines: &[String]) -> Vec<u8> {
    let mut text = "HTTP/1.1 200 x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for line in lines {
        text.push_str(&format!("{:x}\r\n{line}\n\r\n", line.len() + 1));
    }
    text.into_bytes()
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length =
                head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
            let missing = (end + 4 + length.unwrap_or(0)).saturating_sub(bytes.len());
            let mut body = vec![0; missing];
            stream.read_exact(&mut body).await.ok()?;
            return Some(head);
        }
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

/// Flux's groups, as recorded.
pub(crate) fn discovery(request: &str) -> String {
    let path = request.split(' ').nth(1).unwrap();
    let group = path.trim_start_matches("/apis/").split('/').next().unwrap();
    if path.ends_with("/v1") {
        let names: &[&str] = match group {
            "source.toolkit.fluxcd.io" => &["gitrepositories", "ocirepositories", "buckets"],
            "helm.toolkit.fluxcd.io" => &["helmreleases"],
            _ => &["kustomizations"],
        };
        let resources: Vec<String> =
            names.iter().map(|name| format!(r#"{{"name":"{name}/status"}},{{"name":"{name}"}}"#)).collect();
        let resources = resources.join(",");
        format!(r#"{{"kind":"APIResourceList","groupVersion":"{group}/v1","resources":[{resources}]}}"#)
    } else {
        format!(
            r#"{{"kind":"APIGroup","name":"{group}","versions":[{{"groupVersion":"{group}/v1","version":"v1"}}],"preferredVersion":{{"groupVersion":"{group}/v1","version":"v1"}}}}"#
        )
    }
}
