//! Owns when a node or a value is hashed, encoded, loaded and saved: as late as possible, and
//! once. Must not know what it holds.

use std::sync::{Arc, OnceLock};

use super::node::Node;
use crate::backend::Source;
use crate::codec::DecodeError;
use crate::error::{Damage, Place, StorageError};
use crate::id::Id;

/// A shared node.
pub(crate) type Link = Lazy<Node>;

/// Something that is an object when it is stored.
pub(crate) trait Object: Clone {
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8], home: &Source) -> Result<Self, DecodeError>;
}

/// A shared object of which the value, the id, or both are known. A clone is the same object.
pub(crate) struct Lazy<T>(Arc<State<T>>);

struct State<T> {
    /// Known if it was loaded, or asked for.
    id: OnceLock<Id>,
    /// Known if it was made here, or looked at.
    value: OnceLock<T>,
    /// The backend that is known to hold it.
    home: OnceLock<Source>,
}

impl<T: Object> Lazy<T> {
    pub(crate) fn new(value: T) -> Lazy<T> {
        let (id, home) = (OnceLock::new(), OnceLock::new());
        Lazy(Arc::new(State { id, value: value.into(), home }))
    }

    pub(crate) fn stored(id: Id, home: Source) -> Lazy<T> {
        Lazy(Arc::new(State { id: id.into(), value: OnceLock::new(), home: home.into() }))
    }

    /// The value, if it is here already.
    pub(crate) fn loaded(&self) -> Option<&T> {
        self.0.value.get()
    }

    /// The value, from its backend if need be.
    pub(crate) fn load(&self) -> Result<&T, StorageError> {
        if let Some(value) = self.0.value.get() {
            return Ok(value);
        }
        let id = self.0.id.get().expect("BUG: an object without value and id");
        let home = self.0.home.get().expect("BUG: an object without value and home");
        let bytes = home.fetch(id)?;
        let value = decode_checked(id, &bytes, |bytes| T::decode(bytes, home))?;
        Ok(self.0.value.get_or_init(|| value))
    }

    /// The value, to be changed: a copy if others share it. Its id and home are forgotten.
    pub(crate) fn to_mut(&mut self) -> Result<&mut T, StorageError> {
        self.load()?;
        if Arc::get_mut(&mut self.0).is_none() {
            *self = Lazy::new(self.load()?.clone());
        }
        let state = Arc::get_mut(&mut self.0).expect("BUG: a fresh copy is shared");
        state.id = OnceLock::new();
        state.home = OnceLock::new();
        Ok(state.value.get_mut().expect("BUG: a loaded value is gone"))
    }

    /// The id, for which the value is encoded and hashed if that was not done before.
    pub(crate) fn id(&self) -> Id {
        *self.0.id.get_or_init(|| {
            Id::of(&self.0.value.get().expect("BUG: an object without value and id").encode())
        })
    }

    /// Whether both are known to be the same without hashing or loading anything.
    pub(crate) fn same(&self, other: &Lazy<T>) -> bool {
        self.is(other)
            || matches!((self.0.id.get(), other.0.id.get()), (Some(a), Some(b)) if a == b)
    }

    /// Whether both are one object in memory.
    pub(crate) fn is(&self, other: &Lazy<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Puts the object into a backend, unless it is known to be there. `below` saves what it
    /// refers to, which must be there first.
    pub(crate) fn save(
        &self,
        to: &Source,
        below: impl FnOnce(&T) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        if self.0.home.get().is_some_and(|home| home.is(to)) {
            return Ok(());
        }
        let value = self.load()?;
        below(value)?;
        let bytes = value.encode();
        let id = *self.0.id.get_or_init(|| Id::of(&bytes));
        to.put(&id, &bytes)?;
        // An object that came from another backend keeps that home, and is put here every time.
        self.0.home.get_or_init(|| to.clone());
        Ok(())
    }
}

impl<T> Clone for Lazy<T> {
    fn clone(&self) -> Lazy<T> {
        Lazy(self.0.clone())
    }
}

/// Decodes an object after comparing its bytes with the id it was asked by.
pub(crate) fn decode_checked<T>(
    id: &Id,
    bytes: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, StorageError> {
    let damaged = |what| StorageError::Corrupt { what, at: Place::Object(*id) };
    if Id::of(bytes) != *id {
        return Err(damaged(Damage::Hash));
    }
    decode(bytes).map_err(|error| damaged(error.into()))
}
