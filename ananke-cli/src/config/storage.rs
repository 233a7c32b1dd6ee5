//! What must be usable before the workloads: volumes, the foundation of recovery, and Services.

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::spec::StorageSpec;

use super::reader::Reader;
use super::text;

const DRIVER: &str = "the name of a CSI driver, such as driver.longhorn.io";
const CLAIM: &str = "namespace/name of a PersistentVolumeClaim";
const SERVICE: &str = "namespace/name of a Service";
const WORKLOAD: &str = "Kind namespace/name, where Kind is Deployment, StatefulSet or DaemonSet";

pub(crate) struct Needs {
    pub(crate) storage: StorageSpec,
    pub(crate) foundation: Vec<ObjectRef>,
    pub(crate) critical_services: Vec<ObjectRef>,
}

pub(crate) fn read(reader: &mut Reader<'_>) -> Needs {
    let object = |kind: Kind| move |text: &str| text::object(kind, text);
    let storage = StorageSpec {
        required: reader.flag("startup.require_storage_ready").unwrap_or(true),
        drivers: reader.list("storage.drivers", DRIVER, |text| driver(text).then(|| text.into())),
        claims: reader.list("storage.required_claims", CLAIM, object(Kind::PersistentVolumeClaim)),
    };
    Needs {
        storage,
        foundation: reader.list("startup.foundation_workloads", WORKLOAD, text::workload),
        critical_services: reader.list("startup.critical_services", SERVICE, object(Kind::Service)),
    }
}

/// As the API checks it: 1 to 63 letters, digits, '-' and '.', with a letter or digit at both ends.
fn driver(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    let ends = |end: Option<char>| end.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63 && text.bytes().all(fine) && ends(text.chars().next()) && ends(text.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_named_as_the_api_names_them() {
        for good in ["driver.longhorn.io", "nfs.csi.k8s.io", "rook-ceph.rbd.csi.ceph.com", "x"] {
            assert!(driver(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", ".a", "a-", "a b", "a/b", "a_b", &long] {
            assert!(!driver(bad), "{bad}");
        }
    }
}
