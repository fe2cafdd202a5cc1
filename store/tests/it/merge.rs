//! Owns the tests of merges: what conflicts, the laws, and the cost.

use std::sync::Arc;

use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::{Commit, Conflict, Contents, Merged, Path, Register, Store, Tree, Why};
use proptest::prelude::*;

use crate::counted::Counted;
use crate::disk::SimDisk;
use crate::fixture::{all, at, branch, merged, path, shown, text, tree, write};

type Entries<'a> = &'a [(&'a str, &'a str)];

fn merge(base: Entries<'_>, ours: Entries<'_>, theirs: Entries<'_>) -> Vec<String> {
    merge_trees(&tree(base), &tree(ours), &tree(theirs))
}

/// The merged tree, or the conflicts; the same with the sides swapped.
fn merge_trees(base: &Tree, ours: &Tree, theirs: &Tree) -> Vec<String> {
    let store = Store::memory();
    let one = store.merge_trees(base, ours, theirs).unwrap();
    let other = store.merge_trees(base, theirs, ours).unwrap();
    match (one, other) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.id(), other.id());
            shown(&one)
        }
        (Err(one), Err(other)) => {
            let mirror = |it: &Conflict| {
                let Conflict { path, base, ours, theirs, why } = it.clone();
                Conflict { path, base, ours: theirs, theirs: ours, why }
            };
            assert_eq!(one, other.iter().map(mirror).collect::<Vec<_>>());
            one.iter().map(ToString::to_string).collect()
        }
        (one, other) => panic!("not symmetric: {one:?}, {other:?}"),
    }
}

#[test]
fn texts_merge_where_one_side_changed() {
    assert_eq!(
        merge(&[("a", "1"), ("b", "1")], &[("a", "2"), ("b", "1")], &[("a", "1"), ("b", "2")]),
        ["a=\"2\"", "b=\"2\""]
    );
    assert_eq!(merge(&[], &[("a", "1")], &[("b", "2")]), ["a=\"1\"", "b=\"2\""]);
    assert_eq!(merge(&[("a", "1")], &[], &[("a", "1")]), [""; 0]);
    assert_eq!(merge(&[("a", "1")], &[], &[]), [""; 0]);
    assert_eq!(merge(&[("a", "1")], &[("a", "2")], &[("a", "2")]), ["a=\"2\""]);
}

#[test]
fn conflicts_say_what_the_sides_hold() {
    assert_eq!(
        merge(&[("a/b", "1")], &[("a/b", "2")], &[("a/b", "3")]),
        ["a/b: both sides changed it (base \"1\", ours \"2\", theirs \"3\")"]
    );
    assert_eq!(
        merge(&[], &[("a", "2")], &[("a", "3")]),
        ["a: both sides changed it (base nothing, ours \"2\", theirs \"3\")"]
    );
    assert_eq!(
        merge(&[("a", "1")], &[], &[("a", "3")]),
        ["a: one side changed it and the other removed it \
          (base \"1\", ours nothing, theirs \"3\")"]
    );
    assert_eq!(
        merge(&[("a", "1")], &[("a", "2")], &[("a/b", "3")]),
        ["a: one side has contents where the other has a directory \
          (base \"1\", ours \"2\", theirs a directory)"]
    );
    assert_eq!(
        merge(&[], &[("z", "1"), ("a", "1")], &[("a", "2"), ("z", "2")]).len(),
        2,
        "all conflicts are told, in the order of paths"
    );
}

#[test]
fn a_directory_that_one_side_removed_conflicts_only_where_the_other_changed_it() {
    let base: Entries<'_> = &[("a/b", "1"), ("a/c", "1")];
    assert_eq!(merge(base, &[], base), [""; 0]);
    assert_eq!(merge(base, &[], &[("a/b", "1"), ("a/c", "1"), ("a/d", "2")]), ["a/d=\"2\""]);
    assert_eq!(
        merge(base, &[], &[("a/b", "2"), ("a/c", "1")]),
        ["a/b: one side changed it and the other removed it \
          (base \"1\", ours nothing, theirs \"2\")"]
    );
    // The same change of contents into a directory, and in there different ones.
    assert_eq!(
        merge(&[("a", "1")], &[("a/b", "2")], &[("a/c", "3")]),
        ["a: one side has contents where the other has a directory \
          (base \"1\", ours a directory, theirs a directory)"]
    );
}

