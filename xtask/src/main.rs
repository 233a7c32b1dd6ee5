//! Developer tasks. `cargo xtask quality-gate` is what CI runs and what a change must pass.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the person who runs it")]
#![expect(clippy::disallowed_methods, reason = "a task is made of other commands, and never part of Ananke")]

mod bench;
mod cargo;
mod dist;
#[cfg(test)]
mod docs;
mod gate;
mod install;
mod soak;
mod traps;

use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask quality-gate [--quick] | bench [NAME] | install [--prefix DIR] [--destdir DIR] [--binary FILE]
                          | dist [--check] [--target TRIPLE] | sim soak --minutes N | traps

  quality-gate   format, architecture, purity, lints, docs, drills and tests: everything, cheapest first
      --quick    without the wasm build, the docs, the drills, the swarm and the doc tests
  bench          each measurement beside a peer in the same run
      NAME       large-cluster: `ananke status` beside kubectl, and what watches and runs keep in memory
                 ssh: 64 hosts beside clush and parallel-ssh
                 daemon: ten idle minutes beside upsmon
                 drill: 30, 1,000 and 10,000 nodes, on one core
  install        the quality gate, a release build, then binary, units, user, directories, example config, completions
                 and manual pages; a config that is there is kept. ANANKE_ENFORCE_QUALITY_GATE=0 leaves the gate out
      --prefix   /usr/local
      --destdir  put everything below it, as for a package, and do nothing to this machine
      --binary   built before, as for another machine
  dist           a release binary that needs glibc alone, and a Debian package of it by cargo-deb, in target/dist
      --check    lintian, and the package installed and removed in a new Debian: as root, with lintian and debootstrap
      --target   for another machine, such as aarch64-unknown-linux-gnu
  sim soak       the swarm on seeds that nobody has played, for so many minutes; what came of it is in target/soak
  traps          docs/traps.md, from the files in ananke-core/src/trap";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["bench"] => bench::run(None),
        ["bench", name] => bench::run(Some(name)),
        ["dist", args @ ..] => dist::run(args),
        ["install", args @ ..] => install::run(args),
        ["sim", args @ ..] => soak::run(args),
        ["traps"] => traps::run(),
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
