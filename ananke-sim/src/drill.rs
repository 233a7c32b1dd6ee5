//! A drill: the real engine recovers a simulated cluster on virtual time, or shuts it down, and the world says whether that
//! is true.

mod power;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ananke_core::baseline::{Baseline, BaselineWorkload};
use ananke_core::bootstrap::{BootstrapSpec, Cache, Layer};
use ananke_core::engine::walk::Walk;
use ananke_core::engine::{self, News};
use ananke_core::name::{HostPath, Moment, NodeName};
use ananke_core::port::Clock;
use ananke_core::power::{PowerSpec, UpsSpec};
use ananke_core::remedy::Action;
use ananke_core::report::{GateReport, Outcome, Report};
use ananke_core::spec::{
    Distribution, DrainSpec, FluxSpec, HostNeeds, IngressSpec, NodeRole, NodeSpec, ProbeMethod, Role, ServiceCheck, ShutdownMode,
    ShutdownSpec, Spec, SshTarget, StorageSpec, TimeSync, Transport, VaultSpec,
};
pub use power::PowerStory;
use serde::Serialize;

use crate::check::Record;
use crate::executor::{Sim, Stalled};
use crate::ports::{MemoryState, SimPorts};
use crate::scenario::{Exercise, Scenario};
use crate::world::{LONGHORN_DISK, Ms, World, parsed};

/// A start-up that takes longer than this in virtual time has hung: the gates' deadlines add up to less.
const LIMIT: Ms = 4 * 3_600_000;
/// Everything has held for so long at the end.
pub(crate) const SOAK: Duration = Duration::from_secs(60);

/// What `drill` prints, and `-o json` writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drill {
    pub scenario: String,
    pub seed: u64,
    pub nodes: usize,
    pub outcome: Ending,
    /// From mains to everything that can be had, the soak left out; virtual seconds.
    pub recovery_seconds: u64,
    pub summary: String,
    pub gates: Vec<GateReport>,
    /// What happened, in order; one line each.
    pub story: Vec<String>,
    pub report: Report,
    /// Where Ananke's word and the world's truth differ: each is a defect.
    pub violations: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    Recovered,
    Manual,
    Failed,
}

/// Runs one drill. The same scenario and seed give the same bytes.
///
/// # Errors
/// If the engine stalls: a defect.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Drill, Stalled> {
    run_with(scenario, seed, |_| {})
}

/// The same, with other expectations than the operator of that world would have.
///
/// # Errors
/// As [`run`].
pub fn run_with(scenario: &Scenario, seed: u64, change: impl FnOnce(&mut Spec)) -> Result<Drill, Stalled> {
    if let Exercise::Power(story) = scenario.exercise {
        return power::run(story, scenario, seed);
    }
    let sim = Sim::new(World::new(scenario, seed));
    let mut spec = spec(&sim.world());
    if scenario.exercise == Exercise::PowerOff {
        spec.shutdown.mode = ShutdownMode::Poweroff;
    }
    change(&mut spec);
    let (soak, nodes) = (spec.soak, spec.nodes.len());
    let (ports, state, clock) = (SimPorts::new(&sim), MemoryState::default(), sim.clock());
    let started = clock.now();
    state.kept().baseline = Some(baseline(&sim.world()));
    let mut story = Story { lines: opening(&sim.world()), group: None };
    let report = {
        let mut observer = |walk: &Walk, now: Moment, news: &News<'_>| story.tell(walk, now, news);
        let reads = ports.reads(&clock, &state);
        let hands = ports.hands(&state);
        let walk = match scenario.exercise {
            Exercise::Shutdown | Exercise::PowerOff => engine::shutdown(spec, started, "drill", None, None),
            Exercise::Startup | Exercise::Power(_) => engine::startup(engine::startup_plan(), spec, started, None, None),
        };
        let never = Box::pin(std::future::pending());
        sim.run(engine::execute(walk, reads, hands, never, &mut observer), LIMIT)?.0
    };
    story.close();
    let violations = match scenario.exercise {
        Exercise::Shutdown | Exercise::PowerOff => still_up(&sim.world(), &report),
        Exercise::Startup | Exercise::Power(_) => violations(&sim.world(), &report),
    };
    Ok(told(scenario, seed, (nodes, soak), story.lines, (report, violations)))
}

