//! HelmReleases that do not get ready by themselves: helm-controller says why, and tries again only when it is told to.

use ananke_core::observation::Tri;
use ananke_core::order::Push;

use super::flux::FluxRow;
use super::{Release, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReleaseTrouble {
    /// Its tries were used up: another one succeeds once what it installs can run.
    UsedUp,
    /// Helm's own record says that an action is going on, for good.
    Locked,
    /// It was never installed: what fails again is uninstalled.
    NeverInstalled,
}

impl ReleaseTrouble {
    pub(crate) fn needs_person(self) -> bool {
        self != Self::UsedUp
    }

    /// Reason and message of its Ready condition.
    fn words(self, release: &Release) -> (&'static str, String) {
        let what = format!("{} with chart {}@1.4.2", super::flux::name_of(&release.meta), release.chart);
        match self {
            Self::UsedUp => ("UpgradeFailed", format!("Helm upgrade failed for release {what}: context deadline exceeded")),
            Self::Locked => (
                "UpgradeFailed",
                format!("Helm upgrade failed for release {what}: another operation (install/upgrade/rollback) is in progress"),
            ),
            Self::NeverInstalled => {
                ("InstallFailed", format!("Helm install failed for release {what}: context deadline exceeded"))
            }
        }
    }

    /// Reason and message of its Stalled condition.
    fn stalled(self) -> (&'static str, &'static str) {
        match self {
            Self::UsedUp | Self::Locked => ("RetriesExceeded", "Failed to upgrade after 1 attempt(s)"),
            Self::NeverInstalled => ("RetriesExceeded", "Failed to install after 1 attempt(s)"),
        }
    }
}

impl World {
    pub(super) fn release_trouble(&mut self, row: usize, trouble: ReleaseTrouble) -> Result<(), String> {
        let release = self.releases.get(row).ok_or("there is no HelmRelease in this world")?;
        let (reason, message) = trouble.words(release);
        self.troubles.releases.insert(row, trouble);
        self.flux_status(FluxRow::Release(row), Tri::False, reason, &message);
        Ok(())
    }

    pub(crate) fn trouble_of_release(&self, row: usize) -> Option<ReleaseTrouble> {
        self.troubles.releases.get(&row).copied()
    }

    /// Reason and message of the release's Stalled condition.
    pub fn stalled(&self, release: &Release) -> Option<(&'static str, &'static str)> {
        let row = self.releases.iter().position(|other| other.meta.object == release.meta.object)?;
        self.trouble_of_release(row).map(ReleaseTrouble::stalled)
    }

    /// How the release comes out of a look at it, if not well. A request alone changes nothing: it must ask for the failures
    /// to be forgotten, or for force.
    pub(super) fn release_fails(&mut self, row: usize) -> Option<(&'static str, String)> {
        let trouble = self.trouble_of_release(row)?;
        let release = &self.releases[row];
        let asked = |push: Push| {
            let value = push.annotation().and_then(|key| release.meta.annotations.get(key));
            value.is_some() && value == release.token.as_ref()
        };
        let runs = |workload: &usize| self.workloads[*workload].converged() && self.serves(*workload);
        let tried = asked(Push::Reset) || asked(Push::Force);
        // In some worlds what is in the cluster differs from what Helm wants by nothing, and only force makes it try.
        let unmoved = self.draw("release-force", row, 0, 0, 3) == 0;
        let tried_enough = if unmoved { asked(Push::Force) } else { tried };
        if trouble == ReleaseTrouble::UsedUp
            && tried_enough
            && self.kustomizations[release.kustomization].workloads.iter().all(runs)
        {
            self.troubles.releases.remove(&row);
            return None;
        }
        let words = trouble.words(release);
        if tried && trouble.needs_person() {
            let release = super::flux::name_of(&release.meta);
            self.harmed(format!("HelmRelease {release} was made to try again, which is for a person to decide"));
        }
        Some(words)
    }
}
