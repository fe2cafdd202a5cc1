//! Owns the tests of every decoder, which the public API reaches only through hashes: any bytes
//! are refused, or are the one encoding of what they decode to.

use std::sync::Arc;

use proptest::prelude::*;

use crate::backend::{Memory, Source};
use crate::codec::{DecodeError, ObjectKind, Reader, Writer};
use crate::commit::Record;
use crate::contents::Contents;
use crate::contents::value::Value;
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::Object;
use crate::path::Step;
use crate::recode;
use crate::tree::item::Item;
use crate::tree::node::{Entry, LEAF_MAX, Link, Node};
use crate::tree::slots::{Part, SLOTS, Slots};

fn source() -> Source {
    Source::new(Arc::new(Memory::new()))
}

fn refused_or_the_same(bytes: &[u8]) {
    if let Ok(again) = recode(bytes) {
        assert_eq!(again, bytes, "a second encoding of something was accepted");
    }
}

fn id(n: u8) -> Id {
    Id::of(&[n])
}

fn directory(n: u8) -> Entry {
    Entry::Directory(Link::stored(id(n), source()))
}

fn value(contents: Contents) -> Entry {
    Entry::Value(Value::new(contents))
}

fn step(n: usize) -> Step {
    Step::new(&format!("step {n:02}")).unwrap()
}

fn leaf(entries: impl IntoIterator<Item = (Step, Entry)>) -> Node {
    Node::Leaf(entries.into_iter().map(|(step, entry)| Item::new(step, entry)).collect())
}

/// Objects of every kind and form.
fn samples() -> Vec<Vec<u8>> {
    let register = crate::Register { time_ms: 300, tie_break: 7, value: b"value"[..].into() };
    let contents = [
        Contents::text(""),
        Contents::text("some text"),
        Contents::Counter(i64::MIN),
        Contents::Counter(64),
        Contents::Register(register),
        Contents::set(["", "a", "ab", "b"]),
        Contents::custom(&Custom),
    ];
    let leaf = leaf([
        (step(0), directory(1)),
        (step(1), value(Contents::text("small"))),
        (step(2), value(Contents::text("large".repeat(50)))),
    ]);
    let mut slots = Slots::default();
    for (slot, count) in [(0, 1), (3, 200), (15, 31)] {
        slots.put(slot, Some(Part { count, link: Link::stored(id(slot as u8), source()) }));
    }
    let nodes = [Node::empty(), leaf, Node::Branch(slots)];
    let mut samples: Vec<_> = contents.iter().map(Contents::encode).collect();
    samples.extend(nodes.iter().map(Object::encode));
    samples.extend([queue_leaf(), queue_branch(), text_leaf()]);
    let numbers: Vec<Contents> = (0..33).map(Contents::Counter).collect();
    let mut map = crate::Map::new();
    map.set("", Contents::Counter(1));
    map.set("large", Contents::text("x".repeat(100)));
    let mut log = crate::Journal::new();
    (0..50).for_each(|time| log.append(time, Contents::Counter(7)).unwrap());
    let made = [
        Contents::Log(log),
        Contents::Map(map),
        merged_queue(),
        Contents::Queue(queue(0..64)),
        Contents::TextRope(crate::TextRope::of("ü".repeat(550))),
        Contents::ByteRope(crate::ByteRope::of(vec![7; 1100])),
        Contents::ListRope(crate::ListRope::of(numbers)),
    ];
    // Large elements are many and all alike.
    let is_text = |bytes: &[u8]| bytes.starts_with(b"c\x01b");
    let parts = made.into_iter().flat_map(parts);
    samples.extend(parts.filter(|bytes| !is_text(bytes) && !bytes.starts_with(b"n")));
    samples.push(commit(&[], 1, &[]));
    samples.push(commit(&[1, 2], 700, &[("caller", "uid 0"), ("method", "want")]));
    samples
}

/// A type of which the bytes are opaque to the store.
struct Custom;

impl crate::Custom for Custom {
    const NAME: &'static str = "custom";
    type Parts = String;

    fn parts(&self) -> String {
        "value".into()
    }

    fn from_parts(_: String) -> Option<Custom> {
        Some(Custom)
    }
}

/// Everything that contents are made of, saved and found again by what refers to what.
fn parts(contents: Contents) -> Vec<Vec<u8>> {
    let home = source();
    let mut tree = crate::Tree::empty();
    tree.set(&crate::Path::from(step(0)), contents).unwrap();
    tree.save(&home).unwrap();
    let (mut found, mut left) = (Vec::new(), vec![tree.id()]);
    while let Some(id) = left.pop() {
        let bytes = home.fetch(&id).unwrap().to_vec();
        left.extend(crate::references(&bytes).unwrap());
        if !found.contains(&bytes) {
            found.push(bytes);
        }
    }
    found
}

