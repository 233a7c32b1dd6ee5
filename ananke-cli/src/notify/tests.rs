//! Notices to a listener of the test's own, and to nobody.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const NOW: Moment = Moment::from_millis(1_773_453_971_250);

fn notice() -> Notice {
    let details = ["charge 43 %, 12 s ago".to_owned(), "ümlaut".to_owned()];
    Notice::new("UPS rack-a", Urgency::Warning, "UPS rack-a is on battery").with(details)
}

/// Answers one request after the other with these statuses; gives back what it heard.
async fn server(listener: TcpListener, statuses: &[u16]) -> Vec<String> {
    let mut heard = Vec::new();
    for status in statuses {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        while text.split_once("\r\n\r\n").is_none_or(|(head, body)| body.len() < length(head)) {
            let mut bytes = vec![0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            assert!(read > 0, "{text}");
            text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        heard.push(text);
        let heard = heard.last().map_or("", String::as_str);
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{heard}", heard.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    heard
}

fn length(head: &str) -> usize {
    head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |value| value.parse().unwrap())
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

fn token(dir: &tempfile::TempDir) -> PathBuf {
    let path = dir.path().join("token");
    std::fs::write(&path, "tk_secret\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

async fn told(channel: &Channel) -> Result<String, Unsent> {
    twice(channel, "titan-db", &notice(), NOW, Duration::from_millis(10)).await
}

#[tokio::test]
async fn ntfy_gets_its_own_json_and_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, url) = listener().await;
    let post = Post { url, token_file: Some(token(&dir)), ca_file: None };
    let channel = Channel::Ntfy { post, topic: "ananke".to_owned() };
    let (heard, sent) = futures::join!(server(listener, &[200]), told(&channel));
    assert!(sent.as_ref().is_ok_and(|channel| channel.starts_with("ntfy at 127.0.0.1:")), "{sent:?}");
    let request = heard.first().unwrap();
    assert!(request.starts_with("POST / HTTP/1.1\r\n") && request.contains("authorization: Bearer tk_secret\r\n"), "{request}");
    let expected = json!({
        "topic": "ananke", "title": "titan-db: UPS rack-a is on battery", "message": "charge 43 %, 12 s ago\nümlaut",
        "priority": 4, "tags": ["warning"],
    });
    assert_eq!(body(request), expected);
}

#[tokio::test]
async fn a_webhook_gets_a_schema_and_a_server_in_trouble_is_asked_once_more() {
    let (listener, url) = listener().await;
    let channel = Channel::Webhook(Post { url: format!("{url}hook?key=secret"), token_file: None, ca_file: None });
    let (heard, sent) = futures::join!(server(listener, &[503, 204]), told(&channel));
    assert!(sent.is_ok(), "{sent:?}");
    let expected = json!({
        "schema": 1, "holder": "titan-db", "at": NOW, "about": "UPS rack-a", "urgency": "warning",
        "sentence": "UPS rack-a is on battery", "details": ["charge 43 %, 12 s ago", "ümlaut"],
    });
    assert_eq!(heard.iter().map(|request| body(request)).collect::<Vec<_>>(), [expected.clone(), expected]);
}

#[tokio::test]
async fn what_fails_is_said_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, url) = listener().await;
    let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let post = Post { url: format!("{url}hook?key=secret"), token_file: Some(token(&dir)), ca_file: None };
    let channel = Channel::Webhook(post);
    let (_, sent) = futures::join!(server(listener, &[403]), told(&channel));
    assert_eq!(sent.unwrap_err().to_string(), format!("tell the webhook at {host}: it answers 403"));
    let sent = told(&channel).await.unwrap_err().to_string();
    assert!(sent.starts_with(&format!("tell the webhook at {host}: cannot connect: ")) && !sent.contains("secret"), "{sent}");
}
