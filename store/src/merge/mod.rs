//! Owns the three-way merge of trees. Must not know where the base comes from.
//!
//! A part of which the base and one side are known to be the same is taken from the other side
//! unseen, so that the cost follows what both sides changed in the same place, not the size of
//! either. That both sides are the same is no reason to stop: counters in them add up.

mod conflict;

pub use self::conflict::{Conflict, Side};
use crate::contents::value::Value;
use crate::contents::{Contents, Merging, Why};
use crate::diff::Aligned;
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::LEVELS_MAX;
use crate::path::{Path, Step};
use crate::tree::item::Item;
use crate::tree::node::{Entry, Link, Node};
use crate::tree::slots::{Part, SLOTS, Slots};
use crate::tree::{Tree, directory};

/// Which side is first, where a kind of contents has to order what both did: see
/// `Commit::is_before`.
#[derive(Clone, Copy)]
pub(crate) enum First {
    Ours,
    Theirs,
}

/// Merges two trees that were made from `base`. `first` is asked only if it makes a difference.
pub(crate) fn trees(
    base: &Tree,
    ours: &Tree,
    theirs: &Tree,
    first: &dyn Fn() -> First,
    contents: Merging<'_>,
) -> Result<Result<Tree, Vec<Conflict>>, StorageError> {
    let (at, conflicts) = (Vec::new(), Vec::new());
    let mut merge = Merge { at, conflicts, first, contents, is_base: false };
    let tree = merge.roots(base, ours, theirs)?;
    if merge.conflicts.is_empty() {
        return Ok(Ok(tree));
    }
    merge.conflicts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Err(merge.conflicts))
}

/// Merges two trees into one that is only a base for others. Where they conflict it holds a
/// value that neither side has, so that the sides must agree there or conflict themselves.
pub(crate) fn bases(
    base: &Tree,
    first: &Tree,
    second: &Tree,
    contents: Merging<'_>,
) -> Result<Tree, StorageError> {
    let (at, conflicts) = (Vec::new(), Vec::new());
    let mut merge = Merge { at, conflicts, first: &|| First::Ours, contents, is_base: true };
    merge.roots(base, first, second)
}

struct Merge<'a> {
    at: Vec<Step>,
    conflicts: Vec<Conflict>,
    first: &'a dyn Fn() -> First,
    contents: Merging<'a>,
    is_base: bool,
}

/// The base, our and their version of one thing.
#[derive(Clone, Copy)]
struct Three<T> {
    base: T,
    ours: T,
    theirs: T,
}

impl<T> Three<T> {
    fn map<U>(self, mut f: impl FnMut(T) -> U) -> Three<U> {
        Three { base: f(self.base), ours: f(self.ours), theirs: f(self.theirs) }
    }

    fn try_map<U, E>(self, mut f: impl FnMut(T) -> Result<U, E>) -> Result<Three<U>, E> {
        Ok(Three { base: f(self.base)?, ours: f(self.ours)?, theirs: f(self.theirs)? })
    }
}

