//! Nothing is done that makes things worse, by what the world itself says.

use super::{Record, What};

pub(super) fn check(record: &Record) -> Vec<String> {
    let harm = |what: &What| if let What::Harmed(how) = what { Some(how.clone()) } else { None };
    record.events.iter().filter_map(|event| harm(&event.what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_world_calls_harm_is_told() {
        let mut record = Record::default();
        record.note(0, What::Harmed("web-1 was forced away while its containers run".to_owned()));
        assert_eq!(check(&record), ["web-1 was forced away while its containers run"]);
    }
}
