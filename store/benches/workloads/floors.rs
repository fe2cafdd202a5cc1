//! Owns what nobody can do without who does the same in memory: the floors of W1 and W4.

use std::collections::HashMap;
use std::sync::Arc;

use jitsu_store::{Contents, Meta, Path};
use rpds::HashTrieMapSync;

use crate::own::commits::sets;
use crate::own::kinds::{Random, meta};
use crate::own::reads::{READS, keys};
use crate::own::table::{Table, timed};

/// Measures the floor of a workload that has one.
pub(crate) fn beside(workload: &str, table: &mut Table, n: usize) {
    match workload {
        "W1" => versions(table, &sets(n)),
        "W4" => reads(table, &keys()),
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
