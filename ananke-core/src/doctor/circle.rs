//! Circles: parts that wait for each other, so that none of them is first.
//!
//! A strongly connected component can hold thousands of circles. Of each component the shortest is told, once for each
//! kind of chance that can close it; the worst components are looked for first, in the graph of what is needed at every
//! start, then with what is only needed by chance. What everybody needs says least about a circle, so a part counts for as
//! much as it has others that need it.

use std::collections::BTreeMap;

use petgraph::Direction::Incoming;
use petgraph::algo::{astar, tarjan_scc};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use serde::Serialize;

use super::map::ClusterMap;
use super::need::{Need, Severity, When};
use super::part::Part;
use super::{cure, graph};

/// Each need leads to the next one's `from`, and the last to the first's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Circle {
    pub severity: Severity,
    pub needs: Vec<Need>,
    /// All that wait for each other, of whom this circle is the shortest.
    pub component: Vec<Part>,
    /// What closes it, when all of it happens.
    pub breaks: Vec<String>,
    /// What opens it for good: any of it.
    pub to_do: Vec<String>,
}

/// The worst first.
pub fn circles(map: &ClusterMap) -> Vec<Circle> {
    among(&graph::needs(map))
}

/// Of a graph that was made already.
pub(super) fn among(needs: &[Need]) -> Vec<Circle> {
    let mut found: Vec<Circle> = Vec::new();
    for severity in Severity::ALL {
        for circle in closed_by(needs, severity) {
            if !found.iter().any(|known| known.runs_through_the_same(&circle)) {
                found.push(circle);
            }
        }
    }
    found
}

impl Circle {
    fn runs_through_the_same(&self, other: &Self) -> bool {
        let parts = |circle: &Self| {
            let mut parts: Vec<Part> = circle.needs.iter().map(|need| need.from.clone()).collect();
            parts.sort();
            parts
        };
        parts(self) == parts(other)
    }

    /// One sentence for each part that waits for something of its own, with the names that lead to the next one.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = Vec::new();
        for need in &self.needs {
            match sentences.last_mut() {
                Some(sentence) if need.from.kind.only_leads_on() => {
                    let separator = if sentence.contains("; by way of ") { ", " } else { "; by way of " };
                    sentence.push_str(&format!("{separator}{}", need.to));
                }
                Some(_) | None => sentences.push(need.to_string()),
            }
        }
        sentences
    }

    fn of(needs: Vec<Need>, mut component: Vec<Part>) -> Self {
        component.sort();
        let severity = needs.iter().map(|need| need.when.severity()).max().unwrap_or(Severity::Low);
        let (breaks, to_do) = (cure::breaks(&needs), cure::to_do(&needs));
        Self { severity, needs, component, breaks, to_do }
    }
}

/// Circles of the graph that has nothing less severe than `worst_case` in it.
fn closed_by(needs: &[Need], worst_case: Severity) -> Vec<Circle> {
    let mut graph: DiGraph<&Part, &Need> = DiGraph::new();
    let mut known: BTreeMap<&Part, NodeIndex> = BTreeMap::new();
    for need in needs.iter().filter(|need| need.when.severity() <= worst_case) {
        let from = *known.entry(&need.from).or_insert_with(|| graph.add_node(&need.from));
        let to = *known.entry(&need.to).or_insert_with(|| graph.add_node(&need.to));
        graph.add_edge(from, to, need);
    }
    let mut component_of: BTreeMap<NodeIndex, usize> = BTreeMap::new();
    let mut components = tarjan_scc(&graph);
    components.sort_by_key(|members| members.iter().filter_map(|at| graph.node_weight(*at).copied()).min());
    for (row, members) in components.iter().enumerate() {
        component_of.extend(members.iter().map(|member| (*member, row)));
    }
    let needed = |part: NodeIndex| u32::try_from(graph.neighbors_directed(part, Incoming).count()).unwrap_or(u32::MAX);
    let needed: Vec<u32> = graph.node_indices().map(needed).collect();
    let cost = |part: NodeIndex| needed.get(part.index()).copied().unwrap_or(1);
    // The shortest by component and chance.
    let mut shortest: BTreeMap<(usize, Chance), (u32, Vec<NodeIndex>)> = BTreeMap::new();
    for edge in graph.edge_references() {
        let (from, to) = (edge.source(), edge.target());
        let chance = Chance::of(&edge.weight().when);
        let Some(row) = component_of.get(&from).filter(|row| component_of.get(&to) == Some(row)) else { continue };
        if chance.is_told_of(worst_case)
            && let Some((rest, path)) = astar(&graph, to, |at| at == from, |edge| cost(edge.target()), |_| 0)
        {
            let whole = rest.saturating_add(cost(to));
            let known = shortest.entry((*row, chance)).or_insert((u32::MAX, Vec::new()));
            if whole < known.0 {
                *known = (whole, path);
            }
        }
    }
    let circle = |((row, _), (_, path)): ((usize, Chance), (u32, Vec<NodeIndex>))| {
        let members = components.get(row).into_iter().flatten().filter_map(|at| graph.node_weight(*at));
        Circle::of(along(&graph, &path), members.map(|part| (*part).clone()).collect())
    };
    shortest.into_iter().map(circle).collect()
}

