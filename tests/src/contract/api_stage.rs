//! The stage of any cluster: a namespace and nodes of its own, made by plain requests and taken away again. It needs no
//! kubelet, no controller and no Flux; what is not served is skipped.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ananke_core::name::{BootId, Kind, Moment, NodeName, ObjectRef, Uid};
use ananke_core::observation::{
    AttachmentState, ClaimState, CsiNodeState, EndpointsState, EventState, IngressState, JobState, PodPhase, PodState, Taint,
};
use ananke_core::order::COORDINATION;
use ananke_k8s::KubeCluster;
use ananke_k8s::contract::Raw;
use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};

use super::{Absent, Given, Layers, Look, Stage, absent, fixtures, node_object};

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces";

/// Kinds of Flux, with their groups and plurals.
const FLUX: &[(Kind, &str, &str)] = &[
    (Kind::GitRepository, "source.toolkit.fluxcd.io", "gitrepositories"),
    (Kind::OCIRepository, "source.toolkit.fluxcd.io", "ocirepositories"),
    (Kind::Bucket, "source.toolkit.fluxcd.io", "buckets"),
    (Kind::Kustomization, "kustomize.toolkit.fluxcd.io", "kustomizations"),
    (Kind::HelmRelease, "helm.toolkit.fluxcd.io", "helmreleases"),
];

/// The controllers of a real cluster need a moment for a new namespace before it takes pods.
const TRIES: usize = 40;

pub struct ApiStage {
    cluster: KubeCluster,
    /// Its own namespace, and the beginning of all other names.
    name: String,
    /// Whether a server that does not take what is made here fails the case.
    strict: bool,
    /// Paths to delete at the end, the last one first.
    made: RefCell<Vec<String>>,
    count: Cell<u32>,
    /// One case at a time may have the coordination Lease.
    lock: RefCell<Option<File>>,
}

impl std::fmt::Debug for ApiStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiStage").field("name", &self.name).finish_non_exhaustive()
    }
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    Moment::from_millis(i64::try_from(since.as_millis()).expect("a time that is not far"))
}

fn seconds(at: Moment) -> String {
    format!("{}Z", at.to_string().split('.').next().unwrap_or_default())
}

