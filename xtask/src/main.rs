//! Developer tasks. `cargo xtask quality-gate` is what CI runs and what a change must pass.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the person who runs it")]
#![expect(clippy::disallowed_methods, reason = "a task is made of other commands, and never part of Ananke")]

mod bench;
mod cargo;
#[cfg(test)]
mod docs;
mod gate;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask quality-gate [--quick] | bench [NAME]

  quality-gate   format, architecture, purity, lints, docs, drills and tests: everything, cheapest first
      --quick    without the wasm build, the docs, the drills and the doc tests
  bench          each measurement beside a peer in the same run
      NAME       large-cluster: `ananke status` beside kubectl, and what watches and runs keep in memory
                 ssh: 64 hosts beside clush and parallel-ssh
                 daemon: ten idle minutes beside upsmon";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["bench"] => bench::run(None),
        ["bench", name] => bench::run(Some(name)),
        ["quality-gate"] => gate::run(gate::Extent::Full),
        ["quality-gate", "--quick"] => gate::run(gate::Extent::Quick),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
