//! Owns the workloads of the store itself, which `jitsu store bench` runs as well. Must not know
//! other stores.

pub(crate) mod commits;
pub(crate) mod kinds;
pub(crate) mod queues;
pub(crate) mod reads;
mod ropes;
pub(crate) mod table;

use self::kinds::Kind;
use self::table::Table;

/// Something to measure on any backend.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    title: &'static str,
    run: fn(&mut Table, &Kind<'_>, usize),
}

/// All of them, in the order of `anchors.md` and the issue they come from.
pub(crate) const WORKLOADS: [Workload; 8] = [
    workload("W1", "one 100-byte set in each commit", commits::one_set),
    workload("W2", "20 keys in a commit, then removed in another", commits::twenty_and_none),
    workload("W3", "fork, 10 keys there, 10 on main, merge", commits::fork_and_merge),
    workload("W4", "random reads of 100,000 keys", reads::random),
    workload("W5", "commits over 100 keys in turn, and the walk back", reads::walk),
    workload("W6", "queues", queues::queues),
    workload("W7", "ropes of 100,000 characters, a commit for each change", ropes::ropes),
    workload("W8", "a commit among 1,000 and 1,000,000 keys", commits::growth),
];

const fn workload(
    name: &'static str,
    title: &'static str,
    run: fn(&mut Table, &Kind<'_>, usize),
) -> Workload {
    Workload { name, title, run }
}

impl Workload {
    /// Whether it is one of those asked for by name, of which none means all.
    pub(crate) fn is_among(&self, only: &[String]) -> bool {
        only.is_empty() || only.iter().any(|only| only.eq_ignore_ascii_case(self.name))
    }

    /// Its figures on these backends, for about `n` operations.
    pub(crate) fn table(&self, kinds: &[Kind<'_>], n: usize) -> Table {
        let mut table = Table::new(self.name, self.title);
        kinds.iter().for_each(|kind| (self.run)(&mut table, kind, n));
        table
    }
}