fn told(
    scenario: &Scenario,
    seed: u64,
    (nodes, soak): (usize, Duration),
    story: Vec<String>,
    (report, violations): (Report, Vec<String>),
) -> Drill {
    let outcome = match (violations.is_empty(), report.outcome) {
        (true, Outcome::Done) => Ending::Recovered,
        (true, Outcome::Manual) => Ending::Manual,
        (true | false, _) => Ending::Failed,
    };
    Drill {
        scenario: scenario.name.clone(),
        seed,
        nodes,
        outcome,
        recovery_seconds: report.took.saturating_sub(soak).as_secs(),
        summary: report.summary.clone(),
        gates: report.gates.clone(),
        story,
        report,
        violations,
    }
}

/// A shutdown has succeeded only if nothing of the cluster can write any more, and nothing of Ananke is left on it.
fn still_up(world: &World, report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let asked = report.outcome == Outcome::Manual && world.went_by_itself();
    if report.outcome != Outcome::Done && !asked {
        found.push(format!("ended as {:?}: {}", report.outcome, report.summary));
    }
    let hosts = world.hosts().iter().enumerate().filter(|(row, _)| world.writes(*row));
    found.extend(hosts.map(|(_, host)| format!("reported done, but something of the cluster runs on {}", host.name)));
    found.extend(report.cordons.iter().map(|node| format!("a cordon of Ananke is left on {node}")));
    found
}

/// Every rule, held against how the run ended.
fn violations(world: &World, report: &Report) -> Vec<String> {
    Record::of_end(world, report).violations().into_iter().map(|violation| violation.text).collect()
}

/// What the daemon recorded while all was well, the day before.
pub fn baseline(world: &World) -> Baseline {
    let workload = |of: &crate::world::Workload| BaselineWorkload {
        object: of.object.clone(),
        desired: if of.is_daemon() { of.status.desired } else { of.replicas.max(of.forgotten) },
        healthy: true,
    };
    let day = Duration::from_secs(24 * 3600);
    Baseline::new(world.wall(world.now()).minus(day), world.workloads().iter().map(workload).collect())
}

/// Each rack has its UPS.
fn upses(world: &World) -> PowerSpec {
    let feeds = |row| world.hosts().iter().filter(move |host| host.ups == row).map(|host| host.name.clone()).collect();
    let ups =
        |(row, ups): (usize, &crate::world::Ups)| UpsSpec { name: format!("{}@titan-db", ups.name).into(), feeds: feeds(row) };
    PowerSpec { upses: world.upses().iter().enumerate().map(ups).collect(), ..PowerSpec::default() }
}

/// Expectations that fit the world, as its operator would have written them.
pub fn spec(world: &World) -> Spec {
    let node = |host: &crate::world::Host| NodeSpec {
        role: if host.server { NodeRole::Server } else { NodeRole::Worker },
        unit: host.unit.clone(),
        target: Some(SshTarget { host: format!("{}.lan", host.name), port: 22, user: "ananke".to_owned() }),
        transport: Transport::Ssh,
        wake: Some(host.mac.clone()),
        location: String::new(),
        needs: HostNeeds { mounts: vec![parsed(HostPath::parse, LONGHORN_DISK)], ..HostNeeds::default() },
    };
    let nodes: BTreeMap<NodeName, NodeSpec> = world.hosts().iter().map(|host| (host.name.clone(), node(host))).collect();
    Spec {
        holder: "titan-db".to_owned(),
        role: Role::Coordinator,
        distribution: Distribution::K3s,
        nodes,
        ignored: Vec::new(),
        power: upses(world),
        minimum_charge_percent: 30,
        allow_on_battery: false,
        guard_wait: Duration::from_secs(600),
        intent_max_age: Duration::from_secs(6 * 3600),
        flux: FluxSpec {
            source: world.source().meta.object.clone(),
            expected_url: Some(world.source().url.clone()),
            expected_branch: Some("main".into()),
            force_branch: None,
            required: Vec::new(),
        },
        required_namespaces: Vec::new(),
        required_workloads: Vec::new(),
        ingress: IngressSpec {
            include: Vec::new(),
            exclude: Vec::new(),
            accepted_statuses: vec![200, 301, 302, 401, 403],
            accepted_by_host: BTreeMap::new(),
            scheme: None,
        },
        services: checklist().into_iter().filter(|check| is_served(world, &check.url)).collect(),
        unit_grace: Duration::from_secs(60),
        soak: SOAK,
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
        vault: is_served(world, VAULT).then(|| VaultSpec { address: VAULT.into(), can_unseal: true }),
        foundation: Vec::new(),
        bootstrap: bootstrap(world),
        critical_services: Vec::new(),
        remedies: BTreeMap::new(),
        shutdown: ShutdownSpec { mode: ShutdownMode::ClusterOnly, etcd_snapshot: true, within: None, concurrency: 16 },
    }
}

