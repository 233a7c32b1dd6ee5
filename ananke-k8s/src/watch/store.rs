//! What a watch has put together so far: the facts of one collection, in the order of their keys. No I/O, no waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::translate::meta::Meta;

/// `namespace/name`, as the API server's store sorts objects.
pub(super) type Key = Box<str>;

pub(super) fn key(of: &Meta) -> Key {
    format!("{}/{}", of.namespace, of.name).into()
}

/// Facts and their keys, side by side and sorted. The facts are shared with whoever read them last: a change copies them once
/// after each read, and there are never more than two copies.
#[derive(Debug)]
pub(super) struct Store<T> {
    keys: Vec<Key>,
    items: Arc<Vec<T>>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { keys: Vec::new(), items: Arc::default() }
    }
}

impl<T: Clone + PartialEq> Store<T> {
    pub(super) fn items(&self) -> Arc<Vec<T>> {
        Arc::clone(&self.items)
    }

    /// Takes over an object as it is now; `None` if it is gone or does not matter any more. Whether anything is different.
    pub(super) fn put(&mut self, key: Key, item: Option<T>) -> bool {
        match (self.keys.binary_search(&key), item) {
            (Ok(at), Some(item)) => {
                if self.items.get(at) == Some(&item) {
                    return false;
                }
                if let Some(slot) = Arc::make_mut(&mut self.items).get_mut(at) {
                    *slot = item;
                }
                true
            }
            (Ok(at), None) => {
                self.keys.remove(at);
                Arc::make_mut(&mut self.items).remove(at);
                true
            }
            (Err(at), Some(item)) => {
                self.keys.insert(at, key);
                Arc::make_mut(&mut self.items).insert(at, item);
                true
            }
            (Err(_), None) => false,
        }
    }
}

/// A store that is being filled from a list.
#[derive(Debug)]
pub(super) struct Filling<T> {
    keys: Vec<Key>,
    items: Vec<T>,
}

impl<T> Default for Filling<T> {
    fn default() -> Self {
        Self { keys: Vec::new(), items: Vec::new() }
    }
}

impl<T> Filling<T> {
    pub(super) fn push(&mut self, key: Key, item: T) {
        self.keys.push(key);
        self.items.push(item);
    }

    /// Lists come sorted, or nearly so: the rest is put in order here. What is named twice counts as it was named last.
    pub(super) fn done(self) -> Store<T> {
        let Self { mut keys, mut items } = self;
        if !keys.is_sorted_by(|a, b| a < b) {
            let sorted: BTreeMap<Key, T> = keys.into_iter().zip(items).collect();
            (keys, items) = sorted.into_iter().unzip();
        }
        keys.shrink_to_fit();
        items.shrink_to_fit();
        Store { keys, items: Arc::new(items) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(names: &[(&str, u32)]) -> Store<u32> {
        let mut filling = Filling::default();
        for (name, item) in names {
            filling.push((*name).into(), *item);
        }
        filling.done()
    }

    #[test]
    fn a_list_is_put_in_order_whatever_order_it_came_in() {
        assert_eq!(*filled(&[("a/x", 1), ("b/x", 2)]).items(), [1, 2]);
        assert_eq!(*filled(&[("a/x", 1), ("a-b/x", 2), ("a/x", 3)]).items(), [2, 3]);
    }

    #[test]
    fn changes_say_whether_they_change_anything() {
        let mut store = filled(&[("a/x", 1), ("c/x", 3)]);
        assert!(store.put("b/x".into(), Some(2)));
        assert!(!store.put("b/x".into(), Some(2)));
        assert!(store.put("c/x".into(), Some(4)));
        assert!(store.put("a/x".into(), None));
        assert!(!store.put("a/x".into(), None));
        assert_eq!(*store.items(), [2, 4]);
    }

    #[test]
    fn what_was_read_stays_as_it_was_and_is_the_same_list_while_nothing_changes() {
        let mut store = filled(&[("a/x", 1)]);
        let read = store.items();
        store.put("a/x".into(), Some(1));
        assert!(Arc::ptr_eq(&read, &store.items()));
        store.put("a/x".into(), Some(2));
        assert_eq!((&*read, &*store.items()), (&vec![1], &vec![2]));
    }
}
