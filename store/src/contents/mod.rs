//! Owns the closed set of values that can be at a path: the enum, its encoding, and which merge
//! belongs to which kind. Must not know trees or paths.
//!
//! A new kind is a file beside this one, a variant, a kind byte, and an arm in each `match` below.

mod bytes;
mod counter;
mod register;
mod set;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use self::register::Register;
use crate::codec::{DecodeError, ObjectKind, Reader, Writer};

/// A value at a path, with the merge that belongs to its kind.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contents {
    /// Bytes without inner structure: two different changes conflict.
    Bytes(Arc<[u8]>),
    /// A number that is added to: concurrent additions add up.
    Counter(i64),
    /// A value of which the last one written wins.
    Register(Register),
    /// A set: concurrent additions and removals all happen.
    Set(BTreeSet<Arc<[u8]>>),
}

/// Why two values could not be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Both sides changed it, differently.
    #[error("both sides changed it")]
    BothChanged,
    /// One side changed what the other removed.
    #[error("one side changed it and the other removed it")]
    ChangedAndRemoved,
    /// The sides hold values of different kinds.
    #[error("the sides hold different kinds of contents")]
    Kinds,
    /// One side has contents where the other has a directory.
    #[error("one side has contents where the other has a directory")]
    ContentsAndDirectory,
    /// The sum of a counter does not fit.
    #[error("the counter does not fit 64 bits")]
    Overflow,
}

impl Contents {
    /// Bytes that are this text.
    pub fn text(text: impl Into<String>) -> Contents {
        Contents::Bytes(text.into().into_bytes().into())
    }

    /// Bytes.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Contents {
        Contents::Bytes(bytes.into())
    }

    /// A set of these members.
    pub fn set<M: AsRef<[u8]>>(members: impl IntoIterator<Item = M>) -> Contents {
        Contents::Set(members.into_iter().map(|member| member.as_ref().into()).collect())
    }

    /// The text that these bytes are, if they are bytes and UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Contents::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The bytes, if they are bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Contents::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Three-way merge of two values, which in `base` were something else or not there. It is
    /// symmetric: which side is `ours` makes no difference.
    pub fn merge(
        base: Option<&Contents>,
        ours: &Contents,
        theirs: &Contents,
    ) -> Result<Contents, Why> {
        // Counters come first: that both sides have the same number does not mean that both made
        // the same change. Each of them added something.
        if let (Contents::Counter(ours), Contents::Counter(theirs)) = (ours, theirs) {
            let base = counter::base(base)?;
            return counter::merge(base, *ours, *theirs).map(Contents::Counter);
        }
        if ours == theirs || base == Some(theirs) {
            return Ok(ours.clone());
        }
        if base == Some(ours) {
            return Ok(theirs.clone());
        }
        match (base, ours, theirs) {
            (None | Some(Contents::Bytes(_)), Contents::Bytes(_), Contents::Bytes(_)) => {
                Err(Why::BothChanged)
            }
            (
                None | Some(Contents::Register(_)),
                Contents::Register(ours),
                Contents::Register(theirs),
            ) => Ok(Contents::Register(register::merge(ours, theirs))),
            (None, Contents::Set(ours), Contents::Set(theirs)) => {
                Ok(Contents::Set(set::merge(&BTreeSet::new(), ours, theirs)))
            }
            (Some(Contents::Set(base)), Contents::Set(ours), Contents::Set(theirs)) => {
                Ok(Contents::Set(set::merge(base, ours, theirs)))
            }
            _ => Err(Why::Kinds),
        }
    }

    /// The object's bytes, kind byte included.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Writer::object(ObjectKind::Contents);
        match self {
            Contents::Bytes(bytes) => {
                to.byte(b'b');
                bytes::encode(bytes, &mut to);
            }
            Contents::Counter(count) => {
                to.byte(b'c');
                counter::encode(*count, &mut to);
            }
            Contents::Register(register) => {
                to.byte(b'r');
                register::encode(register, &mut to);
            }
            Contents::Set(members) => {
                to.byte(b's');
                set::encode(members, &mut to);
            }
        }
        to.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Contents, DecodeError> {
        let mut from = Reader::object(bytes, ObjectKind::Contents)?;
        let contents = match from.byte()? {
            b'b' => Contents::Bytes(bytes::decode(&mut from)?),
            b'c' => Contents::Counter(counter::decode(&mut from)?),
            b'r' => Contents::Register(register::decode(&mut from)?),
            b's' => Contents::Set(set::decode(&mut from)?),
            other => return Err(DecodeError::Tag(other)),
        };
        from.end()?;
        Ok(contents)
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Contents::Bytes(bytes) => write!(f, "{}", Bytes(bytes)),
            Contents::Counter(count) => write!(f, "counter {count}"),
            Contents::Register(register) => {
                write!(f, "{} at {} ms", Bytes(&register.value), register.time_ms)
            }
            Contents::Set(members) => {
                f.write_str("{")?;
                for (at, member) in members.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{}", Bytes(member))?;
                }
                f.write_str("}")
            }
        }
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Shows bytes to a person: as a quoted text if they are one, else their number.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) if text.len() <= 120 => write!(f, "{text:?}"),
            Ok(text) => write!(f, "a text of {} bytes", text.len()),
            Err(_) => write!(f, "{} bytes", self.0.len()),
        }
    }
}
