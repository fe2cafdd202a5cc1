//! Owns what an object refers to, whatever kind of object it is, and how old a commit is: for all
//! who follow objects without looking at what they mean. Must not know where objects are kept.

use std::sync::Arc;

use crate::backend::{Memory, Source};
use crate::codec::{DecodeError, ObjectKind};
use crate::commit::Record;
use crate::contents::{self, Contents};
use crate::id::Id;
use crate::lazy::{Object, See};
use crate::tree::node::Node;

/// The ids of all objects that an object with these bytes refers to, in the order in which they
/// are in it; one that is there twice is told twice.
///
/// ```
/// use jitsu_store::{BranchName, Meta, Store, Tree, backend::{Backend, Memory}};
/// let backend = std::sync::Arc::new(Memory::new());
/// let store = Store::open(backend.clone())?;
/// let mut batch = store.batch();
/// let commit = batch.commit(&BranchName::new("main")?, Tree::empty(), Meta::default())?;
/// let bytes = backend.get(&commit.id())?.unwrap();
/// assert_eq!(jitsu_store::references(&bytes)?, [commit.tree().id()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn references(bytes: &[u8]) -> Result<Vec<Id>, DecodeError> {
    // Nothing is loaded, so that it makes no difference from where it would be.
    let nowhere = Source(Arc::new(Memory::new()));
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

/// The generation of the commit with these bytes; `None` if they are none.
pub(crate) fn generation(id: &Id, bytes: &[u8]) -> Option<u64> {
    let nowhere = Source(Arc::new(Memory::new()));
    Some(Record::decode(*id, bytes, &nowhere).ok()?.generation())
}
