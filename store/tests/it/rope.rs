//! Owns the tests of ropes: against plain texts, merges by character, and what they cost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jitsu_store::{
    Batch, ByteRope, Chunk, Commit, Contents, Id, ListRope, Merged, Rope, RopeError, Store,
    TextRope, Tree, Why,
};
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

/// Where two texts of unique characters differ.
fn hunks(base: &[char], side: &[char]) -> Vec<[usize; 4]> {
    let places: BTreeMap<char, usize> = side.iter().enumerate().map(|(at, it)| (*it, at)).collect();
    let (mut hunks, mut b, mut s) = (Vec::new(), 0, 0);
    let kept = base.iter().enumerate().filter_map(|(at, it)| Some((at, *places.get(it)?)));
    for (b_at, s_at) in kept.chain([(base.len(), side.len())]) {
        if (b, s) != (b_at, s_at) {
            hunks.push([b, b_at, s, s_at]);
        }
        (b, s) = (b_at + 1, s_at + 1);
    }
    hunks
}

/// The merge of texts of unique characters, the plain way; `None` where they conflict.
fn merge_texts(base: &[char], first: &[char], second: &[char]) -> Option<Vec<char>> {
    let side = |text: &[char]| -> Vec<(usize, usize, Vec<char>)> {
        let hunk = |[b, b_end, s, s_end]: [usize; 4]| (b, b_end, text[s..s_end].to_vec());
        hunks(base, text).into_iter().map(hunk).collect()
    };
    let mut edits = side(first);
    for edit in side(second) {
        if edits.contains(&edit) {
            continue;
        }
        let overlaps = |other: &&(usize, usize, Vec<char>)| {
            let (from, to) = (edit.0.max(other.0), edit.1.min(other.1));
            let is_inside = |a: &(usize, usize, Vec<char>), b: &(usize, usize, Vec<char>)| {
                a.0 == a.1 && b.0 < a.0 && a.0 < b.1
            };
            from < to || is_inside(&edit, other) || is_inside(other, &edit)
        };
        if edits.iter().any(|other| overlaps(&other)) {
            return None;
        }
        edits.push(edit);
    }
    // What is inserted comes before what is replaced from there on; the first side's first.
    edits.sort_by_key(|(from, to, _)| (*from, *to));
    let (mut merged, mut at) = (Vec::new(), 0);
    for (from, to, new) in edits {
        merged.extend_from_slice(&base[at..from]);
        merged.extend(new);
        at = to;
    }
    merged.extend_from_slice(&base[at..]);
    Some(merged)
}

fn merge(base: &TextRope, first: &TextRope, second: &TextRope) -> Result<String, Why> {
    let [base, first, second] = [base, first, second].map(|it| Contents::TextRope(it.clone()));
    match Contents::merge(Some(&base), &first, &second).unwrap()? {
        Contents::TextRope(rope) => {
            assert_eq!(reload(&rope).text().unwrap(), rope.text().unwrap());
            Ok(rope.text().unwrap())
        }
        other => panic!("{other}"),
    }
}

/// Replaces some characters by new ones.
#[derive(Clone, Debug)]
struct Edit {
    at: prop::sample::Index,
    remove: usize,
    insert: usize,
}

/// Some edits, which add so much at most each. There are so few that all are told apart, also
/// where they are in one leaf.
fn any_edits(count_max: usize, insert_max: usize) -> impl Strategy<Value = Vec<Edit>> {
    let insert = prop_oneof![6 => 0..6usize, 1 => 0..insert_max];
    let edit = (any::<prop::sample::Index>(), 0..6usize, insert);
    let edit = edit.prop_map(|(at, remove, insert)| Edit { at, remove, insert });
    prop::collection::vec(edit, 0..=count_max)
}