fn queue(numbers: std::ops::Range<usize>) -> crate::Queue {
    let mut queue = crate::Queue::new();
    for n in numbers {
        let is_large = n % 16 == 3;
        let large = Contents::text(n.to_string().repeat(40));
        queue.push(if is_large { large } else { Contents::Counter(n as i64) }).unwrap();
    }
    queue
}

/// A queue with a run of each form.
fn merged_queue() -> Contents {
    let [base, mut first, mut second] = [0; 3].map(|_| queue(0..70));
    first.push(Contents::Counter(1)).unwrap();
    second.push(Contents::Counter(2)).unwrap();
    let [base, first, second] = [base, first, second].map(Contents::Queue);
    let mut both = Contents::merge(Some(&base), &first, &second).unwrap().unwrap();
    let Contents::Queue(queue) = &mut both else { panic!("{both}") };
    (0..40).for_each(|_| drop(queue.pop().unwrap()));
    queue.push(Contents::text("")).unwrap();
    both
}

fn commit(parents: &[u8], generation: u64, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut to = Writer::object(ObjectKind::Commit);
    to.id(&id(9));
    to.number(parents.len() as u64);
    parents.iter().for_each(|parent| to.id(&id(*parent)));
    to.number(generation);
    to.number(1_700_000_000_000);
    to.bytes(b"author");
    to.bytes("mëssage".as_bytes());
    to.number(fields.len() as u64);
    for (name, value) in fields {
        to.bytes(name.as_bytes());
        to.bytes(value.as_bytes());
    }
    to.finish()
}

#[test]
fn what_is_encoded_decodes_to_the_same() {
    for bytes in samples() {
        assert_eq!(recode(&bytes).unwrap(), bytes);
    }
}

