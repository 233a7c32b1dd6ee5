//! Watches against a server that follows a script. Namespaces stand for all kinds: there is one way for all of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::reads::scripted::{Answer, Server, Then};
use crate::translate::order::Write;

/// Fails the test rather than the CI job.
const PATIENCE: Duration = Duration::from_secs(20);

fn namespace(name: &str, version: u32) -> String {
    format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":"{version}"}}}}"#)
}

fn list(version: u32, names: &[&str]) -> Answer {
    let items: Vec<String> = names.iter().map(|name| namespace(name, version)).collect();
    Answer::Json(200, format!(r#"{{"metadata":{{"resourceVersion":"{version}"}},"items":[{}]}}"#, items.join(",")))
}

fn event(kind: &str, name: &str, version: u32) -> String {
    format!(r#"{{"type":"{kind}","object":{}}}"#, namespace(name, version))
}

fn expired() -> String {
    r#"{"type":"ERROR","object":{"kind":"Status","message":"too old resource version","reason":"Expired","code":410}}"#.to_owned()
}

/// Answers lists and watches by how many there were of each before.
async fn server(
    lists: impl Fn(usize) -> Answer + Send + Sync + 'static,
    watches: impl Fn(usize) -> Answer + Send + Sync + 'static,
) -> Server {
    let (listed, watched) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Server::start(move |request| {
        if request.contains("watch=true") {
            watches(watched.fetch_add(1, Ordering::Relaxed))
        } else {
            lists(listed.fetch_add(1, Ordering::Relaxed))
        }
    })
    .await
}

async fn names(of: &WatchedCluster) -> Result<String, PortError> {
    let names = tokio::time::timeout(PATIENCE, of.namespaces()).await.unwrap()?;
    Ok(names.iter().map(|name| name.as_ref()).collect::<Vec<_>>().join(" "))
}

/// Reads after each word of the watch, as a run does, until the answer is `wanted`; all answers on the way.
async fn until(of: &WatchedCluster, wanted: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        seen.push(names(of).await.unwrap_or_else(|error| error.found));
        if seen.last().is_some_and(|last| last == wanted) {
            return seen;
        }
        let parts = tokio::time::timeout(PATIENCE, of.changed()).await.unwrap_or_else(|_| panic!("no word after {seen:?}"));
        assert_eq!(parts, [ClusterPart::Namespaces]);
    }
}

/// The requests, each as `list` or `watch VERSION`.
fn asked(server: &Server) -> Vec<String> {
    let version = |line: &str| line.split("resourceVersion=").nth(1).map(|rest| rest.split('&').next().unwrap().to_owned());
    let said = |line: String| match version(&line) {
        Some(version) => format!("watch {version}"),
        None if line.contains("limit=500") => "list".to_owned(),
        None => line,
    };
    server.requests().into_iter().map(said).collect()
}

#[tokio::test]
async fn a_part_is_listed_once_and_each_change_is_told() {
    let events = || vec![event("ADDED", "b", 6), event("DELETED", "a", 7), event("ADDED", "c", 8)];
    let server = server(|_| list(5, &["a"]), move |_| Answer::Watch(events(), Then::Stay)).await;
    let watched = WatchedCluster::new(server.cluster());
    until(&watched, "b c").await;
    let same = (watched.namespaces().await.unwrap(), watched.namespaces().await.unwrap());
    assert!(Arc::ptr_eq(&same.0, &same.1));
    assert_eq!(asked(&server), ["list", "watch 5"]);
}

#[tokio::test]
async fn a_watch_whose_time_is_over_goes_on_from_the_last_bookmark() {
    let bookmark = || vec![r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#.to_owned()];
    let watches = move |n| match n {
        0 => Answer::Watch(bookmark(), Then::End),
        _ => Answer::Watch(vec![event("ADDED", "b", 10)], Then::Stay),
    };
    let server = server(|_| list(5, &["a"]), watches).await;
    let watched = WatchedCluster::new(server.cluster());
    assert_eq!(until(&watched, "a b").await, ["a", "a", "a b"]);
    assert_eq!(asked(&server), ["list", "watch 5", "watch 9"]);
}

#[tokio::test]
async fn a_watch_that_shows_nothing_until_its_end_is_followed_by_a_list() {
    let lists = |n| match n {
        0 => list(5, &["a"]),
        1 => Answer::Json(500, r#"{"message":"etcdserver: request timed out"}"#.to_owned()),
        _ => list(50, &["b"]),
    };
    let watches = |n| Answer::Watch(Vec::new(), if n == 0 { Then::End } else { Then::Stay });
    let server = server(lists, watches).await;
    let watched = WatchedCluster::new(server.cluster());
    let seen = until(&watched, "b").await;
    assert!(seen.iter().all(|answer| answer == "a" || answer == "b" || answer.starts_with("500")), "{seen:?}");
    assert_eq!(asked(&server)[..4], ["list", "watch 5", "list", "list"]);
}

#[tokio::test]
async fn what_a_server_has_forgotten_is_listed_anew_and_nothing_old_is_shown_meanwhile() {
    let watches = |n| match n {
        0 => Answer::Watch(vec![event("ADDED", "b", 6), expired()], Then::End),
        _ => Answer::Watch(Vec::new(), Then::Stay),
    };
    let lists = |n| if n == 0 { list(5, &["a"]) } else { list(50, &["c"]) };
    let server = server(lists, watches).await;
    let watched = WatchedCluster::new(server.cluster());
    until(&watched, "c").await;
    assert_eq!(names(&watched).await.unwrap(), "c");
    assert_eq!(asked(&server)[..3], ["list", "watch 5", "list"]);
}

#[tokio::test]
async fn a_broken_watch_answers_with_the_error_of_the_newest_list_and_never_with_old_facts() {
    let lists = |n| match n {
        0 | 3.. => list(5, &["a"]),
        _ => Answer::Json(503, r#"{"message":"apiserver is starting"}"#.to_owned()),
    };
    let watches = |n| Answer::Watch(Vec::new(), if n == 0 { Then::Cut } else { Then::Stay });
    let server = server(lists, watches).await;
    let watched = WatchedCluster::new(server.cluster());
    let seen = until(&watched, "503 apiserver is starting").await;
    assert!(seen.iter().all(|answer| answer == "a" || answer.starts_with("503")), "{seen:?}");
    // Each question is a try of its own.
    assert_eq!(names(&watched).await.unwrap_err().kind, ErrorKind::Transient);
    assert_eq!(names(&watched).await.unwrap(), "a");
    assert_eq!(asked(&server)[..5], ["list", "watch 5", "list", "list", "list"]);
}

#[tokio::test]
async fn a_list_after_one_that_failed_begins_over_a_connection_that_it_closes() {
    let closing = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&closing);
    let server = Server::start(move |request| {
        if request.contains("watch=true") {
            return Answer::Watch(Vec::new(), Then::Stay);
        }
        let mut seen = log.lock().unwrap();
        seen.push(request.contains("connection: close"));
        match seen.len() {
            1 => Answer::Json(500, r#"{"message":"etcdserver: request timed out"}"#.to_owned()),
            2 => Answer::Json(200, r#"{"metadata":{"continue":"more"},"items":[]}"#.to_owned()),
            _ => list(5, &["a"]),
        }
    })
    .await;
    let watched = WatchedCluster::new(server.cluster());
    names(&watched).await.unwrap_err();
    assert_eq!(names(&watched).await.unwrap(), "a");
    assert_eq!(*closing.lock().unwrap(), [false, true, false]);
}

#[tokio::test]
async fn who_asks_does_not_cut_short_what_a_busy_server_asked_for() {
    let lists = |n| if n == 0 { Answer::Wait(429, 1) } else { list(5, &["a"]) };
    let server = server(lists, |_| Answer::Watch(Vec::new(), Then::Stay)).await;
    let mut cluster = server.cluster();
    cluster.deadlines.list = PATIENCE;
    let watched = WatchedCluster::new(cluster);
    let begun = tokio::time::Instant::now();
    names(&watched).await.unwrap_err();
    assert_eq!(names(&watched).await.unwrap(), "a");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_object_that_makes_no_sense_is_no_fact() {
    let nonsense = || vec![r#"{"type":"ADDED","object":{"metadata":{"name":7}}}"#.to_owned()];
    let watches = move |n| match n {
        0 => Answer::Watch(nonsense(), Then::Stay),
        _ => Answer::Watch(Vec::new(), Then::Stay),
    };
    let server = server(|n| list(5, if n == 0 { &["a"] } else { &["a", "b"] }), watches).await;
    until(&WatchedCluster::new(server.cluster()), "a b").await;
}

#[tokio::test]
async fn what_may_not_be_watched_is_listed_at_every_look() {
    let refused = r#"{"message":"namespaces is forbidden: User \"u\" cannot watch resource \"namespaces\" in API group \"\" at the cluster scope"}"#;
    let server = server(|n| list(5, &[["a", "b", "c"][n]]), move |_| Answer::Json(403, refused.to_owned())).await;
    let watched = WatchedCluster::new(server.cluster());
    assert_eq!(names(&watched).await.unwrap(), "a");
    while server.requests().len() < 2 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(names(&watched).await.unwrap(), "b");
    assert_eq!(names(&watched).await.unwrap(), "c");
}

#[tokio::test]
async fn nothing_is_shown_that_is_older_than_our_own_write() {
    let watches = |_| Answer::Watch(vec![event("ADDED", "b", 7)], Then::Stay);
    let server = server(|n| list(5, if n == 0 { &["a"] } else { &["a", "b", "c"] }), watches).await;
    let cluster = server.cluster();
    let watched = WatchedCluster::new(cluster.clone());
    assert_eq!(names(&watched).await.unwrap(), "a");
    cluster.written.note("/api/v1/namespaces/b", br#"{"metadata":{"resourceVersion":"7"}}"#);
    assert_eq!(names(&watched).await.unwrap(), "a b", "the watch shows it");
    cluster.written.note("/api/v1/namespaces/c", br#"{"metadata":{"resourceVersion":"8"}}"#);
    assert_eq!(names(&watched).await.unwrap(), "a b c", "the watch does not, so it is listed");
}

#[tokio::test]
async fn after_a_write_that_may_have_been_done_nothing_is_believed_but_a_new_list() {
    let server = server(|n| list(5, if n == 0 { &["a"] } else { &["a", "b"] }), |_| Answer::Watch(Vec::new(), Then::Stay)).await;
    let cluster = server.cluster();
    let watched = WatchedCluster::new(cluster.clone());
    assert_eq!(names(&watched).await.unwrap(), "a");
    cluster.written.doubt("/api/v1/namespaces/b");
    assert_eq!(names(&watched).await.unwrap(), "a b");
    assert_eq!(names(&watched).await.unwrap(), "a b");
    let lists = asked(&server).iter().filter(|line| *line == "list").count();
    assert_eq!((lists, &asked(&server)[..4]), (2, ["list", "watch 5", "closed", "list"].map(str::to_owned).as_slice()));
}

#[tokio::test]
async fn a_write_that_was_certainly_not_done_costs_no_list() {
    let budget = r#"{"details":{"causes":[{"reason":"DisruptionBudget","message":"The budget"}]}}"#;
    let webhook = r#"{"message":"Internal error occurred: failed calling webhook \"v.kyverno.svc\": no endpoints available"}"#;
    for (code, body) in [(429, budget), (429, "{}"), (500, webhook), (403, "{}"), (404, "{}"), (422, "{}")] {
        let server = Server::start(move |request| match request {
            request if request.starts_with("POST ") => Answer::Json(code, body.to_owned()),
            request if request.contains("watch=true") => Answer::Watch(Vec::new(), Then::Stay),
            _ => list(5, &["a"]),
        })
        .await;
        let cluster = server.cluster();
        let watched = WatchedCluster::new(cluster.clone());
        assert_eq!(names(&watched).await.unwrap(), "a");
        while asked(&server).len() < 2 {
            tokio::task::yield_now().await;
        }
        let write = Write {
            tried: "write",
            on: "b".to_owned(),
            method: http::Method::POST,
            path: "/api/v1/namespaces/b".to_owned(),
            content_type: "application/json",
            body: serde_json::json!({}),
        };
        cluster.send(&write).await.unwrap_err();
        assert_eq!(names(&watched).await.unwrap(), "a");
        // The server has had its time to hear of a watch that is thrown away.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(asked(&server), ["list", "watch 5", "POST /api/v1/namespaces/b"], "{code}");
    }
}

#[tokio::test]
async fn a_watch_that_hangs_is_given_up_after_its_time() {
    let watches = |n| match n {
        0 => Answer::Watch(Vec::new(), Then::Stay),
        _ => Answer::Watch(vec![event("ADDED", "b", 60)], Then::Stay),
    };
    let server = server(|n| list(if n == 0 { 5 } else { 50 }, &["a"]), watches).await;
    let mut cluster = server.cluster();
    cluster.deadlines.watch = Duration::from_millis(10);
    until(&WatchedCluster::new(cluster), "a b").await;
    assert_eq!(asked(&server)[..5], ["list", "watch 5", "closed", "list", "watch 50"]);
}

#[tokio::test]
async fn no_connection_outlives_the_run() {
    let server = server(|_| list(5, &["a"]), |_| Answer::Watch(Vec::new(), Then::Stay)).await;
    let watched = WatchedCluster::new(server.cluster());
    names(&watched).await.unwrap();
    while asked(&server).len() < 2 {
        tokio::task::yield_now().await;
    }
    drop(watched);
    let closed = async {
        while asked(&server).last().is_none_or(|last| last != "closed") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
}
