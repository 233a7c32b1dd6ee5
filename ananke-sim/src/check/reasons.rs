//! Whoever waits says for what, and whoever is asked for something is told what to do.

use super::{GateReport, GateStatus, Record, What};

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut found = Vec::new();
    for event in &record.events {
        match &event.what {
            What::Gate { gate, status, text } if waits(*status) && text.trim().is_empty() => {
                found.push(format!("gate {gate} waits without a reason"));
            }
            What::Ended(ended) => {
                let report = &ended.report;
                let mute = |gate: &&GateReport| waits(gate.status) && gate.text.trim().is_empty();
                found.extend(
                    report.gates.iter().filter(mute).map(|gate| format!("gate {} is reported without a reason", gate.id)),
                );
                let idle = report.manual.iter().filter(|it| it.instruction.trim().is_empty() || it.found.trim().is_empty());
                found.extend(idle.map(|it| format!("{} needs a person, and nobody is told what to do", it.subject)));
            }
            _ => {}
        }
    }
    found
}

fn waits(status: GateStatus) -> bool {
    match status {
        GateStatus::Holding | GateStatus::Unknown | GateStatus::Manual | GateStatus::Failed => true,
        GateStatus::Pending | GateStatus::Passed | GateStatus::NotApplicable | GateStatus::CutShort => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::testing::{asks, ended, record};
    use super::*;
    use ananke_core::verdict::GateId;

    #[test]
    fn a_hold_has_a_reason() {
        let with = |status, text: &str| {
            let mut record = Record::default();
            record.note(0, What::Gate { gate: GateId::Storage, status, text: text.to_owned() });
            check(&record)
        };
        assert_eq!(with(GateStatus::Holding, " "), ["gate storage waits without a reason"]);
        assert_eq!(with(GateStatus::Holding, "no driver"), Vec::<String>::new());
        assert_eq!(with(GateStatus::Passed, ""), Vec::<String>::new());
    }

    #[test]
    fn a_person_is_told_what_to_do() {
        let mut end = ended(Outcome::Manual);
        asks(&mut end, 3);
        assert_eq!(check(&record(end.clone())), Vec::<String>::new());
        end.report.manual.iter_mut().for_each(|action| action.instruction.clear());
        assert_eq!(check(&record(end)), ["titan-03 needs a person, and nobody is told what to do"]);
    }
}