/// Layers as they were kept while all was well, and a mirror of Git.
fn bootstrap(world: &World) -> BootstrapSpec {
    let layers: Vec<Layer> = world.layers(world.wall(world.now()).minus(Duration::from_secs(24 * 3600)));
    BootstrapSpec {
        layers: layers.iter().map(|layer| layer.kustomization.clone()).collect(),
        archives: world.archives().to_vec(),
        cache: Arc::new(Cache { layers }),
        ..BootstrapSpec::default()
    }
}

const VAULT: &str = "http://vault.titan.example";

/// A recorded cluster has other sites than the home lab.
fn is_served(world: &World, url: &str) -> bool {
    let host = url.split('/').nth(2).unwrap_or_default();
    world.ingresses().iter().any(|ingress| &*ingress.host == host)
}

/// A registry that challenges strangers, a login's own document, and a site that sends strangers to the login: all healthy.
fn checklist() -> Vec<ServiceCheck> {
    let check = |name: &str, url: &str, status| ServiceCheck {
        name: name.to_owned(),
        url: url.into(),
        method: ProbeMethod::Get,
        accepted_statuses: vec![status],
        redirect: None,
        headers: BTreeMap::new(),
        body: Vec::new(),
    };
    let mut registry = check("harbor", "http://harbor.titan.example/v2/", 401);
    registry.headers.insert("www-authenticate".into(), "Bearer realm=".to_owned());
    let mut login = check("login", "http://sso.titan.example/realms/titan/.well-known/openid-configuration", 200);
    login.body.push("\"issuer\":\"http://sso.titan.example/realms/titan\"".to_owned());
    let mut storage = check("longhorn", "http://longhorn.titan.example/", 302);
    storage.redirect = Some("http://sso.titan.example/realms/titan/".to_owned());
    vec![registry, login, storage]
}

fn opening(world: &World) -> Vec<String> {
    let servers = world.hosts().iter().filter(|host| host.server).count();
    let workers = world.hosts().len().saturating_sub(servers);
    let charge: Vec<String> = world.upses().iter().map(|ups| format!("{} {} %", ups.name, world.charge(ups) / 10)).collect();
    vec![format!(
        "{servers} servers, {workers} workers, {} workloads, {} Kustomizations, {} ingress hosts; UPS {}",
        world.workloads().len(),
        world.kustomizations().len(),
        world.ingresses().len(),
        charge.join(", ")
    )]
}

/// The story as it grows: gates as they move, actions as they are sent, failures as they come. Actions of one kind in one
/// second are one line.
struct Story {
    lines: Vec<String>,
    group: Option<Group>,
}

struct Group {
    at: u64,
    verb: &'static str,
    text: String,
    why: String,
    others: Vec<String>,
}

impl Story {
    fn tell(&mut self, walk: &Walk, now: Moment, news: &News<'_>) {
        let at = now.since(walk.started).as_secs();
        match news {
            News::Tick | News::Acted { error: None, .. } => {}
            News::Gate(change) => {
                self.close();
                self.lines.push(format!("{}  {:<15} {:<8} {}", stamp(at), change.gate, status_word(change.status), change.text));
            }
            News::Acting(action) => self.act(at, action),
            News::Acted { order, error: Some(error) } => {
                self.close();
                self.lines.push(format!("{}  {:<15} {order}: {error}", stamp(at), "  failed"));
            }
        }
    }

    fn act(&mut self, at: u64, action: &Action) {
        let verb = action.order.verb();
        match &mut self.group {
            Some(group) if group.at == at && group.verb == verb => group.others.push(action.order.subject().to_string()),
            Some(_) | None => {
                self.close();
                let (text, why) = (action.order.to_string(), action.why.clone());
                self.group = Some(Group { at, verb, text, why, others: Vec::new() });
            }
        }
    }

    fn close(&mut self) {
        let Some(group) = self.group.take() else { return };
        let more = match group.others.as_slice() {
            [] => String::new(),
            [one] => format!(" and {one}"),
            many => format!(" and {} more", many.len()),
        };
        self.lines.push(format!("{}    {}{more}: {}", stamp(group.at), group.text, group.why));
    }
}

fn stamp(at: u64) -> String {
    format!("{:>3}:{:02}", at / 60, at % 60)
}

