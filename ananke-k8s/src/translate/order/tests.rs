//! Requests as they go over the wire.

use expect_test::{Expect, expect};

use super::*;

const FOREIGN: &str =
    r#"{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T00:00:00Z","x":[1]}"#;

fn node(taints: &str, annotations: &str) -> TaintedNode {
    let text = format!(
        r#"{{"metadata":{{"name":"titan-01","uid":"u-1","resourceVersion":"7","annotations":{annotations}}},"spec":{{"taints":[{taints}]}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn lease() -> Lease {
    let now = Moment::parse("2026-03-14T02:06:11Z").unwrap();
    Lease {
        schema: 1,
        id: LeaseId::parse("l-1").unwrap(),
        holder: "titan-db".to_owned(),
        node: NodeName::parse("titan-01").unwrap(),
        node_uid: Uid::parse("u-1").unwrap(),
        cluster_uid: Uid::parse("c-1").unwrap(),
        purpose: ananke_core::lease::Purpose::Drain,
        reason: "drain".to_owned(),
        acquired: now,
        expires: now.plus(Duration::from_secs(3600)),
        clock: None,
        remove_with: "kubectl".to_owned(),
    }
}

fn seen() -> ResourceVersion {
    ResourceVersion::parse("7").unwrap()
}

fn give_back(node: &TaintedNode) -> Option<Write> {
    uncordon(&NodeName::parse("titan-01").unwrap(), &seen(), &lease().id, node).unwrap()
}

fn check(write: &Write, expected: Expect) {
    expected.assert_eq(&format!("{} {} {}\n{}", write.method, write.path, write.content_type, write.body));
}

#[test]
fn a_cordon_keeps_foreign_taints_whole_and_is_conditional() {
    let write = cordon(&seen(), &lease(), &node(FOREIGN, "{}")).unwrap();
    let taints = write.body.pointer("/spec/taints").unwrap();
    assert_eq!(taints[0].to_string(), FOREIGN);
    assert_eq!(taints[1], json!({"key": "ananke.dev/cordon", "value": "l-1", "effect": "NoSchedule"}));
    assert_eq!(write.body.pointer("/metadata/resourceVersion").unwrap(), "7");
    let note = write.body.pointer("/metadata/annotations/ananke.dev~1cordon-lease").unwrap().as_str().unwrap();
    assert_eq!(ananke_core::lease::read_note(note), Some(lease()));
    assert_eq!(write.path, "/api/v1/nodes/titan-01?fieldManager=ananke");
    assert!(write.body.pointer("/spec/unschedulable").is_none());
}

#[test]
fn a_late_cordon_a_recreated_node_and_a_second_lease_are_conflicts() {
    let kind = |seen: &str, lease: &Lease, node: &TaintedNode| {
        cordon(&ResourceVersion::parse(seen).unwrap(), lease, node).unwrap_err().kind
    };
    assert_eq!(kind("6", &lease(), &node("", "{}")), ErrorKind::Conflict);
    let recreated = Lease { node_uid: Uid::parse("u-0").unwrap(), ..lease() };
    assert_eq!(kind("7", &recreated, &node("", "{}")), ErrorKind::Conflict);
    let other = r#"{"key":"ananke.dev/cordon","value":"l-0","effect":"NoSchedule"}"#;
    assert_eq!(kind("7", &lease(), &node(other, "{}")), ErrorKind::Conflict);
}

#[test]
fn an_uncordon_gives_back_its_own_lease_only() {
    let ours = r#"{"key":"ananke.dev/cordon","value":"l-1","effect":"NoSchedule"}"#;
    let foreign = r#"{"key":"ananke.dev/cordon","value":"l-2","effect":"NoSchedule"}"#;
    let note = r#"{"ananke.dev/cordon-lease":"{\"id\":\"l-1\",\"schema\":2}","other":"x"}"#;
    check(
        &give_back(&node(&format!("{FOREIGN},{ours}"), note)).unwrap(),
        expect![[r#"
        PATCH /api/v1/nodes/titan-01?fieldManager=ananke application/merge-patch+json
        {"metadata":{"annotations":{"ananke.dev/cordon-lease":null},"resourceVersion":"7"},"spec":{"taints":[{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T00:00:00Z","x":[1]}]}}"#]],
    );
    let other_note = r#"{"ananke.dev/cordon-lease":"{\"id\":\"l-2\"}"}"#;
    check(
        &give_back(&node(ours, other_note)).unwrap(),
        expect![[r#"
        PATCH /api/v1/nodes/titan-01?fieldManager=ananke application/merge-patch+json
        {"metadata":{"resourceVersion":"7"},"spec":{"taints":null}}"#]],
    );
    assert_eq!(give_back(&node(foreign, other_note)), None);
    let late = uncordon(&lease().node, &ResourceVersion::parse("6").unwrap(), &lease().id, &node(ours, note));
    assert_eq!(late.unwrap_err().kind, ErrorKind::Conflict);
}

#[test]
fn a_manual_mark_is_annotation_and_label_under_the_lease_that_it_speaks_of() {
    let ours = r#"{"key":"ananke.dev/cordon","value":"l-1","effect":"NoSchedule"}"#;
    let mark = |seen: &str, node: &TaintedNode| {
        mark_manual(&lease().node, &ResourceVersion::parse(seen).unwrap(), &lease().id, "press the button", node)
    };
    check(
        &mark("7", &node(ours, "{}")).unwrap(),
        expect![[r#"
        PATCH /api/v1/nodes/titan-01?fieldManager=ananke application/merge-patch+json
        {"metadata":{"annotations":{"ananke.dev/manual-action":"press the button"},"labels":{"ananke.dev/manual-action":"required"},"resourceVersion":"7"}}"#]],
    );
    for (seen, node) in [("6", node(ours, "{}")), ("7", node(&ours.replace("l-1", "l-2"), "{}")), ("7", node("", "{}"))] {
        assert_eq!(mark(seen, &node).unwrap_err().kind, ErrorKind::Conflict);
    }
    check(
        &clear_mark(&lease().node, &seen()),
        expect![[r#"
        PATCH /api/v1/nodes/titan-01?fieldManager=ananke application/merge-patch+json
        {"metadata":{"annotations":{"ananke.dev/manual-action":null},"labels":{"ananke.dev/manual-action":null},"resourceVersion":"7"}}"#]],
    );
}

#[test]
fn pods_go_by_uid_and_never_by_force() {
    let pod = ObjectRef::new(Kind::Pod, "apps", "web-0");
    let uid = Uid::parse("p-1").unwrap();
    check(
        &evict(&pod, &uid).unwrap(),
        expect![[r#"
        POST /api/v1/namespaces/apps/pods/web-0/eviction?fieldManager=ananke application/json
        {"apiVersion":"policy/v1","deleteOptions":{"preconditions":{"uid":"p-1"}},"kind":"Eviction","metadata":{"name":"web-0","namespace":"apps"}}"#]],
    );
    check(
        &delete(&pod, &uid, Some(Duration::from_secs(30))).unwrap(),
        expect![[r#"
        DELETE /api/v1/namespaces/apps/pods/web-0 application/json
        {"apiVersion":"v1","gracePeriodSeconds":30,"kind":"DeleteOptions","preconditions":{"uid":"p-1"}}"#]],
    );
    assert!(delete(&pod, &uid, None).unwrap().body.get("gracePeriodSeconds").is_none());
    assert_eq!(delete(&pod, &uid, Some(Duration::from_millis(900))).unwrap_err().kind, ErrorKind::Invalid);
    for name in ["", "..", "a/b", "a?x=1", "A"] {
        assert!(evict(&ObjectRef::new(Kind::Pod, "apps", name), &uid).is_err(), "{name}");
    }
}

#[test]
fn flux_objects_are_patched_under_the_version_that_is_served() {
    let object = ObjectRef::new(Kind::Kustomization, "flux-system", "core");
    let path = flux_path("suspend", &object, ("kustomize.toolkit.fluxcd.io/v1", "kustomizations")).unwrap();
    let at = Moment::parse("2026-03-14T02:06:11Z").unwrap();
    check(
        &suspend(&path, &object, &seen(), &RunId::parse("shutdown-1").unwrap(), at),
        expect![[r#"
        PATCH /apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/core?fieldManager=ananke application/merge-patch+json
        {"metadata":{"annotations":{"ananke.dev/suspended":"shutdown-1 2026-03-14T02:06:11.000Z"},"resourceVersion":"7"},"spec":{"suspend":true}}"#]],
    );
    assert_eq!(
        resume(&path, &object, &seen()).body.to_string(),
        r#"{"metadata":{"annotations":{"ananke.dev/suspended":null},"resourceVersion":"7"},"spec":{"suspend":false}}"#
    );
    assert_eq!(
        reconcile(&path, &object, at, Push::None).unwrap().body.to_string(),
        r#"{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"2026-03-14T02:06:11.000Z"}}}"#
    );
    assert_eq!(reconcile(&path, &object, at, Push::Reset).unwrap_err().kind, ErrorKind::Invalid, "helm-controller's only");
    let release = ObjectRef::new(Kind::HelmRelease, "apps", "db");
    assert_eq!(
        reconcile("/release", &release, at, Push::Reset).unwrap().body["metadata"]["annotations"].to_string(),
        r#"{"reconcile.fluxcd.io/requestedAt":"2026-03-14T02:06:11.000Z","reconcile.fluxcd.io/resetAt":"2026-03-14T02:06:11.000Z"}"#
    );
    assert_eq!(
        reconcile("/release", &release, at, Push::Force).unwrap().body["metadata"]["annotations"].to_string(),
        r#"{"reconcile.fluxcd.io/forceAt":"2026-03-14T02:06:11.000Z","reconcile.fluxcd.io/requestedAt":"2026-03-14T02:06:11.000Z"}"#
    );
    assert_eq!(
        set_branch(&path, &object, &seen(), "main").body.to_string(),
        r#"{"metadata":{"resourceVersion":"7"},"spec":{"ref":{"branch":"main"}}}"#
    );
}

#[test]
fn a_url_and_where_it_was_from_are_set_in_one_patch_on_the_version_that_was_seen() {
    let source = ObjectRef::new(Kind::GitRepository, "flux-system", "titan-iac");
    let path = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories/titan-iac";
    let body = |url, from| set_url(path, &source, &seen(), url, from).body.to_string();
    assert_eq!(
        body("https://mirror", Some("ssh://git@scm")),
        r#"{"metadata":{"annotations":{"ananke.dev/url-from":"ssh://git@scm"},"resourceVersion":"7"},"spec":{"url":"https://mirror"}}"#
    );
    assert_eq!(
        body("ssh://git@scm", None),
        r#"{"metadata":{"annotations":{"ananke.dev/url-from":null},"resourceVersion":"7"},"spec":{"url":"ssh://git@scm"}}"#
    );
}

#[test]
fn a_forced_deletion_and_a_finished_job_go_by_uid() {
    let uid = Uid::parse("p-1").unwrap();
    check(
        &force_delete(&ObjectRef::new(Kind::Pod, "apps", "web-0"), &uid).unwrap(),
        expect![[r#"
        DELETE /api/v1/namespaces/apps/pods/web-0 application/json
        {"apiVersion":"v1","gracePeriodSeconds":0,"kind":"DeleteOptions","preconditions":{"uid":"p-1"}}"#]],
    );
    check(
        &delete_job(&ObjectRef::new(Kind::Job, "harbor", "migrate"), &uid).unwrap(),
        expect![[r#"
        DELETE /apis/batch/v1/namespaces/harbor/jobs/migrate application/json
        {"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"p-1"},"propagationPolicy":"Background"}"#]],
    );
}

#[test]
fn a_workload_is_scaled_on_the_version_that_was_seen_and_loses_its_stamp() {
    check(
        &scale(&ObjectRef::new(Kind::StatefulSet, "apps", "db"), &seen(), 3).unwrap(),
        expect![[r#"
        PATCH /apis/apps/v1/namespaces/apps/statefulsets/db?fieldManager=ananke application/merge-patch+json
        {"metadata":{"annotations":{"ananke.dev/scaled-from":null},"resourceVersion":"7"},"spec":{"replicas":3}}"#]],
    );
    let daemons = scale(&ObjectRef::new(Kind::DaemonSet, "apps", "agent"), &seen(), 3);
    assert_eq!(daemons.unwrap_err().kind, ErrorKind::Invalid);
}
