//! A served API server that is half alive, asked by ananke-k8s: each way has its own kind of error and its own reason, says
//! what was tried, on what and what was found, comes within the deadline, and is asked for once.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and measures real time")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ananke_core::name::NodeName;
use ananke_core::port::{ClusterReads, PortError};
use ananke_core::verdict::Reason;
use ananke_k8s::{Deadlines, KubeCluster};
use ananke_sim::Fault;
use ananke_sim::serve::{Served, UpOptions, up};
use ananke_sim::world::NodePatch;

const CALL: Duration = Duration::from_secs(3);
const CLOSED: &str = "connection closed before message completed";
/// Whatever a read consists of, it is over by then.
const LATEST: Duration = Duration::from_secs(7);

struct Site {
    served: Served,
    cluster: KubeCluster,
    dir: tempfile::TempDir,
}

impl Site {
    async fn up() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = UpOptions {
            dir: dir.path().to_owned(),
            scenario: "healthy".to_owned(),
            nodes: Some(4),
            pods: None,
            seed: 7,
            speed: 1,
        };
        let served = up(options).await.unwrap();
        let deadlines = Deadlines { call: CALL, write: CALL, list: CALL * 2, watch: CALL * 10 };
        let cluster = KubeCluster::from_kubeconfig(&dir.path().join("kubeconfig"), deadlines).await.unwrap();
        Self { served, cluster, dir }
    }

    fn inject(&self, fault: &str) {
        let fault = Fault::parse(fault).unwrap();
        self.served.cluster().act(|world| world.inject(fault, None)).unwrap();
    }

    fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.path().join("requests.log")).unwrap();
        log.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    }

    fn told(&self, error: &PortError) -> String {
        let reason = error.reason.map_or("-", Reason::id);
        let remedy = error.remedy.as_ref().map(|remedy| format!("\n-> {remedy}")).unwrap_or_default();
        let told = format!("{:?} {reason}: {error}{remedy}", error.kind).replace(&*self.cluster.server(), "API");
        // Which of the two layers sees the end first is chance.
        let told = told.replace("peer closed connection without sending TLS close_notify", CLOSED);
        ["system:anonymous", "system:admin", "system:serviceaccount:kube-system:ananke"]
            .iter()
            .fold(told, |told, user| told.replace(user, "USER"))
    }
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Health is asked while all is well, so that a connection stands; then comes the trouble.
#[track_caller]
fn check(fault: &str, expected: &str) {
    block_on(async {
        let site = Site::up().await;
        site.cluster.health().await.unwrap();
        let before = site.requests().len();
        site.inject(fault);
        let began = Instant::now();
        let error = site.cluster.health().await.unwrap_err();
        assert!(began.elapsed() < LATEST, "{fault}: it took {:?}", began.elapsed());
        assert_eq!(site.told(&error), expected);
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        site.requests().split_off(before).into_iter().for_each(|line| *asked.entry(line).or_default() += 1);
        assert!(asked.values().all(|times| *times == 1), "{fault}: asked more than once: {asked:?}");
    });
}

#[test]
fn nobody_listens() {
    check("api-refused", "Transient api-refused: read the version on API: Connection refused (os error 111)");
}

#[test]
fn the_handshake_fails() {
    check("api-tls", "Transient api-tls-failed: read the version on API: TLS failed: received fatal alert: InternalError");
}

#[test]
fn another_authority_signed_the_certificate() {
    check(
        "api-certificate",
        "Untrusted -: read the version on API: the server's certificate is not valid: UnknownIssuer\n\
         -> compare certificate-authority-data in the kubeconfig with the cluster's CA",
    );
}

#[test]
fn credentials_are_not_accepted() {
    check(
        "api-unauthorized",
        "Denied api-unauthorized: read the version on API: 401 Unauthorized\n\
         -> check the user's credentials in the kubeconfig: the server does not accept them",
    );
}

#[test]
fn a_right_is_missing_and_named() {
    check(
        "api-forbids-leases",
        "Denied api-forbidden: dry-run a write on API: 403 leases.coordination.k8s.io is forbidden: User \"USER\" cannot \
         create resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"kube-system\"\n\
         -> grant create on leases.coordination.k8s.io in namespace kube-system to user USER",
    );
}

#[test]
fn it_is_busy_and_says_for_how_long() {
    check(
        "api-throttles",
        "Transient api-throttled: read the version on API: 429 Too many requests, please try again later.; it asks to wait 2 s",
    );
}

#[test]
fn it_is_confused() {
    check(
        "api-internal-error",
        "Transient api-server-error: read namespace kube-system on API: 500 Internal error occurred: the simulator says so",
    );
}

#[test]
fn its_store_has_no_leader() {
    check("api-500", "Transient etcd-unhealthy: read namespace kube-system on API: 500 etcdserver: no leader");
}

#[test]
fn it_starts_or_stops() {
    check("api-unavailable", "Transient api-unavailable: read the version on API: 503 apiserver is shutting down");
}

#[test]
fn it_gives_up_waiting() {
    check(
        "api-times-out",
        "Transient api-timeout: read namespace kube-system on API: 504 Timeout: request did not complete within the requested \
         timeout - context deadline exceeded",
    );
}

#[test]
fn it_accepts_and_says_nothing() {
    check("api-hangs", "Transient api-not-answering: read the version on API: no answer within 3s");
}

#[test]
fn it_closes_without_an_answer() {
    check("api-closes", &format!("Transient api-closed: read the version on API: {CLOSED}"));
}

#[test]
fn its_store_hangs_behind_it() {
    check(
        "store-hang",
        "Transient etcd-unhealthy: dry-run a write on API: 500 rpc error: code = Unavailable desc = keepalive ping failed to \
         receive ACK within timeout",
    );
}

#[test]
fn its_cache_is_stale() {
    check("stale-cache", "Transient etcd-unhealthy: read namespace kube-system on API: 500 etcdserver: request timed out");
}

#[test]
fn a_stale_cache_lists_what_was_and_only_health_tells() {
    block_on(async {
        let site = Site::up().await;
        let touched = || async {
            let nodes = site.cluster.nodes().await.unwrap();
            nodes.iter().any(|node| node.taints.iter().any(|taint| &*taint.key == "example.com/new"))
        };
        assert!(!touched().await);
        site.inject("stale-cache");
        let taint = ananke_core::observation::Taint {
            key: "example.com/new".into(),
            value: "".into(),
            effect: "PreferNoSchedule".into(),
        };
        let patch = NodePatch { taints: Some(vec![taint]), ..NodePatch::default() };
        let node = NodeName::parse("titan-02").unwrap();
        site.served.cluster().act(|world| world.patch_node(&node, None, patch)).unwrap();
        assert!(!touched().await, "the list is answered, and old");
        assert_eq!(site.cluster.health().await.unwrap_err().reason, Some(Reason::EtcdUnhealthy));
        // Any other fault ends this one.
        site.inject("api-forbids-leases");
        assert!(touched().await);
    });
}

#[test]
fn every_read_has_a_deadline() {
    block_on(async {
        let site = Site::up().await;
        site.inject("api-hangs");
        let cluster = &site.cluster;
        macro_rules! hang {
            ($($read:ident)*) => { $(async {
                let began = Instant::now();
                let error = cluster.$read().await.map(drop).unwrap_err();
                assert_eq!(error.reason, Some(Reason::ApiNotAnswering), "{}", stringify!($read));
                assert!(began.elapsed() < LATEST, "{}: {:?}", stringify!($read), began.elapsed());
            }.await;)* };
        }
        hang!(health nodes flux workloads pods ingresses namespaces storage endpoints jobs coordination);
    });
}
