//! Owns decoding an object of any kind and encoding it again, for tests and fuzzing: the public API
//! reaches the decoders only through hashes. Must not know what is expected of it.

use std::sync::Arc;

use crate::backend::{Memory, Source};
use crate::codec::{DecodeError, ObjectKind};
use crate::commit::Record;
use crate::contents::{self, Contents};
use crate::id::Id;
use crate::lazy::Object;
use crate::tree::node::Node;

/// Decodes by the first byte, and encodes what comes out.
pub fn recode(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let nowhere = Source::new(Arc::new(Memory::new()));
    match ObjectKind::of(bytes) {
        Some(ObjectKind::Contents) => Ok(Contents::decode(bytes, &nowhere)?.encode()),
        Some(ObjectKind::Part) => Ok(contents::part(bytes, &nowhere)?.encode()),
        Some(ObjectKind::Node) => Ok(Node::decode(bytes, &nowhere)?.encode()),
        Some(ObjectKind::Commit) => Ok(Record::decode(Id::of(bytes), bytes, &nowhere)?.encode()),
        None => Err(DecodeError::Truncated),
    }
}
