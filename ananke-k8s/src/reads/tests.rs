//! The client part over a socket; what the answers mean is tested where they are translated.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::scripted::{Answer, Server, discovery};
use super::*;

fn path(request: &str) -> &str {
    request.split(' ').nth(1).unwrap()
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    let server = Server::start(|_| Answer::Hang).await;
    let error = server.cluster().namespaces().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert_eq!(error.found, "no answer within 300ms");
}

#[tokio::test]
async fn a_server_that_closes_without_an_answer_is_asked_once() {
    let server = Server::start(|_| Answer::Close).await;
    let error = server.cluster().namespaces().await.unwrap_err();
    assert_eq!((error.kind, error.found.as_str()), (ErrorKind::Transient, "connection closed before message completed"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_busy_server_is_asked_once_and_says_how_long_it_wants_to_be_left_alone() {
    let server = Server::start(|_| Answer::Wait(429, 7)).await;
    let error = server.cluster().namespaces().await.unwrap_err();
    assert_eq!((error.retry_after, error.found.as_str()), (Some(std::time::Duration::from_secs(7)), "429; it asks to wait 7 s"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_store_that_says_nothing_behind_a_server_that_answers_is_blamed() {
    let version = r#"{"gitVersion":"v1.36.2"}"#;
    for (silence, found) in [("hang", "no answer within 300ms"), ("close", "connection closed before message completed")] {
        let server = Server::start(move |request| match (path(request), silence) {
            ("/version", _) => Answer::Json(200, version.to_owned()),
            (_, "hang") => Answer::Hang,
            _ => Answer::Close,
        })
        .await;
        let error = server.cluster().health().await.unwrap_err();
        assert_eq!(error.found, format!("the server answers, its store does not: {found}"));
        assert_eq!(error.reason, Some(ananke_core::verdict::Reason::EtcdUnhealthy));
    }
}

#[tokio::test]
async fn a_write_that_hangs_beside_a_store_that_answers_has_time_and_does_not_blame_the_store() {
    let server = Server::start(|request| match (request.starts_with("POST "), path(request)) {
        (true, _) => Answer::Hang,
        (_, "/version") => Answer::Json(200, r#"{"gitVersion":"v1.36.2"}"#.to_owned()),
        _ => Answer::Json(200, r#"{"metadata":{"name":"kube-system","uid":"c-1"}}"#.to_owned()),
    })
    .await;
    let error = server.cluster().health().await.unwrap_err();
    assert_eq!(error.found, "the server and its store answer, this write is not answered: no answer within 600ms");
    assert_eq!(error.reason, Some(ananke_core::verdict::Reason::ApiTimeout));
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_as_long_as_a_write_is() {
    let server = Server::start(|_| Answer::Hang).await;
    let mut cluster = server.cluster();
    cluster.deadlines.write = std::time::Duration::from_secs(600);
    let error = cluster.health().await.unwrap_err();
    assert_eq!((error.tried.as_str(), error.found.as_str()), ("read the version", "no answer within 300ms"));
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_once() {
    let server = Server::start(|_| Answer::Json(503, r#"{"message":"apiserver is starting"}"#.to_owned())).await;
    let error = server.cluster().pods().await.unwrap_err();
    assert!(error.to_string().starts_with("list pods on 127.0.0.1:"), "{error}");
    assert!(error.to_string().ends_with(": 503 apiserver is starting"), "{error}");
    assert_eq!(
        server.requests(),
        ["GET /api/v1/pods?limit=500&fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"]
    );
}

#[tokio::test]
async fn lists_go_on_until_the_last_page_and_say_who_asks() {
    let server = Server::start(|request| {
        assert!(request.contains(concat!("user-agent: ananke/", env!("CARGO_PKG_VERSION"))), "{request}");
        let (name, token) = if request.contains("continue=a%2Bb") { ("two", "") } else { ("one", "a+b") };
        Answer::Json(200, format!(r#"{{"metadata":{{"continue":"{token}"}},"items":[{{"metadata":{{"name":"{name}"}}}}]}}"#))
    })
    .await;
    assert_eq!(*server.cluster().namespaces().await.unwrap(), ["one".into(), "two".into()]);
}

/// A list of two pages, the second of which is put off so often, with that pause asked for; and how many requests it takes.
async fn put_off(times: usize, seconds: u64) -> (Result<usize, PortError>, usize) {
    let left = AtomicUsize::new(times);
    let take = |left: usize| left.checked_sub(1);
    let server = Server::start(move |request| match request.contains("continue=more") {
        true if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() => Answer::Wait(429, seconds),
        true => Answer::Json(200, r#"{"items":[{"metadata":{"name":"two"}}]}"#.to_owned()),
        false => Answer::Json(200, r#"{"metadata":{"continue":"more"},"items":[{"metadata":{"name":"one"}}]}"#.to_owned()),
    })
    .await;
    let names = server.cluster().namespaces().await.map(|names| names.len());
    (names, server.requests().len())
}

#[tokio::test]
async fn a_list_that_is_put_off_in_its_middle_goes_on_within_bounds() {
    assert_eq!(put_off(3, 0).await, (Ok(2), 5));
    let (error, requests) = put_off(4, 0).await;
    assert_eq!((error.unwrap_err().found.as_str(), requests), ("429; it asks to wait 0 s", 5));
    let (error, requests) = put_off(1, 7).await;
    assert_eq!((error.unwrap_err().retry_after, requests), (Some(std::time::Duration::from_secs(7)), 2));
}

#[tokio::test]
async fn a_list_that_never_ends_is_refused() {
    let server = Server::start(|_| Answer::Json(200, r#"{"metadata":{"continue":"more"},"items":[]}"#.to_owned())).await;
    let mut cluster = server.cluster();
    cluster.deadlines.list = std::time::Duration::from_secs(60);
    let error = cluster.namespaces().await.unwrap_err();
    assert_eq!((error.kind, server.requests().len()), (ErrorKind::Invalid, 400));
}

#[tokio::test]
async fn health_needs_the_read_the_write_and_the_version() {
    let good = |request: &str| match (request.split(' ').next().unwrap(), path(request)) {
        ("GET", "/version") => Answer::Json(200, r#"{"gitVersion":"v1.36.2"}"#.to_owned()),
        ("GET", "/api/v1/namespaces/kube-system") => {
            Answer::Json(200, r#"{"metadata":{"name":"kube-system","uid":"c-1","resourceVersion":"4"}}"#.to_owned())
        }
        ("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?dryRun=All&fieldManager=ananke") => {
            Answer::Json(201, r#"{"kind":"Lease"}"#.to_owned())
        }
        other => panic!("{other:?}"),
    };
    let server = Server::start(good).await;
    let health = server.cluster().health().await.unwrap();
    assert_eq!((health.cluster_uid.as_str(), health.version.as_str()), ("c-1", "v1.36.2"));

    let store_down = Server::start(move |request| match request.starts_with("POST ") {
        true => Answer::Json(500, r#"{"message":"rpc error: code = Unavailable"}"#.to_owned()),
        false => good(request),
    })
    .await;
    let error = store_down.cluster().health().await.unwrap_err();
    assert_eq!((error.kind, error.tried.as_str()), (ErrorKind::Transient, "dry-run a write"));

    let webhook = r#"Internal error occurred: failed calling webhook \"v.kyverno.svc\": no endpoints available for service"#;
    let webhook_down = Server::start(move |request| match request.starts_with("POST ") {
        true => Answer::Json(500, format!(r#"{{"message":"{webhook}"}}"#)),
        false => good(request),
    })
    .await;
    webhook_down.cluster().health().await.unwrap();
}

/// What health says where the dry run is answered so.
async fn health_of(code: u16, message: &'static str) -> Result<String, PortError> {
    let server = Server::start(move |request| match (request.starts_with("POST "), path(request)) {
        (true, _) => Answer::Json(code, serde_json::json!({"message": message}).to_string()),
        (_, "/version") => Answer::Json(200, r#"{"gitVersion":"v1.36.2"}"#.to_owned()),
        _ => Answer::Json(200, r#"{"metadata":{"name":"kube-system","uid":"c-1"}}"#.to_owned()),
    })
    .await;
    Ok(server.cluster().health().await?.version)
}

#[tokio::test]
async fn a_policy_that_denies_the_dry_run_is_an_answer() {
    let webhook = r#"admission webhook "validate.kyverno.svc-fail" denied the request: every Lease needs a label"#;
    for code in [400, 403, 422] {
        assert_eq!(health_of(code, webhook).await.unwrap(), "v1.36.2");
    }
    let policy = "leases.coordination.k8s.io \"ananke-health-check\" is forbidden: ValidatingAdmissionPolicy 'labels' with binding \
                  'labels' denied request: every Lease needs a label";
    assert_eq!(health_of(422, policy).await.unwrap(), "v1.36.2");
    let no_dry_runs = r#"admission webhook "audit.example.com" does not support dry run"#;
    assert_eq!(health_of(400, no_dry_runs).await.unwrap(), "v1.36.2");
}

#[tokio::test]
async fn a_right_that_is_missing_for_the_dry_run_is_told() {
    let rbac = "leases.coordination.k8s.io is forbidden: User \"ananke\" cannot create resource \"leases\" in API group \
                \"coordination.k8s.io\" in the namespace \"kube-system\"";
    let error = health_of(403, rbac).await.unwrap_err();
    assert_eq!((error.kind, error.reason), (ErrorKind::Denied, Some(ananke_core::verdict::Reason::ApiForbidden)));
    assert!(error.remedy.unwrap().starts_with("grant create on leases"));
    assert_eq!(health_of(422, "Lease is invalid: spec").await.unwrap_err().kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn no_look_at_health_meets_the_replica_of_the_look_before() {
    let server = Server::start(|request| {
        assert!(request.contains("connection: close"), "{request}");
        match path(request) {
            "/version" => Answer::Json(200, r#"{"gitVersion":"v1.36.2"}"#.to_owned()),
            "/api/v1/namespaces/kube-system" => {
                Answer::Json(200, r#"{"metadata":{"name":"kube-system","uid":"c-1"}}"#.to_owned())
            }
            _ => Answer::Json(201, r#"{"kind":"Lease"}"#.to_owned()),
        }
    })
    .await;
    server.cluster().health().await.unwrap();
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_door_that_says_yes_to_everything_is_no_server() {
    let door = Server::start(|_| Answer::Json(200, "{}".to_owned())).await;
    for error in [door.cluster().pods().await.unwrap_err(), door.cluster().health().await.unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn no_flux_is_not_an_error_and_is_asked_again() {
    let server = Server::start(|_| Answer::Json(404, "404 page not found\n".to_owned())).await;
    let cluster = server.cluster();
    assert_eq!(*cluster.flux().await.unwrap(), None);
    assert_eq!(*cluster.flux().await.unwrap(), None);
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn flux_is_discovered_once() {
    let server = Server::start(|request| {
        if path(request).contains("?limit=") {
            Answer::Json(200, r#"{"items":[]}"#.to_owned())
        } else {
            Answer::Json(200, discovery(request))
        }
    })
    .await;
    let cluster = server.cluster();
    assert_eq!(*cluster.flux().await.unwrap(), Some(FluxState::default()));
    assert_eq!(server.requests().len(), 11);
    cluster.flux().await.unwrap();
    assert_eq!(server.requests().len(), 16);
    assert!(server.requests().contains(&"GET /apis/kustomize.toolkit.fluxcd.io/v1/kustomizations?limit=500".to_owned()));
}

#[tokio::test]
async fn a_part_of_flux_that_is_not_there_is_asked_for_again() {
    let server = Server::start(|request| match path(request) {
        path if path.starts_with("/apis/helm.") => Answer::Json(404, "404 page not found\n".to_owned()),
        path if path.contains("?limit=") => Answer::Json(200, r#"{"items":[]}"#.to_owned()),
        _ => Answer::Json(200, discovery(request)),
    })
    .await;
    let cluster = server.cluster();
    for _ in 0..2 {
        assert_eq!(*cluster.flux().await.unwrap(), Some(FluxState::default()));
    }
    let asked = server.requests().iter().filter(|request| path(request) == "/apis/helm.toolkit.fluxcd.io").count();
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn a_cluster_without_longhorn_has_volumes_all_the_same() {
    let server = Server::start(|request| match path(request) {
        "/apis/longhorn.io" | "/apis/ceph.rook.io" => Answer::Json(404, "404 page not found\n".to_owned()),
        _ => Answer::Json(200, r#"{"items":null}"#.to_owned()),
    })
    .await;
    assert_eq!(*server.cluster().storage().await.unwrap(), StorageState::default());
    assert!(!server.requests().iter().any(|request| request.contains("longhorn.io/v1")));
}

/// Discovery of a Longhorn under a version that is not today's.
fn longhorn(path: &str) -> Option<&'static str> {
    match path {
        "/apis/longhorn.io" => Some(
            r#"{"kind":"APIGroup","name":"longhorn.io","versions":[{"groupVersion":"longhorn.io/v1beta3","version":"v1beta3"}]}"#,
        ),
        "/apis/longhorn.io/v1beta3" => Some(
            r#"{"kind":"APIResourceList","groupVersion":"longhorn.io/v1beta3","resources":[{"name":"nodes"},{"name":"volumes"}]}"#,
        ),
        _ => None,
    }
}

#[tokio::test]
async fn longhorn_is_read_under_the_version_that_is_served() {
    let server = Server::start(|request| match path(request) {
        "/apis/ceph.rook.io" => Answer::Json(404, "404 page not found\n".to_owned()),
        path => Answer::Json(200, longhorn(path).unwrap_or(r#"{"items":[]}"#).to_owned()),
    })
    .await;
    let state = server.cluster().storage().await.unwrap();
    assert_eq!(state.longhorn, Some(LonghornState::default()));
    assert!(server.requests().contains(&"GET /apis/longhorn.io/v1beta3/volumes?limit=500".to_owned()), "{:?}", server.requests());
}

#[tokio::test]
async fn longhorn_that_cannot_be_read_is_an_error() {
    let server = Server::start(|request| match longhorn(path(request)) {
        Some(found) => Answer::Json(200, found.to_owned()),
        None if request.contains("longhorn.io") || request.contains("ceph.rook.io") => {
            Answer::Json(404, r#"{"message":"not found"}"#.to_owned())
        }
        None => Answer::Json(200, r#"{"items":[]}"#.to_owned()),
    })
    .await;
    assert_eq!(server.cluster().storage().await.unwrap_err().kind, ErrorKind::Missing);
}
