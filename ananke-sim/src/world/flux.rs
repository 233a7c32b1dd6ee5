//! Flux: one Git source served by the cluster itself, and Kustomizations that wait for each other.
//!
//! What stands in the status may be from before the outage; what was really fetched and applied is kept beside it.

use std::sync::Arc;

use ananke_core::observation::Tri;
use ananke_core::order::REQUESTED_ANNOTATION;

use super::catalogue::{GIT_URL, MIRROR};
use super::{Event, FluxObject, KustStage, Ms, What, World};

const SOURCE_INTERVAL: Ms = 5 * 60_000;
const KUST_INTERVAL: Ms = 10 * 60_000;
/// A dependency or an artifact that is not there is looked for again after this long.
const REQUEUE: Ms = 30_000;
const RETRY_AFTER_FAILURE: Ms = 120_000;
const HEALTH_TIMEOUT: Ms = 300_000;
const FETCH: (Ms, Ms) = (800, 3_500);
const APPLY: (Ms, Ms) = (1_000, 4_000);
/// What is applied is first looked at after this long.
const CHECK: Ms = 500;
pub(crate) const RECONCILED: &str = "ReconciliationSucceeded";
/// Nothing is fetched, nor applied, more quickly.
pub(crate) const LEAST_FETCH: Ms = FETCH.0;
pub(crate) const LEAST_APPLY: Ms = APPLY.0 + CHECK;
/// Fetches that fail are repeated ever more slowly, up to this.
const LONGEST_BACKOFF: Ms = 15 * 60_000;

/// A Flux object of this world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FluxRow {
    Source,
    Kustomization(usize),
    Release(usize),
}

impl World {
    pub(super) fn flux_part_up(&mut self, workload: usize) {
        if workload == self.known.source_controller {
            self.source.failures = 0;
            self.kick_source(2_500);
        } else if workload == self.known.kustomize_controller {
            for row in 0..self.kustomizations.len() {
                let span = self.draw("kust-start", row, self.kustomizations[row].runs, 1_500, 5_000);
                self.kick_kust(row, span);
            }
        } else if workload == self.known.helm_controller {
            self.helm_up();
        }
    }

    pub(super) fn flux_part_down(&mut self, workload: usize) {
        if workload == self.known.source_controller {
            self.source.epoch += 1;
        } else if workload == self.known.kustomize_controller {
            for kust in self.kustomizations.iter_mut() {
                (kust.epoch, kust.stage, kust.again) = (kust.epoch + 1, KustStage::Idle, false);
            }
        } else if workload == self.known.helm_controller {
            self.helm_down();
        }
    }

    /// Its spec or its annotations changed: the controller looks, if it is there.
    pub(super) fn flux_changed(&mut self, row: FluxRow) {
        match row {
            FluxRow::Source => self.kick_source(400),
            FluxRow::Kustomization(row) => self.kick_kust(row, 400),
            FluxRow::Release(row) => self.kick_release(row, 400),
        }
    }

    fn kick_source(&mut self, span: Ms) {
        if self.serves(self.known.source_controller) {
            self.source.epoch += 1;
            self.after(span, Event::SourceRun(self.source.epoch));
        }
    }

    pub(super) fn source_run(&mut self, epoch: u32) {
        if self.source.epoch != epoch || self.source.meta.suspended {
            return;
        }
        let takes = self.draw("fetch", 0, u64::from(epoch), FETCH.0, FETCH.1);
        self.after(takes, Event::SourceFetched(epoch));
    }

