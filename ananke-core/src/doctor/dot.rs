//! Circles as text for Graphviz.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::circle::Circle;
use super::need::{Severity, When};

/// A `digraph`; a need that only shows by chance is dashed.
pub fn draw(circles: &[Circle]) -> String {
    let mut out = String::from(
        "digraph circles {\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n",
    );
    let mut drawn = BTreeSet::new();
    for need in circles.iter().flat_map(|circle| &circle.needs) {
        if drawn.insert(need) {
            let style = match need.when {
                When::Start => "solid",
                When::Image { .. } | When::NewPods | When::Apply => "dashed",
            };
            let colour = match need.when.severity() {
                Severity::High => "red3",
                Severity::Medium => "darkorange3",
                Severity::Low => "gray40",
            };
            let (from, to, why) = (quoted(&need.from), quoted(&need.to), quoted(&need.why));
            // Writing to a String does not fail.
            let _ = writeln!(out, "  {from} -> {to} [label={why}, style={style}, color={colour}];");
        }
    }
    out.push_str("}\n");
    out
}

/// A quoted ID of the DOT language: only `"` ends it, and a backslash escapes.
fn quoted(text: &impl ToString) -> String {
    let text = crate::port::clean(&text.to_string(), 200);
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::testing::lab;
    use super::*;

    #[test]
    fn each_need_is_one_line() {
        let mut lab = lab();
        lab.gitea("ghcr.io/go-gitea/gitea:1");
        let text = draw(&super::super::circles(&lab.map));
        assert!(
            text.contains(
                "\"GitRepository flux-system/flux-system\" -> \"scm.titan.example\" [label=\"what it fetches\", style=solid"
            ),
            "{text}"
        );
        assert!(text.contains("\"Deployment gitea/gitea\" -> \"Kustomization flux-system/git\" [label=\"its object\", style=dashed, color=gray40]"), "{text}");
        assert_eq!(text.matches(" -> ").count(), 6, "{text}");
    }

    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(quoted(&"a\" -> \"b\\\n"), r#""a\" -> \"b\\""#);
    }
}
