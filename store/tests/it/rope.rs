//! Owns the tests of ropes: against plain texts, and what they cost.

mod merges;

use std::sync::Arc;

use jitsu_store::{Batch, ByteRope, Chunk, Contents, Rope, RopeError, Store, TextRope, Tree};
use proptest::prelude::*;

use crate::counted::{Cost, Counted};
use crate::fixture::{at, branch, merged, path};

/// A character that no other number has, of two to four bytes.
fn character(number: usize) -> char {
    let code = 0x100 + number as u32 * 37 % 0x4_0000;
    char::from_u32(code).unwrap_or_else(|| char::from_u32(0x5_0000 + code).unwrap())
}

fn characters(numbers: std::ops::Range<usize>) -> String {
    numbers.map(character).collect()
}

/// What `edit` makes of a rope that was saved, in a store that remembers nothing.
fn reloaded<C: Chunk>(
    rope: &Rope<C>,
    contents: fn(Rope<C>) -> Contents,
    back: fn(Contents) -> Rope<C>,
) -> Rope<C> {
    let store = Store::on(Arc::new(Counted::default())).unwrap();
    let mut batch = store.batch();
    let mut tree = Tree::empty();
    tree.set(&path("rope"), contents(rope.clone())).unwrap();
    let commit = batch.commit(&branch("main"), tree, at(0)).unwrap();
    batch.publish().unwrap();
    let tree = store.commit(&commit.id()).unwrap().unwrap().tree();
    back(tree.get(&path("rope")).unwrap().unwrap())
}

fn reload(rope: &TextRope) -> TextRope {
    reloaded(rope, Contents::TextRope, |contents| match contents {
        Contents::TextRope(rope) => rope,
        other => panic!("{other}"),
    })
}