    pub(super) fn source_fetched(&mut self, epoch: u32) {
        if self.source.epoch != epoch || self.source.meta.suspended {
            return;
        }
        if !self.control.api {
            self.after(10_000, Event::SourceRun(epoch));
            return;
        }
        let commit = match self.fetch() {
            Ok(commit) => commit,
            Err(message) => {
                self.source.failures += 1;
                let wait = (1_000_i64 << self.source.failures.min(10)).min(LONGEST_BACKOFF);
                self.flux_status(FluxRow::Source, Tri::False, "GitOperationFailed", &message);
                self.after(wait, Event::SourceRun(epoch));
                return;
            }
        };
        self.source.failures = 0;
        let revision: Arc<str> = format!("{}@sha1:{commit}", self.source.branch).into();
        let moved = self.source.revision.as_ref() != Some(&revision);
        if moved || !self.source.stored {
            (self.source.stored, self.source.artifact_updated) = (true, Some(self.now));
            self.source.revision = Some(revision.clone());
            self.note(|_| format!("source fetched: {revision}"));
            self.touch_flux(FluxRow::Source);
        }
        self.source.fresh = true;
        self.source.meta.observed_generation = self.source.meta.generation;
        let message = format!("stored artifact for revision '{revision}'");
        self.flux_status(FluxRow::Source, Tri::True, "Succeeded", &message);
        if moved {
            for row in 0..self.kustomizations.len() {
                self.kick_kust(row, 300);
            }
        }
        self.after(SOURCE_INTERVAL, Event::SourceRun(epoch));
    }

    fn fetch(&self) -> Result<Arc<str>, String> {
        if let Some(refused) = self.source_refused() {
            return Err(refused);
        }
        let url = &self.source.url;
        if !self.serves(self.known.dns) {
            return Err(format!(
                "failed to checkout and determine revision: unable to list remote for '{url}': dial tcp: lookup scm.titan.example on 10.43.0.10:53: connect: connection refused"
            ));
        }
        let inside = self.known.git != super::ELSEWHERE && **url != *MIRROR;
        if inside && !(self.serves(self.known.ingress) && self.serves(self.known.git)) {
            return Err(format!(
                "failed to checkout and determine revision: unable to list remote for '{url}': dial tcp 192.168.22.9:443: connect: connection refused"
            ));
        }
        self.branches.get(&self.source.branch).cloned().ok_or_else(|| {
            format!("failed to checkout and determine revision: couldn't find remote ref \"refs/heads/{}\"", self.source.branch)
        })
    }

    /// The first Kustomization applies the source itself, as Git has it.
    fn apply_source(&mut self) {
        if *self.source.url != *MIRROR {
            return;
        }
        self.source.url = GIT_URL.into();
        self.source.meta.generation += 1;
        self.touch_flux(FluxRow::Source);
        self.flux_changed(FluxRow::Source);
    }

    /// Nothing was fetched since Git is gone.
    pub(super) fn lose_source(&mut self) {
        self.source.stored = false;
        let message = format!("failed to checkout and determine revision: unable to list remote for '{GIT_URL}'");
        (self.source.meta.ready, self.source.meta.reason) = (Tri::False, "GitOperationFailed");
        self.source.meta.message = message.into();
    }

    fn kick_kust(&mut self, row: usize, span: Ms) {
        if !self.serves(self.known.kustomize_controller) {
            return;
        }
        let kust = &mut self.kustomizations[row];
        if kust.stage == KustStage::Idle {
            kust.epoch += 1;
            let epoch = kust.epoch;
            self.after(span, Event::KustRun(row, epoch));
        } else {
            kust.again = true;
        }
    }

