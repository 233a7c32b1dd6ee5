//! A snapshot: what `ananke snapshot` saw of a cluster, in a file wherever it is wanted.

use std::path::Path;

use ananke_core::doctor::ClusterMap;
use ananke_core::name::Moment;
use ananke_core::observation::Observation;
use ananke_core::port::{ErrorKind, PortError};
use ananke_core::spec::Spec;
use serde::{Deserialize, Serialize};

use super::file::{self, Content};
use super::{SCHEMA, Versioned};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) taken: Moment,
    pub(crate) map: ClusterMap,
    /// None in files of an ananke that kept the map alone.
    #[serde(default)]
    pub(crate) look: Option<Look>,
}

/// What the gates rest on: a look, and what was expected of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) spec: Spec,
    pub(crate) seen: Observation,
}

/// For its owner only, and whole or not at all.
pub(crate) fn write(path: &Path, snapshot: &Snapshot) -> Result<(), PortError> {
    Ok(file::replace(path, &Versioned { schema: SCHEMA, body: snapshot })?)
}

pub(crate) fn read(path: &Path) -> Result<Snapshot, PortError> {
    let wrong = |why: &str| {
        let error = PortError::new(ErrorKind::Invalid, "read the snapshot", path.display(), why);
        error.with_remedy("take a new one with `ananke snapshot -o FILE`")
    };
    match file::read(path, SCHEMA)? {
        Content::Whole(snapshot) => Ok(snapshot),
        Content::Absent => Err(wrong("there is no such file")),
        Content::Torn(why) => Err(wrong(&why)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot.json");
        let mut map = ClusterMap::default();
        map.unseen.push("list services on titan: forbidden".to_owned());
        write(&path, &Snapshot { taken: Moment::from_millis(0), map: map.clone(), look: None }).unwrap();
        assert_eq!(read(&path).unwrap().map, map);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_no_snapshot_is_refused_with_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot.json");
        let said = || read(&path).unwrap_err().found;
        assert_eq!(said(), "there is no such file");
        fs::write(&path, "{\"schema\":9}").unwrap();
        assert_eq!(said(), format!("its schema is 9, this ananke knows {SCHEMA}"));
        fs::write(&path, "{\"schema\":1,\"map\":{}}").unwrap();
        assert!(said().contains("missing field `taken`"), "{}", said());
    }
}
