//! What takes something away from a node or a pod is not repeated until it helps. A run that came to its end has spent its
//! budgets; one that died has left them to the next.

use std::collections::BTreeMap;

use super::{Record, What};
use crate::world::Ms;

const HOUR: Ms = 3_600_000;
/// How often within an hour at one subject, whatever it is for. Conflicts are judged again, so those have more; a host that was
/// dark meanwhile has begun another life.
const MOST: &[(&str, usize)] = &[
    ("restart-unit", 1),
    ("reboot", 2),
    ("cordon", 10),
    ("delete-job", 3),
    ("delete-pod", 3),
    ("force-delete-pod", 3),
    ("scale", 4),
    ("reset-release", 2),
    ("force-release", 2),
];

/// One lease an hour, whoever asks.
const OF_LEASES: &str = "restart-unit";

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut times: BTreeMap<(&str, &str, String), Vec<Ms>> = BTreeMap::new();
    let mut found = Vec::new();
    for event in &record.events {
        let (at, sent) = match &event.what {
            What::Sent(sent) => (event.at, sent),
            What::Ended(ended) => {
                times.retain(|(by, verb, _), _| *by != ended.by || *verb == OF_LEASES);
                continue;
            }
            _ => continue,
        };
        let verb = sent.order.verb();
        let Some((_, most)) = MOST.iter().find(|(of, _)| *of == verb) else { continue };
        let times = times.entry((sent.by, verb, sent.order.subject().to_string())).or_default();
        // The hour of a lease begins with its cordon, which goes out some seconds before.
        let hour = if verb == OF_LEASES { HOUR - 60_000 } else { HOUR };
        times.retain(|time| at - time < hour);
        times.push(at);
        if times.len() == most + 1 {
            found.push(format!("{} was sent {} times within an hour", sent.order, times.len()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::testing::{ended, reboot, sent};
    use super::*;

    #[test]
    fn a_third_reboot_is_one_too_many() {
        assert_eq!(check(&sent([reboot(1), reboot(1), reboot(2)])), Vec::<String>::new());
        assert_eq!(check(&sent([reboot(1), reboot(1), reboot(1)])), ["reboot titan-01 was sent 3 times within an hour"]);
    }

    #[test]
    fn the_next_run_has_budgets_of_its_own() {
        let mut record = sent([reboot(1), reboot(1)]);
        record.note(0, What::Ended(Box::new(ended(Outcome::Manual))));
        record.events.extend(sent([reboot(1)]).events);
        assert_eq!(check(&record), Vec::<String>::new());
    }
}
