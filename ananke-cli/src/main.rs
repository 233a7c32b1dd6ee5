//! The `ananke` command: parses flags, hands over, and turns the result into an exit code.

use std::process::ExitCode;

use ananke_cli::{args, commands};

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    commands::run(args).into()
}
