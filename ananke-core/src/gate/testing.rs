//! A small cluster of facts for tests of gates and remedies: nodes `n1`, `n2`, …, of which the first is a server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::history::History;
use crate::engine::view::{Trust, View};
use crate::fact::Fact;
use crate::lease::{Lease, LeaseRecord, LeaseState, TAINT_EFFECT, TAINT_KEY};
use crate::name::{BootId, Kind, LeaseId, Moment, NodeName, ObjectRef, ResourceVersion, RunId, Uid, UnitName};
use crate::observation::*;
use crate::spec::*;
use crate::verdict::{BlockerKind, Judgement, Verdict};

pub(crate) struct Bench {
    pub(crate) obs: Observation,
    pub(crate) spec: Spec,
    pub(crate) now: Moment,
    pub(crate) leases: Vec<LeaseRecord>,
    pub(crate) history: History,
    run: RunId,
    gates: BTreeMap<crate::verdict::GateId, crate::engine::walk::GateRun>,
}

pub(crate) fn node(n: usize) -> NodeName {
    NodeName::parse(&format!("n{n}")).unwrap()
}

fn flux_object(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef::new(kind, "flux-system", name)
}

impl Bench {
    pub(crate) fn new(nodes: usize) -> Self {
        let unit = |n| UnitName::parse(if n == 1 { "k3s" } else { "k3s-agent" }).unwrap();
        let role = |n| if n == 1 { NodeRole::Server } else { NodeRole::Worker };
        let target = |n: usize| SshTarget { host: format!("10.0.0.{n}"), port: 22, user: "ops".to_owned() };
        let spec = |n| NodeSpec { role: role(n), unit: unit(n), target: Some(target(n)), location: String::new() };
        let mut bench = Self {
            obs: Observation::default(),
            spec: test_spec((1..=nodes).map(|n| (node(n), spec(n))).collect()),
            now: Moment::parse("2026-03-14T02:06:00Z").unwrap(),
            leases: Vec::new(),
            history: History::default(),
            run: RunId::parse("startup-test").unwrap(),
            gates: BTreeMap::new(),
        };
        bench.spec.soak = Duration::from_secs(60);
        bench
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            obs: &self.obs,
            spec: &self.spec,
            now: self.now,
            started: Moment::parse("2026-03-14T02:06:00Z").unwrap(),
            trust: Trust::Proven,
            floor: Moment::parse("2026-03-14T02:00:00Z").unwrap(),
            run: &self.run,
            gates: &self.gates,
            history: &self.history,
            leases: &self.leases,
            earlier: &[],
            nodes_asked: self.now.plus(Duration::from_secs(1)),
        }
    }

    /// One line per subject: `subject: pass`, `subject: unknown`, `subject: hold REASON KIND`; then the notes.
    pub(crate) fn check(&self, evaluate: fn(&View<'_>) -> Judgement, expected: &str) {
        let judgement = evaluate(&self.view());
        let mut text = String::new();
        if let Some(why) = &judgement.not_applicable {
            writeln!(text, "not applicable: {why}").unwrap();
        }
        for (subject, verdict) in &judgement.subjects {
            match verdict {
                Verdict::Pass(_) => writeln!(text, "{subject}: pass"),
                Verdict::Unknown(_) => writeln!(text, "{subject}: unknown"),
                Verdict::Hold(blocker) => {
                    let kind = match &blocker.kind {
                        BlockerKind::Waiting => "waiting".to_owned(),
                        BlockerKind::Repairable(_) => "repairable".to_owned(),
                        BlockerKind::Person => "person".to_owned(),
                        BlockerKind::Follows(cause) => format!("follows {cause}"),
                    };
                    assert!(
                        !blocker.text.is_empty() && !blocker.if_it_lasts.is_empty(),
                        "{subject}: every hold says why and what to do"
                    );
                    writeln!(text, "{subject}: hold {} {kind}", blocker.reason)
                }
            }
            .unwrap();
        }
        for note in &judgement.notes {
            writeln!(text, "note: {note}").unwrap();
        }
        assert_eq!(text.trim_end(), expected);
    }

    /// The gate or phase is at work.
    pub(crate) fn open(&mut self, id: crate::verdict::GateId) {
        self.gates.insert(id, crate::engine::walk::GateRun::opened_at(self.now));
    }

    /// The order was sent now, and refused.
    pub(crate) fn refuse(&mut self, order: &crate::order::Order, kind: crate::port::ErrorKind) {
        self.history.sent(order, self.now);
        self.history.answered(order, Some(crate::port::PortError::new(kind, "perform", "the API server", "refused")));
    }

    /// All that was seen is seen again now.
    pub(crate) fn fresh(&mut self) {
        let now = self.now;
        let beats = self.obs.heartbeats.values_mut();
        beats.for_each(|beat| beat.advanced_at = Some(now));
        let (nodes, pods) = (self.obs.nodes.last().cloned(), self.obs.pods.last().cloned());
        self.obs.nodes = nodes.map_or_else(Fact::default, |nodes| Fact::known(nodes, now));
        self.obs.pods = pods.map_or_else(Fact::default, |pods| Fact::known(pods, now));
        for n in 1..=self.spec.nodes.len() {
            self.host_up(n);
        }
    }

    pub(crate) fn servers(&mut self, count: usize) {
        for n in 1..=count {
            self.spec.nodes.get_mut(&node(n)).unwrap().role = NodeRole::Server;
        }
    }

    pub(crate) fn host_up(&mut self, n: usize) {
        let host = HostState {
            boot_id: BootId::parse(&format!("boot-{n}")).unwrap(),
            machine_id: format!("machine-{n}"),
            uptime: Duration::from_secs(360),
            clock_skew_millis: 0,
            unit: UnitState::Active,
        };
        self.obs.hosts.insert(node(n), Fact::known(host, self.now));
    }

    pub(crate) fn host(&mut self, n: usize, change: impl FnOnce(&mut HostState)) {
        let mut host = self.obs.hosts[&node(n)].last().unwrap().clone();
        change(&mut host);
        self.obs.hosts.insert(node(n), Fact::known(host, self.now));
    }

    pub(crate) fn api_up(&mut self) {
        let api = ApiHealth { cluster_uid: Uid::parse("cluster-1").unwrap(), version: "v1.36.2+k3s1".to_owned() };
        self.obs.api = Fact::known(api, self.now);
        self.obs.nodes = Fact::known(Arc::default(), self.now);
    }

    /// Registered and Ready in the API, as it was before the outage.
    pub(crate) fn node_stale_ready(&mut self, n: usize) {
        let state = NodeState {
            name: node(n),
            uid: Uid::parse(&format!("uid-{n}")).unwrap(),
            version: ResourceVersion::parse("1").unwrap(),
            ready: Tri::True,
            reason: "KubeletReady".into(),
            boot_id: Some(BootId::parse(&format!("boot-{n}")).unwrap()),
            renewed: Some(self.now.minus(Duration::from_secs(300))),
            unschedulable: false,
            taints: Vec::new(),
            lease_note: None,
            manual_note: None,
        };
        let mut nodes = self.obs.nodes.last().cloned().unwrap_or_default();
        Arc::make_mut(&mut nodes).push(state);
        self.obs.fold_nodes(Ok(nodes), self.now);
    }

    pub(crate) fn change_node(&mut self, n: usize, change: impl FnOnce(&mut NodeState)) {
        let mut nodes = self.obs.nodes.last().cloned().unwrap_or_default();
        change(Arc::make_mut(&mut nodes).iter_mut().find(|found| found.name == node(n)).unwrap());
        self.obs.fold_nodes(Ok(nodes), self.now);
    }

    pub(crate) fn renew(&mut self, n: usize) {
        let now = self.now;
        self.change_node(n, |node| node.renewed = Some(now));
    }

    pub(crate) fn node_dies(&mut self, n: usize) {
        self.obs.hosts.remove(&node(n));
        self.obs.heartbeats.remove(&node(n));
        self.change_node(n, |node| node.ready = Tri::Unknown);
        self.obs.heartbeats.remove(&node(n));
    }

    /// Everything is well: hosts, API, nodes, one source and two Kustomizations, of which `apps` depends on `core`.
    pub(crate) fn all_up(&mut self) {
        self.api_up();
        for n in 1..=self.spec.nodes.len() {
            self.host_up(n);
            self.node_stale_ready(n);
            self.renew(n);
        }
        let now = self.now;
        let reconcile = || Reconcile {
            suspended: false,
            generation: 1,
            observed_generation: 1,
            ready: Tri::True,
            reason: "ReconciliationSucceeded".into(),
            message: "".into(),
            requested_at: None,
            handled_at: Some(now.to_string().into()),
        };
        let source = SourceState {
            object: flux_object(Kind::GitRepository, "flux-system"),
            version: ResourceVersion::parse("1").unwrap(),
            url: "ssh://git@git.example/iac.git".into(),
            branch: Some("main".into()),
            pinned: None,
            reconcile: reconcile(),
            revision: Some("main@sha1:1".into()),
            artifact_updated: Some(self.now),
        };
        let kustomization = |name, parents: &[&str]| KustomizationState {
            object: flux_object(Kind::Kustomization, name),
            version: ResourceVersion::parse("1").unwrap(),
            source: source.object.clone(),
            depends_on: parents.iter().map(|parent| flux_object(Kind::Kustomization, parent)).collect(),
            reconcile: reconcile(),
            applied_revision: source.revision.clone(),
            suspend_stamp: None,
            workloads: Vec::new(),
        };
        let kustomizations = vec![kustomization("core", &[]), kustomization("apps", &["core"])];
        let flux = FluxState { sources: vec![source.clone()], kustomizations };
        self.obs.flux = Fact::known(Arc::new(Some(flux)), self.now);
        self.obs.workloads = Fact::known(Arc::default(), self.now);
        self.obs.pods = Fact::known(Arc::default(), self.now);
        self.obs.ingresses = Fact::known(Arc::default(), self.now);
        self.obs.namespaces = Fact::known(Arc::default(), self.now);
        self.obs.intent = Fact::known(None, self.now);
    }

    pub(crate) fn change_flux(&mut self, change: impl FnOnce(&mut FluxState)) {
        let mut flux = self.obs.flux.last().cloned().unwrap_or_default();
        change(Arc::make_mut(&mut flux).as_mut().unwrap());
        self.obs.flux = Fact::known(flux, self.now);
    }

    pub(crate) fn change_source(&mut self, change: impl FnOnce(&mut SourceState)) {
        self.change_flux(|flux| change(&mut flux.sources[0]));
    }

    pub(crate) fn change_kustomization(&mut self, name: &str, change: impl FnOnce(&mut KustomizationState)) {
        self.change_flux(|flux| change(flux.kustomizations.iter_mut().find(|k| k.object.name.as_ref() == name).unwrap()));
    }

    /// A workload in `apps` with pods on the given nodes, ready or not.
    pub(crate) fn workload(&mut self, kind: Kind, name: &str, pods: &[(usize, bool)]) {
        let object = ObjectRef::new(kind, "apps", name);
        let count = |wanted: bool| u32::try_from(pods.iter().filter(|(_, ready)| *ready || !wanted).count()).unwrap();
        let state = WorkloadState {
            object: object.clone(),
            desired: count(false),
            ready: count(true),
            updated: count(false),
            generation: 1,
            observed_generation: 1,
        };
        let mut workloads = self.obs.workloads.last().cloned().unwrap_or_default();
        Arc::make_mut(&mut workloads).push(state);
        self.obs.workloads = Fact::known(workloads, self.now);
        let mut all = self.obs.pods.last().cloned().unwrap_or_default();
        for (index, (n, ready)) in pods.iter().enumerate() {
            Arc::make_mut(&mut all).push(PodState {
                object: ObjectRef::new(Kind::Pod, "apps", &format!("{name}-{index}")),
                uid: Uid::parse(&format!("pod-{name}-{index}")).unwrap(),
                owner: Some(object.clone()),
                node: Some(node(*n)),
                phase: PodPhase::Running,
                ready: *ready,
                reason: "".into(),
                deleting: false,
                mirror: false,
            });
        }
        self.obs.pods = Fact::known(all, self.now);
    }

    pub(crate) fn ingress(&mut self, hosts: &[&str]) {
        let hosts = hosts.iter().map(|host| (*host).into()).collect();
        let state = IngressState {
            object: ObjectRef::new(Kind::Ingress, "apps", "web"),
            hosts,
            tls_hosts: Vec::new(),
            services: Vec::new(),
        };
        self.obs.ingresses = Fact::known(Arc::new(vec![state]), self.now);
    }

    /// A lease of this Ananke that stands on the node.
    pub(crate) fn cordon(&mut self, n: usize) -> LeaseRecord {
        let (now, id) = (self.now, LeaseId::parse(&format!("lease-{n}")).unwrap());
        let cluster = Uid::parse("cluster-1").unwrap();
        let mut record = None;
        self.change_node(n, |node| {
            let lease = Lease::new(id.clone(), "titan-db", node, &cluster, "drain", now, Duration::from_secs(3600));
            node.taints.push(Taint { key: TAINT_KEY.into(), value: id.as_str().into(), effect: TAINT_EFFECT.into() });
            node.lease_note = Some(serde_json::to_string(&lease).unwrap().into());
            record = Some(LeaseRecord { lease, state: LeaseState::Held, since: now });
        });
        let record = record.unwrap();
        self.leases.push(record.clone());
        record
    }
}

