//! Owns the entries of a log as what a rope can be made of. Must not know how logs merge.

use crate::backend::Source;
use crate::codec::{DecodeError, Reader, Writer};
use crate::contents::Contents;
use crate::contents::rope::chunk::{CONTENTS_WEIGHT, Chunk, Key};
use crate::contents::value::{self, Value};
use crate::error::StorageError;
use crate::lazy::See;

/// Something that was written down, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// What.
    pub contents: Contents,
}

/// An entry of which the contents need not be loaded.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) time_ms: u64,
    pub(super) value: Value,
}

impl Entry {
    pub(super) fn load(&self) -> Result<Logged, StorageError> {
        Ok(Logged { time_ms: self.time_ms, contents: self.value.load()?.clone() })
    }
}

/// Entries in the order of their times.
#[derive(Clone, Default)]
pub(in crate::contents) struct Entries(pub(super) Vec<Entry>);

impl Chunk for Entries {
    type Item = Logged;
    const TAGS: [u8; 2] = *b"oO";

    fn count(&self) -> usize {
        self.0.len()
    }

    fn weight(&self) -> usize {
        self.0.len() * CONTENTS_WEIGHT
    }

    fn split_off(&mut self, at: usize) -> Entries {
        Entries(self.0.split_off(at))
    }

    fn append(&mut self, other: &Entries) {
        self.0.extend_from_slice(&other.0);
    }

    fn cut(self, pieces: usize) -> Vec<Entries> {
        let size = self.0.len().div_ceil(pieces).max(1);
        self.0.chunks(size).map(|piece| Entries(piece.to_vec())).collect()
    }

    fn items(&self) -> Result<Vec<Logged>, StorageError> {
        self.0.iter().map(Entry::load).collect()
    }

    fn item(&self, at: usize) -> Result<Option<Logged>, StorageError> {
        self.0.get(at).map(Entry::load).transpose()
    }

    fn keys(&self) -> Vec<Key> {
        self.0.iter().map(|entry| Key::At(entry.time_ms, entry.value.id())).collect()
    }

    fn encode(&self, to: &mut Writer) {
        to.number(self.0.len() as u64);
        for entry in &self.0 {
            to.number(entry.time_ms);
            value::encode(&entry.value, to);
        }
    }

    fn decode(from: &mut Reader<'_>, home: &Source) -> Result<Entries, DecodeError> {
        let count = from.count(6)?;
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        for _ in 0..count {
            let time_ms = from.number()?;
            if entries.last().is_some_and(|last| last.time_ms > time_ms) {
                return Err(DecodeError::NotCanonical("entries of a log out of order"));
            }
            entries.push(Entry { time_ms, value: value::decode(from.byte()?, from, home)? });
        }
        Ok(Entries(entries))
    }

    fn links(&self, see: &mut See<'_>) -> Result<(), StorageError> {
        self.0.iter().try_for_each(|entry| value::links(&entry.value, see))
    }
}
