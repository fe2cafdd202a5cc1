//! Owns what an object refers to, whatever kind of object it is, and what a commit says of itself: for all
//! who follow objects without looking at what they mean. Must not know where objects are kept.

use std::sync::Arc;

use crate::backend::{Memory, Source};
use crate::codec::{DecodeError, ObjectKind};
use crate::commit::Record;
use crate::contents::{self, Contents};
use crate::id::Id;
use crate::lazy::{Object, See};
use crate::retention;
use crate::tree::node::Node;

/// The ids of all objects that an object with these bytes refers to, in the order in which they
/// are in it; one that is there twice is told twice.
///
/// ```
/// use jitsu_store::{BranchName, Meta, Store, Tree, backend::{Backend, Memory}};
/// let backend = std::sync::Arc::new(Memory::new());
/// let store = Store::on(backend.clone())?;
/// let mut batch = store.batch();
/// let commit = batch.commit(&BranchName::new("main")?, Tree::empty(), Meta::default())?;
/// let bytes = backend.get(&commit.id())?.unwrap();
/// assert_eq!(jitsu_store::references(&bytes)?, [commit.tree().id()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn references(bytes: &[u8]) -> Result<Vec<Id>, DecodeError> {
    // Nothing is loaded, so that it makes no difference from where it would be.
    let nowhere = Source::new(Arc::new(Memory::new()));
    let mut ids = Vec::new();
    let see: &mut See<'_> = &mut |object| {
        ids.push(object.id());
        Ok(())
    };
    let seen = match ObjectKind::of(bytes) {
        Some(ObjectKind::Contents) => Contents::decode(bytes, &nowhere)?.links(see),
        Some(ObjectKind::Part) => contents::part(bytes, &nowhere)?.links(see),
        Some(ObjectKind::Node) => Node::decode(bytes, &nowhere)?.links(see),
        Some(ObjectKind::Commit) => {
            ids.extend(Record::decode(Id::of(bytes), bytes, &nowhere)?.references());
            Ok(())
        }
        None => {
            return Err(bytes.first().map_or(DecodeError::Truncated, |it| DecodeError::Tag(*it)));
        }
    };
    seen.expect("BUG: collecting ids failed");
    Ok(ids)
}

/// What a commit says of itself, for those who look at no tree.
pub(crate) struct CommitFacts {
    pub(crate) generation: u64,
    pub(crate) time_ms: u64,
    /// If it says so: before which time a commit may lack its tree.
    pub(crate) trees_since_ms: u64,
}

/// The facts of the commit with these bytes; `None` if they are none.
pub(crate) fn commit_facts(id: &Id, bytes: &[u8]) -> Option<CommitFacts> {
    let nowhere = Source::new(Arc::new(Memory::new()));
    let record = Record::decode(*id, bytes, &nowhere).ok()?;
    Some(CommitFacts {
        generation: record.generation(),
        time_ms: record.meta().time_ms,
        trees_since_ms: retention::trees_since_ms(Some(record.meta())),
    })
}
