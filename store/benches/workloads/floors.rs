//! Owns what nobody can do without who does the same in memory: the floors of W1, W4 and W6.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use jitsu_store::{Contents, Meta, Path};
use rpds::HashTrieMapSync;

use crate::own::commits::sets;
use crate::own::kinds::{Random, meta};
use crate::own::queues::LONG;
use crate::own::reads::{READS, keys};
use crate::own::table::{Table, timed};

/// Measures the floor of a workload that has one.
pub(crate) fn beside(workload: &str, table: &mut Table, n: usize) {
    match workload {
        "W1" => versions(table, &sets(n)),
        "W4" => reads(table, &keys()),
        "W6" => elements(table),
        _ => {}
    }
}

/// W1 as the bare path copying that it needs: an entry set in a map of which every version is kept,
/// with what is said of it, by pointer. Without directories, merges, ids, nor anybody else.
fn versions(table: &mut Table, entries: &[(Path, Contents)]) {
    table.measure("floor: rpds' persistent map, versions kept", entries.len(), None, || {
        let mut versions: Vec<Arc<(HashTrieMapSync<Path, Contents>, Meta)>> = Vec::new();
        let time = timed(|| {
            let mut map = HashTrieMapSync::new_sync();
            for (nth, (path, value)) in entries.iter().enumerate() {
                map = map.insert(path.clone(), value.clone());
                versions.push(Arc::new((map.clone(), meta(nth))));
            }
        });
        drop(versions);
        time
    });
}

/// W4 as the reads of a map that does nothing else.
fn reads(table: &mut Table, paths: &[Path]) {
    let entries = paths.iter().enumerate();
    let map: HashMap<&Path, Contents> =
        entries.map(|(key, path)| (path, Contents::text(format!("{key:0100}")))).collect();
    table.measure("floor: std's hash map", READS, None, || {
        let mut random = Random(1);
        timed(|| {
            for _ in 0..READS {
                let found = map.get(&paths[random.below(paths.len())]).cloned();
                assert!(found.is_some(), "it was put there");
            }
        })
    });
}

/// W6's sequence of pushes and pops in a queue that is changed in place, of which no version is
/// kept: of elements that can be shared, as those of a value that others hold must be.
fn elements(table: &mut Table) {
    let name = format!("floor: std's VecDeque, {LONG} pushes, as many pops");
    table.measure(name, 1, None, || {
        timed(|| {
            let mut queue: VecDeque<Arc<Contents>> = VecDeque::new();
            for element in 0..LONG {
                queue.push_back(Arc::new(Contents::Counter(element as i64)));
            }
            while let Some(element) = queue.pop_front() {
                std::hint::black_box(Contents::clone(&element));
            }
        })
    });
}
