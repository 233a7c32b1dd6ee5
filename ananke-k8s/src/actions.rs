//! The port [`ClusterActions`] on a real API server: each order is one write, sent once.

use ananke_core::bootstrap::Manifest;
use ananke_core::engine::Permit;
use ananke_core::name::{LeaseId, Moment, NodeName, ObjectRef, ResourceVersion};
use ananke_core::order::ClusterOrder;
use ananke_core::port::{ClusterActions, ErrorKind, PortError};
use async_trait::async_trait;
use serde::de::IgnoredAny;

use crate::connect::KubeCluster;
use crate::translate::order::{self, TaintedNode, Write};
use crate::translate::{coordination, layer};

#[async_trait]
impl ClusterActions for KubeCluster {
    async fn perform(&self, order: &ClusterOrder, permit: &Permit) -> Result<(), PortError> {
        // Which one it is, the journal says: some have whole objects in them.
        tracing::debug!(run = %permit.run(), seq = permit.seq(), "performing an order");
        self.carry_out(order).await
    }
}

impl KubeCluster {
    pub(crate) async fn carry_out(&self, order: &ClusterOrder) -> Result<(), PortError> {
        if let ClusterOrder::MarkManual { node, seen, lease, sentence, at } = order {
            return self.mark_manual(node, seen, lease, sentence, *at).await;
        }
        if let ClusterOrder::Create(manifest) = order {
            return self.create(manifest).await;
        }
        match self.write_for(order).await? {
            Some(write) => self.send(&write).await,
            None => Ok(()),
        }
    }

    /// `None` where what the order takes away is not there any more.
    async fn write_for(&self, order: &ClusterOrder) -> Result<Option<Write>, PortError> {
        match order {
            ClusterOrder::Cordon { node, seen, lease } => order::cordon(seen, lease, &self.tainted_node(node).await?).map(Some),
            ClusterOrder::Uncordon { node, seen, lease } => order::uncordon(node, seen, lease, &self.tainted_node(node).await?),
            ClusterOrder::Evict { pod, uid } => order::evict(pod, uid).map(Some),
            ClusterOrder::Delete { pod, uid, grace } => order::delete(pod, uid, *grace).map(Some),
            ClusterOrder::ForceDelete { pod, uid, .. } => order::force_delete(pod, uid).map(Some),
            ClusterOrder::DeleteJob { job, uid } => order::delete_job(job, uid).map(Some),
            ClusterOrder::Scale { workload, seen, replicas } => order::scale(workload, seen, *replicas).map(Some),
            ClusterOrder::MarkManual { node, seen, lease, sentence, .. } => {
                order::mark_manual(node, seen, lease, sentence, &self.tainted_node(node).await?).map(Some)
            }
            ClusterOrder::ClearMark { node, seen } => Ok(Some(order::clear_mark(node, seen))),
            ClusterOrder::Coordinate { seen, holder, at } => Ok(Some(coordination::take(seen.as_ref(), holder, *at))),
            ClusterOrder::Uncoordinate { seen } => Ok(Some(coordination::give_back(seen))),
            ClusterOrder::SetBranch { source, seen, branch } => {
                let path = self.flux_path("set branch", source).await?;
                Ok(Some(order::set_branch(&path, source, seen, branch)))
            }
            ClusterOrder::SetUrl { source, seen, url, from } => {
                let path = self.flux_path("set URL", source).await?;
                Ok(Some(order::set_url(&path, source, seen, url, from.as_deref())))
            }
            ClusterOrder::Create(manifest) => layer::create(manifest).map(Some),
            ClusterOrder::Reconcile { object, token, push } => {
                let path = self.flux_path("request reconciliation", object).await?;
                order::reconcile(&path, object, *token, *push).map(Some)
            }
            ClusterOrder::Suspend { object, seen, run, at } => {
                let path = self.flux_path("suspend", object).await?;
                Ok(Some(order::suspend(&path, object, seen, run, *at)))
            }
            ClusterOrder::Resume { object, seen } => {
                let path = self.flux_path("resume", object).await?;
                Ok(Some(order::resume(&path, object, seen)))
            }
        }
    }

    /// Annotation and label, then the Event; where the second failed, both are tried again, and both are then the same.
    async fn mark_manual(
        &self,
        node: &NodeName,
        seen: &ResourceVersion,
        lease: &LeaseId,
        sentence: &str,
        at: Moment,
    ) -> Result<(), PortError> {
        let found = self.tainted_node(node).await?;
        self.send(&order::mark_manual(node, seen, lease, sentence, &found)?).await?;
        match self.send(&coordination::manual_event(node, found.uid(), lease, sentence, at)).await {
            // It was written by an earlier try.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(()),
            other => other,
        }
    }