/// Does edits to a rope and to its model.
fn edit(rope: &mut TextRope, model: &mut Vec<char>, edits: &[Edit], next: &mut usize) {
    for Edit { at, remove, insert } in edits {
        let from = at.index(model.len() + 1);
        let to = model.len().min(from + remove);
        let new = characters(*next..*next + insert);
        *next += insert;
        rope.replace(from as u64..to as u64, new.as_str()).unwrap();
        model.splice(from..to, new.chars());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn edits_in_different_places_all_happen_and_others_conflict(
        len in prop_oneof![0..40usize, 500..20_000usize],
        ours in prop_oneof![any_edits(5, 80), any_edits(1, 4000)],
        theirs in prop_oneof![any_edits(5, 80), any_edits(1, 4000)],
    ) {
        let mut next = len;
        let base_model: Vec<char> = characters(0..len).chars().collect();
        let base = reload(&TextRope::of(characters(0..len)));
        let (mut first, mut first_model) = (base.clone(), base_model.clone());
        edit(&mut first, &mut first_model, &ours, &mut next);
        let (mut second, mut second_model) = (base.clone(), base_model.clone());
        edit(&mut second, &mut second_model, &theirs, &mut next);
        let expected = merge_texts(&base_model, &first_model, &second_model);
        match merge(&base, &first, &second) {
            Ok(text) => prop_assert_eq!(Some(text.chars().collect()), expected),
            Err(Why::Overlap { from, to }) => {
                prop_assert!(expected.is_none(), "a conflict at {}..{}", from, to);
                prop_assert!(from <= to && to <= len as u64);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn conflicts_name_the_place() {
    let base = TextRope::of(characters(0..5000));
    let edited = |from: u64, to: u64, by: &str| {
        let mut rope = base.clone();
        rope.replace(from..to, by).unwrap();
        rope
    };
    let why = merge(&base, &edited(3000, 3004, "a"), &edited(3002, 3010, "b")).unwrap_err();
    assert_eq!(why, Why::Overlap { from: 3000, to: 3010 });
    assert_eq!(why.to_string(), "both sides edited what was at 3000..3010");
    let why = merge(&base, &edited(10, 12, "a"), &edited(10, 12, "b")).unwrap_err();
    assert_eq!(why, Why::Overlap { from: 10, to: 12 });
    assert!(merge(&base, &edited(10, 12, "a"), &edited(10, 12, "a")).is_ok());
    assert!(merge(&base, &edited(10, 12, "a"), &edited(12, 14, "b")).is_ok());
    let both = merge(&base, &edited(7, 7, "first"), &edited(7, 7, "second")).unwrap();
    assert_eq!(both.chars().skip(7).take(11).collect::<String>(), "firstsecond");
    let why = merge(&base, &edited(7, 7, "a"), &edited(5, 9, "")).unwrap_err();
    assert_eq!(why, Why::Overlap { from: 5, to: 9 });
}

#[test]
fn contents_in_a_list_are_merged_by_their_kind() {
    let count = |numbers: &[i64]| {
        ListRope::of(numbers.iter().map(|it| Contents::Counter(*it)).collect::<Vec<_>>())
    };
    let numbers: Vec<i64> = (0..1000).collect();
    let base = count(&numbers);
    let (mut first, mut second) = (base.clone(), base.clone());
    let one = |number| vec![Contents::Counter(number)];
    first.set(500, one(510)).unwrap();
    second.set(500, one(507)).unwrap();
    second.insert(0, one(-1)).unwrap();
    let [base, first, second] = [base, first, second].map(Contents::ListRope);
    let merged = Contents::merge(Some(&base), &first, &second).unwrap().unwrap();
    let Contents::ListRope(merged) = merged else { panic!("{merged}") };
    assert_eq!(merged.get(501).unwrap(), Some(Contents::Counter(517)));
    assert_eq!(merged.len(), 1001);
    let bytes: Vec<u8> = (0..100_000u32).map(|it| (it % 251) as u8).collect();
    let rope =
        reloaded(&ByteRope::of(bytes.clone()), Contents::ByteRope, |contents| match contents {
            Contents::ByteRope(rope) => rope,
            other => panic!("{other}"),
        });
    assert_eq!(rope.bytes().unwrap(), bytes);
}

const BRANCHES: usize = 3;

/// What a merge must give.
#[derive(Clone, Debug, PartialEq)]
enum Text {
    Is(Vec<char>),
    Conflict,
    /// Other merges ordered the same insertions in another way, so that there is more than one way
    /// to tell what was edited.
    Unclear,
}

/// Whether what is in both is in the same order.
fn is_ordered(base: &[char], side: &[char]) -> bool {
    let places: BTreeMap<char, usize> = side.iter().enumerate().map(|(at, it)| (*it, at)).collect();
    base.iter().filter_map(|it| places.get(it)).is_sorted()
}

struct Known {
    text: Vec<char>,
    commits: BTreeSet<Id>,
    order: (u64, Id),
}

#[derive(Default)]
struct Model {
    known: BTreeMap<Id, Known>,
    heads: BTreeMap<usize, Id>,
    next: usize,
}

fn merge_known(base: &Text, first: &Text, second: &Text) -> Text {
    match (base, first, second) {
        (_, Text::Is(first), Text::Is(second)) if first == second => Text::Is(first.clone()),
        (Text::Is(base), Text::Is(first), Text::Is(second)) => {
            if [first, second].iter().any(|side| !is_ordered(base, side)) {
                return Text::Unclear;
            }
            merge_texts(base, first, second).map_or(Text::Conflict, Text::Is)
        }
        _ if [base, first, second].contains(&&Text::Unclear) => Text::Unclear,
        // What nobody agrees on differs from everything else.
        _ => Text::Conflict,
    }
}

impl Model {
    fn learn(&mut self, on: usize, commit: &Commit, text: Vec<char>) {
        let above =
            commit.parents().into_iter().flat_map(|it| self.known[&it].commits.iter().copied());
        let commits = above.chain([commit.id()]).collect();
        let order = (commit.meta().time_ms, commit.id());
        self.heads.insert(on, commit.id());
        self.known.insert(commit.id(), Known { text, commits, order });
    }

    fn base(&self, a: &[Id], b: &[Id]) -> Text {
        let above = |ids: &[Id]| -> BTreeSet<Id> {
            ids.iter().flat_map(|id| self.known[id].commits.iter().copied()).collect()
        };
        let common: Vec<Id> = above(a).intersection(&above(b)).copied().collect();
        let is_lowest = |id: &&Id| {
            common.iter().all(|other| other == *id || !self.known[other].commits.contains(id))
        };
        let mut lowest: Vec<Id> = common.iter().filter(is_lowest).copied().collect();
        lowest.sort_by_key(|id| self.known[id].order);
        let text = |id: &Id| Text::Is(self.known[id].text.clone());
        let Some(first) = lowest.first() else { return Text::Is(Vec::new()) };
        (1..lowest.len()).fold(text(first), |merged, at| {
            let base = self.base(&lowest[..at], &lowest[at..=at]);
            merge_known(&base, &merged, &text(&lowest[at]))
        })
    }
}

#[derive(Clone, Debug)]
enum Action {
    Edit(usize, Vec<Edit>),
    Merge { into: usize, from: usize },
}

fn name(number: usize) -> String {
    format!("branch/{number}")
}

fn text_of(tree: &Tree) -> TextRope {
    match tree.get(&path("text")).unwrap() {
        Some(Contents::TextRope(rope)) => rope,
        None => TextRope::new(),
        Some(other) => panic!("{other}"),
    }
}

fn act(action: &Action, time: u64, batch: &mut Batch, model: &mut Model) {
    match action {
        Action::Edit(on, edits) => {
            let to = branch(&name(*on));
            let mut tree = batch.head(&to).unwrap().map(|head| head.tree()).unwrap_or_default();
            let (mut rope, head) = (text_of(&tree), model.heads.get(on));
            let mut text = head.map(|head| model.known[head].text.clone()).unwrap_or_default();
            edit(&mut rope, &mut text, edits, &mut model.next);
            tree.set(&path("text"), Contents::TextRope(rope)).unwrap();
            let commit = batch.commit(&to, tree, at(time)).unwrap();
            model.learn(*on, &commit, text);
        }
        Action::Merge { into, from } => {
            let Some(theirs) = model.heads.get(from).copied() else { return };
            let ours = model.heads.get(into).copied();
            let expected = ours.map_or_else(
                || Text::Is(model.known[&theirs].text.clone()),
                |ours| {
                    let base = model.base(&[ours], &[theirs]);
                    let mut sides = [ours, theirs];
                    sides.sort_by_key(|id| model.known[id].order);
                    let [first, second] = sides.map(|id| Text::Is(model.known[&id].text.clone()));
                    merge_known(&base, &first, &second)
                },
            );
            match batch.merge(&branch(&name(*into)), &theirs, at(time)).unwrap() {
                Merged::Already => {}
                Merged::Conflicts(conflicts) => {
                    assert!(!matches!(expected, Text::Is(_)), "{}", conflicts[0]);
                }
                Merged::Commit(commit) => {
                    let text: Vec<char> = text_of(&commit.tree()).text().unwrap().chars().collect();
                    if expected != Text::Unclear {
                        assert_eq!(Text::Is(text.clone()), expected);
                    }
                    model.learn(*into, &commit, text);
                }
            }
        }
    }
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (0..BRANCHES, any_edits(4, 30)).prop_map(|(on, edits)| Action::Edit(on, edits)),
        (0..BRANCHES, 0..BRANCHES).prop_map(|(into, from)| Action::Merge { into, from }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn histories_of_edits_merge_as_plain_texts_do(
        actions in prop::collection::vec((any_action(), 0..1000u64), 1..30),
    ) {
        let backend = Arc::new(Counted::default());
        let mut model = Model::default();
        for (action, time) in &actions {
            let store = Store::on(backend.clone()).unwrap();
            let mut batch = store.batch();
            act(action, *time, &mut batch, &mut model);
            batch.publish().unwrap();
        }
    }
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
