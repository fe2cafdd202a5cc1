//! Owns how contents are kept in something else: small ones inside it, large ones as an object of
//! their own. Must not know what they are kept in.

use super::Contents;
use crate::backend::Source;
use crate::codec::{DecodeError, Reader, Writer};
use crate::error::StorageError;
use crate::lazy::{Lazy, Object, See};

/// Contents whose encoding is no longer than this are kept inside what holds them.
pub(crate) const INLINE_MAX: usize = 64;

/// Shared contents, loaded as they are looked at.
pub(crate) type Value = Lazy<Contents>;

/// The tag of contents that are inside.
pub(crate) const INLINE: u8 = b'i';
/// The tag of contents that are an object of their own.
pub(crate) const LINKED: u8 = b'v';

/// The bytes of contents that are small enough to be inside.
fn small(value: &Value) -> Option<Vec<u8>> {
    match value.loaded()? {
        // Seen without encoding them, of which a node would do much for nothing.
        Contents::Bytes(bytes) if bytes.len() > INLINE_MAX => None,
        contents => Some(contents.encode()).filter(|bytes| bytes.len() <= INLINE_MAX),
    }
}

pub(crate) fn encode(value: &Value, to: &mut Writer) {
    match small(value) {
        Some(bytes) => {
            to.byte(INLINE);
            to.bytes(&bytes);
        }
        None => {
            to.byte(LINKED);
            to.id(&value.id());
        }
    }
}

/// What follows one of the two tags.
pub(crate) fn decode(tag: u8, from: &mut Reader<'_>, home: &Source) -> Result<Value, DecodeError> {
    match tag {
        LINKED => Ok(Value::stored(from.id()?, home.clone())),
        INLINE => {
            let bytes = from.bytes()?;
            if bytes.len() > INLINE_MAX {
                return Err(DecodeError::NotCanonical("large contents inside of something"));
            }
            Ok(Value::new(Contents::decode(bytes, home)?))
        }
        other => Err(DecodeError::Tag(other)),
    }
}

/// Shows the contents if they are an object, and what they refer to if they are not.
pub(crate) fn links(value: &Value, see: &mut See<'_>) -> Result<(), StorageError> {
    match value.loaded() {
        Some(contents) if small(value).is_some() => contents.links(see),
        _ => see(value),
    }
}

impl Object for Contents {
    fn encode(&self) -> Vec<u8> {
        Contents::encode(self)
    }

    fn decode(bytes: &[u8], home: &Source) -> Result<Contents, DecodeError> {
        if bytes.len() <= INLINE_MAX {
            return Err(DecodeError::NotCanonical("small contents outside of what holds them"));
        }
        Contents::decode(bytes, home)
    }

    fn links(&self, see: &mut See<'_>) -> Result<(), StorageError> {
        Contents::links(self, see)
    }
}
