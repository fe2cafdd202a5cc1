//! Owns commits and their canonical bytes. Must not know branches, nor how commits are found.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

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

/// What a commit holds besides its tree as somebody looks at it.
pub(crate) struct Record {
    /// Known if it was loaded, or asked for.
    id: OnceLock<Id>,
    /// What tells it from all others, if it is a value.
    serial: Option<u64>,
    /// The tree as it was when nobody had looked at it, so that the record can be kept without.
    tree: Tree,
    parents: Vec<Parent>,
    generation: u64,
    meta: Meta,
}

/// A commit that another one was made from.
#[derive(Clone)]
pub(crate) enum Parent {
    /// As a value.
    Here(Commit),
    /// As an object.
    Stored(Id),
}

/// A commit that somebody means: by its id, or by itself, so that a store in memory need not hash
/// it.
#[derive(Clone, Debug)]
pub enum CommitRef {
    /// By its id.
    Id(Id),
    /// By itself. One of another store is looked for by its id.
    Commit(Commit),
}

impl From<&Id> for CommitRef {
    fn from(id: &Id) -> CommitRef {
        CommitRef::Id(*id)
    }
}

impl From<&Commit> for CommitRef {
    fn from(commit: &Commit) -> CommitRef {
        CommitRef::Commit(commit.clone())
    }
}

/// What tells a commit from all others of its store, without hashing it: of one store, all have
/// the same kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Serial(u64),
    Id(Id),
}

impl Commit {
    /// The id, for which it and everything before it is hashed if that was not done yet: a store
    /// that keeps values does so when somebody asks.
    pub fn id(&self) -> Id {
        self.record.id()
    }

    /// The commits it was made from: none for a first commit, the head of the branch first.
    pub fn parents(&self) -> Vec<Id> {
        self.record.parents.iter().map(Parent::id).collect()
    }

    /// The tree, loaded as it is looked at.
    pub fn tree(&self) -> Tree {
        self.tree.clone()
    }

    /// Who made it, when, and what it is about.
    pub fn meta(&self) -> &Meta {
        &self.record.meta
    }

    /// One more than the greatest generation of its parents; 1 without parents. An ancestor has
    /// a smaller one, always.
    pub fn generation(&self) -> u64 {
        self.record.generation()
    }

    /// Whether `self` is first, where the order of the two sides of a merge matters: by time, and
    /// by id at the same time, so that it does not depend on which branch merges the other.
    pub(crate) fn is_before(&self, other: &Commit) -> bool {
        let times = self.meta().time_ms.cmp(&other.meta().time_ms);
        times.then_with(|| self.id().cmp(&other.id())).is_le()
    }

    /// Makes a commit and puts it, its tree first. Whether it was not there before.
    ///
    /// If a collection has begun since the epoch of `to` it may not be put: whoever makes it cannot
    /// publish it either.
    pub(crate) fn create(
        to: &Source,
        parents: &[&Commit],
        tree: Tree,
        meta: Meta,
    ) -> Result<(Commit, bool), StorageError> {
        let is_put = match tree.save(to) {
            Ok(()) => true,
            Err(StorageError::Outrun) => false,
            Err(error) => return Err(error),
        };
        let unloaded = Tree::stored(tree.id(), to.clone());
        let record = Record::new(None, parents, unloaded, meta);
        let bytes = record.encode();
        let id = Id::of(&bytes);
        let _ = record.id.set(id);
        let is_new = !is_put || put(to, parents, &id, &bytes)?;
        Ok((Commit { record: Arc::new(record), tree }, is_new))
    }

    /// A commit that is a value, and the `serial`-th of its store.
    pub(crate) fn value(serial: u64, parents: &[&Commit], tree: Tree, meta: Meta) -> Commit {
        let record = Record::new(Some(serial), parents, tree.clone(), meta);
        Commit { record: Arc::new(record), tree }
    }

    /// A commit of which nothing but the record is in memory.
    pub(crate) fn stored(record: Arc<Record>, home: &Source) -> Commit {
        let tree = Tree::stored(record.tree.id(), home.clone());
        Commit { record, tree }
    }

    /// The same commit without what is in memory of its tree and can be loaded again.
    pub(crate) fn unloaded(&self) -> Commit {
        Commit { record: self.record.clone(), tree: self.record.tree.clone() }
    }

