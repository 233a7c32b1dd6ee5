//! HelmReleases: helm-controller looks at each, one after its dependencies, and finds it as Git wants it.
//!
//! What a chart installs is not modelled apart from the workloads that stand in the catalogue.

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::observation::Tri;
use ananke_core::order::REQUESTED_ANNOTATION;

use super::build::{DAY, flux_object};
use super::flux::FluxRow;
use super::{Event, Ms, World, catalogue};

const INTERVAL: Ms = 60 * 60_000;
const REQUEUE: Ms = 30_000;

/// They were installed while all was well.
pub(super) fn add(world: &mut World) {
    for (row, (namespace, name, owner, depends_on)) in catalogue::RELEASES.iter().enumerate() {
        let object = ObjectRef::new(Kind::HelmRelease, namespace, name);
        let message = format!("Helm upgrade succeeded for release {namespace}/{name}");
        let mut meta = flux_object(world.rng, object, 1000 + row as u64, &message);
        meta.reason = "UpgradeSucceeded";
        world.releases.add(super::Release {
            meta,
            chart: (*name).into(),
            depends_on: depends_on.to_vec(),
            kustomization: catalogue::kustomization(owner),
            reconciled_at: Some(-DAY / 100),
            at_work: false,
            token: None,
            runs: 0,
            epoch: 0,
        });
    }
}

impl World {
    pub fn releases(&self) -> &[super::Release] {
        &self.releases
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
        if release.epoch != epoch || release.meta.suspended {
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
        let failed = self.release_fails(row);
        let release = &mut self.releases[row];
        release.at_work = false;
        release.meta.observed_generation = release.meta.generation;
        match failed {
            Some((reason, message)) => self.flux_status(FluxRow::Release(row), Tri::False, reason, &message),
            None => {
                release.reconciled_at = Some(now);
                let message = format!("Helm upgrade succeeded for release {}", super::flux::name_of(&release.meta));
                self.flux_status(FluxRow::Release(row), Tri::True, "UpgradeSucceeded", &message);
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
        mine.all(|release| release.meta.ready == Tri::True)
    }
}
