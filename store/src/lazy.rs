//! Owns when an object is hashed, encoded, loaded and saved: as late as possible, and once. Must
//! not know what it holds.

use std::sync::{Arc, OnceLock};

use crate::backend::Source;
use crate::codec::DecodeError;
use crate::error::{Damage, Place, StorageError};
use crate::id::Id;

/// The most levels of objects below a commit.
pub(crate) const LEVELS_MAX: usize = 1024;

/// Something that is an object when it is stored.
pub(crate) trait Object {
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8], home: &Source) -> Result<Self, DecodeError>
    where
        Self: Sized;
    /// Shows every object that this one refers to.
    fn links(&self, see: &mut See<'_>) -> Result<(), StorageError>;
}

/// An object that another one refers to, whatever kind of object it is.
pub(crate) trait Linked {
    fn id(&self) -> Id;
    /// Puts the object and all that it refers to into a backend, unless it is known to be there.
    fn save(&self, to: &Source, levels_left: usize) -> Result<(), StorageError>;
}

/// What is done with each object that another one refers to.
pub(crate) type See<'a> = dyn FnMut(&dyn Linked) -> Result<(), StorageError> + 'a;

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

impl<T: Object + Clone> Lazy<T> {
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

    /// An error that says what is wrong with the object. Objects come from anywhere, and each may
    /// be well-formed while they do not fit each other.
    pub(crate) fn misfit(&self, fault: &'static str) -> StorageError {
        let what = DecodeError::NotCanonical(fault).into();
        StorageError::Corrupt { what, at: Place::Object(self.id()) }
    }
}

impl<T: Object + Clone> Linked for Lazy<T> {
    fn id(&self) -> Id {
        Lazy::id(self)
    }

    fn save(&self, to: &Source, levels_left: usize) -> Result<(), StorageError> {
        let Some(levels_left) = levels_left.checked_sub(1) else {
            return Err(StorageError::TooDeep { levels_max: LEVELS_MAX });
        };
        if self.0.home.get().is_some_and(|home| home.is(to)) {
            return Ok(());
        }
        let value = self.load()?;
        // What it refers to must be there first.
        value.links(&mut |below| below.save(to, levels_left))?;
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
