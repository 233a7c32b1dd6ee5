//! A shutdown pre-empts: a start-up of the same machine yields to it soon. One that reports success has left nothing of the
//! cluster that can write, and no cordon but one whose mark asks for a person.

use std::collections::BTreeMap;

use ananke_core::report::Command;

use super::{Ended, Outcome, Record, What};
use crate::world::Ms;

/// A start-up reads the intent before each order.
const YIELDS_WITHIN: Ms = 1_000;

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut since: BTreeMap<&str, Ms> = BTreeMap::new();
    let mut found: Vec<String> = record.all_ends().flat_map(left).collect();
    for event in &record.events {
        match &event.what {
            What::Sent(sent) if sent.run.as_str().starts_with("shutdown") => {
                since.entry(sent.by).or_insert(event.at);
            }
            What::Sent(sent) if sent.run.as_str().starts_with("startup") && !sent.order.ends_a_lease() => {
                let away = since.get(sent.by).map(|from| event.at - from);
                if away.is_some_and(|away| away > YIELDS_WITHIN) {
                    found.push(format!("{} was sent by a start-up while a shutdown was under way", sent.order));
                }
            }
            What::Died { by } => drop(since.remove(by)),
            What::Ended(ended) if ended.report.command == Command::Shutdown => drop(since.remove(ended.by)),
            _ => {}
        }
    }
    found
}

fn left(ended: &Ended) -> Vec<String> {
    let Ended { report, truth, .. } = ended;
    if !ended.quiet || report.command != Command::Shutdown || report.outcome != Outcome::Done {
        return Vec::new();
    }
    let writes =
        truth.writing.iter().map(|node| format!("the shutdown reported done, and something of the cluster runs on {node}"));
    let cordons = truth
        .tainted
        .iter()
        .filter(|node| !truth.marked.contains(node) && truth.holders.get(node).is_none_or(|holder| holder == ended.by))
        .map(|node| format!("the shutdown reported done, and its cordon is left on {node}"));
    writes.chain(cordons).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ended, node, reboot, record, sent};
    use super::*;

    #[test]
    fn a_finished_shutdown_leaves_nothing() {
        let mut end = ended(Outcome::Done);
        end.report.command = Command::Shutdown;
        assert_eq!(check(&record(end.clone())), Vec::<String>::new());
        end.truth.writing = vec![node(2)];
        end.truth.tainted = vec![node(3)];
        assert_eq!(
            check(&record(end.clone())),
            [
                "the shutdown reported done, and something of the cluster runs on titan-02",
                "the shutdown reported done, and its cordon is left on titan-03"
            ]
        );
        end.quiet = false;
        assert_eq!(check(&record(end)), Vec::<String>::new(), "a host may have booted since");
    }

    #[test]
    fn a_start_up_yields() {
        let mut stops = reboot(1);
        stops.run = ananke_core::name::RunId::parse("shutdown-1").unwrap();
        let at = |span| {
            let mut record = sent([stops.clone()]);
            record.note(span, What::Sent(Box::new(reboot(2))));
            check(&record)
        };
        assert_eq!(at(YIELDS_WITHIN), Vec::<String>::new());
        assert_eq!(at(YIELDS_WITHIN + 1), ["reboot titan-02 was sent by a start-up while a shutdown was under way"]);
    }
}