    /// A conflict is looked into: a quota that changes meanwhile is one too, and then there is no object.
    async fn create(&self, manifest: &Manifest) -> Result<(), PortError> {
        const TRIED: &str = "look whether it is there";
        match self.send(&layer::create(manifest)?).await {
            Err(error) if error.kind == ErrorKind::Conflict => {
                let found = self.get::<IgnoredAny>(TRIED, &layer::path(TRIED, &manifest.object)?).await;
                found.map(drop).map_err(|why| if why.kind == ErrorKind::Missing { error } else { why })
            }
            other => other,
        }
    }

    async fn tainted_node(&self, node: &NodeName) -> Result<TaintedNode, PortError> {
        let read = self.get("read node", &order::node_path(node)).await;
        read.map_err(|error| PortError { on: node.to_string(), ..error })
    }

    pub(crate) async fn flux_path(&self, tried: &'static str, object: &ObjectRef) -> Result<String, PortError> {
        let Some(api) = self.flux_api().await? else {
            return Err(PortError::new(ErrorKind::Missing, tried, object, "the cluster serves no Flux APIs"));
        };
        let Some(collection) = api.collection(object.kind) else {
            return Err(PortError::new(ErrorKind::Invalid, tried, object, "this is not an object of Flux"));
        };
        order::flux_path(tried, object, collection)
    }
}

#[cfg(test)]
mod tests {
    use ananke_core::name::Kind;
    use ananke_core::verdict::Reason;

    use super::*;
    use crate::reads::scripted::{Answer, Server};

    fn uncordon() -> ClusterOrder {
        ClusterOrder::Uncordon {
            node: NodeName::parse("titan-01").unwrap(),
            seen: ResourceVersion::parse("7").unwrap(),
            lease: LeaseId::parse("l-1").unwrap(),
        }
    }

    const CORDONED: &str = r#"{"metadata":{"uid":"u","resourceVersion":"7"},"spec":{"taints":[{"key":"ananke.dev/cordon","value":"l-1","effect":"NoSchedule"}]}}"#;

