//! What takes something away from a node or a pod is not repeated until it helps.

use std::collections::BTreeMap;

use super::Record;
use crate::world::Ms;

const HOUR: Ms = 3_600_000;
/// How often within an hour at one subject, whatever it is for. Conflicts are judged again, so those have more.
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

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut times: BTreeMap<(&str, &str, String), Vec<Ms>> = BTreeMap::new();
    let mut found = Vec::new();
    for (at, sent) in record.sent() {
        let verb = sent.order.verb();
        let Some((_, most)) = MOST.iter().find(|(of, _)| *of == verb) else { continue };
        let times = times.entry((sent.by, verb, sent.order.subject().to_string())).or_default();
        times.retain(|time| at - time < HOUR);
        times.push(at);
        if times.len() == most + 1 {
            found.push(format!("{} was sent {} times within an hour", sent.order, times.len()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{reboot, sent};
    use super::*;

    #[test]
    fn a_third_reboot_is_one_too_many() {
        assert_eq!(check(&sent([reboot(1), reboot(1), reboot(2)])), Vec::<String>::new());
        assert_eq!(check(&sent([reboot(1), reboot(1), reboot(1)])), ["reboot titan-01 was sent 3 times within an hour"]);
    }
}
