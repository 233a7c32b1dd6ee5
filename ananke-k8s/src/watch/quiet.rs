//! How long a watch is believed that shows nothing at all. No clock, no waiting.
//!
//! A replica behind a balancer whose store hangs goes on answering watches from its cache: they show nothing, end in time,
//! and are taken up again from the same version, for ever. A collection in which nothing happens looks the same, for a server
//! that is well sends no bookmark that is not newer than the list. Only a list, which asks the store, tells the two apart.

use ananke_core::port::ClusterPart;

use crate::call::PAGE;

/// Some two minutes of them, and what a large cluster is asked for so often is little beside what changes in it.
const MOST: u32 = 4;

/// After so many quiet watches in a row a collection of `objects` is listed anew. A list costs a page for each watch before
/// it, so that a cluster in which nothing happens is asked for hardly more than its watches.
///
/// Nodes and their Leases are listed at once: where there are many pages of them some kubelet writes in every second, so that
/// it costs nothing while all is well, and silence that is believed would be that of all kubelets.
pub(super) fn believed(part: ClusterPart, objects: usize) -> u32 {
    if part == ClusterPart::Nodes {
        return 1;
    }
    u32::try_from(objects).unwrap_or(u32::MAX).div_ceil(PAGE).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_as_seldom_as_it_is_long_within_bounds() {
        let claims = |objects| believed(ClusterPart::Storage, objects);
        assert_eq!([0, 1, 500, 501, 1500, 2000, 100_000].map(claims), [1, 1, 1, 2, 3, 4, 4]);
        assert_eq!(believed(ClusterPart::Nodes, 5000), 1);
    }
}