impl Merge<'_> {
    fn roots(&mut self, base: &Tree, ours: &Tree, theirs: &Tree) -> Result<Tree, StorageError> {
        let three = Three { base: base.root(), ours: ours.root(), theirs: theirs.root() };
        let merged = self.nodes(three.map(Some), 0)?;
        Ok(merged.map_or_else(Tree::empty, Tree::new))
    }

    /// Merges nodes of the same depth, where `None` is an empty one.
    fn nodes(
        &mut self,
        three: Three<Option<&Link>>,
        depth: usize,
    ) -> Result<Option<Link>, StorageError> {
        if three.ours.is_none() && three.theirs.is_none() {
            return Ok(None);
        }
        if same_links(three.base, three.theirs) {
            return Ok(three.ours.cloned());
        }
        if same_links(three.base, three.ours) {
            return Ok(three.theirs.cloned());
        }
        if depth == directory::DEPTH_MAX || self.at.len() == LEVELS_MAX {
            return Err(StorageError::TooDeep { levels_max: LEVELS_MAX });
        }
        let empty = Node::empty();
        let nodes = three.try_map(|link| link.map_or(Ok(&empty), Link::load))?;
        let merged = match (nodes.base, nodes.ours, nodes.theirs) {
            (Node::Leaf(base), Node::Leaf(ours), Node::Leaf(theirs)) => {
                let entries = self.leaves(Three { base, ours, theirs })?;
                directory::from_entries(entries, depth)
            }
            _ => directory::from_slots(self.slots(nodes, depth)?)?,
        };
        // What comes out as it was keeps its id, and all that is known about it.
        for side in [three.ours, three.theirs].into_iter().flatten() {
            if unchanged(&merged, side.load()?) {
                return Ok(Some(side.clone()));
            }
        }
        Ok((merged.count() > 0).then(|| Link::new(merged)))
    }

    fn slots(&mut self, nodes: Three<&Node>, depth: usize) -> Result<Slots, StorageError> {
        let sides = nodes.map(|node| directory::slots(node, depth));
        let Three { base, ours, theirs } = &sides;
        let merged = (0..SLOTS).map(|slot| {
            let (base, ours, theirs) = (base.get(slot), ours.get(slot), theirs.get(slot));
            let parts = Three { base, ours, theirs };
            let merged = self.nodes(parts.map(|part| part.map(|part| &part.link)), depth + 1)?;
            merged.map(|link| counted(link, parts)).transpose()
        });
        merged.collect()
    }

    fn leaves(&mut self, three: Three<&Vec<Item>>) -> Result<Vec<Item>, StorageError> {
        // As many as there are if both sides only added some.
        let many = (three.ours.len() + three.theirs.len()).saturating_sub(three.base.len());
        let mut merged = Vec::with_capacity(many);
        for [base, ours, theirs] in Aligned::new([three.base, three.ours, three.theirs]) {
            if same_items(base, theirs)? {
                merged.extend(ours.cloned());
            } else if same_items(base, ours)? {
                merged.extend(theirs.cloned());
            } else {
                let three = Three { base, ours, theirs };
                let step = ours.or(theirs).or(base).expect("BUG: a step on no side").step();
                self.at.push(step.clone());
                let entry = self.entries(three.map(|item| item.map(Item::entry)))?;
                self.at.pop();
                merged.extend(entry.map(|entry| Item::new(step.clone(), entry)));
            }
        }
        Ok(merged)
    }

    /// Merges what one step leads to, which both sides changed.
    fn entries(&mut self, three: Three<Option<&Entry>>) -> Result<Option<Entry>, StorageError> {
        if three.ours.is_none() && three.theirs.is_none() {
            return Ok(None);
        }
        if let Some(directories) = directories(three) {
            let below = self.nodes(directories, 0)?;
            return Ok(below.map(Entry::Directory));
        }
        match (three.ours, three.theirs) {
            (Some(Entry::Value(ours)), Some(Entry::Value(theirs))) => {
                self.values(three, ours, theirs)
            }
            (ours, theirs) if same_entries(ours, theirs)? => Ok(ours.cloned()),
            (None, _) | (_, None) => self.conflict(three, Why::ChangedAndRemoved),
            _ => self.conflict(three, Why::ContentsAndDirectory),
        }
    }

    fn values(
        &mut self,
        three: Three<Option<&Entry>>,
        ours: &Value,
        theirs: &Value,
    ) -> Result<Option<Entry>, StorageError> {
        let base = match three.base {
            Some(Entry::Value(base)) => Some(base.load()?),
            // Both sides put contents in place of the directory, as if it had not been there.
            Some(Entry::Directory(_)) | None => None,
        };
        let (first, second) = match (self.first)() {
            First::Ours => (ours, theirs),
            First::Theirs => (theirs, ours),
        };
        match self.contents.merge(base, first.load()?, second.load()?)? {
            Ok(merged) if merged == *ours.load()? => Ok(three.ours.cloned()),
            Ok(merged) => Ok(Some(Entry::Value(Value::new(merged)))),
            Err(why) => self.conflict(three, why),
        }
    }

    fn conflict(
        &mut self,
        three: Three<Option<&Entry>>,
        why: Why,
    ) -> Result<Option<Entry>, StorageError> {
        if self.is_base {
            return Ok(Some(Entry::Value(Value::new(disputed(three)))));
        }
        let sides = three.try_map(|entry| entry.map(Side::of).transpose())?;
        let path = Path::found(self.at.clone());
        let Three { base, ours, theirs } = sides;
        self.conflicts.push(Conflict { path, base, ours, theirs, why });
        Ok(None)
    }
}

/// A value that nobody has put anywhere, the same whichever side is ours.
fn disputed(three: Three<Option<&Entry>>) -> Contents {
    let id = |entry: Option<&Entry>| match entry {
        Some(Entry::Directory(link)) => link.id(),
        Some(Entry::Value(value)) => value.id(),
        None => Id::from_bytes([0; 32]),
    };
    let mut ids = [id(three.ours), id(three.theirs)];
    ids.sort_unstable();
    Contents::text(format!("disputed between {} and {}", ids[0], ids[1]))
}

/// The versions as directories, if those that are there are directories: a directory that one
/// side removed is an empty one to which entries may be added.
fn directories(three: Three<Option<&Entry>>) -> Option<Three<Option<&Link>>> {
    three
        .try_map(|entry| match entry {
            Some(Entry::Directory(link)) => Ok(Some(link)),
            Some(Entry::Value(_)) => Err(()),
            None => Ok(None),
        })
        .ok()
}

fn same_links(a: Option<&Link>, b: Option<&Link>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.same(b),
        _ => false,
    }
}

fn same_items(a: Option<&Item>, b: Option<&Item>) -> Result<bool, StorageError> {
    match (a, b) {
        (None, None) => Ok(true),
        (Some(a), Some(b)) => a.same(b),
        _ => Ok(false),
    }
}

fn same_entries(a: Option<&Entry>, b: Option<&Entry>) -> Result<bool, StorageError> {
    match (a, b) {
        (None, None) => Ok(true),
        (Some(a), Some(b)) => a.same(b),
        _ => Ok(false),
    }
}

/// Whether a merged node is, link by link, one that was there before.
fn unchanged(merged: &Node, before: &Node) -> bool {
    match (merged, before) {
        (Node::Leaf(a), Node::Leaf(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.is(b) || (a.step() == b.step() && a.entry().is(b.entry())))
        }
        (Node::Branch(a), Node::Branch(b)) => a.iter().zip(b.iter()).all(|parts| match parts {
            (None, None) => true,
            (Some(a), Some(b)) => a.link.is(&b.link),
            _ => false,
        }),
        _ => false,
    }
}

/// A merged part, whose count is known if it is one of the parts it came from.
fn counted(link: Link, from: Three<Option<&Part>>) -> Result<Part, StorageError> {
    let known = [from.ours, from.theirs].into_iter().flatten().find(|part| part.link.is(&link));
    let count = match known {
        Some(part) => part.count,
        None => link.load()?.count(),
    };
    Ok(Part { count, link })
}
