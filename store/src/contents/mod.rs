//! Owns the closed set of values that can be at a path: the enum, its encoding, and which merge
//! belongs to which kind. Must not know trees or paths.
//!
//! A new kind is a file beside this one, a variant, a kind byte, and an arm in each `match` below.
//! Contents may be several objects: the parts they are made of are loaded when they are looked at.

mod bytes;
mod counter;
mod custom;
mod log;
mod map;
mod merge;
mod mergeable;
mod queue;
mod register;
mod rope;
mod set;
pub(crate) mod value;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub(crate) use self::custom::Types;
pub use self::custom::{Custom, Opaque};
#[cfg(feature = "git")]
pub(crate) use self::log::Layout;
pub use self::log::{Journal, Logged};
pub use self::map::Map;
pub(crate) use self::merge::Merging;
pub use self::mergeable::{Count, Mergeable};
#[cfg(feature = "git")]
pub(crate) use self::queue::held::{Held, HeldRun};
pub use self::queue::{Elements, Queue};
pub use self::register::Register;
use self::rope::node::Node;
#[cfg(feature = "git")]
pub(crate) use self::rope::shape::Shape;
pub use self::rope::{ByteRope, Chunk, Items, List, ListRope, Rope, RopeError, TextRope};
use crate::backend::Source;
use crate::codec::{DecodeError, ObjectKind, Reader, Writer};
use crate::error::StorageError;
use crate::lazy::{Object, See};

/// A value at a path, with the merge that belongs to its kind.
///
/// Two are equal if they are stored as the same bytes. What is made of parts may hold the same and
/// yet not be equal, if it came about in another way.
#[derive(Clone)]
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
    /// Elements pushed at one end and popped at the other: concurrent pushes and pops all happen.
    Queue(Queue),
    /// A long text: edits of different places all happen, overlapping ones conflict.
    TextRope(TextRope),
    /// Many bytes, likewise.
    ByteRope(ByteRope),
    /// Contents of any kind in a row, likewise.
    ListRope(ListRope),
    /// Contents of any kind by key: each key is merged on its own.
    Map(Map),
    /// Entries with times, never removed: those of both sides are there.
    Log(Journal),
    /// A value of a type that the user of the store defines, merged as that says.
    Custom(Opaque),
}