fn one(contents: Option<Contents>) -> Tree {
    let mut tree = Tree::empty();
    if let Some(contents) = contents {
        tree.set(&path("x"), contents).unwrap();
    }
    tree
}

fn merge_contents(base: Option<Contents>, ours: Contents, theirs: Contents) -> String {
    let merged = merge_trees(&one(base), &one(Some(ours)), &one(Some(theirs)));
    assert_eq!(merged.len(), 1);
    merged[0].clone()
}

fn register(time_ms: u64, tie_break: u64, value: &str) -> Contents {
    Contents::Register(Register { time_ms, tie_break, value: value.as_bytes().into() })
}

#[test]
fn counters_add_up() {
    use Contents::Counter;
    assert_eq!(merge_contents(Some(Counter(5)), Counter(7), Counter(4)), "x=counter 6");
    assert_eq!(merge_contents(None, Counter(7), Counter(4)), "x=counter 11");
    // Both added one: that the sides are the same does not make it one addition.
    assert_eq!(merge_contents(Some(Counter(1)), Counter(2), Counter(2)), "x=counter 3");
    let large = Counter(i64::MAX);
    let merged = merge_contents(Some(Counter(0)), large.clone(), large);
    assert!(merged.contains("does not fit"), "{merged}");
    let kinds = merge_contents(Some(Counter(0)), Counter(1), text("1"));
    assert!(kinds.contains("different kinds"), "{kinds}");
    let was_text = merge_contents(Some(text("0")), Counter(1), Counter(2));
    assert!(was_text.contains("different kinds"), "{was_text}");
}

#[test]
fn equal_counters_add_up_in_directories_that_are_the_same() {
    let with = |count| {
        let mut tree = Tree::empty();
        tree.set(&path("a/b/count"), Contents::Counter(count)).unwrap();
        tree
    };
    let side = with(2);
    assert_eq!(merge_trees(&with(1), &side, &side.clone()), ["a/b/count=counter 3"]);
}

#[test]
fn the_last_register_wins() {
    let base = Some(register(1, 0, "base"));
    let merge = |ours, theirs| merge_contents(base.clone(), ours, theirs);
    assert_eq!(merge(register(3, 0, "a"), register(2, 9, "b")), "x=\"a\" at 3 ms");
    assert_eq!(merge(register(3, 1, "a"), register(3, 2, "b")), "x=\"b\" at 3 ms");
    assert_eq!(merge(register(3, 1, "a"), register(3, 1, "b")), "x=\"b\" at 3 ms");
    // An older clock on one side only is no reason to lose its change.
    assert_eq!(merge(register(0, 0, "late"), register(1, 0, "base")), "x=\"late\" at 0 ms");
}

#[test]
fn sets_take_all_additions_and_removals() {
    let base = Contents::set(["a", "b", "c"]);
    let merged =
        merge_contents(Some(base), Contents::set(["a", "b", "d"]), Contents::set(["b", "c", "e"]));
    assert_eq!(merged, "x={\"b\", \"d\", \"e\"}");
    assert_eq!(
        merge_contents(None, Contents::set(["a"]), Contents::set(["b"])),
        "x={\"a\", \"b\"}"
    );
}

#[test]
fn a_conflict_leaves_everything_as_it_was() {
    let store = Store::memory();
    write(&store, "main", "a", "1", 1);
    let mut batch = store.batch();
    let base = batch.head(&branch("main")).unwrap().unwrap().id();
    batch.set(&branch("side"), &base).unwrap();
    batch.publish().unwrap();
    let main = write(&store, "main", "a", "2", 2);
    let side = write(&store, "side", "a", "3", 3);
    let Merged::Conflicts(conflicts) = store.merge(&branch("main"), &side.id(), at(4)).unwrap()
    else {
        panic!("merged")
    };
    assert_eq!(conflicts[0].path, path("a"));
    assert_eq!(conflicts[0].why, Why::BothChanged);
    assert_eq!(store.head(&branch("main")).unwrap().unwrap().id(), main.id());
}

#[test]
fn a_merge_always_says_who_merged() {
    let store = Store::memory();
    let first = write(&store, "main", "a", "1", 1);
    let mut batch = store.batch();
    batch.set(&branch("side"), &first).unwrap();
    batch.publish().unwrap();
    let side = write(&store, "side", "a", "2", 2);
    // Git would move the head and forget it.
    let commit = merged(store.merge(&branch("main"), &side.id(), at(3)).unwrap());
    assert_eq!(commit.parents(), [first.id(), side.id()]);
    assert_eq!(commit.tree(), side.tree());
    for known in [first.id(), side.id(), commit.id()] {
        let again = store.merge(&branch("main"), &known, at(4)).unwrap();
        assert!(matches!(again, Merged::Already), "{again:?}");
    }
    let new = merged(store.merge(&branch("new"), &side.id(), at(5)).unwrap());
    assert_eq!(new.parents(), [side.id()]);
}

