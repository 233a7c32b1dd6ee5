//! A vector that the model indexes by its own numbers, which it only takes from the table itself.

use std::ops::{Deref, DerefMut, Index, IndexMut};

/// Rows are added and never removed, so a number once given stays good.
#[derive(Debug, Clone)]
pub struct Table<T>(Vec<T>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    /// Adds a row and gives its number.
    pub fn add(&mut self, row: T) -> usize {
        self.0.push(row);
        self.0.len() - 1
    }
}

/// For everything but indexing: a number that came from elsewhere goes through `get`.
impl<T> Deref for Table<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Table<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> Index<usize> for Table<T> {
    type Output = T;
    #[expect(clippy::indexing_slicing, reason = "rows are never removed, and numbers come from `add`")]
    fn index(&self, at: usize) -> &T {
        &self.0[at]
    }
}

impl<T> IndexMut<usize> for Table<T> {
    #[expect(clippy::indexing_slicing, reason = "rows are never removed, and numbers come from `add`")]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.0[at]
    }
}

impl<'a, T> IntoIterator for &'a Table<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