pub(crate) fn test_spec(nodes: BTreeMap<NodeName, NodeSpec>) -> Spec {
    Spec {
        holder: "titan-db".to_owned(),
        role: Role::Coordinator,
        nodes,
        ignored: Vec::new(),
        ups: Vec::new(),
        minimum_charge_percent: 30,
        allow_on_battery: false,
        guard_wait: Duration::from_secs(600),
        intent_max_age: Duration::from_secs(6 * 3600),
        flux: FluxSpec {
            source: flux_object(Kind::GitRepository, "flux-system"),
            expected_url: Some("ssh://git@git.example/iac.git".into()),
            expected_branch: Some("main".into()),
            force_branch: None,
            required: Vec::new(),
        },
        required_namespaces: Vec::new(),
        required_workloads: Vec::new(),
        ingress: IngressSpec {
            exclude: Vec::new(),
            accepted_statuses: vec![200, 302, 401],
            accepted_by_host: BTreeMap::new(),
            scheme: None,
        },
        services: Vec::new(),
        unit_grace: Duration::from_secs(60),
        soak: Duration::from_secs(60),
        poll: Duration::from_secs(2),
        cordon_window: Duration::from_secs(3600),
        max_cordons: 3,
        deadlines: BTreeMap::new(),
        drain: DrainSpec { skip: false, batch: 5, patience: Duration::from_secs(120) },
    }
}
