//! Has the linker pack the program's relocations where the C library of this machine reads them so: a start reads all of them,
//! and they would stay in the memory of a daemon that never needs them again (`docs/decisions/installed-program.md`).
#![expect(clippy::disallowed_methods, reason = "a build script asks the machine that it runs on")]

use std::process::Command;

/// The first glibc whose loader reads packed relocations.
const GLIBC: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let env = |key| std::env::var(key).unwrap_or_default();
    // What is built for another machine may meet any C library there.
    let native = env("TARGET") == env("HOST") && env("CARGO_CFG_TARGET_ENV") == "gnu";
    if native && glibc().is_some_and(|version| version >= GLIBC) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
