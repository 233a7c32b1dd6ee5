//! What the documents say of the code, held against the code: paths, gates, and names that leave the process.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use ananke_core::doctor::Lint;
use ananke_core::lease::{ANNOTATION, MANUAL_ANNOTATION, MANUAL_LABEL, TAINT_KEY};
use ananke_core::observation::IDEMPOTENT_LABEL;
use ananke_core::order::{
    FORCED_ANNOTATION, REQUESTED_ANNOTATION, RESET_ANNOTATION, SCALED_ANNOTATION, SUSPENDED_ANNOTATION, URL_ANNOTATION,
};
use ananke_core::spec::default_deadline;
use ananke_core::verdict::{GateId, Reason, Trap};
use ananke_core::{gate, phase};

use crate::cargo::root;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// Everything between backticks outside code blocks.
fn quoted(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        if !fenced {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// Whether a quoted word claims to be a path of this repository.
fn is_path(word: &str) -> bool {
    let endings = [".rs", ".toml", ".md", ".sh", ".yml"];
    let places = ["ananke-", "xtask/", "docs/", "tests/", "scripts/", ".ci/", ".github/", ".cargo/"];
    let inside = word.contains('/') && places.iter().any(|place| word.starts_with(place));
    !word.starts_with(['/', '-']) && !word.contains([' ', '<', '$']) && (inside || endings.iter().any(|end| word.ends_with(end)))
}

/// Paths of this repository that a document names: in backticks from the root, as a link from where the document is.
fn paths(document: &str) -> BTreeSet<PathBuf> {
    let text = read(document);
    let here = root().join(document).parent().unwrap().to_owned();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    let links = links.filter(|link| !link.contains("://")).map(|link| here.join(link));
    quoted(&text).into_iter().filter(|word| is_path(word)).map(|path| root().join(path)).chain(links).collect()
}

/// First cells of the table under a heading, without their backticks.
fn first_cells<'a>(text: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let section = text.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "));
    section.filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(cell, _)| cell).collect()
}

fn row<'a>(text: &'a str, id: &str) -> &'a str {
    let start = format!("| `{id}` |");
    text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("ARCHITECTURE.md has no table row for {id}"))
}

#[test]
fn every_path_that_a_document_names_exists() {
    let mut documents = vec!["ARCHITECTURE.md".to_owned(), "README.md".to_owned(), "docs/registry.md".to_owned()];
    for entry in fs::read_dir(root().join("docs/decisions")).unwrap() {
        documents.push(format!("docs/decisions/{}", entry.unwrap().file_name().to_string_lossy()));
    }
    let missing = documents.iter().flat_map(|document| paths(document).into_iter().map(move |path| (document, path)));
    let missing: Vec<_> = missing.filter(|(_, path)| !path.exists()).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(paths("ARCHITECTURE.md").len() > 60, "the map is read");
}

#[test]
fn the_map_names_every_crate() {
    let map = read("ARCHITECTURE.md");
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.join("Cargo.toml").exists() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(map.contains(&format!("\n### `{name}")), "ARCHITECTURE.md has no section for {name}");
        }
    }
}

#[test]
fn the_tables_of_gates_and_phases_are_those_of_the_code() {
    let text = read("ARCHITECTURE.md");
    for gate in gate::STARTUP.iter().chain(phase::SHUTDOWN) {
        let row = row(&text, gate.id.id());
        let minutes = default_deadline(gate.id).as_secs() / 60;
        assert!(row.contains(&format!("| {minutes} min")), "{}: its deadline is {minutes} min", gate.id);
        let needs = row.split('|').nth(2).unwrap_or_default();
        let named: Vec<&str> = needs.split(',').map(|need| need.trim().trim_start_matches("part of ")).collect();
        let expected: Vec<&str> = gate.needs.iter().map(|need| need.gate().id()).collect();
        let expected = if expected.is_empty() { vec!["-"] } else { expected };
        assert_eq!(named, expected, "what {} needs", gate.id);
    }
}

#[test]
fn every_name_that_leaves_the_process_is_registered() {
    let text = read("docs/registry.md");
    let gates: BTreeSet<&str> = GateId::ALL.iter().map(|id| id.id()).collect();
    let reasons: BTreeSet<&str> = Reason::ALL.iter().map(|id| id.id()).collect();
    assert_eq!(first_cells(&text, "## Gates and phases"), gates);
    assert_eq!(first_cells(&text, "## Reasons"), reasons);
    let lints: BTreeSet<&str> = Lint::ALL.iter().map(|id| id.id()).collect();
    assert_eq!(first_cells(&text, "## Findings of `doctor`"), lints);
    let nodes = [TAINT_KEY, ANNOTATION, MANUAL_ANNOTATION, MANUAL_LABEL];
    let flux = [SUSPENDED_ANNOTATION, URL_ANNOTATION, REQUESTED_ANNOTATION, RESET_ANNOTATION, FORCED_ANNOTATION];
    let marks: BTreeSet<&str> = nodes.into_iter().chain(flux).chain([IDEMPOTENT_LABEL, SCALED_ANNOTATION]).collect();
    assert_eq!(first_cells(&text, "## Marks on objects"), marks);
}

#[test]
fn a_path_is_told_from_other_words() {
    let found = |text| quoted(text).into_iter().filter(|word| is_path(word)).collect::<Vec<_>>();
    assert_eq!(found("`a-core/x`, `ananke-core/src`, `/etc/ananke/ananke.yaml`, `deny.toml`"), ["ananke-core/src", "deny.toml"]);
    assert_eq!(found("```\n`ananke-core/none.rs`\n```\n`cargo xtask`"), Vec::<&str>::new());
}

/// Each trap has its file, by its name, and its section on the page.
#[test]
fn every_trap_has_a_file_and_a_section() {
    let page = read("docs/traps.md");
    let sections: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let traps: BTreeSet<&str> = Trap::ALL.iter().map(|trap| trap.id()).collect();
    assert_eq!(sections, traps, "run `cargo xtask traps`");
    for entry in ananke_core::trap::ALL {
        let path = format!("ananke-core/src/trap/{}.rs", entry.trap.id().replace('-', "_"));
        assert!(read(&path).contains(entry.symptom), "{path}");
        assert!(page.contains(entry.effect) && page.contains(entry.symptom), "{}: run `cargo xtask traps`", entry.trap);
    }
}
