//! Owns what types of contents are made of: values that know their bytes and their merge, and
//! pairs, options, lists, sets and maps of them. Must not know types by name.

use std::collections::{BTreeMap, BTreeSet};

use super::Why;
use crate::codec::{DecodeError, Reader, Writer};

/// A value that can be a part of a [`Custom`](crate::Custom) type. It is there to be named, not to
/// be implemented: a merge of another kind is that of a type of its own.
///
/// Texts and numbers conflict where both sides changed them differently, [`Count`]s add up. Of
/// pairs, options and maps each part is merged; in sets all additions and removals happen; lists
/// are merged one by one if both sides left their length as it was.
#[expect(private_interfaces, reason = "nobody else can call what they are in")]
pub trait Mergeable: Clone + PartialEq {
    #[doc(hidden)]
    fn encode(&self, to: &mut Writer);

    #[doc(hidden)]
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Three-way merge.
    fn merge(base: Option<&Self>, first: &Self, second: &Self) -> Result<Self, Why> {
        one_side(base, first, second).ok_or(Why::BothChanged)
    }
}

/// A number of which only the difference to before is of interest: what both sides add adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count(pub i64);

/// The result where not both sides made a change of their own.
fn one_side<T: Clone + PartialEq>(base: Option<&T>, first: &T, second: &T) -> Option<T> {
    if first == second || base == Some(second) {
        return Some(first.clone());
    }
    (base == Some(first)).then(|| second.clone())
}

#[expect(private_interfaces, reason = "as in the trait")]
impl Mergeable for Count {
    fn encode(&self, to: &mut Writer) {
        to.signed(self.0);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Count, DecodeError> {
        from.signed().map(Count)
    }

    fn merge(base: Option<&Count>, first: &Count, second: &Count) -> Result<Count, Why> {
        super::counter::merge(base.map_or(0, |base| base.0), first.0, second.0).map(Count)
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl Mergeable for u64 {
    fn encode(&self, to: &mut Writer) {
        to.number(*self);
    }

    fn decode(from: &mut Reader<'_>) -> Result<u64, DecodeError> {
        from.number()
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl Mergeable for bool {
    fn encode(&self, to: &mut Writer) {
        to.byte(u8::from(*self));
    }

    fn decode(from: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::Tag(other)),
        }
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl Mergeable for String {
    fn encode(&self, to: &mut Writer) {
        to.bytes(self.as_bytes());
    }

    fn decode(from: &mut Reader<'_>) -> Result<String, DecodeError> {
        Ok(from.text()?.to_owned())
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl<A: Mergeable, B: Mergeable> Mergeable for (A, B) {
    fn encode(&self, to: &mut Writer) {
        self.0.encode(to);
        self.1.encode(to);
    }

    fn decode(from: &mut Reader<'_>) -> Result<(A, B), DecodeError> {
        Ok((A::decode(from)?, B::decode(from)?))
    }

    fn merge(base: Option<&(A, B)>, first: &(A, B), second: &(A, B)) -> Result<(A, B), Why> {
        let a = A::merge(base.map(|base| &base.0), &first.0, &second.0)?;
        let b = B::merge(base.map(|base| &base.1), &first.1, &second.1)?;
        Ok((a, b))
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl<T: Mergeable> Mergeable for Option<T> {
    fn encode(&self, to: &mut Writer) {
        to.byte(u8::from(self.is_some()));
        if let Some(value) = self {
            value.encode(to);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Option<T>, DecodeError> {
        Ok(if bool::decode(from)? { Some(T::decode(from)?) } else { None })
    }

    fn merge(base: Option<&Self>, first: &Self, second: &Self) -> Result<Self, Why> {
        merge_options(base.and_then(Option::as_ref), first.as_ref(), second.as_ref())
    }
}

/// Merges what may not be there: what one side removed and the other changed is a conflict.
fn merge_options<T: Mergeable>(
    base: Option<&T>,
    first: Option<&T>,
    second: Option<&T>,
) -> Result<Option<T>, Why> {
    match (first, second) {
        (Some(first), Some(second)) => T::merge(base, first, second).map(Some),
        (None, None) => Ok(None),
        _ if base == second => Ok(first.cloned()),
        _ if base == first => Ok(second.cloned()),
        _ => Err(Why::ChangedAndRemoved),
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl<T: Mergeable> Mergeable for Vec<T> {
    fn encode(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        self.iter().for_each(|item| item.encode(to));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Vec<T>, DecodeError> {
        (0..from.count(1)?).map(|_| T::decode(from)).collect()
    }

    fn merge(base: Option<&Self>, first: &Self, second: &Self) -> Result<Self, Why> {
        match base {
            Some(base) if base.len() == first.len() && base.len() == second.len() => {
                let sides = first.iter().zip(second);
                base.iter().zip(sides).map(|(b, (f, s))| T::merge(Some(b), f, s)).collect()
            }
            _ => one_side(base, first, second).ok_or(Why::BothChanged),
        }
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl<T: Mergeable + Ord> Mergeable for BTreeSet<T> {
    fn encode(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        self.iter().for_each(|member| member.encode(to));
    }

    fn decode(from: &mut Reader<'_>) -> Result<BTreeSet<T>, DecodeError> {
        let mut members = BTreeSet::new();
        for _ in 0..from.count(1)? {
            let member = T::decode(from)?;
            if members.last().is_some_and(|last| *last >= member) {
                return Err(DecodeError::NotCanonical("members of a set out of order"));
            }
            members.insert(member);
        }
        Ok(members)
    }

    fn merge(base: Option<&Self>, first: &Self, second: &Self) -> Result<Self, Why> {
        Ok(super::set::merge(base.unwrap_or(&BTreeSet::new()), first, second))
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl<K: Mergeable + Ord, T: Mergeable> Mergeable for BTreeMap<K, T> {
    fn encode(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        for (key, value) in self {
            key.encode(to);
            value.encode(to);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<BTreeMap<K, T>, DecodeError> {
        let mut entries = BTreeMap::new();
        for _ in 0..from.count(1)? {
            let key = K::decode(from)?;
            if entries.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(DecodeError::NotCanonical("keys of a map out of order"));
            }
            entries.insert(key, T::decode(from)?);
        }
        Ok(entries)
    }

    fn merge(base: Option<&Self>, first: &Self, second: &Self) -> Result<Self, Why> {
        let mut merged = BTreeMap::new();
        for key in first.keys().chain(second.keys()).collect::<BTreeSet<_>>() {
            let base = base.and_then(|base| base.get(key));
            let value = merge_options(base, first.get(key), second.get(key))?;
            merged.extend(value.map(|value| (key.clone(), value)));
        }
        Ok(merged)
    }
}
