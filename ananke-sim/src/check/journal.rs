//! No order leaves without its own line in the journal, save one that ends a lease while nothing can be written.

use std::collections::BTreeSet;

use super::Record;

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut used = BTreeSet::new();
    let mut found = Vec::new();
    for (_, sent) in record.sent() {
        let excused = sent.scene.disk_full && sent.order.ends_a_lease();
        if !sent.scene.journaled && !excused {
            found.push(format!("{} was sent without its line in the journal", sent.order));
        }
        if !used.insert((sent.by, &sent.run, sent.seq)) {
            found.push(format!("{} was sent under the number of another order", sent.order));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{reboot, sent, uncordon};
    use super::*;

    #[test]
    fn an_order_has_its_own_line() {
        assert_eq!(check(&sent([reboot(1), reboot(2)])), Vec::<String>::new());
        let mut missing = reboot(1);
        missing.scene.journaled = false;
        assert_eq!(check(&sent([missing.clone()])), ["reboot titan-01 was sent without its line in the journal"]);
        missing.scene.disk_full = true;
        assert_eq!(check(&sent([missing])).len(), 1, "a full disk stops what is new");
        let mut ends = uncordon(1);
        (ends.scene.journaled, ends.scene.disk_full) = (false, true);
        assert_eq!(check(&sent([ends])), Vec::<String>::new());
        let mut twice = reboot(2);
        twice.seq = reboot(1).seq;
        assert_eq!(check(&sent([reboot(1), twice])), ["reboot titan-02 was sent under the number of another order"]);
    }
}
