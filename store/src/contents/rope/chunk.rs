//! Owns what a rope can be made of: characters, bytes, or contents. Must not know trees of them.

use super::Rope;
use crate::backend::Source;
use crate::codec::{DecodeError, Reader, Writer};
use crate::contents::value::{self, Value};
use crate::contents::{Contents, Merging, Why};
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::See;

/// Items that follow each other. It is there to be named, not to be implemented: the ropes are
/// [`TextRope`](crate::TextRope), [`ByteRope`](crate::ByteRope) and [`ListRope`](crate::ListRope).
#[expect(private_interfaces, reason = "nobody else can call what they are in")]
pub trait Chunk: Clone + Default + 'static {
    /// What is at one index.
    type Item: Clone + PartialEq;

    #[doc(hidden)]
    /// The tags of a leaf and of a branch.
    const TAGS: [u8; 2];

    /// How many items there are.
    #[doc(hidden)]
    fn count(&self) -> usize;

    /// The size that decides how many items fit into a leaf.
    #[doc(hidden)]
    fn weight(&self) -> usize;

    /// The items from `at` on, which are no longer here.
    #[doc(hidden)]
    fn split_off(&mut self, at: usize) -> Self;

    #[doc(hidden)]
    fn append(&mut self, other: &Self);

    /// The same in at most so many pieces of about the same weight, none of them empty.
    #[doc(hidden)]
    fn cut(self, pieces: usize) -> Vec<Self>;

    #[doc(hidden)]
    fn items(&self) -> Result<Vec<Self::Item>, StorageError>;

    #[doc(hidden)]
    fn item(&self, at: usize) -> Result<Option<Self::Item>, StorageError>;

    /// The same items, each compared by what is known without loading it.
    #[doc(hidden)]
    fn keys(&self) -> Vec<Key>;

    #[doc(hidden)]
    fn encode(&self, to: &mut Writer);

    #[doc(hidden)]
    fn decode(from: &mut Reader<'_>, home: &Source) -> Result<Self, DecodeError>;

    #[doc(hidden)]
    fn links(&self, _see: &mut See<'_>) -> Result<(), StorageError> {
        Ok(())
    }

    /// Merges as many items on both sides as there are in the base, which comes first, one by one.
    #[doc(hidden)]
    fn merge_items(_: [&Self; 3], _: Merging<'_>) -> Result<Result<Self, Why>, StorageError> {
        Ok(Err(Why::BothChanged))
    }
}

/// What an item is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::contents) enum Key {
    Small(u32),
    Contents(Id),
    At(u64, Id),
}

#[expect(private_interfaces, reason = "as in the trait")]
impl Chunk for String {
    type Item = char;
    const TAGS: [u8; 2] = *b"tT";

    fn count(&self) -> usize {
        self.chars().count()
    }

    fn weight(&self) -> usize {
        String::len(self)
    }

    fn split_off(&mut self, at: usize) -> String {
        let byte = self.char_indices().nth(at).map_or(String::len(self), |(byte, _)| byte);
        String::split_off(self, byte)
    }

    fn append(&mut self, other: &String) {
        self.push_str(other);
    }

    fn cut(self, pieces: usize) -> Vec<String> {
        let (mut cut, mut rest) = (Vec::with_capacity(pieces), self.as_str());
        for left in (1..=pieces).rev() {
            let mut size = rest.len().div_ceil(left);
            while !rest.is_char_boundary(size) {
                size += 1;
            }
            let (piece, after) = rest.split_at(size);
            cut.push(piece.to_owned());
            rest = after;
        }
        cut.retain(|piece| !piece.is_empty());
        cut
    }

    fn items(&self) -> Result<Vec<char>, StorageError> {
        Ok(self.chars().collect())
    }

    fn item(&self, at: usize) -> Result<Option<char>, StorageError> {
        Ok(self.chars().nth(at))
    }

    fn keys(&self) -> Vec<Key> {
        self.chars().map(|c| Key::Small(u32::from(c))).collect()
    }

    fn encode(&self, to: &mut Writer) {
        to.bytes(self.as_bytes());
    }

