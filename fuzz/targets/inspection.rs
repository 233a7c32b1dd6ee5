//! What a host says of itself.
#![no_main]

use ananke_core::name::{HostPath, UnitName};
use ananke_core::spec::HostNeeds;
use ananke_ssh::command::inspect::synced;
use ananke_ssh::command::{Output, parse_inspection};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let needs = HostNeeds {
        mounts: HostPath::parse("/srv").into_iter().collect(),
        packages: Vec::new(),
        units: UnitName::parse("iscsid").into_iter().collect(),
    };
    let output = Output { stdout: data.to_vec(), stderr: data.to_vec(), exit: Some(0) };
    if let Ok(found) = parse_inspection(&output, &needs) {
        assert!(found.health.missing_mounts.len() <= 1 && found.health.missing_units.len() <= 1);
        assert!(found.health.space.iter().all(|one| one.free_percent <= 100));
    }
    synced(&String::from_utf8_lossy(data));
});
