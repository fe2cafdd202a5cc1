//! Owns the tests of types that a user defines, and of what they can be made of.

use std::collections::{BTreeMap, BTreeSet};

use jitsu_store::{Contents, Count, Custom, Mergeable, Store, Tree, Why};
use proptest::prelude::*;

use crate::fixture::path;

/// Something of everything.
type Parts =
    ((Count, String), (Option<u64>, (Vec<bool>, (BTreeSet<String>, BTreeMap<u64, Count>))));

#[derive(Clone, Debug, PartialEq)]
struct Everything(Parts);

impl Custom for Everything {
    const NAME: &'static str = "test.everything";
    type Parts = Parts;

    fn parts(&self) -> Parts {
        self.0.clone()
    }

    fn from_parts(parts: Parts) -> Option<Everything> {
        Some(Everything(parts))
    }
}

/// A number of which the greatest wins, and which is even.
#[derive(Clone, Debug, PartialEq)]
struct Even(u64);

impl Custom for Even {
    const NAME: &'static str = "test.even";
    type Parts = u64;

    fn parts(&self) -> u64 {
        self.0
    }

    fn from_parts(number: u64) -> Option<Even> {
        number.is_multiple_of(2).then_some(Even(number))
    }

    fn merge(_: Option<&Even>, first: &Even, second: &Even) -> Result<Even, Why> {
        Ok(Even(first.0.max(second.0)))
    }
}

/// Another type of the same form.
struct Other(u64);

impl Custom for Other {
    const NAME: &'static str = "test.other";
    type Parts = u64;

    fn parts(&self) -> u64 {
        self.0
    }

    fn from_parts(number: u64) -> Option<Other> {
        Some(Other(number))
    }
}

fn one(contents: Contents) -> Tree {
    let mut tree = Tree::empty();
    tree.set(&path("x"), contents).unwrap();
    tree
}

fn merge(store: &Store, base: Contents, ours: Contents, theirs: Contents) -> Result<Contents, Why> {
    let merged = store.merge_trees(&one(base), &one(ours), &one(theirs)).unwrap();
    match merged {
        Ok(tree) => Ok(tree.get(&path("x")).unwrap().unwrap()),
        Err(conflicts) => Err(conflicts[0].why.clone()),
    }
}

#[test]
fn a_type_is_merged_by_its_own_rule_once_it_is_known() {
    let store = Store::memory();
    let even = |number| Contents::custom(&Even(number));
    assert_eq!(merge(&store, even(0), even(2), even(4)), Err(Why::Unregistered));
    assert_eq!(merge(&store, even(0), even(2), even(0)), Ok(even(2)), "one side needs no merge");
    store.register::<Even>();
    let merged = merge(&store, even(0), even(2), even(4)).unwrap();
    assert_eq!(merged.as_custom::<Even>().unwrap(), Some(Even(4)));
    assert_eq!(merged.as_custom::<Other>().unwrap().map(|it| it.0), None);
    assert_eq!(merged.to_string(), "test.even in 1 bytes");
    store.register::<Other>();
    let other = Contents::custom(&Other(3));
    assert_eq!(merge(&store, even(0), even(2), other.clone()), Err(Why::Kinds));
    assert_eq!(merge(&store, other, even(2), even(4)), Err(Why::Kinds));
}

/// Bytes that are no value of the type that they are said to be of.
#[test]
fn a_value_that_its_type_cannot_read_is_a_conflict() {
    struct Odd(u64);
    impl Custom for Odd {
        const NAME: &'static str = Even::NAME;
        type Parts = u64;
        fn parts(&self) -> u64 {
            self.0
        }
        fn from_parts(number: u64) -> Option<Odd> {
            Some(Odd(number))
        }
    }
    let store = Store::memory();
    store.register::<Even>();
    let (even, odd) = (|number| Contents::custom(&Even(number)), Contents::custom(&Odd(3)));
    assert!(odd.as_custom::<Even>().is_err());
    assert_eq!(merge(&store, even(0), even(2), odd), Err(Why::Unreadable));
}

