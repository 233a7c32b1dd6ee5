//! What shells and `man` get, read by the programs that it is for.

#![expect(clippy::disallowed_methods, reason = "a test starts real programs")]

use std::fs;
use std::process::Command;

use ananke_tests::{Going, LIMIT, ananke, require};
use tempfile::TempDir;

#[test]
fn bash_completes_what_ananke_takes() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("ananke");
    fs::write(&file, ananke(&["completions", "bash"]).ok()).unwrap();
    let asked = format!(
        "set -eu; . {}; COMP_WORDS=(ananke shutdown --mode po); COMP_CWORD=3; _ananke ananke po --mode; echo \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    assert_eq!(Going::spawn(Command::new("bash").args(["-c", &asked])).end(LIMIT).ok(), "poweroff\n");
}

#[test]
fn every_shell_gets_a_script_and_an_unknown_one_an_error() {
    for (shell, begins) in
        [("zsh", "#compdef ananke"), ("fish", "# Print"), ("elvish", "\nuse builtin"), ("powershell", "\nusing")]
    {
        let script = ananke(&["completions", shell]).ok();
        assert!(script.starts_with(begins) && script.contains("force-flux-branch"), "{shell}: {script}");
    }
    ananke(&["completions", "tcsh"]).exits(2);
}

#[test]
fn there_is_a_manual_page_for_each_command_that_man_takes_without_a_word() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().to_str().unwrap();
    ananke(&["man", "--out", out]).ok();
    assert_eq!(fs::read_to_string(dir.path().join("ananke.1")).unwrap(), ananke(&["man"]).ok());
    let pages: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|page| page.unwrap().path()).collect();
    for name in ["ananke-startup.1", "ananke-shutdown.1", "ananke-update.1", "ananke-config-check.1"] {
        assert!(pages.contains(&dir.path().join(name)), "{name} is not among {pages:?}");
    }
    ananke(&["man", "--out", &format!("{out}/nowhere")]).exits(1);
    if require("groff", "groff") {
        for page in pages {
            let said = Going::spawn(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&page)).end(LIMIT);
            assert_eq!(said.exits(0).said(), "", "{}", page.display());
        }
    }
}