    pub(super) fn kust_run(&mut self, row: usize, epoch: u32) {
        let kust = &self.kustomizations[row];
        if kust.epoch != epoch || kust.meta.suspended {
            return;
        }
        if !self.control.api {
            self.after(10_000, Event::KustRun(row, epoch));
            return;
        }
        let token = kust.meta.annotations.get(REQUESTED_ANNOTATION).cloned();
        let missing = kust.depends_on.iter().copied().find(|parent| !self.kust_ready(*parent));
        self.kustomizations[row].token = token;
        // What is stored is applied, whether or not it can be fetched anew.
        if !self.source.stored {
            self.flux_status(
                FluxRow::Kustomization(row),
                Tri::False,
                "ArtifactFailed",
                "Source artifact not found, retrying in 30s",
            );
            self.after(REQUEUE, Event::KustRun(row, epoch));
        } else if let Some(message) = self.artifact_unreached() {
            self.flux_status(FluxRow::Kustomization(row), Tri::False, "ArtifactFailed", &message);
            self.after(REQUEUE, Event::KustRun(row, epoch));
        } else if let Some(parent) = missing {
            let message = format!("dependency '{}' is not ready", name_of(&self.kustomizations[parent].meta));
            self.flux_status(FluxRow::Kustomization(row), Tri::False, "DependencyNotReady", &message);
            self.after(REQUEUE, Event::KustRun(row, epoch));
        } else {
            let kust = &mut self.kustomizations[row];
            (kust.stage, kust.runs) = (KustStage::Applying, kust.runs + 1);
            let runs = kust.runs;
            let takes = self.draw("apply", row, runs, APPLY.0, APPLY.1);
            self.flux_status(FluxRow::Kustomization(row), Tri::Unknown, "Progressing", "Reconciliation in progress");
            self.after(takes, Event::KustApplied(row, epoch));
        }
    }

    /// As kustomize-controller judges a dependency: its status, stale or not, and the revision of the shared source.
    fn kust_ready(&self, row: usize) -> bool {
        let kust = &self.kustomizations[row];
        kust.meta.ready == Tri::True
            && kust.meta.observed_generation == kust.meta.generation
            && kust.applied_revision == self.source.revision
    }

    pub(super) fn kust_applied(&mut self, row: usize, epoch: u32) {
        if self.kustomizations[row].epoch != epoch || self.kustomizations[row].stage != KustStage::Applying {
            return;
        }
        self.apply_missing(row);
        if row == 0 {
            self.apply_source();
        }
        if let Err(message) = self.apply_jobs(row) {
            self.kust_ends(row, Tri::False, "ReconciliationFailed", &message);
            self.kust_rests(row, RETRY_AFTER_FAILURE);
            return;
        }
        self.kustomizations[row].stage = KustStage::Checking;
        self.after(HEALTH_TIMEOUT, Event::KustTimeout(row, epoch));
        self.after(CHECK, Event::KustCheck(row, epoch));
    }

    /// A workload's status changed: the Kustomization that owns it may be waiting for that.
    pub(super) fn kust_hears_of(&mut self, workload: usize) {
        if let Some(row) = self.workloads[workload].kustomization
            && self.kustomizations[row].stage == KustStage::Checking
            && self.workloads[workload].converged()
        {
            let epoch = self.kustomizations[row].epoch;
            self.after(2_000, Event::KustCheck(row, epoch));
        }
    }

    /// The same for a Job that ended, or a release that became ready.
    pub(super) fn kust_hears_of_job(&mut self, row: usize) {
        if self.kustomizations[row].stage == KustStage::Checking {
            let epoch = self.kustomizations[row].epoch;
            self.after(2_000, Event::KustCheck(row, epoch));
        }
    }

    pub(super) fn kust_check(&mut self, row: usize, epoch: u32) {
        let kust = &self.kustomizations[row];
        if kust.epoch != epoch || kust.stage != KustStage::Checking || !self.control.api {
            return;
        }
        let converged = kust.workloads.iter().all(|workload| self.workloads[*workload].converged());
        if converged && self.jobs_done(row) && self.releases_ready(row) {
            let revision = self.source.revision.clone();
            let message = format!("Applied revision: {}", revision.as_deref().unwrap_or_default());
            let now = self.now;
            let kust = &mut self.kustomizations[row];
            (kust.applied_revision, kust.reconciled_at) = (revision, Some(now));
            kust.meta.observed_generation = kust.meta.generation;
            self.kust_ends(row, Tri::True, RECONCILED, &message);
            self.note(|world| format!("{} reconciled", world.kustomizations[row].meta.object));
            self.kust_rests(row, KUST_INTERVAL);
        }
    }

