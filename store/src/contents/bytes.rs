//! Owns bytes without inner structure. Two different changes of them always conflict.

use std::sync::Arc;

use crate::codec::{DecodeError, Reader, Writer};

pub(super) fn encode(bytes: &[u8], to: &mut Writer) {
    to.raw(bytes);
}

/// Everything up to the end of the object.
pub(super) fn decode(from: &mut Reader<'_>) -> Result<Arc<[u8]>, DecodeError> {
    Ok(from.raw(from.remaining())?.into())
}
