//! Owns how a directory is searched and changed: a trie over the hashes of its steps whose form
//! depends only on its entries. Must not know paths.
//!
//! ```text
//!   up to 32 entries          more
//!   ┌──────────────┐          ┌── 16 slots, by bits 4·depth.. of SHA-256(step) ──┐
//!   │ leaf, sorted │          │ part │ part │  –   │ …                           │
//!   └──────────────┘          └──┬──────┬─────────────────────────────────────── ┘
//!                              leaf   branch, if more than 32 are in it
//! ```

use std::borrow::Cow;
use std::cell::OnceCell;

use sha2::{Digest, Sha256};

use super::item::{Item, Prefix};
use super::node::{Entry, LEAF_MAX, Link, Node};
use super::slots::{Part, SLOTS, Slots};
use crate::error::StorageError;
use crate::path::Step;

/// The levels of nodes in one directory: the slots that a hash can choose.
pub(crate) const DEPTH_MAX: usize = 64;

/// The hash that says where in a large directory a step is.
struct Place([u8; 32]);

impl Place {
    fn of(step: &Step) -> Place {
        Place(Sha256::digest(step.as_str()).into())
    }

    /// The slot at a depth. Two steps that agree in all 64 would be a collision of SHA-256.
    fn slot(&self, depth: usize) -> usize {
        let byte = self.0[depth / 2];
        usize::from(if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
    }
}

/// A step that is looked for; where it is in a large directory is found out once, if need be.
struct Sought<'a> {
    step: &'a Step,
    prefix: Prefix,
    place: OnceCell<Place>,
}

impl Sought<'_> {
    fn new(step: &Step) -> Sought<'_> {
        Sought { step, prefix: Prefix::of(step), place: OnceCell::new() }
    }

    fn slot(&self, depth: usize) -> usize {
        self.place.get_or_init(|| Place::of(self.step)).slot(depth)
    }
}

pub(crate) fn is_empty(directory: &Link) -> bool {
    match directory.loaded() {
        Some(node) => node.count() == 0,
        // Hashing the empty leaf is cheaper than loading a node to count it.
        None => directory.id() == Link::new(Node::empty()).id(),
    }
}

pub(crate) fn get<'a>(directory: &'a Link, step: &Step) -> Result<Option<&'a Entry>, StorageError> {
    find(directory, &Sought::new(step))
}

fn find<'a>(directory: &'a Link, sought: &Sought<'_>) -> Result<Option<&'a Entry>, StorageError> {
    let mut node = directory.load()?;
    for depth in 0..=DEPTH_MAX {
        match node {
            Node::Leaf(entries) => {
                return Ok(position(entries, sought).ok().map(|at| entries[at].entry()));
            }
            Node::Branch(slots) => match slots.get(sought.slot(depth)) {
                Some(part) => node = load(part, depth + 1)?,
                None => return Ok(None),
            },
        }
    }
    unreachable!("BUG: a branch below the last level was loaded")
}

/// The directory at a step, to be changed; made if there is nothing. `None`: there are contents.
pub(crate) fn enter<'a>(
    directory: &'a mut Link,
    step: &Step,
) -> Result<Option<&'a mut Link>, StorageError> {
    let sought = Sought::new(step);
    match find(directory, &sought)? {
        Some(Entry::Directory(_)) => {}
        Some(Entry::Value(_)) => return Ok(None),
        None => {
            let empty = Entry::Directory(Link::new(Node::empty()));
            set_below(directory, &sought, empty, 0)?;
        }
    }
    match get_mut(directory, &sought, 0)? {
        Entry::Directory(link) => Ok(Some(link)),
        Entry::Value(_) => unreachable!("BUG: a directory became contents"),
    }
}

fn get_mut<'a>(
    link: &'a mut Link,
    sought: &Sought<'_>,
    depth: usize,
) -> Result<&'a mut Entry, StorageError> {
    match link.to_mut()? {
        Node::Leaf(entries) => {
            let at = position(entries, sought);
            let at = at.expect("BUG: an entry that was looked up is gone");
            Ok(entries[at].entry_mut())
        }
        Node::Branch(slots) => get_mut(slots.link_mut(sought.slot(depth)), sought, depth + 1),
    }
}

