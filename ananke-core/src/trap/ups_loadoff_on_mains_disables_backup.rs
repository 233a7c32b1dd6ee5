//! A UPS whose load was switched off while mains were back stays in bypass, and has no battery behind it any more.

use super::{Case, Class, Diagnosis, Entry, Finding, Often};
use crate::verdict::{GateId, Reason, Trap};

pub(super) const ENTRY: Entry = Entry {
    trap: Trap::UpsLoadoffOnMains,
    class: Class::Person,
    often: Often::Low,
    symptom: "ups.status has BYPASS beside OL after the outage, and keeps it",
    precondition: "none",
    budget: "none",
    effect: "names the UPS and what ends it; its mode is changed by a person. Ananke sends no command to a UPS, so never `load.off` on mains",
    evidence: &["https://github.com/networkupstools/nut/issues/3229", "https://github.com/networkupstools/nut/pull/1198"],
    diagnosis: Some(Diagnosis { gates: &[GateId::HostHealth], find, remake: None }),
};

fn find(case: &Case<'_>) -> Option<Finding> {
    (case.blocker.reason == Reason::UpsBypassed).then(|| Finding::as_told(case))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fact::Fact;
    use crate::name::Subject;
    use crate::observation::UpsReading;
    use crate::power::UpsSpec;
    use crate::trap::testing::{bench, recognised};

    fn named(status: &str) -> Option<Trap> {
        let mut bench = bench();
        let name: Arc<str> = "rack@ananke-01".into();
        bench.spec.power.upses = vec![UpsSpec::feeding_all(name.clone())];
        let status = status.split(' ').map(Into::into).collect();
        let reading = UpsReading { status, charge_percent: Some(100), runtime: None };
        bench.obs.ups.insert(name.clone(), Fact::known(reading, bench.now));
        recognised(&bench, GateId::HostHealth, &Subject::Ups(name))
    }

    #[test]
    fn it_is_a_bypass_on_mains_and_no_test_of_the_ups() {
        assert_eq!(named("OL BYPASS"), Some(ENTRY.trap));
        assert_eq!(named("OL CHRG"), None);
        assert_eq!(named("OL OFF"), None, "some say so for the first seconds of a self-test");
        assert_eq!(named("OB CAL BYPASS"), None, "it measures its battery");
    }
}
