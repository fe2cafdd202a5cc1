//! Owns contents of types that a user of the store defines: their bytes under the name of the
//! type, and which types a store knows. Must not know what the parts of a type are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mergeable::Mergeable;
use super::{Contents, Why};
use crate::codec::{DecodeError, Reader, Writer};

/// A type that can be contents. It says what it is made of, and is stored, loaded and merged by
/// that; or it has a merge of its own.
///
/// ```
/// use jitsu_store::{BranchName, Contents, Count, Custom, Merged, Meta, Store};
/// #[derive(Clone, Debug, PartialEq)]
/// struct Page { title: String, visits: i64 }
///
/// impl Custom for Page {
///     const NAME: &'static str = "example.page";
///     type Parts = (String, Count);
///     fn parts(&self) -> (String, Count) {
///         (self.title.clone(), Count(self.visits))
///     }
///     fn from_parts((title, Count(visits)): (String, Count)) -> Option<Page> {
///         Some(Page { title, visits })
///     }
/// }
///
/// let store = Store::memory();
/// store.register::<Page>();
/// let (main, fork) = (BranchName::new("main")?, BranchName::new("fork")?);
/// let at = "page".parse()?;
/// let set = |branch, title: &str, visits| {
///     let page = Contents::custom(&Page { title: title.into(), visits });
///     store.update(branch, Meta::default(), |tree| tree.set(&at, page.clone()))
/// };
/// let (base, ()) = set(&main, "Welcome", 1)?;
/// store.transact(|batch| batch.set(&fork, &base))?;
/// set(&main, "Welcome", 11)?;
/// let (theirs, ()) = set(&fork, "Hello", 3)?;
/// let Merged::Commit(merged) = store.merge(&main, &theirs.id(), Meta::default())? else {
///     panic!("a conflict")
/// };
/// let page: Option<Page> = merged.tree().get(&at)?.unwrap().as_custom()?;
/// assert_eq!(page, Some(Page { title: "Hello".into(), visits: 13 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Custom: Sized + 'static {
    /// What the type is called where it is stored. It must be no other type's, and stay.
    const NAME: &'static str;

    /// What it is made of: numbers, texts, and pairs, lists, options, sets and maps of them; three
    /// things are `((A, B), C)`. They must stay as well: values with other parts cannot be read,
    /// and a type that is made of others takes another name.
    type Parts: Mergeable;

    /// What it is made of.
    fn parts(&self) -> Self::Parts;

    /// Puts it together again; `None` if it cannot be made of these, which is an error where it is
    /// read, and a conflict where a merge made them.
    fn from_parts(parts: Self::Parts) -> Option<Self>;

    /// Three-way merge of two values that were made from `base`, or from nothing. Which side is
    /// first must make no difference but in an order. By default all parts are merged.
    fn merge(base: Option<&Self>, first: &Self, second: &Self) -> Result<Self, Why> {
        let base = base.map(Custom::parts);
        let merged = Mergeable::merge(base.as_ref(), &first.parts(), &second.parts())?;
        Self::from_parts(merged).ok_or(Why::BothChanged)
    }
}

/// A value of a type that is known by its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Opaque {
    name: Arc<str>,
    bytes: Arc<[u8]>,
}

impl Opaque {
    pub(super) fn new<T: Custom>(value: &T) -> Opaque {
        let mut to = Writer::new();
        value.parts().encode(&mut to);
        Opaque { name: T::NAME.into(), bytes: to.finish().into() }
    }

    /// These bytes, under the name of a type.
    #[cfg(feature = "git")]
    pub(crate) fn of(name: &str, bytes: &[u8]) -> Opaque {
        Opaque { name: name.into(), bytes: bytes.into() }
    }

    /// The name of its type.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn value<T: Custom>(&self) -> Result<T, DecodeError> {
        let mut from = Reader::new(&self.bytes);
        let parts = T::Parts::decode(&mut from)?;
        from.end()?;
        T::from_parts(parts).ok_or(DecodeError::NotCanonical("parts that make no such value"))
    }

    pub(super) fn encode(&self, to: &mut Writer) {
        to.bytes(self.name.as_bytes());
        to.raw(&self.bytes);
    }

    /// The name, and everything up to the end of the object: only the type knows its bytes.
    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Opaque, DecodeError> {
        let name = from.text()?.into();
        Ok(Opaque { name, bytes: from.raw(from.remaining())?.into() })
    }
}

type Merge = fn(Option<&Opaque>, &Opaque, &Opaque) -> Result<Opaque, Why>;

/// The types that a store can merge.
#[derive(Clone, Default)]
pub(crate) struct Types {
    merges: BTreeMap<&'static str, Merge>,
}

impl Types {
    pub(crate) fn register<T: Custom>(&mut self) {
        self.merges.insert(T::NAME, merge::<T>);
    }

    /// Merges values of which both sides have the same type.
    pub(super) fn merge(
        &self,
        base: Option<&Contents>,
        first: &Opaque,
        second: &Opaque,
    ) -> Result<Contents, Why> {
        let base = match base {
            None => None,
            Some(Contents::Custom(base)) if base.name == first.name => Some(base),
            Some(_) => return Err(Why::Kinds),
        };
        if first.name != second.name {
            return Err(Why::Kinds);
        }
        let merge = self.merges.get(first.name()).ok_or(Why::Unregistered)?;
        merge(base, first, second).map(Contents::Custom)
    }
}

fn merge<T: Custom>(base: Option<&Opaque>, first: &Opaque, second: &Opaque) -> Result<Opaque, Why> {
    let value = |it: &Opaque| it.value::<T>().map_err(|_| Why::Unreadable);
    let base = base.map(value).transpose()?;
    T::merge(base.as_ref(), &value(first)?, &value(second)?).map(|merged| Opaque::new(&merged))
}