fn text_of(tree: &Tree) -> TextRope {
    match tree.get(&path("text")).unwrap() {
        Some(Contents::TextRope(rope)) => rope,
        None => TextRope::new(),
        Some(other) => panic!("{other}"),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(prop::sample::Index, usize),
    Delete(prop::sample::Index, usize),
    Replace(prop::sample::Index, usize, usize),
    Set(prop::sample::Index),
    /// Splits, and puts the halves together the other way round.
    Swap(prop::sample::Index),
    Reload,
}

fn any_step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let count = || prop_oneof![4 => 0..20usize, 2 => 200..700usize, 1 => 1000..5000usize];
    prop_oneof![
        4 => (index(), count()).prop_map(|(at, count)| Step::Insert(at, count)),
        4 => (index(), count()).prop_map(|(at, count)| Step::Delete(at, count)),
        2 => (index(), count(), count()).prop_map(|(at, a, b)| Step::Replace(at, a, b)),
        1 => index().prop_map(Step::Set),
        2 => index().prop_map(Step::Swap),
        1 => Just(Step::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_rope_is_a_text(
        start in prop_oneof![3 => 0..10usize, 1 => 0..20_000usize],
        steps in prop::collection::vec(any_step(), 1..30),
    ) {
        let mut rope = TextRope::of(characters(0..start));
        let mut model: Vec<char> = characters(0..start).chars().collect();
        let mut next = start;
        for step in steps {
            let mut new = |count: usize| {
                next += count;
                characters(next - count..next)
            };
            let place = |at: prop::sample::Index, len: usize| at.index(len + 1);
            match step {
                Step::Insert(at, count) => {
                    let (at, new) = (place(at, model.len()), new(count));
                    rope.insert(at as u64, new.as_str()).unwrap();
                    model.splice(at..at, new.chars());
                }
                Step::Delete(at, count) => {
                    let from = place(at, model.len());
                    let to = model.len().min(from + count);
                    rope.delete(from as u64..to as u64).unwrap();
                    model.drain(from..to);
                }
                Step::Replace(at, count, by) => {
                    let from = place(at, model.len());
                    let (to, new) = (model.len().min(from + count), new(by));
                    rope.replace(from as u64..to as u64, new.as_str()).unwrap();
                    model.splice(from..to, new.chars());
                }
                Step::Set(at) if !model.is_empty() => {
                    let at = at.index(model.len());
                    let new = new(1);
                    model[at] = new.chars().next().unwrap();
                    rope.set(at as u64, new).unwrap();
                    prop_assert_eq!(rope.get(at as u64).unwrap(), Some(model[at]));
                }
                Step::Set(_) => prop_assert_eq!(rope.get(0).unwrap(), None),
                Step::Swap(at) => {
                    let at = place(at, model.len());
                    let mut after = rope.split(at as u64).unwrap();
                    prop_assert_eq!(after.len(), (model.len() - at) as u64);
                    after.append(&rope).unwrap();
                    rope = after;
                    model.rotate_left(at);
                }
                Step::Reload => rope = reload(&rope),
            }
            prop_assert_eq!(rope.len(), model.len() as u64);
            prop_assert_eq!(rope.is_empty(), model.is_empty());
        }
        let rope = reload(&rope);
        prop_assert_eq!(rope.text().unwrap(), model.iter().collect::<String>());
        let middle = model.len() / 2;
        let rest: String = rope.iter_from(middle as u64).map(Result::unwrap).collect();
        prop_assert_eq!(rest, model[middle..].iter().collect::<String>());
    }
}

#[test]
fn what_is_out_of_range_is_refused_and_changes_nothing() {
    let mut rope = TextRope::of("four");
    let beyond = |result: Result<(), RopeError>| {
        assert!(matches!(result, Err(RopeError::OutOfRange { len: 4, .. })), "{result:?}");
    };
    beyond(rope.insert(5, "x"));
    beyond(rope.set(4, "x"));
    beyond(rope.delete(2..5));
    beyond(rope.set(u64::MAX, "x"));
    beyond(rope.split(5).map(drop));
    let backwards = std::ops::Range { start: 3, end: 2 };
    assert!(matches!(rope.delete(backwards), Err(RopeError::Backwards { from: 3, to: 2 })));
    assert_eq!(rope.text().unwrap(), "four");
    assert_eq!(rope.get(4).unwrap(), None);
}

/// What one operation costs on a rope of 65,536 characters of which nothing is loaded.
fn cost(edit: impl Fn(&mut TextRope) -> Option<TextRope>) -> Cost {
    let backend = Arc::new(Counted::default());
    let store = Store::on(backend.clone()).unwrap();
    let text: String =
        (0..65_536).map(|it| char::from(b'a' + (it % 7 + it / 97 % 13) as u8)).collect();
    let set = |to: &mut Tree, at: &str, rope: TextRope| {
        to.set(&path(at), Contents::TextRope(rope)).unwrap();
    };
    let mut batch = store.batch();
    let mut tree = Tree::empty();
    set(&mut tree, "text", TextRope::of(text));
    batch.commit(&branch("main"), tree, at(0)).unwrap();
    batch.publish().unwrap();
    let store = Store::on(backend.clone()).unwrap();
    backend.cost();
    let mut batch = store.batch();
    let mut tree = batch.head(&branch("main")).unwrap().unwrap().tree();
    let mut rope = text_of(&tree);
    let other = edit(&mut rope);
    set(&mut tree, "text", rope);
    other.into_iter().for_each(|other| set(&mut tree, "other", other));
    batch.commit(&branch("main"), tree, at(1)).unwrap();
    batch.publish().unwrap();
    backend.cost()
}

#[test]
fn operations_read_and_write_a_path() {
    let check = |what: &str, cost: Cost, reads: u64, writes: u64| {
        assert!(cost.reads <= reads && cost.writes <= writes, "{what}: {cost:?}");
    };
    // The paper (Fig. 15): 20 and 20, 35 and 35, 440 and 125, 1440 and 540.
    let insert = |rope: &mut TextRope| rope.insert(30_000, "0123456789").map(|()| None).unwrap();
    check("insert", cost(insert), 3, 4);
    let delete = |rope: &mut TextRope| rope.delete(30_000..30_010).map(|()| None).unwrap();
    check("delete", cost(delete), 4, 4);
    let append = |rope: &mut TextRope| rope.append(&rope.clone()).map(|()| None).unwrap();
    check("append", cost(append), 6, 6);
    let split = |rope: &mut TextRope| rope.split(30_000).map(Some).unwrap();
    check("split", cost(split), 8, 10);
    let get = |rope: &mut TextRope| {
        assert!(rope.get(12_345).unwrap().is_some());
        None
    };
    // It is set again, which writes its root.
    check("get", cost(get), 3, 1);
}

/// Leaves that became small by many edits are joined with their neighbours.
#[test]
fn a_rope_that_shrank_is_few_objects() {
    let mut rope = TextRope::of("x".repeat(50_000));
    for at in (0..5000).rev() {
        rope.delete(10 * at..10 * at + 9).unwrap();
    }
    assert_eq!(rope.len(), 5000);
    let backend = Arc::new(Counted::default());
    let mut batch = Store::on(backend.clone()).unwrap().batch();
    let mut tree = Tree::empty();
    tree.set(&path("text"), Contents::TextRope(rope)).unwrap();
    batch.commit(&branch("main"), tree, at(0)).unwrap();
    let writes = backend.cost().writes;
    assert!(writes <= 1 + 5000 / 256, "{writes} objects");
}

#[test]
fn a_merge_costs_what_was_edited() {
    for (n, reads_max) in [(1000, 10), (100_000, 22), (2_000_000, 30)] {
        let backend = Arc::new(Counted::default());
        let store = Store::on(backend.clone()).unwrap();
        let mut batch = store.batch();
        let bytes: Vec<u8> = (0..n).map(|it: u64| (it * it % 251 + it / 1000) as u8).collect();
        let rope = ByteRope::of(bytes);
        let commit = |batch: &mut Batch, to: &str, rope: ByteRope, time: u64| {
            let mut tree = Tree::empty();
            tree.set(&path("bytes"), Contents::ByteRope(rope)).unwrap();
            batch.commit(&branch(to), tree, at(time)).unwrap()
        };
        let base = commit(&mut batch, "main", rope.clone(), 0);
        batch.set(&branch("side"), &base).unwrap();
        let edited = |at: u64| {
            let mut rope = rope.clone();
            rope.insert(at, vec![0; 10]).unwrap();
            rope
        };
        commit(&mut batch, "main", edited(n / 4), 1);
        let side = commit(&mut batch, "side", edited(n / 2), 2);
        batch.publish().unwrap();
        let store = Store::on(backend.clone()).unwrap();
        backend.cost();
        merged(store.merge(&branch("main"), &side.id(), at(3)).unwrap());
        let cost = backend.cost();
        assert!(cost.reads <= reads_max && cost.writes <= 10, "{n}: {cost:?}");
    }
}

#[test]
fn a_rope_of_one_leaf_more_than_fits_its_branches_can_be_loaded() {
    // Leaves are filled up to 768 of 1,024 bytes, and a branch has up to 32.
    for leaves in [1, 31, 32, 33, 64, 65, 1023, 1024, 1025, 4096, 4097] {
        let text = "x".repeat(768 * (leaves - 1) + 700);
        assert_eq!(reload(&TextRope::of(text.as_str())).text().unwrap(), text, "{leaves}");
    }
}

/// A rope of about 2^50 characters in some hundred objects, as anybody can send one.
fn vast() -> TextRope {
    let mut rope = TextRope::of("x".repeat(1000));
    for _ in 0..40 {
        let same = rope.clone();
        rope.append(&same).unwrap();
    }
    rope
}

#[test]
fn a_rope_that_is_shared_parts_goes_to_another_store_part_by_part() {
    let set = |store: &Store, contents: Contents| {
        store
            .update(&branch("main"), at(1), |tree| tree.set(&path("rope"), contents.clone()))
            .unwrap()
            .0
    };
    let open = || Store::on(Arc::new(Counted::default())).unwrap();
    let first = open();
    set(&first, Contents::TextRope(vast()));
    let stored = first.head(&branch("main")).unwrap().unwrap().tree();
    let stored = stored.get(&path("rope")).unwrap().unwrap();
    let second = open();
    let there = set(&second, stored.clone());
    assert_eq!(set(&first, Contents::TextRope(vast())).tree().id(), there.tree().id());
    let loaded = second.head(&branch("main")).unwrap().unwrap().tree();
    let loaded = loaded.get(&path("rope")).unwrap().unwrap();
    assert_eq!(loaded, stored);
    let Contents::TextRope(rope) = loaded else { panic!("another kind") };
    assert_eq!(rope.len(), 1000 << 40);
    assert_eq!(rope.get(1 << 49).unwrap(), Some('x'));
}
