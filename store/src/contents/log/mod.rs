//! Owns the log: entries with times, which are added and never removed, on many branches at once.
//! Must not know paths, nor how the tree below it is kept in balance (`rope`).

mod entries;
#[cfg(feature = "git")]
mod layout;

use std::collections::HashMap;

pub(super) use self::entries::Entries;
use self::entries::Entry;
pub use self::entries::Logged;
#[cfg(feature = "git")]
pub(crate) use self::layout::Layout;
use super::rope::chunk::{Chunk, Key};
use super::rope::diff::diff;
use super::rope::{Items, Rope};
use super::value::Value;
use super::{Contents, rope};
use crate::backend::Source;
use crate::codec::{DecodeError, Reader, Writer};
use crate::error::StorageError;
use crate::lazy::{Object, See};

/// The entries that are inside of a log itself, before they become a leaf.
const TAIL_MAX: usize = 32;

/// A log: entries in the order of their times, those of the same time in the order in which they
/// came. A merge keeps the entries of both sides; at the same time those of the first side come
/// first. It is a value, as [`Queue`](crate::Queue) is.
///
/// An entry is known by its time and its bytes. The last up to 31 entries are inside of the log,
/// so that adding one rewrites that object alone, and a leaf and what is above it once in 32
/// times. A merge costs what the second side added.
///
/// ```
/// use jitsu_store::{Contents, Journal};
/// let mut base = Journal::new();
/// base.append(1000, Contents::text("started"))?;
/// let (mut first, mut second) = (base.clone(), base.clone());
/// first.append(3000, Contents::text("stopped"))?;
/// second.append(2000, Contents::text("paused"))?;
/// let [base, first, second] = [base, first, second].map(Contents::Log);
/// let Ok(Contents::Log(merged)) = Contents::merge(Some(&base), &first, &second)? else {
///     panic!("logs do not conflict")
/// };
/// let times = merged.iter().map(|entry| Ok(entry?.time_ms));
/// let newest_first: Result<Vec<u64>, jitsu_store::StorageError> = times.collect();
/// assert_eq!(newest_first?, [3000, 2000, 1000]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Journal {
    rope: Rope<Entries>,
    /// What comes after all that is in the rope.
    tail: Entries,
}

impl Journal {
    /// An empty log.
    pub fn new() -> Journal {
        Journal::default()
    }

    /// Adds an entry: at the end, unless there are entries of later times.
    pub fn append(&mut self, time_ms: u64, contents: Contents) -> Result<(), StorageError> {
        let entry = Entry { time_ms, value: Value::new(contents) };
        let is_in_tail = match self.tail.0.first() {
            Some(first) if first.time_ms <= time_ms => true,
            _ => place(&self.rope, time_ms)? == self.rope.len(),
        };
        if !is_in_tail {
            return insert(&mut self.rope, vec![entry]);
        }
        let at = self.tail.0.partition_point(|it| it.time_ms <= time_ms);
        self.tail.0.insert(at, entry);
        if self.tail.0.len() < TAIL_MAX {
            return Ok(());
        }
        match self.whole() {
            Ok(rope) => *self = Journal { rope, tail: Entries::default() },
            Err(error) => {
                self.tail.0.remove(at);
                return Err(error);
            }
        }
        Ok(())
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.rope.len() + self.tail.0.len() as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries from the newest back, loaded as they are looked at.
    pub fn iter(&self) -> impl Iterator<Item = Result<Logged, StorageError>> + use<> {
        let tail = self.tail.0.clone().into_iter().rev().map(|entry| entry.load());
        tail.chain(Items::backwards(&self.rope))
    }

    /// All entries in one rope.
    fn whole(&self) -> Result<Rope<Entries>, StorageError> {
        let mut whole = self.rope.clone();
        whole.append(&Rope::of(self.tail.clone()))?;
        Ok(whole)
    }

    /// The first side with what the second added.
    pub(super) fn merge(
        base: &Journal,
        first: &Journal,
        second: &Journal,
    ) -> Result<Journal, StorageError> {
        let mut merged = first.whole()?;
        insert(&mut merged, added(&base.whole()?, &second.whole()?)?)?;
        Ok(Journal { rope: merged, tail: Entries::default() })
    }

    pub(super) fn encode(&self, to: &mut Writer) {
        self.rope.root.encode_root(to);
        self.tail.encode(to);
    }

    pub(super) fn decode(from: &mut Reader<'_>, home: &Source) -> Result<Journal, DecodeError> {
        let rope = Rope { root: rope::node::Node::decode_root(from, home)? };
        let tail = Entries::decode(from, home)?;
        if tail.0.len() >= TAIL_MAX {
            return Err(DecodeError::NotCanonical("a log with too many entries in itself"));
        }
        Ok(Journal { rope, tail })
    }

    pub(super) fn links(&self, see: &mut See<'_>) -> Result<(), StorageError> {
        self.rope.root.links(see)?;
        self.tail.links(see)
    }
}

/// What a side has and the base has not. Entries of the same time may be ordered differently, so
/// that one may seem to be gone from one place and new in another.
fn added(base: &Rope<Entries>, side: &Rope<Entries>) -> Result<Vec<Entry>, StorageError> {
    let mut gone: HashMap<Key, usize> = HashMap::new();
    let mut new = Vec::new();
    for edit in diff(base, side)? {
        for key in base.items(&edit.base)?.keys() {
            *gone.entry(key).or_default() += 1;
        }
        new.extend(side.items(&edit.side)?.0);
    }
    let is_new = |entry: &Entry| match gone.get_mut(&Key::At(entry.time_ms, entry.value.id())) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    let mut is_new = is_new;
    new.retain(|entry| is_new(entry));
    Ok(new)
}

/// Inserts entries, which are in the order of their times, each after all that are not later.
fn insert(rope: &mut Rope<Entries>, mut entries: Vec<Entry>) -> Result<(), StorageError> {
    // From the end, so that those which belong to one place go there together.
    while let Some(last) = entries.last() {
        let at = place(rope, last.time_ms)?;
        // What is before that place is not later than the last; those that are earlier than it
        // belong further in front.
        let before = match at.checked_sub(1).map(|before| time(rope, before)).transpose()? {
            Some(time_ms) => entries.partition_point(|entry| entry.time_ms < time_ms),
            None => 0,
        };
        rope.put(at, at, Entries(entries.split_off(before)))?;
    }
    Ok(())
}

/// Where an entry of this time belongs: after all that are not later. It is looked for from the
/// end, where it mostly is.
fn place(rope: &Rope<Entries>, time_ms: u64) -> Result<u64, StorageError> {
    let len = rope.len();
    // All from `hi` on are later, and the one before `lo` is not.
    let (mut lo, mut hi, mut step) = (0, len, 1);
    while hi > 0 {
        let at = len.saturating_sub(step);
        if time(rope, at)? <= time_ms {
            lo = at + 1;
            break;
        }
        (hi, step) = (at, step * 2);
    }
    while lo < hi {
        let middle = lo + (hi - lo) / 2;
        if time(rope, middle)? <= time_ms {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    Ok(lo)
}

fn time(rope: &Rope<Entries>, at: u64) -> Result<u64, StorageError> {
    let entry = rope.leaf(at)?.and_then(|(leaf, at)| leaf.0.get(at));
    Ok(entry.expect("BUG: an index beyond the end of a log").time_ms)
}