/// Why two values could not be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// Both sides edited the same part of a rope, in different ways.
    #[error("both sides edited what was at {from}..{to}")]
    Overlap {
        /// Where it began in the base.
        from: u64,
        /// Where it ended in the base.
        to: u64,
    },
    /// The contents at a key of a map conflict.
    #[error("at the key {}: {why}", Bytes(key))]
    Key {
        /// The key.
        key: Arc<[u8]>,
        /// Why they conflict.
        why: Box<Why>,
    },
    /// Both sides changed a value of a type that is not registered with the store.
    #[error("its type is not registered")]
    Unregistered,
    /// Both sides changed a value, and what one of them holds is not what its type can read.
    #[error("it is not what its type says")]
    Unreadable,
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

    /// A value of a type of the user's own.
    pub fn custom<T: Custom>(value: &T) -> Contents {
        Contents::Custom(Opaque::new(value))
    }

    /// The value, if it is of this type; an error if its bytes are not what the type can read.
    pub fn as_custom<T: Custom>(&self) -> Result<Option<T>, DecodeError> {
        match self {
            Contents::Custom(value) if value.name() == T::NAME => value.value().map(Some),
            _ => Ok(None),
        }
    }

    /// Three-way merge of two values, which in `base` were something else or not there. Which side
    /// is first makes a difference only where an order is needed. Types of the user's own are
    /// merged by a store with which they are registered, not here.
    pub fn merge(
        base: Option<&Contents>,
        first: &Contents,
        second: &Contents,
    ) -> Result<Result<Contents, Why>, StorageError> {
        Merging::with(&Types::default()).merge(base, first, second)
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
            Contents::Queue(queue) => {
                to.byte(b'q');
                queue.encode(&mut to);
            }
            Contents::TextRope(rope) => {
                to.byte(b't');
                rope.root.encode_root(&mut to);
            }
            Contents::ByteRope(rope) => {
                to.byte(b'y');
                rope.root.encode_root(&mut to);
            }
            Contents::ListRope(rope) => {
                to.byte(b'l');
                rope.root.encode_root(&mut to);
            }
            Contents::Map(map) => {
                to.byte(b'm');
                map.encode(&mut to);
            }
            Contents::Log(log) => {
                to.byte(b'o');
                log.encode(&mut to);
            }
            Contents::Custom(value) => {
                to.byte(b'x');
                value.encode(&mut to);
            }
        }
        to.finish()
    }

    pub(crate) fn decode(bytes: &[u8], home: &Source) -> Result<Contents, DecodeError> {
        let mut from = Reader::object(bytes, ObjectKind::Contents)?;
        let contents = match from.byte()? {
            b'b' => Contents::Bytes(bytes::decode(&mut from)?),
            b'c' => Contents::Counter(counter::decode(&mut from)?),
            b'r' => Contents::Register(register::decode(&mut from)?),
            b's' => Contents::Set(set::decode(&mut from)?),
            b'q' => Contents::Queue(Queue::decode(&mut from, home)?),
            b't' => Contents::TextRope(Rope { root: Node::decode_root(&mut from, home)? }),
            b'y' => Contents::ByteRope(Rope { root: Node::decode_root(&mut from, home)? }),
            b'l' => Contents::ListRope(Rope { root: Node::decode_root(&mut from, home)? }),
            b'm' => Contents::Map(Map::decode(&mut from, home)?),
            b'o' => Contents::Log(Journal::decode(&mut from, home)?),
            b'x' => Contents::Custom(Opaque::decode(&mut from)?),
            other => return Err(DecodeError::Tag(other)),
        };
        from.end()?;
        Ok(contents)
    }

    /// Shows the parts it is made of.
    pub(crate) fn links(&self, see: &mut See<'_>) -> Result<(), StorageError> {
        match self {
            Contents::Queue(queue) => queue.links(see),
            Contents::TextRope(rope) => rope.root.links(see),
            Contents::ByteRope(rope) => rope.root.links(see),
            Contents::ListRope(rope) => rope.root.links(see),
            Contents::Map(map) => map.links(see),
            Contents::Log(log) => log.links(see),
            Contents::Bytes(_)
            | Contents::Counter(_)
            | Contents::Register(_)
            | Contents::Set(_)
            | Contents::Custom(_) => Ok(()),
        }
    }
}

/// A part of contents, whichever kind of contents it belongs to.
pub(crate) fn part(bytes: &[u8], home: &Source) -> Result<Box<dyn Object>, DecodeError> {
    let mut from = Reader::object(bytes, ObjectKind::Part)?;
    Ok(match from.byte()? {
        queue::trie::LEAF | queue::trie::BRANCH => {
            Box::new(queue::trie::Node::decode(bytes, home)?)
        }
        b't' | b'T' => Box::new(Node::<String>::decode(bytes, home)?),
        b'y' | b'Y' => Box::new(Node::<Vec<u8>>::decode(bytes, home)?),
        b'o' | b'O' => Box::new(Node::<log::Entries>::decode(bytes, home)?),
        b'l' | b'L' => Box::new(Node::<List>::decode(bytes, home)?),
        other => return Err(DecodeError::Tag(other)),
    })
}

impl PartialEq for Contents {
    fn eq(&self, other: &Contents) -> bool {
        use Contents::{Bytes, Counter, Register, Set};
        match (self, other) {
            (Bytes(a), Bytes(b)) => a == b,
            (Counter(a), Counter(b)) => a == b,
            (Register(a), Register(b)) => a == b,
            (Set(a), Set(b)) => a == b,
            _ => self.encode() == other.encode(),
        }
    }
}

impl Eq for Contents {}

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
            Contents::Queue(queue) => write!(f, "queue of {}", queue.len()),
            Contents::TextRope(rope) => write!(f, "rope of {} characters", rope.len()),
            Contents::ByteRope(rope) => write!(f, "rope of {} bytes", rope.len()),
            Contents::ListRope(rope) => write!(f, "list of {}", rope.len()),
            Contents::Map(map) => write!(f, "map of {}", map.len()),
            Contents::Log(log) => write!(f, "log of {}", log.len()),
            Contents::Custom(value) => {
                write!(f, "{} in {} bytes", value.name(), value.bytes().len())
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
