//! Owns when an object is hashed, encoded, loaded and saved: as late as possible, and once. Must
//! not know what it holds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::backend::{Backend, Source};
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
    /// Puts the object and all that it refers to into a backend, unless it is known to be there to
    /// stay in the epoch of `to`.
    fn save(&self, to: &Source, levels_left: usize) -> Result<(), StorageError>;
}

/// What is done with each object that another one refers to.
pub(crate) type See<'a> = dyn FnMut(&dyn Linked) -> Result<(), StorageError> + 'a;

/// A shared object of which the value, the id, or both are known. A clone is the same object.
pub(crate) struct Lazy<T>(Arc<State<T>>);

/// What is rare is behind a pointer: a tree in memory is made of these, and hashes none.
enum State<T> {
    /// Made here.
    Made { value: T, hashed: OnceLock<Box<Hashed>> },
    /// Known to be in a backend, from which it is loaded when somebody looks at it.
    Stored(Box<Stored<T>>),
}

struct Stored<T> {
    id: Id,
    home: Home,
    value: OnceLock<T>,
}

impl<T: Object> Stored<T> {
    fn load(&self) -> Result<&T, StorageError> {
        let Stored { id, home, value } = self;
        if let Some(value) = value.get() {
            return Ok(value);
        }
        let home = home.source();
        let bytes = home.fetch(id)?;
        let loaded = decode_checked(id, &bytes, |bytes| T::decode(bytes, &home))?;
        Ok(value.get_or_init(|| loaded))
    }
}

/// What is known of a value that somebody asked the id of.
struct Hashed {
    id: Id,
    /// The backend that is known to hold it.
    home: OnceLock<Home>,
}

/// A backend that holds an object.
struct Home {
    backend: Arc<dyn Backend>,
    /// The last epoch in which the object is known to be there to stay, with all below it.
    known: AtomicU64,
}

impl Home {
    fn new(source: Source) -> Home {
        Home { known: AtomicU64::new(source.known()), backend: source.into_backend() }
    }

    /// It, as what the object refers to is known in it.
    fn source(&self) -> Source {
        Source::of(self.backend.clone(), self.known.load(Ordering::Acquire))
    }

    /// Takes in that the object is there to stay in the epoch of `source`, if this is its backend.
    fn learn(&self, source: &Source) {
        if source.is(&self.backend) {
            self.known.fetch_max(source.known(), Ordering::AcqRel);
        }
    }

    /// Whether the object is there to stay in the epoch of `to`.
    fn keeps(&self, id: impl FnOnce() -> Id, to: &Source) -> Result<bool, StorageError> {
        if !to.is(&self.backend) {
            // Parts that many others share are looked through once, not once for each way to them.
            return to.contains(&id());
        }
        let is_known = self.known.load(Ordering::Acquire) >= to.known();
        let keeps = is_known || to.contains(&id())?;
        if keeps {
            self.learn(to);
        }
        Ok(keeps)
    }
}

impl<T: Object + Clone> Lazy<T> {
    pub(crate) fn new(value: T) -> Lazy<T> {
        Lazy(Arc::new(State::Made { value, hashed: OnceLock::new() }))
    }

    pub(crate) fn stored(id: Id, home: Source) -> Lazy<T> {
        let stored = Stored { id, home: Home::new(home), value: OnceLock::new() };
        Lazy(Arc::new(State::Stored(Box::new(stored))))
    }

    /// The value, if it is here already.
    pub(crate) fn loaded(&self) -> Option<&T> {
        match &*self.0 {
            State::Made { value, .. } => Some(value),
            State::Stored(stored) => stored.value.get(),
        }
    }

    /// The value, from its backend if need be.
    pub(crate) fn load(&self) -> Result<&T, StorageError> {
        match &*self.0 {
            State::Made { value, .. } => Ok(value),
            State::Stored(stored) => stored.load(),
        }
    }

    /// The value, to be changed: a copy if others share it. Its id and home are forgotten.
    pub(crate) fn to_mut(&mut self) -> Result<&mut T, StorageError> {
        if !matches!(Arc::get_mut(&mut self.0), Some(State::Made { .. })) {
            *self = Lazy::new(self.load()?.clone());
        }
        match Arc::get_mut(&mut self.0) {
            Some(State::Made { value, hashed }) => {
                hashed.take();
                Ok(value)
            }
            _ => unreachable!("BUG: a fresh copy is shared"),
        }
    }

    /// The id, for which the value is encoded and hashed if that was not done before.
    pub(crate) fn id(&self) -> Id {
        match &*self.0 {
            State::Made { value, hashed } => {
                hashed.get_or_init(|| Hashed::new(Id::of(&value.encode()))).id
            }
            State::Stored(stored) => stored.id,
        }
    }

    /// The id, if it is known.
    fn known_id(&self) -> Option<&Id> {
        match &*self.0 {
            State::Made { hashed, .. } => hashed.get().map(|hashed| &hashed.id),
            State::Stored(stored) => Some(&stored.id),
        }
    }

    /// Whether both are known to be the same without hashing or loading anything.
    pub(crate) fn same(&self, other: &Lazy<T>) -> bool {
        self.is(other)
            || matches!((self.known_id(), other.known_id()), (Some(a), Some(b)) if a == b)
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
        let home = match &*self.0 {
            State::Made { hashed, .. } => hashed.get().and_then(|hashed| hashed.home.get()),
            State::Stored(stored) => Some(&stored.home),
        };
        if let Some(home) = home
            && home.keeps(|| Lazy::id(self), to)?
        {
            return Ok(());
        }
        let value = self.load()?;
        // What it refers to must be there first.
        value.links(&mut |below| below.save(to, levels_left))?;
        let bytes = value.encode();
        match &*self.0 {
            State::Made { hashed, .. } => {
                let hashed = hashed.get_or_init(|| Hashed::new(Id::of(&bytes)));
                to.store(&hashed.id, &bytes)?;
                hashed.home.get_or_init(|| Home::new(to.clone())).learn(to);
            }
            // An object that came from another backend keeps that home, and is put here every time.
            State::Stored(stored) => {
                to.store(&stored.id, &bytes)?;
                stored.home.learn(to);
            }
        }
        Ok(())
    }
}

impl Hashed {
    fn new(id: Id) -> Box<Hashed> {
        Box::new(Hashed { id, home: OnceLock::new() })
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