fn text(object: &Value, at: &str) -> String {
    object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl ApiStage {
    /// Makes the namespace. `strict`: the server must take everything that is no custom resource.
    pub async fn new(cluster: KubeCluster, strict: bool) -> Given<Self> {
        let unique = now().as_millis().unsigned_abs() % 100_000_000;
        let name = format!("ananke-contract-{}-{unique}", std::process::id());
        let (made, count, lock) = (RefCell::default(), Cell::new(0), RefCell::default());
        let stage = Self { cluster, name, strict, made, count, lock };
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": stage.name}});
        stage.make("/api/v1/namespaces", body).await?;
        Ok(stage)
    }

    /// Takes away what was made, as far as the server lets it.
    pub async fn clear(&self) {
        let pods = format!("/api/v1/namespaces/{}/pods", self.name);
        let (_, list) = self.ask(Method::GET, &pods, JSON, Value::Null).await;
        for pod in list.get("items").and_then(Value::as_array).into_iter().flatten() {
            self.delete(&format!("{pods}/{}", text(pod, "/metadata/name"))).await;
        }
        let made = self.made.take();
        for path in made.iter().rev() {
            self.delete(path).await;
        }
    }

    async fn delete(&self, path: &str) {
        let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        self.ask(Method::DELETE, path, JSON, now).await;
    }

    async fn ask(&self, method: Method, path: &str, content_type: &str, body: Value) -> (u16, Value) {
        let raw = Raw { method, path, content_type, body };
        self.cluster.raw(raw).await.unwrap_or_else(|error| panic!("the stage cannot be set: {error}"))
    }

    async fn make(&self, collection: &str, body: Value) -> Given<Value> {
        let mut left = TRIES;
        loop {
            left -= 1;
            let (status, answer) = self.ask(Method::POST, collection, JSON, body.clone()).await;
            let told = text(&answer, "/message");
            match status {
                201 => {
                    self.made.borrow_mut().push(format!("{collection}/{}", text(&answer, "/metadata/name")));
                    return Ok(answer);
                }
                404 | 405 if !self.strict => return absent(&format!("POST {collection} is answered {status} {told}")),
                403 | 404 if told.contains("serviceaccount") && left > 0 => tokio::time::sleep(Duration::from_millis(250)).await,
                _ => panic!("POST {collection}: {status} {answer}"),
            }
        }
    }

    async fn patch(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Method::PATCH, path, MERGE, body.clone()).await;
        assert_eq!(status, 200, "PATCH {path} {body}: {answer}");
        answer
    }

    fn fresh(&self, what: &str) -> String {
        self.count.set(self.count.get() + 1);
        format!("{}-{what}-{}", self.name, self.count.get())
    }

    fn inside(&self, group: &str, plural: &str) -> String {
        let root = if group == "v1" { "/api/v1".to_owned() } else { format!("/apis/{group}") };
        format!("{root}/namespaces/{}/{plural}", self.name)
    }

    fn object(&self, kind: Kind, name: &str) -> ObjectRef {
        ObjectRef::new(kind, &self.name, name)
    }

    async fn make_node(&self, name: &str) -> Given<BootId> {
        self.make("/api/v1/nodes", fixtures::node(name)).await?;
        let boot = format!("boot-{}", self.fresh("node"));
        let at = now();
        self.patch(&format!("/api/v1/nodes/{name}/status"), fixtures::node_status(&boot, &seconds(at))).await;
        let renewed = format!("{}000Z", at.to_string().trim_end_matches('Z'));
        self.make(&format!("{LEASES}/kube-node-lease/leases"), fixtures::kubelet_lease(name, &renewed)).await?;
        Ok(BootId::parse(&boot).expect("a boot ID"))
    }

    /// A pod on a node of its own.
    async fn make_pod(&self, phase: &str) -> Given<PodState> {
        let (node, _) = self.node().await?;
        let name = self.fresh("pod");
        let made = self.make(&self.inside("v1", "pods"), fixtures::pod(&name, node.as_str())).await?;
        let path = format!("{}/{name}/status", self.inside("v1", "pods"));
        self.patch(&path, fixtures::pod_status(phase)).await;
        Ok(PodState {
            object: self.object(Kind::Pod, &name),
            uid: Uid::parse(&text(&made, "/metadata/uid")).expect("a UID"),
            owner: None,
            node: Some(node),
            phase: PodPhase::Running,
            ready: true,
            reason: "".into(),
            message: "".into(),
            created: Moment::parse(&text(&made, "/metadata/creationTimestamp")).ok(),
            deleting: false,
            claims: vec!["data".into()],
            mirror: false,
            bare: true,
            role: None,
        })
    }

    /// Group and version, as the server prefers them.
    async fn flux_version(&self, kind: Kind) -> Given<(String, &'static str)> {
        let (_, group, plural) = FLUX.iter().find(|(of, ..)| *of == kind).expect("a kind of Flux");
        let (status, found) = self.ask(Method::GET, &format!("/apis/{group}"), JSON, Value::Null).await;
        if status == 404 {
            return absent(&format!("the cluster serves no {group}"));
        }
        Ok((text(&found, "/preferredVersion/groupVersion"), *plural))
    }

    async fn path(&self, object: &ObjectRef) -> String {
        let (root, plural) = match object.kind {
            Kind::Node => ("/api/v1".to_owned(), "nodes"),
            Kind::Namespace => ("/api/v1".to_owned(), "namespaces"),
            Kind::Pod => ("/api/v1".to_owned(), "pods"),
            Kind::Service => ("/api/v1".to_owned(), "services"),
            Kind::ConfigMap => ("/api/v1".to_owned(), "configmaps"),
            Kind::ServiceAccount => ("/api/v1".to_owned(), "serviceaccounts"),
            Kind::PersistentVolumeClaim => ("/api/v1".to_owned(), "persistentvolumeclaims"),
            Kind::Deployment => ("/apis/apps/v1".to_owned(), "deployments"),
            Kind::StatefulSet => ("/apis/apps/v1".to_owned(), "statefulsets"),
            Kind::DaemonSet => ("/apis/apps/v1".to_owned(), "daemonsets"),
            Kind::Job => ("/apis/batch/v1".to_owned(), "jobs"),
            Kind::CronJob => ("/apis/batch/v1".to_owned(), "cronjobs"),
            Kind::CephCluster => ("/apis/ceph.rook.io/v1".to_owned(), "cephclusters"),
            Kind::Ingress => ("/apis/networking.k8s.io/v1".to_owned(), "ingresses"),
            Kind::VolumeAttachment => ("/apis/storage.k8s.io/v1".to_owned(), "volumeattachments"),
            Kind::GitRepository | Kind::Kustomization | Kind::OCIRepository | Kind::Bucket | Kind::HelmRelease => {
                let (version, plural) = self.flux_version(object.kind).await.expect("its kind is served");
                (format!("/apis/{version}"), plural)
            }
        };
        let ObjectRef { namespace, name, .. } = object;
        if namespace.is_empty() {
            format!("{root}/{plural}/{name}")
        } else {
            format!("{root}/namespaces/{namespace}/{plural}/{name}")
        }
    }
}

