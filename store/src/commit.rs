//! Owns commits and their canonical bytes. Must not know branches, nor how commits are found.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::backend::Source;
use crate::codec::{DecodeError, ObjectKind, Reader, Writer};
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::decode_checked;
use crate::tree::Tree;

/// The most parents of a commit.
pub const PARENTS_MAX: usize = 16;

/// Who made a commit, when, and what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// When, in milliseconds since 1970. The store never asks a clock.
    pub time_ms: u64,
    /// Who.
    pub author: String,
    /// What, for people.
    pub message: String,
    /// What, for programs.
    pub fields: BTreeMap<String, String>,
}

/// A tree, what it was made from, and who made it. A clone is the same commit.
#[derive(Clone)]
pub struct Commit {
    record: Arc<Record>,
    tree: Tree,
}

/// What a commit holds besides its tree, which is loaded on its own.
pub(crate) struct Record {
    id: Id,
    root: Id,
    parents: Vec<Id>,
    generation: u64,
    meta: Meta,
}

impl Commit {
    /// The id.
    pub fn id(&self) -> Id {
        self.record.id
    }

    /// The commits it was made from: none for a first commit, the head of the branch first.
    pub fn parents(&self) -> &[Id] {
        &self.record.parents
    }

    /// The tree, loaded as it is looked at.
    pub fn tree(&self) -> Tree {
        self.tree.clone()
    }

    /// Who made it, when, and what it is about.
    pub fn meta(&self) -> &Meta {
        self.record.meta()
    }

    /// One more than the greatest generation of its parents; 1 without parents. An ancestor has
    /// a smaller one, always.
    pub fn generation(&self) -> u64 {
        self.record.generation
    }

    /// Where the order of the two sides of a merge matters, the lesser is first: by time, and by
    /// id at the same time, so that it does not depend on which branch merges the other.
    pub(crate) fn order(&self) -> (u64, Id) {
        self.record.order()
    }

    /// Makes a commit and puts it, its tree first. Whether it was not there before.
    pub(crate) fn create(
        to: &Source,
        parents: &[&Record],
        tree: Tree,
        meta: Meta,
    ) -> Result<(Commit, bool), StorageError> {
        tree.save(to)?;
        let root = tree.id();
        let generation = 1 + parents.iter().map(|parent| parent.generation).max().unwrap_or(0);
        let parents = parents.iter().map(|parent| parent.id).collect();
        // The id is not known before the rest is encoded.
        let id = Id::from_bytes([0; 32]);
        let mut record = Record { id, root, parents, generation, meta };
        let bytes = record.encode();
        record.id = Id::of(&bytes);
        let is_new = to.get(&record.id)?.is_none();
        to.put(&record.id, &bytes)?;
        Ok((Commit { record: Arc::new(record), tree }, is_new))
    }

    /// A commit of which nothing but the record is in memory.
    pub(crate) fn stored(record: Arc<Record>, home: &Source) -> Commit {
        let tree = Tree::stored(record.root, home.clone());
        Commit { record, tree }
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit")
            .field("id", &self.record.id)
            .field("parents", &self.record.parents)
            .field("message", &self.record.meta.message)
            .finish_non_exhaustive()
    }
}

impl Record {
    pub(crate) fn load(id: &Id, from: &Source) -> Result<Option<Record>, StorageError> {
        let Some(bytes) = from.get(id)? else { return Ok(None) };
        decode_checked(id, &bytes, |bytes| Record::decode(*id, bytes)).map(Some)
    }

    pub(crate) fn parents(&self) -> &[Id] {
        &self.parents
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    pub(crate) fn order(&self) -> (u64, Id) {
        (self.meta.time_ms, self.id)
    }

    /// The ids it refers to.
    pub(crate) fn references(&self) -> impl Iterator<Item = Id> {
        [self.root].into_iter().chain(self.parents.iter().copied())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Writer::object(ObjectKind::Commit);
        to.id(&self.root);
        to.number(self.parents.len() as u64);
        for parent in &self.parents {
            to.id(parent);
        }
        to.number(self.generation);
        to.number(self.meta.time_ms);
        to.bytes(self.meta.author.as_bytes());
        to.bytes(self.meta.message.as_bytes());
        to.number(self.meta.fields.len() as u64);
        for (name, value) in &self.meta.fields {
            to.bytes(name.as_bytes());
            to.bytes(value.as_bytes());
        }
        to.finish()
    }

    pub(crate) fn decode(id: Id, bytes: &[u8]) -> Result<Record, DecodeError> {
        let mut from = Reader::object(bytes, ObjectKind::Commit)?;
        let root = from.id()?;
        let parents = decode_parents(&mut from)?;
        let generation = from.number()?;
        if generation == 0 || (parents.is_empty() && generation != 1) {
            return Err(DecodeError::NotCanonical("an impossible generation"));
        }
        let time_ms = from.number()?;
        let author = from.text()?.to_owned();
        let message = from.text()?.to_owned();
        let mut fields = BTreeMap::new();
        for _ in 0..from.count(2)? {
            let (name, value) = (from.text()?, from.text()?);
            if fields.last_key_value().is_some_and(|(last, _): (&String, _)| **last >= *name) {
                return Err(DecodeError::NotCanonical("fields out of order"));
            }
            fields.insert(name.to_owned(), value.to_owned());
        }
        from.end()?;
        let meta = Meta { time_ms, author, message, fields };
        Ok(Record { id, root, parents, generation, meta })
    }
}

fn decode_parents(from: &mut Reader<'_>) -> Result<Vec<Id>, DecodeError> {
    let count = from.count(32)?;
    if count > PARENTS_MAX {
        return Err(DecodeError::NotCanonical("too many parents"));
    }
    let mut parents = Vec::with_capacity(count);
    for _ in 0..count {
        let parent = from.id()?;
        if parents.contains(&parent) {
            return Err(DecodeError::NotCanonical("a parent twice"));
        }
        parents.push(parent);
    }
    Ok(parents)
}
