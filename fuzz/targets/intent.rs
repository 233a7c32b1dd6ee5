//! What another Ananke says that its operator wants.
#![no_main]

use ananke_ssh::command::{Output, parse_intent};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for exit in [Some(0), Some(1), None] {
        let output = Output { stdout: data.to_vec(), stderr: data.to_vec(), exit };
        let found = parse_intent(&output);
        assert!(exit == Some(0) || found.is_err());
    }
});
