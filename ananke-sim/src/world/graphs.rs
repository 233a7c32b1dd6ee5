//! Other shapes of what Kustomizations depend on than a home lab has.

use super::World;

/// In the order of the table, in which parents stand before their children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Graph {
    /// Each on the one before it.
    Chain,
    /// All on the first.
    Fan,
    /// Each on the three before it.
    Diamonds,
}

impl World {
    /// As if Git had always had it so.
    pub(crate) fn reshape(&mut self, graph: Graph) {
        for (row, kust) in self.kustomizations.iter_mut().enumerate() {
            kust.depends_on = match graph {
                Graph::Chain => row.checked_sub(1).into_iter().collect(),
                Graph::Fan => (row > 0).then_some(0).into_iter().collect(),
                Graph::Diamonds => (row.saturating_sub(3)..row).collect(),
            };
        }
    }
}
