//! Jobs that Kustomizations apply. A Job's template cannot be changed: one that differs from Git blocks its Kustomization
//! until somebody deletes the Job, and then it is made anew and runs.

use ananke_core::doctor::{Part, map};
use ananke_core::name::{Kind, ObjectRef, Uid};
use ananke_core::observation::JobEnd;

use super::build::CREATED;
use super::{Event, Refusal, What, World, catalogue};

/// They ran when they were applied for the first time.
pub(super) fn add(world: &mut World) {
    for (namespace, name, owner) in catalogue::JOBS {
        add_job(world, ObjectRef::new(Kind::Job, namespace, name), catalogue::kustomization(owner));
    }
}

/// Those of a recorded cluster that its Kustomizations applied themselves.
pub(super) fn add_recorded(world: &mut World, jobs: &[map::Job]) {
    for of in jobs {
        let by = world.kustomizations.iter().position(|kust| Part::of(&kust.meta.object).as_ref() == Some(&of.applied_by));
        if let Some(kustomization) = by {
            add_job(world, of.object.clone(), kustomization);
        }
    }
}

fn add_job(world: &mut World, object: ObjectRef, kustomization: usize) {
    world.jobs.add(super::Job {
        object,
        uid: world.uid("job", world.jobs.len()),
        rv: world.revision,
        created: CREATED,
        kustomization,
        exists: true,
        ended: Some(JobEnd::Complete),
        ended_at: CREATED + 9_000,
        template: 1,
        wanted: 1,
        seen_after: 0,
        made: 0,
        epoch: 0,
    });
}

impl World {
    /// The Jobs that the API shows.
    pub fn jobs(&self) -> impl Iterator<Item = &super::Job> {
        self.jobs.iter().filter(|job| job.exists)
    }

    /// Deletes a Job and its pods.
    pub fn delete_job(&mut self, job: &ObjectRef, uid: Option<&Uid>) -> Result<(), Refusal> {
        let found = self.jobs.iter().position(|row| row.exists && row.object == *job);
        let row = found.ok_or_else(|| Refusal::Missing(format!("jobs.batch \"{}\"", job.name)))?;
        if let Some(found) = uid.map(|_| &self.jobs[row].uid).filter(|found| Some(*found) != uid) {
            return Err(Refusal::OtherUid { found: found.clone() });
        }
        self.note(|_| format!("{job} deleted"));
        let row_of = &mut self.jobs[row];
        (row_of.exists, row_of.epoch) = (false, row_of.epoch + 1);
        self.touch_job(row, What::Deleted);
        Ok(())
    }

    /// Applies the Kustomization's Jobs. `Err` is the API server's word on one that cannot be changed, or on what a webhook
    /// refuses.
    pub(super) fn apply_jobs(&mut self, kustomization: usize) -> Result<(), String> {
        if let Some(refused) = self.certificate_refused(kustomization) {
            return Err(refused);
        }
        let mine: Vec<usize> = (0..self.jobs.len()).filter(|row| self.jobs[*row].kustomization == kustomization).collect();
        for row in &mine {
            let job = &self.jobs[*row];
            if job.exists && job.template != job.wanted {
                return Err(immutable(&job.object));
            }
        }
        for row in mine {
            if !self.jobs[row].exists {
                self.make_job(row);
            }
        }
        Ok(())
    }

    /// Whether all Jobs of the Kustomization have run to their end.
    pub(super) fn jobs_done(&self, kustomization: usize) -> bool {
        let mut mine = self.jobs.iter().filter(|job| job.kustomization == kustomization);
        mine.all(|job| job.exists && job.ended == Some(JobEnd::Complete))
    }

    fn make_job(&mut self, row: usize) {
        let made = self.jobs[row].made + 1;
        let uid = super::parsed(Uid::parse, &self.rng.uuid("job", row as u64, made));
        let takes = self.draw("job", row, made, 3_000, 12_000);
        let now = self.now;
        let job = &mut self.jobs[row];
        (job.exists, job.made, job.uid, job.template) = (true, made, uid, job.wanted);
        (job.ended, job.created, job.epoch) = (None, now, job.epoch + 1);
        let epoch = job.epoch;
        self.note(|world| format!("{} made", world.jobs[row].object));
        self.touch_job(row, What::Added);
        self.after(takes, Event::JobEnds(row, epoch));
    }

    pub(super) fn job_ends(&mut self, row: usize, epoch: u32) {
        if self.jobs[row].epoch != epoch {
            return;
        }
        let now = self.now;
        (self.jobs[row].ended, self.jobs[row].ended_at) = (Some(JobEnd::Complete), now);
        self.touch_job(row, What::Modified);
        self.kust_hears_of_job(self.jobs[row].kustomization);
    }

    /// Git has another template for the first Job than the one it was made from.
    pub(super) fn change_job_template(&mut self) {
        if let Some(job) = self.jobs.first_mut() {
            job.wanted += 1;
            job.seen_after = self.kustomizations[job.kustomization].runs;
        }
    }

    fn touch_job(&mut self, row: usize, what: What) {
        let object = self.jobs[row].object.clone();
        self.jobs[row].rv = self.touched(what, &object, row);
    }
}

/// As kustomize-controller passes it on, the whole template in the middle.
fn immutable(job: &ObjectRef) -> String {
    let template = format!(
        "{{\"metadata\":{{\"labels\":{{\"batch.kubernetes.io/job-name\":\"{0}\",\"job-name\":\"{0}\"}}}},\"spec\":{{\"containers\":[{{\"name\":\"{0}\",\
         \"image\":\"registry.bstein.dev/{1}/{0}:1\",\"resources\":{{}},\"terminationMessagePath\":\"/dev/termination-log\",\
         \"terminationMessagePolicy\":\"File\",\"imagePullPolicy\":\"IfNotPresent\"}}],\"restartPolicy\":\"OnFailure\",\
         \"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\",\"schedulerName\":\"default-scheduler\"}}}}",
        job.name, job.namespace
    );
    format!(
        "Job/{}/{} dry-run failed (Invalid): Job.batch \"{}\" is invalid: spec.template: Invalid value: {template}: field is immutable\n",
        job.namespace, job.name, job.name
    )
}