fn look_at(object: &Value) -> Look {
    let words = |at: &str| {
        let map = object.pointer(at).and_then(Value::as_object).into_iter().flatten();
        map.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    };
    let truth = |at: &str| object.pointer(at).and_then(Value::as_bool).unwrap_or(false);
    let list = |at: &str| object.pointer(at).and_then(Value::as_array).cloned();
    let part = |taint: &Value, field: &str| Arc::from(taint.get(field).and_then(Value::as_str).unwrap_or_default());
    let taint = |taint: &Value| Taint { key: part(taint, "key"), value: part(taint, "value"), effect: part(taint, "effect") };
    let managers = list("/metadata/managedFields");
    Look {
        uid: text(object, "/metadata/uid"),
        labels: words("/metadata/labels"),
        annotations: words("/metadata/annotations"),
        taints: list("/spec/taints").unwrap_or_default().iter().map(taint).collect(),
        unschedulable: truth("/spec/unschedulable"),
        suspended: truth("/spec/suspend"),
        branch: object.pointer("/spec/ref/branch").and_then(Value::as_str).map(str::to_owned),
        url: object.pointer("/spec/url").and_then(Value::as_str).map(str::to_owned),
        replicas: object.pointer("/spec/replicas").and_then(Value::as_u64),
        deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
        managers: managers.map(|all| all.iter().map(|entry| text(entry, "/manager")).collect()),
    }
}

#[async_trait(?Send)]
impl Stage for ApiStage {
    async fn node(&self) -> Given<(NodeName, BootId)> {
        let name = self.fresh("node");
        let boot = self.make_node(&name).await?;
        Ok((NodeName::parse(&name).expect("a node name"), boot))
    }

    async fn pod(&self) -> Given<PodState> {
        self.make_pod("Running").await
    }

    async fn guarded_pod(&self) -> Given<(PodState, String)> {
        let pod = self.make_pod("Running").await?;
        let budgets = self.inside("policy/v1", "poddisruptionbudgets");
        self.make(&budgets, fixtures::budget("guard", &pod.object.name)).await?;
        self.patch(&format!("{budgets}/guard/status"), fixtures::budget_status()).await;
        Ok((pod, "guard".to_owned()))
    }

    async fn ended_pod(&self) -> Given<(ObjectRef, bool)> {
        self.make_pod("Succeeded").await.map(|pod| (pod.object, false))
    }

