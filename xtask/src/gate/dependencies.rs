//! `deny.toml` over the dependency graph: who may depend on what, under which licences, and from where.
//!
//! cargo-deny does it where it is installed. Building it takes longer than the rest of the gate, so elsewhere, and in
//! CI, the same file is checked here, from `cargo metadata`.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;

use super::{Outcome, outcome};
use crate::cargo::{cargo, root};

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
    licenses: Licenses,
    sources: Sources,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    /// Who may depend on it directly; nobody, if it is empty.
    #[serde(default)]
    wrappers: Vec<String>,
    reason: String,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    license: Option<String>,
    /// None for members of the workspace.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

pub(super) fn check() -> Outcome {
    if cargo(&["deny", "--version"]).works() {
        return outcome(cargo(&["deny", "check", "bans", "licenses", "sources"]).status());
    }
    match built_in() {
        Ok(text) => Outcome::Passed(text),
        Err(why) => Outcome::Failed(why),
    }
}

fn built_in() -> Result<String, String> {
    let path = root().join("deny.toml");
    let rules = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let rules: Deny = toml::from_str(&rules).map_err(|error| format!("deny.toml: {error}"))?;
    let text = cargo(&["metadata", "--format-version", "1", "--all-features"]).output()?;
    let graph: Metadata = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let found = violations(&rules, &graph);
    for line in &found {
        println!("{line}");
    }
    match found.as_slice() {
        [] => Ok(format!("{} packages, checked without cargo-deny (cargo install cargo-deny --locked)", graph.packages.len())),
        [first, ..] => Err(format!("{} violations of deny.toml; the first: {first}", found.len())),
    }
}

fn violations(rules: &Deny, graph: &Metadata) -> Vec<String> {
    let mut found = banned(&rules.bans, graph);
    for package in &graph.packages {
        found.extend(bad_license(&rules.licenses.allow, package));
        let registry = package.source.as_ref().map(|source| source.trim_start_matches("registry+"));
        if registry.is_some_and(|registry| !rules.sources.allow_registry.iter().any(|allowed| allowed == registry)) {
            found.push(format!("{} comes from {}", package.name, package.source.as_deref().unwrap_or_default()));
        }
    }
    found
}

fn banned(bans: &Bans, graph: &Metadata) -> Vec<String> {
    let names: BTreeMap<&str, &str> = graph.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    let name = |id: &str| names.get(id).copied().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for node in &graph.resolve.nodes {
        let dependent = name(&node.id);
        for dependency in node.dependencies.iter().map(|id| name(id)) {
            let ban = bans.deny.iter().find(|ban| ban.name == dependency);
            if let Some(ban) = ban.filter(|ban| !ban.wrappers.contains(&dependent)) {
                found.push(format!("{dependent} depends on {dependency}: {}", ban.reason));
            }
        }
    }
    found
}

fn bad_license(allowed: &[String], package: &Package) -> Option<String> {
    let text = package.license.as_deref().unwrap_or_default();
    let fine = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX)
        .is_ok_and(|license| license.evaluate(|requirement| allowed.contains(&requirement.to_string())));
    (!fine).then(|| format!("{} is under {text:?}, which deny.toml does not allow", package.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(license: &str, source: &str, dependent: &str, dependency: &str) -> Vec<String> {
        let rules: Deny = toml::from_str(
            r#"
            [bans]
            deny = [{ crate = "kube", wrappers = ["ananke-k8s"], reason = "behind the ports" }, { crate = "openssl", reason = "rustls" }]
            [licenses]
            allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
            [sources]
            allow-registry = ["https://github.com/rust-lang/crates.io-index"]
            "#,
        )
        .unwrap();
        let graph: Metadata = serde_json::from_value(serde_json::json!({
            "packages": [
                {"id": "a", "name": dependent, "license": "MIT", "source": null},
                {"id": "b", "name": dependency, "license": license, "source": source},
            ],
            "resolve": {"nodes": [{"id": "a", "dependencies": ["b"]}, {"id": "b", "dependencies": []}]},
        }))
        .unwrap();
        violations(&rules, &graph)
    }

    const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

    #[test]
    fn only_the_wrapper_may_depend_on_what_it_wraps() {
        assert!(check("MIT", REGISTRY, "ananke-k8s", "kube").is_empty());
        assert_eq!(check("MIT", REGISTRY, "ananke-core", "kube"), ["ananke-core depends on kube: behind the ports"]);
        assert_eq!(check("MIT", REGISTRY, "ananke-k8s", "openssl"), ["ananke-k8s depends on openssl: rustls"]);
    }

    #[test]
    fn licences_are_expressions() {
        for fine in ["MIT/Apache-2.0", "GPL-3.0-only OR MIT", "Apache-2.0 WITH LLVM-exception"] {
            assert!(check(fine, REGISTRY, "a", "b").is_empty(), "{fine}");
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "", "whatever"] {
            assert_eq!(check(bad, REGISTRY, "a", "b").len(), 1, "{bad}");
        }
    }

    #[test]
    fn only_the_registry_is_a_source() {
        assert_eq!(check("MIT", "git+https://example.dev/b?rev=1#1", "a", "b").len(), 1);
    }
}
