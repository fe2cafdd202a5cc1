//! Owns the tests of maps: against directories, which merge in the same way.

use std::sync::Arc;

use jitsu_store::{Contents, Map, Merged, Store, Tree, Why};
use proptest::prelude::*;

use crate::counted::Counted;
use crate::fixture::{at, branch, path, text};

/// A map, and a directory of the same.
#[derive(Clone, Debug)]
struct Both {
    map: Vec<(u8, Contents)>,
}

impl Both {
    fn map(&self) -> Contents {
        let mut map = Map::new();
        self.map.iter().for_each(|(key, contents)| map.set([*key], contents.clone()));
        Contents::Map(map)
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::empty();
        for (key, contents) in &self.map {
            tree.set(&path(&format!("{key:03}")), contents.clone()).unwrap();
        }
        tree
    }
}

fn shown(contents: &Contents) -> Vec<String> {
    let Contents::Map(map) = contents else { panic!("{contents}") };
    let shown = |(key, contents): (&[u8], Contents)| format!("{:03}={contents}", key[0]);
    map.iter().map(|entry| shown(entry.unwrap())).collect()
}

fn any_contents() -> impl Strategy<Value = Contents> {
    prop_oneof![
        3 => (0..3i64).prop_map(Contents::Counter),
        1 => (0..3u8).prop_map(|it| text(&it.to_string().repeat(if it == 2 { 100 } else { 1 }))),
        1 => (0..3u8).prop_map(|it| Contents::set([it.to_string()])),
    ]
}

fn any_both() -> impl Strategy<Value = Both> {
    prop::collection::vec((0..8u8, any_contents()), 0..8).prop_map(|map| Both { map })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_map_merges_as_a_directory_does(base in any_both(), a in any_both(), b in any_both()) {
        let store = Store::memory();
        let in_tree = store.merge_trees(&base.tree(), &a.tree(), &b.tree()).unwrap();
        let in_map = Contents::merge(Some(&base.map()), &a.map(), &b.map()).unwrap();
        match (in_tree, in_map) {
            (Ok(tree), Ok(map)) => {
                prop_assert_eq!(shown(&map), crate::fixture::shown(&tree));
                let swapped = Contents::merge(Some(&base.map()), &b.map(), &a.map()).unwrap();
                prop_assert_eq!(swapped.unwrap(), map);
            }
            (Err(conflicts), Err(Why::Key { key, why })) => {
                prop_assert_eq!(conflicts[0].path.to_string(), format!("{:03}", key[0]));
                prop_assert_eq!(&conflicts[0].why, &*why);
            }
            (tree, map) => panic!("{tree:?} and {map:?}"),
        }
    }

    #[test]
    fn a_map_is_found_as_it_was_left(both in any_both(), removed in 0..8u8) {
        let store = Store::on(Arc::new(Counted::default())).unwrap();
        let mut batch = store.batch();
        let mut tree = Tree::empty();
        tree.set(&path("map"), both.map()).unwrap();
        let commit = batch.commit(&branch("main"), tree, at(0)).unwrap();
        batch.publish().unwrap();
        let tree = store.commit(&commit.id()).unwrap().unwrap().tree();
        let Some(Contents::Map(mut map)) = tree.get(&path("map")).unwrap() else { panic!() };
        prop_assert_eq!(shown(&Contents::Map(map.clone())), crate::fixture::shown(&both.tree()));
        let is_there = map.get([removed]).unwrap().is_some();
        let len = map.len();
        prop_assert_eq!(map.remove([removed]), is_there);
        prop_assert_eq!(map.len(), len - usize::from(is_there));
        prop_assert!(map.get([removed]).unwrap().is_none());
    }
}

#[test]
fn a_conflict_names_the_key() {
    let store = Store::memory();
    let with = |value: &str| {
        let (mut tree, mut map, mut inner) = (Tree::empty(), Map::new(), Map::new());
        inner.set("inner", text(value));
        map.set("outer", Contents::Map(inner));
        tree.set(&path("map"), Contents::Map(map)).unwrap();
        tree
    };
    let conflicts = store.merge_trees(&with("0"), &with("1"), &with("2")).unwrap().unwrap_err();
    let why = "at the key \"outer\": at the key \"inner\": both sides changed it";
    assert_eq!(conflicts[0].why.to_string(), why);
}

/// Maps in maps, deeper than any merge goes.
#[test]
fn contents_that_are_too_deep_are_an_error() {
    let nested = |value: &str| {
        let mut contents = text(value);
        for _ in 0..300 {
            let mut map = Map::new();
            map.set("filler", text(&"x".repeat(100)));
            map.set("below", contents);
            contents = Contents::Map(map);
        }
        contents
    };
    let (base, first, second) = (nested("0"), nested("1"), nested("2"));
    let merged = Contents::merge(Some(&base), &first, &second);
    assert!(matches!(merged, Err(jitsu_store::StorageError::TooDeep { .. })));
    let store = Store::memory();
    let mut batch = store.batch();
    let mut tree = Tree::empty();
    tree.set(&path("deep"), base).unwrap();
    let commit = batch.commit(&branch("main"), tree, at(0)).unwrap();
    assert!(matches!(batch.merge(&branch("new"), &commit.id(), at(1)), Ok(Merged::Commit(_))));
}