fn any_parts() -> impl Strategy<Value = Parts> {
    let lists =
        (prop::collection::vec(any::<bool>(), 0..3), prop::collection::btree_set("[ab]", 0..3));
    let map = prop::collection::btree_map(0..3u64, (0..3i64).prop_map(Count), 0..3);
    let single = (0..3i64, "[ab]", prop::option::of(0..3u64));
    (single, lists, map).prop_map(|((count, text, option), (list, set), map)| {
        ((Count(count), text), (option, (list, (set, map))))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn values_are_found_as_they_were_left(parts in any_parts()) {
        let value = Everything(parts);
        let contents = Contents::custom(&value);
        prop_assert_eq!(contents.as_custom::<Everything>().unwrap(), Some(value));
    }

    #[test]
    fn what_is_made_of_parts_merges_part_by_part(
        base in any_parts(), a in any_parts(), b in any_parts(),
    ) {
        let store = Store::memory();
        store.register::<Everything>();
        let contents = |parts: &Parts| Contents::custom(&Everything(parts.clone()));
        let merged = merge(&store, contents(&base), contents(&a), contents(&b));
        let swapped = merge(&store, contents(&base), contents(&b), contents(&a));
        prop_assert_eq!(&merged, &swapped);
        // Whether there is a conflict, part by part.
        let ((_, text), (option, (list, (_, map)))) = &base;
        let ((a_count, a_text), (a_option, (a_list, (a_set, a_map)))) = &a;
        let ((b_count, b_text), (b_option, (b_list, (b_set, b_map)))) = &b;
        let parts = (
            String::merge(Some(text), a_text, b_text),
            Option::merge(Some(option), a_option, b_option),
            Vec::merge(Some(list), a_list, b_list),
            Mergeable::merge(Some(map), a_map, b_map),
        );
        match (merged, parts) {
            (Ok(merged), (Ok(text), Ok(option), Ok(list), Ok(map))) => {
                let Everything(merged) = merged.as_custom().unwrap().unwrap();
                let ((count, merged_text), rest) = merged;
                prop_assert_eq!(count.0, a_count.0 + b_count.0 - base.0.0.0);
                prop_assert_eq!((merged_text, rest.0, rest.1.0), (text, option, list));
                prop_assert!(a_set.intersection(b_set).all(|it| rest.1.1.0.contains(it)));
                prop_assert_eq!(rest.1.1.1, map);
            }
            (Err(_), (Ok(_), Ok(_), Ok(_), Ok(_))) => panic!("a conflict of nothing"),
            // A side that did nothing has no say, not even where a part alone would conflict.
            (Ok(merged), _) => prop_assert!([contents(&a), contents(&b)].contains(&merged)),
            (Err(_), _) => {}
        }
    }
}

#[test]
fn parts_merge_as_they_say() {
    let map = |entries: &[(u64, i64)]| -> BTreeMap<u64, Count> {
        entries.iter().map(|(key, count)| (*key, Count(*count))).collect()
    };
    let merged = Mergeable::merge(
        Some(&map(&[(1, 1), (2, 2)])),
        &map(&[(1, 5)]),
        &map(&[(1, 2), (2, 2), (3, 3)]),
    );
    assert_eq!(merged, Ok(map(&[(1, 6), (3, 3)])));
    let merged = Mergeable::merge(Some(&map(&[(2, 2)])), &map(&[]), &map(&[(2, 3)]));
    assert_eq!(merged, Err(Why::ChangedAndRemoved));
    let list = |counts: &[i64]| counts.iter().map(|it| Count(*it)).collect::<Vec<_>>();
    assert_eq!(
        Mergeable::merge(Some(&list(&[1, 1])), &list(&[2, 1]), &list(&[3, 4])),
        Ok(list(&[4, 4]))
    );
    let longer = Mergeable::merge(Some(&list(&[1])), &list(&[1, 2]), &list(&[3]));
    assert_eq!(longer, Err(Why::BothChanged));
    assert_eq!(Mergeable::merge(Some(&list(&[1])), &list(&[1]), &list(&[])), Ok(list(&[])));
    let none: Option<Count> = None;
    assert_eq!(Mergeable::merge(Some(&none), &Some(Count(1)), &Some(Count(1))), Ok(Some(Count(2))));
}
