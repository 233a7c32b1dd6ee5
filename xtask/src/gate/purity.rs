//! Purity is proved, not promised: what the core depends on, and that core and the simulator's model build where there
//! is no operating system. The third proof, clippy's bans, is in `clippy.toml`.

use std::collections::BTreeSet;

use super::{Outcome, outcome};
use crate::cargo::{cargo, in_ci, program};

const TARGET: &str = "wasm32-unknown-unknown";

/// All that ananke-core may depend on, at any depth: data, maths and macros. No I/O, no runtime, no clock.
const ALLOWED: [&str; 40] = [
    "ananke-core",
    "async-trait",
    "equivalent",
    "fixedbitset",
    "foldhash",
    "futures",
    "futures-channel",
    "futures-core",
    "futures-io",
    "futures-macro",
    "futures-sink",
    "futures-task",
    "futures-util",
    "hashbrown",
    "indexmap",
    "itoa",
    "jiff",
    "jiff-core",
    "jiff-static",
    "memchr",
    "once_cell",
    "petgraph",
    "pin-project-lite",
    "portable-atomic",
    "portable-atomic-util",
    "proc-macro2",
    "quote",
    "ryu",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "slab",
    "syn",
    "thiserror",
    "thiserror-impl",
    "tracing",
    "tracing-core",
    "unicode-ident",
    "zmij",
];

pub(super) fn dependency_tree() -> Outcome {
    let args =
        ["tree", "-p", "ananke-core", "-e", "normal", "--all-features", "--target", "all", "--prefix", "none", "--format", "{p}"];
    outcome(cargo(&args).output().and_then(|tree| {
        let found: Vec<&str> = strangers(&tree).into_iter().collect();
        if found.is_empty() {
            return Ok(());
        }
        Err(format!(
            "ananke-core depends on {}: take it out, or, if it is pure, add it to xtask/src/gate/purity.rs",
            found.join(", ")
        ))
    }))
}

fn strangers(tree: &str) -> BTreeSet<&str> {
    let names = tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty());
    names.filter(|name| !ALLOWED.contains(name)).collect()
}

pub(super) fn wasm() -> Outcome {
    if let Err(why) = ensure_target() {
        let text = format!("the target {TARGET} is missing: {why} (rustup target add {TARGET})");
        return if in_ci() { Outcome::Failed(text) } else { Outcome::Skipped(text) };
    }
    let core = cargo(&["check", "--target", TARGET, "-p", "ananke-core"]).status();
    let model = cargo(&["check", "--target", TARGET, "-p", "ananke-sim", "--no-default-features"]).status();
    outcome(core.and(model))
}

fn ensure_target() -> Result<(), String> {
    let installed = program("rustup", &["target", "list", "--installed"]).output()?;
    if installed.lines().any(|line| line == TARGET) { Ok(()) } else { program("rustup", &["target", "add", TARGET]).status() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_in_the_core_is_seen() {
        let tree = "ananke-core v0.1.0 (/src/ananke-core)\nserde v1.0.228\ntokio v1.54.1\nserde v1.0.228 (*)\n\n";
        assert_eq!(strangers(tree).into_iter().collect::<Vec<_>>(), ["tokio"]);
    }
}
