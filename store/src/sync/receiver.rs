//! Owns the side that lacks something: what it has, and whether what comes is sound. Must not
//! know what carries it, nor branches.

use std::collections::HashSet;

use super::{Fault, Message, SyncError};
use crate::backend::{OBJECT_BYTES_MAX, Source};
use crate::codec::ObjectKind;
use crate::commit::Record;
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::Object;
use crate::references::references;
use crate::store::Store;
use crate::tree::node::Node;

/// The most objects that are awaited at a time.
const AWAITED_MAX: usize = 1 << 22;

/// The side that receives commits and everything that belongs to them. What comes is kept at
/// once.
pub(super) struct Receiver {
    source: Source,
    /// What was offered and is not there.
    awaited: HashSet<Id>,
    /// Before which time a commit may lack its tree.
    thinned_before_ms: u64,
}

impl Receiver {
    pub(super) fn new(store: &Store) -> Result<Receiver, StorageError> {
        let thinned_before_ms = store.let_go_before_ms()?;
        let source = store.history().objects_now()?;
        Ok(Receiver { source, awaited: HashSet::new(), thinned_before_ms })
    }

    /// Takes commits without their trees, if they were made before this time.
    pub(super) fn take_thinned(&mut self, before_ms: u64) {
        self.thinned_before_ms = self.thinned_before_ms.max(before_ms);
    }

    /// What to answer to a message of the side that sends.
    pub(super) fn handle(&mut self, message: &Message) -> Result<Message, SyncError> {
        match message {
            Message::Offer(ids) => {
                let has = ids.iter().map(|id| self.has(id)).collect::<Result<_, _>>()?;
                Ok(Message::Has(has))
            }
            Message::Slice(objects) => {
                for object in objects {
                    let id = Id::of(object);
                    if !self.awaited.remove(&id) {
                        return Err(SyncError::Object { id, fault: Fault::Unasked });
                    }
                    keep(&self.source, &id, object, self.thinned_before_ms)?;
                }
                Ok(Message::Taken)
            }
            other => Err(SyncError::Unexpected(other.name())),
        }
    }

    /// Whether a commit and with it everything that belongs to it is there now.
    pub(super) fn check(&self, head: &Id) -> Result<(), SyncError> {
        check_head(&self.source, head)
    }

    /// Makes durable what came. It may be what commits lacked that are here for long, so that no
    /// head moves.
    pub(super) fn sync(&self) -> Result<(), SyncError> {
        Ok(self.source.sync()?)
    }

    fn has(&mut self, id: &Id) -> Result<bool, SyncError> {
        let has = self.source.contains(id)?;
        if !has {
            self.awaited.insert(*id);
        }
        if self.awaited.len() > AWAITED_MAX {
            return Err(SyncError::Object { id: *id, fault: Fault::TooMany(AWAITED_MAX) });
        }
        Ok(has)
    }
}

/// Whether a commit that is to be the head of a branch is there, and has its tree.
pub(super) fn check_head(source: &Source, head: &Id) -> Result<(), SyncError> {
    check_epoch(source)?;
    let refused = |fault| Err(SyncError::Object { id: *head, fault });
    match Record::load(head, source)? {
        None => refused(Fault::Missing),
        Some(record) if !source.contains(&record.tree())? => refused(Fault::Refers(record.tree())),
        Some(_) => Ok(()),
    }
}

/// Refuses to go on when a collection has begun since a source was taken: what came before may be
/// gone.
fn check_epoch(source: &Source) -> Result<(), StorageError> {
    if source.epoch() == source.known() { Ok(()) } else { Err(StorageError::Outrun) }
}

/// Keeps an object that came from elsewhere, unless a collection has begun since `to` was taken, after looking whether it is sound: that whatever it
/// refers to is there, but for the trees of commits made before a time, and of a commit, that it
/// fits its tree and parents. (Other objects that do not fit each other are told as damage when
/// somebody looks at them.)
pub(super) fn keep(
    to: &Source,
    id: &Id,
    bytes: &[u8],
    thinned_before_ms: u64,
) -> Result<(), SyncError> {
    let refused = |fault| Err(SyncError::Object { id: *id, fault });
    if bytes.len() > OBJECT_BYTES_MAX {
        return refused(Fault::TooLarge(OBJECT_BYTES_MAX));
    }
    check_epoch(to)?;
    let below = match references(bytes) {
        Ok(below) => below,
        Err(error) => return refused(Fault::Decode(error)),
    };
    let commit = (ObjectKind::of(bytes) == Some(ObjectKind::Commit))
        .then(|| Record::decode(*id, bytes, to).expect("BUG: a commit that was decoded before"));
    let thinned = commit.as_ref().filter(|it| it.meta().time_ms < thinned_before_ms);
    let thinned = thinned.map(Record::tree);
    for below in below {
        if !to.contains(&below)? && thinned != Some(below) {
            return refused(Fault::Refers(below));
        }
    }
    if let Some(commit) = commit
        && let Err(fault) = check_commit(to, &commit)?
    {
        return refused(fault);
    }
    Ok(to.store(id, bytes)?)
}

/// Whether what a commit has as its tree, if it is there, is one, and whether it has the
/// generation that its parents give, which are.
fn check_commit(to: &Source, record: &Record) -> Result<Result<(), Fault>, SyncError> {
    let tree = record.tree();
    if to.get(&tree)?.is_some_and(|bytes| Node::decode(&bytes, to).is_err()) {
        return Ok(Err(Fault::Kind(tree)));
    }
    let mut generation = 1;
    for parent in record.parents() {
        match Record::decode(parent, &to.fetch(&parent)?, to) {
            Ok(parent) => generation = generation.max(parent.generation().saturating_add(1)),
            Err(_) => return Ok(Err(Fault::Kind(parent))),
        }
    }
    let fits = record.generation() == generation;
    Ok(if fits { Ok(()) } else { Err(Fault::Generation(generation)) })
}
