//! Owns the register: a value of which the one written last wins.

use std::sync::Arc;

use crate::codec::{DecodeError, Reader, Writer};

/// A value and when it was written. Of two, the later one wins; at the same time the greater
/// tie-break, and then the greater value, so that every side comes to the same result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// When it was written, in milliseconds since 1970.
    pub time_ms: u64,
    /// Decides between two values of the same time: for instance the number of a host.
    pub tie_break: u64,
    /// The value.
    pub value: Arc<[u8]>,
}

pub(super) fn merge(ours: &Register, theirs: &Register) -> Register {
    let order = |register: &Register| (register.time_ms, register.tie_break);
    let ours_wins = (order(ours), &ours.value) > (order(theirs), &theirs.value);
    if ours_wins { ours.clone() } else { theirs.clone() }
}

pub(super) fn encode(register: &Register, to: &mut Writer) {
    to.number(register.time_ms);
    to.number(register.tie_break);
    to.bytes(&register.value);
}

pub(super) fn decode(from: &mut Reader<'_>) -> Result<Register, DecodeError> {
    let time_ms = from.number()?;
    let tie_break = from.number()?;
    Ok(Register { time_ms, tie_break, value: from.bytes()?.into() })
}
