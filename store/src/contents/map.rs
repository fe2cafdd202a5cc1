//! Owns the map: contents by key, merged key by key. Must not know how its contents merge.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::value::{self, Value};
use super::{Contents, Merging, Why};
use crate::backend::Source;
use crate::codec::{DecodeError, Reader, Writer};
use crate::error::StorageError;
use crate::lazy::See;

type Key = Arc<[u8]>;

/// Contents of any kind by key, merged key by key, each with the merge of its own kind.
///
/// It is one object, of which large contents are objects of their own: for a few keys that belong
/// together. Where there are many, or more at each of them, a directory does the same and costs
/// only what changes.
///
/// ```
/// use jitsu_store::{Contents, Map};
/// let mut base = Map::new();
/// base.set("visits", Contents::Counter(1));
/// let (mut first, mut second) = (base.clone(), base.clone());
/// first.set("visits", Contents::Counter(3));
/// second.set("visits", Contents::Counter(2));
/// second.set("title", Contents::text("welcome"));
/// let [base, first, second] = [base, first, second].map(Contents::Map);
/// let Ok(Contents::Map(merged)) = Contents::merge(Some(&base), &first, &second)? else {
///     panic!("a conflict")
/// };
/// assert_eq!(merged.get("visits")?, Some(Contents::Counter(4)));
/// assert_eq!(merged.get("title")?, Some(Contents::text("welcome")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Map {
    entries: BTreeMap<Key, Value>,
}

impl Map {
    /// An empty map.
    pub fn new() -> Map {
        Map::default()
    }

    /// The contents at a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Contents>, StorageError> {
        self.entries.get(key.as_ref()).map(|value| value.load().cloned()).transpose()
    }

    /// Puts contents at a key, in place of what is there.
    pub fn set(&mut self, key: impl AsRef<[u8]>, contents: Contents) {
        self.entries.insert(key.as_ref().into(), Value::new(contents));
    }

    /// Removes a key. Whether it was there.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> bool {
        self.entries.remove(key.as_ref()).is_some()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All keys with their contents, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = Result<(&[u8], Contents), StorageError>> {
        self.entries.iter().map(|(key, value)| Ok((&**key, value.load()?.clone())))
    }

    /// Key by key, as a directory is merged step by step.
    pub(super) fn merge(
        base: &Map,
        first: &Map,
        second: &Map,
        merging: Merging<'_>,
    ) -> Result<Result<Map, Why>, StorageError> {
        let mut merged = Map::new();
        let both = first.entries.keys().chain(second.entries.keys());
        for key in both.collect::<std::collections::BTreeSet<_>>() {
            let [base, first, second] = [base, first, second].map(|map| map.entries.get(key));
            let value = match merge_values(base, first, second, merging)? {
                Ok(value) => value,
                Err(why) => return Ok(Err(Why::Key { key: key.clone(), why: Box::new(why) })),
            };
            merged.entries.extend(value.map(|value| (key.clone(), value)));
        }
        Ok(Ok(merged))
    }

    pub(super) fn encode(&self, to: &mut Writer) {
        to.number(self.entries.len() as u64);
        for (key, value) in &self.entries {
            to.bytes(key);
            value::encode(value, to);
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>, home: &Source) -> Result<Map, DecodeError> {
        let mut entries: BTreeMap<Key, Value> = BTreeMap::new();
        for _ in 0..from.count(6)? {
            let key = from.bytes()?;
            if entries.last_key_value().is_some_and(|(last, _)| **last >= *key) {
                return Err(DecodeError::NotCanonical("keys of a map out of order"));
            }
            entries.insert(key.into(), value::decode(from.byte()?, from, home)?);
        }
        Ok(Map { entries })
    }

    pub(super) fn links(&self, see: &mut See<'_>) -> Result<(), StorageError> {
        self.entries.values().try_for_each(|value| value::links(value, see))
    }
}

fn merge_values(
    base: Option<&Value>,
    first: Option<&Value>,
    second: Option<&Value>,
    merging: Merging<'_>,
) -> Result<Result<Option<Value>, Why>, StorageError> {
    if same(base, second)? {
        return Ok(Ok(first.cloned()));
    }
    if same(base, first)? {
        return Ok(Ok(second.cloned()));
    }
    let (Some(first), Some(second)) = (first, second) else {
        return Ok(Err(Why::ChangedAndRemoved));
    };
    let base = base.map(Value::load).transpose()?;
    let merged = merging.below()?.merge(base, first.load()?, second.load()?)?;
    Ok(merged.map(|contents| Some(Value::new(contents))))
}

fn same(a: Option<&Value>, b: Option<&Value>) -> Result<bool, StorageError> {
    Ok(match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.same(b) || a.load()? == b.load()?,
        _ => false,
    })
}
