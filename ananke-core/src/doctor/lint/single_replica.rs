//! Volumes that are kept once, though their driver would keep more: with that host, the data is away.

use std::collections::BTreeMap;

use super::super::map::ClusterMap;
use super::super::need::few;
use super::{Finding, Lint};

pub(super) fn look(map: &ClusterMap) -> Vec<Finding> {
    let mut by_class: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for volume in map.volumes.iter().filter(|volume| volume.replicas == Some(1)) {
        let claim = map.claims.iter().find(|claim| claim.volume.as_ref() == Some(&volume.name));
        let name = claim.map_or_else(|| volume.name.to_string(), |of| format!("{}/{}", of.object.namespace, of.object.name));
        by_class.entry(volume.class.as_deref().unwrap_or("no class")).or_default().push(name);
    }
    let finding = |(class, volumes): (&str, Vec<String>)| {
        let what = format!(
            "{} of its volumes {}: {}",
            volumes.len(),
            if volumes.len() == 1 { "has one replica" } else { "have one replica each" },
            few(&volumes)
        );
        let to_do = "set numberOfReplicas to 2 or more, or be sure that a backup of what they hold is elsewhere";
        Finding::new(Lint::SingleReplica, format!("StorageClass {class}"), what, to_do)
    };
    by_class.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{check, lab};
    use super::*;

    #[test]
    fn volumes_that_are_kept_once_are_found_by_class() {
        let mut lab = lab();
        lab.volume(("apps", "data"), Some(2));
        lab.volume(("apps", "local"), None);
        check(&look(&lab.map), &[]);
        lab.volume(("apps", "cache"), Some(1));
        check(&look(&lab.map), &["StorageClass longhorn: 1 of its volumes has one replica: apps/cache"]);
        lab.volume(("media", "films"), Some(1));
        let found = "StorageClass longhorn: 2 of its volumes have one replica each: apps/cache, media/films";
        check(&look(&lab.map), &[found]);
    }
}