#[test]
fn a_commit_is_reverted_by_merging_backwards() {
    let store = Store::memory();
    let before = write(&store, "main", "a", "1", 1);
    let bad = write(&store, "main", "a", "2", 2);
    let now = write(&store, "main", "b", "3", 3);
    let reverted = store.merge_trees(&bad.tree(), &now.tree(), &before.tree()).unwrap().unwrap();
    assert_eq!(shown(&reverted), ["a=\"1\"", "b=\"3\""]);
}

/// Commits `value` on top of `ours`, which takes `theirs` as merged although they conflict.
fn settle(store: &Store, name: &str, ours: &Commit, theirs: &Commit, value: &str) -> Commit {
    let (settled, agreed) = (branch(&format!("{name}/settled")), branch(&format!("{name}/agreed")));
    let mut batch = store.batch();
    batch.set(&settled, ours).unwrap();
    batch.set(&agreed, theirs).unwrap();
    // A commit on their side that agrees with ours can be merged.
    let agreed = batch.commit(&agreed, ours.tree(), at(100)).unwrap();
    merged(batch.merge(&settled, &agreed.id(), at(101)).unwrap());
    let commit = batch.commit(&settled, tree(&[("x", value)]), at(102)).unwrap();
    batch.publish().unwrap();
    commit
}

/// Two branches merge each other's conflicting versions, and settle the conflict differently: the
/// merged base must not take the side of one of the versions, or the other's decision is lost.
#[test]
fn bases_that_conflict_do_not_decide_for_anyone() {
    let store = Store::memory();
    let root = write(&store, "a", "x", "0", 1);
    let mut batch = store.batch();
    batch.set(&branch("b"), &root).unwrap();
    batch.publish().unwrap();
    let a = write(&store, "a", "x", "1", 2);
    let b = write(&store, "b", "x", "2", 3);
    let other = settle(&store, "other", &b, &a, "other");
    for value in ["0", "1", "2", "3"] {
        let one = settle(&store, &format!("one/{value}"), &a, &b, value);
        let mut expected = vec![a.id(), b.id()];
        expected.sort_unstable();
        assert_eq!(store.lcas(&one.id(), &other.id()).unwrap(), expected);
        let into = branch(&format!("one/{value}/settled"));
        let result = store.merge(&into, &other.id(), at(30)).unwrap();
        assert!(matches!(result, Merged::Conflicts(_)), "{value}: {result:?}");
        let same = settle(&store, &format!("same/{value}"), &b, &a, value);
        merged(store.merge(&into, &same.id(), at(50)).unwrap());
    }
}

/// A thousand subjects, each with a branch of its own that is merged into `main` at every step.
#[test]
fn merging_a_subject_costs_what_changed() {
    let disk = Arc::new(SimDisk::new());
    let backend = Log::open_on(disk.clone(), LogOptions::default()).unwrap();
    let store = Store::on(Arc::new(backend)).unwrap();
    let main = branch("main");
    let step = |subject: usize, round: u64| {
        let name = branch(&format!("domain/{subject}"));
        let mut batch = store.batch();
        let head = batch.head(&name).unwrap();
        let mut tree = head.map(|head| head.tree()).unwrap_or_default();
        let at_path = path(&format!("domains/{subject}/wanted"));
        tree.set(&at_path, text(&round.to_string())).unwrap();
        let commit = batch.commit(&name, tree, at(round)).unwrap();
        merged(batch.merge(&main, &commit.id(), at(round)).unwrap());
        let syncs = disk.syncs();
        batch.publish().unwrap();
        assert_eq!(disk.syncs(), syncs + 1, "one flush for both branches");
    };
    for subject in 0..1000 {
        step(subject, 0);
    }
    let before = disk.bytes_written();
    for round in 1..=10 {
        step(500, round);
    }
    let written = (disk.bytes_written() - before) / 10;
    assert!(written < 8 << 10, "{written} bytes for one step of one subject");
    let tree = store.head(&main).unwrap().unwrap().tree();
    assert_eq!(tree.list(&path("domains")).unwrap().len(), 1000);
    assert_eq!(tree.get(&path("domains/500/wanted")).unwrap(), Some(text("10")));
}

