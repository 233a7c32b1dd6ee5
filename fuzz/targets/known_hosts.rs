//! Lines of `known_hosts`: plain, hashed, with patterns and markers.
#![no_main]

use ananke_ssh::known_hosts::KnownKeys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for (host, port) in [("titan-01", 22), ("fd00::1", 2222)] {
        KnownKeys::parse(&text, host, port);
    }
});
