//! Owns which merge belongs to which kind of contents. Must not know how any of them works.

use std::collections::BTreeSet;

use super::{Contents, Journal, Types, Why, counter, queue, register, rope, set};
use crate::error::StorageError;

/// The most levels of contents in contents that a merge goes down.
const LEVELS_MAX: usize = 100;

/// What a merge of contents has to know: the types of the store, and how deep it may still go.
#[derive(Clone, Copy)]
pub(crate) struct Merging<'a> {
    types: &'a Types,
    levels_left: usize,
}

impl<'a> Merging<'a> {
    pub(crate) fn with(types: &'a Types) -> Merging<'a> {
        Merging { types, levels_left: LEVELS_MAX }
    }

    /// For contents in contents.
    pub(super) fn below(self) -> Result<Merging<'a>, StorageError> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Merging { levels_left, ..self }),
            None => Err(StorageError::TooDeep { levels_max: LEVELS_MAX }),
        }
    }

    pub(crate) fn merge(
        self,
        base: Option<&Contents>,
        first: &Contents,
        second: &Contents,
    ) -> Result<Result<Contents, Why>, StorageError> {
        if base == Some(second) {
            return Ok(Ok(first.clone()));
        }
        if base == Some(first) {
            return Ok(Ok(second.clone()));
        }
        // These come first: that both sides are the same does not mean that both made the same
        // change. Each of them added something.
        if let Some(merged) = self.merge_changes(base, first, second)? {
            return Ok(merged);
        }
        if first == second {
            return Ok(Ok(first.clone()));
        }
        use Contents::{ByteRope, Bytes, Register, Set, TextRope};
        Ok(match (base, first, second) {
            (None | Some(Bytes(_)), Bytes(_), Bytes(_)) => Err(Why::BothChanged),
            (None | Some(Register(_)), Register(first), Register(second)) => {
                Ok(Register(register::merge(first, second)))
            }
            (None, Set(first), Set(second)) => Ok(Set(set::merge(&BTreeSet::new(), first, second))),
            (Some(Set(base)), Set(first), Set(second)) => Ok(Set(set::merge(base, first, second))),
            (_, TextRope(first), TextRope(second)) => rope::merge(base, first, second, self)?,
            (_, ByteRope(first), ByteRope(second)) => rope::merge(base, first, second, self)?,
            _ => Err(Why::Kinds),
        })
    }

    /// Merges contents in which the same change on both sides is two changes.
    fn merge_changes(
        self,
        base: Option<&Contents>,
        first: &Contents,
        second: &Contents,
    ) -> Result<Option<Result<Contents, Why>>, StorageError> {
        use Contents::{Counter, Custom, ListRope, Log, Map, Queue};
        Ok(Some(match (base, first, second) {
            (_, Counter(first), Counter(second)) => {
                let merge = |base| counter::merge(base, *first, *second).map(Counter);
                counter::base(base).and_then(merge)
            }
            (None, Queue(first), Queue(second)) => {
                Ok(Queue(queue::Queue::merge(&queue::Queue::new(), first, second)?))
            }
            (Some(Queue(base)), Queue(first), Queue(second)) => {
                Ok(Queue(queue::Queue::merge(base, first, second)?))
            }
            (None, Log(first), Log(second)) => {
                Ok(Log(Journal::merge(&Journal::new(), first, second)?))
            }
            (Some(Log(base)), Log(first), Log(second)) => {
                Ok(Log(Journal::merge(base, first, second)?))
            }
            (None, Map(first), Map(second)) => {
                super::Map::merge(&super::Map::new(), first, second, self)?.map(Map)
            }
            (Some(Map(base)), Map(first), Map(second)) => {
                super::Map::merge(base, first, second, self)?.map(Map)
            }
            (None | Some(ListRope(_)), ListRope(first), ListRope(second)) => {
                rope::merge(base, first, second, self)?
            }
            (None | Some(Custom(_)), Custom(first), Custom(second)) => {
                self.types.merge(base, first, second)
            }
            _ => return Ok(None),
        }))
    }
}