/// The needs along a path and back to its start; of several between two parts the one that shows first. It begins with what
/// an operator knows best: a source of Flux, else whatever sorts first.
fn along(graph: &DiGraph<&Part, &Need>, path: &[NodeIndex]) -> Vec<Need> {
    let next = path.iter().skip(1).chain(path.first());
    let between = |(from, to): (&NodeIndex, &NodeIndex)| {
        graph.edges_connecting(*from, *to).map(|edge| *edge.weight()).min_by_key(|need| (need.when.severity(), *need)).cloned()
    };
    let mut needs: Vec<Need> = path.iter().zip(next).filter_map(between).collect();
    let first = needs.iter().enumerate().min_by_key(|(_, need)| (!need.from.kind.is_source(), need.from.clone()));
    let first = first.map_or(0, |(row, _)| row);
    needs.rotate_left(first);
    needs
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Chance {
    Start,
    Image,
    NewPods,
    Apply,
}

impl Chance {
    fn of(when: &When) -> Self {
        match when {
            When::Start => Self::Start,
            When::Image { .. } => Self::Image,
            When::NewPods => Self::NewPods,
            When::Apply => Self::Apply,
        }
    }

    /// What every start needs is in nearly every circle, so it singles out none but those of nothing else.
    fn is_told_of(self, worst_case: Severity) -> bool {
        match self {
            Self::Start => worst_case == Severity::High,
            Self::Image | Self::NewPods | Self::Apply => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::part::PartKind;
    use super::*;
    use expect_test::{Expect, expect};

    fn need(from: &str, to: &str, when: When) -> Need {
        let part = |name: &str| Part::new(PartKind::Deployment, "apps", name);
        Need { from: part(from), to: part(to), when, why: "a test".into() }
    }

    /// Needs as `a>b` for a start, `a~b` for new pods, `a?b` for an object that is applied.
    #[expect(clippy::needless_pass_by_value, reason = "an inline snapshot")]
    #[track_caller]
    fn check(needs: &str, expected: Expect) {
        let read = |text: &str| {
            let at = text.find(['>', '~', '?']).unwrap();
            let when = match &text[at..=at] {
                ">" => When::Start,
                "~" => When::NewPods,
                _ => When::Apply,
            };
            need(&text[..at], &text[at + 1..], when)
        };
        let needs: Vec<Need> = needs.split(' ').map(read).collect();
        let told = among(&needs).into_iter().map(|circle| {
            let path: Vec<&str> = circle.needs.iter().map(|need| &*need.from.name).collect();
            format!("{}: {} of {}\n", circle.severity, path.join(" "), circle.component.len())
        });
        expected.assert_eq(&told.collect::<String>());
    }

    #[test]
    fn a_chain_is_no_circle() {
        check("a>b b>c a>c", expect![""]);
    }

    #[test]
    fn the_shortest_of_a_component_is_told() {
        check(
            "a>b b>c c>d d>a c>a",
            expect![[r#"
            high: a b c of 4
        "#]],
        );
    }

    #[test]
    fn what_everybody_needs_is_told_last() {
        check(
            "a>dns a>b b>c c>a dns>a x>dns y>dns z>dns",
            expect![[r#"
            high: a b c of 4
        "#]],
        );
    }

    #[test]
    fn what_needs_itself_is_a_circle() {
        check(
            "a~a",
            expect![[r#"
            medium: a of 1
        "#]],
        );
    }

    #[test]
    fn a_circle_is_as_severe_as_its_least_likely_need() {
        check(
            "a>b b>a b?c c>b d~e e>d",
            expect![[r#"
            high: a b of 2
            medium: d e of 2
            low: b c of 3
        "#]],
        );
    }

    #[test]
    fn two_components_are_two_circles() {
        check(
            "c>d d>c a>b b>a b>c",
            expect![[r#"
            high: a b of 2
            high: c d of 2
        "#]],
        );
    }
}
