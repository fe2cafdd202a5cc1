//! Owns the tests of logs: against sorted lists, over random histories, and what they cost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jitsu_store::{Batch, Contents, Id, Journal, Logged, Merged, Store, Tree};
use proptest::prelude::*;

use crate::counted::{Cost, Counted};
use crate::fixture::{at, branch, merged, path};

/// A time and what was written down then.
type Entry = (u64, i64);

fn entries(journal: &Journal) -> Vec<Entry> {
    let entry = |logged: Logged| match logged.contents {
        Contents::Counter(number) => (logged.time_ms, number),
        other => panic!("{other}"),
    };
    journal.iter().map(|logged| entry(logged.unwrap())).collect()
}

fn get(tree: &Tree) -> Journal {
    match tree.get(&path("log")).unwrap() {
        Some(Contents::Log(journal)) => journal,
        None => Journal::new(),
        Some(other) => panic!("{other}"),
    }
}

/// Adds entries to the log of a branch, in a commit.
fn append(batch: &mut Batch, to: &str, time: u64, new: &[Entry]) -> Id {
    let to = branch(to);
    let mut tree = batch.head(&to).unwrap().map(|head| head.tree()).unwrap_or_default();
    let mut journal = get(&tree);
    for (time_ms, number) in new {
        journal.append(*time_ms, Contents::Counter(*number)).unwrap();
    }
    tree.set(&path("log"), Contents::Log(journal)).unwrap();
    batch.commit(&to, tree, at(time)).unwrap().id()
}

fn any_entries() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![
        prop::collection::vec(0..1000u64, 0..5),
        prop::collection::vec(0..20u64, 0..100),
        (0..1000u64, 0..200u64).prop_map(|(from, count)| (from..from + count).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_log_is_a_list_in_the_order_of_times(
        groups in prop::collection::vec(any_entries(), 1..12),
    ) {
        let backend = Arc::new(Counted::default());
        let (mut model, mut next) = (Vec::new(), 0);
        for times in groups {
            // Each time a store that remembers nothing, so that all is loaded again.
            let store = Store::on(backend.clone()).unwrap();
            let mut batch = store.batch();
            let new: Vec<Entry> = times.into_iter().zip(next..).collect();
            next += new.len() as i64;
            append(&mut batch, "main", 0, &new);
            model.extend(new);
            batch.publish().unwrap();
            let journal = get(&store.head(&branch("main")).unwrap().unwrap().tree());
            prop_assert_eq!(journal.len(), model.len() as u64);
            prop_assert_eq!(journal.is_empty(), model.is_empty());
        }
        model.sort_by_key(|(time, _)| *time);
        model.reverse();
        let store = Store::on(backend).unwrap();
        let journal = get(&store.head(&branch("main")).unwrap().unwrap().tree());
        prop_assert_eq!(entries(&journal), model);
    }

    #[test]
    fn histories_keep_every_entry_once(
        actions in prop::collection::vec((0..3usize, 0..3usize, any_entries(), 0..1000u64), 1..25),
    ) {
        let backend = Arc::new(Counted::default());
        // For each commit, the entries that were added on the way to it.
        let mut known: BTreeMap<Id, BTreeSet<usize>> = BTreeMap::new();
        let (mut heads, mut all) = ([None; 3], Vec::new());
        for (on, from, times, time) in actions {
            let store = Store::on(backend.clone()).unwrap();
            let mut batch = store.batch();
            let name = |number: usize| format!("branch/{number}");
            let before = heads[on].map(|head: Id| known[&head].clone()).unwrap_or_default();
            let commit = if on == from {
                // Many are alike: of those, too, each is kept.
                let new: Vec<Entry> = times.iter().map(|time| (*time, *time as i64 % 2)).collect();
                let numbers = all.len()..all.len() + new.len();
                all.extend(new.iter().copied());
                let commit = append(&mut batch, &name(on), time, &new);
                known.insert(commit, before.into_iter().chain(numbers).collect());
                commit
            } else {
                let Some(theirs) = heads[from] else { continue };
                let mut mirror = None;
                if let Some(ours) = heads[on] {
                    batch.set(&branch("mirror"), &theirs).unwrap();
                    mirror = Some(batch.merge(&branch("mirror"), &ours, at(time)).unwrap());
                }
                match batch.merge(&branch(&name(on)), &theirs, at(time)).unwrap() {
                    Merged::Already => continue,
                    Merged::Conflicts(conflicts) => panic!("{}", conflicts[0]),
                    Merged::Commit(commit) => {
                        if let Some(Merged::Commit(mirror)) = mirror {
                            assert_eq!(mirror.tree(), commit.tree(), "it depends on who merges");
                        }
                        let both = before.union(&known[&theirs]).copied().collect();
                        known.insert(commit.id(), both);
                        commit.id()
                    }
                }
            };
            heads[on] = Some(commit);
            batch.publish().unwrap();
            let mut expected: Vec<Entry> = known[&commit].iter().map(|it| all[*it]).collect();
            let mut found = entries(&get(&store.commit(&commit).unwrap().unwrap().tree()));
            prop_assert!(found.iter().rev().is_sorted_by_key(|(time, _)| *time));
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn adding_an_entry_costs_about_one_object() {
    let backend = Arc::new(Counted::default());
    let store = Store::on(backend.clone()).unwrap();
    let mut batch = store.batch();
    let many: Vec<Entry> = (0..50_000).map(|it| (it, it as i64)).collect();
    append(&mut batch, "main", 0, &many);
    batch.publish().unwrap();
    backend.cost();
    let times = 320;
    for time in 0..times {
        let mut batch = store.batch();
        append(&mut batch, "main", time, &[(50_000 + time, 0)]);
        batch.publish().unwrap();
    }
    let Cost { reads, writes } = backend.cost();
    assert!(reads < times / 20, "{reads} reads for {times} entries");
    assert!(writes * 100 < times * 120, "{writes} writes for {times} entries");
}

#[test]
fn a_merge_costs_what_was_added() {
    for n in [1000, 100_000] {
        let backend = Arc::new(Counted::default());
        let store = Store::on(backend.clone()).unwrap();
        let mut batch = store.batch();
        let many: Vec<Entry> = (0..n).map(|it| (it, it as i64)).collect();
        let base = append(&mut batch, "main", 0, &many);
        batch.set(&branch("side"), &base).unwrap();
        let new = |first: u64| (0..50).map(|it| (n + 2 * it + first, 0)).collect::<Vec<Entry>>();
        append(&mut batch, "main", 1, &new(0));
        let side = append(&mut batch, "side", 2, &new(1));
        batch.publish().unwrap();
        let store = Store::on(backend.clone()).unwrap();
        backend.cost();
        let both = merged(store.merge(&branch("main"), &side, at(3)).unwrap());
        let Cost { reads, writes } = backend.cost();
        assert!(reads <= 30 && writes <= 16, "{n}: {reads} reads, {writes} writes");
        let newest: Vec<u64> =
            entries(&get(&both.tree())).iter().take(100).map(|it| it.0).collect();
        assert_eq!(newest, (n..n + 100).rev().collect::<Vec<_>>());
    }
}