/// A step of a subject, merged into `main`.
fn step(store: &Store, subject: &str, value: u64) {
    let name = branch(&format!("domain/{subject}"));
    let mut batch = store.batch();
    let head = batch.head(&name).unwrap();
    let mut tree = head.map_or_else(Tree::empty, |head| head.tree());
    tree.set(&path(&format!("domains/{subject}")), text(&value.to_string())).unwrap();
    let commit = batch.commit(&name, tree, at(value)).unwrap();
    merged(batch.merge(&branch("main"), &commit.id(), at(value)).unwrap());
    batch.publish().unwrap();
}

#[test]
fn merging_a_subject_of_long_ago_does_not_walk_the_history() {
    let backend = Arc::new(Counted::default());
    let store = Store::on(backend.clone()).unwrap();
    for subject in ["quiet", "silent"] {
        step(&store, subject, 0);
    }
    let busy = 5000;
    for value in 0..busy {
        step(&store, "busy", value);
    }
    backend.gets();
    step(&store, "quiet", 1);
    step(&store, "new", 1);
    let warm = backend.gets();
    assert!(warm < 50, "{warm} reads for one subject that was quiet and a new one");
    // One who has just opened the store walks once, and then knows.
    let store = Store::on(backend.clone()).unwrap();
    step(&store, "quiet", 2);
    backend.gets();
    step(&store, "silent", 1);
    let first = backend.gets();
    assert!(first < 3 * busy, "{first} reads to learn the history");
    step(&store, "quiet", 3);
    step(&store, "silent", 2);
    let again = backend.gets();
    assert!(again < 50, "{again} reads for what is known by now");
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let entry = ("[ab]/[0-9][0-9]?", 0..4i64, 0..3u8);
    prop::collection::vec(entry, 0..120).prop_map(|entries| {
        let mut tree = Tree::empty();
        for (at, value, kind) in entries {
            let contents = match kind {
                0 => text(&value.to_string()),
                1 => Contents::set([value.to_string()]),
                _ => register(value as u64, 0, "value"),
            };
            tree.set(&path(&at), contents).unwrap();
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_what_one_side_did_gives_that_side(base in any_tree(), side in any_tree()) {
        let store = Store::memory();
        for (ours, theirs) in [(&side, &base), (&base, &side), (&side, &side)] {
            let merged = store.merge_trees(&base, ours, theirs).unwrap().unwrap();
            prop_assert_eq!(merged.id(), side.id());
        }
    }

    #[test]
    fn merging_again_changes_nothing(base in any_tree(), a in any_tree(), b in any_tree()) {
        let store = Store::memory();
        let once = store.merge_trees(&base, &a, &b).unwrap();
        if let Ok(once) = once {
            // Theirs is in it by now, and is the base of merging it again.
            let again = store.merge_trees(&b, &once, &b).unwrap().unwrap();
            prop_assert_eq!(again.id(), once.id());
        }
    }

    #[test]
    fn conflicts_and_results_do_not_depend_on_the_side(
        base in any_tree(), a in any_tree(), b in any_tree(),
    ) {
        merge_trees(&base, &a, &b);
    }

    #[test]
    fn edits_in_different_places_all_happen(
        base in any_tree(),
        a in prop::collection::vec(("[0-9][0-9]", any::<i64>()), 0..60),
        b in prop::collection::vec(("[0-9][0-9]", any::<i64>()), 0..60),
    ) {
        let edited = |side: &str, edits: &[(String, i64)]| {
            let mut tree = base.clone();
            for (step, value) in edits {
                // Directories of the base are shared: the steps of the sides are not.
                let at = path(&format!("a/{side}{step}"));
                tree.set(&at, Contents::Counter(*value)).unwrap();
            }
            tree
        };
        let (ours, theirs) = (edited("ours", &a), edited("theirs", &b));
        let store = Store::memory();
        let merged = store.merge_trees(&base, &ours, &theirs).unwrap().unwrap();
        let mut expected = all(&ours);
        expected.extend(all(&theirs));
        prop_assert_eq!(all(&merged), expected.clone());
        let mut rebuilt = Tree::empty();
        for (path, contents) in expected {
            let path: Path = path;
            rebuilt.set(&path, contents).unwrap();
        }
        prop_assert_eq!(rebuilt.id(), merged.id());
    }
}
