//! Owns the counter: a number of which only the difference to before is of interest.

use super::{Contents, Why};
use crate::codec::{DecodeError, Reader, Writer};

pub(super) fn base(base: Option<&Contents>) -> Result<i64, Why> {
    match base {
        None => Ok(0),
        Some(Contents::Counter(base)) => Ok(*base),
        Some(_) => Err(Why::Kinds),
    }
}

/// What both sides added, added up: wide enough inside that only the result can overflow.
pub(super) fn merge(base: i64, ours: i64, theirs: i64) -> Result<i64, Why> {
    let sum = i128::from(ours) + i128::from(theirs) - i128::from(base);
    i64::try_from(sum).map_err(|_| Why::Overflow)
}

pub(super) fn encode(count: i64, to: &mut Writer) {
    to.signed(count);
}

pub(super) fn decode(from: &mut Reader<'_>) -> Result<i64, DecodeError> {
    from.signed()
}
