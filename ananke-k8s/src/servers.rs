//! The API servers of one cluster, of which one is asked: another takes its place once it is seen to be well where that one is
//! not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ananke_core::name::Uid;
use ananke_core::observation::ApiHealth;
use ananke_core::port::PortError;
use futures::future::join_all;
use kube::Client;
use tokio::time::Instant;

use crate::connect::KubeCluster;

/// Where no other server was well, they are left alone for so long.
const LEFT_ALONE: Duration = Duration::from_secs(5);

pub(crate) struct Server {
    pub(crate) client: Client,
    /// As messages name it: host and port.
    pub(crate) name: Arc<str>,
}

pub(crate) struct Servers {
    first: Arc<Server>,
    all: Vec<Arc<Server>>,
    known: Arc<Mutex<Known>>,
    /// The last look at all of them that led nowhere; whoever holds it looks.
    in_vain: tokio::sync::Mutex<Option<InVain>>,
}

/// What clients that go on from each other know together.
#[derive(Default)]
struct Known {
    /// Name of the server that is asked; none for the first.
    asked: Option<Arc<str>>,
    /// Which cluster the one that is asked was last seen to be of.
    cluster: Option<Uid>,
}

struct InVain {
    at: Instant,
    /// Why the first of the others is not well.
    word: Option<PortError>,
}

impl Servers {
    /// The first is asked first.
    pub(crate) fn new(first: Server, others: Vec<Server>) -> Self {
        let first = Arc::new(first);
        let all = std::iter::once(Arc::clone(&first)).chain(others.into_iter().map(Arc::new)).collect();
        Self { first, all, known: Arc::default(), in_vain: tokio::sync::Mutex::default() }
    }

    pub(crate) fn asked(&self) -> Arc<Server> {
        let name = lock(&self.known).asked.clone();
        let asked = name.and_then(|name| self.all.iter().find(|server| server.name == name));
        Arc::clone(asked.unwrap_or(&self.first))
    }

    /// The one that is asked is well.
    pub(crate) fn is_of(&self, cluster: &Uid) {
        lock(&self.known).cluster = Some(cluster.clone());
    }

    fn may_be_of(&self, cluster: &Uid) -> bool {
        lock(&self.known).cluster.as_ref().is_none_or(|known| known == cluster)
    }
}

impl KubeCluster {
    /// The server that is asked now.
    pub(crate) fn asked(&self) -> Arc<Server> {
        self.only.clone().unwrap_or_else(|| self.servers.asked())
    }

    /// The same cluster, by this server alone.
    pub(crate) fn at(&self, server: &Arc<Server>) -> Self {
        Self { only: Some(Arc::clone(server)), ..self.clone() }
    }

    /// Goes on where `before` is, and knows with it from then on which server is asked, and of which cluster that is.
    #[must_use]
    pub fn going_on_from(self, before: &Self) -> Self {
        let servers = Servers {
            first: Arc::clone(&self.servers.first),
            all: self.servers.all.clone(),
            known: Arc::clone(&before.servers.known),
            in_vain: tokio::sync::Mutex::default(),
        };
        Self { servers: Arc::new(servers), ..self }
    }

    /// After `failed` failed with `why` at something that was begun at `begun`, looks at all servers; Ok where another one is
    /// asked from now on. One takes its place only if it answers a quorum read, is one of the same cluster, and `failed` does not
    /// answer one.
    ///
    /// # Errors
    /// Why the first of the others is not well, where none is; nothing where `failed` is, or is the only one.
    pub(crate) async fn turn_from(&self, failed: &Arc<Server>, begun: Instant, why: &PortError) -> Result<(), Option<PortError>> {
        if self.only.is_some() || self.servers.all.len() < 2 {
            return Err(None);
        }
        let mut in_vain = self.servers.in_vain.lock().await;
        if !Arc::ptr_eq(&self.servers.asked(), failed) {
            return Ok(());
        }
        if let Some(last) = in_vain.as_ref().filter(|last| last.at >= begun || last.at.elapsed() < LEFT_ALONE) {
            return Err(last.word.clone());
        }
        let looks = self.servers.all.iter().map(|server| async move { (server, self.at(server).quorum_read().await) });
        let (mut itself, mut next, mut word) = (false, None, None);
        for (server, look) in join_all(looks).await {
            match look {
                Ok(_) if Arc::ptr_eq(server, failed) => itself = true,
                Ok(health) if self.servers.may_be_of(&health.cluster_uid) => next = next.or(Some(server)),
                Ok(_) => {}
                Err(error) if !Arc::ptr_eq(server, failed) => word = word.or(Some(error)),
                Err(_) => {}
            }
        }
        match next {
            Some(next) if !itself => {
                tracing::warn!(server = %failed.name, error = %why, instead = %next.name, "another API server is asked from now on");
                lock(&self.servers.known).asked = Some(Arc::clone(&next.name));
                Ok(())
            }
            Some(_) | None => {
                let word = word.filter(|_| !itself);
                *in_vain = Some(InVain { at: Instant::now(), word: word.clone() });
                Err(word)
            }
        }
    }

