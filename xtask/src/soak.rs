//! `cargo xtask sim soak --minutes N`: the swarm, round after round of seeds that nobody has played, until the time is over.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cargo::{cargo, program, root};

/// Seeds of a round: some seconds, so that the time is kept and a stop loses little.
const ROUND: u64 = 500;
const DIR: &str = "target/soak";

pub(crate) fn run(args: &[&str]) -> ExitCode {
    let minutes = match args {
        ["soak", "--minutes", minutes] => minutes.parse::<u64>().ok().filter(|minutes| *minutes > 0),
        _ => None,
    };
    let Some(minutes) = minutes else {
        eprintln!("expected `cargo xtask sim soak --minutes N`");
        return ExitCode::from(2);
    };
    match soak(Duration::from_secs(minutes * 60)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn soak(span: Duration) -> Result<(), String> {
    cargo(&["build", "--release", "--locked", "-p", "ananke-cli"]).status()?;
    let ananke = root().join("target/release/ananke").display().to_string();
    let dir = root().join(DIR);
    let failed = |error: std::io::Error| format!("cannot use {}: {error}", dir.display());
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(failed)?;
    }
    fs::create_dir_all(&dir).map_err(failed)?;
    let mut first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (began, mut files, mut broken) = (Instant::now(), Vec::new(), 0_usize);
    while began.elapsed() < span {
        let seeds = format!("{first}..{}", first + ROUND);
        let file = dir.join(format!("{first}.json"));
        let round = program(&ananke, &["drill", "--swarm", "--seeds", &seeds, "-o", "json"]).any_output()?;
        fs::write(&file, round.text).map_err(failed)?;
        broken += usize::from(!round.success);
        files.push(file.display().to_string());
        first += ROUND;
    }
    let page = dir.join("report.html").display().to_string();
    let mut merge = vec!["drill", "--html", &page, "--merge"];
    merge.extend(files.iter().map(String::as_str));
    println!("{}", program(&ananke, &merge).any_output()?.text);
    println!("pictures: {DIR}/report.html");
    if broken == 0 { Ok(()) } else { Err(format!("{broken} rounds had failures")) }
}
