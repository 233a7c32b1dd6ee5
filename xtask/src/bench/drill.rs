//! Drills on one core: how many a second at the usual size, and how their cost grows with the cluster. A drill of 10,000 nodes
//! has one of 1,000 nodes as its peer.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Cost, cost, line};
use crate::cargo::{cargo, root};

const USUAL: u32 = 30;
const LARGE: u32 = 1_000;
const LARGEST: u32 = 10_000;
/// Drills of the usual size, one after the other: enough that starting the program does not count.
const MANY: u32 = 50;

pub(super) fn run() -> Result<String, String> {
    cargo(&["build", "--release", "--locked", "-p", "ananke-cli"]).status()?;
    let ananke = root().join("target/release/ananke");
    let dir = std::env::temp_dir().join(format!("ananke-bench-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
    let told = measured(&ananke, &dir);
    fs::remove_dir_all(&dir).ok();
    told
}

fn measured(ananke: &Path, dir: &Path) -> Result<String, String> {
    let drills = |nodes: u32, drills: u32| -> Result<Cost, String> {
        println!("drilling {nodes} nodes, {drills} times");
        let mut command = Command::new(ananke);
        command.args(["drill", "-o", "json", "--nodes", &nodes.to_string(), "--seeds", &format!("1..{}", drills + 1)]);
        cost(command, dir, &[0])
    };
    let (usual, large, largest) = (drills(USUAL, MANY)?, drills(LARGE, 1)?, drills(LARGEST, 1)?);
    let mut text = "drills from a power loss, release build\n".to_owned();
    text.push_str(&line(&format!("{USUAL} nodes, {MANY} drills"), usual));
    text.push_str(&format!("  {:.1} a second and core (aim 100)\n", f64::from(MANY) / usual.cpu));
    text.push_str(&line(&format!("{LARGE} nodes (aim 1 s)"), large));
    text.push_str(&line(&format!("{LARGEST} nodes (aim 20 s, 1024 MiB)"), largest));
    let (more_nodes, more_time) = (f64::from(LARGEST) / f64::from(LARGE), largest.cpu / large.cpu);
    let grown = more_time.ln() / more_nodes.ln();
    text.push_str(&format!("  ratio: {more_time:.1} times the time for {more_nodes:.0} times the nodes, exponent {grown:.2}\n"));
    Ok(text)
}
