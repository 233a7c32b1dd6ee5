//! `tokio::select!` polls its branches in random order unless it says `biased;`. clippy can ban the macro but cannot see
//! that word, so this reads the sources.

use std::fs;
use std::path::{Path, PathBuf};

use super::Outcome;
use crate::cargo::root;

pub(super) fn check() -> Outcome {
    let mut sources = Vec::new();
    if let Err(why) = rust_files(root(), &mut sources) {
        return Outcome::Failed(why);
    }
    let mut found = Vec::new();
    for path in &sources {
        match fs::read_to_string(path) {
            Ok(text) => found.extend(unbiased(&text).into_iter().map(|line| format!("{}:{line}", path.display()))),
            Err(error) => return Outcome::Failed(format!("cannot read {}: {error}", path.display())),
        }
    }
    if found.is_empty() {
        Outcome::Passed(format!("{} files", sources.len()))
    } else {
        Outcome::Failed(format!("select! must begin with `biased;`: {}", found.join(", ")))
    }
}

/// All but this task's own sources, build output and hidden directories.
fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", dir.display());
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type().map_err(cannot)?;
        if kind.is_dir() && !name.starts_with('.') && !["target", "xtask"].contains(&name.as_ref()) {
            rust_files(&entry.path(), into)?;
        } else if kind.is_file() && name.ends_with(".rs") {
            into.push(entry.path());
        }
    }
    Ok(())
}

/// Lines, counted from 1, on which a `select!` begins that is not biased.
fn unbiased(text: &str) -> Vec<usize> {
    let code: Vec<&str> = text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line }).collect();
    let begins_biased = |rest: &str| rest.trim_start().trim_start_matches(['{', '(']).trim_start().starts_with("biased;");
    let mut found = Vec::new();
    for (index, line) in code.iter().enumerate() {
        if let Some((_, rest)) = line.split_once("select!") {
            let following = code.iter().skip(index + 1).take(3).copied().collect::<Vec<_>>().join("\n");
            if !begins_biased(&format!("{rest}\n{following}")) {
                found.push(index + 1);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_select_is_biased_or_found() {
        assert_eq!(unbiased("tokio::select! {\n    biased;\n    a = b => {}\n}"), [0usize; 0]);
        assert_eq!(unbiased("tokio::select! {\n    // first things first\n    biased;\n}"), [0usize; 0]);
        assert_eq!(unbiased("x\ntokio::select! {\n    a = b => {}\n}"), [2]);
        assert_eq!(unbiased("// a select! in words"), [0usize; 0]);
    }
}