    /// What each of the servers says by itself, where there are several.
    pub async fn each_server(&self) -> Vec<(Arc<str>, Result<ApiHealth, PortError>)> {
        let several = self.servers.all.iter().filter(|_| self.servers.all.len() > 1);
        join_all(several.map(|server| async { (Arc::clone(&server.name), self.at(server).look().await) })).await
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use ananke_core::port::{ClusterReads as _, ErrorKind};

    use super::*;
    use crate::reads::scripted::{Answer, Server as Scripted, Then};

    /// A server of this cluster that answers as long as `well` says so.
    async fn server(uid: &'static str, well: &Arc<AtomicBool>) -> Scripted {
        let well = Arc::clone(well);
        Scripted::start(move |request| {
            let path = request.split(' ').nth(1).unwrap();
            match path {
                _ if !well.load(Ordering::SeqCst) => Answer::Close,
                "/version" => Answer::Json(200, r#"{"gitVersion":"v1.36.2"}"#.to_owned()),
                _ if request.starts_with("POST ") => Answer::Json(201, r#"{"kind":"Lease"}"#.to_owned()),
                _ if path.starts_with("/api/v1/namespaces?") => Answer::Json(200, r#"{"items":[]}"#.to_owned()),
                "/api/v1/namespaces/kube-system" => {
                    Answer::Json(200, format!(r#"{{"metadata":{{"name":"kube-system","uid":"{uid}"}}}}"#))
                }
                _ => Answer::Hang,
            }
        })
        .await
    }

    fn state(well: bool) -> Arc<AtomicBool> {
        Arc::new(AtomicBool::new(well))
    }

    fn lists(server: &Scripted) -> usize {
        server.requests().iter().filter(|request| request.starts_with("GET /api/v1/namespaces?")).count()
    }

    #[tokio::test]
    async fn where_the_first_is_not_well_the_next_one_is_asked_from_then_on() {
        let (first_is_well, second_is_well) = (state(false), state(true));
        let (first, second) = (server("c-1", &first_is_well).await, server("c-1", &second_is_well).await);
        let cluster = first.cluster_with(&[&second]);
        assert_eq!(cluster.health().await.unwrap().cluster_uid.as_str(), "c-1");
        first_is_well.store(true, Ordering::SeqCst);
        cluster.namespaces().await.unwrap();
        assert_eq!((lists(&first), lists(&second)), (0, 1), "it stays where it is well");
        second_is_well.store(false, Ordering::SeqCst);
        cluster.clone().namespaces().await.unwrap();
        assert_eq!(lists(&first), 1, "a read alone finds its way too");
        assert_eq!(cluster.server(), first.cluster().server());
    }

    #[tokio::test]
    async fn what_a_server_that_is_well_does_not_answer_is_asked_of_no_other() {
        let (first, second) = (server("c-1", &state(true)).await, server("c-1", &state(true)).await);
        let cluster = first.cluster_with(&[&second]);
        let error = cluster.pods().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Transient);
        assert!(!second.requests().iter().any(|request| request.contains("/pods")), "{:?}", second.requests());
    }

    #[tokio::test]
    async fn where_nobody_is_well_the_first_says_why_and_each_is_looked_at_once() {
        let (first, second) = (server("c-1", &state(false)).await, server("c-1", &state(false)).await);
        let cluster = first.cluster_with(&[&second]);
        let (one, two) = tokio::join!(cluster.namespaces(), cluster.health());
        let said = [one.unwrap_err(), two.unwrap_err()].map(|error| error.to_string());
        assert!(said.iter().all(|said| said.contains(&*cluster.server())), "{said:?}");
        assert!(second.requests().len() <= 3, "{:?}", second.requests());
    }

    #[tokio::test]
    async fn a_server_that_has_no_store_is_left_and_a_new_client_knows_it() {
        let first = Scripted::start(|_| Answer::Json(503, "apiserver not ready".to_owned())).await;
        let second = server("c-1", &state(true)).await;
        let cluster = first.cluster_with(&[&second]);
        cluster.namespaces().await.unwrap();
        assert_eq!(lists(&second), 1);
        let before = first.requests().len();
        first.cluster_with(&[&second]).going_on_from(&cluster).namespaces().await.unwrap();
        assert_eq!((lists(&second), first.requests().len()), (2, before));
    }

    #[tokio::test]
    async fn clients_that_go_on_from_each_other_turn_together() {
        let first = Scripted::start(|_| Answer::Close).await;
        let second = server("c-1", &state(true)).await;
        let cluster = first.cluster_with(&[&second]);
        first.cluster_with(&[&second]).going_on_from(&cluster).namespaces().await.unwrap();
        let before = first.requests().len();
        cluster.namespaces().await.unwrap();
        assert_eq!((lists(&second), first.requests().len()), (2, before));
    }

    #[tokio::test]
    async fn what_another_server_says_is_told_where_the_first_is_silent() {
        let first = server("c-1", &state(false)).await;
        let second = Scripted::start(|request| match request.split(' ').nth(1).unwrap() {
            "/version" => Answer::Json(200, r#"{"gitVersion":"v1.36.2"}"#.to_owned()),
            _ => Answer::Json(500, r#"{"message":"etcdserver: no leader"}"#.to_owned()),
        })
        .await;
        let cluster = first.cluster_with(&[&second]);
        for _ in 0..2 {
            let error = cluster.health().await.unwrap_err();
            assert!(error.found.contains("no leader"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_a_server_that_was_left_once_showed_is_not_believed() {
        let is_well = state(true);
        let well = Arc::clone(&is_well);
        let first = Scripted::start(move |request| {
            let path = request.split(' ').nth(1).unwrap();
            match path {
                // Its connections stand, and nothing comes over them any more.
                _ if path.contains("watch=true") => Answer::Watch(Vec::new(), Then::Stay),
                _ if path.contains('?') => Answer::Json(200, r#"{"metadata":{"resourceVersion":"7"},"items":[]}"#.to_owned()),
                "/version" if well.load(Ordering::SeqCst) => Answer::Json(200, r#"{"gitVersion":"v1.36.2"}"#.to_owned()),
                _ => Answer::Close,
            }
        })
        .await;
        let second = server("c-1", &state(true)).await;
        let cluster = first.cluster_with(&[&second]);
        let watched = crate::WatchedCluster::new(cluster.clone());
        watched.namespaces().await.unwrap();
        is_well.store(false, Ordering::SeqCst);
        watched.health().await.unwrap();
        watched.namespaces().await.unwrap();
        assert!(lists(&second) > 0, "{:?}", second.requests());
    }

    #[tokio::test]
    async fn a_server_of_another_cluster_is_not_asked() {
        let first_is_well = state(true);
        let (first, second) = (server("c-1", &first_is_well).await, server("c-2", &state(true)).await);
        let cluster = first.cluster_with(&[&second]);
        cluster.health().await.unwrap();
        first_is_well.store(false, Ordering::SeqCst);
        cluster.health().await.unwrap_err();
        cluster.namespaces().await.unwrap_err();
        assert_eq!(lists(&second), 0);
        let uids: Vec<_> = cluster.each_server().await.into_iter().map(|(_, health)| health.ok()).collect();
        assert_eq!(uids[0], None);
        assert_eq!(uids[1].as_ref().unwrap().cluster_uid.as_str(), "c-2");
    }
}