#[test]
fn what_is_cut_or_followed_by_something_is_refused() {
    for bytes in samples() {
        // Bytes have no end of their own: theirs is that of the object.
        let is_open = bytes.starts_with(b"c\x01b") || bytes.starts_with(b"c\x01x");
        let end = if bytes.starts_with(b"c\x01x") { 3 + 1 + 6 } else { 3 };
        for len in 0..bytes.len() {
            let cut = recode(&bytes[..len]);
            assert!(cut.is_err() || (is_open && len >= end), "cut at {len}: {bytes:?}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(recode(&longer).is_err() || is_open, "{bytes:?}");
    }
}

#[test]
fn every_changed_byte_is_refused_or_means_something_else() {
    for bytes in samples() {
        // In long ones most bytes are alike.
        let step = if bytes.len() > 300 { 17 } else { 1 };
        for at in 0..bytes.len() {
            for change in (1..=255u8).step_by(step) {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                refused_or_the_same(&changed);
            }
        }
    }
}

#[test]
fn lengths_that_cannot_be_are_refused_without_being_believed() {
    for kind in [
        &b"c\x01s"[..],
        b"c\x01r\x00\x00",
        b"c\x01q\x09",
        b"p\x01q\x00",
        b"p\x01Q\x00",
        b"c\x01t\x01",
        b"c\x01l\x00",
        b"p\x01y\x00",
        b"n\x01l",
        b"n\x01l\x01",
    ] {
        for length in [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..], b"\xff\xff\xff\xff\x0f"] {
            assert!(recode(&[kind, length].concat()).is_err());
        }
    }
}

#[test]
fn what_is_not_canonical_is_refused_with_its_reason() {
    let refused = |bytes: &[u8]| recode(bytes).unwrap_err();
    assert_eq!(refused(b"c\x02b"), DecodeError::Format(2));
    assert_eq!(refused(b"c\x01z"), DecodeError::Tag(b'z'));
    assert_eq!(refused(b"c\x01c\x80\x00"), DecodeError::NotCanonical("a number has leading zeros"));
    let order = DecodeError::NotCanonical("members of a set out of order");
    assert_eq!(refused(b"c\x01s\x02\x01b\x01a"), order);
    assert_eq!(refused(b"c\x01s\x02\x01a\x01a"), order);
    let keys = DecodeError::NotCanonical("keys of a map out of order");
    assert_eq!(refused(b"c\x01m\x02\x01bi\x04c\x01c\x00\x01ai\x04c\x01c\x00"), keys);
    let same = leaf([(step(0), directory(1)), (step(0), directory(2))]);
    assert_eq!(refused(&same.encode()), DecodeError::NotCanonical("steps out of order"));
    let empty = leaf([(step(0), Entry::Directory(Link::new(Node::empty())))]);
    assert_eq!(refused(&empty.encode()), DecodeError::NotCanonical("an empty directory"));
    let many = leaf((0..=LEAF_MAX).map(|n| (step(n), directory(1))));
    let too_many = DecodeError::NotCanonical("a leaf with too many entries");
    assert_eq!(refused(&many.encode()), too_many);
    let mut slots = Slots::default();
    slots.put(2, Some(Part { count: 32, link: Link::stored(id(1), source()) }));
    let few = DecodeError::NotCanonical("a branch with too few entries");
    assert_eq!(refused(&Node::Branch(slots).encode()), few);
    let generation = DecodeError::NotCanonical("an impossible generation");
    assert_eq!(refused(&commit(&[], 2, &[])), generation);
    assert_eq!(refused(&commit(&[1], 0, &[])), generation);
    assert_eq!(refused(&commit(&[1, 1], 2, &[])), DecodeError::NotCanonical("a parent twice"));
    let fields = [("b", ""), ("a", "")];
    assert_eq!(refused(&commit(&[], 1, &fields)), DecodeError::NotCanonical("fields out of order"));
}

#[test]
fn everything_that_is_saved_is_referred_to() {
    let home = source();
    let mut tree = crate::Tree::empty();
    tree.set(&crate::Path::from(step(0)), merged_queue()).unwrap();
    tree.save(&home).unwrap();
    let prefix = "".parse().unwrap();
    let count = |kind| home.ids_with_prefix(kind, &prefix, 1000).unwrap().len();
    let (found, kinds) = (parts(merged_queue()), [b"p", b"c"]);
    let told = kinds.map(|kind| found.iter().filter(|bytes| bytes.starts_with(kind)).count());
    assert_eq!(told, [count(ObjectKind::Part), count(ObjectKind::Contents)]);
    assert!(told[0] >= 3 && told[1] >= 3, "{told:?}");
    let commit = commit(&[1, 2], 3, &[]);
    assert_eq!(crate::references(&commit).unwrap(), [id(9), id(1), id(2)]);
    assert_eq!(crate::references(b""), Err(DecodeError::Truncated));
    assert_eq!(crate::references(b"xyz"), Err(DecodeError::Tag(b'x')));
}

#[test]
fn small_contents_outside_their_node_are_refused() {
    let bytes = Contents::text("small").encode();
    let outside = <Contents as Object>::decode(&bytes, &source());
    let reason = DecodeError::NotCanonical("small contents outside of what holds them");
    assert_eq!(outside.unwrap_err(), reason);
}

/// Parts that are well-formed and do not fit their branch.
#[test]
fn a_branch_that_lies_about_its_parts_is_an_error() {
    let home = source();
    let leaf = leaf([(step(1), directory(1))]).encode();
    home.put(&Id::of(&leaf), &leaf).unwrap();
    let part = Part { count: 40, link: Link::stored(Id::of(&leaf), home.clone()) };
    let slots: Slots = std::iter::repeat_n(Some(part), SLOTS).collect();
    let branch = Node::Branch(slots).encode();
    home.put(&Id::of(&branch), &branch).unwrap();
    let mut tree = crate::Tree::stored(Id::of(&branch), home);
    let path = crate::Path::from(step(1));
    assert!(matches!(tree.get(&path), Err(crate::TreeError::Storage(_))));
    assert!(matches!(tree.remove(&path), Err(crate::TreeError::Storage(_))));
    assert!(matches!(tree.set(&path, Contents::text("")), Err(crate::TreeError::Storage(_))));
    assert!(matches!(tree.list(&crate::Path::root()), Err(crate::TreeError::Storage(_))));
}

/// The first thing that looking at all of some contents finds wrong.
fn fault(contents: &Contents) -> StorageError {
    let bytes = contents.encode();
    let home = source();
    for part in [&queue_leaf(), &text_leaf(), &queue_branch()] {
        home.put(&Id::of(part), part).unwrap();
    }
    match Contents::decode(&bytes, &home).unwrap() {
        Contents::Queue(queue) => queue.iter().find_map(Result::err).unwrap(),
        Contents::TextRope(rope) => rope.text().unwrap_err(),
        other => panic!("{other}"),
    }
}

/// A leaf of two elements, at the beginning of its block.
fn queue_leaf() -> Vec<u8> {
    b"p\x01q\x00\x02i\x04c\x01c\x02i\x04c\x01c\x04".to_vec()
}

fn queue_branch() -> Vec<u8> {
    [b"p\x01Q\x00\x01", &Id::of(&queue_leaf()).as_bytes()[..]].concat()
}

fn text_leaf() -> Vec<u8> {
    b"p\x01t\x00\x04text".to_vec()
}

/// Parts that are well-formed and do not fit what refers to them.
#[test]
fn contents_whose_parts_do_not_fit_are_an_error() {
    let contents = |head: &[u8], parts: &[&[u8]], middle: &[u8]| {
        let ids: Vec<Id> = parts.iter().map(|part| Id::of(part)).collect();
        let ids: Vec<&[u8]> = ids.iter().map(|id| &id.as_bytes()[..]).collect();
        let bytes = [head, &ids.join(middle)].concat();
        fault(&Contents::decode(&bytes, &source()).unwrap())
    };
    let (leaf, branch, text) = (&queue_leaf()[..], &queue_branch()[..], &text_leaf()[..]);
    let wrong = [
        // Two blocks under a leaf, one block under a branch, and a leaf that is not full.
        contents(b"c\x01q\x40\x01\x00\x40\x01\x02", &[leaf], b""),
        contents(b"c\x01q\x20\x01\x00\x20\x01\x01", &[branch], b""),
        contents(b"c\x01q\x20\x01\x00\x20\x01\x01", &[leaf], b""),
        // A tail of three.
        contents(b"c\x01q\x03\x01\x00\x03\x02", &[leaf], b""),
        // Texts of another length, and at another height.
        contents(b"c\x01t\x01\x02\x04", &[text, text], b"\x05"),
        contents(b"c\x01t\x02\x02\x04", &[text, text], b"\x04"),
        // A part of other contents.
        contents(b"c\x01t\x01\x02\x02", &[leaf, leaf], b"\x02"),
    ];
    for wrong in wrong {
        assert!(matches!(wrong, StorageError::Corrupt { .. }), "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_refused_or_the_one_encoding(
        kind in prop::sample::select(vec![
            &b""[..], b"c\x01b", b"c\x01c", b"c\x01r", b"c\x01s", b"c\x01q", b"p\x01q", b"p\x01Q",
            b"c\x01o\x00", b"p\x01o\x00", b"c\x01m", b"c\x01x", b"c\x01t", b"p\x01t\x00", b"p\x01T\x01", b"c\x01l", b"p\x01l\x00",
            b"n\x01l", b"n\x01b", b"k\x01",
        ]),
        rest in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..120),
    ) {
        refused_or_the_same(&[kind, &rest].concat());
    }

    #[test]
    fn contents_decode_to_what_was_encoded(
        bytes: Vec<u8>, count: i64, time: u64, tie: u64, members: Vec<Vec<u8>>,
    ) {
        let register = crate::Register { time_ms: time, tie_break: tie, value: bytes[..].into() };
        for contents in [
            Contents::bytes(bytes),
            Contents::Counter(count),
            Contents::Register(register),
            Contents::set(members),
        ] {
            prop_assert_eq!(Contents::decode(&contents.encode(), &source()).unwrap(), contents);
        }
    }

    #[test]
    fn numbers_decode_to_what_was_encoded(numbers: Vec<u64>, signed: Vec<i64>) {
        let mut to = Writer::new();
        numbers.iter().for_each(|number| to.number(*number));
        signed.iter().for_each(|number| to.signed(*number));
        let bytes = to.finish();
        let mut from = Reader::new(&bytes);
        for number in numbers {
            prop_assert_eq!(from.number().unwrap(), number);
        }
        for number in signed {
            prop_assert_eq!(from.signed().unwrap(), number);
        }
        from.end().unwrap();
    }

    #[test]
    fn metadata_decodes_to_what_was_encoded(
        author in "\\PC{0,20}",
        message in "\\PC{0,20}",
        fields in prop::collection::btree_map("\\PC{0,9}", "\\PC{0,9}", 0..4),
        time_ms: u64,
    ) {
        let home = source();
        let meta = crate::Meta { time_ms, author, message, fields };
        let (made, is_new) =
            crate::Commit::create(&home, &[], crate::Tree::empty(), meta).unwrap();
        prop_assert!(is_new);
        let loaded = Record::load(&made.id(), &home).unwrap().unwrap();
        let loaded = crate::Commit::stored(loaded.into(), &home);
        prop_assert_eq!(loaded.meta(), made.meta());
    }
}
