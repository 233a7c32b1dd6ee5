//! HelmReleases: helm-controller looks at each, one after its dependencies, and finds it as Git wants it.
//!
//! What a chart installs is, besides the workloads of the registry's, a ServiceAccount and a ConfigMap of the chart's name:
//! other charts' workloads stand in the catalogue as their Kustomization's own. Helm installs what it has no record of, and
//! adopts what carries its marks. What is deleted of a release that it has a record of stays away, as without drift detection.

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::Tri;
use ananke_core::order::REQUESTED_ANNOTATION;
use serde_json::{Value, json};

use super::build::{DAY, flux_object};
use super::flux::FluxRow;
use super::{Event, Ms, Release, World, catalogue};

const INTERVAL: Ms = 60 * 60_000;
const REQUEUE: Ms = 30_000;

/// They were installed while all was well.
pub(super) fn add(world: &mut World) {
    for (row, (namespace, name, owner, depends_on)) in catalogue::RELEASES.iter().enumerate() {
        let object = ObjectRef::new(Kind::HelmRelease, namespace, name);
        let message = format!("Helm upgrade succeeded for release {namespace}/{name}");
        let mut meta = flux_object(world.rng, object, 1000 + row as u64, &message);
        meta.reason = "UpgradeSucceeded";
        world.releases.add(release(meta, name, owner, depends_on.to_vec()));
    }
}

/// The registry, all of whose workloads its chart installed.
pub(super) fn add_chart(world: &mut World) {
    let (namespace, name, owner) = catalogue::CHART;
    let object = ObjectRef::new(Kind::HelmRelease, namespace, name);
    let mut meta = flux_object(world.rng, object, 1000 + world.releases.len() as u64, &installed_message(namespace, name));
    meta.reason = "InstallSucceeded";
    let mut release = release(meta, name, owner, Vec::new());
    release.installs = world.kustomizations.get(release.kustomization).map(|of| of.workloads.clone()).unwrap_or_default();
    world.releases.add(release);
}

fn release(meta: super::FluxObject, chart: &str, owner: &str, depends_on: Vec<usize>) -> Release {
    Release {
        meta,
        chart: chart.into(),
        depends_on,
        kustomization: catalogue::kustomization(owner),
        installs: Vec::new(),
        installed: true,
        reconciled_at: Some(-DAY / 100),
        at_work: false,
        token: None,
        runs: 0,
        epoch: 0,
    }
}

fn installed_message(namespace: &str, name: &str) -> String {
    format!("Helm install succeeded for release {namespace}/{name}.v1 with chart {name}@1.4.2")
}

impl World {
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// What a release's chart has, of the kinds that layers have.
    pub fn installed_by(&self, release: &Release) -> Vec<ObjectRef> {
        let namespace = &release.meta.object.namespace;
        let beside = [Kind::ServiceAccount, Kind::ConfigMap].map(|kind| ObjectRef::new(kind, namespace, &release.chart));
        release.installs.iter().flat_map(|row| self.parts_of(*row)).chain(beside).collect()
    }

    /// The release whose chart has an object.
    pub fn release_of(&self, object: &ObjectRef) -> Option<&Release> {
        self.releases.iter().find(|release| self.installed_by(release).contains(object))
    }

    pub(super) fn is_of_a_chart(&self, workload: usize) -> bool {
        self.releases.iter().any(|release| release.installs.contains(&workload))
    }

    /// Workloads that a Kustomization applies itself.
    pub fn own_workloads(&self, kust: &super::Kustomization) -> impl Iterator<Item = &super::Workload> {
        let own = kust.workloads.iter().filter(|row| !self.is_of_a_chart(**row));
        own.filter_map(|row| self.workloads.get(*row))
    }

    /// Labels and annotations that Helm and helm-controller put on all that they install.
    pub fn marks(&self, object: &ObjectRef) -> Option<(Value, Value)> {
        let of = &self.release_of(object)?.meta.object;
        let labels = json!({"app.kubernetes.io/managed-by": "Helm", "helm.toolkit.fluxcd.io/name": of.name,
            "helm.toolkit.fluxcd.io/namespace": of.namespace});
        Some((labels, json!({"meta.helm.sh/release-name": of.name, "meta.helm.sh/release-namespace": of.namespace})))
    }

    /// Helm would take it for the release's own.
    pub(super) fn is_marked(&self, object: &ObjectRef, body: &Value) -> bool {
        let Some((_, annotations)) = self.marks(object) else { return true };
        let has = |name: &str, value: &Value| body.pointer("/metadata/annotations").and_then(|it| it.get(name)) == Some(value);
        let labelled = body.pointer("/metadata/labels/app.kubernetes.io~1managed-by") == Some(&json!("Helm"));
        labelled && annotations.as_object().is_some_and(|all| all.iter().all(|(name, value)| has(name, value)))
    }

    /// A release was pruned: Helm has uninstalled all of it, and its record with it.
    pub(super) fn uninstall(&mut self, row: usize) -> Vec<ObjectRef> {
        let release = &self.releases[row];
        let lost = [release.meta.object.clone()].into_iter().chain(self.installed_by(release)).collect();
        self.releases[row].installed = false;
        lost
    }

    /// kustomize-controller applied a release that was not there.
    pub(super) fn release_made(&mut self, row: usize) {
        let meta = &mut self.releases[row].meta;
        (meta.observed_generation, meta.ready, meta.reason) = (0, Tri::Unknown, "Progressing");
        meta.message = "Reconciliation in progress".into();
        self.touch_flux(FluxRow::Release(row));
        self.kick_release(row, 400);
    }

