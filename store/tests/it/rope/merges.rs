//! Owns the tests of merged ropes: by character, against plain texts and whole histories of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jitsu_store::{Batch, ByteRope, Commit, Contents, Id, ListRope, Merged, Store, TextRope, Why};
use proptest::prelude::*;

use super::{characters, reload, reloaded, text_of};
use crate::counted::Counted;
use crate::fixture::{at, branch, path};

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
