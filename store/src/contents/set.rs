//! Owns the set: concurrent additions and removals of members all happen.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::codec::{DecodeError, Reader, Writer};

type Set = BTreeSet<Arc<[u8]>>;

/// A member stays if both sides have it, or if one side added it: if the base had it and one
/// side has not, that side removed it.
pub(super) fn merge<T: Ord + Clone>(
    base: &BTreeSet<T>,
    ours: &BTreeSet<T>,
    theirs: &BTreeSet<T>,
) -> BTreeSet<T> {
    let in_both = ours.intersection(theirs);
    let in_one = ours.symmetric_difference(theirs).filter(|member| !base.contains(*member));
    in_both.chain(in_one).cloned().collect()
}

pub(super) fn encode(members: &Set, to: &mut Writer) {
    to.number(members.len() as u64);
    for member in members {
        to.bytes(member);
    }
}

pub(super) fn decode(from: &mut Reader<'_>) -> Result<Set, DecodeError> {
    let mut members = Set::new();
    for _ in 0..from.count(1)? {
        let member = from.bytes()?;
        if members.last().is_some_and(|last| **last >= *member) {
            return Err(DecodeError::NotCanonical("members of a set out of order"));
        }
        members.insert(member.into());
    }
    Ok(members)
}
