//! Nothing is started while mains are away or the batteries are too low for a shutdown after it.

use std::collections::BTreeMap;

use super::{Command, Record, What};
use crate::world::Ms;

/// As the worlds' spec has it.
const MINIMUM_CHARGE: i64 = 30;
/// The charge is waited for no longer than ten minutes, by a clock that somebody may set two minutes ahead meanwhile.
const WAITS: Ms = 480_000;
/// An old reading is believed for 45 seconds, and judged again within five.
const SEEN_WITHIN: Ms = 50_000;

pub(super) fn check(record: &Record) -> Vec<String> {
    let mut began = BTreeMap::new();
    let mut found = Vec::new();
    for event in &record.events {
        match &event.what {
            What::Began { by, command: Command::Startup } => drop(began.insert(*by, event.at)),
            What::Sent(sent) if !sent.order.ends_a_lease() && sent.run.as_str().starts_with("startup") => {
                let age = event.at - began.get(sent.by).copied().unwrap_or(event.at);
                match sent.scene.on_battery {
                    Some(away) if away > SEEN_WITHIN => {
                        found.push(format!("{} was sent while mains were away", sent.order));
                    }
                    None if sent.scene.charge < MINIMUM_CHARGE && age < WAITS => {
                        found.push(format!("{} was sent at a charge of {} %", sent.order, sent.scene.charge));
                    }
                    Some(_) | None => {}
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{reboot, sent, uncordon};
    use super::*;

    #[test]
    fn power_is_there_and_enough_of_it() {
        let with = |on_battery, charge| {
            let mut order = reboot(1);
            (order.scene.on_battery, order.scene.charge) = (on_battery, charge);
            check(&sent([order]))
        };
        assert_eq!(with(None, 30), Vec::<String>::new());
        assert_eq!(with(None, 29), ["reboot titan-01 was sent at a charge of 29 %"]);
        assert_eq!(with(Some(50_000), 100), Vec::<String>::new(), "the reading may be from before");
        assert_eq!(with(Some(50_001), 100), ["reboot titan-01 was sent while mains were away"]);
        let mut ends = uncordon(1);
        ends.scene.on_battery = Some(90_000);
        assert_eq!(check(&sent([ends])), Vec::<String>::new());
    }

    #[test]
    fn a_charge_is_not_waited_for_longer_than_for_anything() {
        let mut order = reboot(1);
        order.scene.charge = 10;
        let mut record = Record::default();
        record.note(0, What::Began { by: order.by, command: Command::Startup });
        // The daemon of the same machine tries to stop the cluster meanwhile.
        record.note(WAITS - 1, What::Began { by: order.by, command: Command::Shutdown });
        record.note(WAITS, What::Sent(Box::new(order)));
        assert_eq!(check(&record), Vec::<String>::new());
    }
}
