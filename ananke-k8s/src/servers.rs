//! The API servers of one cluster, of which one is asked: another takes its place once it is seen to be well where that one is
//! not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ananke_core::name::Uid;
use ananke_core::observation::ApiHealth;
use ananke_core::port::PortError;
use futures::future::join_all;
use kube::Client;
use tokio::time::{Instant, timeout};

use crate::connect::KubeCluster;

/// So long each has to show that it is well: with what failed before it, less than the engine waits for an answer.
const LOOK: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) client: Client,
    /// As messages name it: host and port.
    pub(crate) name: Arc<str>,
}

pub(crate) struct Servers {
    all: Vec<Arc<Server>>,
    asked: Mutex<Arc<Server>>,
    /// Which cluster the one that is asked was last seen to be of.
    cluster: Mutex<Option<Uid>>,
    /// When all were last looked at in vain; whoever holds it looks.
    in_vain: tokio::sync::Mutex<Option<Instant>>,
}

impl Servers {
    /// The first is asked first.
    pub(crate) fn new(first: Server, others: Vec<Server>) -> Self {
        let first = Arc::new(first);
        let all = std::iter::once(Arc::clone(&first)).chain(others.into_iter().map(Arc::new)).collect();
        Self { all, asked: Mutex::new(first), cluster: Mutex::default(), in_vain: tokio::sync::Mutex::default() }
    }

    pub(crate) fn asked(&self) -> Arc<Server> {
        Arc::clone(&lock(&self.asked))
    }

    /// The one that is asked is well.
    pub(crate) fn is_of(&self, cluster: &Uid) {
        *lock(&self.cluster) = Some(cluster.clone());
    }

    fn are_of_another(&self, cluster: &Uid) -> bool {
        lock(&self.cluster).as_ref().is_some_and(|known| known != cluster)
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

    /// After `failed` failed at something that was begun at `begun`: whether another server is asked from now on. One takes its
    /// place only if it shows by a quorum read and a dry run that it is well, is one of the same cluster, and `failed` is not.
    pub(crate) async fn turned_from(&self, failed: &Arc<Server>, begun: Instant) -> bool {
        if self.only.is_some() || self.servers.all.len() < 2 {
            return false;
        }
        let mut in_vain = self.servers.in_vain.lock().await;
        if !Arc::ptr_eq(&self.servers.asked(), failed) {
            return true;
        }
        if in_vain.is_some_and(|at| at >= begun) {
            return false;
        }
        let looks = self.servers.all.iter().map(|server| async move { (server, timeout(LOOK, self.at(server).look()).await) });
        let well = join_all(looks).await.into_iter().filter_map(|(server, look)| Some((server, look.ok()?.ok()?)));
        let well: Vec<(&Arc<Server>, ApiHealth)> = well.collect();
        let next = well.iter().find(|(_, health)| !self.servers.are_of_another(&health.cluster_uid));
        match next {
            Some((server, _)) if !well.iter().any(|(server, _)| Arc::ptr_eq(server, failed)) => {
                tracing::warn!(server = %failed.name, instead = %server.name, "another API server is asked from now on");
                *lock(&self.servers.asked) = Arc::clone(server);
                true
            }
            Some(_) | None => {
                *in_vain = Some(Instant::now());
                false
            }
        }
    }

    /// What each of the servers says by itself.
    pub async fn each_server(&self) -> Vec<(Arc<str>, Result<ApiHealth, PortError>)> {
        join_all(self.servers.all.iter().map(|server| async { (Arc::clone(&server.name), self.at(server).look().await) })).await
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
    use crate::reads::scripted::{Answer, Server as Scripted};

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
        assert_eq!(cluster.server(), cluster.asked().name);
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
