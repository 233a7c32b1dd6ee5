//! A small cluster of facts for tests of gates and remedies: nodes `n1`, `n2`, …, of which the first is a server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::bootstrap::{Layer, Manifest};
use crate::engine::history::History;
use crate::engine::view::{Behind, Trust, View};
use crate::fact::Fact;
use crate::lease::{Lease, LeaseRecord, LeaseState, TAINT_EFFECT, TAINT_KEY};
use crate::name::{BootId, Kind, LeaseId, Moment, NodeName, ObjectRef, ResourceVersion, RunId, Subject, Uid, UnitName};
use crate::observation::*;
use crate::spec::*;
use crate::verdict::{BlockerKind, Judgement, Trap, Verdict};

pub(crate) struct Bench {
    pub(crate) obs: Observation,
    pub(crate) spec: Spec,
    pub(crate) now: Moment,
    pub(crate) leases: Vec<LeaseRecord>,
    pub(crate) uptime: Option<crate::port::clock::Uptime>,
    pub(crate) history: History,
    /// Runs that died on the same job.
    pub(crate) earlier: Vec<crate::report::EarlierRun>,
    /// Power asked for the run.
    pub(crate) by_power: bool,
    sightings: crate::engine::walk::Sightings,
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
        let spec = |n| NodeSpec {
            role: role(n),
            unit: unit(n),
            target: Some(target(n)),
            transport: Transport::Ssh,
            wake: None,
            location: String::new(),
            needs: HostNeeds::default(),
        };
        let mut bench = Self {
            obs: Observation::default(),
            spec: test_spec((1..=nodes).map(|n| (node(n), spec(n))).collect()),
            now: Moment::parse("2026-03-14T02:06:00Z").unwrap(),
            leases: Vec::new(),
            uptime: None,
            history: History::default(),
            sightings: BTreeMap::new(),
            earlier: Vec::new(),
            by_power: false,
            run: RunId::parse("startup-test").unwrap(),
            gates: BTreeMap::new(),
        };
        bench.spec.soak = Duration::from_secs(60);
        bench
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            behind: Behind {
                obs: &self.obs,
                gates: &self.gates,
                history: &self.history,
                leases: &self.leases,
                sightings: &self.sightings,
                floor: Moment::parse("2026-03-14T02:00:00Z").unwrap(),
                looks: None,
            },
            spec: &self.spec,
            now: self.now,
            started: Moment::parse("2026-03-14T02:06:00Z").unwrap(),
            began: Moment::parse("2026-03-14T02:06:00Z").unwrap(),
            trust: Trust::Proven,
            run: &self.run,
            by_power: self.by_power,
            earlier: &self.earlier,
            uptime: self.uptime.as_ref(),
            nodes_asked: self.now.plus(Duration::from_secs(1)),
        }
    }

    /// What a UPS says now, and the seconds of its runtime.
    pub(crate) fn ups(&mut self, name: &Arc<str>, words: &str, runtime: u64) {
        let status = words.split(' ').map(Into::into).collect();
        let reading = UpsReading { status, charge_percent: None, runtime: Some(Duration::from_secs(runtime)) };
        self.obs.ups.insert(name.clone(), Fact::known(reading, self.now));
    }

    /// A gate has held the subject for the trap, since so long ago.
    pub(crate) fn seen_for(&mut self, trap: Trap, subject: &Subject, span: Duration) {
        let sighting = crate::engine::walk::Sighting::at(self.now.minus(span));
        self.sightings.entry(trap).or_default().insert(subject.clone(), sighting);
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

    /// Another gate is judged first, for those that look at what it says.
    pub(crate) fn judged(&mut self, id: crate::verdict::GateId, evaluate: fn(&View<'_>) -> Judgement) {
        self.open(id);
        let judgement = evaluate(&self.view());
        self.gates.get_mut(&id).unwrap().judgement = judgement;
    }

    /// The gate or phase has settled, with what it says now.
    pub(crate) fn settle(&mut self, id: crate::verdict::GateId, evaluate: fn(&View<'_>) -> Judgement) {
        let mut gate = crate::engine::walk::GateRun::opened_at(self.now);
        (gate.settled, gate.judgement) = (Some(self.now), evaluate(&self.view()));
        self.gates.insert(id, gate);
    }

    /// The order was sent now, and done.
    pub(crate) fn done(&mut self, order: &crate::order::Order) {
        self.history.sent(order, self.now);
        self.history.answered(order, None);
    }

    /// The gate stands so.
    pub(crate) fn stands(&mut self, id: crate::verdict::GateId, status: crate::report::GateStatus, judgement: Judgement) {
        let mut gate = crate::engine::walk::GateRun::opened_at(self.now);
        (gate.status, gate.judgement) = (status, judgement);
        self.gates.insert(id, gate);
    }

    /// The order was sent now for the trap, and carried out.
    pub(crate) fn carried_out(&mut self, order: &crate::order::Order, trap: Trap) {
        self.history.sent_for(Some(trap), order, self.now);
        self.history.answered(order, None);
    }

    /// What a gate says.
    pub(crate) fn gate(&self, id: crate::verdict::GateId) -> Judgement {
        self.gates[&id].judgement.clone()
    }

    /// The gate has passed, since now.
    pub(crate) fn passes(&mut self, id: crate::verdict::GateId) {
        let mut gate = crate::engine::walk::GateRun::opened_at(self.now);
        (gate.settled, gate.status) = (Some(self.now), crate::report::GateStatus::Passed);
        self.gates.insert(id, gate);
    }

    /// The gate has been settled since now.
    pub(crate) fn settles(&mut self, id: crate::verdict::GateId) {
        let mut gate = crate::engine::walk::GateRun::opened_at(self.now);
        gate.settled = Some(self.now);
        self.gates.insert(id, gate);
    }

    /// The gate has fallen back since.
    pub(crate) fn falls_back(&mut self, id: crate::verdict::GateId) {
        if let Some(gate) = self.gates.get_mut(&id) {
            gate.regressions += 1;
        }
    }

    /// The gate's deadline has passed for a node.
    pub(crate) fn overdue(&mut self, id: crate::verdict::GateId, n: usize) {
        let gate = self.gates.entry(id).or_insert_with(|| crate::engine::walk::GateRun::opened_at(self.now));
        gate.overdue.insert(crate::name::Subject::Node(node(n)));
    }

    /// The API answers now.
    pub(crate) fn refresh_api(&mut self) {
        self.obs.api = self.obs.api.last().cloned().map_or_else(Fact::default, |api| Fact::known(api, self.now));
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

    /// Every list is read again and says the same; nobody is heard from.
    pub(crate) fn fresh_lists(&mut self) {
        fn again<T: Clone>(fact: &mut Fact<T>, now: Moment) {
            if let Some(value) = fact.last().cloned() {
                *fact = Fact::known(value, now);
            }
        }
        let now = self.now;
        again(&mut self.obs.nodes, now);
        again(&mut self.obs.pods, now);
        again(&mut self.obs.workloads, now);
        again(&mut self.obs.flux, now);
        again(&mut self.obs.jobs, now);
    }

    pub(crate) fn servers(&mut self, count: usize) {
        for n in 1..=count {
            self.spec.nodes.get_mut(&node(n)).unwrap().role = NodeRole::Server;
        }
    }

    /// The node has no SSH, so its host is never heard of.
    pub(crate) fn unmanage(&mut self, n: usize) {
        let spec = self.spec.nodes.get_mut(&node(n)).unwrap();
        (spec.target, spec.transport) = (None, Transport::None);
        self.obs.hosts.remove(&node(n));
    }

    pub(crate) fn host_up(&mut self, n: usize) {
        let host = HostState {
            boot_id: BootId::parse(&format!("boot-{n}")).unwrap(),
            machine_id: format!("machine-{n}"),
            uptime: Duration::from_secs(360),
            clock_skew_millis: 0,
            unit: UnitState::Active,
            health: HostHealth { clock_synced: Some(true), ..HostHealth::default() },
            leftovers: Leftovers::default(),
            words: Vec::new(),
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
            message: "".into(),
            boot_id: Some(BootId::parse(&format!("boot-{n}")).unwrap()),
            machine_id: Some(format!("machine-{n}").into()),
            architecture: Some("arm64".into()),
            renewed: Some(self.now.minus(Duration::from_secs(300))),
            troubles: Vec::new(),
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
            url_from: None,
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
            succeeded_at: None,
            suspend_stamp: None,
            workloads: Vec::new(),
            applies: Vec::new(),
        };
        let kustomizations = vec![kustomization("core", &[]), kustomization("apps", &["core"])];
        let flux = FluxState { sources: vec![source.clone()], kustomizations, helm_releases: Vec::new() };
        self.obs.flux = Fact::known(Arc::new(Some(flux)), self.now);
        self.obs.workloads = Fact::known(Arc::default(), self.now);
        self.obs.pods = Fact::known(Arc::default(), self.now);
        self.obs.ingresses = Fact::known(Arc::default(), self.now);
        self.obs.namespaces = Fact::known(Arc::default(), self.now);
        self.obs.intent = Fact::known(None, self.now);
        self.obs.storage = Fact::known(Arc::default(), self.now);
        self.obs.endpoints = Fact::known(Arc::default(), self.now);
        self.obs.jobs = Fact::known(Arc::default(), self.now);
        self.obs.coordination = Fact::known(None, self.now);
        self.obs.own_clock = Fact::known(Some(true), self.now);
        self.obs.confirmations = Fact::known(Vec::new(), self.now);
        self.obs.baseline = Fact::known(None, self.now);
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
            version: ResourceVersion::parse("1").unwrap(),
            desired: count(false),
            ready: count(true),
            updated: count(false),
            generation: 1,
            observed_generation: 1,
            registries: Vec::new(),
            scaled_from: None,
            reboot_lock: None,
            release: None,
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
                message: "".into(),
                created: Some(Moment::parse("2026-03-01T00:00:00Z").unwrap()),
                deleting: false,
                claims: Vec::new(),
                mirror: false,
                bare: false,
                role: None,
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

    /// The Ingress that is there leads to these Services of its namespace.
    pub(crate) fn ingress_leads_to(&mut self, services: &[&str]) {
        let mut ingresses = self.obs.ingresses.last().cloned().unwrap_or_default();
        let ingress = Arc::make_mut(&mut ingresses).first_mut().unwrap();
        ingress.services = services.iter().map(|name| (*name).into()).collect();
        self.obs.ingresses = Fact::known(ingresses, self.now);
    }

    /// Changes one pod of `apps`.
    pub(crate) fn pod(&mut self, name: &str, change: impl FnOnce(&mut PodState)) {
        let mut pods = self.obs.pods.last().cloned().unwrap_or_default();
        change(Arc::make_mut(&mut pods).iter_mut().find(|pod| pod.object.name.as_ref() == name).unwrap());
        self.obs.pods = Fact::known(pods, self.now);
    }

    pub(crate) fn change_workload(&mut self, name: &str, change: impl FnOnce(&mut WorkloadState)) {
        let mut workloads = self.obs.workloads.last().cloned().unwrap_or_default();
        change(Arc::make_mut(&mut workloads).iter_mut().find(|found| found.object.name.as_ref() == name).unwrap());
        self.obs.workloads = Fact::known(workloads, self.now);
    }

    /// A volume is attached to the node.
    pub(crate) fn attach(&mut self, n: usize) {
        self.storage(|storage| {
            storage.attachments.push(AttachmentState {
                object: ObjectRef::new(Kind::VolumeAttachment, "", "csi-1"),
                uid: Uid::parse("u").unwrap(),
                node: node(n),
                driver: "driver.longhorn.io".into(),
                volume: "pvc-1".into(),
                attached: true,
                deleting: false,
                error: None,
            });
        });
    }

    pub(crate) fn storage(&mut self, change: impl FnOnce(&mut StorageState)) {
        let mut storage = self.obs.storage.last().cloned().unwrap_or_default();
        change(Arc::make_mut(&mut storage));
        self.obs.storage = Fact::known(storage, self.now);
    }

    /// A layer is kept: a Deployment of this name in `git`, with what goes with it, whose pods mount a claim that is there.
    pub(crate) fn keep(&mut self, name: &str, claim: &str) {
        let manifest = |kind| {
            let volumes = serde_json::json!([{"persistentVolumeClaim": {"claimName": claim}}]);
            let body = serde_json::json!({"metadata": {}, "spec": {"template": {"spec": {"volumes": volumes}}}});
            Manifest::of(ObjectRef::new(kind, "git", name), body).unwrap()
        };
        let layer = Layer {
            kustomization: flux_object(Kind::Kustomization, name),
            revision: "main@sha1:1".into(),
            taken: self.now,
            objects: [Kind::ConfigMap, Kind::Service, Kind::Deployment].map(manifest).into(),
            left_out: BTreeSet::new(),
        };
        Arc::make_mut(&mut self.spec.bootstrap.cache).layers.push(layer);
        let object = ObjectRef::new(Kind::PersistentVolumeClaim, "git", claim);
        self.storage(|storage| storage.claims.push(ClaimState { object, bound: true, lost: false, volume: None }));
    }

    /// A Service with pods of `apps` behind it, in place of one of that name.
    pub(crate) fn endpoints(&mut self, namespace: &str, name: &str, ready: u32, pods: &[&str]) {
        let service = ObjectRef::new(Kind::Service, namespace, name);
        let pods = pods.iter().map(|pod| ObjectRef::new(Kind::Pod, "apps", pod)).collect();
        let mut all = self.obs.endpoints.last().cloned().unwrap_or_default();
        let list = Arc::make_mut(&mut all);
        list.retain(|state| state.service != service);
        list.push(EndpointsState { service, ready, pods });
        self.obs.endpoints = Fact::known(all, self.now);
    }

    /// Every node is cordoned, as behind phase `cordoned`.
    pub(crate) fn cordon_all(&mut self) {
        for n in 1..=self.spec.nodes.len() {
            self.cordon(n);
        }
    }

    /// A lease of this Ananke that stands on the node.
    pub(crate) fn cordon(&mut self, n: usize) -> LeaseRecord {
        let (now, id) = (self.now, LeaseId::parse(&format!("lease-{n}")).unwrap());
        let cluster = Uid::parse("cluster-1").unwrap();
        let mut record = None;
        self.change_node(n, |node| {
            let terms = crate::lease::Terms {
                holder: "titan-db",
                purpose: crate::lease::Purpose::Drain,
                reason: "drain",
                now,
                uptime: None,
                window: Duration::from_secs(3600),
            };
            let lease = Lease::new(id.clone(), node, &cluster, &terms);
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
        distribution: Distribution::K3s,
        nodes,
        ignored: Vec::new(),
        power: crate::power::PowerSpec::default(),
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
            include: Vec::new(),
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
        repair_after: Duration::from_secs(180),
        wake_after: Duration::from_secs(120),
        ignored_servers: 0,
        deadlines: BTreeMap::new(),
        drain: DrainSpec { skip: false, batch: 5, concurrency: 32, patience: Duration::from_secs(120) },
        peers: Vec::new(),
        time_sync: TimeSync::Strict,
        storage: StorageSpec { required: true, ..StorageSpec::default() },
        vault: None,
        foundation: Vec::new(),
        bootstrap: crate::bootstrap::BootstrapSpec::default(),
        critical_services: Vec::new(),
        remedies: BTreeMap::new(),
        shutdown: ShutdownSpec { mode: ShutdownMode::ClusterOnly, etcd_snapshot: true, within: None, concurrency: 16 },
    }
}
