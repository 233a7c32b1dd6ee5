//! A dry run changes nothing: neither the cluster nor what is on disk.

use super::{Record, What};

pub(super) fn check(record: &Record) -> Vec<String> {
    let changed = |what: &What| if let What::DryRun { changed } = what { changed.clone() } else { Vec::new() };
    let changed = record.events.iter().flat_map(|event| changed(&event.what));
    changed.map(|what| format!("a dry run changed {what}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_dry_run_changed_is_told() {
        let mut record = Record::default();
        record.note(0, What::DryRun { changed: Vec::new() });
        assert_eq!(check(&record), Vec::<String>::new());
        record.note(0, What::DryRun { changed: vec!["the intent".to_owned()] });
        assert_eq!(check(&record), ["a dry run changed the intent"]);
    }
}