    fn decode(from: &mut Reader<'_>, _: &Source) -> Result<String, DecodeError> {
        Ok(from.text()?.to_owned())
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl Chunk for Vec<u8> {
    type Item = u8;
    const TAGS: [u8; 2] = *b"yY";

    fn count(&self) -> usize {
        Vec::len(self)
    }

    fn weight(&self) -> usize {
        Vec::len(self)
    }

    fn split_off(&mut self, at: usize) -> Vec<u8> {
        Vec::split_off(self, at)
    }

    fn append(&mut self, other: &Vec<u8>) {
        self.extend_from_slice(other);
    }

    fn cut(self, pieces: usize) -> Vec<Vec<u8>> {
        self.chunks(Vec::len(&self).div_ceil(pieces).max(1)).map(<[u8]>::to_vec).collect()
    }

    fn items(&self) -> Result<Vec<u8>, StorageError> {
        Ok(self.clone())
    }

    fn item(&self, at: usize) -> Result<Option<u8>, StorageError> {
        Ok(self.get(at).copied())
    }

    fn keys(&self) -> Vec<Key> {
        self.iter().map(|byte| Key::Small(u32::from(*byte))).collect()
    }

    fn encode(&self, to: &mut Writer) {
        to.bytes(self);
    }

    fn decode(from: &mut Reader<'_>, _: &Source) -> Result<Vec<u8>, DecodeError> {
        Ok(from.bytes()?.to_vec())
    }
}

/// Contents that follow each other.
#[derive(Clone, Default)]
pub struct List(Vec<Value>);

impl From<Vec<Contents>> for List {
    fn from(items: Vec<Contents>) -> List {
        List(items.into_iter().map(Value::new).collect())
    }
}

/// As if all were as large as a link, so that a leaf of 32 is full.
pub(in crate::contents) const CONTENTS_WEIGHT: usize = 32;

#[expect(private_interfaces, reason = "as in the trait")]
impl Chunk for List {
    type Item = Contents;
    const TAGS: [u8; 2] = *b"lL";

    fn count(&self) -> usize {
        self.0.len()
    }

    fn weight(&self) -> usize {
        self.0.len() * CONTENTS_WEIGHT
    }

    fn split_off(&mut self, at: usize) -> List {
        List(self.0.split_off(at))
    }

    fn append(&mut self, other: &List) {
        self.0.extend_from_slice(&other.0);
    }

    fn cut(self, pieces: usize) -> Vec<List> {
        let size = self.0.len().div_ceil(pieces).max(1);
        self.0.chunks(size).map(|piece| List(piece.to_vec())).collect()
    }

    fn items(&self) -> Result<Vec<Contents>, StorageError> {
        self.0.iter().map(|value| value.load().cloned()).collect()
    }

    fn item(&self, at: usize) -> Result<Option<Contents>, StorageError> {
        self.0.get(at).map(|value| value.load().cloned()).transpose()
    }

    fn keys(&self) -> Vec<Key> {
        self.0.iter().map(|value| Key::Contents(value.id())).collect()
    }

    fn encode(&self, to: &mut Writer) {
        to.number(self.0.len() as u64);
        self.0.iter().for_each(|value| value::encode(value, to));
    }

    fn decode(from: &mut Reader<'_>, home: &Source) -> Result<List, DecodeError> {
        let count = from.count(5)?;
        let values = (0..count).map(|_| value::decode(from.byte()?, from, home));
        Ok(List(values.collect::<Result<_, DecodeError>>()?))
    }

    fn links(&self, see: &mut See<'_>) -> Result<(), StorageError> {
        self.0.iter().try_for_each(|value| value::links(value, see))
    }

    fn merge_items(
        [base, first, second]: [&List; 3],
        merging: Merging<'_>,
    ) -> Result<Result<List, Why>, StorageError> {
        let mut merged = Vec::with_capacity(base.0.len());
        for ((base, first), second) in base.0.iter().zip(&first.0).zip(&second.0) {
            let (base, first, second) = (base.load()?, first.load()?, second.load()?);
            match merging.below()?.merge(Some(base), first, second)? {
                Ok(contents) => merged.push(Value::new(contents)),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(List(merged)))
    }
}

/// What is contents when it is a rope.
pub(in crate::contents) trait Kind: Chunk {
    /// The contents as a rope of this kind, if they are one.
    fn rope(contents: &Contents) -> Option<&Rope<Self>>;

    fn contents(rope: Rope<Self>) -> Contents;
}

impl Kind for String {
    fn rope(contents: &Contents) -> Option<&Rope<Self>> {
        match contents {
            Contents::TextRope(rope) => Some(rope),
            _ => None,
        }
    }

    fn contents(rope: Rope<Self>) -> Contents {
        Contents::TextRope(rope)
    }
}

impl Kind for Vec<u8> {
    fn rope(contents: &Contents) -> Option<&Rope<Self>> {
        match contents {
            Contents::ByteRope(rope) => Some(rope),
            _ => None,
        }
    }

    fn contents(rope: Rope<Self>) -> Contents {
        Contents::ByteRope(rope)
    }
}

impl Kind for List {
    fn rope(contents: &Contents) -> Option<&Rope<Self>> {
        match contents {
            Contents::ListRope(rope) => Some(rope),
            _ => None,
        }
    }

    fn contents(rope: Rope<Self>) -> Contents {
        Contents::ListRope(rope)
    }
}
