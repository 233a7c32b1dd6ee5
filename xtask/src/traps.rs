//! `cargo xtask traps`: what Ananke knows of each trap, as `ananke drill --list` tells it, in `docs/traps.md`.

use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use serde::Deserialize;

use crate::cargo::{cargo, root};

const FILE: &str = "docs/traps.md";
const HEAD: &str = "# Traps

What is known to go wrong after a power loss, and what Ananke does about it. `cargo xtask traps` writes this page from the files
in `ananke-core/src/trap`.

Class A: Ananke gets out of it by itself. B: it waits or takes a gentle first step, then asks a person. H: it says what a person
must do, and touches nothing. `remedies` in the config switches each off, or has it ask. `ananke drill --trap ID` drills those
that the simulated world has.

Not here: `hypervisor-ha-fights-shutdown`. Which guests a hypervisor's HA manager restarts, and whether it is disarmed, stands
in the hypervisor's own API alone, which Ananke does not speak. What of it shows at a host, a boot in the middle of a shutdown
that nobody asked for, cannot be told from a power-off that became a reboot, and is named with that trap
(`shutdown-hangs-or-becomes-reboot`). Not drilled: `orchestrator-inside-blast-radius`. Where it strikes, the machine that would
report is the one that went dark, so no run is left to end with an instruction; `ananke doctor` finds it on a healthy day.

";

#[derive(Debug, Deserialize)]
struct Listed {
    trap: String,
    class: String,
    often: String,
    ending: String,
    drilled: bool,
    symptom: String,
    precondition: String,
    budget: String,
    effect: String,
    evidence: Vec<String>,
}

/// Writes the file and prints the table.
pub(crate) fn run() -> ExitCode {
    match write() {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<String, String> {
    let told = cargo(&["run", "--quiet", "--package", "ananke-cli", "--", "drill", "--list", "-o", "json"]).output()?;
    let all: Vec<Listed> = serde_json::from_str(&told).map_err(|error| format!("read what `drill --list` tells: {error}"))?;
    let table = table(&all);
    let page = format!("{HEAD}{table}{}", all.iter().map(section).collect::<String>());
    fs::write(root().join(FILE), page).map_err(|error| format!("cannot write {FILE}: {error}"))?;
    Ok(table)
}

fn table(all: &[Listed]) -> String {
    let mut text = String::from("| trap | class | seen | drill |\n|---|---|---|---|\n");
    for Listed { trap, class, often, ending, drilled, .. } in all {
        let drill = if *drilled { ending } else { "not drilled yet" };
        let _ = writeln!(text, "| [{trap}](#{trap}) | {class} | {often} | {drill} |");
    }
    text
}

fn section(of: &Listed) -> String {
    let Listed { trap, symptom, precondition, budget, effect, evidence, .. } = of;
    let reports = evidence.join(", ");
    format!(
        "\n## {trap}\n\n- Shows as: {symptom}\n- Needs: {precondition}\n- Budget: {budget}\n- What is done: {effect}\n\
         - Reported in: {reports}\n"
    )
}
