//! Owns the node and its canonical bytes: the entries of a small directory, or the sixteen parts
//! of a large one. Must not know paths, nor how directories are searched or changed.

use super::Kind;
use super::item::Item;
use super::slots::{Part, SLOTS, Slots};
use crate::backend::Source;
use crate::codec::{DecodeError, ObjectKind, Reader, Writer};
use crate::contents::value::{self, Value};
use crate::error::StorageError;
use crate::lazy::{Lazy, Object, See};
use crate::path::Step;

/// The most entries of a leaf; a directory with more is a branch.
pub(crate) const LEAF_MAX: usize = 32;

/// A shared node.
pub(crate) type Link = Lazy<Node>;

/// A directory, or a part of one. Which form it has depends only on the entries, never on how
/// they came: up to [`LEAF_MAX`] of them are a leaf, more are a branch.
pub(crate) enum Node {
    /// Entries in the order of their steps.
    Leaf(Vec<Item>),
    /// Entries by four bits of the hashes of their steps.
    Branch(Slots),
}

/// What a step leads to.
#[derive(Clone)]
pub(crate) enum Entry {
    Directory(Link),
    Value(Value),
}

impl Entry {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Entry::Directory(_) => Kind::Directory,
            Entry::Value(_) => Kind::Contents,
        }
    }

    /// Whether both are one object in memory.
    pub(crate) fn is(&self, other: &Entry) -> bool {
        match (self, other) {
            (Entry::Directory(a), Entry::Directory(b)) => a.is(b),
            (Entry::Value(a), Entry::Value(b)) => a.is(b),
            _ => false,
        }
    }

    /// Whether both are known to be the same. Directories may be the same without it being known.
    pub(crate) fn same(&self, other: &Entry) -> Result<bool, StorageError> {
        match (self, other) {
            (Entry::Directory(a), Entry::Directory(b)) => Ok(a.same(b)),
            (Entry::Value(a), Entry::Value(b)) => Ok(a.same(b) || a.load()? == b.load()?),
            _ => Ok(false),
        }
    }
}

impl Clone for Node {
    fn clone(&self) -> Node {
        match self {
            Node::Leaf(entries) => {
                // Who copies a leaf mostly adds to it.
                let mut copy = Vec::with_capacity(entries.len() + 1);
                copy.extend_from_slice(entries);
                Node::Leaf(copy)
            }
            Node::Branch(slots) => Node::Branch(slots.clone()),
        }
    }
}

impl Node {
    pub(crate) fn empty() -> Node {
        Node::Leaf(Vec::new())
    }

    pub(crate) fn count(&self) -> u64 {
        match self {
            Node::Leaf(entries) => entries.len() as u64,
            Node::Branch(slots) => slots.count(),
        }
    }
}

impl Object for Node {
    fn encode(&self) -> Vec<u8> {
        // An id for each, and a step, or a count.
        let about = match self {
            Node::Leaf(entries) => 8 + 48 * entries.len(),
            Node::Branch(_) => 8 + 36 * SLOTS,
        };
        let mut to = Writer::object_of(ObjectKind::Node, about);
        match self {
            Node::Leaf(entries) => {
                to.byte(b'l');
                to.number(entries.len() as u64);
                for item in entries {
                    to.bytes(item.step().as_str().as_bytes());
                    encode_entry(item.entry(), &mut to);
                }
            }
            Node::Branch(slots) => {
                to.byte(b'b');
                for part in slots.iter() {
                    to.number(part.map_or(0, |part| part.count));
                }
                for part in slots.parts() {
                    to.id(&part.link.id());
                }
            }
        }
        to.finish()
    }

    fn decode(bytes: &[u8], home: &Source) -> Result<Node, DecodeError> {
        let mut from = Reader::object(bytes, ObjectKind::Node)?;
        let node = match from.byte()? {
            b'l' => Node::Leaf(decode_leaf(&mut from, home)?),
            b'b' => Node::Branch(decode_branch(&mut from, home)?),
            other => return Err(DecodeError::Tag(other)),
        };
        from.end()?;
        Ok(node)
    }

    fn links(&self, see: &mut See<'_>) -> Result<(), StorageError> {
        match self {
            Node::Leaf(entries) => entries.iter().try_for_each(|item| match item.entry() {
                Entry::Directory(link) => see(link),
                Entry::Value(value) => value::links(value, see),
            }),
            Node::Branch(slots) => slots.parts().try_for_each(|part| see(&part.link)),
        }
    }
}

fn encode_entry(entry: &Entry, to: &mut Writer) {
    match entry {
        Entry::Directory(link) => {
            to.byte(b'd');
            to.id(&link.id());
        }
        Entry::Value(value) => value::encode(value, to),
    }
}

fn decode_leaf(from: &mut Reader<'_>, home: &Source) -> Result<Vec<Item>, DecodeError> {
    let count = from.count(4)?;
    if count > LEAF_MAX {
        return Err(DecodeError::NotCanonical("a leaf with too many entries"));
    }
    let mut entries: Vec<Item> = Vec::with_capacity(count);
    for _ in 0..count {
        let step = Step::new(from.text()?)?;
        if entries.last().is_some_and(|last| *last.step() >= step) {
            return Err(DecodeError::NotCanonical("steps out of order"));
        }
        entries.push(Item::new(step, decode_entry(from, home)?));
    }
    Ok(entries)
}

fn decode_entry(from: &mut Reader<'_>, home: &Source) -> Result<Entry, DecodeError> {
    Ok(match from.byte()? {
        b'd' => match from.id()? {
            id if id == Link::new(Node::empty()).id() => {
                return Err(DecodeError::NotCanonical("an empty directory"));
            }
            id => Entry::Directory(Link::stored(id, home.clone())),
        },
        tag => Entry::Value(value::decode(tag, from, home)?),
    })
}

fn decode_branch(from: &mut Reader<'_>, home: &Source) -> Result<Slots, DecodeError> {
    let mut counts = [0; SLOTS];
    let mut total = 0u64;
    for count in &mut counts {
        *count = from.number()?;
        total = total
            .checked_add(*count)
            .ok_or(DecodeError::NotCanonical("more entries than fit 64 bits"))?;
    }
    if total <= LEAF_MAX as u64 {
        return Err(DecodeError::NotCanonical("a branch with too few entries"));
    }
    let part = |count| match count {
        0 => Ok(None),
        count => Ok(Some(Part { count, link: Link::stored(from.id()?, home.clone()) })),
    };
    counts.into_iter().map(part).collect()
}