    /// Makes what is absent of a release that Helm has no record of; how that fails, if it does.
    fn helm_installs(&mut self, row: usize) -> Option<(&'static str, String)> {
        if self.releases[row].installed {
            return None;
        }
        let name = super::flux::name_of(&self.releases[row].meta);
        let objects = self.installed_by(&self.releases[row]);
        if let Some(foreign) = objects.iter().find(|object| self.unmarked.contains(object)) {
            let (kind, of) = (foreign.kind, &foreign.name);
            let message = format!(
                "Helm install failed for release {name}: Unable to continue with install: {kind} \"{of}\" in namespace \"{}\" exists and \
                 cannot be imported into the current release: invalid ownership metadata; label validation error: missing key \
                 \"app.kubernetes.io/managed-by\": must be set to \"Helm\"",
                foreign.namespace
            );
            return Some(("InstallFailed", message));
        }
        let absent: Vec<ObjectRef> = objects.iter().filter(|object| !self.has(object)).cloned().collect();
        self.note(|_| format!("Helm installs {name}: adopts {} objects, makes {}", objects.len() - absent.len(), absent.len()));
        absent.iter().for_each(|object| self.make_again(object));
        self.releases[row].installed = true;
        None
    }

    /// Flux's own objects that the Kustomization applies; the first applies the source that all comes from.
    pub fn applied(&self, kust: &super::Kustomization) -> Vec<ObjectRef> {
        let row = self.kustomizations.iter().position(|other| other.meta.object == kust.meta.object);
        let source = (row == Some(0)).then(|| self.source.meta.object.clone());
        let releases = self.releases.iter().filter(|release| Some(release.kustomization) == row);
        source.into_iter().chain(releases.map(|release| release.meta.object.clone())).collect()
    }

    pub(super) fn helm_up(&mut self) {
        for row in 0..self.releases.len() {
            let span = self.draw("helm-start", row, self.releases[row].runs, 1_500, 6_000);
            self.kick_release(row, span);
        }
    }

    pub(super) fn helm_down(&mut self) {
        for release in self.releases.iter_mut() {
            (release.epoch, release.at_work) = (release.epoch + 1, false);
        }
    }

    pub(super) fn kick_release(&mut self, row: usize, span: Ms) {
        let serves = self.serves(self.known.helm_controller);
        let release = &mut self.releases[row];
        if serves && !release.at_work {
            release.epoch += 1;
            let epoch = release.epoch;
            self.after(span, Event::ReleaseRun(row, epoch));
        }
    }

    pub(super) fn release_run(&mut self, row: usize, epoch: u32) {
        let release = &self.releases[row];
        if release.epoch != epoch || release.meta.suspended || !self.has(&release.meta.object) {
            return;
        }
        if !self.control.api {
            self.after(10_000, Event::ReleaseRun(row, epoch));
            return;
        }
        let token = release.meta.annotations.get(REQUESTED_ANNOTATION).cloned();
        let missing = release.depends_on.iter().copied().find(|parent| self.releases[*parent].meta.ready != Tri::True);
        self.releases[row].token = token;
        if let Some(parent) = missing {
            let message = format!("dependency '{}' is not ready", super::flux::name_of(&self.releases[parent].meta));
            self.flux_status(FluxRow::Release(row), Tri::False, "DependencyNotReady", &message);
            self.after(REQUEUE, Event::ReleaseRun(row, epoch));
            return;
        }
        let takes = self.draw("helm", row, self.releases[row].runs, 700, 2_500);
        let release = &mut self.releases[row];
        (release.runs, release.at_work) = (release.runs + 1, true);
        self.after(takes, Event::ReleaseDone(row, epoch));
    }

    pub(super) fn release_done(&mut self, row: usize, epoch: u32) {
        if self.releases[row].epoch != epoch {
            return;
        }
        let now = self.now;
        let is_new = !self.releases[row].installed;
        let failed = self.release_fails(row).or_else(|| self.helm_installs(row));
        let release = &mut self.releases[row];
        release.at_work = false;
        release.meta.observed_generation = release.meta.generation;
        match failed {
            Some((reason, message)) => self.flux_status(FluxRow::Release(row), Tri::False, reason, &message),
            None => {
                release.reconciled_at = Some(now);
                let (reason, message) = if is_new {
                    ("InstallSucceeded", installed_message(&release.meta.object.namespace, &release.meta.object.name))
                } else {
                    let message = format!("Helm upgrade succeeded for release {}", super::flux::name_of(&release.meta));
                    ("UpgradeSucceeded", message)
                };
                self.flux_status(FluxRow::Release(row), Tri::True, reason, &message);
            }
        }
        // A request that came meanwhile is looked at next.
        let asked = self.releases[row].meta.annotations.get(REQUESTED_ANNOTATION) != self.releases[row].token.as_ref();
        self.after(if asked { 300 } else { INTERVAL }, Event::ReleaseRun(row, epoch));
        self.kust_hears_of_job(self.releases[row].kustomization);
    }

    /// Whether the Kustomization's releases say that they are ready.
    pub(super) fn releases_ready(&self, kustomization: usize) -> bool {
        let mut mine = self.releases.iter().filter(|release| release.kustomization == kustomization);
        mine.all(|release| release.meta.ready == Tri::True && self.has(&release.meta.object))
    }
}