    #[tokio::test]
    async fn a_cordon_is_lifted_by_one_conditional_patch_that_is_sent_once() {
        let server = Server::start(|request| match request.split(' ').next() {
            Some("GET") => Answer::Json(200, CORDONED.to_owned()),
            _ => Answer::Json(500, r#"{"message":"etcdserver: request timed out"}"#.to_owned()),
        })
        .await;
        let error = server.cluster().carry_out(&uncordon()).await.unwrap_err();
        assert_eq!(
            (error.kind, error.to_string().as_str()),
            (ErrorKind::Transient, "uncordon on titan-01: 500 etcdserver: request timed out")
        );
        let requests = server.requests();
        assert_eq!(requests, ["GET /api/v1/nodes/titan-01", "PATCH /api/v1/nodes/titan-01?fieldManager=ananke"]);
    }

    /// The node is read, and the patch goes over the same connection; whatever becomes of it, it is sent once.
    async fn check_sent_once(answer: fn() -> Answer, kind: ErrorKind, reason: Option<Reason>) {
        let server = Server::start(move |request| match request.split(' ').next() {
            Some("GET") => Answer::Json(200, CORDONED.to_owned()),
            _ => answer(),
        })
        .await;
        let error = server.cluster().carry_out(&uncordon()).await.unwrap_err();
        assert_eq!((error.kind, error.reason, error.on.as_str()), (kind, reason, "titan-01"), "{error}");
        let requests = server.requests();
        assert_eq!(requests, ["GET /api/v1/nodes/titan-01", "PATCH /api/v1/nodes/titan-01?fieldManager=ananke"], "{error}");
    }

    #[tokio::test]
    async fn a_write_is_sent_once_whatever_becomes_of_it() {
        check_sent_once(|| Answer::Close, ErrorKind::Transient, Some(Reason::ApiClosed)).await;
        check_sent_once(|| Answer::Hang, ErrorKind::Transient, Some(Reason::ApiNotAnswering)).await;
        check_sent_once(|| Answer::Wait(429, 1), ErrorKind::Transient, Some(Reason::ApiThrottled)).await;
        check_sent_once(|| Answer::Wait(503, 1), ErrorKind::Transient, Some(Reason::ApiUnavailable)).await;
        check_sent_once(|| Answer::Json(504, String::new()), ErrorKind::Transient, Some(Reason::ApiTimeout)).await;
        check_sent_once(|| Answer::Json(500, String::new()), ErrorKind::Transient, Some(Reason::ApiServerError)).await;
        check_sent_once(|| Answer::Json(401, String::new()), ErrorKind::Denied, Some(Reason::ApiUnauthorized)).await;
        check_sent_once(|| Answer::Json(409, String::new()), ErrorKind::Conflict, None).await;
    }

    #[tokio::test]
    async fn nothing_is_written_where_nothing_of_ours_stands() {
        let server = Server::start(|_| Answer::Json(200, CORDONED.replace("l-1", "l-2"))).await;
        server.cluster().carry_out(&uncordon()).await.unwrap();
        assert_eq!(server.requests(), ["GET /api/v1/nodes/titan-01"]);
    }

    #[tokio::test]
    async fn a_node_that_is_gone_is_named() {
        let server = Server::start(|_| Answer::Json(404, r#"{"message":"nodes \"titan-01\" not found"}"#.to_owned())).await;
        let error = server.cluster().carry_out(&uncordon()).await.unwrap_err();
        assert_eq!(
            (error.kind, error.to_string().as_str()),
            (ErrorKind::Missing, "read node on titan-01: 404 nodes \"titan-01\" not found")
        );
    }

    #[tokio::test]
    async fn a_kind_that_is_not_fluxs_is_not_suspended() {
        let server = Server::start(|request| Answer::Json(200, crate::reads::scripted::discovery(request))).await;
        let order = ClusterOrder::Resume {
            object: ObjectRef::new(Kind::Deployment, "apps", "web"),
            seen: ResourceVersion::parse("7").unwrap(),
        };
        assert_eq!(server.cluster().carry_out(&order).await.unwrap_err().kind, ErrorKind::Invalid);
        assert!(server.requests().iter().all(|request| request.starts_with("GET ")));
    }
    const THERE: &str = r#"{"reason":"AlreadyExists","message":"services \"gitea\" already exists"}"#;

    /// What comes of making a Service where the POST and then a GET are answered so.
    async fn make(post: (u16, &'static str), get: u16) -> (Result<(), PortError>, Vec<String>) {
        let server = Server::start(move |request| match request.split(' ').next() {
            Some("GET") => Answer::Json(get, "{}".to_owned()),
            _ => Answer::Json(post.0, post.1.to_owned()),
        })
        .await;
        let manifest = Manifest { object: ObjectRef::new(Kind::Service, "git", "gitea"), body: serde_json::json!({}) };
        let done = server.cluster().carry_out(&ClusterOrder::Create(Box::new(manifest))).await;
        (done, server.requests())
    }

    #[tokio::test]
    async fn what_is_there_is_left_as_it_is() {
        let post = "POST /api/v1/namespaces/git/services?fieldManager=kustomize-controller&fieldValidation=Ignore";
        assert_eq!(make((201, r#"{"kind":"Service"}"#), 500).await, (Ok(()), vec![post.to_owned()]));
        let (done, requests) = make((409, THERE), 200).await;
        assert_eq!((done, requests), (Ok(()), vec![post.to_owned(), "GET /api/v1/namespaces/git/services/gitea".to_owned()]));
        let (done, _) = make((409, r#"{"reason":"Conflict","message":"the quota has been modified"}"#), 404).await;
        assert_eq!(done.unwrap_err().to_string(), "make on Service git/gitea: 409 the quota has been modified");
    }

    #[tokio::test]
    async fn what_keeps_an_object_from_being_made_is_told() {
        let told = async |code, message| {
            let error = make((code, message), 500).await.0.unwrap_err();
            (error.kind, error.remedy.unwrap_or(error.found))
        };
        assert_eq!(
            told(404, r#"{"message":"namespaces \"git\" not found"}"#).await,
            (ErrorKind::Missing, "404 namespaces \"git\" not found".to_owned())
        );
        assert_eq!(
            told(422, r#"{"message":"Service \"gitea\" is invalid: spec.ports: Required value"}"#).await,
            (ErrorKind::Invalid, "422 Service \"gitea\" is invalid: spec.ports: Required value".to_owned())
        );
        let forbidden = r#"{"message":"services is forbidden: User \"ananke\" cannot create resource \"services\" in API group \"\" in the namespace \"git\""}"#;
        assert_eq!(
            told(403, forbidden).await,
            (ErrorKind::Denied, "grant create on services in namespace git to user ananke".to_owned())
        );
    }
}