/// Whether two directories hold the same, without hashing them: as deep as they are not shared, and
/// no further than to the first difference.
pub(crate) fn is_same(a: &Link, b: &Link) -> Result<bool, StorageError> {
    if a.same(b) {
        return Ok(true);
    }
    match (a.load()?, b.load()?) {
        (Node::Leaf(a), Node::Leaf(b)) => {
            for (a, b) in a.iter().zip(b) {
                let is_same =
                    a.is(b) || (a.step() == b.step() && is_same_entry(a.entry(), b.entry())?);
                if !is_same {
                    return Ok(false);
                }
            }
            Ok(a.len() == b.len())
        }
        (Node::Branch(a), Node::Branch(b)) => {
            for parts in a.iter().zip(b.iter()) {
                let is_same = match parts {
                    (Some(a), Some(b)) => a.count == b.count && is_same(&a.link, &b.link)?,
                    (a, b) => a.is_none() && b.is_none(),
                };
                if !is_same {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn is_same_entry(a: &Entry, b: &Entry) -> Result<bool, StorageError> {
    match (a, b) {
        (Entry::Directory(a), Entry::Directory(b)) => is_same(a, b),
        _ => a.same(b),
    }
}

/// Puts an entry at a step, in place of the one that is there.
pub(crate) fn set(directory: &mut Link, step: &Step, entry: Entry) -> Result<(), StorageError> {
    set_below(directory, &Sought::new(step), entry, 0)?;
    Ok(())
}

/// Whether there is one entry more than before.
fn set_below(
    link: &mut Link,
    sought: &Sought<'_>,
    entry: Entry,
    depth: usize,
) -> Result<bool, StorageError> {
    let node = link.to_mut()?;
    match node {
        Node::Leaf(entries) => match position(entries, sought) {
            Ok(at) => {
                entries[at] = Item::new(sought.step.clone(), entry);
                Ok(false)
            }
            Err(at) => {
                entries.insert(at, Item::new(sought.step.clone(), entry));
                if entries.len() > LEAF_MAX {
                    *node = from_entries(std::mem::take(entries), depth);
                }
                Ok(true)
            }
        },
        Node::Branch(slots) => {
            let (slot, before) = (sought.slot(depth), slots.count());
            match slots.get(slot) {
                Some(part) => {
                    load(part, depth + 1)?;
                    slots.change(slot, |part| {
                        let added = set_below(&mut part.link, sought, entry, depth + 1)?;
                        Ok(part.count + u64::from(added))
                    })?;
                }
                None => {
                    let link = Link::new(Node::Leaf(vec![Item::new(sought.step.clone(), entry)]));
                    slots.put(slot, Some(Part { count: 1, link }));
                }
            }
            Ok(slots.count() > before)
        }
    }
}

/// Removes an entry, which must be there.
pub(crate) fn remove(directory: &mut Link, step: &Step) -> Result<(), StorageError> {
    remove_below(directory, &Sought::new(step), 0)
}

fn remove_below(link: &mut Link, sought: &Sought<'_>, depth: usize) -> Result<(), StorageError> {
    let node = link.to_mut()?;
    match node {
        Node::Leaf(entries) => {
            let at = position(entries, sought);
            entries.remove(at.expect("BUG: an entry that was looked up is gone"));
        }
        Node::Branch(slots) => {
            slots.change(sought.slot(depth), |part| {
                remove_below(&mut part.link, sought, depth + 1)?;
                Ok(part.count - 1)
            })?;
            if slots.count() <= LEAF_MAX as u64 {
                *node = Node::Leaf(collect(slots)?);
            }
        }
    }
    Ok(())
}

/// All entries in the order of their steps.
pub(crate) fn sorted(directory: &Link) -> Result<Vec<Item>, StorageError> {
    match directory.load()? {
        Node::Leaf(entries) => Ok(entries.clone()),
        Node::Branch(slots) => collect(slots),
    }
}

/// The node for these entries of depth `depth`, sorted.
pub(crate) fn from_entries(entries: Vec<Item>, depth: usize) -> Node {
    if entries.len() <= LEAF_MAX {
        return Node::Leaf(entries);
    }
    Node::Branch(split(entries, depth))
}

/// A node as the slots of a branch, which a leaf would be if it had more entries.
pub(crate) fn slots(node: &Node, depth: usize) -> Cow<'_, Slots> {
    match node {
        Node::Leaf(entries) => Cow::Owned(split(entries.clone(), depth)),
        Node::Branch(slots) => Cow::Borrowed(slots),
    }
}

/// These entries, sorted, as the slots of a branch at `depth`.
fn split(entries: Vec<Item>, depth: usize) -> Slots {
    let mut parts: [Vec<Item>; SLOTS] = Default::default();
    for item in entries {
        parts[Place::of(item.step()).slot(depth)].push(item);
    }
    let part = |entries: Vec<Item>| match entries.len() {
        0 => None,
        count => {
            let link = Link::new(from_entries(entries, depth + 1));
            Some(Part { count: count as u64, link })
        }
    };
    parts.into_iter().map(part).collect()
}

/// The node with these slots, which is a leaf if they hold few enough.
pub(crate) fn from_slots(slots: Slots) -> Result<Node, StorageError> {
    if slots.count() <= LEAF_MAX as u64 {
        return Ok(Node::Leaf(collect(&slots)?));
    }
    Ok(Node::Branch(slots))
}

/// All entries of a branch in the order of their steps.
fn collect(slots: &Slots) -> Result<Vec<Item>, StorageError> {
    let mut entries = Vec::new();
    gather(slots, 1, &mut entries)?;
    entries.sort_unstable_by(Item::order_of);
    Ok(entries)
}

fn gather(slots: &Slots, depth: usize, into: &mut Vec<Item>) -> Result<(), StorageError> {
    for part in slots.parts() {
        match load(part, depth)? {
            Node::Leaf(entries) => into.extend_from_slice(entries),
            Node::Branch(slots) => gather(slots, depth + 1, into)?,
        }
    }
    Ok(())
}

/// The node of a part at `depth`, if the two fit each other.
fn load(part: &Part, depth: usize) -> Result<&Node, StorageError> {
    let node = part.link.load()?;
    let fault = if node.count() != part.count {
        "a part with another number of entries than its branch says"
    } else if depth == DEPTH_MAX && matches!(node, Node::Branch(_)) {
        "a branch below the last level"
    } else {
        return Ok(node);
    };
    Err(part.link.misfit(fault))
}

fn position(entries: &[Item], sought: &Sought<'_>) -> Result<usize, usize> {
    entries.binary_search_by(|item| item.order(sought.prefix, sought.step))
}