    pub(super) fn kust_timeout(&mut self, row: usize, epoch: u32) {
        let kust = &self.kustomizations[row];
        if kust.epoch != epoch || kust.stage != KustStage::Checking {
            return;
        }
        let failed = kust.workloads.iter().map(|workload| &self.workloads[*workload]).find(|workload| !workload.converged());
        let message = failed.map_or_else(
            || "health check failed after 5m0s: timeout".to_owned(),
            |it| format!("health check failed after 5m0s: timeout waiting for: [{} status: 'InProgress']", it.object),
        );
        self.kust_ends(row, Tri::False, "HealthCheckFailed", &message);
        self.kust_rests(row, RETRY_AFTER_FAILURE);
    }

    fn kust_ends(&mut self, row: usize, ready: Tri, reason: &'static str, message: &str) {
        self.kustomizations[row].ended = reason;
        self.flux_status(FluxRow::Kustomization(row), ready, reason, message);
    }

    fn kust_rests(&mut self, row: usize, span: Ms) {
        let kust = &mut self.kustomizations[row];
        let span = if kust.again { 300 } else { span };
        (kust.stage, kust.again, kust.epoch) = (KustStage::Idle, false, kust.epoch + 1);
        let epoch = kust.epoch;
        self.after(span, Event::KustRun(row, epoch));
    }

    pub(super) fn flux_object(&self, row: FluxRow) -> &FluxObject {
        match row {
            FluxRow::Source => &self.source.meta,
            FluxRow::Kustomization(row) => &self.kustomizations[row].meta,
            FluxRow::Release(row) => &self.releases[row].meta,
        }
    }

    pub(super) fn flux_object_mut(&mut self, row: FluxRow) -> &mut FluxObject {
        match row {
            FluxRow::Source => &mut self.source.meta,
            FluxRow::Kustomization(row) => &mut self.kustomizations[row].meta,
            FluxRow::Release(row) => &mut self.releases[row].meta,
        }
    }

    /// Writes a status at the end of a look; a request that was seen counts as handled whatever came of it.
    pub(super) fn flux_status(&mut self, row: FluxRow, ready: Tri, reason: &'static str, message: &str) {
        let now = self.now;
        let token = match row {
            FluxRow::Source => self.source.meta.annotations.get(REQUESTED_ANNOTATION).cloned(),
            FluxRow::Kustomization(at) => self.kustomizations[at].token.clone(),
            FluxRow::Release(at) => self.releases[at].token.clone(),
        };
        let handled = reason != "Progressing";
        let meta = self.flux_object_mut(row);
        let known = meta.handled_at == token || !handled;
        if meta.ready == ready && meta.reason == reason && &*meta.message == message && known {
            return;
        }
        if meta.ready != ready {
            meta.ready_since = now;
        }
        (meta.ready, meta.reason) = (ready, reason);
        if &*meta.message != message {
            meta.message = message.into();
        }
        if handled {
            meta.handled_at = token;
        }
        self.touch_flux(row);
    }

    pub(super) fn touch_flux(&mut self, row: FluxRow) {
        let object = self.flux_object(row).object.clone();
        let at = match row {
            FluxRow::Source => 0,
            FluxRow::Kustomization(at) | FluxRow::Release(at) => at,
        };
        let rv = self.touched(What::Modified, &object, at);
        self.flux_object_mut(row).rv = rv;
    }

    /// Somebody pointed the source at another branch and went home; before the outage, if that is where the world begins.
    pub(super) fn left_on_branch(&mut self, branch: &str) {
        self.source.branch = branch.into();
        self.source.meta.generation += 1;
        self.touch_flux(FluxRow::Source);
        if self.now > 0 {
            self.flux_changed(FluxRow::Source);
            return;
        }
        let commit = self.branches.get(branch).cloned().unwrap_or_default();
        let revision: Arc<str> = format!("{branch}@sha1:{commit}").into();
        self.source.meta.observed_generation = self.source.meta.generation;
        self.source.revision = Some(revision.clone());
        for kust in self.kustomizations.iter_mut() {
            kust.applied_revision = Some(revision.clone());
        }
    }
}

pub(super) fn name_of(meta: &FluxObject) -> String {
    format!("{}/{}", meta.object.namespace, meta.object.name)
}
