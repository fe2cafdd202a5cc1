//! Owns the side that lacks something: what it has, and whether what comes is sound. Must not
//! know what carries it, nor branches.

use std::collections::HashSet;

use super::{Fault, Message, SyncError};
use crate::backend::{OBJECT_BYTES_MAX, Source};
use crate::codec::ObjectKind;
use crate::commit::Record;
use crate::id::Id;
use crate::lazy::Object;
use crate::references::references;
use crate::tree::node::Node;

/// The most objects that are awaited at a time.
const AWAITED_MAX: usize = 1 << 22;

/// The side that receives commits and everything that belongs to them. What comes is kept at
/// once.
pub(super) struct Receiver {
    source: Source,
    /// What was offered and is not there.
    awaited: HashSet<Id>,
}

impl Receiver {
    pub(super) fn new(source: &Source) -> Receiver {
        Receiver { source: source.clone(), awaited: HashSet::new() }
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
                    keep(&self.source, &id, object)?;
                }
                Ok(Message::Taken)
            }
            other => Err(SyncError::Unexpected(other.name())),
        }
    }

    /// Whether a commit and with it everything that belongs to it is there now.
    pub(super) fn check(&self, head: &Id) -> Result<(), SyncError> {
        match Record::load(head, &self.source)? {
            Some(_) => Ok(()),
            None => Err(SyncError::Object { id: *head, fault: Fault::Missing }),
        }
    }

    fn has(&mut self, id: &Id) -> Result<bool, SyncError> {
        let has = self.source.has(id)?;
        if !has {
            self.awaited.insert(*id);
        }
        if self.awaited.len() > AWAITED_MAX {
            return Err(SyncError::Object { id: *id, fault: Fault::TooMany(AWAITED_MAX) });
        }
        Ok(has)
    }
}

/// Keeps an object that came from elsewhere, after looking whether it is sound: that whatever it
/// refers to is there, and of a commit, that it fits its tree and parents. (Other objects that do
/// not fit each other are told as damage when somebody looks at them.)
pub(super) fn keep(to: &Source, id: &Id, bytes: &[u8]) -> Result<(), SyncError> {
    let refused = |fault| Err(SyncError::Object { id: *id, fault });
    if bytes.len() > OBJECT_BYTES_MAX {
        return refused(Fault::TooLarge(OBJECT_BYTES_MAX));
    }
    let below = match references(bytes) {
        Ok(below) => below,
        Err(error) => return refused(Fault::Decode(error)),
    };
    for below in below {
        if !to.has(&below)? {
            return refused(Fault::Refers(below));
        }
    }
    if ObjectKind::of(bytes) == Some(ObjectKind::Commit)
        && let Err(fault) = check_commit(to, id, bytes)?
    {
        return refused(fault);
    }
    Ok(to.put(id, bytes)?)
}

/// Whether a commit, of which all that it refers to is there, has a tree and the generation that
/// its parents give.
fn check_commit(to: &Source, id: &Id, bytes: &[u8]) -> Result<Result<(), Fault>, SyncError> {
    let record = Record::decode(*id, bytes, to).expect("BUG: a commit that was decoded before");
    let tree = record.tree();
    if Node::decode(&to.fetch(&tree)?, to).is_err() {
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
