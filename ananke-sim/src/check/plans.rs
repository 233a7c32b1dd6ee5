//! No order leaves to which the auditor of plans objects.

use super::{Record, What};

pub(super) fn check(record: &Record) -> Vec<String> {
    let objected = |what: &What| if let What::Objected(why) = what { Some(why.clone()) } else { None };
    record.events.iter().filter_map(|event| objected(&event.what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objection_is_told() {
        let mut record = Record::default();
        record.note(0, What::Objected("reboot titan-01: the second".to_owned()));
        assert_eq!(check(&record), ["reboot titan-01: the second"]);
    }
}