    /// Whether both are one commit in memory.
    pub(crate) fn is(&self, other: &Commit) -> bool {
        Arc::ptr_eq(&self.record, &other.record)
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// It, as a parent of others.
    pub(crate) fn link(&self) -> Parent {
        match self.record.serial {
            Some(_) => Parent::Here(self.clone()),
            None => Parent::Stored(self.id()),
        }
    }

    pub(crate) fn links(&self) -> &[Parent] {
        &self.record.parents
    }

    pub(crate) fn key(&self) -> Key {
        self.record.serial.map_or_else(|| Key::Id(self.id()), Key::Serial)
    }
}

/// Puts a commit whose tree is there. Whether it was not before.
fn put(to: &Source, parents: &[&Commit], id: &Id, bytes: &[u8]) -> Result<bool, StorageError> {
    if to.contains(id)? {
        return Ok(false);
    }
    let mut outcome = Ok(());
    for parent in parents {
        let parent = parent.id();
        // What was collected is not brought back by who still has it in memory.
        if !to.contains(&parent)? {
            outcome = Err(StorageError::Missing { id: parent });
        }
    }
    match outcome.and_then(|()| to.store(id, bytes)) {
        Err(_) if to.epoch() != to.known() => Ok(true),
        result => result.map(|()| true),
    }
}

impl Parent {
    pub(crate) fn id(&self) -> Id {
        match self {
            Parent::Here(commit) => commit.id(),
            Parent::Stored(id) => *id,
        }
    }

    pub(crate) fn key(&self) -> Key {
        match self {
            Parent::Here(commit) => commit.key(),
            Parent::Stored(id) => Key::Id(*id),
        }
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit")
            .field("id", &self.id())
            .field("parents", &self.parents())
            .field("message", &self.meta().message)
            .finish_non_exhaustive()
    }
}

impl Record {
    fn new(serial: Option<u64>, parents: &[&Commit], tree: Tree, meta: Meta) -> Record {
        let generation = 1 + parents.iter().map(|parent| parent.generation()).max().unwrap_or(0);
        let parents = parents.iter().map(|parent| parent.link()).collect();
        Record { id: OnceLock::new(), serial, tree, parents, generation, meta }
    }

    pub(crate) fn load(id: &Id, from: &Source) -> Result<Option<Record>, StorageError> {
        let Some(bytes) = from.get(id)? else { return Ok(None) };
        decode_checked(id, &bytes, |bytes| Record::decode(*id, bytes, from)).map(Some)
    }

    /// The same of one that something refers to, and that hence must be there.
    pub(crate) fn fetch(id: &Id, from: &Source) -> Result<Record, StorageError> {
        Record::load(id, from)?.ok_or(StorageError::Missing { id: *id })
    }

    fn id(&self) -> Id {
        if let Some(id) = self.id.get() {
            return *id;
        }
        // A long line of commits whose ids nobody asked for: the oldest first, without recursion.
        let mut line: Vec<Arc<Record>> = Vec::new();
        loop {
            match line.last().map_or(self, |last| last).unnamed() {
                Some(below) => line.push(below),
                None => match line.pop() {
                    Some(last) => _ = last.name(),
                    None => return self.name(),
                },
            }
        }
    }

    /// The id, where those of all parents are known.
    fn name(&self) -> Id {
        *self.id.get_or_init(|| Id::of(&self.encode()))
    }

    /// A parent whose id is not known.
    fn unnamed(&self) -> Option<Arc<Record>> {
        self.parents.iter().find_map(|parent| match parent {
            Parent::Here(commit) if commit.record.id.get().is_none() => Some(commit.record.clone()),
            _ => None,
        })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The id of its tree.
    pub(crate) fn tree(&self) -> Id {
        self.tree.id()
    }

    pub(crate) fn parents(&self) -> impl Iterator<Item = Id> {
        self.parents.iter().map(Parent::id)
    }

    /// The ids it refers to.
    pub(crate) fn references(&self) -> impl Iterator<Item = Id> {
        [self.tree()].into_iter().chain(self.parents())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Writer::object(ObjectKind::Commit);
        to.id(&self.tree.id());
        to.number(self.parents.len() as u64);
        for parent in &self.parents {
            to.id(&parent.id());
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

    pub(crate) fn decode(id: Id, bytes: &[u8], home: &Source) -> Result<Record, DecodeError> {
        let mut from = Reader::object(bytes, ObjectKind::Commit)?;
        let tree = Tree::stored(from.id()?, home.clone());
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
        Ok(Record { id: id.into(), serial: None, tree, parents, generation, meta })
    }
}

/// Not by recursion: a line of values may be longer than a stack is deep.
impl Drop for Record {
    fn drop(&mut self) {
        let mut orphans = std::mem::take(&mut self.parents);
        while let Some(orphan) = orphans.pop() {
            if let Parent::Here(Commit { record, .. }) = orphan
                && let Some(mut record) = Arc::into_inner(record)
            {
                orphans.append(&mut record.parents);
            }
        }
    }
}

fn decode_parents(from: &mut Reader<'_>) -> Result<Vec<Parent>, DecodeError> {
    let count = from.count(32)?;
    if count > PARENTS_MAX {
        return Err(DecodeError::NotCanonical("too many parents"));
    }
    let mut parents: Vec<Id> = Vec::with_capacity(count);
    for _ in 0..count {
        let parent = from.id()?;
        if parents.contains(&parent) {
            return Err(DecodeError::NotCanonical("a parent twice"));
        }
        parents.push(parent);
    }
    Ok(parents.into_iter().map(Parent::Stored).collect())
}