/// A status as operators read it.
pub fn status_word(status: ananke_core::report::GateStatus) -> &'static str {
    use ananke_core::report::GateStatus as S;
    match status {
        S::Pending => "pending",
        S::Holding => "waits",
        S::Unknown => "unknown",
        S::Passed => "passed",
        S::Manual => "person",
        S::NotApplicable => "n/a",
        S::CutShort => "cut",
        S::Failed => "FAILED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    #[test]
    fn a_power_loss_is_recovered_and_the_world_agrees() {
        let drill = run(&Scenario::default(), 1).unwrap();
        assert_eq!(drill.violations, Vec::<String>::new(), "{}", drill.story.join("\n"));
        assert_eq!(drill.outcome, Ending::Recovered);
    }

    #[test]
    fn a_dead_box_is_one_instruction_wherever_it_stands() {
        for (seed, node) in [(3, "titan-30"), (11, "titan-02"), (12, "titan-17"), (13, "titan-09")] {
            let scenario = Scenario::default().with_fault(Fault::NeverBoots, Some(NodeName::parse(node).unwrap()));
            let drill = run(&scenario, seed).unwrap();
            assert_eq!(drill.violations, Vec::<String>::new());
            let subjects: Vec<String> = drill.report.manual.iter().map(|action| action.subject.to_string()).collect();
            assert_eq!(subjects, [node], "seed {seed}");
        }
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let (a, b) = (run(&Scenario::default(), 7).unwrap(), run(&Scenario::default(), 7).unwrap());
        assert_eq!(a, b);
        assert_ne!(a.story, run(&Scenario::default(), 8).unwrap().story);
    }

    #[test]
    fn a_sick_host_is_one_instruction_for_what_is_wrong_with_it_even_if_it_is_a_server() {
        for (fault, node, words) in [
            (Fault::RootReadOnly, "titan-02", "reboot titan-02 once"),
            (Fault::RootReadOnly, "titan-30", "replace the disk of titan-30"),
            (Fault::DiskFull, "titan-30", "k3s crictl rmi --prune"),
            (Fault::MountMissing, "titan-30", "mount /var/lib/longhorn"),
            (Fault::ClockSkew, "titan-02", "on titan-02: look at `timedatectl`"),
        ] {
            let scenario = Scenario::default().with_fault(fault, Some(NodeName::parse(node).unwrap()));
            let drill = run(&scenario, 5).unwrap();
            assert_eq!(drill.violations, Vec::<String>::new(), "{fault}: {}", drill.story.join("\n"));
            let told: Vec<(String, &String)> =
                drill.report.manual.iter().map(|action| (action.subject.to_string(), &action.instruction)).collect();
            assert!(matches!(told.as_slice(), [(one, text)] if one == node && text.contains(words)), "{fault}: {told:?}");
        }
    }

    #[test]
    fn each_fault_ends_as_it_should() {
        for (fault, ending) in [
            (Fault::NeverBoots, Ending::Manual),
            (Fault::Unplugged, Ending::Manual),
            (Fault::SshKeyChanged, Ending::Manual),
            (Fault::SshdDown, Ending::Manual),
            (Fault::SshStalls, Ending::Manual),
            (Fault::SshCuts, Ending::Manual),
            (Fault::NodeNeverReady, Ending::Manual),
            (Fault::RootReadOnly, Ending::Manual),
            (Fault::DiskFull, Ending::Manual),
            (Fault::MountMissing, Ending::Manual),
            (Fault::ClockSkew, Ending::Manual),
            (Fault::WrongBranch, Ending::Manual),
            (Fault::WorkloadCrashloop, Ending::Manual),
            (Fault::StaysOff, Ending::Recovered),
            (Fault::SlowBoot, Ending::Recovered),
            (Fault::SshNoisy, Ending::Recovered),
            (Fault::SudoPassword, Ending::Recovered),
            (Fault::UnitDisabled, Ending::Recovered),
            (Fault::RootReadOnlyOnce, Ending::Recovered),
            (Fault::Api500, Ending::Recovered),
            (Fault::ApiRefused, Ending::Recovered),
            (Fault::StoreHang, Ending::Recovered),
            (Fault::StaleCache, Ending::Recovered),
            (Fault::ApiCloses, Ending::Recovered),
            (Fault::ImmutableJob, Ending::Recovered),
            (Fault::ScaledToZero, Ending::Recovered),
            (Fault::VaultSealed, Ending::Recovered),
        ] {
            let drill = run(&Scenario::default().with_fault(fault, None), 3).unwrap();
            let told = drill.story.join("\n");
            assert_eq!((drill.outcome, &drill.violations), (ending, &Vec::new()), "{fault}: {told}");
            let instructions = if ending == Ending::Manual { 1 } else { 0 };
            // What needs the program that crashes is told apart: only a person knows that it does.
            let told_apart = fault == Fault::WorkloadCrashloop;
            assert!(drill.report.manual.len() == instructions || told_apart, "{fault}: {:#?}", drill.report.manual);
        }
    }
}