    async fn leader(&self) -> Given<(String, String)> {
        let name = self.fresh("leader");
        let spec =
            json!({"holderIdentity": "attacher-0", "leaseDurationSeconds": 15, "renewTime": "2026-03-14T02:06:00.000000Z"});
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec});
        self.make(&self.inside("coordination.k8s.io/v1", "leases"), lease).await?;
        Ok((self.name.clone(), name))
    }

    async fn workload(&self, kind: Kind) -> Given<(ObjectRef, u32)> {
        let name = self.fresh("workload");
        let plural = format!("{}s", kind.to_string().to_ascii_lowercase());
        self.make(&self.inside("apps/v1", &plural), fixtures::workload(&kind.to_string(), &name, 1)).await?;
        Ok((self.object(kind, &name), u32::from(kind != Kind::DaemonSet)))
    }

    async fn job(&self) -> Given<JobState> {
        let name = self.fresh("job");
        let made = self.make(&self.inside("batch/v1", "jobs"), fixtures::job(&name, (&self.name, "contract"))).await?;
        Ok(JobState {
            object: self.object(Kind::Job, &name),
            uid: Uid::parse(&text(&made, "/metadata/uid")).expect("a UID"),
            ended: None,
            applied_by: Some(self.object(Kind::Kustomization, "contract")),
            keep: false,
            idempotent: false,
        })
    }

    async fn warning(&self) -> Given<EventState> {
        let (name, pod) = (self.fresh("warning"), self.object(Kind::Pod, "web-0"));
        let (reason, message) = ("FailedMount", "no such device");
        let about = json!({"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name});
        let body = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "type": "Warning", "reason": reason,
            "message": message, "involvedObject": about, "lastTimestamp": seconds(now())});
        self.make(&self.inside("v1", "events"), body).await?;
        Ok(EventState { about: pod, reason: reason.into(), message: message.into(), last: None })
    }

    async fn flux(&self, kind: Kind) -> Given<ObjectRef> {
        let (version, plural) = self.flux_version(kind).await?;
        let name = self.fresh("flux");
        let body = json!({"apiVersion": version, "kind": kind.to_string(), "metadata": {"name": name}, "spec": fixtures::flux_spec(kind)});
        self.make(&self.inside(&version, plural), body).await?;
        Ok(self.object(kind, &name))
    }

    async fn layers(&self) -> Given<Layers> {
        let (version, plural) = self.flux_version(Kind::Kustomization).await?;
        // A Service's name is a DNS label, of at most 63 characters.
        let name = "layer";
        self.make(&self.inside("v1", "serviceaccounts"), fixtures::bare("ServiceAccount", name)).await?;
        self.make(&self.inside("v1", "configmaps"), fixtures::config(name)).await?;
        self.make(&self.inside("v1", "services"), fixtures::service(name)).await?;
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            let plural = format!("{}s", kind.to_ascii_lowercase());
            self.make(&self.inside("apps/v1", &plural), fixtures::workload(kind, name, 1)).await?;
        }
        let ingress = fixtures::ingress(name, "layer.example.dev");
        self.make(&self.inside("networking.k8s.io/v1", "ingresses"), ingress).await?;
        let path = self.inside(&version, plural);
        let spec = fixtures::flux_spec(Kind::Kustomization);
        let body = json!({"apiVersion": version, "kind": "Kustomization", "metadata": {"name": name}, "spec": spec});
        self.make(&path, body).await?;
        self.patch(&format!("{path}/{name}/status"), fixtures::applied(&self.name, name, &seconds(now()))).await;
        let kustomizations = vec![self.object(Kind::Kustomization, name)];
        Ok(Layers { kustomizations, of_helm: &[], others: &["PersistentVolumeClaim", "Secret"] })
    }

    async fn controllers(&self) -> Given<()> {
        absent("nothing on this stage leads anywhere, so Flux's controllers have nothing to come to")
    }

    async fn namespace(&self) -> Given<Arc<str>> {
        Ok(self.name.as_str().into())
    }

    async fn claim(&self) -> Given<ClaimState> {
        let name = self.fresh("claim");
        self.make(&self.inside("v1", "persistentvolumeclaims"), fixtures::claim(&name)).await?;
        Ok(ClaimState { object: self.object(Kind::PersistentVolumeClaim, &name), bound: false, lost: false, volume: None })
    }

    async fn attachment(&self) -> Given<AttachmentState> {
        let (node, _) = self.node().await?;
        let name = self.fresh("attachment");
        let body = fixtures::attachment(&name, node.as_str());
        let made = self.make("/apis/storage.k8s.io/v1/volumeattachments", body).await?;
        Ok(AttachmentState {
            object: ObjectRef::new(Kind::VolumeAttachment, "", &name),
            uid: Uid::parse(&text(&made, "/metadata/uid")).expect("a UID"),
            node,
            driver: "contract.example.org".into(),
            volume: name.into(),
            attached: false,
            deleting: false,
            error: None,
        })
    }

    async fn csi_node(&self) -> Given<CsiNodeState> {
        let (node, _) = self.node().await?;
        self.make("/apis/storage.k8s.io/v1/csinodes", fixtures::csi_node(node.as_str())).await?;
        Ok(CsiNodeState { node, drivers: vec!["contract.example.org".into()] })
    }

    async fn ingress(&self) -> Given<IngressState> {
        let name = self.fresh("ingress");
        let host = format!("{name}.example.dev");
        self.make(&self.inside("networking.k8s.io/v1", "ingresses"), fixtures::ingress(&name, &host)).await?;
        let hosts: Vec<Arc<str>> = vec![host.into()];
        Ok(IngressState {
            object: self.object(Kind::Ingress, &name),
            tls_hosts: hosts.clone(),
            hosts,
            services: vec![name.into()],
        })
    }

    async fn endpoints(&self) -> Given<EndpointsState> {
        // A Service's name is a DNS label, of at most 63 characters.
        self.make(&self.inside("v1", "services"), fixtures::service("contract")).await?;
        let slice = fixtures::slice("contract", &self.name, "behind-it");
        self.make(&self.inside("discovery.k8s.io/v1", "endpointslices"), slice).await?;
        let pods = vec![self.object(Kind::Pod, "behind-it")];
        Ok(EndpointsState { service: self.object(Kind::Service, "contract"), ready: 1, pods })
    }

    async fn coordination(&self) -> Given<()> {
        let file = File::create(std::env::temp_dir().join("ananke-contract-coordination.lock")).expect("a lock file");
        // Blocking is right here: nothing else runs in this process meanwhile.
        file.lock().expect("a lock");
        self.lock.replace(Some(file));
        let (namespace, name) = COORDINATION;
        let path = format!("{LEASES}/{namespace}/leases/{name}");
        match self.ask(Method::GET, &path, JSON, Value::Null).await.0 {
            404 => {
                self.made.borrow_mut().push(path);
                Ok(())
            }
            _ => Err(Absent(format!("the Lease {namespace}/{name} is somebody's"))),
        }
    }

    async fn annotate(&self, object: &ObjectRef, key: &str, value: Option<&str>) -> Given<()> {
        let path = self.path(object).await;
        self.patch(&path, json!({"metadata": {"annotations": {key: value}}})).await;
        Ok(())
    }

    async fn touch(&self, object: &ObjectRef) -> Given<()> {
        self.annotate(object, "example.org/touched", Some(&self.fresh("touch"))).await
    }

    async fn taint(&self, node: &NodeName, taint: &Taint) -> Given<()> {
        let path = self.path(&node_object(node)).await;
        let (_, found) = self.ask(Method::GET, &path, JSON, Value::Null).await;
        let mut taints = found.pointer("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
        taints.push(json!({"key": taint.key, "value": taint.value, "effect": taint.effect}));
        self.patch(&path, json!({"spec": {"taints": taints}})).await;
        Ok(())
    }

    async fn cordon_as_person(&self, node: &NodeName) -> Given<()> {
        let path = self.path(&node_object(node)).await;
        self.patch(&path, json!({"spec": {"unschedulable": true}})).await;
        Ok(())
    }

    async fn delete(&self, object: &ObjectRef) -> Given<()> {
        Self::delete(self, &self.path(object).await).await;
        Ok(())
    }

    async fn recreate(&self, node: &NodeName) -> Given<()> {
        self.delete(&self.path(&node_object(node)).await).await;
        self.delete(&format!("{LEASES}/kube-node-lease/leases/{node}")).await;
        self.make_node(node.as_str()).await.map(drop)
    }

    async fn look(&self, object: &ObjectRef) -> Option<Look> {
        let path = self.path(object).await;
        let (status, found) = self.ask(Method::GET, &path, JSON, Value::Null).await;
        match status {
            200 => Some(look_at(&found)),
            404 => None,
            _ => panic!("GET {path}: {status} {found}"),
        }
    }

    async fn events_about(&self, node: &NodeName) -> Vec<String> {
        let path = "/api/v1/namespaces/default/events";
        let (_, list) =
            self.ask(Method::GET, &format!("{path}?fieldSelector=involvedObject.name%3D{node}"), JSON, Value::Null).await;
        let events = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let ours = events.iter().filter(|event| text(event, "/source/component") == "ananke");
        let told = ours.map(|event| {
            self.made.borrow_mut().push(format!("{path}/{}", text(event, "/metadata/name")));
            text(event, "/message")
        });
        told.collect()
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
