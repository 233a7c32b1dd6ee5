//! The list of etcd's snapshots, in any of its shapes: k3s's, and that of a server which kubeadm made.
#![no_main]

use ananke_core::name::NodeName;
use ananke_ssh::command::{Output, parse_checked_snapshots, parse_snapshots};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(node) = NodeName::parse("titan-01") else { return };
    for exit in [Some(0), Some(1), None] {
        let output = Output { stdout: data.to_vec(), stderr: data.to_vec(), exit };
        if let Ok(found) = parse_snapshots(&output, &node) {
            assert!(exit == Some(0) && found.iter().all(|one| one.bytes > 0));
        }
        parse_checked_snapshots(&output).ok();
    }
});
